"""Write the evidence pack of an invoice or a credit note: JSON lines, one record after the other, in flat memory.

The order of the records is the order in which the verifier needs them (docs/evidence.md): what was agreed, the lines,
then subject by subject the events and the outcomes that they gave, and the document itself at the end.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, cast
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, Q

from access import ids
from access.invariants import snapshot
from access.times import format_rfc3339
from conditions_dsl import parse, to_json
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.domain import rating
from contracts.models import Commitment, ConditionVersion, ContractVersion, Fee, Price, RateCardVersion
from contracts.prices import fields_of
from invoicing import content, texts
from invoicing.billed import prices_of
from invoicing.evidence import beliefs, reads
from invoicing.evidence.chain import Chain
from invoicing.evidence.reads import Fact, Row, Scope, Subject
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine, Status
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import Decision, Rules
from outcomes.programs import rules_of
from outcomes.queries import OUTCOME_PREFIX

FORMAT = "holdfast evidence 1"

Document = Invoice | CreditNote
Record = tuple[str, dict[str, Any]]
Progress = Callable[[int], None]


def public_id(document: Document) -> str:
    """``inv_…`` or ``cn_…``, as the API names it."""
    return ids.encode("cn" if isinstance(document, CreditNote) else "inv", document.id)


def filename(document: Document) -> str:
    """What the file of its pack is called: ``evidence-HF-000001.jsonl``."""
    return f"evidence-{document.number}.jsonl"


def pack(document: Document, *, now: datetime, progress: Progress | None = None) -> Iterator[bytes]:
    """The lines of an issued document's pack; ``progress`` is told how many subjects are done.

    Everything is read in one snapshot, so the pack is of one moment however long it is read. Raises ValueError for a
    draft: only what is issued has a content that is frozen.
    """
    if not document.content_hash:
        raise ValueError("a draft has no frozen content")
    chain = Chain()
    with _one_moment():
        for kind, body in _Records(document, now, progress).all():
            yield chain.line(kind, body)


def _about(id: UUID, document: Document | None) -> dict[str, Any]:
    """What a pack says of another document; None is a draft of a credit note that is gone."""
    return {
        "id": str(id),
        "document": "invoice" if isinstance(document, Invoice) else "credit_note",
        "number": document.number if document else None,
        "status": document.status if document else "deleted",
        "issued_at": _time(document.issued_at) if document else None,
        "content_hash": (document.content_hash or None) if document else None,
    }


def _one_moment() -> AbstractContextManager[None]:
    """A snapshot, where no transaction is open already: within one, a caller has chosen what it sees."""
    return nullcontext() if connection.in_atomic_block else snapshot()


class _Records:
    """The records of one document."""

    def __init__(self, document: Document, now: datetime, progress: Progress | None) -> None:
        self.document, self.now, self.progress = document, now, progress
        self.is_note = isinstance(document, CreditNote)
        self.content = content.content_of(cast(Invoice, document))
        self.own = list(document.lines.order_by("position"))
        self.others = list(self._lines_of_others())
        self.prices = _prices_of({line.price_id for line in (*self.own, *self.others) if line.price_id})

    def _lines_of_others(self) -> Iterator[InvoiceLine]:
        """The lines that the amounts were worked out with: of the same periods, on other documents."""
        seen: set[UUID] = set()
        for entry in self.document.terms:
            on = Q(invoice__in=entry["billed_on"]) | Q(credit_note__in=entry["billed_on"])
            found = InvoiceLine.objects.filter(on, period_start=entry["period_start"])
            for line in found.order_by("invoice", "credit_note", "position"):
                if line.id not in seen:
                    seen.add(line.id)
                    yield line

    def all(self) -> Iterator[Record]:
        yield "pack", self._head()
        if self.document.contract_id is not None:
            yield from self._agreed()
        counted = self._counted()
        yield from self._conditions({line.condition_id for line in counted if line.condition_id})
        yield from self._other_documents()
        for entry in self.document.terms:
            yield "period", entry
        for line in self.content["lines"]:
            yield "line", line
        yield from self._subjects(counted)
        yield self._end()

    def _head(self) -> dict[str, Any]:
        document = self.document
        assert document.issued_at is not None
        return {
            "format": FORMAT,
            "document": "credit_note" if self.is_note else "invoice",
            "id": public_id(document),
            "uuid": str(document.id),
            "number": document.number,
            "content_hash": document.content_hash,
            "customer": document.customer.key,
            "currency": document.currency,
            "issued_at": format_rfc3339(document.issued_at),
            "created_at": format_rfc3339(self.now),
            "made_by": f"holdfast {_version()}",
        }

    def _counted(self) -> list[InvoiceLine]:
        """The lines whose outcomes are in the pack: the document's own; and others of a period in which outcomes decide
        on amounts one by one: where a price was changed, all of them.
        """
        in_order, moved = set(), set()
        for line in (*self.own, *self.others):
            if line.price_id is not None and rating.needs_order(self.prices[line.price_id]):
                in_order.add(line.period_start)
            if "moved" in line.details:
                moved.add(line.period_start)
        usage = InvoiceLine.Kind.USAGE
        found = {line.id: line for line in self.own if line.kind == usage}
        for line in self.others:
            if line.kind != usage or line.price_id is None or line.period_start not in in_order:
                continue
            if line.period_start in moved or rating.needs_order(self.prices[line.price_id]):
                found[line.id] = line
        return list(found.values())

    # --- what was agreed ----------------------------------------------------------------------------------------------

    def _agreed(self) -> Iterator[Record]:
        """The contract with its versions, and its rate cards, as far as their prices are for what is on the lines."""
        contract = self.document.contract
        assert contract is not None
        yield (
            "contract",
            {
                "id": ids.encode(CONTRACT_PREFIX, contract.id),
                "currency": contract.currency,
                "starts_at": format_rfc3339(contract.starts_at),
                "ends_at": _time(contract.ends_at),
            },
        )
        conditions = {line.condition_id for line in (*self.own, *self.others) if line.condition_id}
        wanted = Prefetch("prices", Price.objects.filter(condition__in=conditions).order_by("id"))
        versions = list(
            ContractVersion.objects.filter(contract=contract)
            .prefetch_related(wanted, "fees", "commitments")
            .order_by("effective_at", "number")
        )
        for version in versions:
            yield "version", _version_json(version)
        cards = RateCardVersion.objects.filter(rate_card__in={version.rate_card_id for version in versions})
        for card in cards.select_related("rate_card").prefetch_related(wanted).order_by("rate_card", "number"):
            yield (
                "card",
                {
                    "id": card.id,
                    "rate_card": card.rate_card_id,
                    "key": card.rate_card.key,
                    "number": card.number,
                    "currency": card.currency,
                    "effective_from": _time(card.effective_from),
                    "prices": [_price_json(price) for price in card.prices.all()],
                },
            )

    def _conditions(self, conditions: Collection[int]) -> Iterator[Record]:
        """Every version of the conditions, as text and as program, and what the contracts put in their place."""
        versions = ConditionVersion.objects.filter(condition__in=conditions).select_related("condition")
        for version in versions.order_by("condition__slug", "number"):
            yield (
                "condition",
                {
                    "condition": version.condition_id,
                    "slug": version.condition.slug,
                    "version": version.number,
                    "title": version.title,
                    "effective_from": _time(version.effective_from),
                    "text": version.text,
                    "canonical": version.canonical,
                    "sentence": version.description,
                    "program": to_json(parse(version.canonical)),
                },
            )
        self.rules: dict[int, Rules] = {}
        numbers = {version.pk: version.number for version in versions}
        for condition in sorted(conditions):
            rules = self.rules[condition] = rules_of(self.document.customer_id, condition)
            yield (
                "rules",
                {
                    "condition": condition,
                    "windows": [
                        {**_span(one.start, one.end), "seconds": one.duration // 1_000_000} for one in rules.windows
                    ],
                    "pins": [{**_span(one.start, one.end), "version": numbers[one.version.id]} for one in rules.pins],
                    "since": None if rules.since is None else _us_time(rules.since),
                },
            )

    # --- documents ----------------------------------------------------------------------------------------------------

    def _other_documents(self) -> Iterator[Record]:
        wanted = {one for entry in self.document.terms for one in entry["billed_on"]}
        found: list[Document] = [
            *Invoice.objects.filter(pk__in=wanted).order_by("pk"),
            *CreditNote.objects.filter(pk__in=wanted).order_by("pk"),
        ]
        for document in found:
            yield "document", _about(document.id, document)
        # A credit note that nobody approved, and that was not owed any more later.
        for gone in sorted(set(map(UUID, wanted)) - {one.id for one in found}):
            yield "document", _about(gone, None)
        for line in self.others:
            yield "document_line", {"document": str(line.invoice_id or line.credit_note_id), "line": _line_json(line)}

    def _end(self) -> Record:
        """The document: its frozen content but for what other records hold, and what its total is made of."""
        document = self.document
        figures = {
            "number": document.number,
            "kind": document.kind,
            "status": document.status,
            "subtotal_minor": document.subtotal_minor,
            "tax_minor": document.tax_minor,
            "total_minor": document.total_minor,
            "taxes": document.taxes,
            "has_terms": "terms" in self.content,
            "content": {name: value for name, value in self.content.items() if name not in ("lines", "terms")},
        }
        if isinstance(document, CreditNote):
            return "credit_note", figures | {"reason": document.reason, "allocations": _allocations(document)}
        return "invoice", figures | {"credits": document.credits}

    # --- subjects -----------------------------------------------------------------------------------------------------

    def _subjects(self, lines: Sequence[InvoiceLine]) -> Iterator[Record]:
        void = isinstance(self.document, Invoice) and self.document.status == Status.VOID
        others = {line.invoice_id for line in lines if line.invoice_id not in (None, self.document.id)}
        live = not void and not Invoice.objects.filter(pk__in=others, status=Status.VOID).exists()
        if not lines:
            return
        scope = Scope(self.document.customer_id, tuple(line.id for line in lines), live, self._voided())
        # Where late evidence changed what was shown, there is nothing that could be counted again.
        now = reads.count_voided(scope) if scope.voided else {}
        shown = {line.id: line.voided_count for line in self.own}
        scope = replace(scope, voided=tuple(one for one in scope.voided if now.get(one.line) == shown[one.line]))
        for done, subject in enumerate(reads.subjects(scope), 1):
            yield "subject", {"condition": subject.condition, "slug": subject.slug, "key": subject.key}
            for fact in subject.facts:
                yield "event", _event_json(fact)
            for decision in subject.decisions:
                yield "decision", _decision_json(decision)
            for row in subject.outcomes:
                yield "outcome", _outcome_json(row) | self._known_then(subject, row)
            if self.progress is not None:
                self.progress(done)

    def _voided(self) -> tuple[reads.Voided, ...]:
        """The lines that show what was taken back inside its window."""
        contract = self.document.contract
        if contract is None:
            return ()
        return tuple(
            reads.Voided(
                line.id,
                cast(int, line.condition_id),
                contract.starts_at,
                contract.ends_at,
                line.period_start,
                None if line.period_end == contract.ends_at else line.period_end,
            )
            for line in self.own
            if line.voided_count
        )

    def _known_then(self, subject: Subject, row: Row) -> dict[str, Any]:
        """Of an outcome that no longer holds: which events came only later, where that matters."""
        facts = [fact for fact in subject.facts if not fact.left_out]
        if row.state != "reversed" or any(fact.data is None for fact in facts):
            return {}
        late = any(one["to_state"] == "reversed" and one["cause"] == "late" for one in row.journal)
        undone = beliefs.Undone(
            version=row.version,
            met_by=cast(int, row.met_by),
            met_at=to_us(row.met_at),
            settled_at=to_us(cast(datetime, row.settled_at)),
            ended_at=None if late or row.ended_at is None else to_us(row.ended_at),
            quantity=row.quantity,
            amount=row.amount,
            dimensions=row.dimensions,
        )
        decisions = [
            Decision(
                to_us(one["at"]), one["kind"], to_us(one["met_at"]), one["met_by_seq"], one["actor"], one["reason"],
                one["quantity"], one["amount"],
            )
            for one in subject.decisions
        ]  # fmt: skip
        known_at = {
            fact.seq: (to_us(subject.accepted.get(fact.seq) or cast(datetime, fact.received_at)), fact.seq)
            for fact in facts
        }
        events = [fact.event() for fact in facts]
        left_out = beliefs.without(undone, self.rules[subject.condition], events, decisions, known_at)
        if left_out is None:
            return {"believed": True}
        return {"without": left_out} if left_out else {}


# --- bodies -----------------------------------------------------------------------------------------------------------


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_rfc3339(moment)


def _us_time(instant: int) -> str:
    return format_rfc3339(from_us(instant))


def _span(start: int, end: int | None) -> dict[str, Any]:
    return {"start": _us_time(start), "end": None if end is None else _us_time(end)}


def _plain(number: Decimal | None) -> str | None:
    return None if number is None else texts.plain(number)


def _version() -> str:
    try:
        return installed("holdfast")
    except PackageNotFoundError:
        return "development"


def _prices_of(wanted: Collection[int]) -> dict[int, rating.Price]:
    return dict(prices_of(Price.objects.filter(pk__in=wanted)))


def _version_json(version: ContractVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "number": version.number,
        "effective_at": format_rfc3339(version.effective_at),
        "rate_card": version.rate_card_id,
        "discount_percent": _plain(version.discount_percent),
        "discount_amount": _plain(version.discount_amount),
        "minimum": _plain(version.minimum),
        "cap": _plain(version.cap),
        "trial": version.trial,
        "pools": version.pools,
        "fees": [_fee_json(fee) for fee in version.fees.all()],
        "commitments": [_commitment_json(one) for one in version.commitments.all()],
        "overrides": [_price_json(price) for price in version.prices.all()],
    }


def _fee_json(fee: Fee) -> dict[str, Any]:
    return {
        "id": fee.id,
        "name": fee.name,
        "kind": fee.kind,
        "amount": _plain(fee.amount),
        "seats": _plain(fee.seats),
        "timing": fee.timing,
        "counts": fee.counts,
    }


def _commitment_json(commitment: Commitment) -> dict[str, Any]:
    return {
        "id": commitment.id,
        "amount": _plain(commitment.amount),
        "payment": commitment.payment,
        "starts_at": format_rfc3339(commitment.starts_at),
        "ends_at": _time(commitment.ends_at),
    }


def _price_json(price: Price) -> dict[str, Any]:
    return {
        "id": price.id,
        "condition": price.condition_id,
        "model": price.model,
        "unit_price": _plain(price.unit_price),
        "tiers": price.tiers,
        "package_size": _plain(price.package_size),
        "percent": _plain(price.percent),
        "minimum": _plain(price.minimum),
        "maximum": _plain(price.maximum),
        "included": _plain(price.included),
        "pool": price.pool,
        "period_maximum": _plain(price.period_maximum),
        "match": dict(fields_of(price).matched),
    }


def _line_json(line: InvoiceLine) -> dict[str, Any]:
    """What of another document's line decides an amount here."""
    return {
        "id": str(line.id),
        "kind": line.kind,
        "condition": line.condition_id,
        "price": line.price_id,
        "contract_version": line.contract_version_id,
        "period_start": format_rfc3339(line.period_start),
        "period_end": format_rfc3339(line.period_end),
        "title": line.title,
        "dimensions": line.dimensions,
        "quantity": _plain(line.quantity),
        "amount_minor": line.amount_minor,
        "details": line.details,
        "outcome_count": line.outcome_count,
    }


def _event_json(fact: Fact) -> dict[str, Any]:
    body: dict[str, Any] = {"id": fact.id, "seq": fact.seq, "time": format_rfc3339(fact.time), "sha256": fact.sha256}
    if fact.source:
        body["source"] = fact.source
    if fact.data is None:
        return body | {"archived": True}
    body |= {"type": fact.type, "received_at": _time(fact.received_at), "data": fact.data_json()}
    if fact.batch_import is not None:
        body["import"] = str(fact.batch_import)
    if fact.left_out:
        body["left_out"] = fact.left_out
    return body


def _decision_json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": row["kind"],
        "at": format_rfc3339(row["at"]),
        "met_at": format_rfc3339(row["met_at"]),
        "met_by": row["met_by_seq"],
        "quantity": _plain(row["quantity"]),
        "amount": _plain(row["amount"]),
        "actor": row["actor"],
        "reason": row["reason"],
    }


def _outcome_json(row: Row) -> dict[str, Any]:
    shown = {"shown_on": [str(line) for line in row.shown_on]} if row.shown_on else {}
    return shown | {
        "id": ids.encode(OUTCOME_PREFIX, row.id),
        "version": row.version_number,
        "state": row.state,
        "met_by": row.met_by,
        "met_at": format_rfc3339(row.met_at),
        "settled_at": _time(row.settled_at),
        "ended_by": row.ended_by,
        "ended_at": _time(row.ended_at),
        "quantity": _plain(row.quantity),
        "amount": _plain(row.amount),
        "dimensions": row.dimensions,
        "billed": [str(line) for line in row.billed],
        "taken_back": [str(line) for line in row.taken_back],
        "journal": [
            {
                "from": entry["from_state"],
                "to": entry["to_state"],
                "cause": entry["cause"],
                "clause": entry["clause"],
                "event": entry["event_seq"],
                "actor": entry["actor"],
                "reason": entry["reason"],
                "effective_at": format_rfc3339(entry["effective_at"]),
                "recorded_at": format_rfc3339(entry["recorded_at"]),
            }
            for entry in row.journal
        ],
    }


def _allocations(note: CreditNote) -> list[dict[str, Any]]:
    """What a note corrects each invoice by, with what earlier automatic notes had left of it and the taxes that the
    invoice records.
    """
    found = []
    for one in note.allocations.select_related("invoice").order_by("id"):
        earlier = CreditAllocation.objects.filter(
            invoice=one.invoice_id, id__lt=one.id, credit_note__kind=CreditNote.Kind.AUTOMATIC
        )
        taken = sum(earlier.values_list("net_minor", flat=True))
        found.append(
            {
                "invoice": str(one.invoice_id),
                "number": one.invoice.number,
                "net_minor": one.net_minor,
                "tax_minor": one.tax_minor,
                "total_minor": one.total_minor,
                "net_left_before_minor": one.invoice.subtotal_minor - taken,
                "taxes": one.invoice.taxes,
            }
        )
    return found
