"""A seller with test clocks: customers that live by one, beside customers on the wall clock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from contracts.agreements import ContractFields, create_contract
from contracts.clocks import create_clock
from contracts.customers import CustomerFields, put_customer
from contracts.models import Condition, ContractVersion, Customer, Fee
from contracts.partitions import partition_of
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from invoicing.models import CreditNote, Invoice, Status
from outcomes.models import Outcome
from settlement.clocks import Advanced, advance
from tests.outcomes.factories import START, send

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WALL = datetime(2026, 6, 15, 12, tzinfo=UTC)
"""What the wall clock shows throughout, unless a test says otherwise."""


def clock_at(now: datetime = START, name: str = "") -> UUID:
    return create_clock(now=now, name=name, wall=WALL).id


def customer(key: str, clock: UUID | None = None) -> Customer:
    return put_customer(key, CustomerFields("USD", key.title(), test_clock=clock), now=WALL).value


def rate_card(*slugs: str, price: str = "2.00") -> None:
    prices = tuple(PriceFields(slug, Decimal(price)) for slug in slugs)
    put_rate_card("standard", RateCardFields("USD", prices), now=WALL)


def agree(key: str, *, starts_at: datetime = START, **terms: Any) -> None:
    create_contract(ContractFields(customer=key, rate_card="standard", starts_at=starts_at, **terms), now=WALL)


@transaction.atomic
def agree_threshold(key: str, amount: Decimal) -> None:
    """The same terms from the contract's start on, with usage invoiced inside a period once it comes to so much."""
    version = ContractVersion.objects.get(contract__customer__key=key)
    fees = list(Fee.objects.filter(contract_version=version))
    version.pk, version.number, version.progressive_threshold = None, 2, amount
    version.save(force_insert=True)
    for fee in fees:
        fee.pk, fee.contract_version = None, version
        fee.save(force_insert=True)


def all_slugs() -> list[str]:
    return list(Condition.objects.values_list("slug", flat=True))


def event(kind: str, at: datetime | None, key: str, ticket: str = "T", **data: Any) -> dict[str, Any]:
    name = f"{kind}@{at.isoformat() if at else 'now'}/{ticket}"
    told = {"id": name, "type": kind, "customer": key, "data": {"ticket": ticket, "units": 1} | data}
    return told if at is None else told | {"time": at}


def tell(kind: str, at: datetime | None, key: str, ticket: str = "T", wall: datetime = WALL, **data: Any) -> str:
    """Send one event; its status, or the code of its refusal."""
    [result] = send([event(kind, at, key, ticket, **data)], now=wall)
    return result.code or result.status


def forward(clock: UUID, to: datetime, wall: datetime = WALL) -> Advanced:
    return advance(clock, to, wall=wall)


def neighbour(key: str) -> str:
    """Another key in the same partition."""
    return next(name for name in (f"beside-{n}" for n in range(10_000)) if partition_of(name) == partition_of(key))


def outcomes_of(key: str) -> list[tuple[Any, ...]]:
    """What stands of a customer's outcomes, without ids and instants of booking."""
    fields = (
        "condition__slug", "subject__key", "ordinal", "state", "met_at", "settles_at", "settled_at", "ended_at",
        "quantity", "amount", "due_at", "queue",
    )  # fmt: skip
    rows = Outcome.objects.filter(customer__key=key).order_by("condition__slug", "subject__key", "ordinal")
    return list(rows.values_list(*fields))


def credit_notes_of(key: str) -> list[tuple[Any, ...]]:
    """A customer's credit notes with their lines, without ids and numbers."""
    return [
        (
            row.status, row.issued_at, row.total_minor, row.reason,
            [
                (line.title, line.period_start, line.quantity, line.amount_minor)
                for line in row.lines.order_by("position")
            ],
        )
        for row in CreditNote.objects.filter(customer__key=key).order_by("issued_at", "id")
    ]  # fmt: skip


def invoices_of(key: str, statuses: Sequence[str] = tuple(Status.values)) -> list[tuple[Any, ...]]:
    """A customer's invoices with their lines, without ids and numbers."""
    found = Invoice.objects.filter(customer__key=key, status__in=statuses)
    return [
        (
            row.status, row.period_start, row.period_end, row.ordinal, row.issued_at, row.due_at, row.total_minor,
            [
                (line.title, line.period_start, line.quantity, line.amount_minor, line.outcome_count, line.voided_count)
                for line in row.lines.order_by("position")
            ],
        )
        for row in found.order_by("issued_at", "period_start", "ordinal")
    ]  # fmt: skip
