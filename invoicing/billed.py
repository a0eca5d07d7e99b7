"""What stands on a contract's documents of its periods already, as rating takes it: invoices and credit notes alike."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from contracts.domain import rating
from contracts.domain.periods import Period
from contracts.domain.rating import Price
from contracts.models import Price as PriceRow
from contracts.prices import fields_of
from contracts.terms import Agreement
from invoicing.domain.owing import Booked, Counted, Key
from invoicing.models import CreditNote, Invoice, InvoiceLine
from invoicing.tariff import is_plain
from invoicing.terms_used import TermsUsed


@dataclass(frozen=True)
class Billed:
    """The lines of each period (by its start) on documents, oldest first. ``plain`` are the contract versions that make
    no difference to a line of usage under them.
    """

    lines: Mapping[datetime, Sequence[InvoiceLine]]
    plain: frozenset[int]

    def of(self, start: datetime, *, advance: bool = False) -> Sequence[InvoiceLine]:
        """The lines of the period that begins then, or those of its fees in advance alone."""
        found = self.lines.get(start, [])
        return [line for line in found if is_in_advance(line)] if advance else found

    def key_of(self, line: InvoiceLine) -> Key:
        """What a line is about, as `domain.owing.key_of` says of a rated line."""
        match line.kind:
            case rating.USAGE:
                version = None if line.contract_version_id in self.plain else line.contract_version_id
                return line.kind, line.price_id, rating.dimensions_of(line.dimensions), version
            case rating.FEE:
                return line.kind, line.details["name"], line.details["counts"]
            case rating.DISCOUNT:
                return line.kind, line.contract_version_id
            case rating.MAXIMUM:
                return line.kind, line.price_id
            case rating.COMMITMENT | rating.DRAWDOWN | rating.TRUE_UP:
                return line.kind, ("commitment", line.details["commitment_id"])
            case _:
                return (line.kind,)

    def booked(self, lines: Iterable[InvoiceLine]) -> dict[Key, Booked]:
        """What these lines say, by key."""
        found: dict[Key, Booked] = {}
        for line in lines:
            key = self.key_of(line)
            found[key] = found.get(key, Booked()).plus(Booked(line.amount_minor, usage_of(line)))
        return found


def billed(agreement: Agreement, starts: Collection[datetime], documents: Collection[UUID]) -> Billed:
    """What these documents of the contract say of the periods that begin at ``starts``. One query, or none."""
    found: dict[datetime, list[InvoiceLine]] = defaultdict(list)
    if documents:
        on_them = Q(invoice__in=documents) | Q(credit_note__in=documents)
        lines = InvoiceLine.objects.filter(on_them, period_start__in=list(starts))
        for line in lines.exclude(kind=InvoiceLine.Kind.GOODWILL).select_related("invoice", "price"):
            found[line.period_start].append(line)
    return on_documents(agreement, {start: sorted(some, key=_age) for start, some in found.items()})


def on_documents(agreement: Agreement, lines: Mapping[datetime, Sequence[InvoiceLine]]) -> Billed:
    """These lines, by period, as what stands on documents of the contract."""
    return Billed(lines, frozenset(version.id for version in agreement.versions if is_plain(version)))


def _age(line: InvoiceLine) -> tuple[UUID, int]:
    return document_of(line), line.position


def document_of(line: InvoiceLine) -> UUID:
    """The id of the invoice or credit note that it stands on; in order of time."""
    found = line.invoice_id or line.credit_note_id
    assert found is not None
    return found


def is_in_advance(line: InvoiceLine) -> bool:
    """Whether it is a fee in advance."""
    return line.kind == rating.FEE and line.details["timing"] == rating.ADVANCE


def closed_by(document: Invoice | CreditNote) -> set[datetime]:
    """The starts of the periods whose first full account is this document's: that of an invoice for its own period, and
    whatever its terms say it closes.
    """
    if isinstance(document, Invoice) and document.content_format < 3:
        return {document.period_start}
    entries = [TermsUsed.from_json(one) for one in document.terms]
    return {one.period.start for one in entries if one.closes}


def last_accounts(
    documents: Iterable[Invoice | CreditNote], billed: Billed
) -> Iterator[tuple[TermsUsed, Invoice | CreditNote]]:
    """For each period the terms of the document that took account of all others that stand. There is none where one of
    them is void since: then the period waits for the next run.

    Two may name each other: an invoice, and the draft of a credit note that was made anew after it. The one that was
    made last knows the other as it is.
    """
    told: set[datetime] = set()
    for document in sorted(documents, key=lambda one: one.refreshed_at, reverse=True):
        for stored in document.terms if document.content_format >= 3 else ():
            used = TermsUsed.from_json(stored)
            start = used.period.start
            if used.advance or start in told or start not in billed.lines:
                continue
            stood = {document_of(line) for line in billed.of(start)} | {document.id}
            if {*used.billed_on, document.id} == stood:
                told.add(start)
                yield used, document


def told_of(document: Invoice | CreditNote, *, advance: bool = False) -> list[Period]:
    """The periods of which a document has fees ``advance``, or of which it says anything else."""
    entries = [TermsUsed.from_json(one) for one in document.terms]
    return [one.period for one in entries if one.advance == advance]


def usage_of(line: InvoiceLine) -> Counted:
    """What a line counts; nothing but for usage."""
    if line.kind != rating.USAGE or line.quantity is None:
        return Counted()
    return Counted(line.outcome_count, line.quantity, Decimal(line.details.get("value", 0)))


def prices_of(rows: Iterable[PriceRow]) -> Mapping[int, Price]:
    """Stored prices as rating takes them, by id."""
    return {
        row.id: rating.price_of(
            fields_of(row).to_rating(row.condition_id), row.id, override=row.contract_version_id is not None
        )
        for row in rows
    }
