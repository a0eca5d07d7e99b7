"""The running period of a contract, as the next invoice would have it: how it stands, and beside that how it would by
terms that are only tried.

Both are `invoicing.preview`, the second asked inside the transaction in which the change stands, to be rolled back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.http import HttpRequest

from access.errors import ApiError
from conditions_dsl.words import plain
from contracts.clocks import now_of
from contracts.domain.periods import Period
from contracts.models import Contract, ContractVersion
from invoicing import balancing
from invoicing.domain.tax import Rate, taxed
from invoicing.models import InvoiceLine
from invoicing.preview import Part, preview
from invoicing.taxes import rates_of

Key = tuple[object, ...]


@dataclass(frozen=True)
class Look:
    """How a running period stands; amounts in minor units. ``closed`` are the starts of the periods that are invoiced;
    ``rates`` the customer's taxes, and ``unknown`` why they are not known.
    """

    currency: str
    period: Period
    confirmed: Part
    provisional: Part
    to_credit: Part
    closed: frozenset[datetime]
    rates: tuple[Rate, ...]
    unknown: str
    credit_notes: str
    credits: str
    time_zone: str

    def by_period(self) -> dict[datetime, int]:
        """What earlier periods have to come yet, by their starts: corrections, credit below zero, what was never
        invoiced.
        """
        found: dict[datetime, int] = defaultdict(int)
        for line in (*self.confirmed.lines, *self.to_credit.lines):
            if line.period_start < self.period.start:
                found[line.period_start] += line.amount_minor
        return dict(found)


def look(request: HttpRequest, contract: Contract, now: datetime) -> Look | str | None:
    """How the contract's running period stands for who may see invoices; None where it is not running, and why in words
    where it cannot be worked out: an amendment may be what mends that.
    """
    if not request.user.has_perm("invoicing.view_invoice"):
        return None
    try:
        found = preview(contract.customer.key, now=now)
    except ApiError:
        return None
    except (ValueError, ArithmeticError) as error:
        return f"The running period cannot be worked out: {error}."
    agreement = found.agreement
    if agreement.id != contract.pk:
        return None
    rates: tuple[Rate, ...] = ()
    unknown = ""
    try:
        rates = rates_of(contract.customer)
    except ApiError as error:
        unknown = error.message
    version = agreement.version_at(now_of(contract.customer, now))
    return Look(
        agreement.currency,
        found.period,
        found.confirmed,
        found.provisional,
        found.to_credit,
        frozenset(balancing.Documents(agreement).closed),
        rates,
        unknown,
        version.credit_notes,
        version.credits,
        version.cadence.time_zone,
    )


# --- Two looks beside each other --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A line in either or both: (before, after) in minor units, None where it is not there."""

    title: str
    quantity: str
    before: int | None
    after: int | None

    @property
    def difference(self) -> int:
        return (self.after or 0) - (self.before or 0)


def rows_of(before: Part | None, after: Part | None) -> list[Row]:
    """Lines that are about the same, beside each other, in the order in which they stand; several of one are summed."""
    sides = [_by_key(() if part is None else part.lines) for part in (before, after)]
    rows = []
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        lines = sides[1].get(key) or sides[0][key]
        amounts = [sum(line.amount_minor for line in side[key]) if key in side else None for side in sides]
        quantities = [line.quantity for line in lines if line.quantity is not None]
        quantity = plain(sum(quantities, Decimal(0))) if quantities else ""
        dimensions = ", ".join(f"{name} {value}" for name, value in sorted((lines[0].dimensions or {}).items()))
        title = lines[0].title + (f" ({dimensions})" if dimensions else "")
        rows.append(Row(title, quantity, amounts[0], amounts[1]))
    return rows


def _by_key(lines: Iterable[InvoiceLine]) -> dict[Key, list[InvoiceLine]]:
    found: dict[Key, list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        # Terms change the words of all but usage and fees.
        words = line.title if line.kind == InvoiceLine.Kind.FEE else ""
        dimensions = tuple(sorted((line.dimensions or {}).items()))
        found[line.kind, line.condition_id, dimensions, words, line.period_start].append(line)
    return found


@dataclass(frozen=True)
class Sum:
    """One of the sums below the lines: (before, after) in minor units."""

    name: str
    before: int | None
    after: int | None

    @property
    def difference(self) -> int:
        return (self.after or 0) - (self.before or 0)


def sums_of(before: Look | None, after: Look | None, *, provisional: bool) -> list[Sum]:
    """Subtotal, the tax of each rate, and total of what is confirmed; with ``provisional`` of all that is expected."""
    sides = [_taxed(one, provisional=provisional) for one in (before, after)]
    names = dict.fromkeys([name for side in sides for name in side])
    return [Sum(name, sides[0].get(name), sides[1].get(name)) for name in names]


def _taxed(one: Look | None, *, provisional: bool) -> dict[str, int]:
    if one is None:
        return {}
    subtotal = one.confirmed.total_minor + (one.provisional.total_minor if provisional else 0)
    if one.unknown:
        return {"Subtotal, before tax": subtotal}
    if not one.rates:
        return {"Total": subtotal}
    found = taxed(subtotal, one.rates, one.currency)
    rates = {
        f"{rate.name} {rate.percent.normalize():f} %{', contained' if rate.inclusive else ''}": minor
        for rate, minor in zip(one.rates, found.by_rate, strict=True)
    }
    return {"Subtotal": subtotal, **rates, "Total": found.total_minor}


# --- What a change does to the past -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Correction:
    """What a change of terms does to an earlier period: ``minor`` more than before, below zero less. ``invoiced``
    tells whether it has an invoice already; one that has none is billed by the next run anyway.
    """

    start: datetime
    minor: int
    invoiced: bool


def corrections_of(before: Look | None, after: Look | None) -> list[Correction]:
    """Of each earlier period that comes out differently, in order."""
    if after is None:
        return []
    known: Mapping[datetime, int] = {} if before is None else before.by_period()
    now = after.by_period()
    moved = {start: now.get(start, 0) - known.get(start, 0) for start in {*known, *now}}
    return [Correction(start, minor, start in after.closed) for start, minor in sorted(moved.items()) if minor]


def follows(correction: Correction, look: Look) -> str:
    """What becomes of it, in words."""
    if not correction.invoiced:
        return "it has ended and has no invoice yet: the next billing run makes it"
    if correction.minor > 0:
        return "it was invoiced: a correction line on the next invoice"
    when = (
        "that a person approves"
        if look.credit_notes == ContractVersion.CreditNotes.APPROVAL
        else "that the next billing run issues"
    )
    where = "paid back" if look.credits == ContractVersion.Credits.REFUND else "taken off the next invoices"
    return f"it was invoiced: a credit note {when}; what no open invoice takes is {where}"
