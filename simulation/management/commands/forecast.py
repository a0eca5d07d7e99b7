"""`manage.py forecast`: what running periods come to if provisional outcomes survive as past ones did."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from access.errors import ApiError
from simulation.forecast import forecast_json, forecasts, past_of_everybody, with_contracts
from simulation.reading import snapshot


class Command(BaseCommand):
    help = (
        "Forecast the running period of customers from their provisional outcomes by the past survival rate of such"
        " outcomes (docs/simulation.md). Writes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--customer", metavar="KEY", help="this one (default: each that has a contract now)")
        parser.add_argument("--json", action="store_true", help="a list in JSON, as in the API")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        with snapshot():
            past = past_of_everybody(now)
            one = options["customer"]
            try:
                keys = with_contracts() if one is None else [one]
                found = forecasts(keys, now=now, past=past, strict=one is not None)
            except ApiError as error:
                raise CommandError(error.message) from None
            told = [forecast_json(one) for one in found]
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2, ensure_ascii=False))
        else:
            _print(told, self.stdout)


def _print(told: list[dict[str, Any]], out: Any) -> None:
    console = Console(file=out, highlight=False, width=120, soft_wrap=True)
    if not told:
        console.print("No customer has a contract now.")
        return
    table = Table(title="Running periods, if provisional outcomes survive as past ones did", title_justify="left")
    table.add_column("Customer")
    table.add_column("Period ends")
    table.add_column("Currency")
    for name in ("Confirmed", "Low", "Expected", "High", "If all survive"):
        table.add_column(name, justify="right")
    for one in told:
        amounts = [one[name] or "unknown" for name in ("confirmed", "low", "expected", "high")]
        table.add_row(escape(one["customer"]), one["period_end"], one["currency"], *amounts, one["if_all_confirmed"])
    console.print(table)
    rates = Table(title="Provisional outcomes, and the rates they are judged by", title_justify="left")
    for name in ("Customer", "Condition"):
        rates.add_column(name)
    for name in ("Outcomes", "Amount", "Share", "Low", "High"):
        rates.add_column(name, justify="right")
    rates.add_column("Rate of")
    for name in ("Past outcomes", "Confirmed"):
        rates.add_column(name, justify="right")
    for one in told:
        for row in one["conditions"]:
            share = row["share"] or {}
            shares = [share.get(name, "unknown") for name in ("expected", "low", "high")]
            past = [f"{row[name]:,}" for name in ("past_outcomes", "past_confirmed")]
            rates.add_row(
                escape(one["customer"]), row["condition"], f"{row['outcomes']:,}", row["provisional"], *shares,
                row["basis"] or "nothing", *past,
            )  # fmt: skip
    if rates.row_count:
        console.print(rates)
