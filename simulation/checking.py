"""A question from outside, held against what is stored before anything runs: every problem at once, with its place."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import conditions_dsl
from access.errors import Detail
from access.paths import child
from contracts import fields, limits, prices, versions, windows
from contracts.agreed import cadence_problems, placed
from contracts.condition_text import possible_values, settle_clause, settles_after
from contracts.domain import rating
from contracts.domain.rating import TermsInput
from contracts.models import Commitment, ConditionVersion, Contract, ContractVersion, Customer, Price, RateCard
from contracts.prices import Dimensions
from contracts.refusals import raise_if_any
from simulation.asked import Asked
from simulation.scenario import CADENCE

LONGEST_SPAN_YEARS = 10


def check(asked: Asked, now: datetime) -> None:
    """Refuse (422) a question about what there is not, and one with a part that could have no effect."""
    if asked.customers is not None:
        limits.find(asked.customers)
    raise_if_any([*_span_problems(asked), *_condition_problems(asked)])
    raise_if_any(
        [
            *_card_problems(asked),
            *_contract_problems(asked),
            *_window_problems(asked, now),
            *_curve_problems(asked, now),
        ]
    )


def customers_of(asked: Asked) -> dict[int, str]:
    """Those it is about, by id their keys, in order of their ids."""
    found = Customer.objects.order_by("id")
    if asked.customers is not None:
        found = found.filter(key__in=asked.customers)
    return dict(found.values_list("id", "key"))


def _span_problems(asked: Asked) -> Iterator[Detail]:
    if asked.start >= asked.end:
        yield Detail("to", "`to` is after `from`: billing periods between the two are looked at.", "invalid")
    elif asked.end.year - asked.start.year > LONGEST_SPAN_YEARS:
        yield Detail(
            "to", f"At most {LONGEST_SPAN_YEARS} years can be looked at: bring `from` or `to` closer.", "invalid"
        )


def _condition_problems(asked: Asked) -> Iterator[Detail]:
    if asked.condition is None:
        return
    earlier = ConditionVersion.objects.filter(condition__slug=asked.condition.slug).first()
    if earlier is not None and conditions_dsl.parse(earlier.canonical).keys != asked.condition.condition.keys:
        yield Detail(
            "condition",
            f"`per` cannot change between versions of {asked.condition.slug}: keep the key, or give the text another"
            " slug, and it is simulated beside the condition.",
            "key_changed",
        )


def _beside(asked: Asked) -> Mapping[str, Dimensions]:
    if asked.condition is None:
        return {}
    return {asked.condition.slug: possible_values(asked.condition.canonical)}


def _contracts(asked: Asked) -> Any:
    found = Contract.objects.all()
    return found if asked.customers is None else found.filter(customer__key__in=asked.customers)


def _card_problems(asked: Asked) -> Iterator[Detail]:
    card = asked.rate_card
    if card is None:
        return
    problem = fields.currency_problem("rate_card.currency", card.currency)
    if problem is not None:
        yield problem
        return
    if not card.prices:
        yield Detail("rate_card.prices", "A rate card has at least one price.", "empty")
    inputs = [price.to_rating() for price in card.prices]
    found = prices.details(rating.validate_prices(inputs, "rate_card.prices", currency=card.currency))
    yield from prices.with_conditions(found, card.prices, "rate_card.prices", beside=_beside(asked))
    if card.key is not None and not RateCard.objects.filter(key=card.key).exists():
        yield Detail("rate_card.key", f'There is no rate card "{card.key}".', "unknown_rate_card")
        return
    standing = _contracts(asked).filter(currency=card.currency)
    if card.key is not None:
        standing = standing.filter(versions__rate_card__key=card.key)
    if not standing.exists():
        which = f"in {card.currency}" if card.key is None else f'in {card.currency} that stands on "{card.key}"'
        yield Detail("rate_card", f"None of these customers has a contract {which}: the prices fit none.", "no_effect")


def _contract_problems(asked: Asked) -> Iterator[Detail]:
    given = dict(asked.contract)
    given.pop("settlement_windows", None)
    currencies = sorted(_contracts(asked).order_by().values_list("currency", flat=True).distinct())
    if asked.contract and not currencies:
        yield Detail("contract", "None of these customers has a contract.", "no_effect")
        return
    said: list[Detail] = []
    for currency in currencies if given else ():
        listed = given.get("prices", ())
        terms = TermsInput(
            currency=currency,
            prices=[price.to_rating() for price in listed],
            discount=given.get("discount"),
            minimum=given.get("minimum"),
            cap=given.get("cap"),
            fees=given.get("fees", ()),
            # Prices may draw on pools that the contracts have, and pools may be those of card prices.
            pools=given.get("pools", {}),
            card_pools=frozenset(given.get("pools", ())),
            trial=given.get("trial", False),
        )
        problems = [one for one in rating.validate_terms(terms) if "pools" in given or one.code != "unknown_pool"]
        found = prices.with_conditions(prices.details(problems), listed, beside=_beside(asked))
        said += [one for one in found if one not in said]
    yield from placed(said, "contract")
    tried = [*given.get("prices", ()), *(() if asked.rate_card is None else asked.rate_card.prices)]
    drawn = {price.pool for price in tried}
    for name in given.get("pools", {}):
        if name not in drawn and not Price.objects.filter(pool=name).exists():
            message = f'No price draws on "{name}": name it as `pool` in a price of this question, or leave it out.'
            yield Detail(child("contract.pools", name), message, "no_effect")
    yield from _bounds_problems(asked, given)
    yield from placed(_cadence_problems(asked, given), "contract")


def _bounds_problems(asked: Asked, given: Mapping[str, Any]) -> Iterator[Detail]:
    """A minimum above the cap of a contract whose own cap stays, or the reverse."""
    stored = ContractVersion.objects.filter(contract__in=_contracts(asked))
    minimum, cap = given.get("minimum"), given.get("cap")
    if minimum is not None and "cap" not in given:
        stored = stored.filter(cap__lt=minimum)
    elif cap is not None and "minimum" not in given:
        stored = stored.filter(minimum__gt=cap)
    else:
        return
    broken = stored.order_by("contract__customer__key").values_list("contract__customer__key", flat=True).first()
    if broken is not None:
        name, other = ("minimum", "cap") if minimum is not None else ("cap", "minimum")
        yield Detail(
            f"contract.{name}",
            f"The contract of {broken} has a {other} that no period could keep to beside it: give both.",
            "minimum_above_cap",
        )


def _cadence_problems(asked: Asked, given: Mapping[str, Any]) -> Iterator[Detail]:
    """Periods that could not be cut so, and contracts that could not be cut anew."""
    if not given.keys() & set(CADENCE):
        return
    if "time_zone" in given:
        problem = fields.time_zone_problem("time_zone", given["time_zone"])
        if problem is not None:
            yield problem
    stored = ContractVersion.objects.filter(contract__in=_contracts(asked))
    cadences = stored.order_by().values_list("billing_period", "anchor_day").distinct()
    for period, day in cadences:
        problems = cadence_problems(given.get("billing_period", period), given.get("anchor_day", day))
        if problems:
            yield from problems
            break
    committed = Commitment.objects.filter(contract_version__in=stored).order_by("contract_version__contract__customer")
    key = committed.values_list("contract_version__contract__customer__key", flat=True).first()
    if key is not None:
        name = next(name for name in CADENCE if name in given)
        yield Detail(
            name,
            f"The contract of {key} has a commitment, which spans whole billing periods as they were agreed: other"
            " periods cannot be tried beside it. Name the customers that have none in `customers`.",
            "not_simulated",
        )


def _window_problems(asked: Asked, now: datetime) -> Iterator[Detail]:
    given = dict(asked.contract.get("settlement_windows", {}))
    if asked.condition is not None and asked.condition.slug in given:
        slug = asked.condition.slug
        place = child("contract.settlement_windows", slug)
        if not 0 <= given.pop(slug) <= windows.MAX_SECONDS:
            message = f"A settlement window is at most {windows.MAX_SECONDS // 86_400} days."
            yield Detail(place, message, "invalid_duration")
        yield from _form_problem(place, slug, asked.condition.canonical)
    yield from placed(windows.problems_of(given, {}, now), "contract")


def _form_problem(place: str, slug: str, canonical: str) -> Iterator[Detail]:
    if not settles_after(canonical):
        yield Detail(
            place,
            f"Condition {slug} says `{settle_clause(canonical)}`, and only the DURATION of `settle after DURATION` can"
            " be another one.",
            "window_not_overridable",
        )


def _curve_problems(asked: Asked, now: datetime) -> Iterator[Detail]:
    for name in ("window_curve", "price_curve"):
        slug = getattr(asked, name)
        if slug is None:
            continue
        if asked.condition is not None and asked.condition.slug == slug:
            if name == "window_curve":
                yield from _form_problem(name, slug, asked.condition.canonical)
            continue
        listed = list(ConditionVersion.objects.filter(condition__slug=slug))
        if not listed:
            yield replace(prices.unknown_condition(name, slug), path=name)
        elif name == "window_curve":
            current = versions.in_force(listed, now) or min(listed, key=versions.start_of)
            yield from _form_problem(name, slug, current.canonical)
