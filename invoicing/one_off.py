"""Use cases: write a one-off invoice by hand, beside what contracts bill; and discard its draft."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from access import ids
from access.errors import ApiError, Detail
from access.paths import item
from contracts import fields, prices
from contracts.agreed import MAX_NET_DAYS
from contracts.agreements import lock_customer
from contracts.clocks import now_of
from contracts.domain import money
from contracts.domain.periods import day_start
from contracts.domain.rating import Step
from contracts.domain.rating.problems import money_decimals, number_problems
from contracts.refusals import raise_if_any, refused
from invoicing import taxes, texts, wording
from invoicing.issue import freeze
from invoicing.models import Invoice, InvoiceLine, Status
from invoicing.refusals import locked, public_id

MAX_LINES = 500
MAX_MEMO = 2000


@dataclass(frozen=True)
class ItemFields:
    """One line: ``quantity`` times ``unit_price``, or an ``amount``, in major units. A rebate is below zero."""

    title: str
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None


@dataclass(frozen=True)
class OneOffFields:
    """A one-off invoice as it is handed in. The currency left out is the customer's; the period left out is the day on
    which it is written, where the customer is.
    """

    customer: str
    lines: tuple[ItemFields, ...]
    currency: str | None = None
    net_days: int = 30
    memo: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    issue: bool = False


@transaction.atomic
def write(given: OneOffFields, *, now: datetime) -> Invoice:
    """Make a one-off invoice of these lines: a draft that stays as it is, or issued at once. It has the taxes and the
    time zone of its customer.

    Locks the customer's row (and, to issue, the number series). Not safe to repeat blindly: over HTTP an
    Idempotency-Key replays the first answer. Refused with everything that is wrong at once; a total is not below zero.
    """
    customer = lock_customer(given.customer)
    currency = given.currency or customer.currency
    raise_if_any(_problems(given, currency))
    wall, now = now, now_of(customer, now)
    today = texts.local_date(now, customer.time_zone)
    invoice = Invoice(
        id=ids.uuid7(now),
        customer=customer,
        kind=Invoice.Kind.ONE_OFF,
        currency=currency,
        time_zone=customer.time_zone,
        period_start=given.period_start or day_start(today, customer.time_zone),
        period_end=given.period_end or day_start(today + timedelta(days=1), customer.time_zone),
        net_days=given.net_days,
        memo=given.memo,
        created_at=now,
        refreshed_at=now,
    )
    lines = [_line(invoice, position, one) for position, one in enumerate(given.lines, start=1)]
    try:
        taxes.set_totals(invoice, lines, taxes.rates_of(customer))
    except OverflowError as error:
        raise refused("price_too_large", f"{str(error).capitalize()}.", "lines") from None
    if invoice.total_minor < 0:
        total = texts.amount(invoice.total_minor, currency)
        message = f"The lines come to {total}, and an invoice is not below zero: write a credit note instead."
        raise refused("total_below_zero", message, "lines")
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines)
    if given.issue:
        freeze(invoice, now=now, wall=wall)
    return invoice


@transaction.atomic
def discard(invoice_id: UUID) -> Invoice:
    """Remove a one-off draft with its lines; answers what it was. Locks the customer's row, then the invoice. Refused
    with 409 for every other invoice.
    """
    invoice = locked(invoice_id)
    if invoice.kind != Invoice.Kind.ONE_OFF or invoice.status != Status.DRAFT:
        what = f"a {invoice.kind} draft" if invoice.status == Status.DRAFT else str(invoice.status)
        message = f"Invoice {invoice.number or public_id(invoice)} is {what}: only one-off drafts are discarded."
        raise ApiError(409, "not_discardable", message)
    Invoice.objects.filter(pk=invoice.pk).delete()
    return invoice


def amount_minor(quantity: Decimal, unit_price: Decimal, currency: str) -> int:
    """What an item of so many units comes to, rounded once. Raises OverflowError beyond what can be booked."""
    return money.to_minor(money.product(unit_price, quantity), currency)


def _line(invoice: Invoice, position: int, one: ItemFields) -> InvoiceLine:
    steps = []
    if one.quantity is not None and one.unit_price is not None:
        minor = amount_minor(one.quantity, one.unit_price, invoice.currency)
        steps.append(Step(one.quantity, one.unit_price, money.product(one.unit_price, one.quantity)))
    else:
        assert one.amount is not None
        minor = money.to_minor(one.amount, invoice.currency)
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=InvoiceLine.Kind.ITEM,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        title=one.title,
        quantity=one.quantity,
        unit_price=one.unit_price,
        amount_minor=minor,
        steps=wording.steps_json(steps),
    )


# --- Checked ----------------------------------------------------------------------------------------------------------


def _problems(given: OneOffFields, currency: str) -> list[Detail | None]:
    problems = [
        fields.currency_problem("currency", currency),
        fields.paragraph_problem("memo", given.memo, "A memo", MAX_MEMO),
        *_period_problems(given),
    ]
    if not 0 <= given.net_days <= MAX_NET_DAYS:
        problems.append(Detail("net_days", f"net_days is 0 to {MAX_NET_DAYS}.", "invalid"))
    if not 1 <= len(given.lines) <= MAX_LINES:
        problems.append(Detail("lines", f"An invoice has 1 to {MAX_LINES} lines.", "invalid"))
    for index, one in enumerate(given.lines):
        problems += _line_problems(one, item("lines", index), currency)
    return problems


def _period_problems(given: OneOffFields) -> list[Detail]:
    start, end = given.period_start, given.period_end
    if (start is None) != (end is None):
        missing = "period_start" if start is None else "period_end"
        return [Detail(missing, "A period has a start and an end: give both, or neither for today.", "required")]
    if start is not None and end is not None and end <= start:
        return [Detail("period_end", "A period ends after it starts.", "ends_before_start")]
    return []


def _line_problems(one: ItemFields, place: str, currency: str) -> list[Detail]:
    """What is wrong with a line: a title; either an amount, or a quantity and a unit price; what can be booked."""
    title = fields.name_problem(f"{place}.title", one.title)
    problems = [] if title is None else [title]
    if not one.title:
        problems.append(Detail(f"{place}.title", "A line has a title: the customer reads it.", "required"))
    by_units = one.quantity is not None or one.unit_price is not None
    if one.amount is not None and by_units:
        message = "A line has an amount, or a quantity and a unit_price: leave the others out."
        return [*problems, Detail(f"{place}.amount", message, "both_given")]
    if one.amount is not None:
        # Of a rebate, too: only its size is looked at.
        found = number_problems(f"{place}.amount", abs(one.amount), "An amount", decimals=money_decimals(currency))
        return [*problems, *prices.details(found)]
    if one.quantity is None or one.unit_price is None:
        missing = "unit_price" if one.unit_price is None and by_units else "quantity" if by_units else "amount"
        message = "A line has an amount, or both a quantity and a unit_price."
        return [*problems, Detail(f"{place}.{missing}", message, "required")]
    problems += prices.details(
        [
            *number_problems(f"{place}.quantity", one.quantity, "A quantity", above_zero=True),
            *number_problems(f"{place}.unit_price", abs(one.unit_price), "A unit price"),
        ]
    )
    if not problems and currency in money.EXPONENTS:
        try:
            amount_minor(one.quantity, one.unit_price, currency)
        except OverflowError as error:
            problems.append(Detail(place, f"{error}.", "price_too_large"))
    return problems
