"""A condition that is being written: what the API says of its text, what it means in words, and what publishing it
would make. Nothing here writes.
"""

from dataclasses import dataclass
from datetime import datetime

from access.errors import ApiError
from access.strictjson import text_problem
from conditions_dsl.errors import Diagnostic
from contracts import queries, versions
from contracts.condition_text import Finding, Reading, examine_here
from contracts.conditions import refuse_other_keys
from contracts.models import Condition, ConditionVersion
from outcomes import narrative
from workbench import diffs


@dataclass(frozen=True)
class Draft:
    """A text and what is known of it. ``condition`` is the stored one of its slug, with versions at hand; ``in_force``
    its version in force (of one that is yet to begin, the first to come); ``refusal`` why the text cannot be its next
    version, although it is a condition.
    """

    text: str
    finding: Finding
    now: datetime
    condition: Condition | None = None
    in_force: ConditionVersion | None = None
    refusal: str = ""

    @property
    def reading(self) -> Reading | None:
        """The text as a condition, where nothing is wrong with it."""
        return self.finding.reading if self.finding.ok else None

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return self.finding.diagnostics

    @property
    def unchanged(self) -> bool:
        """Whether it says what is in force already."""
        reading = self.reading
        return reading is not None and self.in_force is not None and self.in_force.canonical == reading.canonical


def draft_of(text: str, now: datetime) -> Draft:
    """Read a text as `POST /v1/conditions/check` does, and find what stands under its slug. Never raises."""
    finding = examine_here(text)
    # A text that no database takes names no slug either.
    if finding.reading is None or text_problem(finding.reading.slug) is not None:
        return Draft(text, finding, now)
    condition = queries.conditions().filter(slug=finding.reading.slug).first()
    if condition is None:
        return Draft(text, finding, now)
    listed = list(condition.versions.all())
    refusal = ""
    try:
        refuse_other_keys(finding.reading, listed[0])
    except ApiError as error:
        refusal = error.message
    return Draft(text, finding, now, condition, queries.shown_version(listed, now), refusal)


def standing(draft: Draft) -> str:
    """What publishing the text would make, in a sentence."""
    reading = draft.reading
    if reading is None:
        return ""
    if draft.condition is None or draft.in_force is None:
        return f"No condition is called {reading.slug} yet: published, this is its first version."
    name = f"version {draft.in_force.number} of {reading.slug}"
    if versions.start_of(draft.in_force) > draft.now:
        name += f", in force from {narrative.moment(versions.start_of(draft.in_force))}"
    if draft.unchanged:
        return f"This says what {name} says already: there is nothing to publish."
    number = versions.next_number(list(draft.condition.versions.all()))
    return f"Published, this becomes version {number} of {reading.slug}, after {name}."


def differences(draft: Draft) -> list[diffs.Line]:
    """The text beside the version in force, where they differ; in canonical form, so that layout is no difference."""
    reading = draft.reading
    if reading is None or draft.in_force is None or draft.unchanged:
        return []
    return diffs.lines(draft.in_force.canonical, reading.canonical)
