"""What waits about other systems: operations parked at Stripe, what differs there from ours, findings of the
reconciliation, and hand-overs that failed. No decision of these moves money here: what it moves there is the other
system's to say, and the amounts of both sides are shown.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.urls import reverse

from access.asking import Asked
from contracts import terms
from handover import work
from handover.models import Handover
from invoicing import credit, texts
from invoicing.models import CreditNote, Invoice
from outcomes.queries import plain
from payments import advice, operations, units
from payments.models import Finding, Operation, StripeCredit, StripeInvoice
from workplace.queue import Decision, Entry, Evidence, Kind, tried, when
from workplace.queue_money import Effect
from workplace.queue_outcomes import alone

Fact = tuple[str, Any, str]


def _page(row: Any) -> str:
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


class _Elsewhere(Kind):
    def moves(self, rows: Sequence[Any], decide: Callable[[], None], now: datetime) -> Effect:
        decide()
        return Effect((), ("It moves no money here. What it moves there shows once it is done.",))


# --- Stripe -----------------------------------------------------------------------------------------------------------


class Operations(_Elsewhere):
    slug = "operation"
    label = "Parked at Stripe"
    model = "payments_operation"
    waits = Q(status=Operation.Status.PARKED)
    since = F("created_at")
    empty = "Nothing is parked at Stripe."

    def rows(self) -> QuerySet[Any]:
        return Operation.objects.select_related("customer__test_clock", "invoice", "credit_note")

    def entries(self, rows: Sequence[Operation], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.customer, str(row), row.reason, row.created_at,
                worth_minor=None if document is None else document.total_minor,
                currency="" if document is None else document.currency,
            )
            for row in rows
            for document in [row.invoice or row.credit_note]
        ]  # fmt: skip

    def evidence(self, row: Operation, now: datetime) -> Evidence:
        facts: list[Fact] = [
            ("Customer", row.customer, _page(row.customer)),
            ("What", row.get_kind_display(), _page(row)),
            ("Why it is parked", row.reason, ""),
            ("Tried", tried(row.attempts, row.created_at), ""),
        ]
        document: Invoice | CreditNote | None = row.invoice or row.credit_note
        amounts: list[Fact] = []
        if document is not None:
            amounts.append(("Document", document, _page(document)))
            amounts.append(("It comes to", texts.amount(document.total_minor, document.currency), ""))
        behind = Operation.objects.filter(customer=row.customer_id, status__in=("waiting", "parked"), id__gt=row.pk)
        if count := behind.count():
            facts.append(("Behind it wait", f"{count} more of this customer", ""))
        seen = None if row.invoice is None else StripeInvoice.objects.filter(invoice=row.invoice).first()
        return Evidence(facts, amounts, () if seen is None or row.invoice is None else _sides(row.invoice, seen))

    def decisions(self, row: Operation) -> Sequence[Decision]:
        return (
            Decision(
                "retry", "Try again", "payments.change_operation",
                "It is tried again within seconds. What is done at Stripe already is not done again.",
                self._retry, self.moves,
            ),
            Decision(
                "skip", "Skip", "access.skip_operations",
                "This cannot be undone. It is given up, whatever part of it is done at Stripe, and the customer's next "
                "operation goes on: see to it there by hand.",
                self._skip, self.moves,
            ),
        )  # fmt: skip

    def _retry(self, row: Operation, given: dict[str, str], by: str, now: datetime) -> Operation:
        return operations.retry(row.pk, now=now, by=by)

    def _skip(self, row: Operation, given: dict[str, str], by: str, now: datetime) -> Operation:
        return operations.skip(row.pk, reason=given["reason"], now=now, by=by)

    def became(self, pk: str) -> str:
        row = Operation.objects.filter(pk=pk).first()
        if row is None:
            return super().became(pk)
        by = f", by {row.decided_by}" if row.decided_by else ""
        return f"It is not parked any more: it is {row.status}{by}."


def _sides(invoice: Invoice, seen: StripeInvoice) -> list[tuple[str, str, str]]:
    due = credit.due_minor(invoice)

    def there(amount: int) -> str:
        return units.told(amount, invoice.currency)

    return [
        ("Status", invoice.status, seen.status),
        ("Total", texts.amount(invoice.total_minor, invoice.currency), there(seen.total)),
        ("Left to pay", texts.amount(due, invoice.currency), there(seen.amount_remaining)),
        ("Paid", "" if invoice.paid_at is None else when(invoice.paid_at), there(seen.amount_paid)),
    ]


class StripeInvoices(_Elsewhere):
    slug = "stripe_invoice"
    label = "Invoices that differ at Stripe"
    model = "payments_stripeinvoice"
    waits = ~Q(mismatch="")
    since = F("seen_at")
    customer = "invoice__customer"
    empty = "Every invoice is at Stripe as it is here."
    together = False

    def rows(self) -> QuerySet[Any]:
        return StripeInvoice.objects.select_related("invoice__customer__test_clock")

    def entries(self, rows: Sequence[StripeInvoice], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.invoice.customer, str(row.invoice), row.mismatch, row.seen_at,
                worth_minor=row.invoice.total_minor, currency=row.invoice.currency,
            )
            for row in rows
        ]  # fmt: skip

    def evidence(self, row: StripeInvoice, now: datetime) -> Evidence:
        facts: list[Fact] = [
            ("Customer", row.invoice.customer, _page(row.invoice.customer)),
            ("Invoice", row.invoice, _page(row.invoice)),
            ("What differs", row.mismatch, ""),
            ("At Stripe", row.stripe_id, _page(row)),
            ("Seen there", when(row.seen_at), ""),
        ]
        return Evidence(facts, sides=_sides(row.invoice, row))

    def no_decision(self, row: StripeInvoice) -> str:
        return (
            "Mend the side that is wrong: here by a credit note or a void invoice, there in Stripe's dashboard. Once "
            "both sides agree it is gone from here, at the latest with the nightly reconciliation."
        )


class StripeCredits(_Elsewhere):
    slug = "stripe_credit"
    label = "Credit at Stripe to see to"
    model = "payments_stripecredit"
    waits = ~Q(mismatch="", advice="")
    since = F("created_at")
    customer = "allocation__invoice__customer"
    empty = "No credit at Stripe is to be seen to."

    def rows(self) -> QuerySet[Any]:
        return StripeCredit.objects.select_related(
            "allocation__invoice__customer__test_clock", "allocation__credit_note"
        )

    def entries(self, rows: Sequence[StripeCredit], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.allocation.invoice.customer, str(row.allocation.credit_note),
                row.mismatch or row.advice, row.created_at, worth_minor=row.allocation.total_minor,
                currency=row.allocation.invoice.currency,
            )
            for row in rows
        ]  # fmt: skip

    def evidence(self, row: StripeCredit, now: datetime) -> Evidence:
        allocation = row.allocation
        invoice, note = allocation.invoice, allocation.credit_note
        facts: list[Fact] = [
            ("Customer", invoice.customer, _page(invoice.customer)),
            ("Credit note", note, _page(note)),
            ("Corrects", invoice, _page(invoice)),
            *([("What differs", row.mismatch, "")] if row.mismatch else []),
            *([("To know or to do", row.advice, "")] if row.advice else []),
            ("At Stripe", row.stripe_id or "nothing", _page(row)),
        ]
        ours = texts.amount(allocation.total_minor, invoice.currency)
        refunded = units.told(row.refunded, invoice.currency)
        return Evidence(
            facts,
            sides=[("Given back", ours, units.told(row.amount, invoice.currency)), ("Of it refunded", "", refunded)],
        )

    def decisions(self, row: StripeCredit) -> Sequence[Decision]:
        inputs = (Asked("reason", "What was done", "It is kept, with your name."),)
        return (
            Decision(
                "seen_to", "Seen to", "payments.change_stripecredit",
                "It is shown no longer. Nothing is done at Stripe by it.", self._seen_to, self.moves, inputs,
            ),
        )  # fmt: skip

    def _seen_to(self, row: StripeCredit, given: dict[str, str], by: str, now: datetime) -> StripeCredit:
        return advice.seen_to(row.pk, by=by)


class Findings(_Elsewhere):
    slug = "finding"
    label = "Found by the reconciliation"
    model = "payments_finding"
    waits = Q(mended_at=None) & ~Q(kind=Finding.Kind.ADOPTED)
    since = F("found_at")
    empty = "The last reconciliation found both sides alike."
    together = False

    def rows(self) -> QuerySet[Any]:
        return Finding.objects.select_related("customer__test_clock")

    def entries(self, rows: Sequence[Finding], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.customer, f"{row.get_kind_display()}: {row.number or row.stripe_id}",
                row.what, row.found_at,
            )
            for row in rows
        ]  # fmt: skip

    def evidence(self, row: Finding, now: datetime) -> Evidence:
        facts: list[Fact] = [
            *([("Customer", row.customer, _page(row.customer))] if row.customer is not None else []),
            ("What", row.what, ""),
            ("Way out", row.way_out, ""),
            ("Ours", " ".join(part for part in (row.number, row.document) if part) or "none", ""),
            ("At Stripe", row.stripe_id or "none", ""),
            ("Found", when(row.found_at), _page(row)),
        ]
        return Evidence(facts)

    def no_decision(self, row: Finding) -> str:
        return f"{row.way_out} The next reconciliation that no longer finds it takes it off this list."

    def became(self, pk: str) -> str:
        return "It does not wait any more: a later reconciliation did not find it."


# --- Other billers ----------------------------------------------------------------------------------------------------


class Handovers(_Elsewhere):
    slug = "handover"
    label = "Hand-overs that failed"
    model = "handover_handover"
    waits = Q(status=Handover.Status.PARKED)
    since = F("created_at")
    empty = "Everything that another system invoices was handed over."

    def rows(self) -> QuerySet[Any]:
        return Handover.objects.select_related(
            "customer__test_clock", "outcome__condition", "outcome__subject", "outcome__version", "outcome__customer"
        )

    def entries(self, rows: Sequence[Handover], now: datetime) -> list[Entry]:
        agreed = terms.load({row.customer_id for row in rows})
        return [
            Entry(
                self.slug, str(row.pk), row.customer, f"{row}: {row.outcome.subject.key}", row.reason, row.created_at,
                "", *(alone(agreed, row.outcome) or (None, "")),
            )
            for row in rows
        ]  # fmt: skip

    def evidence(self, row: Handover, now: datetime) -> Evidence:
        outcome = row.outcome
        facts: list[Fact] = [
            ("Customer", row.customer, _page(row.customer)),
            ("Outcome", f"{outcome.condition.slug}: {outcome.subject.key}, {outcome.state}", _page(outcome)),
            ("Quantity", plain(outcome.quantity) or "unknown", ""),
            ("What", row, _page(row)),
            ("Why it is parked", row.reason, ""),
            ("Tried", tried(row.attempts, row.created_at), ""),
        ]
        return Evidence(facts)

    def decisions(self, row: Handover) -> Sequence[Decision]:
        permission = "handover.change_handover"
        return (
            Decision(
                "retry", "Try again", permission, "It is sent again at once, under the identifier it had.",
                self._retry, self.moves,
            ),
            Decision(
                "dismiss", "Dismiss", permission, "Nothing of it is told, nor taken back.", self._dismiss, self.moves
            ),
            Decision(
                "settle", "Dismiss as handed over", permission,
                "It counts as handed over; should it be reversed, that is told.", self._settle, self.moves,
            ),
        )  # fmt: skip

    def _retry(self, row: Handover, given: dict[str, str], by: str, now: datetime) -> Handover:
        return work.retry(row.pk, now=now, by=by)

    def _dismiss(self, row: Handover, given: dict[str, str], by: str, now: datetime) -> Handover:
        return work.dismiss(row.pk, reason=given["reason"], handed_over=False, now=now, by=by)

    def _settle(self, row: Handover, given: dict[str, str], by: str, now: datetime) -> Handover:
        return work.dismiss(row.pk, reason=given["reason"], handed_over=True, now=now, by=by)

    def became(self, pk: str) -> str:
        row = Handover.objects.filter(pk=pk).first()
        if row is None:
            return super().became(pk)
        by = f", by {row.decided_by}" if row.decided_by else ""
        return f"It is not parked any more: it is {row.status}{by}."
