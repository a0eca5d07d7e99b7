"""Versions of conditions that a contract pins: checked, compared, stored.

Attempts of the customer that begin while the contract version is in force take the pinned version, whatever is in
force in general. Outside pins are condition slug -> version number; a contract version keeps them by the condition's
id.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from access.errors import ApiError, Detail, summary
from access.paths import child
from access.times import format_rfc3339
from contracts import limits, windows
from contracts.models import Condition, ConditionVersion, ContractVersion, Customer
from contracts.prices import unknown_condition

PATH = "conditions"

Changes = Mapping[int, tuple[int | None, int | None]]
"""Condition id -> the version number pinned before and after; None: what is in force in general."""

# Who can tell what was evaluated already: the app that keeps outcomes registers itself here when it loads. Called with
# a customer, what changes in the span [start, end), in the transaction that changes it; answers, of each condition that
# has events at which another version or none was in force than is to be, the time of the latest, and lets nothing be
# evaluated until the transaction has ended.
PIN_GUARDS: list[Callable[[Customer, Changes, datetime, datetime | None], Mapping[int, datetime]]] = []


def problems_of(
    pins: Mapping[str, int], agreed: Mapping[str, int], customer: Customer, start: datetime
) -> list[Detail]:
    """Everything that is wrong with pins as handed in, for attempts that begin at or after ``start``, each with its
    place. What is ``agreed`` already stays so.
    """
    found: dict[str, dict[int, ConditionVersion]] = {}
    for version in ConditionVersion.objects.filter(condition__slug__in=pins).select_related("condition"):
        found.setdefault(version.condition.slug, {})[version.number] = version
    problems = []
    for slug, number in pins.items():
        place = child(PATH, slug)
        if slug not in found:
            problems.append(unknown_condition(place, slug))
        elif number not in found[slug]:
            message = f"Condition {slug} has versions 1 to {max(found[slug])}."
            problems.append(Detail(place, message, "unknown_version"))
        elif agreed.get(slug) != number:
            problems += _version_problems(place, found[slug][number], customer, start)
    return problems


def _version_problems(place: str, version: ConditionVersion, customer: Customer, start: datetime) -> list[Detail]:
    if not limits.concerns(version.condition, customer):
        message = f"Condition {version.condition.slug} is not for {customer.key}: add the customer to it first."
        return [Detail(place, message, "not_for_customer")]
    # What happened before that was not kept for it: events of names that only this version mentions.
    earliest = None if version.effective_from is None else min(version.effective_from, version.created_at)
    if earliest is not None and start < earliest:
        message = (
            f"{version} holds from {format_rfc3339(earliest)} on, and cannot be pinned for what began before. Let the"
            " contract start then or later, or pin an earlier version."
        )
        return [Detail(place, message, "pin_before_version")]
    return []


def refuse_backdated(
    customer: Customer,
    pins: Mapping[str, int],
    start: datetime,
    end: datetime | None,
    *,
    before: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Refuse (409) pins for [start, end) in the place of those ``before``, where events of the customer in it were
    evaluated already by another version of the condition: what is an outcome never changes. Call last in the
    transaction that writes them: it makes evaluation of the customer wait until the transaction has ended.
    """
    changed = {slug for slug in (*pins, *before) if pins.get(slug) != before.get(slug)}
    ids = dict(Condition.objects.filter(slug__in=changed).values_list("slug", "id")) if changed else {}
    evaluated: dict[int, datetime] = {}
    for guard in PIN_GUARDS if ids else ():
        evaluated |= guard(customer, {pk: (before.get(slug), pins.get(slug)) for slug, pk in ids.items()}, start, end)
    details = [
        Detail(
            child(PATH, slug),
            f"{customer.key} has events up to {format_rfc3339(evaluated[pk])} that another version of {slug} was there"
            " for, and a pin never reaches into what has happened. Let the contract start after that, or leave this pin"
            " out.",
            "pin_backdated",
        )
        for slug, pk in sorted(ids.items())
        if pk in evaluated
    ]
    if details:
        raise ApiError(409, "pin_backdated", summary(details), details=details)


def stored_form(pins: Mapping[str, int]) -> dict[str, int]:
    """Checked pins as a contract version keeps them: condition id as text -> version number."""
    ids = dict(Condition.objects.filter(slug__in=pins).values_list("slug", "id"))
    return {str(ids[slug]): number for slug, number in pins.items()}


def of_version(version: ContractVersion) -> dict[str, int]:
    """The pins of a version as they were handed in, by slug."""
    return dict(sorted((windows.slug_of(int(pk)), number) for pk, number in version.conditions.items()))


def comparable(pins: Mapping[str, int]) -> dict[str, str]:
    """Pins as flat values that compare: one for each condition."""
    return {f"pinned version of {slug}": f"version {number}" for slug, number in sorted(pins.items())}
