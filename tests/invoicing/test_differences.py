"""What comes late, what is void and billed again, drafts made anew: in the end the invoices say what the period comes
to, and nothing twice.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Q

from contracts.domain import rating
from contracts.domain.rating import Fee, Line, Price, Usage
from invoicing import billing
from invoicing.domain.owing import Booked, Counted, Key, Owing, key_of, owing
from invoicing.issue import issue
from invoicing.models import Invoice, InvoiceLine, LineOutcome
from invoicing.void import void
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, expected, per_unit, sound, tier

MARCH, APRIL_1, MAY_1, JUNE_1 = at("2026-03-10"), at("2026-04-01"), at("2026-05-01"), at("2026-06-01")
LATER = timedelta(days=3)
GRADUATED = {"model": "graduated", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}
VOLUME = {"model": "volume", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}


def period_total(deal: Deal, start: Any) -> int:
    """Everything that standing documents say of a period."""
    of_contract = Q(invoice__contract=deal.contract) | Q(credit_note__contract=deal.contract)
    lines = InvoiceLine.objects.filter(of_contract, period_start=start).exclude(invoice__status="void")
    return sum(lines.exclude(kind="goodwill").values_list("amount_minor", flat=True))


# --- The difference itself --------------------------------------------------------------------------------------------


def line(kind: str, minor: int, **more: Any) -> Line:
    return Line(kind, minor, **more)


def used(minor: int, price: int = 1, **dimensions: str) -> Line:
    values = rating.dimensions_of(dimensions)
    return line("usage", minor, price=Price(price, "x"), usage=Usage("x", values, Decimal(1), 1), version=1)


def test_without_invoices_everything_is_owed() -> None:
    lines = [used(10), used(0, a="b"), line("minimum", 90)]
    assert [(one.line, one.amount_minor) for one in owing(lines, {})] == [(lines[0], 10), (lines[1], 0), (lines[2], 90)]


def test_what_is_billed_is_taken_off_by_key() -> None:
    lines = [used(15), used(7, a="b"), line("cap", -5)]
    one = Counted(1, Decimal(1))
    booked = {key_of(lines[0]): Booked(10, one), key_of(lines[1]): Booked(7, one), ("minimum",): Booked(3)}
    assert owing(lines, booked) == [
        Owing(key_of(lines[0]), lines[0], 5, 10),
        Owing(("cap",), lines[2], -5),
        Owing(("minimum",), None, -3, 3),
    ]


def test_what_is_counted_elsewhere_goes_back_with_its_amount() -> None:
    lines = [used(30, a="b")]
    gone, three = used(0), Counted(3, Decimal(3))
    found = owing(lines, {key_of(gone): Booked(12, three)})
    assert found == [
        Owing(key_of(lines[0]), lines[0], 30, 0, Counted(1, Decimal(1))),
        Owing(key_of(gone), None, -12, 12, Counted(-3, Decimal(-3))),
    ]
    # Where nothing moves, and nothing is to be shown, there is nothing.
    assert owing([], {key_of(gone): Booked()}) == []
    assert len(owing([], {key_of(gone): Booked()}, {key_of(gone)})) == 1


def platform(minor: int) -> dict[Key, Booked]:
    return {("fee", "Platform", False): Booked(minor)}


def test_a_fee_goes_on_by_its_name() -> None:
    old, new = (Fee(("fee", id), "Platform", "recurring", Decimal(1)) for id in (1, 2))
    lines = [line("fee", 50, fee=old, version=1), line("fee", 30, fee=new, version=2)]
    assert [(one.line, one.amount_minor) for one in owing(lines, platform(100))] == [(lines[1], -20)]
    assert [one.amount_minor for one in owing(lines, platform(60))] == [20]
    assert owing(lines, platform(80)) == []


def test_what_bills_outcomes_is_shown_whatever_it_comes_to() -> None:
    lines = [used(10)]
    booked = {key_of(lines[0]): Booked(10, Counted(1, Decimal(1)))}
    assert owing(lines, booked) == []
    assert [one.amount_minor for one in owing(lines, booked, {key_of(lines[0])})] == [0]


# --- Late -------------------------------------------------------------------------------------------------------------


def test_late_outcomes_go_on_where_the_tiers_of_their_period_stood(world: World) -> None:
    deal = Deal(world, prices={"ticket": GRADUATED})
    deal.settled("ticket", 8, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 5, MARCH)
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=MAY_1)
    # March: 13 = 10 x 2.00 + 3 x 1.00 = 23.00, of which 16.00 stand on March's invoice.
    assert deal.lines() == expected("""
        usage Ticket 1  2.00
        usage Ticket 5  7.00
        total           9.00
    """)
    late = deal.invoice().lines.get(position=2)
    assert late.details == {"period_amount": "23.00", "billed": "16.00"}
    assert period_total(deal, at("2026-03-01")) == 2300
    sound(MAY_1 + LATER)


def test_a_late_outcome_fills_what_the_minimum_had_topped_up(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), prices={"ticket": per_unit("10")}, minimum="100")
    deal.settled("ticket", 4, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 3, MARCH)
    deal.settled("ticket", 11, at("2026-04-10"))
    billing.run(now=MAY_1)
    # March stays at 100.00: three tickets, and the true-up is 30.00 less.
    assert deal.lines() == expected("""
        usage   Ticket                            11  110.00
        usage   Ticket                             3   30.00
        minimum Minimum of 100.00: difference         -30.00
        total                                         110.00
    """)
    deal.settled("ticket", 5, MARCH)
    billing.run(now=JUNE_1)
    # 12 x 10.00 = 120.00: beyond the minimum now, which no longer is on March's lines at all.
    assert period_total(deal, at("2026-03-01")) == 12000
    assert deal.lines() == expected("""
        minimum Minimum of 100.00: difference         100.00
        usage   Ticket                             5   50.00
        minimum Minimum of 100.00: difference         -30.00
        total                                         120.00
    """)
    sound(JUNE_1 + LATER)


def test_a_late_outcome_takes_its_place_in_a_pool(world: World) -> None:
    prices = {"document": per_unit("3") | {"pool": "free"}, "check": per_unit("1") | {"pool": "free"}}
    deal = Deal(world, prices=prices, pools={"free": "5"})
    deal.settled("check", 5, MARCH)
    deal.settled("document", 2, at("2026-03-20"))
    billing.run(now=APRIL_1)
    assert deal.totals() == ["6.00"]
    # Two documents that had settled first: the pool covers them and three checks. In all 4 documents are 2 x 3.00, and
    # 5 checks 2 x 1.00: 8.00.
    deal.settled("document", 2, at("2026-03-05"))
    billing.run(now=MAY_1)
    assert period_total(deal, at("2026-03-01")) == 800
    assert deal.lines() == expected("""
        usage Document 2  0.00
        usage Check    0  2.00
        total             2.00
    """)
    sound(MAY_1 + LATER)


def test_a_late_payment_of_a_percentage_with_bounds(world: World) -> None:
    price = {"model": "percentage", "percent": Decimal(10), "minimum": Decimal(1), "period_maximum": Decimal(15)}
    deal = Deal(world, prices={"payment": price})
    deal.settled("payment", 2, MARCH, amount=Decimal(60))
    billing.run(now=APRIL_1)
    deal.settled("payment", 1, MARCH, amount=Decimal(5))
    deal.settled("payment", 1, MARCH, amount=Decimal(40))
    billing.run(now=MAY_1)
    assert deal.totals() == ["12.00", "3.00"]
    assert deal.lines() == expected("""
        usage   Payment                                              2   5.00
        maximum Payment: above the maximum of 15.00, not charged        -2.00
        total                                                            3.00
    """)
    sound(MAY_1 + LATER)


def test_terms_that_change_backwards_correct_what_is_invoiced(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("10")}, discount_percent="10")
    deal.settled("ticket", 4, MARCH)
    billing.run(now=APRIL_1)
    deal.version(at("2026-03-01"), prices={"ticket": per_unit("20")}, minimum="500")
    # Met in March, as those four were (three days before it settled).
    deal.settled("ticket", 1, MARCH)
    billing.run(now=APRIL_1 + LATER)
    assert deal.totals() == ["36.00"], "it is more, so it waits for the next invoice"
    sound(APRIL_1 + LATER)
    billing.run(now=MAY_1)
    # March: 5 x 20.00 and no discount, at least 500.00; of that 36.00 are billed.
    assert deal.lines() == expected("""
        minimum  Minimum of 500.00: difference            500.00
        usage    Ticket                                5  100.00
        minimum  Minimum of 500.00: difference            400.00
        usage    Ticket, no longer at this price      -4  -40.00
        discount Discount 10 %                              4.00
        total                                             964.00
    """)
    assert period_total(deal, at("2026-03-01")) == 50_000
    sound(MAY_1 + LATER)


def test_what_lowers_a_total_is_given_back_at_once(world: World) -> None:
    deal = Deal(world, prices={"ticket": VOLUME})
    deal.settled("ticket", 10, MARCH)
    billing.run(now=APRIL_1)
    # 11 at 1.00 are 11.00, and 20.00 are invoiced: 9.00 less.
    deal.settled("ticket", 1, MARCH)
    report = billing.run(now=APRIL_1 + LATER)
    assert (report.issued, len(report.credited)) == ((), 1)
    assert deal.notes() == expected("""
        CN-000001 March 2026: 1 outcome confirmed late, with which the period comes to less.
        usage Ticket 1 -9.00
        total 9.00 of HF-000001
    """)
    assert LineOutcome.objects.count() == 11
    assert billing.run(now=JUNE_1 + LATER).results == ()
    sound(JUNE_1 + LATER)


def test_a_late_outcome_draws_on_what_is_left_of_a_commitment(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        prices={"ticket": per_unit("10")},
        commitments=[{"amount": "100", "payment": "advance"}],
    )
    deal.settled("ticket", 3, MARCH)
    deal.settled("ticket", 6, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.totals() == ["100.00", "0.00"]
    deal.settled("ticket", 4, MARCH)
    deal.settled("ticket", 1, at("2026-05-10"))
    billing.run(now=JUNE_1)
    # 10.00 were left; March's four take them, and 30.00 are charged; May's is charged, too.
    drawn = InvoiceLine.objects.filter(kind="drawdown").values_list("amount_minor", flat=True)
    assert sum(drawn) == -10_000
    assert sum(Invoice.objects.values_list("total_minor", flat=True)) == 14_000
    sound(JUNE_1 + LATER)


# --- Void and billed again, drafts, amendments ------------------------------------------------------------------------


def everything(world: World) -> Deal:
    deal = Deal(
        world,
        starts_at=at("2026-02-01"),
        prices={"ticket": GRADUATED, "check": per_unit("0.5") | {"pool": "free"}},
        pools={"free": "3"},
        discount_percent="10",
        minimum="40",
        fees=[{"name": "Platform", "amount": "20", "timing": "advance"}, {"name": "Archive", "amount": "5"}],
        commitments=[{"amount": "60", "payment": "advance", "ends_at": JUNE_1}],
    )
    for month, tickets, checks in (("02", 14, 5), ("03", 2, 1), ("04", 30, 9)):
        deal.settled("ticket", tickets, at(f"2026-{month}-10"), met=at(f"2026-{month}-09"))
        deal.settled("check", checks, at(f"2026-{month}-11"), met=at(f"2026-{month}-09"))
    return deal


@pytest.mark.parametrize("which", [0, 1, 2])
def test_void_and_billed_again_comes_to_the_same(world: World, which: int) -> None:
    deal = everything(world)
    billing.run(now=MAY_1)
    before = sum(one.total_minor for one in deal.invoices())
    texts = [deal.lines(index) for index in range(3)]
    void(deal.invoice(which).pk, now=MAY_1)
    billing.run(now=MAY_1)
    assert sum(one.total_minor for one in deal.invoices()) == before
    assert [deal.lines(index) for index in range(3) if index != which] == [
        text for index, text in enumerate(texts) if index != which
    ]
    assert Invoice.objects.count() == 4
    assert billing.run(now=MAY_1 + LATER).results == ()
    sound(MAY_1 + LATER)


def test_void_where_nothing_settled_is_billed_again(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), fees=[{"name": "Platform", "amount": "20"}])
    billing.run(now=APRIL_1)
    void(deal.invoice().pk, now=APRIL_1)
    assert len(billing.run(now=APRIL_1).issued) == 1
    assert deal.lines() == "fee Platform, March 2026 20.00\ntotal 20.00"


def test_drafts_are_made_anew_with_everything(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24 * 90
    deal = everything(world)
    billing.run(now=MAY_1)
    before = [deal.lines(index) for index in range(3)]
    billing.run(now=MAY_1 + timedelta(hours=5))
    assert [deal.lines(index) for index in range(3)] == before
    deal.settled("ticket", 20, at("2026-03-10"))
    deal.settled("check", 2, at("2026-02-03"), met=at("2026-02-02"))
    billing.run(now=MAY_1 + timedelta(hours=6))
    changed = [deal.lines(index) for index in range(3)]
    settings.INVOICE_GRACE_HOURS = 0
    billing.run(now=MAY_1 + timedelta(hours=7))
    assert [deal.lines(index) for index in range(3)] == changed != before
    assert {one.status for one in deal.invoices()} == {"issued"}
    sound(MAY_1 + LATER)


def test_a_later_draft_may_be_issued_first(world: World, settings: Any) -> None:
    deal = everything(world)
    billing.run(now=MAY_1)
    total = sum(one.total_minor for one in deal.invoices())
    for one in deal.invoices():
        void(one.pk, now=MAY_1)
    settings.INVOICE_GRACE_HOURS = 24 * 90
    billing.run(now=MAY_1)
    for index in (2, 0, 1):
        issue(deal.invoice(index).pk, now=MAY_1 + timedelta(hours=index))
    assert sum(one.total_minor for one in deal.invoices()) == total
    sound(MAY_1 + LATER)


def test_a_fee_in_advance_that_an_amendment_changes(world: World) -> None:
    fee = {"name": "Platform", "timing": "advance"}
    deal = Deal(world, starts_at=at("2026-03-01"), fees=[fee | {"amount": "30"}])
    billing.run(now=APRIL_1)
    assert deal.lines() == expected("""
        fee Platform, March 2026  30.00
        fee Platform, April 2026  30.00
        total                     60.00
    """)
    deal.version(at("2026-04-11"), fees=[fee | {"amount": "60"}])
    billing.run(now=MAY_1)
    # April: 10 of 30 days at 30.00 and 20 at 60.00 are 50.00, of which 30.00 are invoiced.
    assert deal.lines() == expected("""
        fee Platform, April 2026  20.00
        fee Platform, May 2026    60.00
        total                     80.00
    """)
    sound(MAY_1 + LATER)


def test_a_fee_in_advance_that_goes_on_is_not_charged_again(world: World) -> None:
    fee = {"name": "Platform", "timing": "advance", "amount": "30"}
    deal = Deal(world, starts_at=at("2026-03-01"), ends_at=JUNE_1, fees=[fee])
    billing.run(now=APRIL_1)
    deal.version(APRIL_1, fees=[fee], net_days=60)
    billing.run(now=JUNE_1)
    # March with April's, May's in advance on April's; nothing is left for May's own.
    assert deal.totals() == ["60.00", "30.00"]
    assert billing.run(now=JUNE_1 + LATER).results == ()
    sound(JUNE_1 + LATER)


def test_ten_thousand_contracts_that_owe_nothing_yet_cost_few_queries(
    world: World, django_assert_num_queries: Any
) -> None:
    for number in range(20):
        Deal(world, f"c{number}", starts_at=at("2026-03-01"), fees=[{"name": "Platform", "amount": "5"}], minimum="9")
    # Is there a test clock, the candidates, their terms, their clocks.
    with django_assert_num_queries(10):
        assert billing.run(now=MARCH).results == ()
    with django_assert_num_queries(2):
        assert billing.run(now=MARCH).results == ()
    assert len(billing.run(now=APRIL_1).issued) == 20
    with django_assert_num_queries(2):
        assert billing.run(now=APRIL_1 + LATER).results == ()


def test_terms_agreed_later_are_looked_at(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), fees=[{"name": "Platform", "amount": "5"}])
    billing.run(now=APRIL_1)
    deal.version(at("2026-04-01"), minimum="10", fees=[{"name": "Platform", "amount": "5"}])
    billing.run(now=APRIL_1 + LATER)
    billing.run(now=MAY_1)
    assert deal.totals() == ["5.00", "15.00"]
