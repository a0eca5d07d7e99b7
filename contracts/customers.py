"""Use case: create or replace a customer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from access import ids
from access.errors import ApiError, Detail
from contracts import fields, tax_rates
from contracts.changes import Change, Kind, differences_of
from contracts.models import Customer, TestClock
from contracts.partitions import partition_of
from contracts.refusals import conflict, raise_if_any


@dataclass(frozen=True)
class CustomerFields:
    """What a customer is, beside its key. What is left out is its default: a PUT replaces the whole."""

    currency: str
    name: str = ""
    time_zone: str = "UTC"
    email: str = ""
    test_clock: UUID | None = None
    """Taken at creation; left out later on it stays as it is."""
    address: str = ""
    """As printed, lines apart by a line feed."""
    tax_id: str = ""
    locale: str = "en"
    tax_rates: tuple[str, ...] = ()
    """Keys of tax rates, in any order: all of them contained in prices, or all on top."""


@transaction.atomic
def put_customer(key: str, given: CustomerFields, *, now: datetime) -> Change[Customer]:
    """Create the customer ``key``, or replace what is known of it; its name is its key unless given.

    Locks the customer's row, and keeps its tax rates from changing. Safe to repeat: the same call again changes
    nothing. Two first calls at once make one row, and the later one replaces it. Contracts that exist keep their own
    currency and time zone: those of the customer are what its next contract starts from. A test clock is given at
    creation only: another one later on is a conflict.
    """
    raise_if_any(
        [
            fields.customer_key_problem("key", key),
            fields.currency_problem("currency", given.currency),
            fields.time_zone_problem("time_zone", given.time_zone),
            fields.name_problem("name", given.name),
            _clock_problem(given.test_clock),
            fields.paragraph_problem("address", given.address, "An address", fields.MAX_ADDRESS),
            fields.tax_id_problem("tax_id", given.tax_id),
            fields.locale_problem("locale", given.locale),
            *tax_rates.choice_problems("tax_rates", given.tax_rates),
        ]
    )
    values: dict[str, Any] = asdict(given) | {"name": given.name or key, "locale": fields.locale_of(given.locale)}
    clock, rates = values.pop("test_clock"), sorted(values.pop("tax_rates"))
    # Where two first calls meet, the unique key lets one insert; the other waits for it and goes on as a replacement.
    row, made = Customer.objects.select_for_update(no_key=True).get_or_create(
        key=key, defaults=values | {"partition": partition_of(key), "test_clock_id": clock, "created_at": now}
    )
    if made:
        row.tax_rates.set(tax_rates.chosen(rates))
        return Change(Kind.CREATED, row, differences_of({}, values | _clock_value(clock) | _rates_value(rates)))
    if clock is not None and clock != row.test_clock_id:
        raise _clock_is_fixed(row)
    before = {name: getattr(row, name) for name in values} | _rates_value(tax_rates.keys_of(row))
    differences = differences_of(before, values | _rates_value(rates))
    if not differences:
        return Change(Kind.UNCHANGED, row)
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    row.tax_rates.set(tax_rates.chosen(rates))
    return Change(Kind.CHANGED, row, differences)


def _clock_problem(clock: UUID | None) -> Detail | None:
    if clock is None or TestClock.objects.filter(pk=clock).exists():
        return None
    message = f"There is no test clock {ids.encode(TestClock.PREFIX, clock)}: create it first."
    return Detail("test_clock", message, "unknown_test_clock")


def _clock_value(clock: UUID | None) -> dict[str, str]:
    return {} if clock is None else {"test_clock": ids.encode(TestClock.PREFIX, clock)}


def _rates_value(keys: Sequence[str]) -> dict[str, str]:
    return {"tax_rates": " ".join(keys)}


def _clock_is_fixed(customer: Customer) -> ApiError:
    has = "lives by the wall clock" if customer.test_clock is None else f"has {customer.test_clock.public_id}"
    return conflict(
        "test_clock_fixed",
        f"Customer {customer.key} {has}, and a customer keeps the clock it was created with. Create another customer.",
        "test_clock",
    )
