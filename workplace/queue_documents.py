"""What waits about documents: credit notes to approve, and customers whose billing failed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.urls import reverse

from contracts.clocks import now_of
from contracts.models import Contract
from invoicing import billing, credit, credit_notes, second_person, texts
from invoicing.models import CreditNote, InvoiceLine, ParkedCustomer
from workplace.queue import WHY, Decision, Entry, Evidence, Kind, tried, when
from workplace.queue_money import Effect, of_a_run, of_notes

_SHOWN = 20


def _page(row: Any) -> str:
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


class CreditNotes(Kind):
    slug = "note"
    label = "Credit notes to approve"
    model = "invoicing_creditnote"
    waits = Q(status=CreditNote.Status.DRAFT)
    since = F("created_at")
    empty = "No credit note waits for approval."

    def rows(self) -> QuerySet[Any]:
        return CreditNote.objects.select_related("customer__test_clock")

    def entries(self, rows: Sequence[CreditNote], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.customer, f"{row.get_kind_display()} credit note", row.reason,
                row.created_at, worth_minor=row.total_minor, currency=row.currency,
            )
            for row in rows
        ]  # fmt: skip

    def evidence(self, row: CreditNote, now: datetime) -> Evidence:
        facts: list[tuple[str, Any, str]] = [
            ("Customer", row.customer, _page(row.customer)),
            ("Credit note", f"{row.get_kind_display()}, {texts.amount(row.total_minor, row.currency)}", _page(row)),
            ("Because", row.reason, ""),
        ]
        if row.created_by:
            facts.append(("Written by", row.created_by, ""))
        limit = second_person.limit_text(row.currency)
        if row.kind == CreditNote.Kind.GOODWILL and limit is not None:
            facts.append(("Approved by", f"another person than wrote it, where it is above {limit}", ""))
        for one in row.allocations.select_related("invoice").order_by("invoice__number")[:_SHOWN]:
            amount = texts.amount(one.total_minor, row.currency)
            facts.append(("Corrects", f"{one.invoice}, by {amount}", _page(one.invoice)))
        lines: list[InvoiceLine] = list(row.lines.order_by("position")[:_SHOWN])
        for line in lines:
            period = texts.span(texts.Period(line.period_start, line.period_end), row.time_zone)
            facts.append((line.title, f"{texts.amount(-line.amount_minor, row.currency)} of {period}", ""))
        return Evidence(facts)

    def decisions(self, row: CreditNote) -> Sequence[Decision]:
        permission = "access.approve_credit_notes"
        consequence = "It gets its number and is frozen; its credit is taken off the invoices it corrects."
        found = [Decision("approve", "Approve", permission, consequence, self._approve, self._moves)]
        if row.kind == CreditNote.Kind.GOODWILL:
            consequence = "The draft is deleted. This cannot be undone."
            found.append(Decision("discard", "Discard", permission, consequence, self._discard, self._moves))
        return found

    def no_decision(self, row: CreditNote) -> str:
        return "Who approves credit notes decides it."

    def _moves(self, rows: Sequence[Any], decide: Callable[[], None], now: datetime) -> Effect:
        return of_notes(rows, decide)

    def _approve(self, row: CreditNote, given: dict[str, str], by: str, now: datetime) -> CreditNote:
        return credit_notes.issue(row.pk, by=by, by_person=True, now=now)

    def _discard(self, row: CreditNote, given: dict[str, str], by: str, now: datetime) -> CreditNote:
        credit_notes.discard(row.pk)
        return row

    def became(self, pk: str) -> str:
        row = CreditNote.objects.filter(pk=pk).first()
        if row is None:
            return "It does not wait any more: it was discarded, or the last billing run found nothing to give back."
        by = f" by {row.created_by}" if row.kind == CreditNote.Kind.AUTOMATIC and row.created_by else ""
        return f"It does not wait any more: {row.number or credit.public_id(row)} is {row.status}{by}."


class Parked(Kind):
    slug = "parked"
    label = "Billing failed"
    model = "invoicing_parkedcustomer"
    waits = Q()
    since = F("since")
    empty = "Every customer can be billed."
    together = False

    def rows(self) -> QuerySet[Any]:
        return ParkedCustomer.objects.select_related("customer__test_clock")

    def entries(self, rows: Sequence[ParkedCustomer], now: datetime) -> list[Entry]:
        return [
            Entry(
                self.slug, str(row.pk), row.customer, f"Billing failed: {row.customer}", _short(row.reason), row.since
            )
            for row in rows
        ]

    def evidence(self, row: ParkedCustomer, now: datetime) -> Evidence:
        facts: list[tuple[str, Any, str]] = [
            ("Customer", row.customer, _page(row.customer)),
            ("Why", row.reason, ""),
            ("Tried", tried(row.attempts, row.since), ""),
            ("To mend", "What it names: most often a term of the contract, or of the rate card.", ""),
        ]
        at = now_of(row.customer, now)
        for contract in Contract.objects.filter(customer=row.customer).order_by("starts_at"):
            running = contract.starts_at <= at and (contract.ends_at is None or at < contract.ends_at)
            name = f"since {when(contract.starts_at)}{', in force' if running else ''}"
            facts.append(("Contract", name, _page(contract)))
        return Evidence(facts)

    def decisions(self, row: ParkedCustomer) -> Sequence[Decision]:
        consequence = "It is billed at once, as the next run would; what is due is issued. Mend the cause before."
        return (
            Decision(
                "bill", "Bill again", "access.issue_invoices", consequence, self._bill, self._moves, (WHY,),
                hurried=False,
            ),
        )  # fmt: skip

    def _moves(self, rows: Sequence[Any], decide: Callable[[], None], now: datetime) -> Effect:
        decide()
        [row] = rows
        return of_a_run(row.customer, row.run)

    def _bill(self, row: Any, given: dict[str, str], by: str, now: datetime) -> ParkedCustomer:
        row.run = billing.run(now=now, only=[row.customer_id])
        parked: ParkedCustomer = row
        return parked


def _short(reason: str) -> str:
    return reason if len(reason) <= 200 else f"{reason[:199]}…"
