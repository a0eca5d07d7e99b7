"""What the text of a condition says, in the form the rest of this app needs: one reading for the API, the files, the
admin and the command line.
"""

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass

import conditions_dsl
from access.strictjson import text_problem
from conditions_dsl.errors import Diagnostic
from conditions_dsl.model import Condition, Graded, title_of

MAX_SLUG = 128
MAX_TITLE = 255
# Beside /v1/conditions/{slug} these are paths of their own.
RESERVED_SLUGS = frozenset({"check", "try"})


# Who can tell which event names were seen: the app that stores events registers itself here when it loads.
SEEN_EVENTS: list[Callable[[], Collection[str]]] = []


@dataclass(frozen=True)
class Reading:
    """A text that is a condition. ``diagnostics`` holds warnings, and what only our tables and paths forbid."""

    condition: Condition
    slug: str
    title: str
    canonical: str
    description: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class Finding:
    """The whole answer to "is this a condition?": a reading, unless it is none."""

    reading: Reading | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)


def examine(text: str, known_events: Collection[str] | None = None) -> Finding:
    """Read a text and check it; never raises. ``known_events`` are event names seen so far, for warnings of slips."""
    try:
        condition = conditions_dsl.parse(text)
    except conditions_dsl.ConditionError as error:
        return Finding(None, error.diagnostics)
    diagnostics = (*conditions_dsl.check(condition, known_events), *_store_problems(text, condition))
    reading = Reading(
        condition=condition,
        slug=condition.slug,
        title=title_of(condition),
        canonical=conditions_dsl.format(condition),
        description=conditions_dsl.describe(condition),
        diagnostics=diagnostics,
    )
    return Finding(reading, diagnostics)


def examine_here(text: str) -> Finding:
    """As `examine`, with the event names seen in this installation; before the first one, none is amiss."""
    return examine(text, {name for seen in SEEN_EVENTS for name in seen()} or None)


@functools.lru_cache(maxsize=1024)
def possible_values(canonical: str) -> dict[str, frozenset[str] | None]:
    """The dimensions of a stored condition and the values each can have: None where it is read from events."""
    return {
        dimension.name: (
            frozenset([*(text for text, _ in dimension.value.choices), dimension.value.otherwise])
            if isinstance(dimension.value, Graded)
            else None
        )
        for dimension in conditions_dsl.parse(canonical).dimensions
    }


@functools.lru_cache(maxsize=1024)
def settles_after(canonical: str) -> bool:
    """Whether a stored condition settles a fixed duration after it was met: the form that a contract can override."""
    # Asked of the program: `settle after 0 hours` is one more way to write `settle immediately`.
    return conditions_dsl.compile(conditions_dsl.parse(canonical)).settle.kind == "after"


def settle_clause(canonical: str) -> str:
    """How a stored condition says when it settles, where it says so."""
    lines = (line.strip() for line in canonical.splitlines())
    found = (line for line in lines if line.startswith("settle ") and not line.startswith("settle early"))
    return next(found)


def _store_problems(text: str, condition: Condition) -> tuple[Diagnostic, ...]:
    problems = []
    unstorable = text_problem(text)
    if unstorable is not None:
        problems.append(Diagnostic("error", 1, 1, unstorable[1]))
    if condition.slug in RESERVED_SLUGS:
        problems.append(Diagnostic("error", 1, 1, f"The slug `{condition.slug}` is reserved: choose another."))
    if len(condition.slug) > MAX_SLUG:
        problems.append(Diagnostic("error", 1, 1, f"The slug is longer than {MAX_SLUG} characters."))
    if len(title_of(condition)) > MAX_TITLE:
        problems.append(Diagnostic("error", 1, 1, f"The title is longer than {MAX_TITLE} characters."))
    return tuple(problems)
