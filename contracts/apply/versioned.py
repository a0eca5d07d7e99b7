"""Reads ``conditions/*.outcome`` and ``rate_cards/*.yaml``: things that have versions, one file for each."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from conditions_dsl.errors import render
from contracts import prices
from contracts.apply.limits import read_limits
from contracts.apply.plan import CONDITION, CUSTOMER, RATE_CARD, Plan, Problem, Step
from contracts.apply.reading import VersionFile, checked, locator, read_document, read_text, shown, version_files
from contracts.changes import Change, Kind
from contracts.condition_text import Reading, examine
from contracts.conditions import create_condition_version
from contracts.models import ConditionVersion, RateCardVersion
from contracts.price_serializers import RateCardRequest
from contracts.rate_cards import RateCardFields, put_rate_card
from contracts.refusals import refused

_HISTORY_WRITTEN = (
    "Beside dated files, the one without a date says what held before them, and no version so far says this: put it"
    " back as it was, and write what is new in a file with a date."
)


def read_conditions(root: Path, plan: Plan) -> None:
    limits = read_limits(root, plan)
    for slug, files in version_files(root / "conditions", ".outcome", root, plan).items():
        for file in files:
            text = read_text(file.path, root, plan)
            reading = None if text is None else _examine(text, slug, shown(file.path, root), plan)
            if text is None or reading is None:
                plan.broken.add((CONDITION, slug))
                continue
            named = limits.customers.get(slug)
            call: Callable[[datetime], Change[Any]] = partial(_put_condition, text, file.starts, named)
            if file.starts is None and len(files) > 1:
                call = partial(_begin_condition, reading, call)
            needs = frozenset((CUSTOMER, key) for key in named or ())
            plan.steps.append(_step((CONDITION, slug), file, root, call, lambda path: 1, needs))


def _examine(text: str, slug: str, file: str, plan: Plan) -> Reading | None:
    finding = examine(text)
    for diagnostic in finding.diagnostics:
        problem = Problem(file, diagnostic.line, slug, diagnostic.message, render(text, diagnostic))
        (plan.problems if diagnostic.severity == "error" else plan.notes).append(problem)
    if finding.reading is None or not finding.ok:
        return None
    if finding.reading.slug != slug:
        message = (
            f"The file is named {slug} and its text begins with `outcome {finding.reading.slug}`: make them the same."
        )
        plan.complain(file, message, line=1)
        return None
    return finding.reading


def _put_condition(
    text: str, starts: datetime | None, customers: Sequence[str] | None, now: datetime
) -> Change[ConditionVersion]:
    return create_condition_version(text, effective_from=starts, now=now, customers=customers)


def _begin_condition(
    reading: Reading, create: Callable[[datetime], Change[Any]], now: datetime
) -> Change[ConditionVersion]:
    """The undated file beside dated ones: what held before them. It creates the first version and no other."""
    existing = list(ConditionVersion.objects.filter(condition__slug=reading.slug))
    return _begin(existing, lambda version: version.canonical == reading.canonical, create, now)


def read_rate_cards(root: Path, plan: Plan) -> None:
    for key, files in version_files(root / "rate_cards", ".yaml", root, plan).items():
        for file in files:
            if not _read_rate_card(key, file, len(files) > 1, root, plan):
                plan.broken.add((RATE_CARD, key))


def _read_rate_card(key: str, file: VersionFile, has_siblings: bool, root: Path, plan: Plan) -> bool:
    name = shown(file.path, root)
    document = read_document(file.path, root, plan)
    if document is None:
        return False
    locate = locator(document, ())
    dated = isinstance(document.value, dict) and "effective_from" in document.value
    if dated:
        message = f"effective_from: the day stands in the name of the file here: rate_cards/{key}@2026-03-01.yaml."
        plan.complain(name, message, line=locate("effective_from"), entry=key)
        del document.value["effective_from"]
    request = RateCardRequest(data=document.value)
    if not checked(request, plan=plan, file=name, entry=key, locate=locate) or dated:
        return False
    written = request.fields_of()
    given = RateCardFields(written.currency, written.prices, file.starts)
    call: Callable[[datetime], Change[Any]] = partial(_put_rate_card, key, given)
    if file.starts is None and has_siblings:
        call = partial(_begin_rate_card, key, given, call)
    needs = frozenset((CONDITION, price.condition) for price in given.prices)
    plan.steps.append(_step((RATE_CARD, key), file, root, call, locate, needs))
    return True


def _put_rate_card(key: str, given: RateCardFields, now: datetime) -> Change[RateCardVersion]:
    return put_rate_card(key, given, now=now)


def _begin_rate_card(
    key: str, given: RateCardFields, put: Callable[[datetime], Change[Any]], now: datetime
) -> Change[RateCardVersion]:
    wanted = (given.currency, prices.comparable(given.prices))
    return _begin(
        list(RateCardVersion.objects.filter(rate_card__key=key)),
        lambda version: (version.currency, prices.comparable(prices.stored(version))) == wanted,
        put,
        now,
    )


def _begin(
    existing: Sequence[Any],
    says_this: Callable[[Any], bool],
    create: Callable[[datetime], Change[Any]],
    now: datetime,
) -> Change[Any]:
    if not existing:
        return create(now)
    for version in existing:
        if says_this(version):
            return Change(Kind.UNCHANGED, version)
    raise refused("in_the_past", _HISTORY_WRITTEN)


def _step(
    thing: tuple[str, str],
    file: VersionFile,
    root: Path,
    call: Callable[[datetime], Change[Any]],
    locate: Callable[[str], int | None],
    needs: frozenset[tuple[str, str]] = frozenset(),
) -> Step:
    label = file.path.name.removesuffix(file.path.suffix)
    return Step(thing, shown(file.path, root), call, locate, needs, label)
