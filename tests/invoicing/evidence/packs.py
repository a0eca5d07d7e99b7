"""Packs in tests: written, read, changed and chained anew; and events behind outcomes that were put into the tables."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from access.times import format_rfc3339
from conditions_dsl import format, parse
from contracts.models import ConditionVersion
from invoicing.evidence import verify_evidence as verifier
from invoicing.evidence.chain import Chain
from invoicing.evidence.pack import Document, pack
from invoicing.models import CreditNote, Invoice
from outcomes.models import Decision, Event, EventIdentity, Journal, Outcome, SubjectEvent
from outcomes.wire import canonical

MADE_AT = datetime(2026, 11, 1, tzinfo=UTC)
# November 2025, by `outcomes.sequence`.
FIRST_SEQ = 70 * 10**12
HOUR = timedelta(hours=1)

Body = dict[str, Any]


def packed(document: Document) -> bytes:
    return b"".join(pack(document, now=MADE_AT))


def counted(text: bytes, **options: Any) -> verifier.Recount:
    """The verifier's count of a pack; it raises `verifier.Wrong`."""
    return verifier.recount(io.BytesIO(text), **options)


def all_accepted() -> list[verifier.Recount]:
    """The packs of everything that is issued, accepted."""
    found: list[Document] = [
        *Invoice.objects.exclude(content_hash="").order_by("number"),
        *CreditNote.objects.exclude(content_hash="").order_by("number"),
    ]
    return [counted(packed(one)) for one in found]


def records(text: bytes) -> list[tuple[str, Body]]:
    """The records of a pack as (kind, body), their numbers exact."""
    found = [verifier.parse(line) for line in text.splitlines()]
    return [(one["kind"], one["body"]) for one in found]


def chained(found: Iterable[tuple[str, Body]]) -> bytes:
    """A pack of these records, with a chain that fits."""
    chain = Chain()
    return b"".join(chain.line(kind, body) for kind, body in found)


def tampered(text: bytes, change: Callable[[list[tuple[str, Body]]], Any]) -> verifier.Wrong | None:
    """What the verifier says of a pack that was changed by someone who makes the chain fit again."""
    found = records(text)
    change(found)
    try:
        counted(chained(found))
    except verifier.Wrong as wrong:
        return wrong
    return None


# --- events behind outcomes -------------------------------------------------------------------------------------------


def back() -> None:
    """Give every billed outcome of the database the events that it follows from: conditions say how, each outcome has
    an event that met it, and what is reversed one that took it back.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # past the guards of what never changes
        for version in ConditionVersion.objects.select_related("condition"):
            text = _text(version)
            ConditionVersion.objects.filter(pk=version.pk).update(text=text, canonical=text)
        cursor.execute(
            "UPDATE outcomes_subject s SET condition_id = o.condition_id "
            "FROM outcomes_outcome o WHERE o.subject_id = s.id"
        )
        backing = Backing()
        known = SubjectEvent.objects.values("subject")
        unbacked = Outcome.objects.filter(state__in=["confirmed", "reversed"]).exclude(subject__in=known)
        for n, outcome in enumerate(unbacked.select_related("subject").order_by("id")):
            backing.add(outcome, FIRST_SEQ + 10 * n)
        backing.write()
        cursor.execute("SET LOCAL session_replication_role = origin")


def _text(version: ConditionVersion) -> str:
    """A condition whose outcomes say of themselves when they settle and what they are worth."""
    valued = Outcome.objects.filter(version=version, amount__isnull=False).exists()
    return format(
        parse(
            f"outcome {version.condition.slug} {json.dumps(version.title)} per ticket_id bill when ticket.closed "
            "credit within 180 days when ticket.undone settle at latest settles of ticket.closed "
            "quantity latest quantity of ticket.closed "
            + ("amount latest amount of ticket.closed " if valued else "")
            + "dimension priority = latest priority of ticket.closed"
        )
    )


class Backing:
    """Rows behind outcomes, written at once."""

    def __init__(self) -> None:
        self.identities: list[EventIdentity] = []
        self.events: list[Event] = []
        self.said: list[str] = []
        self.facts: list[SubjectEvent] = []
        self.journal: list[Journal] = []
        self.decisions: list[Decision] = []
        self.outcomes: list[Outcome] = []

    def add(self, outcome: Outcome, seq: int) -> None:
        met_at, settled_at, quantity = outcome.met_at, outcome.settled_at, outcome.quantity
        assert met_at is not None and settled_at is not None and quantity is not None
        data: Body = {"ticket_id": outcome.subject.key, "settles": format_rfc3339(settled_at)}
        data |= {"quantity": _number(quantity), **outcome.dimensions}
        if outcome.amount is not None:
            data["amount"] = _number(outcome.amount)
        self._event(outcome, seq, "ticket.closed", met_at, data)
        self._moves(outcome, "", "open", "event", "begin", seq, met_at)
        self._moves(outcome, "open", "provisional", "event", "bill", seq, met_at)
        self._moves(outcome, "provisional", "confirmed", "clock", "settle", None, settled_at)
        outcome.met_by_seq = outcome.first_seq = outcome.last_seq = seq
        later = settled_at + HOUR
        if outcome.amount is not None and outcome.amount < 0:
            # No event gives less than nothing; a person may have.
            self.decisions.append(
                Decision(
                    subject=outcome.subject, outcome=outcome, kind="complete", at=later, met_at=met_at,
                    met_by_seq=seq, amount=outcome.amount, actor="ops", reason="a refund", created_at=later,
                )
            )  # fmt: skip
        if outcome.state == "reversed":
            self._event(outcome, seq + 1, "ticket.undone", later, {"ticket_id": outcome.subject.key})
            self._moves(outcome, "confirmed", "reversed", "event", "credit", seq + 1, later)
            outcome.ended_at, outcome.ended_by_seq = later, seq + 1
        self.outcomes.append(outcome)

    def _event(self, outcome: Outcome, seq: int, type_: str, time: datetime, data: Body) -> None:
        said = canonical(data)
        when = format_rfc3339(time)[:-1] + "+00:00"
        digest = hashlib.sha256(b"%b\n%b\n%b" % (type_.encode(), when.encode(), said)).digest()
        customer = outcome.customer_id
        self.identities.append(EventIdentity(pk=(customer, f"e-{seq}", ""), fingerprint=digest, seq=seq))
        self.events.append(
            Event(seq=seq, customer_id=customer, event_id=f"e-{seq}", type=type_, time=time, received_at=time, data={})
        )
        self.said.append(said.decode())
        self.facts.append(SubjectEvent(pk=(outcome.subject_id, time, seq)))

    def _moves(
        self, outcome: Outcome, before: str, after: str, cause: str, clause: str, seq: int | None, at: datetime
    ) -> None:
        self.journal.append(
            Journal(
                outcome=outcome, from_state=before, to_state=after, cause=cause, clause=clause, event_seq=seq,
                effective_at=at, recorded_at=at,
            )
        )  # fmt: skip

    def write(self) -> None:
        EventIdentity.objects.bulk_create(self.identities)
        Event.objects.bulk_create(self.events)
        with connection.cursor() as cursor:  # as intake writes them: numbers exact
            cursor.execute(
                "UPDATE outcomes_event e SET data = d.said::jsonb "
                "FROM unnest(%s::bigint[], %s::text[]) AS d (seq, said) WHERE e.seq = d.seq",
                [[one.seq for one in self.events], self.said],
            )
        SubjectEvent.objects.bulk_create(self.facts)
        Journal.objects.bulk_create(self.journal)
        Decision.objects.bulk_create(self.decisions)
        Outcome.objects.bulk_update(
            self.outcomes, ["met_by_seq", "first_seq", "last_seq", "ended_at", "ended_by_seq"], batch_size=500
        )


def _number(number: Decimal) -> int | Decimal:
    """As intake keeps numbers: whole ones are integers."""
    return int(number) if number == number.to_integral_value() else number.normalize()
