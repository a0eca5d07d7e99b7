"""The diff that `apply` prints: what is new, what gets a new version, what stays, and what is wrong."""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from access.times import format_rfc3339
from contracts import durations
from contracts.apply.plan import CUSTOMER, KINDS, Problem, Step
from contracts.apply.run import Result
from contracts.changes import Change, Difference, Kind

_PLURALS = {kind: f"{kind}s" for kind in KINDS}
_SIGNS = {
    Kind.CREATED: ("+", "green"),
    Kind.NEW_VERSION: ("~", "yellow"),
    Kind.CHANGED: ("~", "yellow"),
    Kind.UNCHANGED: ("=", "dim"),
}
_NAMES_SHOWN = 4
_LINES_SHOWN = 25

Changed = tuple[Step, Change[Any]]


def print_result(console: Console, result: Result, *, dry_run: bool) -> None:
    """Everything of a run, problems last so that they are seen."""
    for kind in KINDS:
        of_kind = [(step, change) for step, change in result.changes if step.thing[0] == kind]
        if of_kind:
            _print_kind(console, kind, of_kind)
    for note in _merged(result.notes):
        _print_problem(console, note, "warning", "yellow")
    if result.problems:
        for problem in _merged(result.problems):
            _print_problem(console, problem, "error", "red")
        if result.skipped:
            count = len(result.skipped)
            message = (
                "1 entry that builds on these was not tried."
                if count == 1
                else f"{count:,} entries that build on these were not tried."
            )
            _line(console, Text(message, "dim"))
        return
    if not result.anything_to_do:
        _line(console, Text("Nothing to change.", "bold"))
    elif dry_run:
        _line(console, Text("Dry run: nothing was written.", "bold"))
    else:
        _line(console, Text("Done.", "bold green"))


def _print_kind(console: Console, kind: str, changes: Sequence[Changed]) -> None:
    head = Text(f"{_PLURALS[kind]:<12}", "bold")
    counts = []
    for change_kind, (_, style) in _SIGNS.items():
        count = sum(change.kind is change_kind for _, change in changes)
        if count:
            counts.append(Text(f"{count:,} {change_kind.value}", style))
    _line(console, head + Text(", ").join(counts))
    for names, change in _groups(changes):
        sign, style = _SIGNS[change.kind]
        version = getattr(change.value, "number", None)
        suffix = f" (version {version})" if version and change.kind is not Kind.CREATED else ""
        _line(console, Text(f"  {sign} {names}{suffix}", style))
        for difference in change.differences:
            _print_difference(console, difference)
    _line(console, Text(""))


def _groups(changes: Sequence[Changed]) -> list[tuple[str, Change[Any]]]:
    """What happened in the same way to many is one entry with their names; what stayed as it was is only counted."""
    groups: dict[Any, tuple[list[str], Change[Any]]] = {}
    for step, change in changes:
        if not change.wrote:
            continue
        differences = tuple(d for d in change.differences if _is_news(step, d))
        names, _ = groups.setdefault((change.kind, differences), ([], Change(change.kind, change.value, differences)))
        names.append(step.name)
    return [(_listed(names), change) for names, change in groups.values()]


def _is_news(step: Step, difference: Difference) -> bool:
    """A created thing's empty fields, and a customer's name that is its key, tell nothing."""
    if difference.before is None and difference.after in (None, ""):
        return False
    return not (step.thing[0] == CUSTOMER and difference.name == "name" and difference.after == step.thing[1])


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _NAMES_SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES_SHOWN])} and {len(names) - _NAMES_SHOWN:,} more"


def _print_difference(console: Console, difference: Difference) -> None:
    before, after = difference.before, difference.after
    if difference.name == "text":
        _print_text(console, before or "", after or "")
    elif before is None:
        _line(console, Text(f"      + {difference.name}: {_value(difference.name, after)}", "green"))
    elif after is None:
        _line(console, Text(f"      - {difference.name}: {_value(difference.name, before)}", "red"))
    else:
        line = Text(f"      ~ {difference.name}: ", "yellow")
        line.append(_value(difference.name, before), "red")
        line.append(" → ")
        line.append(_value(difference.name, after), "green")
        _line(console, line)


def _print_text(console: Console, before: str, after: str) -> None:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    for line in lines[:_LINES_SHOWN]:
        if line.startswith("@@"):
            continue
        style = {"+": "green", "-": "red"}.get(line[:1], "dim")
        _line(console, Text(f"      {line[:1]} {line[1:]}", style))
    if len(lines) > _LINES_SHOWN:
        _line(console, Text(f"      … {len(lines) - _LINES_SHOWN} more lines", "dim"))


def _value(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    if name == "settlement_grace":
        return durations.text_of(value)
    return "nothing" if value in (None, "") else str(value)


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """The same complaint about many entries of one place, as one."""
    groups: dict[tuple[str, int | None, str, str], list[str]] = {}
    for problem in problems:
        groups.setdefault((problem.file, problem.line, problem.message, problem.excerpt), []).append(problem.entry)
    return [
        Problem(file, line, _listed(list(dict.fromkeys(filter(None, entries)))), message, excerpt)
        for (file, line, message, excerpt), entries in groups.items()
    ]


def _print_problem(console: Console, problem: Problem, word: str, style: str) -> None:
    place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
    line = Text(place, "bold")
    line.append(f" {word}", style)
    if problem.entry:
        line.append(f" ({problem.entry})")
    _line(console, line)
    for text in (problem.excerpt or problem.message).splitlines():
        _line(console, Text(f"    {text}" if text else ""))


def _line(console: Console, text: Text) -> None:
    # Long lines are left to the terminal: a wrapped line cannot be searched or copied.
    console.print(text, soft_wrap=True)
