"""Use case: put a tax rate, by its key; and what a customer may choose of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from access.errors import Detail
from access.paths import item
from access.serializers import nearest
from conditions_dsl.words import plain
from contracts import fields, prices
from contracts.changes import Change, Kind, differences_of
from contracts.domain.rating.problems import percent_problems
from contracts.models import Customer, TaxRate
from contracts.refusals import conflict, raise_if_any

MAX_PERCENT = Decimal(100)
MAX_NOTE = 1000
MAX_RATES = 5
"""So many on one invoice."""


@dataclass(frozen=True)
class TaxRateFields:
    """What a tax rate is, beside its key; ``percent`` 19 means 19 %. A reverse charge is 0 %, on top of prices, and has
    the note that the law asks for.
    """

    name: str
    percent: Decimal
    inclusive: bool = False
    reverse_charge: bool = False
    note: str = ""


@transaction.atomic
def put_tax_rate(key: str, given: TaxRateFields, *, now: datetime) -> Change[TaxRate]:
    """Create the tax rate ``key``, or replace what is known of it. What was issued keeps what it used; drafts, and
    whatever is issued from now on, take the rate as it is now.

    Locks the rate's row, and waits for customers that are about to choose it. Safe to repeat: the same call again
    changes nothing. Refused (409) where a customer has it beside others and prices would contain some of them alone.
    """
    raise_if_any(_problems(key, given))
    values = asdict(given)
    row, made = TaxRate.objects.select_for_update().get_or_create(key=key, defaults=values | {"created_at": now})
    if made:
        return Change(Kind.CREATED, row, differences_of({}, _said(given)))
    before = TaxRateFields(**{name: getattr(row, name) for name in values})
    differences = differences_of(_said(before), _said(given))
    if not differences:
        return Change(Kind.UNCHANGED, row)
    if given.inclusive != row.inclusive:
        _refuse_mixing(row, inclusive=given.inclusive)
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    return Change(Kind.CHANGED, row, differences)


def _said(given: TaxRateFields) -> dict[str, str | None]:
    """What the rate says as text that compares; what it does not say has None."""
    flags = {name: "yes" if getattr(given, name) else None for name in ("inclusive", "reverse_charge")}
    return {"name": given.name, "percent": plain(given.percent), **flags, "note": given.note or None}


def _problems(key: str, given: TaxRateFields) -> list[Detail | None]:
    percent = percent_problems("percent", given.percent, "The percent of a tax", most=MAX_PERCENT)
    problems = [
        fields.tax_rate_key_problem("key", key),
        Detail("name", "A tax has a name: the customer reads it.", "required") if not given.name else None,
        fields.name_problem("name", given.name),
        *prices.details(percent),
        fields.paragraph_problem("note", given.note, "A note", MAX_NOTE),
    ]
    if given.reverse_charge:
        if given.percent != 0:
            message = "With a reverse charge the recipient owes the tax: the percent is 0."
            problems.append(Detail("percent", message, "not_used"))
        if given.inclusive:
            message = "With a reverse charge prices contain no tax: leave inclusive out."
            problems.append(Detail("inclusive", message, "not_used"))
        if not given.note:
            message = 'A reverse charge has a note on the invoice, such as "Reverse charge: the recipient owes it."'
            problems.append(Detail("note", message, "required"))
    return problems


def _refuse_mixing(rate: TaxRate, *, inclusive: bool) -> None:
    mixed = Customer.objects.filter(tax_rates=rate).filter(
        tax_rates__in=TaxRate.objects.exclude(pk=rate.pk).filter(inclusive=not inclusive)
    )
    first = mixed.order_by("key").values_list("key", flat=True).first()
    if first is not None:
        raise conflict(
            "mixed_tax_rates",
            f"Customer {first} has this rate beside others, and prices contain all taxes of a customer or none: give"
            " the rate another key, or the customer other rates first.",
            "inclusive",
        )


# --- Chosen by customers ----------------------------------------------------------------------------------------------

# What is chosen is not changed until the transaction ends (`put_tax_rate` takes the row's whole lock); others may
# choose it meanwhile.
_KEEP = "SELECT * FROM contracts_taxrate WHERE key = ANY(%s) ORDER BY key FOR KEY SHARE"


def chosen(keys: Sequence[str]) -> list[TaxRate]:
    """The rates of these keys, those that there are, in order of their keys; kept from changing."""
    return list(TaxRate.objects.raw(_KEEP, [list(keys)])) if keys else []


def choice_problems(path: str, keys: Sequence[str]) -> list[Detail]:
    """Why a customer cannot have these rates together, each with its place. Keeps them from changing."""
    rates = {rate.key: rate for rate in chosen(keys)}
    problems = []
    for index, key in enumerate(keys):
        place = item(path, index)
        if key in keys[:index]:
            problems.append(Detail(place, f'"{key}" stands here twice.', "duplicate_name"))
        elif key not in rates:
            close = nearest(key, TaxRate.objects.values_list("key", flat=True))
            hint = f"Did you mean {close}?" if close else "Create it first with PUT /v1/tax_rates/{key}."
            problems.append(Detail(place, f'There is no tax rate "{key}". {hint}', "unknown_tax_rate"))
    if len(keys) > MAX_RATES:
        problems.append(Detail(path, f"A customer has at most {MAX_RATES} tax rates.", "too_many_tax_rates"))
    if len({rate.inclusive for rate in rates.values()}) > 1:
        inside = ", ".join(rate.key for rate in rates.values() if rate.inclusive)
        message = f"Prices contain all taxes of a customer or none, and of these they contain {inside} alone."
        problems.append(Detail(path, message, "mixed_tax_rates"))
    return problems


def keys_of(customer: Customer) -> list[str]:
    """The keys of a customer's rates, in order."""
    return sorted(rate.key for rate in customer.tax_rates.all())
