"""The examples of docs/pricing.md: read from the page, rated, and drawn.

``python -m docs.pricing_examples`` draws them anew. An example is a JSON block that begins with ``"example"``, in the
form of the API, and the table after it. Tests rate every row (tests/invoicing/test_docs.py) and compare the pictures in
docs/images/pricing with what is drawn here.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from conditions_dsl.words import plain
from contracts.domain import money, rating
from contracts.domain.rating import (
    Charge,
    Commitment,
    Drawn,
    Fee,
    Line,
    Price,
    PriceInput,
    Rated,
    Settled,
    Share,
    Step,
    TierInput,
    Usage,
)
from contracts.domain.rating.curve import Piece, curve, pieces_of
from contracts.domain.rating.plot import svg

PAGE = Path(__file__).parent / "pricing.md"
PICTURES = Path(__file__).parent / "images" / "pricing"

_BLOCK = re.compile(r"```json\n(\{\"example\".*?)```\n(.*?)(?=\n```|\n#|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One example: its price, its terms as in the API, and its table."""

    name: str
    price: Price
    terms: Mapping[str, Any]
    currency: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def examples() -> dict[str, Example]:
    """Every example of the page by name. Raises ValueError where a price would not be saved."""
    found = {}
    for block, after in _BLOCK.findall(PAGE.read_text()):
        given = json.loads(block, parse_float=Decimal, parse_int=Decimal)
        head, *rows = _table(after)
        currency = given.get("currency", "USD")
        price = _price(given["price"], currency)
        found[given["example"]] = Example(given["example"], price, given.get("terms", {}), currency, head, tuple(rows))
    return found


def _table(text: str) -> list[tuple[str, ...]]:
    """The first table of a text: its head and its rows."""
    found: list[tuple[str, ...]] = []
    for line in text.splitlines():
        if line.startswith("|"):
            found.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
        elif found:
            break
    return found[:1] + found[2:]


def _price(given: Mapping[str, Any], currency: str) -> Price:
    fields: dict[str, Any] = {
        name: value if name in ("condition", "model", "pool", "match") else Decimal(value)
        for name, value in given.items()
        if name != "tiers"
    }
    if "tiers" in given:
        fields["tiers"] = [
            TierInput(**{name: None if value is None else Decimal(value) for name, value in tier.items()})
            for tier in given["tiers"]
        ]
    wanted = PriceInput(**fields)
    if problems := rating.validate_prices([wanted], currency=currency):
        raise ValueError(str(problems))
    return rating.price_of(wanted, "price")


def share_of(terms: Mapping[str, Any]) -> Share:
    """A full month, or ``days`` of ``of_days``, under these terms."""
    minimum, cap = (Decimal(terms[name]) if name in terms else None for name in ("minimum", "cap"))
    discount = terms.get("discount", {})
    fees = tuple(
        Fee(
            fee["name"],
            fee["name"],
            fee["kind"],
            Decimal(fee["amount"]),
            seats=Decimal(fee.get("seats", 1)),
            counts=fee.get("counts", False),
        )
        for fee in terms.get("fees", ())
    )
    return Share(
        "v1",
        int(terms.get("days", 30)),
        int(terms.get("of_days", 30)),
        discount_percent=Decimal(discount["percent"]) if "percent" in discount else None,
        discount_amount=Decimal(discount["amount"]) if "amount" in discount else None,
        minimum=minimum,
        cap=cap,
        fees=fees,
    )


def rate(example: Example, cell: str, drawn: Drawn | None = None, **more: Any) -> Rated:
    """A period in which so much was used: ``cell`` is a quantity, or for a percentage the outcomes' amounts with
    semicolons between them.
    """
    share = share_of(example.terms)
    numbers = [Decimal(text) for text in cell.replace(",", "").split(";")]
    quantity, value = numbers[0], Decimal(0)
    if example.price.model == rating.PERCENTAGE:
        quantity, value = Decimal(len(numbers)), sum(numbers, Decimal(0))
    outcomes = (Settled(example.price, (), Decimal(1), number, "v1") for number in numbers)
    usage = Usage(example.price.condition, (), quantity, value=value)
    charges = rating.fill_in([Charge(example.price, usage, "v1")], rating.take_in_order([share], outcomes))
    return rating.rate_period(charges, [share], example.currency, drawn=drawn, **more)


def arithmetic(line: Line) -> str:
    """A usage line's steps in one row."""
    return " + ".join(filter(None, (_step(step) for step in line.steps))).replace("+ -", "- ") or "0"


def _step(step: Step) -> str:
    quantity, rate = plain(step.quantity), plain(step.unit_price)
    match step.kind:
        case "included" | "pooled":
            return f"{quantity} included"
        case "flat_fee":
            return rate
        case "percent":
            return f"{rate} % x {quantity}" if step.quantity else ""
        case "bounds":
            return plain(step.amount)
    return f"{quantity} x {rate}" if step.quantity else ""


def kinds(rated: Rated, currency: str) -> str:
    """What stands on the invoice, in one row."""
    return ", ".join(f"{line.kind} {money.major_text(line.amount_minor, currency)}" for line in rated.lines)


# --- Pictures ---------------------------------------------------------------------------------------------------------


def total(example: Example, breaks: Sequence[int], end: int, **more: Any) -> Sequence[Piece]:
    """The curve of a whole period's total over the quantity; exact where its amounts are whole cents."""

    def amount(quantity: Decimal) -> Decimal:
        return money.from_minor(rate(example, plain(quantity), **more).total_minor, example.currency)

    return pieces_of(amount, [Decimal(one) for one in breaks], Decimal(end))


def pictures() -> dict[str, str]:
    """Every picture of the page by file name."""
    all_of = examples()

    def alone(name: str) -> Callable[[Decimal | None], Sequence[Piece]]:
        return lambda up_to: curve(all_of[name].price, up_to)

    def drawn(title: str, name: str, across: str = "units in the period", up_to: int | None = None) -> str:
        one_outcome = all_of[name].price.maximum is not None
        up = all_of[name].currency + ("" if one_outcome else " for the period")
        return svg(title, {name: alone(name)(None if up_to is None else Decimal(up_to))}, across=across, up=up)

    def against(title: str, name: str, breaks: Sequence[int], end: int, **more: Any) -> str:
        """With the terms and without them."""
        bare = replace(
            all_of[name], terms={}, price=replace(all_of[name].price, period_maximum=None, included=Decimal(0))
        )
        curves = {"without": total(bare, (), end), "with": total(all_of[name], breaks, end, **more)}
        return svg(title, curves, across="units in the period", up="USD for the period")

    yearly = all_of["commitment"]
    committed = Commitment("year", Decimal(yearly.terms["commitment"]["amount"]), rating.ARREARS)
    whole_year = {
        "without": total(yearly, (), 2000),
        "with": total(yearly, [1200], 2000, commitments=[committed], last={"year"}),
    }
    tiers = {name: curve(all_of[name].price, Decimal(160)) for name in ("graduated", "volume")}
    return {
        "per_unit.svg": drawn("per_unit", "per_unit", up_to=100),
        "graduated.svg": drawn("graduated", "graduated", up_to=160),
        "volume.svg": drawn("volume", "volume", up_to=160),
        "graduated_and_volume.svg": svg(
            "The same tiers, graduated and by volume", tiers, across="units in the period", up="USD for the period"
        ),
        "package.svg": drawn("package", "package"),
        "percentage.svg": drawn("percentage with bounds", "percentage", "amount of one outcome in USD", 1200),
        "percentage_tiers.svg": drawn("percentage by tiers", "percentage by tiers", "amount of all outcomes in JPY"),
        "free.svg": drawn("free", "free", up_to=100),
        "allowance.svg": against("Included units", "allowance", [50], 120),
        "discount.svg": against("A discount of an amount", "discount", [80], 200),
        "maximum.svg": against("A maximum per price", "maximum", [150], 250),
        "minimum_and_cap.svg": against("A minimum and a cap", "minimum and cap", [50, 200], 300),
        "fees.svg": against("Base fees and a minimum", "fees", [40], 200),
        "commitment.svg": svg(
            "A yearly commitment: what the year comes to", whole_year, across="units in the year", up="USD for the year"
        ),
    }


def main() -> None:
    """Write the pictures, and take away those that are no longer drawn."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    drawn = pictures()
    for path in PICTURES.glob("*.svg"):
        if path.name not in drawn:
            path.unlink()
    for name, text in drawn.items():
        (PICTURES / name).write_text(text)


if __name__ == "__main__":
    main()
