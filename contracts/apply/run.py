"""Use case: make the database say what a directory says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from access.errors import ApiError, Detail
from contracts.apply.directory import read_directory
from contracts.apply.plan import Plan, Problem, Step, Thing
from contracts.changes import Change, Kind

# One apply at a time: two that load the same things in different orders would wait for each other's rows.
_ADVISORY_LOCK = 0x686F6C6466617374  # "holdfast"


@dataclass
class Result:
    """What was done, or with problems or a dry run what would have been: ``written`` tells which. ``skipped``
    could not be tried, since something they build on is wrong.
    """

    changes: list[tuple[Step, Change[Any]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    written: bool = False

    @property
    def anything_to_do(self) -> bool:
        return any(change.wrote for _, change in self.changes)


def apply_directory(
    root: Path, *, now: datetime, dry_run: bool = False, progress: Callable[[int, int], None] | None = None
) -> Result:
    """Load tax rates, customers, conditions, rate cards and contracts from the files of ``root``, all of them or, if
    anything at all is wrong, none; ``dry_run`` goes the whole way and writes nothing either.

    One transaction under one advisory lock (and the row locks of the use cases it calls). Safe to repeat: what says the
    same already is left alone. Nothing is ever deleted: what the directory does not name stays.
    """
    plan = read_directory(root)
    result = Result(problems=plan.problems, notes=plan.notes)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        broken = set(plan.broken)
        for index, step in enumerate(plan.steps):
            if progress is not None:
                progress(index, len(plan.steps))
            if not _ready(step, broken, plan):
                broken.add(step.thing)
                result.skipped.append(step)
                continue
            try:
                with transaction.atomic():
                    result.changes.append((step, step.call(now)))
            except ApiError as refusal:
                broken.add(step.thing)
                result.problems += _problems(step, refusal)
        for step, change in result.changes:
            if step.last is not None and change.kind is Kind.CREATED:
                try:
                    step.last(change.value)
                except ApiError as refusal:
                    result.problems += _problems(step, refusal)
        if result.problems or dry_run:
            transaction.set_rollback(True)
    result.problems.sort(key=lambda problem: (problem.file, problem.line or 0))
    result.written = result.anything_to_do and not result.problems and not dry_run
    return result


def _ready(step: Step, broken: set[Thing], plan: Plan) -> bool:
    """Whether all stands that the step builds on. What is broken was complained of where it is."""
    return not step.needs & broken and not any(kind in plan.unread for kind, _ in step.needs)


def _problems(step: Step, refusal: ApiError) -> list[Problem]:
    details = refusal.details or (Detail("", refusal.message, refusal.code),)
    return [
        Problem(
            step.file,
            step.locate(detail.path),
            step.name,
            f"{detail.path}: {detail.message}" if detail.path else detail.message,
        )
        for detail in details
    ]
