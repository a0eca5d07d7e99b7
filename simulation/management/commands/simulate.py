"""`manage.py simulate`: what another definition, price or term would have billed. Nothing is stored."""

import csv
import json
from argparse import ArgumentParser
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from access.errors import ApiError
from contracts.apply.documents import DocumentError, read_yaml
from simulation import report, results
from simulation.asked import Asked
from simulation.checking import check
from simulation.run import simulate
from simulation.serializers import read

FORMATS = ("text", "json", "csv")


class Command(BaseCommand):
    help = (
        "Compute what a condition, prices or contract terms would have billed on the stored events, beside what is in"
        " force (docs/simulation.md). Writes nothing to the database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="start", required=True, metavar="TIME", help="a day, or an RFC 3339 time")
        parser.add_argument("--to", dest="end", required=True, metavar="TIME", help="the end, which does not count")
        parser.add_argument("--condition", type=Path, metavar="FILE", help="text of a condition")
        parser.add_argument("--rate-card", type=Path, metavar="FILE", help="prices, as in the files of `apply`")
        parser.add_argument(
            "--replaces", metavar="KEY", help="the rate card they stand in the place of (default: each in the currency)"
        )
        parser.add_argument(
            "--contract", type=Path, metavar="FILE", help="terms of every contract: YAML, docs/apply.md"
        )
        parser.add_argument(
            "--window", nargs=2, action="append", default=[], metavar=("SLUG", "DURATION"), help='such as "14 days"'
        )
        parser.add_argument("--customer", action="append", default=[], metavar="KEY", help="only this one; repeatable")
        parser.add_argument("--window-curve", metavar="SLUG", help="revenue by windows of 1 hour to 30 days")
        parser.add_argument("--price-curve", metavar="SLUG", help="revenue by prices of 50 %% to 150 %%")
        parser.add_argument("--format", choices=FORMATS, default="text")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to the terminal")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            asked = read(_question(options))
            check(asked, now)
        except ApiError as error:
            raise CommandError("\n".join(_complaints(error))) from None
        # Opened first: nobody wants to hear after minutes that there is no such directory.
        with _out(options["output"], self.stdout) as out:
            rows, beside = self._run(asked, now)
            _write(options["format"], asked, rows, beside, out)
        if options["output"] is not None:
            self.stdout.write(f"{beside.events:,} events read; written to {options['output']}.")

    def _run(self, asked: Asked, now: Any) -> tuple[list[results.Row], results.Beside]:
        columns = (
            TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TaskProgressColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("replay", total=None)
            return simulate(
                asked,
                now,
                total=lambda events: bar.update(task, total=events),
                progress=lambda events: bar.advance(task, events),
            )


def _question(options: dict[str, Any]) -> dict[str, Any]:
    """What is asked, as the body of a request."""
    given: dict[str, Any] = {"from": _instant(options["start"]), "to": _instant(options["end"])}
    if options["condition"] is not None:
        given["condition"] = _text(options["condition"])
    if options["rate_card"] is not None:
        given["rate_card"] = _document(options["rate_card"])
        if options["replaces"] is not None:
            given["rate_card"]["key"] = options["replaces"]
    elif options["replaces"] is not None:
        raise CommandError("--replaces says which card the prices of --rate-card stand in the place of: give both.")
    if options["contract"] is not None:
        given["contract"] = _document(options["contract"])
    if options["window"]:
        windows = given.setdefault("contract", {}).setdefault("settlement_windows", {})
        windows.update(dict(options["window"]))
    if options["customer"]:
        given["customers"] = options["customer"]
    for name in ("window_curve", "price_curve"):
        if options[name] is not None:
            given[name] = options[name]
    return given


def _instant(text: str) -> str:
    """A day is its midnight, UTC."""
    return f"{text}T00:00:00Z" if len(text) == 10 else text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def _document(path: Path) -> dict[str, Any]:
    try:
        value = read_yaml(_text(path)).value
    except DocumentError as error:
        raise CommandError(f"{path}, line {error.line or 1}: {error.message}.") from None
    if not isinstance(value, dict):
        raise CommandError(f"{path}: expected names with their values, such as `currency: USD`.")
    return value


def _complaints(error: ApiError) -> list[str]:
    return [f"{one.path}: {one.message}" if one.path else one.message for one in error.details] or [error.message]


def _out(path: Path | None, stdout: Any) -> Any:
    if path is None:
        return nullcontext(stdout)
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None


def _write(form: str, asked: Asked, rows: list[results.Row], beside: results.Beside, out: Any) -> None:
    if form == "csv":
        writer = csv.writer(out)
        writer.writerow(results.CSV_HEADER)
        writer.writerows(results.csv_rows(rows))
        return
    totals = results.Totals()
    totals.add(rows)
    summary = results.summary_json(totals, beside)
    customers = [results.customer_json(key, both) for key, both in results.by_customer(rows).items()]
    if form == "json":
        json.dump({**summary, "customers": customers}, out, indent=2, ensure_ascii=False)
        out.write("\n")
        return
    report.write(summary, customers, out)
