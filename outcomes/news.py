"""What is told of outcomes and events: the journal and the inbox, read for news; whoever writes them knows of none.

A message shows its outcome as the journal row left it, as far as rows can tell: state, and the events and instants that
follow from the row itself. Quantity, amount, dimensions and version are as they stand when the row is read, moments
later.
"""

from collections.abc import Collection
from typing import Any

from access import ids
from outcomes.models import Event, InboxItem, Journal, Outcome, State
from outcomes.queries import OUTCOME_PREFIX, event_names, inbox_json, journal_json, outcome_json
from outcomes.queries import outcomes as outcome_rows
from webhooks.feeds import Feed
from webhooks.publish import News

TYPE_OF_STATE = {
    State.PROVISIONAL: "outcome.provisional",
    State.CONFIRMED: "outcome.confirmed",
    State.VOID: "outcome.voided",
    State.SUPERSEDED: "outcome.voided",
    State.MISSED: "outcome.missed",
    State.REVERSED: "outcome.reversed",
}
EVENT_REJECTED = "event.rejected"


def journal_news(after: int, until: int, types: Collection[str]) -> list[News]:
    """Messages of the journal rows with ``after < id <= until``: one for each change to a state that has a name.

    A row that only moves dates (`restated`) is no change of state. What ends `superseded` is told where it had been
    told of before: an attempt that was only open was not.
    """
    states = [state for state, type_ in TYPE_OF_STATE.items() if type_ in types]
    entries = [
        entry
        for entry in Journal.objects.filter(id__gt=after, id__lte=until, to_state__in=states).order_by("id")
        if entry.from_state != entry.to_state
        and not (entry.to_state == State.SUPERSEDED and entry.from_state in ("", State.OPEN))
    ]
    found = outcome_rows().in_bulk({entry.outcome_id for entry in entries})
    seqs = [entry.event_seq for entry in entries if entry.event_seq is not None]
    names = event_names(found.values()) | dict(Event.objects.filter(seq__in=seqs).values_list("seq", "event_id"))
    return [
        News(
            TYPE_OF_STATE[State(entry.to_state)],
            ids.encode(OUTCOME_PREFIX, entry.outcome_id),
            entry.recorded_at,
            _as_of(entry, found[entry.outcome_id], names) | {"change": journal_json(entry, names)},
        )
        for entry in entries
    ]


def _as_of(entry: Journal, row: Outcome, names: dict[int, str]) -> dict[str, Any]:
    """The outcome's JSON, as it stood when the journal row was written."""
    shown = outcome_json(row, names) | {"state": entry.to_state}
    event = names.get(entry.event_seq) if entry.event_seq is not None else None
    if entry.to_state == State.PROVISIONAL:
        return shown | {"met_by": event, "met_at": entry.effective_at} | _NOT_SETTLED | _NOT_ENDED
    if entry.to_state == State.CONFIRMED:
        return shown | {"settled_at": entry.effective_at} | _NOT_ENDED
    ended = {"ended_by": event, "ended_at": entry.effective_at}
    return shown | ended if entry.to_state == State.REVERSED else shown | ended | _NOT_SETTLED


_NOT_SETTLED = {"settled_at": None}
_NOT_ENDED = {"ended_by": None, "ended_at": None}


def inbox_news(after: int, until: int, types: Collection[str]) -> list[News]:
    """Messages of the inbox items with ``after < id <= until``, as each was put there, without the event as sent."""
    return [
        News(
            EVENT_REJECTED,
            f"inbox_{item.id}",
            item.received_at,
            {name: value for name, value in inbox_json(item).items() if name in _TOLD_OF_INBOX},
        )
        for item in InboxItem.objects.filter(id__gt=after, id__lte=until).order_by("id")
    ]


_TOLD_OF_INBOX = ("id", "customer", "event_id", "type", "reason", "message", "received_at")

JOURNAL = Feed("outcomes.journal", "outcomes_journal", frozenset(TYPE_OF_STATE.values()), journal_news)
INBOX = Feed("outcomes.inbox", "outcomes_inboxitem", frozenset({EVENT_REJECTED}), inbox_news)
