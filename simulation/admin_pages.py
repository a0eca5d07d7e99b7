"""What the pages of simulations and shadows show: tables, and charts as Chart.js reads them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from outcomes.explain_page import tree_lines
from simulation import jobs, results
from simulation.models import Simulation
from simulation.report import UNPRICED, changed

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
    keys, count = jobs.most_moved(found, SHOWN)
    cells = results.by_customer(jobs.rows_of(found, keys))
    return {
        "result": result,
        "total": lines("", result),
        "months": [line for one in result["months"] for line in lines(one["month"], one)],
        "conditions": [line for one in result["conditions"] for line in lines(one["condition"] or "(terms)", one)],
        "customers": [line for key in keys for line in lines(key, results.both_json(cells[key]))],
        "customer_count": count,
        "customers_shown": len(keys),
        "curves": list(_curves(result)),
        "unpriced": UNPRICED,
        "changed": [changes_shown(one) for one in result["conditions"] if one["changes"] and changed(one["changes"])],
        "charts": list(_charts(result)),
    }


def changes_shown(one: Mapping[str, Any]) -> dict[str, Any]:
    """A condition that changes, with its examples in one list; each with the lines of the tree that says why."""
    examples = [
        example | {"kind": kind, "lines": _why(example["explanation"])}
        for kind, listed in one["examples"].items()
        for example in listed
    ]
    return {"condition": one["condition"], "changes": one["changes"], "examples": examples}


def _why(tree: dict[str, Any] | None) -> list[dict[str, Any]]:
    if tree is None:
        return []
    listed = reverse("admin:outcomes_event_changelist")
    links = {name: {"id": name, "href": f"{listed}?{urlencode({'q': name})}"} for name in _events(tree)}
    return list(tree_lines({"parts": [tree]}, links, 0))


def _events(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from tree["events"]
    for part in tree.get("parts", ()):
        yield from _events(part)


def lines(label: str, one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of a table for each currency; outcomes are of all of them together, and stand in the first."""

    def counts(first: bool) -> list[str]:
        if not first:
            return [""] * 5
        before, after = one["before"], one["after"]
        outcomes = [f"{before['outcomes']:,}", f"{after['outcomes']:,}", f"{one['difference']['outcomes']:+,}"]
        return [*outcomes, f"{before['reversed']:,}", f"{after['reversed']:,}"]

    return [
        {
            "label": label if number == 0 else "",
            "currency": currency,
            "counts": counts(number == 0),
            "revenue": [_amount(one[side]["revenue"].get(currency)) for side in ("before", "after")],
            "revenue_difference": _amount(one["difference"]["revenue"].get(currency), signed=True),
        }
        for number, currency in enumerate(list(one["before"]["revenue"]) or [""])
    ]


def _amount(text: str | None, *, signed: bool = False) -> str:
    if text is None:
        return ""
    return f"{Decimal(text):+,}" if signed and Decimal(text) else f"{Decimal(text):,}"


def _curves(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The points of each curve as a table: (title, currencies, rows of texts)."""
    currencies = sorted(result["before"]["revenue"])
    for name, title, label in CURVES:
        if result[name]:
            rows = [
                [
                    str(point[label]),
                    *(f"{point[count]:,}" for count in ("outcomes", "reversed", "provisional")),
                    *(_amount(point["revenue"].get(currency, "0")) for currency in currencies),
                ]
                for point in result[name]
            ]
            yield {"title": title, "first": label.capitalize(), "currencies": currencies, "rows": rows}


CURVES = (
    ("window_curve", "Revenue by settlement window", "window"),
    ("price_curve", "Revenue by price, in percent of what is tried", "percent"),
)
"""Name in a result, title, and what a point is called by."""

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
        for name, title, label in CURVES:
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
