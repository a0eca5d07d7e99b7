"""Invariants of the stored data, and how they are checked: what each app's `audit.py` lists and `manage.py audit` runs.

An invariant is a sentence that must hold of the tables, with the queries that find the rows where it does not. Nothing
here writes; all checks of one run see one snapshot (`snapshot`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import Error, connection, transaction

SHOWN = 20

Row = Mapping[str, Any]
"""One offence: ``problem`` in words, and the ids a person looks it up by: ``customer`` (row id), ``outcome``,
``invoice``, ``line``, ``contract`` (UUIDs), ``event`` (seq), ``subject`` (row id), and what else helps.
"""

Progress = Callable[[str, int, int], None]
"""Told by long checks: the invariant's name, how many things are done, how many there are."""


@dataclass(frozen=True)
class Scope:
    """What one run looks at. ``customer`` is a row id, None for all; ``sample`` is how many subjects (and events) are
    computed anew, None for every one, chosen by ``seed``.
    """

    now: datetime
    customer: int | None = None
    sample: int | None = 1000
    seed: int = 0
    progress: Progress = lambda name, done, total: None


@dataclass
class Findings:
    """What was looked at and what was found; of each kind the first `SHOWN` rows are kept."""

    checked: int = 0
    violations: int = 0
    warnings: int = 0
    violation_rows: list[Row] = field(default_factory=list)
    warning_rows: list[Row] = field(default_factory=list)

    def violation(self, row: Row) -> None:
        self.violations += 1
        if len(self.violation_rows) < SHOWN:
            self.violation_rows.append(row)

    def warning(self, row: Row) -> None:
        self.warnings += 1
        if len(self.warning_rows) < SHOWN:
            self.warning_rows.append(row)

    def add_sql(self, query: str, parameters: Mapping[str, Any], *, warn: bool = False) -> None:
        """Add what the query finds, a violation a row (a warning with ``warn``)."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) OVER () AS total, found.* FROM ({query}) found LIMIT {SHOWN}", parameters)
            names = [column.name for column in cursor.description][1:]
            found = cursor.fetchall()
        total = found[0][0] if found else 0
        rows = [dict(zip(names, values[1:], strict=True)) for values in found]
        if warn:
            self.warnings += total
            self.warning_rows += rows[: SHOWN - len(self.warning_rows)]
        else:
            self.violations += total
            self.violation_rows += rows[: SHOWN - len(self.violation_rows)]


Function = Callable[[Scope, Findings], None]
"""A check that SQL alone cannot say: it adds to the findings what it looked at and what it found."""


@dataclass(frozen=True)
class Invariant:
    """``sentence`` says what holds and ``way_out`` what to do where it does not.

    ``checked`` is SQL for the number of things looked at, in the unit ``of``. ``violations`` and ``warnings`` are SQL
    whose rows are the offences (a column ``problem``, and ids, see `Row`), with the parameters ``customer`` (null for
    all) and ``now``. A warning is what is late, not wrong: it does not fail an audit.
    """

    name: str
    sentence: str
    way_out: str
    of: str
    checked: str = ""
    violations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of one invariant. ``error`` says why it could not be checked, or is empty."""

    invariant: Invariant
    findings: Findings
    milliseconds: int
    error: str = ""


@contextmanager
def snapshot() -> Iterator[None]:
    """One read-only transaction in which everything is seen as of its first query."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # The checks join whole tables: memory for their hashes, for this transaction only.
        cursor.execute("SET LOCAL work_mem = '128MB'")
        yield


def check(invariants: Iterable[Invariant], scope: Scope) -> Iterator[Result]:
    """The result of each invariant, in order. One that cannot be checked says so and costs the others nothing."""
    for invariant in invariants:
        began = time.perf_counter()
        findings, error = Findings(), ""
        try:
            with transaction.atomic():
                _check(invariant, scope, findings)
        except Exception as failure:
            if isinstance(failure, Error) and not connection.is_usable():
                raise
            error = f"{type(failure).__name__}: {failure}".strip()
        yield Result(invariant, findings, round((time.perf_counter() - began) * 1000), error)


def _check(invariant: Invariant, scope: Scope, findings: Findings) -> None:
    parameters = {"customer": scope.customer, "now": scope.now}
    if invariant.checked:
        with connection.cursor() as cursor:
            cursor.execute(invariant.checked, parameters)
            findings.checked += cursor.fetchone()[0]
    for query in invariant.violations:
        findings.add_sql(query, parameters)
    for query in invariant.warnings:
        findings.add_sql(query, parameters, warn=True)
    for function in invariant.functions:
        function(scope, findings)
