"""A simulation as text for a terminal: totals, months, conditions, curves, examples, customers."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

MOST_CUSTOMERS = 30
UNPRICED = "Counted and not charged, for no contract or price is for them or a person must complete them"


def write(summary: Mapping[str, Any], customers: Sequence[Mapping[str, Any]], out: Any) -> None:
    """Print what `results.summary_json` and `results.customer_json` tell."""
    # Without markup: what customers and senders call things may look like it.
    console = Console(file=out, highlight=False, width=120, soft_wrap=True, markup=False)
    console.print(f"{summary['events']:,} events replayed, in force and tried.")
    if summary["archived_months"]:
        months = ", ".join(summary["archived_months"])
        console.print(f"Events received in {months} are archived and were not read: restore them first.", style="bold")
    for warning in summary["warnings"]:
        console.print(f"The text that is tried: {warning}", style="bold")
    console.print(_sides("In total", "", [("", summary)]))
    console.print(_sides("By month", "Month", [(one["month"], one) for one in summary["months"]]))
    conditions = [(one["condition"] or "(terms)", one) for one in summary["conditions"]]
    console.print(_sides("By condition; (terms) are fees, discounts, minimums, caps and commitments", "", conditions))
    _changes(console, summary)
    before, after = (summary[side]["unpriced"] for side in ("before", "after"))
    if before or after:
        console.print(f"{UNPRICED}: {before:,} in force, {after:,} tried.")
    before, after = summary["provisional"]["before"], summary["provisional"]["after"]
    if before or after:
        console.print(f"In their settlement window now, and not counted: {before:,} in force, {after:,} tried.")
    _curve(console, summary["window_curve"], "Revenue by settlement window", "window")
    _curve(console, summary["price_curve"], "Revenue by price, in percent of what is tried", "percent")
    _customers(console, customers)


def _sides(title: str, first: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in ("Outcomes", "tried", "Difference", "Given back", "tried"):
        table.add_column(name, justify="right")
    table.add_column("Currency")
    for name in ("Revenue", "tried", "Difference"):
        table.add_column(name, justify="right")
    for label, one in rows:
        counts = [f"{one[side]['outcomes']:,}" for side in ("before", "after")]
        counts.append(f"{one['difference']['outcomes']:+,}")
        counts += [f"{one[side]['reversed']:,}" for side in ("before", "after")]
        currencies = list(one["before"]["revenue"]) or [""]
        for number, currency in enumerate(currencies):
            shown = [one[side]["revenue"].get(currency, "") for side in ("before", "after", "difference")]
            table.add_row(*([label, *counts] if number == 0 else [""] * 6), currency, *map(_amount, shown))
    return table


def _amount(text: str) -> str:
    return f"{Decimal(text):,}" if text else ""


def changed(changes: Mapping[str, int]) -> bool:
    """Whether anything becomes of a condition's outcomes that does not in force."""
    moved = any(changes[name] for name in ("gained", "lost", "moved_in", "moved_out"))
    # Results of earlier releases do not tell what is given back of those that were kept.
    return moved or changes.get("kept_reversed_before") != changes.get("kept_reversed_after")


def _changes(console: Console, summary: Mapping[str, Any]) -> None:
    for one in summary["conditions"]:
        changes = one["changes"]
        if changes is None or not changed(changes):
            continue
        back = f" ({changes['gained_reversed']:,} of them to be given back later)" if changes["gained_reversed"] else ""
        given = changes["kept_reversed_before"], changes["kept_reversed_after"]
        kept = f" (given back: {given[0]:,} of them in force, {given[1]:,} as tried)" if any(given) else ""
        console.print(
            f"{one['condition']}: {changes['kept']:,} kept{kept}, {changes['gained']:,} gained{back}, "
            f"{changes['lost']:,} lost (of which {changes['lost_reversed']:,} did not hold in force either), "
            f"{changes['moved_in']:,} moved into these periods and {changes['moved_out']:,} out of them."
        )
        for kind in ("lost", "gained"):
            for example in one["examples"].get(kind, ()):
                console.print(f"  {kind}: {example['customer']} {example['subject']}: {example['why']}")


def _curve(console: Console, points: Sequence[Mapping[str, Any]], title: str, name: str) -> None:
    if not points:
        return
    currencies = sorted({currency for point in points for currency in point["revenue"]})
    most = {c: max(abs(Decimal(point["revenue"].get(c, "0"))) for point in points) or Decimal(1) for c in currencies}
    table = Table(title=title, title_justify="left")
    table.add_column(name.capitalize(), justify="right")
    table.add_column("Outcomes", justify="right")
    table.add_column("Given back", justify="right")
    table.add_column("In window yet", justify="right")
    for currency in currencies:
        table.add_column(currency, justify="right")
        table.add_column("")
    for point in points:
        cells = []
        for currency in currencies:
            amount = Decimal(point["revenue"].get(currency, "0"))
            cells += [f"{amount:,}", "█" * int(30 * max(amount, Decimal(0)) / most[currency])]
        table.add_row(
            str(point[name]), f"{point['outcomes']:,}", f"{point['reversed']:,}", f"{point['provisional']:,}", *cells
        )
    console.print(table)


def _customers(console: Console, customers: Sequence[Mapping[str, Any]]) -> None:
    def moved(one: Mapping[str, Any]) -> Decimal:
        return sum((abs(Decimal(amount)) for amount in one["difference"]["revenue"].values()), Decimal(0))

    shown = sorted(customers, key=lambda one: (-moved(one), one["customer"]))[:MOST_CUSTOMERS]
    title = f"By customer; {len(shown)} of {len(customers)}, those that change most (all: --format csv)"
    console.print(_sides(title, "Customer", [(one["customer"], one) for one in shown]))
