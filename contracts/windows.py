"""Settlement windows of a contract's own, other durations for `settle after` of conditions: checked, compared, stored.

Outside they are condition slug -> seconds; a contract version keeps them by the condition's id.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from access.errors import ApiError, Detail, summary
from access.paths import child
from access.times import format_rfc3339
from conditions_dsl.model import LONGEST_WINDOW
from contracts import durations, versions
from contracts.condition_text import settle_clause, settles_after
from contracts.models import Condition, ConditionVersion, ContractVersion, Customer
from contracts.prices import unknown_condition

PATH = "settlement_windows"
MAX_SECONDS = LONGEST_WINDOW // 1_000_000

# Who can tell what was met already: the app that keeps outcomes registers itself here when it loads. Called with a
# customer, condition ids and the span [start, end) in which their windows are to change, in the transaction that does
# so; answers, of each condition that was met in it, the latest instant, and lets nothing be met until the transaction
# has ended.
WINDOW_GUARDS: list[Callable[[Customer, Collection[int], datetime, datetime | None], Mapping[int, datetime]]] = []


def problems_of(
    windows: Mapping[str, int], agreed: Mapping[str, int], now: datetime, pins: Mapping[str, int] = MappingProxyType({})
) -> list[Detail]:
    """Everything that is wrong with windows as handed in, each with its place.

    Whether a condition settles in a form that can be overridden is asked of the version that the contract pins (by
    slug), else of the one in force at ``now``; what is ``agreed`` already stays so, whatever became of the condition
    since.
    """
    listed: dict[str, list[ConditionVersion]] = {}
    for version in ConditionVersion.objects.filter(condition__slug__in=windows).select_related("condition"):
        listed.setdefault(version.condition.slug, []).append(version)
    problems = []
    for slug, seconds in windows.items():
        place = child(PATH, slug)
        if slug not in listed:
            problems.append(unknown_condition(place, slug))
            continue
        if not 0 <= seconds <= MAX_SECONDS:
            message = f"A settlement window is at most {MAX_SECONDS // 86_400} days."
            problems.append(Detail(place, message, "invalid_duration"))
        if agreed.get(slug) != seconds:
            pinned = [version for version in listed[slug] if version.number == pins.get(slug)]
            problems += _form_problems(place, slug, pinned or listed[slug], now)
    return problems


def _form_problems(place: str, slug: str, listed: list[ConditionVersion], now: datetime) -> list[Detail]:
    current = versions.in_force(listed, now) or min(listed, key=versions.start_of)
    if settles_after(current.canonical):
        return []
    return [
        Detail(
            place,
            f"Condition {slug} says `{settle_clause(current.canonical)}` (version {current.number}), and a contract can"
            " replace the DURATION of `settle after DURATION` only: leave its window out.",
            "window_not_overridable",
        )
    ]


def refuse_backdated(customer: Customer, windows: Mapping[str, int], start: datetime, end: datetime | None) -> None:
    """Refuse (409) windows for what is met in [start, end), where outcomes of these conditions were met in it already:
    their ends were told, and may be billed. Call last in the transaction that writes them: it makes evaluation of the
    customer wait until the transaction has ended.
    """
    ids = dict(Condition.objects.filter(slug__in=windows).values_list("slug", "id"))
    met: dict[int, datetime] = {}
    for guard in WINDOW_GUARDS if ids else ():
        met |= guard(customer, ids.values(), start, end)
    details = [
        Detail(
            child(PATH, slug),
            f"{customer.key} has an outcome of {slug} met at {format_rfc3339(met[pk])}, and a window never reaches into"
            " what was met already. Let the contract start after that, or leave this window out.",
            "window_backdated",
        )
        for slug, pk in sorted(ids.items())
        if pk in met
    ]
    if details:
        raise ApiError(409, "window_backdated", summary(details), details=details)


def stored_form(windows: Mapping[str, int]) -> dict[str, int]:
    """Checked windows as a contract version keeps them: condition id as text -> seconds."""
    ids = dict(Condition.objects.filter(slug__in=windows).values_list("slug", "id"))
    return {str(ids[slug]): seconds for slug, seconds in windows.items()}


def of_version(version: ContractVersion) -> dict[str, int]:
    """The windows of a version as they were handed in, by slug."""
    return dict(sorted((slug_of(int(pk)), seconds) for pk, seconds in version.settlement_windows.items()))


def texts(version: ContractVersion) -> dict[str, str]:
    """The same with durations as a person writes them."""
    return {slug: durations.text_of(seconds) for slug, seconds in of_version(version).items()}


def comparable(windows: Mapping[str, int]) -> dict[str, str]:
    """Windows as flat values that compare: one for each condition."""
    return {f"settlement window of {slug}": durations.text_of(seconds) for slug, seconds in sorted(windows.items())}


@lru_cache(maxsize=4096)
def slug_of(condition_id: int) -> str:
    """The slug of a condition. Kept: it never changes, and lists show the windows of many contracts."""
    return Condition.objects.values_list("slug", flat=True).get(pk=condition_id)
