"""Reads of events and outcomes for the API and the admin, as plain JSON values."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from access import ids
from conditions_dsl import words
from outcomes.models import Event, EventIdentity, Import, InboxItem, Journal, Outcome, Pending, SubjectEvent
from outcomes.programs import all_rules, subject_key
from outcomes.store import read_event

OUTCOME_PREFIX = "out"
IMPORT_PREFIX = "imp"

# What higher apps add to an outcome's detail (such as the invoice line); they register it when they load.
OUTCOME_DETAILS: list[Callable[[Outcome], dict[str, Any]]] = []


def outcomes(
    *,
    customer: str | None = None,
    condition: str | None = None,
    state: str | None = None,
    subject: str | None = None,
    settled_from: datetime | None = None,
    settled_to: datetime | None = None,
) -> QuerySet[Outcome]:
    """Outcomes by what is asked for; ``settled_to`` is exclusive."""
    found = Outcome.objects.select_related("customer", "condition", "version", "subject")
    wanted = {
        "customer__key": customer,
        "condition__slug": condition,
        "state": state,
        "subject__key": subject,
        "settled_at__gte": settled_from,
        "settled_at__lt": settled_to,
    }
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def event_names(rows: Iterable[Outcome]) -> dict[int, str]:
    """The ids of the events that met and ended these outcomes, by seq."""
    seqs = {seq for row in rows for seq in (row.met_by_seq, row.ended_by_seq) if seq is not None}
    return dict(Event.objects.filter(seq__in=seqs).values_list("seq", "event_id"))


def outcome_json(row: Outcome, names: dict[int, str]) -> dict[str, Any]:
    """One outcome as lists show it."""
    return {
        "id": ids.encode(OUTCOME_PREFIX, row.id),
        "customer": row.customer.key,
        "condition": row.condition.slug,
        "condition_version": row.version.number,
        "title": row.version.title,
        "subject": row.subject.key,
        "state": row.state,
        "met_by": names.get(row.met_by_seq) if row.met_by_seq is not None else None,
        "met_at": row.met_at,
        "settles_at": row.settles_at,
        "settled_at": row.settled_at,
        "ended_by": names.get(row.ended_by_seq) if row.ended_by_seq is not None else None,
        "ended_at": row.ended_at,
        "quantity": plain(row.quantity),
        "amount": plain(row.amount),
        "dimensions": row.dimensions,
        "review": row.review,
    }


def outcome_detail_json(row: Outcome) -> dict[str, Any]:
    """One outcome with its journal and what higher apps know of it."""
    journal = list(row.journal.all())
    names = dict(
        Event.objects.filter(seq__in=[entry.event_seq for entry in journal if entry.event_seq]).values_list(
            "seq", "event_id"
        )
    )
    detail = outcome_json(row, event_names([row]))
    for add in OUTCOME_DETAILS:
        detail |= add(row)
    detail["journal"] = [journal_json(entry, names) for entry in journal]
    return detail


def journal_json(entry: Journal, names: dict[int, str]) -> dict[str, Any]:
    return {
        "from": entry.from_state or None,
        "to": entry.to_state,
        "cause": entry.cause,
        "clause": entry.clause,
        "event": names.get(entry.event_seq) if entry.event_seq is not None else None,
        "actor": entry.actor or None,
        "reason": entry.reason or None,
        "effective_at": entry.effective_at,
        "recorded_at": entry.recorded_at,
    }


def events_of(row: Outcome) -> QuerySet[Event]:
    """The events behind an outcome: from the one that began it to the last of its facts, or the one that ended it."""
    end = max(
        (row.last_time, row.last_seq),
        (row.ended_at, row.ended_by_seq) if row.ended_at and row.ended_by_seq else (row.last_time, row.last_seq),
    )
    facts = SubjectEvent.objects.filter(
        Q(time__gt=row.first_time) | Q(time=row.first_time, seq__gte=row.first_seq),
        Q(time__lt=end[0]) | Q(time=end[0], seq__lte=end[1]),
        subject=row.subject_id,
        time__gte=row.first_time,
        time__lte=end[0],
    )
    if row.ended_by_seq is not None:  # late evidence may lie before the event that began the outcome
        facts |= SubjectEvent.objects.filter(subject=row.subject_id, seq=row.ended_by_seq)
    return Event.objects.filter(seq__in=facts.values("seq")).select_related("customer")


def event_json(event: Event) -> dict[str, Any]:
    shown = {
        "id": event.event_id,
        "type": event.type,
        "customer": event.customer.key,
        "time": event.time,
        "received_at": event.received_at,
        "data": event.data,
    }
    return shown | {"source": event.source} if event.source else shown


def find_event(customer: str, event_id: str, source: str = "") -> Event | None:
    """An accepted event by its identity."""
    identity = EventIdentity.objects.filter(customer__key=customer, event_id=event_id, source=source).first()
    return None if identity is None else Event.objects.select_related("customer").get(seq=identity.seq)


def event_fate(event: Event) -> dict[str, Any]:
    """What became of an accepted event: does it wait, into which outcomes did it go, does it lie in the inbox?"""
    pending = Pending.objects.filter(partition=event.customer.partition, seq=event.seq).exists()
    item = InboxItem.objects.filter(event_seq=event.seq, status=InboxItem.Status.WAITING).first()
    return {
        "status": "pending" if pending else "inbox" if item else "evaluated",
        "inbox": None if item is None else inbox_json(item),
        "outcomes": [outcome_json(row, event_names([row])) for row in _outcomes_with(event)],
    }


def _outcomes_with(event: Event) -> Iterable[Outcome]:
    """Outcomes among whose facts the event is. Its subjects follow from its content, as they did when it was
    evaluated.
    """
    fact = read_event(event.seq)
    for condition, rules in all_rules().items():
        key = subject_key(rules, fact.data) if rules.mentions(event.type) else None
        if key is None:
            continue
        rows = outcomes().filter(customer=event.customer_id, condition=condition, subject__key=key).order_by("ordinal")
        yield from (row for row in rows if events_of(row).filter(seq=event.seq).exists())


def inbox_json(item: InboxItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "customer": item.customer_key or None,
        "event_id": item.event_id or None,
        "type": item.type or None,
        "reason": item.reason,
        "message": item.message,
        "status": item.status,
        "attempts": item.attempts,
        "received_at": item.received_at,
        "resolved_at": item.resolved_at,
        "body": item.body,
    }


def import_json(found: Import) -> dict[str, Any]:
    return {
        "id": ids.encode(IMPORT_PREFIX, found.id),
        "name": found.name,
        "status": "open" if found.closed_at is None else "closed",
        "created_at": found.created_at,
        "closed_at": found.closed_at,
        "customers": found.customers.count(),
    }


def plain(number: Decimal | None) -> str | None:
    """A decimal in plain notation, without the zeros that its column pads it with."""
    return None if number is None else words.plain(number)
