"""What one customer may see, and all the reads of it. Nothing else in the portal asks the database for a customer's
rows (a test holds the modules to that), so nothing can forget to ask whose they are.

Drafts are not shown: what is not issued may still change, and has not been sent. What belongs to another customer, is
not shown or is not there is one and the same here: Http404.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.http import Http404

from access import ids, pagination
from access.errors import ApiError
from contracts.clocks import now_of
from contracts.models import ConditionVersion
from invoicing import credit, preview, queries
from invoicing.models import (
    CreditApplication,
    CreditNote,
    Invoice,
    InvoiceLine,
    LineOutcome,
    LineReversal,
    Status,
)
from invoicing.refusals import INVOICE_PREFIX, LINE_PREFIX
from outcomes.explaining import Explanation, HistoryTooLong, explain_outcome
from outcomes.models import Journal, Outcome, State
from outcomes.queries import OUTCOME_PREFIX
from outcomes.store import PayloadMissing
from portal.models import PortalLink
from settlement.disputes import disputed
from settlement.domain import disputes as dispute_states
from settlement.holds import HELD
from settlement.models import Dispute, DisputeEntry

CREDIT_NOTE_PREFIX: Final = "cn"
PAGE: Final = 50

Document = Invoice | CreditNote

_SETTLING: Final = f"""
SELECT o.version_id, width_bucket(o.settles_at, %s::timestamptz[]) AS bucket, min(o.settles_at), count(*)
FROM outcomes_outcome o
WHERE o.customer_id = %s AND o.state = 'provisional' AND NOT {HELD}
GROUP BY o.version_id, bucket ORDER BY bucket NULLS LAST, min(o.settles_at), o.version_id
"""
_PROVISIONAL_HELD: Final = f"""
SELECT count(*) FROM outcomes_outcome o WHERE o.customer_id = %s AND o.state = 'provisional' AND {HELD}
"""


class Page(NamedTuple):
    """Rows, the cursor of those that follow, and whether rows went before."""

    rows: list[Any]
    next: str | None
    began: bool


class Settling(NamedTuple):
    """So many provisional outcomes of one version of a condition that settle between two midnights: ``bucket`` 0 is
    before the first, None not known yet; ``first`` is when the earliest does.
    """

    version: ConditionVersion
    bucket: int | None
    first: datetime | None
    outcomes: int


@dataclass(frozen=True)
class Scope:
    """The rows of the link's customer. ``wall`` is the present; ``now`` what its customer's clock shows."""

    link: PortalLink
    wall: datetime
    now: datetime

    @classmethod
    def of(cls, link: PortalLink, wall: datetime) -> "Scope":
        """What the holder of a link may see."""
        return cls(link, wall, now_of(link.customer, wall))

    # --- Documents ----------------------------------------------------------------------------------------------------

    def invoices(self) -> QuerySet[Invoice]:
        return Invoice.objects.filter(customer=self.link.customer_id).exclude(status=Status.DRAFT)

    def credit_notes(self) -> QuerySet[CreditNote]:
        return CreditNote.objects.filter(customer=self.link.customer_id, status=CreditNote.Status.ISSUED)

    def invoice(self, id: str) -> Invoice:
        return _one(self.invoices().select_related("customer"), INVOICE_PREFIX, id)

    def credit_note(self, id: str) -> CreditNote:
        return _one(self.credit_notes().select_related("customer"), CREDIT_NOTE_PREFIX, id)

    def lines(self, document: Document) -> list[InvoiceLine]:
        """The lines of one document, in order, each with its ``reversed_count``."""
        found = self._lines().filter(**{_name(document): document.pk}).select_related("condition", "price")
        lines = list(found.order_by("position"))
        undone = dict(
            LineOutcome.objects.filter(line__in=lines, live=True)
            .exclude(outcome__state=State.CONFIRMED)
            .values_list("line")
            .annotate(Count("id"))
        )
        for line in lines:
            line.reversed_count = undone.get(line.pk, 0)  # type: ignore[attr-defined]
        return lines

    def line(self, id: str) -> InvoiceLine:
        """A line with the document that it stands on."""
        found = self._lines().select_related("invoice", "credit_note", "condition", "price")
        return _one(found, LINE_PREFIX, id)

    def _lines(self) -> QuerySet[InvoiceLine]:
        return InvoiceLine.objects.filter(Q(invoice__in=self.invoices()) | Q(credit_note__in=self.credit_notes()))

    def due(self, invoices: Iterable[Invoice]) -> dict[UUID, int]:
        """What is still to be paid of each that is not paid or void, in minor units."""
        unpaid = [one.pk for one in invoices if one.status in (Status.ISSUED, Status.UNCOLLECTIBLE)]
        return credit.due_by_invoice(unpaid)

    def open_invoices(self) -> list[Invoice]:
        """Issued and not paid, the earliest due first."""
        found = self.invoices().filter(status__in=[Status.ISSUED, Status.UNCOLLECTIBLE])
        return list(found.order_by("due_at", "id"))

    def credit(self) -> dict[str, int]:
        """Credit that went nowhere yet, by currency; only what there is."""
        notes = dict(self.credit_notes().values_list("pk", "currency"))
        left = Counter[str]()
        for note, amount in credit.remaining(notes).items():
            left[notes[note]] += amount
        return {currency: amount for currency, amount in sorted(left.items()) if amount}

    def credit_left(self, note: CreditNote) -> int:
        """What of a note went nowhere yet."""
        return credit.remaining([note.pk])[note.pk]

    def applications(self, document: Document) -> list[CreditApplication]:
        """Where the credit of a note went; which credit an invoice took."""
        found = CreditApplication.objects.filter(live=True, credit_note__in=self.credit_notes())
        return list(found.filter(**{_name(document): document.pk}).select_related("invoice", "credit_note"))

    def allocations(self, document: Document) -> list[Any]:
        """Which invoices a note corrects, and which notes correct an invoice, with their amounts."""
        found = document.allocations.filter(credit_note__in=self.credit_notes(), invoice__in=self.invoices())
        return list(found.select_related("invoice", "credit_note").order_by("id"))

    # --- Outcomes -----------------------------------------------------------------------------------------------------

    def outcomes(self) -> QuerySet[Outcome]:
        found = Outcome.objects.filter(customer=self.link.customer_id)
        return found.select_related("condition", "version", "subject", "customer")

    def outcome(self, id: str) -> Outcome:
        return _one(self.outcomes(), OUTCOME_PREFIX, id)

    def disputed_outcomes(self) -> QuerySet[Outcome]:
        """Those with a dispute that is not decided."""
        raised = Dispute.objects.filter(status=dispute_states.RAISED, outcome__customer=self.link.customer_id)
        return self.outcomes().filter(pk__in=raised.values("outcome"))

    def billed_by(self, line: InvoiceLine) -> QuerySet[LineOutcome]:
        return LineOutcome.objects.filter(line__in=self._lines(), line=line).select_related(*_WITH_OUTCOME)

    def taken_back_by(self, line: InvoiceLine) -> QuerySet[LineReversal]:
        return LineReversal.objects.filter(line__in=self._lines(), line=line).select_related(*_WITH_OUTCOME)

    def disputed(self, outcomes: Iterable[Outcome]) -> set[UUID]:
        """Those of these that have a raised dispute."""
        return disputed([outcome.pk for outcome in outcomes])

    def disputed_on(self, line: InvoiceLine) -> int:
        """How many outcomes of a line have a raised dispute."""
        return self.disputed_outcomes().filter(billed__line=line).count()

    def disputable_on(self, line: InvoiceLine, at_most: int) -> list[UUID]:
        """Outcomes of a line that can be disputed, by id, and no more than so many."""
        found = self.billed_by(line).filter(live=True, outcome__state__in=dispute_states.DISPUTABLE)
        found = found.exclude(outcome__in=self.disputed_outcomes().values("pk"))
        return list(found.order_by("outcome_id").values_list("outcome_id", flat=True)[:at_most])

    def standing(self, outcome: Outcome) -> list[InvoiceLine]:
        """The lines that bill an outcome and take it back, with their documents; of what is issued."""
        lines: list[InvoiceLine] = []
        for found in (outcome.billed, outcome.taken_back):
            rows = found.filter(live=True, line__in=self._lines()).select_related("line__invoice", "line__credit_note")
            lines += [row.line for row in rows]
        return lines

    def unbilled(self, outcome: Outcome) -> str | None:
        """Why a confirmed outcome is on no issued invoice: a key of `queries.REASONS`."""
        return queries.unbilled_reasons([outcome.pk]).get(outcome.pk)

    def journal(self, outcome: Outcome) -> list[Journal]:
        return list(outcome.journal.all())

    def dispute_entries(self, outcome: Outcome) -> list[DisputeEntry]:
        """What was said in the disputes of an outcome, oldest first."""
        return list(DisputeEntry.objects.filter(dispute__outcome=outcome).order_by("id"))

    def explained(self, outcome: Outcome) -> Explanation | None:
        """Why it is what it is; None where its history is archived or too long to be read."""
        try:
            return explain_outcome(outcome, now=self.wall, named=False)
        except (PayloadMissing, HistoryTooLong):
            return None

    # --- The running period -------------------------------------------------------------------------------------------

    def preview(self) -> preview.Preview | None:
        """The running period; None where no contract runs."""
        try:
            return preview.preview(self.link.customer.key, now=self.wall)
        except ApiError as refusal:
            if refusal.code != "no_contract":
                raise
            return None

    def undone_in_window(self, start: datetime, end: datetime) -> int:
        """How many outcomes were voided inside their settlement windows between two instants."""
        voided = self.outcomes().filter(state=State.VOID, met_at__isnull=False)
        return voided.filter(ended_at__gte=start, ended_at__lt=end).count()

    def settling(self, midnights: Sequence[datetime]) -> list[Settling]:
        """The provisional outcomes that nobody keeps back, by the day on which they settle."""
        # Days are cut here and not in SQL, which knows no time zones of ours.
        with connection.cursor() as cursor:
            cursor.execute(_SETTLING, [list(midnights), self.link.customer_id])
            rows = cursor.fetchall()
        versions = ConditionVersion.objects.in_bulk({row[0] for row in rows})
        return [Settling(versions[version], *rest) for version, *rest in rows]

    def provisional_held(self) -> int:
        """How many provisional outcomes a hold covers."""
        with connection.cursor() as cursor:
            cursor.execute(_PROVISIONAL_HELD, [self.link.customer_id])
            (count,) = cursor.fetchone()
        return int(count)

    def page(self, found: QuerySet[Any], order: Sequence[str], cursor: str | None, path: str) -> Page:
        """A page of a list, from its beginning or from a cursor that was given out for the same list on this path."""
        binding = json.dumps(["portal", self.link.customer_id, path, list(order)])
        try:
            place = None if cursor is None else pagination.decode_cursor(cursor, binding)
        except ApiError:
            raise Http404 from None
        rows, following = pagination.fetch(found, pagination.PageRequest(PAGE, place, binding), order)
        return Page(rows, following, place is not None)


_WITH_OUTCOME: Final = ("outcome__subject", "outcome__version")


def document_of(line: InvoiceLine) -> Document:
    """What a line stands on."""
    document = line.invoice or line.credit_note
    assert document is not None
    return document


def public_id(row: Document | InvoiceLine | Outcome) -> str:
    """Its id, as addresses and the API have it."""
    return ids.encode(_PREFIXES[type(row)], row.pk)


_PREFIXES: Final[dict[type, str]] = {
    Invoice: INVOICE_PREFIX,
    CreditNote: CREDIT_NOTE_PREFIX,
    InvoiceLine: LINE_PREFIX,
    Outcome: OUTCOME_PREFIX,
}


def _name(document: Document) -> str:
    return "invoice" if isinstance(document, Invoice) else "credit_note"


def _one(found: QuerySet[Any], prefix: str, id: str) -> Any:
    """The row of this public id among those that may be seen, or Http404."""
    try:
        wanted = ids.decode(prefix, id)
    except ValueError:
        raise Http404 from None
    row = found.filter(pk=wanted).first()
    if row is None:
        raise Http404
    return row
