"""The admin's page that explains an outcome: what `outcomes.explaining` found, laid out in lines."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.urls import reverse

from conditions_dsl import Event
from outcomes.domain.clauses import Reading
from outcomes.domain.instants import from_us
from outcomes.explaining import Explanation

# How many of a node's events are shown by name.
_SHOWN = 5
_MARKS = {True: ("✓", "true"), False: ("✗", "false"), None: ("–", "has no say")}


def page_context(found: Explanation) -> dict[str, Any]:
    """What the template `outcomes/explain.html` shows."""
    links = {event.id: {"id": event.id, "href": _link(event.seq)} for event in found.events}
    names = {event.seq: event for event in found.events}
    return {
        "found": found,
        "waits": [wait for wait in found.waits if wait.reason],
        "timeline": [
            {
                "at": _shown(entry.effective_at),
                "change": f"{entry.from_state or 'begins'} → {entry.to_state}",
                "clause": f"{entry.clause} (late)" if entry.cause == "late" else entry.clause,
                "by": _by(entry.cause, entry.actor, entry.reason, names.get(entry.event_seq or -1)),
                "href": None if entry.event_seq is None else _link(entry.event_seq),
                "recorded": _shown(entry.recorded_at),
            }
            for entry in found.journal
        ],
        "lines": [line for reading in found.readings for line in _lines(reading, links)],
        "events": [
            {"at": _shown(from_us(event.time)), "type": event.type, **links[event.id], "href": _link(event.seq)}
            for event in found.events
        ],
        "back": reverse("admin:outcomes_outcome_change", args=[found.outcome.pk]),
    }


def _lines(reading: Reading, links: dict[str, dict[str, str]]) -> Iterator[dict[str, Any]]:
    """A clause and, indented below it, the parts of its tree, each a line."""
    mark, said = _MARKS[reading.verdict]
    head = {"mark": mark, "said": said, "text": reading.text, "value": reading.value or "", "indent": 0}
    if reading.until is not None:
        head["value"] = f"{reading.value or ''} until {_shown(from_us(reading.until))} UTC".strip()
    tree = reading.tree
    yield head | _events(tree, links)
    if tree is not None and tree.get("parts"):
        yield from tree_lines(tree, links, 1)
    elif tree is not None and "value" in tree and tree["value"] != reading.value:
        yield {"mark": "", "said": "", "text": tree["text"], "value": f"seen: {tree['value']}", "indent": 1}


def tree_lines(tree: dict[str, Any], links: dict[str, dict[str, str]], depth: int) -> Iterator[dict[str, Any]]:
    """The parts of a node of `explain`, indented, each a line with its verdict, what was seen, and the events among
    ``links`` (by id) that decided it.
    """
    for part in tree.get("parts", ()):
        mark, said = _MARKS[part["verdict"]]
        value = f"seen: {part['value']}" if "value" in part else ""
        line = {"mark": mark, "said": said, "text": part["text"], "value": value, "indent": depth * 1.5}
        yield line | _events(part, links)
        yield from tree_lines(part, links, depth + 1)


def _events(tree: dict[str, Any] | None, links: dict[str, dict[str, str]]) -> dict[str, Any]:
    if tree is None:
        return {"events": [], "more": 0}
    shown = tree["events"][-_SHOWN:]
    return {"events": [links[i] for i in shown if i in links], "more": tree["event_count"] - len(shown)}


def _by(cause: str, actor: str, reason: str, event: Event | None) -> str:
    if event is not None:
        return f"{event.type} {event.id}"
    return f"{actor}: {reason}" if actor else f"the {cause}"


def _link(seq: int) -> str:
    return reverse("admin:outcomes_event_change", args=[seq])


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}" + (f".{instant.microsecond:06}" if instant.microsecond else "")
