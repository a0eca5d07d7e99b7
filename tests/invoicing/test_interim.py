"""Invoices inside a period: usage that passes the contract's threshold, and what is due when a period begins. Whatever
they bill, the documents of a period come to what its one invoice would have said.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from contracts.domain.rating import FeeInput
from invoicing import billing
from invoicing.models import CreditNote, Invoice, InvoiceLine, LineReversal
from invoicing.preview import preview, preview_json
from invoicing.void import void
from outcomes.models import Import, ImportCustomer, Outcome
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, condition, expected, per_unit, sound, tier
from tests.invoicing.law import BOUNDS, DISCOUNTS, PRICES
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_lifecycle import TICKET as SOLVED
from tests.settlement.clocks import DAY, HOUR, agree, agree_threshold, clock_at, customer, forward, rate_card, tell

# As many stories at random; `INTERIM_SEEDS=500` plays more.
SEEDS = int(os.environ.get("INTERIM_SEEDS", "7"))
MARCH_1, APRIL_1, MAY_1 = at("2026-03-01"), at("2026-04-01"), at("2026-05-01")
SECOND = timedelta(seconds=1)
TICKET = {"ticket": per_unit("1.00")}
GRADUATED = {"model": "graduated", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}
VOLUME = {"model": "volume", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}
PLATFORM = {"name": "Platform", "amount": "31", "timing": "advance"}


def bill(day: str) -> tuple[int, int]:
    """How many invoices and credit notes a run on that day of March 2026 issues."""
    report = billing.run(now=at(f"2026-03-{day}"))
    assert (report.parked, report.waiting, report.drafted) == ((), (), ())
    return len(report.issued), len(report.credited)


def reverse(outcomes: Sequence[Outcome]) -> None:
    Outcome.objects.filter(pk__in=[one.pk for one in outcomes]).update(state="reversed")


def said_of(deal: Deal, start: datetime) -> int:
    """Minor units that all documents say of a period."""
    on_invoices = InvoiceLine.objects.filter(invoice__contract=deal.contract).exclude(invoice__status="void")
    lines = on_invoices | InvoiceLine.objects.filter(credit_note__contract=deal.contract)
    return sum(lines.filter(period_start=start).values_list("amount_minor", flat=True))


# --- Thresholds -------------------------------------------------------------------------------------------------------

# terms, what settles on which day of March (of "ticket"), the totals of the interim invoices, that of the period's own
HISTORIES: list[Any] = [
    ("just below", {"progressive_threshold": "10"}, {"05": 9}, [], "9.00"),
    ("exactly", {"progressive_threshold": "10"}, {"05": 10}, ["10.00"], None),
    ("above", {"progressive_threshold": "10"}, {"05": 11, "20": 4}, ["11.00"], "4.00"),
    ("by and by", {"progressive_threshold": "10"}, {"05": 6, "09": 6, "12": 9, "20": 1, "22": 3}, ["12.00", "10.00"],
     "3.00"),
    ("graduated", {"progressive_threshold": "10", "prices": {"ticket": GRADUATED}}, {"05": 8, "09": 4, "12": 8},
     ["16.00", "14.00"], None),
    ("percent off", {"progressive_threshold": "10", "discount_percent": "10"}, {"05": 11, "09": 1}, ["10.80"], None),
    ("fixed off", {"progressive_threshold": "10", "discount_amount": "4"}, {"05": 13, "09": 1, "12": 10},
     ["10.00", "10.00"], None),
    ("capped", {"progressive_threshold": "10", "cap": "15"}, {"05": 12, "09": 12, "12": 90}, ["12.00"], "3.00"),
    ("at the cap", {"progressive_threshold": "10", "cap": "15"}, {"05": 20, "09": 12}, ["15.00"], "0.00"),
    ("maximum", {"progressive_threshold": "10", "prices": {"ticket": per_unit("1") | {"period_maximum": Decimal(14)}}},
     {"05": 20}, ["14.00"], None),
    ("minimum at the end", {"progressive_threshold": "10", "minimum": "50"}, {"05": 12}, ["12.00"], "38.00"),
    ("fees in arrears at the end", {"progressive_threshold": "10", "fees": [{"name": "Archive", "amount": "31"}]},
     {"05": 12}, ["12.00"], "31.00"),
    ("trued up at the end", {"progressive_threshold": "10", "ends_at": APRIL_1,
     "commitments": [{"amount": "50", "payment": "arrears", "ends_at": APRIL_1}]}, {"05": 12}, ["12.00"], "38.00"),
    ("none", {}, {"05": 500}, [], "500.00"),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "settled", "inside", "own"), [row[1:] for row in HISTORIES],
                         ids=[row[0] for row in HISTORIES])  # fmt: skip
def test_thresholds(
    world: World, terms: dict[str, Any], settled: dict[str, int], inside: list[str], own: str | None
) -> None:
    deal = Deal(world, starts_at=MARCH_1, **{"prices": TICKET} | terms)
    for day, count in settled.items():
        deal.settled("ticket", count, at(f"2026-03-{day}"), SECOND, met=MARCH_1)
        bill(day + "T01:00")
        assert bill(day + "T02:00") == (0, 0)
    made = deal.invoices()
    assert deal.totals() == inside
    assert [(one.kind, one.status, one.ordinal) for one in made] == [
        ("interim", "issued", number) for number in range(1, len(inside) + 1)
    ]
    before = preview_json(preview("acme", now=at("2026-03-31T23:00")))["confirmed"]["total"]
    assert before == (own or "0.00")
    billing.run(now=APRIL_1)
    assert deal.totals() == [*inside, *([own] if own else [])]
    if own:
        assert (deal.invoice().kind, deal.invoice().ordinal) == ("period", len(inside) + 1)
    assert billing.run(now=APRIL_1 + SECOND).issued == ()
    sound(APRIL_1 + timedelta(days=2))


def test_lines_say_what_is_new(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices={"ticket": GRADUATED}, discount_percent="10", minimum="60",
                progressive_threshold="10")  # fmt: skip
    deal.settled("ticket", 8, at("2026-03-05"))
    bill("06")
    deal.settled("ticket", 14, at("2026-03-10"))
    bill("11")
    deal.settled("ticket", 3, at("2026-03-20"))
    billing.run(now=APRIL_1)
    assert deal.lines(0) == expected("""
        usage    Ticket         8  16.00
        discount Discount 10 %     -1.60
        total                      14.40
    """)
    assert deal.lines(1) == expected("""
        usage    Ticket        14  16.00
        discount Discount 10 %     -1.60
        total                      14.40
    """)
    # 25 tickets are 35.00 less 3.50; 28.80 was billed.
    assert deal.lines(2) == expected("""
        usage    Ticket                         3   3.00
        discount Discount 10 %                      -0.30
        minimum  Minimum of 60.00: difference      28.50
        total                                      31.20
    """)
    assert deal.invoice(1).lines.get(kind="usage").details["billed"] == "16.00"


def test_only_a_threshold_in_force_counts(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET)
    deal.settled("ticket", 30, at("2026-03-05"))
    deal.version(at("2026-03-10"), TICKET, progressive_threshold="25")
    deal.version(at("2026-03-20"), TICKET)
    assert [bill("09"), bill("10"), bill("11")] == [(0, 0), (1, 0), (0, 0)]
    deal.settled("ticket", 30, at("2026-03-19T23:00"))
    assert bill("21") == (0, 0)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["30.00", "30.00"]
    sound(APRIL_1)


def test_what_is_held_does_not_count_and_an_open_import_is_waited_for(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10")
    deal.settled("ticket", 9, at("2026-03-05"))
    deal.settled("ticket", 9, at("2026-03-05"), review=["quantity"])
    assert bill("06") == (0, 0)
    deal.settled("ticket", 1, at("2026-03-06"))
    batch = Import.objects.create(created_at=MARCH_1)
    ImportCustomer.objects.create(batch_import=batch, customer=deal.customer)
    report = billing.run(now=at("2026-03-07"))
    assert (report.issued, [one.waiting for one in report.waiting]) == (
        (),
        ["an import that touches the customer is open"],
    )
    Import.objects.update(closed_at=MARCH_1)
    assert bill("07") == (1, 0)
    assert deal.totals() == ["10.00"]


# --- Reversals and voids ----------------------------------------------------------------------------------------------


def test_what_is_taken_back_inside_the_period_is_given_back_at_once(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, minimum="50", progressive_threshold="10")
    deal.settled("ticket", 20, at("2026-03-05"))
    assert bill("06") == (1, 0)
    reverse(deal.customer.outcomes.all()[:4])
    assert [bill("07"), bill("08")] == [(0, 1), (0, 0)]
    assert deal.notes() == expected("""
        CN-000001 March 2026: 4 outcomes taken back after they were invoiced.
        usage Ticket, taken back -4 -4.00
        total 4.00 of HF-000001
    """)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["20.00", "34.00"]
    assert said_of(deal, MARCH_1) == 5000
    sound(APRIL_1 + timedelta(days=2))


def test_usage_since_makes_up_for_what_is_taken_back(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10")
    deal.settled("ticket", 20, at("2026-03-05"))
    bill("06")
    deal.settled("ticket", 5, at("2026-03-07"))
    reverse(deal.customer.outcomes.filter(settled_at=at("2026-03-05"))[:4])
    assert bill("08") == (0, 0)
    reverse(deal.customer.outcomes.filter(settled_at=at("2026-03-05"), state="confirmed")[:3])
    assert bill("09") == (0, 1)
    # 7 are taken back and 5 came: both stand on the note.
    assert deal.notes().splitlines()[1:] == ["usage Ticket -2 -2.00", "total 2.00 of HF-000001"]
    billing.run(now=APRIL_1)
    assert deal.totals() == ["20.00"]
    reverse(deal.customer.outcomes.filter(state="confirmed")[:1])
    assert len(billing.run(now=APRIL_1 + SECOND).credited) == 1
    assert said_of(deal, MARCH_1) == 1700
    sound(APRIL_1 + timedelta(days=2))


def test_volume_that_lowers_what_was_billed(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices={"ticket": VOLUME}, progressive_threshold="15")
    deal.settled("ticket", 10, at("2026-03-05"))
    assert bill("06") == (1, 0)
    deal.settled("ticket", 2, at("2026-03-07"))
    assert bill("08") == (0, 1)
    assert deal.notes().splitlines() == [
        "CN-000001 March 2026: 2 outcomes confirmed since, with which the period comes to less.",
        "usage Ticket 2 -8.00", "total 8.00 of HF-000001",
    ]  # fmt: skip
    billing.run(now=APRIL_1)
    assert (deal.totals(), said_of(deal, MARCH_1)) == (["20.00"], 1200)
    sound(APRIL_1 + timedelta(days=2))


def test_what_is_given_back_after_approval(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10", credit_notes="approval")
    deal.settled("ticket", 20, at("2026-03-05"))
    bill("06")
    reverse(deal.customer.outcomes.all()[:4])
    first = billing.run(now=at("2026-03-07"))
    again = billing.run(now=at("2026-03-08"))
    assert (first.to_approve, len(first.to_approve)) == (again.to_approve, 1)
    # When the period is over it is worked out again, with what the whole comes to.
    reverse(deal.customer.outcomes.filter(state="confirmed")[:1])
    billing.run(now=APRIL_1)
    (note,) = CreditNote.objects.all()
    assert (note.status, note.total_minor, said_of(deal, MARCH_1)) == ("draft", 500, 1500)
    sound(APRIL_1 + timedelta(days=2))


@pytest.mark.parametrize("closed", [False, True], ids=["inside", "after"])
def test_a_void_interim_invoice_is_billed_again(world: World, closed: bool) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices={"ticket": GRADUATED}, progressive_threshold="10")
    deal.settled("ticket", 8, at("2026-03-05"))
    bill("06")
    deal.settled("ticket", 8, at("2026-03-09"))
    bill("10")
    if closed:
        deal.settled("ticket", 1, at("2026-03-20"))
        billing.run(now=APRIL_1)
    assert deal.totals() == ["16.00", "10.00", *(["1.00"] if closed else [])]
    void(deal.invoice(0).pk, now=at("2026-03-11"))
    billing.run(now=APRIL_1 + SECOND if closed else at("2026-03-12"))
    billing.run(now=MAY_1)
    assert said_of(deal, MARCH_1) == (2700 if closed else 2600)
    kinds = [one.kind for one in deal.invoices()]
    assert kinds == (["interim", "period", "period"] if closed else ["interim", "interim"])
    sound(MAY_1 + timedelta(days=2))


def test_a_cheaper_price_from_an_earlier_day_on(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10")
    deal.settled("ticket", 20, at("2026-03-05"), met=at("2026-03-04"))
    bill("06")
    deal.version(at("2026-03-03"), {"ticket": per_unit("0.75")}, progressive_threshold="100")
    assert [bill("07"), bill("08")] == [(0, 1), (0, 0)]
    billing.run(now=APRIL_1)
    assert (deal.totals(), said_of(deal, MARCH_1)) == (["20.00"], 1500)
    sound(APRIL_1 + timedelta(days=2))


# --- When a period begins ---------------------------------------------------------------------------------------------


def test_the_first_periods_fees_in_advance_are_due_when_it_begins(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, fees=[PLATFORM, {"name": "Archive", "amount": "9"}])
    assert billing.run(now=MARCH_1 - SECOND).results == ()
    assert [bill("01"), bill("02")] == [(1, 0), (0, 0)]
    deal.settled("ticket", 5, at("2026-03-05"))
    billing.run(now=APRIL_1)
    assert deal.lines(0) == "fee Platform, March 2026 31.00\ntotal 31.00"
    assert (deal.invoice(0).kind, deal.invoice(0).due_at) == ("interim", at("2026-03-31"))
    assert deal.lines(1) == expected("""
        usage Ticket 5                  5.00
        fee   Archive, March 2026       9.00
        fee   Platform, April 2026     31.00
        total                          45.00
    """)
    assert billing.run(now=APRIL_1 + SECOND).issued == ()
    sound(APRIL_1 + timedelta(days=2))


def test_history_has_no_opening_invoice(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, fees=[PLATFORM])
    billing.run(now=at("2026-04-20"))
    assert [one.kind for one in deal.invoices()] == ["period"]
    assert deal.totals() == ["62.00"]


def test_a_commitment_in_advance_is_due_when_it_begins_and_then_drawn_down(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10",
                fees=[PLATFORM | {"counts": True}],
                commitments=[{"amount": "60", "payment": "advance"}])  # fmt: skip
    assert bill("01") == (1, 0)
    assert deal.lines(0) == expected("""
        fee        Platform, March 2026                       31.00
        drawdown   Drawn from the commitment of 60.00: 29.00 left  -31.00
        commitment Commitment of 60.00, in advance            60.00
        total                                                 60.00
    """)
    deal.settled("ticket", 29, at("2026-03-05"))
    assert bill("06") == (0, 0)
    deal.settled("ticket", 10, at("2026-03-07"))
    assert bill("08") == (1, 0)
    assert deal.lines(1) == expected("""
        usage    Ticket 39                                          39.00
        drawdown Drawn from the commitment of 60.00: 0.00 left     -29.00
        total                                                       10.00
    """)
    deal.settled("ticket", 3, at("2026-03-20"))
    billing.run(now=APRIL_1)
    assert deal.totals() == ["60.00", "10.00", "34.00"]
    sound(APRIL_1 + timedelta(days=2))


def test_a_commitment_that_an_amendment_adds_later(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET)
    deal.settled("ticket", 40, at("2026-03-05"))
    billing.run(now=APRIL_1)
    deal.version(at("2026-05-01"), TICKET, commitments=[{"amount": "60", "payment": "advance"}])
    for now in (at("2026-04-20"), MAY_1, MAY_1 + SECOND):
        billing.run(now=now)
    assert [(one.kind, one.issued_at) for one in deal.invoices()] == [("period", APRIL_1), ("interim", MAY_1)]
    # Void, it is due again.
    void(deal.invoice().pk, now=MAY_1)
    billing.run(now=at("2026-05-02"))
    assert deal.totals() == ["40.00", "60.00"]
    sound(at("2026-05-04"))


def test_both_on_one_invoice(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10", fees=[PLATFORM])
    deal.settled("ticket", 12, at("2026-03-01T00:10"), met=MARCH_1)
    assert bill("01T01:00") == (1, 0)
    assert deal.totals() == ["43.00"]


def test_usage_below_the_threshold_is_not_on_the_opening_invoice(world: World) -> None:
    deal = Deal(world, starts_at=MARCH_1, prices=TICKET, progressive_threshold="10", fees=[PLATFORM])
    deal.settled("ticket", 9, at("2026-03-01T00:10"), met=MARCH_1)
    assert bill("01T01:00") == (1, 0)
    assert deal.totals() == ["31.00"]


# --- Test clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_test_clock_stops_where_an_interim_invoice_is_due() -> None:
    factories.condition(SOLVED)
    rate_card("solved")
    clock = clock_at(START)
    customer("acme", clock)
    # It begins two days on, with a fee; the third ticket reaches the threshold when its 5 hours are over.
    begins = START + 2 * DAY
    agree("acme", starts_at=begins, fees=(FeeInput("Platform", "recurring", Decimal(31), timing="advance"),))
    agree_threshold("acme", Decimal(6))
    forward(clock, begins + HOUR)
    closed = [begins + HOUR + days * DAY for days in range(4)]
    for when in closed:
        forward(clock, when)
        assert tell("closed", when, "acme", f"{when}") == "accepted"
    forward(clock, begins + 20 * DAY)
    first, second = Invoice.objects.order_by("issued_at")
    assert [(one.kind, one.issued_at) for one in (first, second)] == [
        ("interim", begins),
        ("interim", closed[2] + 5 * HOUR),
    ]
    assert second.total_minor == 600


# --- The whole is what one invoice would have said --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_documents_of_a_period_come_to_what_its_one_invoice_says(world: World, seed: int) -> None:
    chance = Random(seed)
    prices = {f"kind_{index}": price for index, price in enumerate(chance.sample(PRICES, 3))}
    agreed = chance.choice(DISCOUNTS) | chance.choice(BOUNDS)
    agreed |= {"pools": {"free": "5"}, "fees": chance.choice([[], [PLATFORM | {"counts": True}], [PLATFORM]])}
    if chance.random() < 0.5:
        agreed["commitments"] = [
            {"amount": "60", "payment": chance.choice(["advance", "arrears"]), "ends_at": at("2026-06-01")}
        ]
    threshold = chance.choice(["2", "8", "20"])
    deals = [
        Deal(world, key, starts_at=MARCH_1, prices=prices, progressive_threshold=limit, **agreed)
        for key, limit in (("acme", threshold), ("twin", None))
    ]
    acme, twin = deals
    days = [MARCH_1 + timedelta(days=chance.randint(1, 60), seconds=number) for number in range(12)]
    for when in sorted(days):
        slug, count = chance.choice(list(prices)), chance.randint(1, 9)
        fields = {"amount": Decimal(chance.randint(-500, 9000)).scaleb(-2), "priority": chance.choice(["low", "high"])}
        condition(slug)
        for deal in deals:
            deal.settled(slug, count, when, timedelta(milliseconds=1), met=MARCH_1, **fields)
        if chance.random() < 0.4:
            for deal in deals:
                reverse(deal.customer.outcomes.filter(state="confirmed").order_by("settled_at", "id")[:3])
        assert billing.run(now=when + timedelta(hours=1), only=[acme.customer.pk]).parked == ()
    assert billing.run(now=MAY_1).parked == ()
    assert billing.run(now=MAY_1 + SECOND).issued == ()
    for start in (MARCH_1, APRIL_1):
        assert said_of(acme, start) == said_of(twin, start)
    assert Invoice.objects.filter(kind="interim", customer=acme.customer).exists()
    assert all(one.total_minor > 0 for one in acme.invoices() if one.kind == "interim")
    reversed_ = acme.customer.outcomes.filter(state="reversed", billed__live=True)
    assert LineReversal.objects.filter(live=True, outcome__in=reversed_).count() == reversed_.count()
    sound(MAY_1 + timedelta(days=2))
