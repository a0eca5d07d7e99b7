"""Read: the running period of a customer as it stands: confirmed so far, and provisional apart. Writes nothing."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from access import ids
from access.errors import ApiError
from access.times import format_rfc3339
from contracts import terms
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.domain import money, rating
from contracts.domain.periods import Period
from contracts.models import Condition, Customer
from contracts.terms import Agreement
from invoicing import drafts, queries, selection, texts
from invoicing.selection import Grid, Group


@dataclass(frozen=True)
class Part:
    """Rated lines with their total in minor units."""

    lines: tuple[rating.Line, ...]
    total_minor: int


@dataclass(frozen=True)
class Preview:
    """``confirmed`` is what would be invoiced were the period to end now, late outcomes of earlier periods included;
    ``provisional`` is what is in its settlement window and would settle inside the period.
    """

    customer: Customer
    agreement: Agreement
    period: Period
    confirmed: Part
    provisional: Part
    held: tuple[queries.Held, ...]


def preview(customer_key: str, *, now: datetime) -> Preview:
    """The running period of a customer's contract. ApiError 404 for an unknown customer or without a contract now."""
    customer = Customer.objects.filter(key=customer_key).first()
    if customer is None:
        raise ApiError(404, "not_found", f"There is no customer {customer_key[:80]!r}.")
    agreed = terms.load([customer.id])
    agreement = agreed.agreement_at(customer.id, now)
    if agreement is None:
        raise ApiError(404, "no_contract", f"Customer {customer_key!r} has no contract at this time.")
    # `until` is exclusive, and a period may begin at this very instant.
    grid = selection.grid_of(agreed, agreement, until=now + datetime.resolution)
    running = len(grid.periods) - 1
    horizon = grid.horizon(running)
    return Preview(
        customer,
        agreement,
        grid.periods[running],
        confirmed=_rated(grid, selection.unbilled(grid, horizon), agreement.currency),
        provisional=_rated(grid, selection.provisional(grid, horizon), agreement.currency),
        held=tuple(one for one in queries.held_back([customer.id]) if one.reason != queries.PERIOD_OPEN),
    )


def preview_json(found: Preview) -> dict[str, Any]:
    """As the API shows it."""
    currency = found.agreement.currency
    both = [*found.confirmed.lines, *found.provisional.lines]
    slugs = dict(
        Condition.objects.filter(pk__in={line.usage.condition for line in both}).values_list("pk", "slug").iterator()
    )
    return {
        "customer": found.customer.key,
        "contract": ids.encode(CONTRACT_PREFIX, found.agreement.id),
        "currency": currency,
        "period_start": format_rfc3339(found.period.start),
        "period_end": format_rfc3339(found.period.end),
        "confirmed": _part_json(found.confirmed, slugs, currency),
        "provisional": _part_json(found.provisional, slugs, currency),
        "held_back": [{"reason": one.reason, "outcomes": one.outcomes} for one in found.held],
    }


def _rated(grid: Grid, groups: Sequence[Group], currency: str) -> Part:
    """The groups as lines. Each period's lines are rated by themselves, as its invoice would."""
    tariff = drafts.tariff_of(grid, groups)
    numbers = {(key.condition_id, key.dimensions, key.stretch): key.number for key in tariff.keys}
    by_period: dict[int, list[rating.Charge]] = {}
    for group in groups:
        number = numbers.get((group.condition_id, group.dimensions, group.stretch))
        if number is not None:
            usage = rating.Usage(
                group.condition_id,
                rating.dimensions_of(json.loads(group.dimensions)),
                group.quantity,
                group.outcomes,
            )
            by_period.setdefault(group.period, []).append(rating.Charge(tariff.prices[number], usage))
    lines = [
        line for period in sorted(by_period) for line in rating.rate_lines(rating.merge(by_period[period]), currency)
    ]
    return Part(tuple(lines), _total(lines, currency))


def _total(lines: Iterable[rating.Line], currency: str) -> int:
    return money.total((money.Money(line.amount_minor, currency) for line in lines), currency).amount_minor


def _part_json(part: Part, slugs: dict[int, str], currency: str) -> dict[str, Any]:
    return {
        "lines": [
            {
                "condition": slugs[line.usage.condition],  # type: ignore[index]
                "dimensions": dict(line.usage.dimensions),
                "quantity": texts.plain(line.usage.quantity),
                "unit_price": texts.unit_price(line.price.unit_price, currency),
                "amount": money.major_text(line.amount_minor, currency),
                "outcome_count": line.usage.outcomes,
            }
            for line in part.lines
        ],
        "total": money.major_text(part.total_minor, currency),
    }
