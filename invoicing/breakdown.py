"""How a line's amount came about, for people: the tiers, packages, allowances and days under it."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from contracts.domain import rating
from invoicing.localised import number_text, percent_text, price_text, t
from invoicing.models import InvoiceLine


def of_lines(lines: Iterable[InvoiceLine], currency: str, locale: str = "en") -> list[list[str]]:
    """For each line the sentences under it. What counts over several lines of a price stands under the first of them,
    and the others say so.
    """
    told: set[Any] = set()
    found = []
    listed = list(lines)
    of_condition = Counter((line.condition_id, line.period_start) for line in listed if line.kind == rating.USAGE)
    for line in listed:
        price = (line.price_id, line.period_start)
        again = bool(line.details.get("shared")) and price in told
        told.add(price)
        alone = not line.dimensions and of_condition[line.condition_id, line.period_start] < 2
        notes = _notes(line, again, currency, locale) + _voided(line, alone, locale)
        found.append([*([] if again else _steps(line, currency, locale)), *notes])
    return found


def unit_price(line: InvoiceLine, currency: str, locale: str = "en") -> str:
    """The price of one unit, where that is what the amount is made of: not that of a package."""
    if line.unit_price is None or any(step.get("kind") == "packages" for step in line.steps):
        return ""
    return price_text(line.unit_price, currency, locale)


def quantity(line: InvoiceLine, locale: str = "en") -> str:
    """How many; nothing where a line only corrects an amount. What a credit note takes back counts upwards."""
    if not line.quantity:
        return ""
    return number_text(line.quantity.copy_negate() if line.credit_note_id else line.quantity, locale)


def _steps(line: InvoiceLine, currency: str, locale: str) -> list[str]:
    """The steps in words; none where quantity x unit price, or the title, says everything."""
    steps = [step for step in line.steps if not _says_nothing(line, step)]
    if len(steps) == 1 and steps[0].get("kind", "units") == "units" and "up_to" not in steps[0]:
        return []
    return [_step(step, currency, locale) for step in steps]


def _says_nothing(line: InvoiceLine, step: dict[str, Any]) -> bool:
    if line.kind == rating.DISCOUNT or step.get("kind") == "seats":
        return True
    return step.get("kind") == "days" and step["quantity"] == str(step["of"])


def _step(step: dict[str, Any], currency: str, locale: str) -> str:
    kind, count = step.get("kind", "units"), Decimal(step["quantity"])
    said = {
        "quantity": number_text(count, locale),
        "price": price_text(Decimal(step["unit_price"]), currency, locale),
        "amount": price_text(Decimal(step["amount"]), currency, locale),
    }
    up_to = ""
    if "up_to" in step:
        up_to, said["edge"] = "_up_to", number_text(Decimal(step["up_to"]), locale)
    match kind:
        case "packages":
            return t(locale, "step.packages", count=int(count), price=said["price"], amount=said["amount"])
        case "percent":
            percent = percent_text(Decimal(step["unit_price"]), locale)
            return t(locale, f"step.percent{up_to}", percent=percent, value=said["quantity"], **said)
        case "days":
            return t(locale, "step.days", days=said["quantity"], of=step["of"], **said)
        case "flat_fee":
            return t(locale, f"step.flat_fee{up_to}", **said)
        case "included" | "pooled" | "bounds":
            return t(locale, f"step.{kind}", **said)
        case _:
            return t(locale, f"step.units{up_to}", **said)


def _notes(line: InvoiceLine, again: bool, currency: str, locale: str) -> list[str]:
    """What else is to be said of a line's amount."""
    details, found = line.details, []

    def amount(name: str) -> str:
        return price_text(Decimal(details[name]), currency, locale)

    if again:
        found.append(t(locale, "note.again"))
    elif details.get("shared"):
        found.append(t(locale, "note.shared", amount=amount("price_amount")))
    if "reached" in details:
        of_what = {rating.DISCOUNT: "note.reached_discount", rating.MAXIMUM: "note.reached_maximum"}
        found.append(t(locale, of_what.get(line.kind, "note.reached"), amount=amount("reached")))
    if "billed" in details and not (details.get("follows") and details["billed"] == details["period_amount"]):
        less = line.amount_minor < 0 or line.credit_note_id is not None
        key = "note.billed_too_much" if less else "note.billed"
        found.append(t(locale, key, period=amount("period_amount"), billed=amount("billed")))
    moved = Decimal(details.get("moved", {}).get("quantity", 0))
    if moved and details.get("follows"):
        # It was taken back where it was billed; what it came to by now stands on the other line.
        found += [t(locale, "note.moved_on")] if moved > 0 else []
    elif moved:
        key = "note.moved_here" if moved > 0 else "note.moved_away"
        found.append(t(locale, key, quantity=number_text(moved.copy_abs(), locale)))
    return found


def _voided(line: InvoiceLine, alone: bool, locale: str) -> list[str]:
    """What was taken back inside its window. It is counted for the whole condition, having no values yet, and stands on
    the first of its lines: unless that is ``alone``, it must not be read as of that line.
    """
    if not line.voided_count:
        return []
    if alone:
        return [t(locale, "note.voided", count=line.voided_count)]
    return [t(locale, "note.voided_of", count=line.voided_count, title=line.details.get("of", line.title))]
