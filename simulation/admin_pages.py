"""What the pages of simulations and shadows show: tables, and charts as Chart.js reads them."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from simulation import jobs, results
from simulation.models import Simulation

SHOWN = 50
"""Customers on the page: those that change most."""


def asked_rows(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A question, a row for each part of it."""

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)

    return [(name.replace("_", " "), text(value)) for name, value in asked.items()]


def page_context(found: Simulation) -> dict[str, Any]:
    """The result as the page shows it: tables, and charts as Chart.js reads them."""
    result = found.result
    assert result is not None
    customers = [results.customer_json(key, both) for key, both in results.by_customer(jobs.rows_of(found)).items()]
    customers.sort(key=lambda one: (-_moved(one), one["customer"]))
    return {
        "result": result,
        "total": lines("", result),
        "months": [line for one in result["months"] for line in lines(one["month"], one)],
        "conditions": [line for one in result["conditions"] for line in lines(one["condition"] or "(terms)", one)],
        "customers": [line for one in customers[:SHOWN] for line in lines(one["customer"], one)],
        "customer_count": len(customers),
        "customers_shown": min(SHOWN, len(customers)),
        "changed": [one for one in result["conditions"] if one["changes"] and _changed(one["changes"])],
        "charts": list(_charts(result)),
    }


def _moved(one: Mapping[str, Any]) -> Decimal:
    return sum((abs(Decimal(amount)) for amount in one["difference"]["revenue"].values()), Decimal(0))


def _changed(changes: Mapping[str, int]) -> bool:
    return any(changes[name] for name in ("gained", "lost", "moved_in", "moved_out"))


def lines(label: str, one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of a table for each currency."""
    return [
        {
            "label": label,
            "currency": currency,
            "outcomes": [f"{one['before']['outcomes']:,}", f"{one['after']['outcomes']:,}"],
            "outcomes_difference": f"{one['difference']['outcomes']:+,}",
            "revenue": [_amount(one[side]["revenue"].get(currency)) for side in ("before", "after")],
            "revenue_difference": _amount(one["difference"]["revenue"].get(currency), signed=True),
        }
        for currency in (list(one["before"]["revenue"]) or [""])
    ]


def _amount(text: str | None, *, signed: bool = False) -> str:
    if text is None:
        return ""
    return f"{Decimal(text):+,}" if signed and Decimal(text) else f"{Decimal(text):,}"


IN_FORCE, TRIED = "#9ca3af", "#7c3aed"


def _charts(result: Mapping[str, Any]) -> Any:
    """(title, kind, data as JSON, the figures as a table) for each currency."""
    for currency in sorted(result["before"]["revenue"]):
        months = [one["month"] for one in result["months"]]
        sides = [
            (label, [one[side]["revenue"].get(currency, "0") for one in result["months"]], colour)
            for side, label, colour in (("before", "in force", IN_FORCE), ("after", "tried", TRIED))
        ]
        yield chart(f"Revenue by month, {currency}: in force grey, tried violet", "bar", months, sides)
        for name, title, label in (
            ("window_curve", "Revenue by settlement window", "window"),
            ("price_curve", "Revenue by price, in percent of what is tried", "percent"),
        ):
            points = result[name]
            if points:
                revenue = [one["revenue"].get(currency, "0") for one in points]
                axis = [str(one[label]) for one in points]
                yield chart(f"{title}, {currency}", "line", axis, [("revenue", revenue, TRIED)])


def day_charts(days: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The running difference of a shadow (`queries.days_json`) by day: a chart of outcomes, and one of revenue for each
    currency.
    """
    labels = [one["day"] for one in days]
    kind = "line" if len(days) > 1 else "bar"  # a line of one point is not seen
    counts = [str(one["difference"]["outcomes"]) for one in days]
    charts = [chart("Running difference of outcomes, by day", kind, labels, [("outcomes", counts, TRIED)])]
    for currency in sorted({currency for one in days for currency in one["difference"]["revenue"]}):
        amounts = [one["difference"]["revenue"].get(currency, "0") for one in days]
        title = f"Running difference of revenue, by day, {currency}"
        charts.append(chart(title, kind, labels, [("revenue", amounts, TRIED)]))
    return charts


def chart(title: str, kind: str, labels: list[str], sets: list[tuple[str, list[str], str]]) -> dict[str, Any]:
    """A chart as the templates take it; ``sets`` are (label, values as decimal texts, colour)."""
    # Chart.js draws by the text of a number; it is told exact decimals, not floats.
    data = {
        "labels": labels,
        "datasets": [
            {
                "label": label, "data": values, "borderColor": colour, "backgroundColor": colour, "displayYAxis": True,
                "grouped": True, "maxBarThickness": 24,
            }
            for label, values, colour in sets
        ],
    }  # fmt: skip
    return {"title": title, "kind": kind, "data": json.dumps(data)}
