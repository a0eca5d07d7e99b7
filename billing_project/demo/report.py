"""What the demo prints at the end: totals, the largest invoice as its reader sees it, one line traced to its events."""

from collections import Counter
from pathlib import Path

import yaml
from django.db import connection
from django.db.models import Count, Sum
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from access import ids
from billing_project.demo.client import Api
from contracts.domain.money import major_text
from contracts.models import Condition
from invoicing.models import Invoice, InvoiceLine, LineOutcome, Status
from outcomes.models import InboxItem, Outcome

SLUG = "resolved_incident"


def totals() -> dict[str, dict[str, int]]:
    """The figures of totals.yaml, from the database."""
    rows = Outcome.objects.filter(condition__slug=SLUG)
    confirmed = rows.filter(state="confirmed")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_char(settled_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) FROM outcomes_outcome "
            "WHERE state = 'confirmed' AND condition_id = %s GROUP BY 1 ORDER BY 1",
            [Condition.objects.get(slug=SLUG).pk],
        )
        by_month = dict(cursor.fetchall())
    return {
        "by_state": dict(rows.values_list("state").annotate(count=Count("id")).order_by("-count")),
        "by_priority": dict(
            confirmed.values_list("dimensions__priority").annotate(Count("id")).order_by("dimensions__priority")
        ),
        "by_month": by_month,
    }


def expected() -> dict[str, dict[str, int]]:
    """What an independent recomputation of the same log gave."""
    content: dict[str, dict[str, int]] = yaml.safe_load((Path(__file__).parent / "totals.yaml").read_text())
    return content


def print_totals(console: Console, found: dict[str, dict[str, int]], wanted: dict[str, dict[str, int]]) -> bool:
    """The totals as tables, each figure beside the expected one; whether all agree."""
    agree = True
    for name, title in (
        ("by_state", "Outcomes"),
        ("by_priority", "Confirmed, by priority"),
        ("by_month", "Confirmed, by month of settlement"),
    ):
        table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("")
        table.add_column("here", justify="right")
        table.add_column("recomputed independently", justify="right")
        for key in sorted({*found[name], *wanted[name]}):
            here, there = found[name].get(key, 0), wanted[name].get(key, 0)
            agree = agree and here == there
            table.add_row(key, f"{here:,}", f"{there:,}", style=None if here == there else "bold red")
        console.print(table)
        console.print()
    return agree


def print_invoices(console: Console) -> bool:
    """How many invoices, over how much; whether their lines bill exactly the confirmed outcomes."""
    invoices = Invoice.objects.filter(lines__condition__slug=SLUG).distinct()
    statuses = Counter(invoices.values_list("status", flat=True))
    lines = InvoiceLine.objects.filter(condition__slug=SLUG).exclude(invoice__status=Status.VOID)
    quantity = lines.aggregate(Sum("quantity"))["quantity__sum"] or 0
    linked = LineOutcome.objects.filter(live=True, outcome__condition__slug=SLUG).count()
    confirmed = Outcome.objects.filter(condition__slug=SLUG, state="confirmed").count()
    table = Table(title="Invoices", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("currency", "invoices", "lines", "outcomes billed", "total"):
        table.add_column(column, justify="left" if column == "currency" else "right")
    for currency in sorted(set(invoices.values_list("currency", flat=True))):
        of_currency = Invoice.objects.filter(id__in=invoices.filter(currency=currency).values("id"))
        total = of_currency.aggregate(Sum("total_minor"))["total_minor__sum"]
        table.add_row(
            currency,
            f"{of_currency.count():,}",
            f"{lines.filter(invoice__currency=currency).count():,}",
            f"{lines.filter(invoice__currency=currency).aggregate(Sum('quantity'))['quantity__sum']:,.0f}",
            f"{major_text(total, currency)}",
        )
    console.print(table)
    console.print(f"By status: {', '.join(f'{count:,} {status}' for status, count in sorted(statuses.items()))}.\n")
    return bool(quantity == linked == confirmed)


def print_inbox(console: Console) -> None:
    """What could not be billed, and why."""
    waiting = InboxItem.objects.filter(status=InboxItem.Status.WAITING)
    rows = waiting.values_list("reason", "customer_key").annotate(count=Count("id")).order_by("-count")
    for reason, customer, count in rows[:5]:
        console.print(f"In the inbox: {count} events, {reason} (customer {customer!r}).")
    console.print()


def print_largest(console: Console, api: Api) -> None:
    """The largest invoice over the API, then one line of it down to the events that prove it."""
    largest = Invoice.objects.exclude(status=Status.VOID).order_by("-total_minor").first()
    assert largest is not None
    invoice = api.get(f"/invoices/{ids.encode('inv', largest.id)}")
    table = Table(show_edge=False, pad_edge=False, expand=True)
    table.add_column("")
    table.add_column("unit price", justify="right")
    table.add_column("amount", justify="right")
    for line in invoice["lines"]:
        values = ", ".join(str(value) for value in line["dimensions"].values())
        quantity = line["quantity"]
        table.add_row(
            f"{quantity} x {line['title']}{f'  ({values})' if values else ''}", line["unit_price"], line["amount"]
        )
        if line["voided_count"]:
            table.add_row(
                f"    [dim]{line['voided_count']} of all its outcomes undone within the window: not charged[/dim]",
                "",
                "",
            )
    table.add_section()
    table.add_row("[bold]Total[/bold]", "", f"[bold]{invoice['currency']} {invoice['total']}[/bold]")
    span = f"{invoice['period_start'][:10]} to {invoice['period_end'][:10]}"
    head = f"Invoice {invoice['number']} to {invoice['customer']}, {span}"
    console.print(Panel(table, title=head, subtitle=f"due {str(invoice['due_at'])[:10]}", expand=False, width=96))
    line = invoice["lines"][0]
    console.print(f"\nThe first line, traced. What is billed: [italic]{line['sentence']}[/italic]")
    page = api.get(f"/invoices/{invoice['id']}/lines/{line['id']}/outcomes", limit=1)
    outcome = page["data"][0]
    console.print(f"  its first outcome of {line['outcome_count']:,}: {outcome['id']}, subject {outcome['subject']}")
    for event in api.get(f"/outcomes/{outcome['id']}/events", limit=20)["data"]:
        console.print(f"    {event['time']}  {event['type']:<28} {event['id']}")
    for entry in api.get(f"/outcomes/{outcome['id']}")["journal"]:
        move = f"{entry['from'] or '(begins)'} → {entry['to']}"
        console.print(f"    {entry['effective_at']}  {move}, by {entry['cause']}: {entry['clause']}")
    console.print()
