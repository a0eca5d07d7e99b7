"""`manage.py audit`: what must hold of the data, proved on the live database."""

import json
import secrets
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib import import_module
from typing import IO, Any, cast

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.utils import timezone
from django.utils.module_loading import module_has_submodule
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from access import ids
from access.invariants import Invariant, Result, Row, Scope, check, snapshot
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.models import Customer
from invoicing.refusals import INVOICE_PREFIX, LINE_PREFIX, NOTE_PREFIX
from outcomes.models import Event
from outcomes.queries import IMPORT_PREFIX, OUTCOME_PREFIX

SAMPLE = 1000
CLEAN, VIOLATED, NOT_RUN = 0, 1, 2

PREFIXES = {
    "outcome": OUTCOME_PREFIX,
    "invoice": INVOICE_PREFIX,
    "line": LINE_PREFIX,
    "credit_note": NOTE_PREFIX,
    "contract": CONTRACT_PREFIX,
    "import": IMPORT_PREFIX,
}


class Command(BaseCommand):
    help = (
        "Prove on the live database what must hold of it, in one read-only snapshot. Exit status 0: it holds; 1: it "
        "does not, and the rows are named; 2: the audit could not run."
    )
    # The exit status speaks of the data alone.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="compute every subject and event anew, not a sample")
        parser.add_argument("--json", action="store_true", help="for machines")
        parser.add_argument("--customer", metavar="KEY", help="only this customer")
        parser.add_argument(
            "--sample",
            type=int,
            metavar="N",
            help=f"how many subjects and events to compute anew (default: {SAMPLE:,})",
        )
        parser.add_argument("--seed", type=int, metavar="S", help="which of them; by default others in every run")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["all"] and options["sample"] is not None:
            raise CommandError("--all looks at everything, --sample at a part: give one of them.", returncode=NOT_RUN)
        sample = SAMPLE if options["sample"] is None else options["sample"]
        if sample < 0:
            raise CommandError("--sample must be 0 or more.", returncode=NOT_RUN)
        seed = secrets.randbelow(10**6) if options["seed"] is None else options["seed"]
        try:
            scope = Scope(
                now=timezone.now(),
                customer=_customer(options["customer"]),
                sample=None if options["all"] else sample,
                seed=seed,
            )
            self._run(scope, options)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"The database cannot be read: {error}", returncode=NOT_RUN) from error

    def _run(self, scope: Scope, options: dict[str, Any]) -> None:
        stderr = Console(stderr=True)
        columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        invariants = collect()
        with Progress(*columns, console=stderr, transient=True, disable=options["json"]) as bar, snapshot():
            task = bar.add_task("", total=len(invariants))
            results = []
            for result in check(invariants, _watched(scope, bar)):
                results.append(result)
                bar.update(task, completed=len(results), description=result.invariant.name)
            named = _named(results)
        if options["json"]:
            self.stdout.write(json.dumps(_json(results, scope, options["customer"], named), indent=2, default=str))
        else:
            _print(
                Console(file=cast(IO[str], self.stdout), no_color=options["no_color"], highlight=False),
                results,
                scope,
                named,
            )
        failed = [result for result in results if result.error]
        broken = [result for result in results if result.findings.violations]
        if failed:
            raise CommandError(
                "Could not be checked: " + ", ".join(result.invariant.name for result in failed) + ".",
                returncode=NOT_RUN,
            )
        if broken:
            raise CommandError(
                "Does not hold: " + ", ".join(result.invariant.name for result in broken) + ".", returncode=VIOLATED
            )


def collect() -> list[Invariant]:
    """What the apps list in their `audit.py`, the lowest app first."""
    found: list[Invariant] = []
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "audit"):
            found += getattr(import_module(f"{app.name}.audit"), "INVARIANTS", ())
    return found


def _customer(key: str | None) -> int | None:
    if key is None:
        return None
    found = Customer.objects.filter(key=key).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"There is no customer {key!r}.", returncode=NOT_RUN)
    return found


def _watched(scope: Scope, bar: Progress) -> Scope:
    """The scope, whose long checks show how far they are."""
    tasks: dict[str, Any] = {}

    def progress(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
        bar.update(tasks[name], completed=done)

    return Scope(scope.now, scope.customer, scope.sample, scope.seed, progress)


# --- what is shown ----------------------------------------------------------------------------------------------------

Names = Callable[[Row], dict[str, Any]]
"""A row with ids a person can look up instead of row numbers."""


def _named(results: Iterable[Result]) -> Names:
    rows = [row for result in results for row in result.findings.violation_rows + result.findings.warning_rows]
    customers = dict(Customer.objects.filter(id__in=_values(rows, "customer")).values_list("id", "key"))
    events = dict(Event.objects.filter(seq__in=_values(rows, "event")).values_list("seq", "event_id"))

    def named(row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, value in row.items():
            if value is None:
                continue
            if name in PREFIXES:
                value = ids.encode(PREFIXES[name], value)
            elif name == "customer":
                value = customers.get(value, f"(row {value})")
            elif isinstance(value, datetime):
                value = value.isoformat()
            shown[name] = value
        if (seq := row.get("event")) in events:
            shown["event_id"] = events[seq]
        return shown

    return named


def _values(rows: Iterable[Row], name: str) -> set[int]:
    return {row[name] for row in rows if row.get(name) is not None}


def _print(console: Console, results: list[Result], scope: Scope, named: Names) -> None:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("invariant")
    for column in ("checked", "", "violations", "late", "ms"):
        table.add_column(column, justify="left" if column == "" else "right")
    for result in results:
        found = result.findings
        table.add_row(
            result.invariant.name,
            f"{found.checked:,}",
            result.invariant.of,
            "could not run" if result.error else f"{found.violations:,}",
            f"{found.warnings:,}" if found.warnings else "",
            f"{result.milliseconds:,}",
            style="bold red" if found.violations or result.error else "yellow" if found.warnings else None,
        )
    console.print(table)
    for result in results:
        _print_found(console, result, named)
    took = sum(result.milliseconds for result in results) / 1000
    if scope.sample is None:
        looked = "every subject and event was computed anew"
    else:
        looked = (
            f"{scope.sample:,} subjects and {scope.sample:,} events at most were computed anew (--seed {scope.seed})"
        )
    console.print(f"\nAs of {scope.now.isoformat(timespec='seconds')}, in {took:.1f} s; {looked}.", soft_wrap=True)


def _print_found(console: Console, result: Result, named: Names) -> None:
    found, invariant = result.findings, result.invariant
    if not (found.violations or found.warnings or result.error):
        return
    console.print(f"\n[bold]{invariant.name}[/bold]: {invariant.sentence}", soft_wrap=True)
    if result.error:
        console.print(f"  could not be checked: {result.error}", markup=False, soft_wrap=True)
    for rows, count, more in (
        (found.violation_rows, found.violations, "violations"),
        (found.warning_rows, found.warnings, "late"),
    ):
        for row in rows:
            shown = named(row)
            problem = shown.pop("problem")
            where = "  ".join(f"{name} {value}" for name, value in shown.items())
            console.print(f"  {problem}: {where}", markup=False, soft_wrap=True)
        if count > len(rows):
            console.print(f"  … and {count - len(rows):,} more {more}")
    console.print(f"  What to do: {invariant.way_out}", markup=False, soft_wrap=True)


def _json(results: list[Result], scope: Scope, customer: str | None, named: Names) -> dict[str, Any]:
    return {
        "at": scope.now.isoformat(),
        "customer": customer,
        "sample": scope.sample,
        "seed": scope.seed,
        "clean": not any(result.error or result.findings.violations for result in results),
        "invariants": [
            {
                "name": result.invariant.name,
                "sentence": result.invariant.sentence,
                "way_out": result.invariant.way_out,
                "of": result.invariant.of,
                "checked": result.findings.checked,
                "violations": result.findings.violations,
                "late": result.findings.warnings,
                "milliseconds": result.milliseconds,
                "error": result.error,
                "violation_rows": [named(row) for row in result.findings.violation_rows],
                "late_rows": [named(row) for row in result.findings.warning_rows],
            }
            for result in results
        ],
    }
