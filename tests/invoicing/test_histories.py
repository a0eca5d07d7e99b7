"""However invoices came about (late outcomes, voids, drafts, in any order), periods come to what they would have come
to had everything been there from the start.
"""

import os
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.db.models import Q

from invoicing import billing
from invoicing.models import Invoice, InvoiceLine
from invoicing.void import void
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, per_unit, sound, tier

# As many stories; `HISTORY_SEEDS=500` plays more.
SEEDS = int(os.environ.get("HISTORY_SEEDS", "10"))

MONTHS = ("02", "03", "04", "05")
END = at("2026-07-01")

PRICES: list[dict[str, Any]] = [
    per_unit("0.335"),
    per_unit("1.5") | {"included": Decimal(3)},
    per_unit("2") | {"pool": "free"},
    per_unit("0.7") | {"pool": "free", "period_maximum": Decimal(8)},
    {"model": "graduated", "tiers": [tier("4", unit_price="3"), tier(None, unit_price="1.25", flat_fee="2")]},
    {"model": "package", "unit_price": Decimal(5), "package_size": Decimal(4)},
    {"model": "percentage", "percent": Decimal("7.5"), "minimum": Decimal(1), "maximum": Decimal(6)},
    {"model": "percentage", "tiers": [tier("100", percent="10"), tier(None, percent="4")]},
    {"model": "volume", "tiers": [tier("5", unit_price="2"), tier(None, unit_price="1.1")]},
]
DISCOUNTS: list[dict[str, Any]] = [{}, {"discount_percent": "12.5"}, {"discount_amount": "4"}]
BOUNDS: list[dict[str, Any]] = [{}, {"minimum": "25"}, {"cap": "30"}, {"minimum": "10", "cap": "20"}]
IN_ADVANCE = {"name": "Platform", "amount": "7", "timing": "advance"}
FEES: list[list[dict[str, Any]]] = [
    [],
    [IN_ADVANCE | {"counts": True}],
    [IN_ADVANCE, {"name": "Archive", "amount": "1.01"}],
]


def period_totals(deal: Deal) -> Counter[datetime]:
    """Minor units by period on all documents that stand."""
    totals: Counter[datetime] = Counter()
    of_contract = Q(invoice__contract=deal.contract) | Q(credit_note__contract=deal.contract)
    lines = InvoiceLine.objects.filter(of_contract).exclude(invoice__status="void")
    for start, minor in lines.values_list("period_start", "amount_minor"):
        totals[start] += minor
    return totals


@pytest.mark.parametrize("seed", range(SEEDS))
def test_periods_come_to_the_same_whatever_happened(world: World, seed: int, settings: Any) -> None:
    random = Random(seed)
    prices = {f"kind_{index}": price for index, price in enumerate(random.sample(PRICES, 3))}
    terms: dict[str, Any] = random.choice(DISCOUNTS) | random.choice(BOUNDS)
    terms |= {"pools": {"free": "5"}, "fees": random.choice(FEES)}
    if random.random() < 0.5:
        terms["commitments"] = [{"amount": "60", "payment": random.choice(["advance", "arrears"]), "ends_at": END}]
    deals = [
        Deal(world, key, starts_at=at("2026-02-01"), prices={"last": per_unit("50")} | prices, **terms)
        for key in ("acme", "twin")
    ]
    acme, twin = deals
    moment = 0
    for month in MONTHS:
        for _ in range(random.randint(1, 4)):
            past = random.choice(MONTHS[: MONTHS.index(month) + 1])
            moment += 1
            # Late, early and in between: each at an instant of its own.
            when = at(f"2026-{past}-{random.randint(10, 27)}") + timedelta(seconds=moment)
            fields = {
                "amount": Decimal(random.randint(-500, 9000)).scaleb(-2),
                "priority": random.choice(["low", "high"]),
                "quantity": Decimal(random.randint(1, 25)).scaleb(-random.randint(0, 1)),
            }
            slug, count = random.choice(list(prices)), random.randint(1, 4)
            for deal in deals:
                deal.settled(slug, count, when, timedelta(milliseconds=1), met=at("2026-02-09"), **fields)
        now = at(f"2026-{int(month) + 1:02}-01")
        settings.INVOICE_GRACE_HOURS = random.choice([0, 0, 24 * 20])
        billing.run(now=now, only=[acme.customer.pk])
        if random.random() < 0.5 and (
            standing := list(
                Invoice.objects.filter(status="issued", customer=acme.customer, allocations__isnull=True).order_by("id")
            )
        ):
            void(random.choice(standing).pk, now=now)
    settings.INVOICE_GRACE_HOURS = 0
    # One that bears whatever is to be taken back.
    for deal in deals:
        deal.settled("last", 8, at("2026-06-28"), met=at("2026-06-20"))
    billing.run(now=END)
    assert not [one for one in acme.invoices() if one.total_minor < 0]
    assert period_totals(acme) == period_totals(twin)
    assert billing.run(now=END + timedelta(days=2)).results == ()
    sound(END + timedelta(days=2))
