"""What a directory asks for: steps in the order in which they build on one another, and what is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.changes import Change

TAX_RATE, CUSTOMER, CONDITION, RATE_CARD, CONTRACT = "tax rate", "customer", "condition", "rate card", "contract"
KINDS = (TAX_RATE, CUSTOMER, CONDITION, RATE_CARD, CONTRACT)

Thing = tuple[str, str]
"""A kind and a name: ("rate card", "helpdesk")."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the file below the directory, its line where there is one, whose entry, and a sentence
    that says what to do. ``excerpt`` shows the place.
    """

    file: str
    line: int | None
    entry: str
    message: str
    excerpt: str = ""


@dataclass(frozen=True)
class Step:
    """One call of a use case. ``locate`` finds the line of a path that its refusal names; ``needs`` are the things that
    must stand before it. What it created is handed to ``last`` once all steps are done: what takes locks that others
    wait for is done then.
    """

    thing: Thing
    file: str
    call: Callable[[datetime], Change[Any]]
    locate: Callable[[str], int | None]
    needs: frozenset[Thing] = frozenset()
    label: str = ""
    last: Callable[[Any], None] | None = None

    @property
    def name(self) -> str:
        return self.label or self.thing[1]


@dataclass
class Plan:
    """``broken`` are things whose files are wrong, ``unread`` the kinds of which a whole file could not be read: what
    needs them is left alone, so that one mistake is reported once.
    """

    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    broken: set[Thing] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def complain(self, file: str, message: str, *, line: int | None = None, entry: str = "", excerpt: str = "") -> None:
        self.problems.append(Problem(file, line, entry, message, excerpt))
