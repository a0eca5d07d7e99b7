"""Use case: put a condition into force, as a new slug or as the next version of one."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

import conditions_dsl
from access.errors import ApiError, Detail
from conditions_dsl.errors import Diagnostic
from contracts import limits, versions
from contracts.changes import Change, Difference, Kind
from contracts.condition_text import Reading, examine
from contracts.models import Condition, ConditionVersion
from contracts.refusals import refusals, refused


def create_condition_version(
    text: str, *, effective_from: datetime | None, now: datetime, customers: Sequence[str] | None = None
) -> Change[ConditionVersion]:
    """The text becomes the condition of its slug for attempts that begin at or after ``effective_from``.

    The first version of a slug applies from the beginning of time unless dated; a later one starts now unless dated,
    and never in the past. Where the text in force at that moment already says the same (comments and layout aside),
    nothing is written and that version is the answer.

    With ``customers`` a new slug is for those alone. For a slug that is limited they are all it is for from then on:
    whoever is new among them joins with the attempts that begin at or after the same moment. Left out, nothing of that
    changes.

    Locks the condition's row, so version numbers have no gaps however many callers race. Safe to repeat: a second call
    finds the first one's version. Refused: a text that is no condition, another ``per`` than the versions before, a
    start in the past, a start that another version has; customers that do not exist, that leave somebody out whom the
    condition is for, or for a condition that is for everybody.
    """
    reading = _read(text)
    with transaction.atomic():
        named = None if customers is None else limits.find(customers)
        condition, made = Condition.objects.select_for_update(no_key=True).get_or_create(
            slug=reading.slug, defaults={"created_at": now}
        )
        existing = list(condition.versions.all())
        if made or not existing:
            if named is not None:
                limits.begin(condition, named, now)
            version = _add(condition, 1, text, reading, effective_from, now)
            differences = [Difference("text", None, reading.canonical), *_limit_differences(None, condition)]
            return Change(Kind.CREATED, version, tuple(differences))
        start = effective_from or now
        limit_before = limits.keys_of(condition)
        if named is not None:
            limits.extend(condition, named, max(start, now), now)
        limited = _limit_differences(limit_before, condition)
        in_force = versions.in_force(existing, start)
        if in_force is not None and in_force.canonical == reading.canonical:
            return Change(Kind.CHANGED if limited else Kind.UNCHANGED, in_force, tuple(limited))
        refuse_other_keys(reading, existing[0])
        versions.refuse_start(existing, start, now, what=f"Condition {reading.slug}")
        version = _add(condition, versions.next_number(existing), text, reading, start, now)
        before = in_force.canonical if in_force else None
        return Change(Kind.NEW_VERSION, version, (Difference("text", before, reading.canonical), *limited))


def _limit_differences(before: list[str] | None, condition: Condition) -> list[Difference]:
    after = limits.keys_of(condition)
    return [] if before == after else [Difference("customers", before and ", ".join(before), ", ".join(after or []))]


def _read(text: str) -> Reading:
    finding = examine(text)
    if finding.reading is None or not finding.ok:
        raise condition_error(finding.diagnostics)
    return finding.reading


def condition_error(diagnostics: tuple[Diagnostic, ...], path: str = "text") -> ApiError:
    """The refusal of a text, which stands at ``path``, with the place of every error in it."""
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    return refusals(
        Detail(path, f"Line {error.line}, column {error.column}: {error.message}", "invalid_condition")
        for error in errors
    )


def refuse_other_keys(reading: Reading, earlier: ConditionVersion) -> None:
    """Refuse (422) a text whose `per` is not that of an earlier version of its slug."""
    # An outcome is known by its key values: other keys would make other subjects of the same tickets, and bill twice.
    keys = conditions_dsl.parse(earlier.canonical).keys
    if keys != reading.condition.keys:
        raise refused(
            "key_changed",
            f"`per` cannot change between versions: version {earlier.number} of {reading.slug} has"
            f" {_keys_text(keys)}, this text {_keys_text(reading.condition.keys)}. Give the condition another slug, or"
            " keep the key.",
            "text",
        )


def _keys_text(keys: tuple) -> str:
    return ", ".join(" or ".join(".".join(path.segments) for path in alternatives) for alternatives in keys)


def _add(
    condition: Condition,
    number: int,
    text: str,
    reading: Reading,
    effective_from: datetime | None,
    now: datetime,
) -> ConditionVersion:
    return ConditionVersion.objects.create(
        condition=condition,
        number=number,
        title=reading.title,
        text=text,
        canonical=reading.canonical,
        description=reading.description,
        effective_from=effective_from,
        created_at=now,
    )
