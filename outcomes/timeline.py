"""An outcome's life as a picture: its states one after the other, what happened when, and what stood in its way
meanwhile. The apps above add what they know of an outcome (`OUTCOME_MARKS`).

Instants stand at equal distances, not to scale: minutes and weeks lie in one life. The list below the picture says the
same to who does not see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from outcomes.models import Journal, LateEvidence, Outcome, State

MOST: Final = 40
"""So many marks at most: the journal has all."""

COLOURS: Final = {
    State.OPEN: "#2563eb",
    State.PROVISIONAL: "#b45309",
    State.CONFIRMED: "#15803d",
    State.REVERSED: "#b91c1c",
    State.VOID: "#b91c1c",
    State.MISSED: "#57534e",
    State.SUPERSEDED: "#57534e",
}


@dataclass(frozen=True)
class Mark:
    """Something that happened at an instant. ``state`` is the outcome's from then on, where it changed."""

    at: datetime
    title: str
    told: SafeString | str = ""
    state: str = ""


@dataclass(frozen=True)
class Span:
    """Something that stood over a time; without an end it stands yet."""

    begin: datetime
    end: datetime | None
    title: str
    told: SafeString | str = ""


@dataclass
class Life:
    marks: list[Mark] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


# What higher apps add to the life of an outcome, for who looks; they register it when their admin loads.
OUTCOME_MARKS: list[Callable[[Outcome, Any], Life]] = []


def life_of(outcome: Outcome, user: Any) -> Life:
    """Everything that is known of an outcome, as far as somebody may see it."""
    life = _own(outcome)
    for add in OUTCOME_MARKS:
        more = add(outcome, user)
        life.marks += more.marks
        life.spans += more.spans
    return life


def event_link(seq: int, text: str) -> SafeString:
    address = reverse("admin:outcomes_event_change", args=[seq])
    return format_html('<a class="text-primary-600 underline dark:text-primary-400" href="{}">{}</a>', address, text)


def _own(outcome: Outcome) -> Life:
    journal = list(Journal.objects.filter(outcome=outcome).order_by("id")[:MOST])
    marks = [_change(one) for one in journal]
    known = {mark.at for mark in marks}
    if outcome.first_time not in known:
        marks.append(Mark(outcome.first_time, "Begins", event_link(outcome.first_seq, "its first event"), State.OPEN))
    if not journal:  # written before there were journals, or by hand
        if outcome.met_at is not None:
            marks.append(Mark(outcome.met_at, "Met", state=State.PROVISIONAL))
        if outcome.settled_at is not None:
            marks.append(Mark(outcome.settled_at, "Settled", state=State.CONFIRMED))
        if outcome.ended_at is not None:
            marks.append(Mark(outcome.ended_at, outcome.state.capitalize(), state=outcome.state))
    spans = []
    if outcome.met_at is not None and outcome.settles_at is not None and outcome.settles_at > outcome.met_at:
        spans.append(Span(outcome.met_at, outcome.settles_at, "Settlement window", "planned"))
    for late in LateEvidence.objects.filter(outcome=outcome).order_by("created_at")[:MOST]:
        told = format_html("{}, {}: {}", event_link(late.event_seq, "event"), late.policy, late.status)
        marks.append(Mark(late.created_at, "Late evidence", told))
    return Life(marks, spans)


def _change(one: Journal) -> Mark:
    by = one.actor or (f"{one.clause or one.cause}" + (" (late)" if one.cause == Journal.Cause.LATE else ""))
    told: SafeString | str = f"{by}: {one.reason}" if one.reason else by
    if one.event_seq is not None:
        told = format_html("{}, {}", told, event_link(one.event_seq, "event"))
    title = "Begins" if not one.from_state else one.to_state.capitalize()
    return Mark(one.effective_at, title, told, one.to_state)


# --- The picture ------------------------------------------------------------------------------------------------------

_STEP: Final = 116
_LEFT: Final = 24
_AXIS: Final = 46
_LANE: Final = 26
_LANES_FROM: Final = 96


def picture(life: Life, now: datetime) -> dict[str, Any]:
    """What `outcomes/timeline.html` draws: coordinates in units of the picture, and the list."""
    marks = sorted(life.marks, key=lambda mark: mark.at)[:MOST]
    spans = sorted(life.spans, key=lambda span: span.begin)[:MOST]
    instants = {mark.at for mark in marks} | {span.begin for span in spans}
    instants |= {span.end for span in spans if span.end is not None} | {now}
    ordered = sorted(instants)
    place = {at: _LEFT + index * _STEP for index, at in enumerate(ordered)}
    width = _LEFT * 2 + max(len(ordered) - 1, 1) * _STEP + 60
    return {
        "width": width,
        "height": _LANES_FROM + len(spans) * _LANE + 4,
        "axis": _AXIS,
        "end": place[ordered[-1]],
        "bars": _bars(marks, place, place[now]),
        "dots": _dots(marks, place),
        "instants": [
            {"x": x, "day": f"{_utc(at):%Y-%m-%d}", "time": "now" if at == now else f"{_utc(at):%H:%M:%S}"}
            for at, x in place.items()
        ],
        "lanes": [
            {
                "x": place[span.begin],
                "width": max(place[span.end or now] - place[span.begin], 6),
                "y": _LANES_FROM + index * _LANE,
                "text_y": _LANES_FROM + index * _LANE + 15,
                "title": span.title,
            }
            for index, span in enumerate(spans)
        ],
        "list": _list(marks, spans),
    }


def _bars(marks: Sequence[Mark], place: dict[datetime, int], now: int) -> list[dict[str, Any]]:
    """Of each state a bar from when it began to when the next did."""
    changes = [(place[mark.at], mark.state) for mark in marks if mark.state]
    bars = []
    for index, (x, state) in enumerate(changes):
        end = changes[index + 1][0] if index + 1 < len(changes) else max(now, x)
        colour = COLOURS.get(State(state), "#57534e")
        if end > x or index + 1 == len(changes):
            bars.append({"x": x, "width": max(end - x, 40), "state": state, "colour": colour})
    return bars


def _dots(marks: Sequence[Mark], place: dict[datetime, int]) -> list[dict[str, Any]]:
    at: dict[int, list[int]] = {}
    for number, mark in enumerate(marks, start=1):
        at.setdefault(place[mark.at], []).append(number)
    return [
        {"x": x, "numbers": str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"}
        for x, numbers in at.items()
    ]


def _list(marks: Sequence[Mark], spans: Sequence[Span]) -> list[dict[str, Any]]:
    entries = [
        {"number": str(number), "at": _said(mark.at), "title": mark.title, "told": mark.told}
        for number, mark in enumerate(marks, start=1)
    ]
    for span in spans:
        until = "until now" if span.end is None else f"until {_said(span.end)}"
        entries.append({"number": "", "at": f"{_said(span.begin)} {until}", "title": span.title, "told": span.told})
    return entries


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _said(at: datetime) -> str:
    return f"{_utc(at):%Y-%m-%d %H:%M:%S}"
