"""What a draft means, in words: when an outcome is final, what it counts, what it is priced by."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from conditions_dsl import Program, compile, english, printer
from conditions_dsl import model as m
from conditions_dsl.words import plain
from contracts import queries, wording
from contracts.condition_text import Reading, possible_values
from contracts.models import ContractVersion, Price, RateCard, RateCardVersion
from contracts.prices import stored, unit_price_text
from outcomes import narrative
from outcomes.event_types import seen_types
from workbench.drafts import Draft

MOST = 10
"""Rate cards that are named one by one."""


class Fact(NamedTuple):
    """What the text says of one thing, in words; ``doubt`` where a person should look twice."""

    name: str
    texts: tuple[str, ...]
    doubt: bool = False


def facts(draft: Draft) -> list[Fact]:
    """Window, units, dimensions, events and prices, each in words."""
    reading = draft.reading
    if reading is None:
        return []
    program = compile(reading.condition)
    condition = reading.condition
    return [
        Fact("One outcome for each", (_keys(condition),)),
        _events(program),
        Fact("Final", tuple(_settlement(program, condition))),
        Fact("Units", (_units(condition),)),
        *([] if condition.amount is None else [Fact("Worth", (english.value(condition.amount),))]),
        Fact("Dimensions", tuple(_dimensions(condition, reading.canonical)) or ("none: every outcome has one price",)),
        _prices(draft, reading),
    ]


def _keys(condition: m.Condition) -> str:
    return " and ".join(" or ".join(english.path(path) for path in alternatives) for alternatives in condition.keys)


def _events(program: Program) -> Fact:
    seen = seen_types()
    texts, doubt = [], False
    for name in program.names:
        text = f"{name.text}*" if name.wildcard else name.text
        known = any(one.startswith(name.text) if name.wildcard else one == name.text for one in seen)
        texts.append(text if known else f"{text}: no such event has come yet")
        doubt = doubt or not known
    return Fact("Events it hears of", tuple(texts), doubt and bool(seen))


def _settlement(program: Program, condition: m.Condition) -> Iterator[str]:
    settle, said = program.settle, condition.settle
    window = narrative.span(settle.duration) if said is None or said.window is None else printer.duration(said.window)
    value = None if said is None else said.value
    match settle.kind:
        case "immediately":
            yield "at once, as soon as it is met"
        case "after":
            unsaid = " (the text does not say: this is the usual window)" if said is None else ""
            yield f"{window} after it was met{unsaid}; a contract can give its customer another window"
        case "silence":
            at_most = narrative.span(settle.at_most)
            yield f"once nothing has happened for {window}, at the latest {at_most} after it was met"
        case _:
            when = "" if value is None else english.value(value)
            yield f"at the time that {when} tells" if not settle.duration else f"{window} after the time of {when}"
    if condition.early is not None:
        yield f"earlier, once {english.say(condition.early)}"
    for credit in condition.credits:
        yield f"given back within {printer.duration(credit.within)} after that, when {english.say(credit.when)}"


def _units(condition: m.Condition) -> str:
    if isinstance(condition.quantity, m.Value):
        return f"{english.value(condition.quantity)}, read when it becomes final"
    number = Decimal(1) if condition.quantity is None else condition.quantity
    return f"{plain(number)} for each outcome"


def _dimensions(condition: m.Condition, canonical: str) -> Iterator[str]:
    values = possible_values(canonical)
    for dimension in condition.dimensions:
        allowed = values[dimension.name]
        if isinstance(dimension.value, m.Value):
            yield f"{dimension.name}: {english.value(dimension.value)}"
        elif allowed is not None:
            yield f"{dimension.name}: " + " or ".join(sorted(allowed))


def _prices(draft: Draft, reading: Reading) -> Fact:
    """Which rate cards have a price for it now, and what they say."""
    none = "no rate card has a price for it: outcomes would be counted and not charged"
    if draft.condition is None:
        return Fact("Priced by", (none,), True)
    priced = Price.objects.filter(condition=draft.condition)
    cards = RateCard.objects.filter(versions__prices__in=priced).distinct().order_by("key")
    texts = []
    for card in queries.rate_cards().filter(pk__in=cards.values("pk"))[:MOST]:
        version = queries.shown_version(list(card.versions.all()), draft.now)
        texts += [f"{card.key}: {text}" for text in _said(version, reading)]
    own = ContractVersion.objects.filter(prices__in=priced).values("contract").distinct().count()
    if own:
        texts.append(f"prices of their own in {own} contract{'' if own == 1 else 's'}")
    return Fact("Priced by", tuple(texts) or (none,), not texts)


def _said(version: RateCardVersion, reading: Reading) -> Iterator[str]:
    """The prices of the condition on a card, as `10.00 USD where priority is "urgent"`."""
    known = {dimension.name for dimension in reading.condition.dimensions}
    for price in stored(version):
        if price.condition != reading.slug:
            continue
        said = wording.price(price, lambda amount: f"{unit_price_text(amount, version.currency)} {version.currency}")
        tests = " and ".join(f'{name} is "{value}"' for name, value in sorted(price.matched.items()))
        unknown = sorted(price.matched.keys() - known)
        note = f", which this text does not tell ({', '.join(unknown)})" if unknown else ""
        yield said + (f" where {tests}" if tests else "") + note
