"""Reads of events and outcomes for the API and the admin, as plain JSON values."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from access import ids
from conditions_dsl import words
from contracts.clocks import is_test
from outcomes import imports
from outcomes.models import (
    Event,
    EventIdentity,
    Import,
    InboxItem,
    Journal,
    LateEvidence,
    Outcome,
    Pending,
    State,
    SubjectEvent,
)
from outcomes.programs import all_rules, subject_key
from outcomes.sequence import MONTH_FACTOR, month_text
from outcomes.store import read_event

OUTCOME_PREFIX = "out"
IMPORT_PREFIX = "imp"
LATE_PREFIX = "late"

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
        "test": is_test(row.customer),
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
    facts = SubjectEvent.objects.filter(
        Q(time__gt=row.first_time) | Q(time=row.first_time, seq__gte=row.first_seq),
        subject=row.subject_id,
        time__gte=row.first_time,
    )
    if row.state != State.OPEN:  # one that is open is the subject's latest attempt, and takes every event so far
        last = (row.last_time, row.last_seq)
        if row.ended_at is not None and row.ended_by_seq is not None:
            last = max(last, (row.ended_at, row.ended_by_seq))
        facts = facts.filter(Q(time__lt=last[0]) | Q(time=last[0], seq__lte=last[1]), time__lte=last[0])
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


def find_event(customer: str, event_id: str, source: str = "") -> Event | EventIdentity | None:
    """An accepted event by its identity; the identity alone where the payload is archived."""
    identity = EventIdentity.objects.filter(customer__key=customer, event_id=event_id, source=source).first()
    if identity is None:
        return None
    return Event.objects.select_related("customer").filter(seq=identity.seq).first() or identity


def archived_json(identity: EventIdentity, customer: str) -> dict[str, Any]:
    """What can still be told of an event whose payload is archived."""
    shown: dict[str, Any] = {
        "id": identity.event_id,
        "customer": customer,
        "status": "archived",
        "archived_month": month_text(identity.seq // MONTH_FACTOR),
        "inbox": None,
        "outcomes": [],
        "late_evidence": [],
    }
    return shown | {"source": identity.source} if identity.source else shown


def event_fate(event: Event) -> dict[str, Any]:
    """What became of an accepted event: does it wait, into which outcomes did it go, does it lie in the inbox?"""
    pending = Pending.objects.filter(partition=event.customer.partition, time=event.time, seq=event.seq).exists()
    item = InboxItem.objects.filter(event_seq=event.seq, status=InboxItem.Status.WAITING).first()
    return {
        "status": "pending" if pending else "inbox" if item else "evaluated",
        "inbox": None if item is None else inbox_json(item),
        "outcomes": [outcome_json(row, event_names([row])) for row in outcomes_with(event)],
        "late_evidence": late_evidence_json(late_evidence().filter(event_seq=event.seq)),
    }


def hears_of(event: Event) -> list[int]:
    """Ids of the conditions that an event of this name concerns, for its customer."""
    catalog = all_rules()
    return [
        condition
        for condition, rules in catalog.items()
        if rules.mentions(event.type) and catalog.concerns(condition, event.customer_id)
    ]


def outcomes_with(event: Event) -> Iterable[Outcome]:
    """Outcomes among whose facts the event is. Its subjects follow from its content, as they did when it was
    evaluated.
    """
    fact = read_event(event.seq)
    catalog = all_rules()
    for condition, rules in catalog.items():
        concerns = rules.mentions(event.type) and catalog.concerns(condition, event.customer_id)
        key = subject_key(rules, fact.data) if concerns else None
        if key is None:
            continue
        rows = outcomes().filter(customer=event.customer_id, condition=condition, subject__key=key).order_by("ordinal")
        yield from (row for row in rows if events_of(row).filter(seq=event.seq).exists())


def inbox_items(**wanted: Any) -> QuerySet[InboxItem]:
    """Inbox items by what is asked for, in the words of the API; ``received_to`` is exclusive."""
    names = {
        "customer": "customer_key",
        "import": "batch_import",
        "received_from": "received_at__gte",
        "received_to": "received_at__lt",
    }
    return InboxItem.objects.filter(**{names.get(name, name): value for name, value in wanted.items()})


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
        "note": item.note or None,
        "handled_by": item.handled_by or None,
        "import": ids.encode(IMPORT_PREFIX, item.batch_import_id) if item.batch_import_id else None,
        "body": item.body,
    }


def late_evidence(customer: str | None = None, status: str | None = None) -> QuerySet[LateEvidence]:
    """Events that were left out of a condition's facts, newest first."""
    found = LateEvidence.objects.select_related("subject__customer", "subject__condition")
    wanted = {"subject__customer__key": customer, "status": status}
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def late_evidence_json(rows: Iterable[LateEvidence]) -> list[dict[str, Any]]:
    rows = list(rows)
    names = dict(Event.objects.filter(seq__in=[row.event_seq for row in rows]).values_list("seq", "event_id"))
    return [
        {
            "id": ids.encode(LATE_PREFIX, row.id),
            "customer": row.subject.customer.key,
            "condition": row.subject.condition.slug,
            "subject": row.subject.key,
            "event": names.get(row.event_seq),
            "time": row.time,
            "outcome": ids.encode(OUTCOME_PREFIX, row.outcome_id),
            "policy": row.policy,
            "status": row.status,
            "created_at": row.created_at,
            "decided_at": row.decided_at,
            "decided_by": row.decided_by or None,
            "note": row.note or None,
        }
        for row in rows
    ]


def find_import(import_id: UUID) -> Import:
    """An import with its progress. Raises Import.DoesNotExist."""
    return imports.with_progress(Import.objects.filter(id=import_id)).get()


def import_json(found: Import) -> dict[str, Any]:
    return {
        "id": ids.encode(IMPORT_PREFIX, found.id),
        "name": found.name,
        "status": "open" if found.closed_at is None else "closed",
        "created_at": found.created_at,
        "closed_at": found.closed_at,
        "accepted": found.accepted,
        "duplicates": found.duplicates,
        "rejected": found.rejected,
        "waiting": found.waiting,
        "customers": found.touched,
        "settlement_paused": found.closed_at is None and found.touched > 0,
    }


def plain(number: Decimal | None) -> str | None:
    """A decimal in plain notation, without the zeros that its column pads it with."""
    return None if number is None else words.plain(number)
