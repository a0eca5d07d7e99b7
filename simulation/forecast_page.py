"""The admin's page of the forecast: what running periods come to, and how surely provisional outcomes are confirmed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count

from contracts.domain import money
from contracts.models import Condition
from outcomes.models import Outcome, State
from simulation.admin_pages import IN_FORCE, TRIED, chart
from simulation.domain.survival import BUCKETS, LifeTable
from simulation.forecast import Forecast, forecast_json, forecasts, past_of_everybody, with_contracts
from simulation.reading import snapshot

MOST = 25
"""Customers on the page, those with the most outcomes in their window: each is some 25 queries, and nobody waits
seconds for a page. `manage.py forecast` has no such limit.
"""
DRAWN = 20
"""Customers in a chart: those of whom most is expected."""
CURVES = 6
"""Conditions that are drawn: those with the longest past."""
AGES = [f"{100 * bucket // BUCKETS} %" for bucket in range(BUCKETS)]

LOW, HIGH = "#c4b5fd", "#d946ef"


def page_context(customer: str | None, now: datetime) -> dict[str, Any]:
    """What the template `simulation/forecast.html` shows, of one customer (a key) or of all. Reads inside a snapshot of
    its own. ApiError 404 where that customer is not there or has no contract now.
    """
    # Inside somebody's transaction it reads what that one sees.
    with nullcontext() if connection.in_atomic_block else snapshot():
        past = past_of_everybody(now)
        keys = _with_most_in_their_window() if customer is None else [customer]
        found = forecasts(sorted(keys[:MOST]), now=now, past=past, strict=customer is not None)
        slugs = dict(Condition.objects.values_list("id", "slug"))
        told = [forecast_json(one) for one in found]
    tables = sorted(past.items(), key=lambda one: (-one[1].outcomes, slugs[one[0]]))
    return {
        "customer": customer,
        "now": now,
        "shown": len(found),
        "left_out": max(len(keys) - MOST, 0),
        "totals": list(_totals(found)),
        "charts": [*_charts(told), *_curves(tables[:CURVES], slugs)],
        "customers": [_customer(one) for one in told],
        "waiting": [row for one in told for row in _waiting(one)],
        "ages": AGES,
        "rates": [_rates(slugs[condition], table) for condition, table in tables],
    }


def _with_most_in_their_window() -> list[str]:
    """Keys of customers with contracts; those of whom most can still be confirmed or lost come first."""
    waiting = Outcome.objects.filter(state=State.PROVISIONAL, due_at__isnull=False).order_by()
    counts = dict(waiting.values_list("customer__key").annotate(Count("pk")))
    return sorted(with_contracts(), key=lambda key: (-counts.get(key, 0), key))


def _totals(found: Iterable[Forecast]) -> Iterator[dict[str, str]]:
    """By currency, everything added up. Where nothing is known of a customer's past nothing is expected in total."""
    sums: dict[str, list[Forecast]] = defaultdict(list)
    for one in found:
        sums[one.preview.agreement.currency].append(one)
    for currency, listed in sorted(sums.items()):
        expected = [one.expected for one in listed]
        confirmed = sum(one.preview.confirmed.total_minor for one in listed)
        whole = confirmed + sum(one.preview.provisional.total_minor for one in listed)
        shown = {
            "confirmed": confirmed,
            "low": sum(one.low for one in listed),
            "expected": None if None in expected else sum(one or 0 for one in expected),
            "high": sum(one.high for one in listed),
            "if_all_confirmed": whole,
        }
        yield {"currency": currency, "customers": f"{len(listed):,}"} | {
            name: "unknown" if minor is None else _amount(money.major_text(minor, currency))
            for name, minor in shown.items()
        }


def _customer(one: Mapping[str, Any]) -> dict[str, Any]:
    amounts = ("confirmed", "low", "expected", "high", "if_all_confirmed")
    return {
        "customer": one["customer"],
        "test": one["test"],
        "currency": one["currency"],
        "period": f"{one['period_start'][:10]} – {one['period_end'][:10]}",
        "amounts": ["unknown" if one[name] is None else _amount(one[name]) for name in amounts],
    }


def _waiting(one: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in one["conditions"]:
        share = row["share"]
        yield {
            "customer": one["customer"],
            "condition": row["condition"],
            "outcomes": f"{row['outcomes']:,}",
            "provisional": f"{_amount(row['provisional'])} {one['currency']}",
            "share": "unknown" if share is None else _shares(share["low"], share["expected"], share["high"]),
            "basis": row["basis"] or "nothing",
            "past": f"{row['past_outcomes']:,}",
        }


def _shares(low: Any, expected: Any, high: Any) -> str:
    low, expected, high = (f"{100 * Decimal(one):.1f}" for one in (low, expected, high))
    return f"{expected} % ({low} to {high})"


def _rates(slug: str, table: LifeTable) -> dict[str, Any]:
    """Of everybody's outcomes, how surely one is confirmed that has survived so much of its window."""
    found = [table.interval(bucket / BUCKETS) for bucket in range(BUCKETS)]
    return {
        "condition": slug,
        "past": f"{table.outcomes:,}",
        "confirmed": f"{table.confirmed:,}",
        "by_age": [_shares(one.low, one.expected, one.high) for one in found],
    }


def _charts(told: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A chart for each currency: a group of bars for each customer."""
    for currency in sorted({one["currency"] for one in told}):
        mine = [one for one in told if one["currency"] == currency]
        mine.sort(key=lambda one: (-Decimal(one["expected"] or one["high"]), one["customer"]))
        bars = [
            ("confirmed", "confirmed", IN_FORCE),
            ("low", "low", LOW),
            ("expected", "expected", TRIED),
            ("high", "high", HIGH),
        ]
        sets = [(label, [one[name] or "0" for one in mine[:DRAWN]], colour) for name, label, colour in bars]
        title = f"Running periods, {currency}: confirmed grey, low pale, expected violet, high pink"
        yield chart(title, "bar", [one["customer"] for one in mine[:DRAWN]], sets)


def _curves(tables: Sequence[tuple[int, LifeTable]], slugs: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """A chart for each condition: the rate by the part of the window that was survived, and its bounds."""
    for condition, table in tables:
        found = [table.interval(bucket / BUCKETS) for bucket in range(BUCKETS)]
        sets = [
            ("low", [_percent(one.low) for one in found], LOW),
            ("rate", [_percent(one.expected) for one in found], TRIED),
            ("high", [_percent(one.high) for one in found], HIGH),
        ]
        title = f"{slugs[condition]}: percent confirmed, by the part of the window survived; low pale, high pink"
        yield chart(title, "line", AGES, sets)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _amount(text: str) -> str:
    return f"{Decimal(text):,}"
