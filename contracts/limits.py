"""Conditions that are for named customers alone: who they are, and how others join them.

Given when the slug is made, or never: a condition for everybody stays so. A customer that joins later does from then
on: attempts of its that begin from that instant.
"""

from collections.abc import Sequence
from datetime import datetime

from access.errors import Detail
from access.paths import item
from access.serializers import nearest
from contracts.models import Condition, ConditionCustomer, Customer
from contracts.refusals import raise_if_any

PATH = "customers"


def concerns(condition: Condition, customer: Customer) -> bool:
    """Whether the condition is for this customer, now or from some instant on."""
    return not condition.limited or condition.named.filter(customer=customer).exists()


def keys_of(condition: Condition) -> list[str] | None:
    """The keys of the customers a condition is for, in order; None where it is for all."""
    return sorted(named.customer.key for named in condition.named.all()) if condition.limited else None


def find(keys: Sequence[str]) -> list[Customer]:
    """The customers of these keys, each once. Refused with every place at fault."""
    known = {customer.key: customer for customer in Customer.objects.filter(key__in=keys)}
    problems = [] if keys else [Detail(PATH, "Name at least one customer, or leave `customers` out.", "empty")]
    for index, key in enumerate(keys):
        if key not in known:
            close = nearest(key, Customer.objects.values_list("key", flat=True))
            hint = f" Did you mean {close}?" if close else " Create it first."
            problems.append(Detail(item(PATH, index), f'There is no customer "{key}".{hint}', "unknown_customer"))
    raise_if_any(problems)
    return [known[key] for key in dict.fromkeys(keys)]


def begin(condition: Condition, customers: Sequence[Customer], now: datetime) -> None:
    """Limit a condition just made, which has no version yet, to these customers."""
    condition.limited = True
    condition.save(update_fields=["limited"])
    _name(condition, customers, None, now)


def extend(condition: Condition, customers: Sequence[Customer], since: datetime, now: datetime) -> list[str]:
    """Let the condition be for ``customers``, those that it was not for from ``since`` on; the keys of the latter.

    Call under a lock of the condition's row. Refused: a condition that is for everybody, and a list in which somebody
    it is for is missing.
    """
    if not condition.limited:
        message = f"Condition {condition.slug} is for every customer, and stays so: give a limited one another slug."
        raise_if_any([Detail(PATH, message, "condition_not_limited")])
    before = {named.customer_id: named.customer for named in condition.named.select_related("customer")}
    missing = sorted(before[pk].key for pk in before.keys() - {customer.pk for customer in customers})
    if missing:
        message = (
            f"Condition {condition.slug} is for {', '.join(missing)}, too, and nobody is taken off: name them as well,"
            " or end their contracts."
        )
        raise_if_any([Detail(PATH, message, "customer_left_out")])
    joining = [customer for customer in customers if customer.pk not in before]
    _name(condition, joining, since, now)
    return [customer.key for customer in joining]


def _name(condition: Condition, customers: Sequence[Customer], since: datetime | None, now: datetime) -> None:
    ConditionCustomer.objects.bulk_create(
        ConditionCustomer(condition=condition, customer=customer, since=since, created_at=now) for customer in customers
    )
