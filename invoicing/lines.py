"""What is to be booked of a period, as lines with their words and their arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from contracts.domain import money, rating
from contracts.domain.rating import Price
from invoicing import billed as standing
from invoicing import texts, wording
from invoicing.domain.owing import NONE, Counted, Owing
from invoicing.models import InvoiceLine
from invoicing.sections import Facts, Section, models_of


@dataclass(frozen=True)
class Form:
    """What lines need to know of their document."""

    currency: str
    time_zone: str


def lines_of(section: Section, facts: Facts, form: Form, voided: Mapping[int, int] | None = None) -> list[InvoiceLine]:
    """The lines of a section, not stored. ``voided`` is how many outcomes were voided inside their window in the
    period, by condition: they are shown on the first line of it.
    """
    models = models_of(section.billed, facts.billed)
    usage = [line for line in section.billed if line.kind == rating.USAGE]
    conditions = {line.condition_id: line.details.get("of", line.title) for line in usage} | facts.titles.by_condition
    to_show = dict(voided or {})
    lines = []
    for one in section.owing:
        number = facts.tariff.by_key.get(one.key)
        words = None
        if number is not None and section.index is not None and facts.titles.knows(number, section.index):
            words = facts.titles.title(number, section.index), facts.titles.sentence(number, section.index)
        line = line_of(section, one, models.get(one.key), words, form, conditions)
        if one.key in section.lines:
            line.id = section.lines[one.key]
        if number is not None:
            # A line is of the price and the version that its outcomes have, also where versions make no difference.
            line.contract_version_id = facts.tariff.versions[number].id
        if line.kind == rating.USAGE:
            line.voided_count = to_show.pop(cast(int, line.condition_id), 0)
        lines.append(line)
    return lines


def line_of(
    section: Section,
    one: Owing,
    model: InvoiceLine | None,
    words: tuple[str, str] | None,
    form: Form,
    conditions: Mapping[Any, str] | None = None,
) -> InvoiceLine:
    """A line for what is owed; ``model`` is one of its key that stands on a document already, ``words`` are title and
    sentence of its usage, ``conditions`` titles by condition.
    """
    period, currency = section.period, form.currency
    common: dict[str, Any] = {
        "kind": one.key[0],
        "amount_minor": one.amount_minor,
        "period_start": period.start,
        "period_end": period.end,
    }
    line = one.line
    details = wording.details(line, currency) if line is not None else _identity(model)
    steps = () if line is None else line.steps
    if section.corrects:
        alone = _alone(one, model, currency)
        if alone is not None:
            steps = (alone,)
            details = {name: value for name, value in details.items() if name not in ("shared", "price_amount")}
        elif model is not None or one.billed_minor:
            details["period_amount"] = money.major_text(0 if line is None else line.amount_minor, currency)
            details["billed"] = money.major_text(one.billed_minor, currency)
    common |= {"details": details, "steps": wording.steps_json(steps)}
    if one.key[0] == rating.USAGE:
        return _usage(section, one, model, words, common)
    if line is None:
        assert model is not None
        return InvoiceLine(
            **common,
            condition_id=model.condition_id,
            price_id=model.price_id,
            contract_version_id=model.contract_version_id,
            title=model.title,
        )
    fee = line.fee
    return InvoiceLine(
        **common,
        contract_version_id=cast(int | None, line.version),
        condition_id=None if line.price is None else cast(int, line.price.condition),
        price_id=None if line.price is None else cast(int, line.price.id),
        title=wording.title(line, period, form.time_zone, currency, conditions or {}),
        quantity=fee.seats if fee is not None and fee.kind == rating.SEATS and not one.billed_minor else None,
        unit_price=None if fee is None else fee.amount,
    )


def _usage(
    section: Section,
    one: Owing,
    model: InvoiceLine | None,
    words: tuple[str, str] | None,
    common: dict[str, Any],
) -> InvoiceLine:
    details, line = common["details"], one.line
    undone, moved = section.undone.get(one.key, NONE), section.moved(one)
    if model is not None:
        words = words or (model.details.get("of", model.title), model.sentence)
    title, sentence = words or ("", "")
    follows = section.follows and bool(moved)
    told = wording.corrected(
        title,
        fresh=bool(section.fresh.get(one.key)),
        undone=bool(undone) or follows,
        moved=rating.ZERO if follows else moved.quantity,
    )
    if told != title:
        details["of"] = title
    percentage = (
        line.price.model == rating.PERCENTAGE
        if line is not None and line.price is not None
        else (model is not None and "value" in model.details)
    )
    if percentage:
        details["value"] = texts.plain(one.usage.value)
    for name, counts in (("taken_back", undone), ("moved", moved)):
        if counts:
            details[name] = _counts(counts, valued=percentage)
    if follows:
        details["follows"] = True
    _, price, dimensions, version = one.key
    if line is not None and line.price is not None:
        condition, unit_price = cast(int, line.price.condition), line.price.unit_price
    else:
        assert model is not None
        condition, unit_price = cast(int, model.condition_id), model.unit_price
    return InvoiceLine(
        **common,
        condition_id=condition,
        price_id=cast(int, price),
        contract_version_id=cast(int | None, version) if model is None else model.contract_version_id,
        title=told,
        sentence=sentence,
        dimensions=dict(cast(rating.Dimensions, dimensions)),
        quantity=one.usage.quantity,
        unit_price=unit_price,
        outcome_count=one.usage.outcomes,
    )


def _counts(counts: Counted, *, valued: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"outcomes": counts.outcomes, "quantity": texts.plain(counts.quantity)}
    return found | ({"value": texts.plain(counts.value)} if valued else {})


def _identity(model: InvoiceLine | None) -> dict[str, Any]:
    """The details that say which fee or commitment a line is of."""
    return {} if model is None else {name: model.details[name] for name in wording.IDENTITY if name in model.details}


def _alone(one: Owing, model: InvoiceLine | None, currency: str) -> rating.Step | None:
    """The arithmetic of a correction by itself, where that gives its amount: each unit costs the same."""
    price = one.line.price if one.line is not None else _price_of(model)
    if price is None or one.key[0] != rating.USAGE or not one.usage:
        return None
    if not rating.is_linear(price) or rating.needs_order(price):
        return None
    if price.model == rating.PERCENTAGE:
        assert price.percent is not None
        step = rating.Step(one.usage.value, price.percent, rating.percent_of(price.percent, one.usage.value), "percent")
    else:
        assert price.unit_price is not None
        amount = money.product(price.unit_price, one.usage.quantity)
        step = rating.Step(one.usage.quantity, price.unit_price, amount)
    return step if money.to_minor(step.amount, currency) == one.amount_minor else None


def _price_of(model: InvoiceLine | None) -> Price | None:
    if model is None or model.price is None:
        return None
    return standing.prices_of([model.price])[model.price.id]
