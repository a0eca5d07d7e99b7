"""What a decision moves: it is made, the code that bills says what each period comes to before and after, and all of it
is undone again, or kept where it moves what was shown.

Nothing survives but gaps in sequences: what is told to webhooks, queued for Stripe or rung for workers is written in
the same transaction. For the moment that it takes, the customer's row is locked as billing locks it, and the outcome's
partition as a decision locks it. A page waits for a lock three seconds at most, and no statement takes longer than
twenty: then it says so, and nothing was done.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from contracts import terms
from contracts.clocks import now_of
from contracts.domain import money
from contracts.domain.periods import Period
from contracts.models import Customer
from invoicing import billing, corrections, credit, drafts, preview, selection, texts
from invoicing.domain import lifecycle
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine, Status

LOCK_SECONDS: Final = 3
STATEMENT_SECONDS: Final = 20

INVOICE: Final = "to be invoiced"
CREDIT: Final = "to be given back by a credit note"
WINDOW: Final = "in the settlement window"


class Moved(NamedTuple):
    """One line of what a decision moves: of whom and what, in words, and minor units before and after. A ``total`` sums
    the lines above it.
    """

    whose: str
    what: str
    before: int
    after: int
    currency: str
    total: bool = False

    @property
    def difference(self) -> int:
        return self.after - self.before

    @property
    def said(self) -> dict[str, object]:
        """As the page shows it: amounts without their currency, which stands beside them."""
        before, after, difference = (
            texts.grouped(money.major_text(minor, self.currency))
            for minor in (self.before, self.after, self.difference)
        )
        if self.difference > 0:
            difference = f"+{difference}"
        return {**self._asdict(), "before": before, "after": after, "difference": difference}


@dataclass(frozen=True)
class Effect:
    """What a decision moves: lines that differ, and what follows, in sentences. ``possible`` is whether it is worth
    confirming at all.
    """

    lines: tuple[Moved, ...] = ()
    sentences: tuple[str, ...] = ()
    possible: bool = True

    @property
    def fingerprint(self) -> str:
        """Names what it moves: the same where a later look finds the same differences, whatever else came meanwhile."""
        told = [(one.whose, one.what, one.difference, one.currency) for one in self.lines]
        return hashlib.sha256(repr((told, self.possible)).encode()).hexdigest()[:32]

    @property
    def shown(self) -> list[dict[str, object]]:
        return [one.said for one in self.lines]


# --- Doing it and undoing it ------------------------------------------------------------------------------------------


def shown(work: Callable[[], Effect], *, hurried: bool = True) -> Effect:
    """What ``work`` moves; it is undone. Where it is ``hurried`` it gives up early rather than make others wait."""
    with transaction.atomic():
        if hurried:
            _hurry()
        effect = work()
        transaction.set_rollback(True)
    return effect


def kept(work: Callable[[], Effect], fingerprint: str, *, hurried: bool = True) -> Effect | None:
    """Do ``work`` and keep it where it moves what was shown, by its ``fingerprint``: None. Else it is undone, and what
    it moves by now is answered.
    """
    with transaction.atomic():
        if hurried:
            _hurry()
        effect = work()
        if effect.fingerprint == fingerprint:
            return None
        transaction.set_rollback(True)
    return effect


def _hurry() -> None:
    """Nobody waits long for what a page tries out, and it waits for nobody long."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")


# --- Of what is billed ------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A billing period of a contract; ``name`` is how people call it."""

    contract: UUID
    start: datetime
    end: datetime
    currency: str
    name: str


@dataclass
class Amounts:
    """Of a period, in minor units, before tax: what issued documents say, and what no issued document says yet."""

    invoiced: int = 0
    to_invoice: int = 0
    to_credit: int = 0
    provisional: int = 0

    @property
    def all(self) -> int:
        return self.invoiced + self.to_invoice + self.to_credit + self.provisional


def of_bills(customers: Iterable[int], decide: Callable[[], None], *, now: datetime) -> Effect:
    """What ``decide`` moves of these customers' bills."""
    locked = list(Customer.objects.select_for_update(no_key=True).filter(pk__in=set(customers)).order_by("pk"))
    before = {one.pk: periods_of(one, now) for one in locked}
    decide()
    found: list[Moved] = []
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for one in locked:
        after = periods_of(one, now)
        for key in sorted({*before[one.pk], *after}, key=lambda key: (key.start, str(key.contract))):
            was, is_ = before[one.pk].get(key, Amounts()), after.get(key, Amounts())
            lines = _lines(one, key, was, is_)
            found += lines
            if lines:
                _add(sums[key.currency], was, is_)
    if len({one.whose for one in found}) > 1:
        found += [Moved("Altogether", "", before_, after_, currency, True)
                  for currency, (before_, after_, *_) in sums.items()]  # fmt: skip
    return Effect(tuple(found), tuple(_sentences(sums)))


def _lines(customer: Customer, key: Key, was: Amounts, is_: Amounts) -> list[Moved]:
    whose = f"{customer}, {key.name}"
    parts = {INVOICE: "to_invoice", CREDIT: "to_credit", WINDOW: "provisional"}
    found = [
        Moved(whose, what, getattr(was, name), getattr(is_, name), key.currency)
        for what, name in parts.items()
        if getattr(was, name) != getattr(is_, name)
    ]
    if not found:
        return []
    invoiced = f", {texts.amount(was.invoiced, key.currency)} of it invoiced" if was.invoiced else ""
    return [*found, Moved(whose, f"all of the period{invoiced}", was.all, is_.all, key.currency, True)]


def _add(sums: list[int], was: Amounts, is_: Amounts) -> None:
    parts = (was.all, is_.all, *(getattr(is_, name) - getattr(was, name) for name in _PARTS))
    for place, minor in enumerate(parts):
        sums[place] += minor


_PARTS = ("to_invoice", "to_credit", "provisional")


def _sentences(sums: dict[str, list[int]]) -> Iterable[str]:
    """What follows, by currency."""
    if not sums:
        yield "It moves no money as things stand: what each period comes to stays the same."
    for currency, (_, _, to_invoice, to_credit, provisional) in sums.items():
        if to_credit:
            way = "more is given back, by a credit note of the next run" if to_credit < 0 else "less is given back"
            yield f"{texts.amount(abs(to_credit), currency)} {way}."
        if to_invoice:
            yield f"{texts.amount(abs(to_invoice), currency)} {_way(to_invoice)} is invoiced, on the next invoice."
        if provisional:
            yield (
                f"{texts.amount(abs(provisional), currency)} {_way(provisional)} is expected of what is still in its "
                "settlement window."
            )
    if sums:
        yield "All before tax."


def _way(minor: int) -> str:
    return "more" if minor > 0 else "less"


def periods_of(customer: Customer, now: datetime) -> dict[Key, Amounts]:
    """Everything that the customer's periods come to, by the code that bills; of periods about which there is nothing
    to say, nothing. Drafts count as not made: the next run makes them anew.
    """
    at = now_of(customer, now)
    agreed = terms.load([customer.pk])
    found: dict[Key, Amounts] = defaultdict(Amounts)
    with transaction.atomic():
        _without_drafts(customer.pk)
        for agreement in agreed.agreements(customer.pk):
            # `until` is exclusive, and a period may begin at this very instant.
            grid = selection.grid_of(agreed, agreement, until=at + datetime.resolution)
            if not grid.periods:
                continue

            def key_of(start: datetime, end: datetime, agreement: terms.Agreement = agreement) -> Key:
                zone = drafts.payment_terms(agreement, end).cadence.time_zone
                name = texts.named(Period(start, end), zone)
                return Key(agreement.id, start, end, agreement.currency, name)

            for (start, end), minor in _invoiced(agreement.id).items():
                found[key_of(start, end)].invoiced += minor
            parts = preview.parts_of(agreed, grid, len(grid.periods) - 1)
            for name, part in zip(("to_invoice", "provisional", "to_credit"), parts, strict=True):
                for line in part.lines:
                    amounts = found[key_of(line.period_start, line.period_end)]
                    setattr(amounts, name, getattr(amounts, name) + line.amount_minor)
        transaction.set_rollback(True)
    return dict(found)


def _without_drafts(customer_id: int) -> None:
    """Take the customer's drafts away, but for what people wrote, as a run does before it makes them anew."""
    invoices = Invoice.objects.filter(customer=customer_id, status=Status.DRAFT).exclude(kind=Invoice.Kind.ONE_OFF)
    for invoice in invoices:
        drafts.clear(invoice)
    notes = CreditNote.objects.filter(
        customer=customer_id, status=CreditNote.Status.DRAFT, kind=CreditNote.Kind.AUTOMATIC
    )
    for note in notes:
        corrections.clear(note)
    notes.delete()
    invoices.delete()


def _invoiced(contract_id: UUID) -> dict[tuple[datetime, datetime], int]:
    """By period, what issued documents say of it, goodwill apart. Two queries."""
    found: dict[tuple[datetime, datetime], int] = defaultdict(int)
    rows = InvoiceLine.objects.order_by().exclude(kind=InvoiceLine.Kind.GOODWILL)
    issued = rows.filter(invoice__contract=contract_id).exclude(invoice__status__in=(Status.DRAFT, Status.VOID))
    noted = rows.filter(credit_note__contract=contract_id, credit_note__status=CreditNote.Status.ISSUED)
    for some in (issued, noted):
        for start, end, minor in some.values_list("period_start", "period_end").annotate(Sum("amount_minor")):
            found[start, end] += int(minor)
    return found


# --- Of a credit note -------------------------------------------------------------------------------------------------


def of_notes(notes: Sequence[CreditNote], decide: Callable[[], None]) -> Effect:
    """What ``decide`` moves of the invoices that these notes correct, and of their customers' free credit."""
    documents = {
        one.invoice_id: one.invoice
        for one in CreditAllocation.objects.filter(credit_note__in=[note.pk for note in notes]).select_related(
            "invoice__customer"
        )
    }
    owners = {(note.customer, note.currency) for note in notes}

    def look() -> dict[tuple[str, str, str], int]:
        due = credit.due_by_invoice(documents)
        left = credit.left_to_credit(documents)
        found = {}
        for pk, invoice in sorted(documents.items(), key=lambda one: str(one[1])):
            whose = f"{invoice.customer}, {invoice}"
            found[whose, "to be paid", invoice.currency] = due[pk]
            found[whose, "left to credit", invoice.currency] = left[pk].gross
        for customer, currency in sorted(owners, key=lambda one: (one[0].key, one[1])):
            found[str(customer), "free credit for the next invoices", currency] = credit.free_credit(
                customer.pk, currency
            )
        return found

    before = look()
    decide()
    after = look()
    lines = tuple(
        Moved(whose, what, before[whose, what, currency], after[whose, what, currency], currency)
        for whose, what, currency in before
        if before[whose, what, currency] != after[whose, what, currency]
    )
    return Effect(lines, () if lines else ("It moves nothing of what is to be paid, or was credited.",))


# --- Of a billing run -------------------------------------------------------------------------------------------------


def of_a_run(customer: Customer, run: billing.RunReport) -> Effect:
    """What a billing run of the customer alone made, before it is undone."""
    lines: list[Moved] = []
    sentences: list[str] = []
    for result in run.results:
        if result.parked:
            return Effect((), (f"It would fail again: {result.parked}",), possible=False)
        invoices = Invoice.objects.filter(pk__in=[*result.issued, *result.drafted])
        for invoice in invoices.order_by("period_start", "ordinal"):
            zone = invoice.time_zone
            period = texts.named(Period(invoice.period_start, invoice.period_end), zone)
            what = "an invoice is issued" if invoice.status != lifecycle.DRAFT else "a draft is made"
            lines.append(Moved(f"{customer}, {period}", f"{what}, with tax", 0, invoice.total_minor, invoice.currency))
        for note in CreditNote.objects.filter(pk__in=[*result.credited, *result.to_approve]).order_by("id"):
            what = "a credit note" if note.status != lifecycle.DRAFT else "a credit note to approve"
            lines.append(Moved(str(customer), f"{what}, with tax", 0, -note.total_minor, note.currency))
        if result.waiting:
            sentences.append(f"Something waits: {result.waiting}.")
    if not lines:
        sentences.append("It is billed again, and nothing is due: no document is made.")
    return Effect(tuple(lines), tuple(sentences))
