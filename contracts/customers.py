"""Use case: create or replace a customer."""

from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction

from access.errors import Detail
from contracts import fields
from contracts.changes import Change, Kind, differences_of
from contracts.models import Customer
from contracts.partitions import partition_of
from contracts.refusals import raise_if_any


@dataclass(frozen=True)
class CustomerFields:
    """What a customer is, beside its key. What is left out is its default: a PUT replaces the whole."""

    currency: str
    name: str = ""
    time_zone: str = "UTC"
    email: str = ""


@transaction.atomic
def put_customer(key: str, given: CustomerFields, *, now: datetime) -> Change[Customer]:
    """Create the customer ``key``, or replace what is known of it; its name is its key unless given.

    Locks the customer's row. Safe to repeat: the same call again changes nothing. Two first calls at once make one row,
    and the later one replaces it. Contracts that exist keep their own currency and time zone: those of the customer are
    what its next contract starts from.
    """
    raise_if_any(
        [
            fields.customer_key_problem("key", key),
            fields.currency_problem("currency", given.currency),
            fields.time_zone_problem("time_zone", given.time_zone),
            _name_problem(given.name),
        ]
    )
    values = asdict(given) | {"name": given.name or key}
    # Where two first calls meet, the unique key lets one insert; the other waits for it and goes on as a replacement.
    row, made = Customer.objects.select_for_update(no_key=True).get_or_create(
        key=key, defaults=values | {"partition": partition_of(key), "created_at": now}
    )
    if made:
        return Change(Kind.CREATED, row, differences_of({}, values))
    differences = differences_of({name: getattr(row, name) for name in values}, values)
    if not differences:
        return Change(Kind.UNCHANGED, row)
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    return Change(Kind.CHANGED, row, differences)


def _name_problem(name: str) -> Detail | None:
    if len(name) > 255 or not name.isprintable() or name != name.strip():
        message = "A name has at most 255 printable characters and no blank at either end."
        return Detail("name", message, "invalid")
    return None
