"""Whole contracts from outcomes to invoices: those of tests/contracts/test_golden_contracts.py, with the same totals.

The arithmetic stands there, worked out by hand.
"""

from datetime import timedelta
from decimal import Decimal

from access.invariants import Scope, check
from invoicing import billing, queries
from invoicing.audit import INVARIANTS
from invoicing.models import Invoice
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, expected, per_unit, sound, tier

APRIL_1, MAY_1 = at("2026-04-01"), at("2026-05-01")
LATER = timedelta(days=3)


def test_a_minimum(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), prices={"support_resolution": per_unit("0.99")}, minimum="49.50")
    deal.settled("support_resolution", 37, at("2026-03-10"), met=at("2026-03-08"))
    deal.settled("support_resolution", 64, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.lines(0) == expected("""
        usage    Support resolution            37  36.63
        minimum  Minimum of 49.50: difference      12.87
        total                                      49.50
    """)
    assert deal.lines(1) == expected("""
        usage    Support resolution            64  63.36
        total                                      63.36
    """)
    assert deal.invoice(0).lines.get(kind="minimum").details == {"minimum": "49.50", "reached": "36.63"}
    sound(MAY_1 + LATER)


def test_a_minimum_where_nothing_settled(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-02-01"), prices={"support_resolution": per_unit("0.99")}, minimum="49.50")
    assert billing.run(now=at("2026-02-28")).results == ()
    billing.run(now=APRIL_1)
    assert deal.totals() == ["49.50", "49.50"]
    assert deal.lines() == "minimum Minimum of 49.50: difference 49.50\ntotal 49.50"
    sound(APRIL_1 + LATER)


def test_graduated_with_flat_fees(world: World) -> None:
    tiers = [
        tier("20", unit_price="12.00"),
        tier("100", unit_price="9.50", flat_fee="25.00"),
        tier(None, unit_price="7.25", flat_fee="50.00"),
    ]
    deal = Deal(world, currency="EUR", prices={"merged_pull_request": {"model": "graduated", "tiers": tiers}})
    deal.settled("merged_pull_request", 100, at("2026-03-10"), priority="low")
    deal.settled("merged_pull_request", 37, at("2026-03-11"), priority="high")
    billing.run(now=APRIL_1)
    # 1,343.25 by quantity: 1,343.25 x 37 / 137 = 362.775... and x 100 / 137 = 980.474...
    assert deal.lines() == expected("""
        usage Merged pull request high  37  362.78
        usage Merged pull request low  100  980.47
        total                              1343.25
    """)
    line = deal.invoice().lines.order_by("position")[0]
    assert line.unit_price is None
    assert line.details == {"shared": True, "price_amount": "1343.25"}
    assert line.steps == [
        {"kind": "units", "quantity": "20", "unit_price": "12", "amount": "240", "up_to": "20"},
        {"kind": "units", "quantity": "80", "unit_price": "9.5", "amount": "760", "up_to": "100"},
        {"kind": "flat_fee", "quantity": "1", "unit_price": "25", "amount": "25", "up_to": "100"},
        {"kind": "units", "quantity": "37", "unit_price": "7.25", "amount": "268.25"},
        {"kind": "flat_fee", "quantity": "1", "unit_price": "50", "amount": "50"},
    ]
    sound(APRIL_1 + LATER)


def test_packages(world: World) -> None:
    price = {"model": "package", "unit_price": Decimal(450), "package_size": Decimal(10)}
    deal = Deal(world, prices={"held_meeting": price})
    deal.settled("held_meeting", 23, at("2026-03-10"))
    billing.run(now=APRIL_1)
    assert deal.lines() == "usage Held meeting 23 1350.00\ntotal 1350.00"
    sound(APRIL_1 + LATER)


PAYMENTS = {
    "model": "percentage", "percent": Decimal(25), "minimum": Decimal(1), "maximum": Decimal(250),
}  # fmt: skip


def test_a_percentage_with_bounds(world: World) -> None:
    deal = Deal(world, prices={"recovered_payment": PAYMENTS})
    for amount in ("2.40", "80.00", "333.33", "1999.96"):
        deal.settled("recovered_payment", 1, at("2026-03-10"), amount=Decimal(amount))
    deal.settled("recovered_payment", 1, at("2026-03-10"), amount=None)
    billing.run(now=APRIL_1)
    assert deal.lines() == "usage Recovered payment 4 354.33\ntotal 354.33"
    line = deal.invoice().lines.get()
    assert line.details == {"value": "2415.69"}
    assert [step["kind"] for step in line.steps] == ["percent", "bounds"]
    # What nobody knows the amount of waits for a person.
    assert queries.held_back([deal.customer.pk]) == [queries.Held(deal.customer.pk, "review", 1)]
    sound(APRIL_1 + LATER)


def test_graduated_percentages_in_yen(world: World) -> None:
    tiers = [tier("1000000", percent="10"), tier(None, percent="8")]
    deal = Deal(world, currency="JPY", prices={"hotel_booking": {"model": "percentage", "tiers": tiers}})
    deal.settled("hotel_booking", 60, at("2026-03-10"), amount=Decimal(15_000), priority="app")
    deal.settled("hotel_booking", 26, at("2026-03-10"), amount=Decimal(12_000), priority="phone")
    deal.settled("hotel_booking", 1, at("2026-03-10"), amount=Decimal(22_567), priority="phone")
    # An amount below zero counts as none.
    deal.settled("hotel_booking", 1, at("2026-03-10"), amount=Decimal(-100), priority="phone")
    billing.run(now=APRIL_1)
    assert deal.lines() == expected("""
        usage Hotel booking app   60   86580
        usage Hotel booking phone 28   32185
        total                         118765
    """)
    sound(APRIL_1 + LATER)


def test_a_pool_goes_to_what_settles_first(world: World) -> None:
    prices = {
        "signed_document": per_unit("1.50") | {"pool": "free"},
        "identity_check": per_unit("0.40") | {"pool": "free"},
    }
    deal = Deal(world, prices=prices, pools={"free": "100"})
    hour = timedelta(minutes=1)
    deal.settled("signed_document", 60, at("2026-03-02"), hour)
    deal.settled("identity_check", 70, at("2026-03-03"), hour)
    deal.settled("signed_document", 20, at("2026-03-04"), hour)
    billing.run(now=APRIL_1)
    assert deal.lines() == expected("""
        usage Identity check  70  12.00
        usage Signed document 80  30.00
        total                     42.00
    """)
    sound(APRIL_1 + LATER)


def test_a_cap_and_a_fee_outside_it(world: World) -> None:
    fees = [{"name": "Platform", "amount": "250.00"}]
    deal = Deal(
        world, starts_at=at("2026-03-01"), prices={"ticket": per_unit("200")}, minimum="1000", cap="5000", fees=fees
    )
    deal.settled("ticket", 27, at("2026-03-10"))
    deal.settled("ticket", 1, at("2026-03-11"), quantity=Decimal("0.5"))
    billing.run(now=APRIL_1)
    assert deal.lines() == expected("""
        usage Ticket                                 27.5  5500.00
        cap   Above the limit of 5,000.00, not charged     -500.00
        fee   Platform, March 2026                          250.00
        total                                              5250.00
    """)
    sound(APRIL_1 + LATER)


def test_a_discount_and_the_maximum_of_a_price(world: World) -> None:
    prices = {"call": per_unit("45") | {"period_maximum": Decimal(1500)}, "email": per_unit("3")}
    deal = Deal(world, prices=prices, discount_percent="12.5")
    deal.settled("call", 40, at("2026-03-10"))
    deal.settled("email", 99, at("2026-03-10"))
    deal.settled("email", 1, at("2026-03-10"), quantity=Decimal("0.99"))
    billing.run(now=APRIL_1)
    assert deal.lines() == expected("""
        usage    Call                                                  40  1800.00
        usage    Email                                              99.99   299.97
        discount Discount 12.5 %                                           -262.50
        maximum  Call: above the maximum of 1,500.00, not charged           -75.00
        total                                                              1762.47
    """)
    sound(APRIL_1 + LATER)


def test_seats_set_up_and_a_fee_in_advance(world: World) -> None:
    fees = [
        {"name": "Seats", "kind": "seats", "amount": "25.00", "seats": "12"},
        {"name": "Platform", "amount": "199.00", "timing": "advance"},
        {"name": "Set-up", "kind": "one_off", "amount": "500.00"},
    ]
    deal = Deal(world, starts_at=at("2026-05-12"), fees=fees)
    billing.run(now=at("2026-07-01"))
    assert deal.lines(0) == expected("""
        fee Seats, 12 – 31 May 2026    12  193.55
        fee Platform, 12 – 31 May 2026     128.39
        fee Set-up                         500.00
        fee Platform, June 2026            199.00
        total                             1020.94
    """)
    assert deal.lines(1) == expected("""
        fee Seats, June 2026    12  300.00
        fee Platform, July 2026     199.00
        total                       499.00
    """)
    line = deal.invoice(0).lines.get(position=4)
    assert (line.period_start, line.period_end) == (at("2026-06-01"), at("2026-07-01"))
    sound(at("2026-07-04"))


def test_a_price_changed_in_the_middle_with_prorated_minimums(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-07-01"), prices={"ticket": per_unit("1.00")}, minimum="300")
    deal.version(at("2026-07-12"), prices={"ticket": per_unit("1.20")}, minimum="600")
    deal.settled("ticket", 120, at("2026-07-20"), met=at("2026-07-11T23:59"))
    deal.settled("ticket", 100, at("2026-07-20"), met=at("2026-07-12"))
    billing.run(now=at("2026-08-01"))
    assert deal.lines() == expected("""
        usage   Ticket                         120  120.00
        usage   Ticket                         100  120.00
        minimum Minimum of 493.55: difference       253.55
        total                                       493.55
    """)
    sound(at("2026-08-04"))


def test_a_trial_and_then_a_ramp(world: World) -> None:
    base, more = [{"name": "Platform", "amount": "50"}], [{"name": "Platform", "amount": "80"}]
    one = {"ticket": per_unit("1.00")}
    deal = Deal(world, prices=one, fees=base, trial=True)
    deal.version(at("2026-02-15"), prices=one, fees=base)
    deal.version(at("2026-04-01"), prices={"ticket": per_unit("1.50")}, fees=more)
    deal.settled("ticket", 40, at("2026-01-20"))
    deal.settled("ticket", 25, at("2026-02-12"))
    deal.settled("ticket", 30, at("2026-02-20"), met=at("2026-02-16"))
    deal.settled("ticket", 60, at("2026-03-20"))
    deal.settled("ticket", 60, at("2026-04-20"))
    deal.settled("ticket", 10, at("2026-04-02"), met=at("2026-03-31"))
    billing.run(now=MAY_1)
    assert deal.lines(0) == "usage Ticket 40 0.00\ntotal 0.00"
    assert deal.lines(1) == expected("""
        usage Ticket                  25   0.00
        usage Ticket                  30  30.00
        fee   Platform, February 2026     25.00
        total                             55.00
    """)
    assert deal.totals()[2] == "110.00"
    assert deal.lines(3) == expected("""
        usage Ticket               10   10.00
        usage Ticket               60   90.00
        fee   Platform, April 2026      80.00
        total                          180.00
    """)
    sound(MAY_1 + LATER)


def test_a_trial_in_which_nothing_settles_makes_no_invoice(world: World) -> None:
    deal = Deal(world, fees=[{"name": "Platform", "amount": "50"}], trial=True)
    billing.run(now=APRIL_1)
    assert deal.invoices() == []
    assert billing.run(now=APRIL_1 + LATER).results == ()
    sound(APRIL_1 + LATER)


def test_a_commitment_in_advance_is_drawn_down(world: World) -> None:
    deal = Deal(
        world,
        ends_at=at("2026-06-01"),
        prices={"hire_stays": per_unit("1500")},
        commitments=[{"amount": "9000", "payment": "advance", "ends_at": APRIL_1}],
    )
    for month, count in (("01", 3), ("03", 4), ("04", 1)):
        deal.settled("hire_stays", count, at(f"2026-{month}-10"), met=at(f"2026-{month}-05"))
    billing.run(now=MAY_1)
    assert deal.lines(0) == expected("""
        usage      Hire stays                                       3   4500.00
        drawdown   Drawn from the commitment of 9,000.00: 4,500.00 left -4500.00
        commitment Commitment of 9,000.00, in advance                    9000.00
        total                                                            9000.00
    """)
    # February has nothing to show. In March 1,500.00 are beyond the commitment.
    assert deal.lines(1) == expected("""
        usage    Hire stays                                       4     6000.00
        drawdown Drawn from the commitment of 9,000.00: 0.00 left      -4500.00
        total                                                           1500.00
    """)
    assert deal.lines(2) == "usage Hire stays 1 1500.00\ntotal 1500.00"
    assert len(deal.invoices()) == 3
    sound(MAY_1 + LATER)


def test_a_commitment_in_arrears_is_trued_up(world: World) -> None:
    deal = Deal(
        world,
        ends_at=APRIL_1,
        prices={"signed_document": per_unit("10")},
        fees=[{"name": "Archive", "amount": "20", "counts": True}, {"name": "Platform", "amount": "5"}],
        commitments=[{"amount": "500", "payment": "arrears"}],
    )
    for month, count in (("01", 10), ("02", 5), ("03", 8)):
        deal.settled("signed_document", count, at(f"2026-{month}-10"), met=at(f"2026-{month}-05"))
    billing.run(now=MAY_1)
    # 10 + 5 + 8 = 23 x 10.00 = 230.00, and 3 x 20.00 of a fee that counts: 290.00 of 500.00.
    assert deal.totals() == ["125.00", "75.00", "315.00"]
    assert deal.lines(2) == expected("""
        usage   Signed document                    8   80.00
        fee     Archive, March 2026                    20.00
        true_up Commitment of 500.00: difference      210.00
        fee     Platform, March 2026                    5.00
        total                                         315.00
    """)
    sound(MAY_1 + LATER)


def test_a_run_again_changes_nothing_whatever_the_terms(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-02-01"),
        prices={"ticket": per_unit("1") | {"pool": "free"}},
        pools={"free": "10"},
        minimum="50",
        fees=[{"name": "Platform", "amount": "20", "timing": "advance"}],
        commitments=[{"amount": "100", "payment": "advance"}],
    )
    deal.settled("ticket", 30, at("2026-02-10"))
    billing.run(now=APRIL_1)
    before = [(one.number, one.content_hash) for one in deal.invoices()]
    assert len(before) == 2
    for days in (0, 1, 20):
        assert billing.run(now=APRIL_1 + timedelta(days=days)).results == ()
    assert [(one.number, one.content_hash) for one in deal.invoices()] == before
    assert Invoice.objects.count() == 2


def test_what_terms_owe_and_nobody_billed_is_told(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), minimum="10")
    results = {
        result.invariant.name: result.findings for result in check(INVARIANTS, Scope(now=APRIL_1 + LATER, sample=None))
    }
    (warning,) = results["billed once"].warning_rows
    assert warning["problem"] == "the period that ended at 2026-04-01T00:00:00+00:00 has not been billed"
    assert warning["contract"] == deal.contract.pk
