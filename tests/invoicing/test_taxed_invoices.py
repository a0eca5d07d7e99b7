"""Invoices with tax, through the real run: a golden table, worked out by hand."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.customers import CustomerFields, put_customer
from contracts.models import TaxRate
from contracts.tax_rates import TaxRateFields, put_tax_rate
from invoicing import billing
from invoicing.issue import issue
from invoicing.models import Invoice
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.deals import Deal, at, per_unit, sound

APRIL_1, MAY_1 = at("2026-04-01"), at("2026-05-01")
LATER = timedelta(days=3)
NOTE = "Reverse charge: VAT is owed by the recipient (Art. 196 of Directive 2006/112/EC)."

RATES: dict[str, dict[str, Any]] = {
    "de": {"name": "USt", "percent": "19"},
    "de-7": {"name": "USt", "percent": "7"},
    "uk": {"name": "VAT", "percent": "20", "inclusive": True},
    "gst": {"name": "GST", "percent": "5"},
    "qst": {"name": "QST", "percent": "9.975"},
    "rc": {"name": "VAT", "percent": "0", "reverse_charge": True, "note": NOTE},
    "jct": {"name": "JCT", "percent": "10"},
    "jct-in": {"name": "JCT", "percent": "10", "inclusive": True},
    "kw": {"name": "VAT", "percent": "5"},
}


def rates(*keys: str) -> list[TaxRate]:
    for key in keys:
        given = RATES[key] | {"percent": Decimal(RATES[key]["percent"])}
        put_tax_rate(key, TaxRateFields(**given), now=BEFORE)
    return list(TaxRate.objects.filter(key__in=keys))


GOLDEN = [
    # currency, rates, price, how many, more terms; lines, tax of each rate by key, tax on, total in minor units
    ("EUR", ["de"], "2.00", 37, {}, 7400, [1406], 7400, 8806),
    ("EUR", ["de"], "0.99", 37, {}, 3663, [696], 3663, 4359),  # 6.9597
    ("EUR", ["de"], "0.50", 1, {}, 50, [10], 50, 60),  # 0.095: the half goes up
    ("EUR", ["de"], "0.0149", 7, {}, 10, [2], 10, 12),  # of the rounded line, 0.019
    ("EUR", ["de"], "10.00", 3, {"discount_percent": Decimal(10)}, 2700, [513], 2700, 3213),
    ("EUR", ["de"], "1.00", 3, {"minimum": Decimal("49.50")}, 4950, [941], 4950, 5891),  # 9.405
    ("EUR", ["de"], "1.00", 300, {"cap": Decimal(200)}, 20000, [3800], 20000, 23800),
    ("EUR", ["de"], "0.00", 5, {}, 0, [0], 0, 0),
    ("GBP", ["uk"], "1.20", 10, {}, 1200, [200], 1000, 1200),
    ("GBP", ["uk"], "9.99", 7, {}, 6993, [1166], 5827, 6993),  # 11.655: half up
    ("CAD", ["gst", "qst"], "100.00", 2, {}, 20000, [1000, 1995], 20000, 22995),
    ("CAD", ["gst", "qst"], "19.99", 7, {}, 13993, [700, 1396], 13993, 16089),  # 6.9965 and 13.9580...
    ("EUR", ["rc"], "2.00", 37, {}, 7400, [0], 7400, 7400),
    ("EUR", [], "2.00", 37, {}, 7400, [], 7400, 7400),
    ("JPY", ["jct"], "123", 5, {}, 615, [62], 615, 677),  # 61.5
    ("JPY", ["jct-in"], "123", 5, {}, 615, [56], 559, 615),  # 55.9
    ("KWD", ["kw"], "1.235", 3, {}, 3705, [185], 3705, 3890),  # 0.18525
    ("KWD", ["kw"], "0.01", 1, {}, 10, [1], 10, 11),  # 0.0005
]


@pytest.mark.parametrize(
    ("currency", "chosen", "price", "count", "terms", "subtotal", "tax", "taxable", "total"), GOLDEN
)
def test_to_the_minor_unit(
    world: World,
    currency: str,
    chosen: list[str],
    price: str,
    count: int,
    terms: dict[str, Any],
    subtotal: int,
    tax: list[int],
    taxable: int,
    total: int,
) -> None:
    deal = Deal(world, currency=currency, starts_at=at("2026-03-01"), prices={"ticket": per_unit(price)}, **terms)
    deal.customer.tax_rates.set(rates(*chosen))
    deal.settled("ticket", count, at("2026-03-10"), met=at("2026-03-08"))
    billing.run(now=APRIL_1)
    invoice = deal.invoice()
    assert (invoice.status, invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (
        "issued" if total else "paid", subtotal, sum(tax), total,
    )  # fmt: skip
    assert sum(line.amount_minor for line in invoice.lines.all()) == subtotal
    assert invoice.taxes == [
        {
            "key": key, "name": RATES[key]["name"], "percent": RATES[key]["percent"],
            "inclusive": RATES[key].get("inclusive", False), "reverse_charge": RATES[key].get("reverse_charge", False),
            "note": RATES[key].get("note", ""), "taxable_minor": taxable, "amount_minor": minor,
        }
        for key, minor in zip(chosen, tax, strict=True)
    ]  # fmt: skip
    sound(APRIL_1 + LATER)


def test_tax_is_on_the_sum_and_not_line_by_line(world: World) -> None:
    prices = {slug: per_unit("0.03") for slug in ("ticket", "check", "call")}
    deal = Deal(world, currency="EUR", starts_at=at("2026-03-01"), prices=prices)
    deal.customer.tax_rates.set(rates("de"))
    for slug in prices:
        deal.settled(slug, 1, at("2026-03-10"), met=at("2026-03-08"))
    billing.run(now=APRIL_1)
    # 19 % of 0.09 is 0.0171. Line by line 0.0057 each would be three times 0.01.
    assert (deal.invoice().subtotal_minor, deal.invoice().tax_minor) == (9, 2)


def test_what_was_issued_keeps_its_rate_and_a_draft_takes_that_of_its_issue(world: World, settings: Any) -> None:
    deal = Deal(world, currency="EUR", starts_at=at("2026-03-01"), prices={"ticket": per_unit("1.00")})
    deal.customer.tax_rates.set(rates("de"))
    deal.settled("ticket", 10, at("2026-03-10"), met=at("2026-03-08"))
    deal.settled("ticket", 10, at("2026-04-10"))
    billing.run(now=APRIL_1)
    settings.INVOICE_GRACE_HOURS = 24 * 36500
    billing.run(now=MAY_1)
    first, draft = deal.invoices()
    assert (draft.status, first.total_minor, draft.total_minor) == ("draft", 1190, 1190)
    put_tax_rate("de", TaxRateFields("USt", Decimal("20.5")), now=MAY_1)
    draft = issue(draft.id, now=MAY_1)
    assert (draft.subtotal_minor, draft.tax_minor, draft.taxes[0]["percent"]) == (1000, 205, "20.5")
    first.refresh_from_db()
    assert (first.total_minor, first.taxes[0]["percent"]) == (1190, "19")
    sound(MAY_1 + LATER)


def test_the_customers_rates_of_the_day_count(world: World) -> None:
    deal = Deal(world, currency="EUR", starts_at=at("2026-03-01"), prices={"ticket": per_unit("1.00")})
    rates("de", "de-7")
    for month, chosen in (("2026-03", ("de",)), ("2026-04", ("de-7",)), ("2026-05", ())):
        put_customer("acme", CustomerFields("EUR", tax_rates=chosen), now=BEFORE)
        deal.settled("ticket", 10, at(f"{month}-10"), met=at(f"{month}-08"))
        billing.run(now=at(f"{month}-01") + timedelta(days=35))
    assert deal.totals() == ["11.90", "10.70", "10.00"]
    assert [len(one.taxes) for one in Invoice.objects.order_by("period_start")] == [1, 1, 0]
