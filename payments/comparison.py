"""Read Stripe's lists and hold what is synced against them, in both directions: one account, one run.

What is read is noted here, as a webhook would have it noted; what bears our ids there and is not known here is made
known again (`adopting`). Before anything counts as different it is read once more by itself, since lists are read while
both sides go on. Nothing is written at Stripe.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import stripe
from django.db.models import Q, QuerySet, Sum

from contracts.models import Customer
from invoicing import credit
from invoicing.models import CreditNote, Invoice, Status
from payments import adopting, comparing, looking, mirror, units
from payments.client import ask, plain
from payments.comparing import Found, Kind, of_invoice, told_in
from payments.customers import METADATA as CUSTOMER_METADATA
from payments.errors import Refused, is_missing
from payments.invoices import METADATA
from payments.models import (
    Connection,
    Finding,
    Operation,
    Reconciliation,
    Step,
    StripeCredit,
    StripeCustomer,
    StripeInvoice,
)

PAGE = 100
WAITS_FOR: Final = timedelta(hours=24)
"""An operation that is open for so long is a finding."""

REFUNDS_OF: Final = timedelta(days=35)
"""Refunds of so many days are looked through; those that were found stay looked at until they are mended."""

Clock = Callable[[], datetime]
Theirs = dict[str, Any]


class Comparison:
    """One run over one account. ``found`` is what differs; ``adopted`` what is known here again; ``deleted`` the
    customers that are gone.
    """

    def __init__(self, run: Reconciliation, connection: Connection, client: Any, clock: Clock) -> None:
        self.run, self.connection, self.client, self.clock = run, connection, client, clock
        self.account = {"account": connection.account, "livemode": connection.livemode}
        audiences = Connection.objects.filter(**self.account).values_list("audience", flat=True)
        self.audiences = set(audiences)
        self.found: list[Found] = []
        self.adopted: list[Found] = []
        self.deleted: set[int] = set()
        self.going_on: set[int] = set()
        self.candidates: dict[UUID, list[Theirs]] = defaultdict(list)

    def all(self) -> None:
        self.customers()
        self.invoices()
        self.credit_notes()
        self.refunds()
        self.operations()

    # --- Reading ------------------------------------------------------------------------------------------------------

    def pages(self, what: str, **asked: Any) -> Iterator[list[Theirs]]:
        """Stripe's list of this name, a page at a time; the run is seen to go on."""
        after = ""
        looked = 0
        while True:
            wanted = {"limit": PAGE, **asked} | ({"starting_after": after} if after else {})
            page = ask(lambda wanted=wanted: getattr(self.client.v1, what).list(wanted))  # type: ignore[misc]
            rows = [plain(one) for one in page.data]
            looked += len(rows)
            self.run.compared[what] = looked
            self.run.touched_at = self.clock()
            self.run.save(update_fields=["compared", "touched_at"])
            yield rows
            if not rows or not page.has_more:
                return
            after = rows[-1]["id"]

    def read(self, what: str, stripe_id: str) -> Theirs | None:
        """One object as it is now; None where it is not there, or was deleted."""
        try:
            theirs = plain(ask(lambda: getattr(self.client.v1, what).retrieve(stripe_id)))
        except Refused as problem:
            if isinstance(problem.__cause__, stripe.StripeError) and is_missing(problem.__cause__):
                return None
            raise
        return None if theirs.get("deleted") else theirs

    def busy(self, customer_ids: Iterable[int]) -> set[int]:
        """Customers of whom something is still to be made so at Stripe."""
        open_ones = Operation.objects.filter(customer__in=list(customer_ids), finished_at=None)
        return set(open_ones.values_list("customer_id", flat=True))

    def of_audience(self, customer: Customer) -> bool:
        audience = Connection.Audience.TEST if customer.test_clock_id is not None else Connection.Audience.LIVE
        return audience in self.audiences

    # --- Customers ----------------------------------------------------------------------------------------------------

    def customers(self) -> None:
        seen: set[str] = set()
        for page in self.pages("customers", expand=["data.invoice_credit_balance"]):
            known = {
                row.stripe_id: row
                for row in StripeCustomer.objects.select_related("customer").filter(
                    stripe_id__in=[one["id"] for one in page]
                )
            }
            seen |= known.keys()
            for theirs in page:
                row = known.get(theirs["id"])
                if row is None:
                    row = self._adopted_customer(theirs)
                if row is not None:
                    self._balances(row.customer, theirs)
        for row in _unlisted(StripeCustomer.objects.select_related("customer").filter(**self.account), seen):
            if self.read("customers", row.stripe_id) is None:
                self._deleted(row)

    def _adopted_customer(self, theirs: Theirs) -> StripeCustomer | None:
        key = (theirs.get("metadata") or {}).get(CUSTOMER_METADATA)
        ours = Customer.objects.filter(key=key).first() if key else None
        if ours is None or not self.of_audience(ours):
            return None
        if StripeCustomer.objects.filter(customer=ours, **self.account).exists():
            return None
        if Step.objects.filter(operation__customer=ours, name="customer", result=None, dropped=False).exists():
            return None  # it is being made so at this moment
        if not adopting.customer(ours, theirs, self.connection, now=self.clock()):
            return None
        self.adopted.append(
            Found(
                kind=Kind.ADOPTED,
                about=f"{ours.key} {theirs['id']}",
                what=f"Customer {theirs['id']} bears the key {ours.key} and was not known here. It is now.",
                way_out="Nothing is to be done.",
                customer=ours,
                type="customer",
                document=ours.key,
                stripe_id=theirs["id"],
            )
        )
        # Credit that was put on the balance before the backup was restored is not put there again.
        found = self.client.v1.customers.balance_transactions.list
        for one in ask(lambda: list(found(theirs["id"], {"limit": PAGE}).auto_paging_iter())):
            self._adopted_credit(plain(one), on_balance=True)
        return StripeCustomer.objects.select_related("customer").get(customer=ours, **self.account)

    def _deleted(self, row: StripeCustomer) -> None:
        """A customer that is gone matters where something is still owed."""
        self.deleted.add(row.customer_id)
        owed = StripeInvoice.objects.filter(
            invoice__customer=row.customer_id,
            invoice__status__in=(Status.ISSUED, Status.UNCOLLECTIBLE),
            **self.account,
        )
        if count := owed.count():
            self.found.append(
                Found(
                    kind=Kind.DELETED,
                    about=f"{row.customer.key} {row.stripe_id}",
                    what=f"Customer {row.stripe_id} was deleted at Stripe and owes {count} invoices there.",
                    way_out="Have them paid in another way and mark them as paid here, or void them and bill them "
                    "anew.",
                    customer=row.customer,
                    type="customer",
                    document=row.customer.key,
                    stripe_id=row.stripe_id,
                )
            )

    def _balances(self, ours: Customer, theirs: Theirs) -> None:
        found = list(self._balance_problems(ours, theirs))
        if found and not self.busy([ours.id]):
            # Once more, by itself: the list may be older than what we have.
            expand = {"expand": ["invoice_credit_balance"]}
            again = plain(ask(lambda: self.client.v1.customers.retrieve(theirs["id"], expand)))
            if not again.get("deleted") and not self.busy([ours.id]):
                self.found += self._balance_problems(ours, again)

    def _balance_problems(self, ours: Customer, theirs: Theirs) -> Iterator[Found]:
        there = _balances_of(theirs)
        here = self._our_balances(ours)
        for currency in sorted(there.keys() | here.keys()):
            balance, expected = there.get(currency, 0), here.get(currency, 0)
            if balance != expected:
                yield Found(
                    kind=Kind.BALANCE,
                    about=f"{ours.key} {currency}",
                    what=f"The balance at Stripe is {told_in(balance, currency)}, and by our documents it is "
                    f"{told_in(expected, currency)} (below zero is credit).",
                    way_out="Somebody changed it there: set it right there, or write here what it stands for.",
                    customer=ours,
                    type="customer",
                    document=ours.key,
                    stripe_id=theirs["id"],
                )

    def _our_balances(self, ours: Customer) -> dict[str, int]:
        """By currency, what should stand on the customer's balance: what small invoices left, less free credit."""
        found: dict[str, int] = defaultdict(int)
        carried = StripeInvoice.objects.filter(invoice__customer=ours, **self.account).exclude(
            status=StripeInvoice.Status.VOID
        )
        sums = carried.order_by().values_list("invoice__currency").annotate(Sum("carried"), Sum("taken"))
        for currency, left, taken in sums:
            if left != taken:
                found[currency] += left - taken
        notes = CreditNote.objects.filter(customer=ours, status=CreditNote.Status.ISSUED)
        for currency in notes.order_by().values_list("currency", flat=True).distinct():
            if free := credit.free_credit(ours.id, currency):
                found[currency] -= units.to_stripe(free, currency)
        return found

    # --- Invoices -----------------------------------------------------------------------------------------------------

    def invoices(self) -> None:
        seen: set[str] = set()
        for page in self.pages("invoices"):
            rows = self._rows(stripe_id__in=[one["id"] for one in page])
            known = {row.stripe_id: row for row in rows}
            seen |= known.keys()
            applied = credit.applied_to([row.invoice_id for row in rows])
            busy = self.busy({row.invoice.customer_id for row in rows})
            for theirs in page:
                row = known.get(theirs["id"])
                if row is not None:
                    self._invoice(row, theirs, applied.get(row.invoice_id, 0), busy=row.invoice.customer_id in busy)
                elif (theirs.get("metadata") or {}).get(METADATA):
                    self._unknown(theirs)
        for ours_id, candidates in self.candidates.items():
            self._candidates(Invoice.objects.select_related("customer").get(pk=ours_id), candidates)
        for row in _unlisted(self._rows(**self.account), seen):
            self._not_listed(row)

    def _rows(self, **filters: Any) -> QuerySet[StripeInvoice]:
        return StripeInvoice.objects.select_related("invoice__customer").filter(**filters)

    def _invoice(self, row: StripeInvoice, theirs: Theirs, applied_minor: int, *, busy: bool) -> None:
        """Note what is new of an invoice, and what differs then."""
        if _is_news(row, theirs):
            row = mirror.note(row.invoice_id, self.connection, theirs, now=self.clock())
            applied_minor = credit.applied_to([row.invoice_id]).get(row.invoice_id, 0)
        if not any(comparing.invoice_problems(row, theirs, applied_minor, busy=busy)):
            return
        again = self.read("invoices", row.stripe_id)
        if again is None:
            self._not_listed(row)
            return
        mirror.note(row.invoice_id, self.connection, again, now=self.clock())
        row = self._rows().get(pk=row.pk)
        busy = bool(self.busy([row.invoice.customer_id]))
        applied_minor = credit.applied_to([row.invoice_id]).get(row.invoice_id, 0)
        self.found += comparing.invoice_problems(row, again, applied_minor, busy=busy)

    def _not_listed(self, row: StripeInvoice) -> None:
        """Of an invoice that is in no list: it came after the list was read, or it is gone."""
        invoice = row.invoice
        gone = row.status == StripeInvoice.Status.DELETED
        if not gone:
            theirs = self.read("invoices", row.stripe_id)
            if theirs is not None:
                return  # made meanwhile
            if row.status == StripeInvoice.Status.DRAFT:
                mirror.note(invoice.id, self.connection, None, now=self.clock())
                gone = True
        if invoice.status == Status.VOID or self.busy([invoice.customer_id]):
            return
        what = "The draft of it was deleted at Stripe, and nothing makes it anew." if gone else "It is not at Stripe."
        self.found.append(
            of_invoice(
                Kind.MISSING,
                invoice,
                row.stripe_id,
                f"{what} It is {invoice.status} here, over {_total(invoice)}.",
                "Have it paid in another way and mark it as paid here, or void it here and bill it anew.",
            )
        )

    def _unknown(self, theirs: Theirs) -> None:
        """An invoice at Stripe that bears an id of ours and that no row here is of."""
        if theirs["status"] == StripeInvoice.Status.VOID:
            return
        ours = looking.invoice_bearing(theirs["metadata"])
        if ours is not None and self.of_audience(ours.customer):
            self.candidates[ours.id].append(theirs)
            return
        amount = told_in(theirs["total"], theirs["currency"])
        self.found.append(
            Found(
                kind=Kind.UNKNOWN,
                about=f"{theirs['metadata'][METADATA][:64]} {theirs['id']}",
                what=f"Invoice {theirs.get('number') or 'without a number'} at Stripe, {theirs['status']}, over "
                f"{amount}, bears the id {theirs['metadata'][METADATA]}, and no invoice here has it.",
                way_out="If a backup was restored here, it was issued after that: void it there, or credit it there if "
                "it is paid, before what it bills is billed again. If another installation uses the account, give each "
                "its own.",
                number=theirs.get("number") or "",
                stripe_id=theirs["id"],
            )
        )

    def _candidates(self, ours: Invoice, candidates: list[Theirs]) -> None:
        """Those that bear our invoice's id and are not what we know of it."""
        known = StripeInvoice.objects.filter(invoice=ours).exclude(status=StripeInvoice.Status.DELETED).first()
        standing = [one for one in candidates if known is None or one["id"] != known.stripe_id]
        operation = Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice=ours, finished_at=None).first()
        if operation is not None and operation.steps.filter(name="invoice").exists() and not _is_parked(operation):
            return  # it is being made so at this moment
        if ours.status == Status.DRAFT:
            for theirs in standing:
                self.found.append(self._beyond_draft(ours, theirs))
            return
        if known is None and len(standing) == 1:
            if operation is not None:
                self.going_on.add(operation.pk)
            adopting.invoice(ours, standing[0], self.connection, now=self.clock())
            self.adopted.append(
                of_invoice(
                    Kind.ADOPTED,
                    ours,
                    standing[0]["id"],
                    f"{standing[0]['id']} bears the id of {ours.number} and was not known here. It is now.",
                    "Nothing is to be done.",
                )
            )
            return
        for theirs in standing:
            draft = theirs["status"] == StripeInvoice.Status.DRAFT
            amount = told_in(theirs["total"], theirs["currency"])
            self.found.append(
                of_invoice(
                    Kind.DRAFT if draft else Kind.SEVERAL,
                    ours,
                    theirs["id"],
                    f"Stripe has {theirs['id']}, {theirs['status']}, over {amount} for it, beside "
                    f"{known.stripe_id if known is not None else 'others'}.",
                    "Delete the draft there."
                    if draft
                    else "Void the one there that is too much; pay back what was paid.",
                )
            )

    def _beyond_draft(self, ours: Invoice, theirs: Theirs) -> Found:
        return of_invoice(
            Kind.UNKNOWN,
            ours,
            theirs["id"],
            f"It is a draft here, and at Stripe it is {theirs['status']} as {theirs.get('number')}, over "
            f"{told_in(theirs['total'], theirs['currency'])}: a backup was restored here that is older.",
            f"Issue it here only if it gets the number {theirs.get('number')} and the same total: it is then known "
            "again. Else void the one at Stripe first.",
        )

    # --- Credit notes and refunds -------------------------------------------------------------------------------------

    def credit_notes(self) -> None:
        seen: set[str] = set()
        for page in self.pages("credit_notes"):
            rows = StripeCredit.objects.select_related("allocation__invoice__customer", "allocation__credit_note")
            known = {row.stripe_id: row for row in rows.filter(stripe_id__in=[one["id"] for one in page])}
            seen |= {one["id"] for one in page}
            invoices = {row.stripe_id: row for row in self._rows(stripe_id__in=[one["invoice"] for one in page])}
            ids = dict(
                StripeInvoice.objects.filter(
                    invoice__in=[row.allocation.invoice_id for row in known.values()], **self.account
                ).values_list("invoice_id", "stripe_id")
            )
            for theirs in page:
                row = known.get(theirs["id"])
                if row is not None:
                    self.found += comparing.credit_problems(row, theirs, ids.get(row.allocation.invoice_id))
                elif theirs["status"] != "void" and not self._adopted_credit(theirs, on_balance=False):
                    self._unknown_credit(invoices.get(theirs["invoice"]), theirs)
        ours = StripeCredit.objects.filter(stripe_id__startswith="cn_", **self.account)
        ours = ours.select_related("allocation__invoice__customer", "allocation__credit_note")
        for row in _unlisted(ours, seen):
            if self.read("credit_notes", row.stripe_id or "") is None:
                note = row.allocation.credit_note
                self.found.append(
                    Found(
                        kind=Kind.MISSING,
                        about=f"{credit.public_id(note)} {row.stripe_id}",
                        what=f"It is not at Stripe, where it corrected invoice {row.allocation.invoice.number} by "
                        f"{comparing.told(row.amount, row.allocation.invoice)}.",
                        way_out="Write it there anew by hand, for that amount, and note its id.",
                        customer=row.allocation.invoice.customer,
                        type="credit_note",
                        document=credit.public_id(note),
                        number=note.number or "",
                        stripe_id=row.stripe_id or "",
                    )
                )

    def _unknown_credit(self, seen: StripeInvoice | None, theirs: Theirs) -> None:
        if seen is None or self.busy([seen.invoice.customer_id]):
            return
        if StripeCredit.objects.filter(stripe_id=theirs["id"]).exists():
            return  # it was made meanwhile
        self.found.append(
            of_invoice(
                Kind.UNKNOWN,
                seen.invoice,
                theirs["id"],
                f"Credit note {theirs.get('number')} at Stripe corrects it by "
                f"{told_in(theirs['total'], theirs['currency'])}, and no credit note here is it.",
                "Somebody wrote it there: write the same here and skip its operation, or void the one there.",
            )
        )

    def _adopted_credit(self, theirs: Theirs, *, on_balance: bool) -> bool:
        allocation = adopting.credit(theirs, on_balance=on_balance, now=self.clock())
        if allocation is None:
            return False
        note = allocation.credit_note
        self.going_on |= set(note.stripe_operations.values_list("pk", flat=True))
        self.adopted.append(
            Found(
                kind=Kind.ADOPTED,
                about=f"{credit.public_id(note)} {theirs['id']}",
                what=f"{theirs['id']} bears the id of {note.number} and was not known here. It is now.",
                way_out="Nothing is to be done.",
                customer=note.customer,
                type="credit_note",
                document=credit.public_id(note),
                number=note.number or "",
                stripe_id=theirs["id"],
            )
        )
        return True

    def refunds(self) -> None:
        since = int((self.run.begun_at - REFUNDS_OF).timestamp())
        concerned: set[UUID] = set()
        for page in self.pages("refunds", created={"gte": since}, expand=["data.charge"]):
            ids = [one["id"] for one in page]
            ours = set(StripeCredit.objects.filter(refund_id__in=ids).values_list("refund_id", flat=True))
            payers = {one["id"]: (one.get("charge") or {}).get("customer") for one in page if one["id"] not in ours}
            known = set(
                StripeCustomer.objects.filter(stripe_id__in=[payer for payer in payers.values() if payer]).values_list(
                    "stripe_id", flat=True
                )
            )
            for theirs in page:
                if payers.get(theirs["id"]) in known and theirs.get("payment_intent"):
                    stripe_id = looking.invoice_of_intent(theirs["payment_intent"], self.client)
                    concerned |= {row.pk for row in self._rows(stripe_id=stripe_id or "")}
        # What was found before, or differs for a reason that the invoice itself does not show.
        before = Finding.objects.filter(kind=Kind.REFUNDED, mended_at=None, **self.account)
        known_ids = list(before.values_list("stripe_id", flat=True))
        concerned |= {row.pk for row in self._rows(**self.account).filter(~Q(mismatch="") | Q(stripe_id__in=known_ids))}
        for row in self._rows(pk__in=concerned):
            if row.status == StripeInvoice.Status.DRAFT or self.busy([row.invoice.customer_id]):
                continue
            if said := looking.refunds_beyond(row, looking.refunded(row, self.client)):
                self.found.append(of_invoice(Kind.REFUNDED, row.invoice, row.stripe_id, said, looking.REFUND_WAY_OUT))

    # --- What waits ---------------------------------------------------------------------------------------------------

    def operations(self) -> None:
        old = Operation.objects.filter(finished_at=None, created_at__lte=self.run.begun_at - WAITS_FOR)
        # Those of what was found again have their first chance now.
        old = old.exclude(pk__in=self.going_on)
        for operation in old.select_related("customer", "invoice", "credit_note").order_by("id"):
            if not self.of_audience(operation.customer):
                continue
            document = operation.invoice or operation.credit_note
            self.found.append(
                Found(
                    kind=Kind.WAITS,
                    about=operation.public_id,
                    what=f"{operation} is {operation.status} since {operation.created_at:%Y-%m-%d %H:%M} UTC: "
                    f"{operation.reason or 'earlier ones of the customer come first'}",
                    way_out="Mend what it names and try it again, or skip it.",
                    customer=operation.customer,
                    type="operation",
                    document=operation.public_id,
                    number=(document.number or "") if document is not None else "",
                )
            )


def _unlisted(ours: QuerySet[Any], seen: set[str]) -> Iterator[Any]:
    """Rows of what was in no list; there are few, and many that were."""
    ids = ours.order_by().values_list("pk", "stripe_id").iterator(chunk_size=10_000)
    for pk in [pk for pk, stripe_id in ids if stripe_id not in seen]:
        yield ours.get(pk=pk)


def _is_parked(operation: Operation) -> bool:
    return operation.status == Operation.Status.PARKED


def _is_news(row: StripeInvoice, theirs: Theirs) -> bool:
    names = ("status", "total", "amount_due", "amount_paid", "amount_remaining", "attempt_count")
    return any(getattr(row, name) != (theirs.get(name) or 0) for name in names)


def _balances_of(theirs: Theirs) -> dict[str, int]:
    by_currency = theirs.get("invoice_credit_balance")
    if isinstance(by_currency, dict):
        return {currency.upper(): int(amount) for currency, amount in by_currency.items() if amount}
    currency = theirs.get("currency")
    return {currency.upper(): int(theirs["balance"])} if currency and theirs.get("balance") else {}


def _total(invoice: Invoice) -> str:
    return comparing.told(units.to_stripe(invoice.total_minor, invoice.currency), invoice)
