"""What moves a period after its invoice, what is given back, at which price, of which invoice, and why."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts import terms
from contracts.models import TaxRate
from invoicing import billing, breakdown, credit_notes
from invoicing.credit_notes import Goodwill
from invoicing.models import BillingClock, CreditAllocation, CreditNote, Invoice, InvoiceLine, LineOutcome, LineReversal
from invoicing.preview import preview, preview_json
from invoicing.void import void
from outcomes.models import Outcome
from settlement import disputes
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.deals import Deal, at, expected, per_unit, reverse, sound
from tests.invoicing.test_differences import GRADUATED, VOLUME, period_total
from tests.invoicing.test_preview import shown

MARCH, APRIL_1, MAY_1, JUNE_1 = at("2026-03-10"), at("2026-04-01"), at("2026-05-01"), at("2026-06-01")
DAY, LATER = timedelta(days=1), timedelta(days=3)


def test_what_is_reversed_is_given_back_as_if_it_had_never_been(world: World) -> None:
    deal = Deal(world, prices={"ticket": GRADUATED})
    deal.settled("ticket", 12, MARCH)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["22.00"]
    reverse("ticket", 3)
    report = billing.run(now=APRIL_1 + LATER)
    # 9 at 2.00 are 18.00, so 4.00 go back: two at the second tier's price and one at the first's.
    assert deal.notes() == expected("""
        CN-000001 March 2026: 3 outcomes taken back after they were invoiced (3 by a later event).
        usage Ticket, taken back -3 -4.00
        total 4.00 of HF-000001
    """)
    assert report.credited == (CreditNote.objects.get().id,)
    line = InvoiceLine.objects.get(credit_note__isnull=False)
    assert (line.outcome_count, line.details["taken_back"]) == (-3, {"outcomes": 3, "quantity": "3"})
    assert (line.details["period_amount"], line.details["billed"]) == ("18.00", "22.00")
    assert set(LineReversal.objects.values_list("outcome", flat=True)) == set(
        Outcome.objects.filter(state="reversed").values_list("pk", flat=True)
    )
    assert billing.run(now=APRIL_1 + 2 * LATER).results == ()
    # And on: all of it.
    reverse("ticket", 9)
    billing.run(now=MAY_1)
    assert period_total(deal, at("2026-03-01")) == 0
    assert CreditNote.objects.count() == 2
    sound(MAY_1 + LATER)


def test_each_unit_at_its_price_says_so(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 5, MARCH)
    billing.run(now=APRIL_1)
    reverse("ticket", 2)
    billing.run(now=APRIL_1 + LATER)
    line = InvoiceLine.objects.get(credit_note__isnull=False)
    assert line.steps == [{"kind": "units", "quantity": "-2", "unit_price": "2", "amount": "-4"}]
    assert "period_amount" not in line.details


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("event", "1 by a later event"),
        ("late", "1 by late evidence"),
        ("person", "1 by hand"),
        ("dispute", "1 after a dispute"),
    ],
)
def test_the_reason_says_what_undid_it(world: World, what: str, words: str) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 5, MARCH)
    billing.run(now=APRIL_1)
    outcome = reverse("ticket", cause="person" if what == "dispute" else what)
    if what == "dispute":
        disputes.Dispute.objects.create(
            outcome=outcome, status="upheld", reason="no", raised_by="Ann", raised_at=MARCH, resolved_by="Ben",
            resolved_at=MARCH, note="so",
        )  # fmt: skip
    billing.run(now=APRIL_1 + LATER)
    assert f"1 outcome taken back after it was invoiced ({words}" in CreditNote.objects.get().reason


def test_a_reversal_that_raises_a_total_waits_for_the_next_invoice(world: World) -> None:
    deal = Deal(world, prices={"ticket": VOLUME})
    deal.settled("ticket", 11, MARCH)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["11.00"]
    reverse("ticket")
    assert billing.run(now=APRIL_1 + LATER).credited == ()
    assert not LineReversal.objects.exists()
    deal.settled("ticket", 1, at("2026-04-10"))
    sound(APRIL_1 + 9 * DAY)
    billing.run(now=MAY_1)
    # 10 at 2.00 are 20.00: 9.00 more, although one is less.
    assert deal.lines() == expected("""
        usage Ticket              1   2.00
        usage Ticket, taken back -1   9.00
        total                        11.00
    """)
    sound(MAY_1 + LATER)


def test_what_costs_nothing_waits_or_rides_on_a_note(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-02-01"), prices={"ticket": per_unit("10")}, minimum="100")
    deal.settled("ticket", 4, at("2026-02-10"))
    deal.settled("ticket", 12, MARCH)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["100.00", "120.00"]
    reverse("ticket")
    assert billing.run(now=APRIL_1 + LATER).credited == ()
    # February stays at its minimum; with one of March there is a note, and it rides on it.
    reverse("ticket", settled_at__gte=MARCH)
    billing.run(now=APRIL_1 + 2 * LATER)
    assert deal.notes() == expected("""
        CN-000001 February 2026, March 2026: 2 outcomes taken back after they were invoiced (2 by a later event).
        usage Ticket, taken back -1 -10.00
        minimum Minimum of 100.00: difference 10.00
        usage Ticket, taken back -1 -10.00
        total 10.00 of HF-000002
    """)
    sound(MAY_1 - DAY)


def test_a_price_that_falls_backwards_is_given_back_at_once(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 6, MARCH, met=at("2026-03-02"))
    deal.settled("ticket", 4, at("2026-03-20"), met=at("2026-03-18"))
    billing.run(now=APRIL_1)
    deal.version(at("2026-03-15"), prices={"ticket": per_unit("1.50")})
    billing.run(now=APRIL_1 + LATER)
    assert deal.notes() == expected("""
        CN-000001 March 2026: the price of 4 outcomes changed from an earlier day on.
        usage Ticket, no longer at this price -4 -8.00
        usage Ticket, at the new price 4 6.00
        total 2.00 of HF-000001
    """)
    moved = [line.details["moved"]["outcomes"] for line in InvoiceLine.objects.filter(credit_note__isnull=False)]
    assert sorted(moved) == [-4, 4]
    # One of those four is taken back at what it costs now, from the line that billed it.
    reverse("ticket", settled_at__gte=at("2026-03-20"))
    billing.run(now=APRIL_1 + 2 * LATER)
    assert period_total(deal, at("2026-03-01")) == 1200 + 450
    assert deal.notes().endswith(
        expected("""
        CN-000002 March 2026: 1 outcome taken back after it was invoiced (1 by a later event).
        usage Ticket, taken back 0 0.00
        usage Ticket, taken back -1 -1.50
        total 1.50 of HF-000001
    """)
    )
    lines = InvoiceLine.objects.filter(credit_note__number="CN-000002").order_by("position")
    assert breakdown.of_lines(lines, "USD") == [["It counted at another price by then, and is taken back there."], []]
    sound(MAY_1 - DAY)


def test_terms_that_nobody_looked_at_and_change_nothing_make_no_document(
    world: World, django_assert_num_queries: Any
) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 6, MARCH)
    billing.run(now=APRIL_1)
    deal.version(at("2026-03-15"), prices={"ticket": per_unit("2.00")}, net_days=7)
    billing.run(now=APRIL_1 + LATER)
    # The prices are other rows now, so usage moves, at no charge: it goes on the next invoice.
    assert not CreditNote.objects.exists()
    deal.version(at("2026-06-15"), prices={"ticket": per_unit("9.00")})
    with django_assert_num_queries(11):
        assert billing.run(now=APRIL_1 + 2 * LATER).results == ()
    with django_assert_num_queries(2):
        assert billing.run(now=APRIL_1 + 2 * LATER).results == ()


def test_with_a_commitment_a_change_is_carried_through_the_later_periods(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        prices={"ticket": per_unit("10")},
        commitments=[{"amount": "100", "payment": "advance"}],
    )
    deal.settled("ticket", 8, MARCH)
    deal.settled("ticket", 5, at("2026-04-10"))
    deal.settled("ticket", 2, at("2026-05-10"))
    billing.run(now=JUNE_1)
    assert deal.totals() == ["100.00", "30.00", "20.00"]
    reverse("ticket", 4)
    billing.run(now=JUNE_1 + LATER)
    # March draws 40.00, so April's 50.00 are covered and 10.00 of May's 20.00: 40.00 go back.
    assert [period_total(deal, at(f"2026-0{month}-01")) for month in (3, 4, 5)] == [10_000, 0, 1_000]
    assert deal.notes() == expected("""
        CN-000001 March 2026, April 2026, May 2026: 4 outcomes taken back after they were invoiced (4 by a later event).
        usage Ticket, taken back -4 -40.00
        drawdown Drawn from the commitment of 100.00: 60.00 left 40.00
        drawdown Drawn from the commitment of 100.00: 10.00 left -30.00
        drawdown Drawn from the commitment of 100.00: 0.00 left -10.00
        total 40.00 of HF-000001
    """)
    sound(JUNE_1 + 2 * LATER)


def drawn_in_advance(world: World) -> Deal:
    """March drew 40.00 of 90.00, and of 70.00 that April came to so far the 50.00 that were left."""
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        prices={"ticket": per_unit("1")},
        progressive_threshold="10",
        commitments=[{"amount": "90", "payment": "advance"}],
    )
    deal.settled("ticket", 40, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 70, at("2026-04-10"))
    billing.run(now=at("2026-04-11"))
    assert deal.totals() == ["90.00", "20.00"]
    return deal


def half_price_in_march(deal: Deal) -> None:
    """March comes to 20.00, all of it drawn: that by itself costs nothing, but April may draw 20.00 more."""
    for day, price in (("2026-03-02", "0.5"), ("2026-04-01", "1")):
        deal.version(at(day), {"ticket": per_unit(price)}, progressive_threshold="10")


def drawn(deal: Deal) -> int:
    on_invoices = InvoiceLine.objects.filter(invoice__contract=deal.contract) | InvoiceLine.objects.filter(
        credit_note__contract=deal.contract
    )
    return -sum(on_invoices.filter(kind="drawdown").values_list("amount_minor", flat=True))


def test_what_draws_less_stands_on_the_note_that_rests_on_it(world: World) -> None:
    deal = drawn_in_advance(world)
    half_price_in_march(deal)
    assert billing.run(now=MAY_1).parked == ()
    assert deal.notes() == expected("""
        CN-000001 March 2026, April 2026: the price of 110 outcomes changed from an earlier day on.
        usage Ticket, at the new price 40 20.00
        drawdown Drawn from the commitment of 90.00: 70.00 left 20.00
        usage Ticket, no longer at this price -40 -40.00
        usage Ticket, at the new price 70 70.00
        drawdown Drawn from the commitment of 90.00: 0.00 left -20.00
        usage Ticket, no longer at this price -70 -70.00
        total 20.00 of HF-000002
    """)
    assert drawn(deal) == 9000
    assert billing.run(now=MAY_1 + DAY).results == ()
    sound(MAY_1 + LATER)


def test_inside_a_period_what_earlier_ones_draw_less_counts_before_it_stands_anywhere(world: World) -> None:
    deal = drawn_in_advance(world)
    half_price_in_march(deal)
    for day in ("2026-04-12", "2026-04-13"):
        assert billing.run(now=at(day)).parked == ()
    # 70.00 are left for April's 70.00; what moved in March costs nothing and waits for an invoice.
    assert deal.notes() == expected("""
        CN-000001 April 2026: the price of 70 outcomes changed from an earlier day on.
        usage Ticket, at the new price 70 70.00
        drawdown Drawn from the commitment of 90.00: 0.00 left -20.00
        usage Ticket, no longer at this price -70 -70.00
        total 20.00 of HF-000002
    """)
    assert [period_total(deal, one) for one in (at("2026-03-01"), APRIL_1)] == [9000, 0]
    assert preview_json(preview("acme", now=at("2026-04-14")))["confirmed"]["total"] == "0.00"
    deal.settled("ticket", 15, at("2026-04-20"))
    billing.run(now=at("2026-04-21"))
    billing.run(now=MAY_1)
    assert [period_total(deal, one) for one in (at("2026-03-01"), APRIL_1)] == [9000, 1500]
    sound(MAY_1 + LATER)
    assert preview_json(preview("acme", now=MAY_1 + LATER))["confirmed"]["total"] == "0.00"
    deal.settled("ticket", 3, at("2026-05-10"))
    billing.run(now=JUNE_1)
    assert deal.lines() == expected("""
        usage    Ticket                                           3    3.00
        usage    Ticket, at the new price                        40   20.00
        drawdown Drawn from the commitment of 90.00: 70.00 left        20.00
        usage    Ticket, no longer at this price                -40  -40.00
        total                                                           3.00
    """)
    assert drawn(deal) == 9000
    sound(JUNE_1 + LATER)


def test_a_commitment_in_arrears_is_trued_up_by_what_is_left(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        ends_at=MAY_1,
        prices={"ticket": per_unit("10")},
        commitments=[{"amount": "100", "payment": "arrears"}],
    )
    deal.settled("ticket", 7, MARCH)
    billing.run(now=MAY_1)
    assert deal.totals() == ["70.00", "30.00"]
    reverse("ticket", 2)
    billing.run(now=MAY_1 + LATER)
    # March is 20.00 less and April's true-up 20.00 more: nothing is given back, and a closing invoice says so.
    assert not CreditNote.objects.exists()
    assert deal.totals() == ["70.00", "30.00", "0.00"]
    assert [period_total(deal, one) for one in (at("2026-03-01"), APRIL_1)] == [5000, 5000]
    assert deal.lines() == expected("""
        true_up Commitment of 100.00: difference           20.00
        usage   Ticket, taken back                 -2     -20.00
        total                                               0.00
    """)
    assert billing.run(now=MAY_1 + 2 * LATER).results == ()
    sound(MAY_1 + 2 * LATER)


@pytest.mark.parametrize("looks", [True, False], ids=["looked at", "at once"])
def test_what_corrected_a_period_outlives_the_invoice_that_closed_it(world: World, looks: bool) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2")})
    deal.settled("ticket", 5, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 3, MARCH + DAY)
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.totals() == ["10.00", "8.00"]
    if looks:
        reverse("ticket", 5)
        void(deal.invoice(0).pk, now=MAY_1)
        billing.run(now=MAY_1 + DAY)
        assert deal.totals() == ["8.00"]
        reverse("ticket", 3)
    else:
        reverse("ticket", 8)
        void(deal.invoice(0).pk, now=MAY_1)
    billing.run(now=MAY_1 + 2 * DAY)
    # Nothing is left of March, and the invoice that had it is void; what came late stands on April's.
    assert deal.notes() == expected("""
        CN-000001 March 2026: 3 outcomes taken back after they were invoiced (3 by a later event).
        usage Ticket, taken back -3 -6.00
        total 6.00 of HF-000002
    """)
    assert billing.run(now=MAY_1 + LATER).results == ()
    sound(MAY_1 + 2 * LATER)


def test_less_is_owed_than_was_billed_in_advance(world: World) -> None:
    fee = {"name": "Platform", "timing": "advance"}
    deal = Deal(world, starts_at=at("2026-03-01"), fees=[fee | {"amount": "30"}])
    billing.run(now=APRIL_1)
    deal.contract.ends_at = at("2026-04-11")
    deal.contract.save()
    deal.version(at("2026-04-05"), fees=[fee | {"amount": "30"}], net_days=7)
    billing.run(now=at("2026-04-05"))
    billing.run(now=at("2026-04-11"))
    # 10 of 30 days are 10.00, and 30.00 are billed.
    assert deal.totals() == ["60.00"]
    assert deal.notes() == expected("""
        CN-000001 1 – 10 April 2026: by terms that changed, less is owed than was invoiced.
        fee Platform, 1 – 10 April 2026 -20.00
        total 20.00 of HF-000001
    """)
    assert billing.run(now=MAY_1).results == ()
    sound(MAY_1 + LATER)


def test_a_fee_that_stops_counting_on_the_way_is_said_though_its_sum_stays(world: World) -> None:
    """What it counted is drawn from the commitment: later periods read that from the lines."""
    fee = {"name": "Platform", "timing": "advance", "amount": "30"}
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        prices={"ticket": per_unit("1")},
        fees=[fee | {"counts": True}],
        commitments=[{"amount": "100", "payment": "advance"}],
    )
    billing.run(now=APRIL_1)
    deal.version(at("2026-04-11"), {"ticket": per_unit("1")}, fees=[fee | {"counts": False}])
    deal.settled("ticket", 50, at("2026-05-10"))
    billing.run(now=MAY_1)
    april = InvoiceLine.objects.filter(period_start=APRIL_1, kind="fee").order_by("id")
    assert sum(line.amount_minor for line in april if line.details["counts"]) == 1000
    assert sum(line.amount_minor for line in april if not line.details["counts"]) == 2000
    billing.run(now=JUNE_1)
    # March 30.00 and 10.00 of April counted, and May's 50.00 do: 10.00 are left.
    assert drawn(deal) == 9000
    sound(JUNE_1 + LATER)


def test_a_discount_on_what_was_billed_in_advance_stands_with_what_is_billed_next(world: World) -> None:
    fee = {"name": "Platform", "timing": "advance", "amount": "30", "counts": True}
    deal = Deal(world, starts_at=at("2026-03-01"), ends_at=JUNE_1, fees=[fee], discount_percent="10")
    billing.run(now=JUNE_1)
    # In the last month nothing is billed in advance that would bear it.
    assert deal.totals() == ["57.00", "27.00"]
    assert deal.notes() == expected("""
        CN-000001 May 2026: by terms that changed, less is owed than was invoiced.
        discount Discount 10 % -3.00
        total 3.00 of HF-000002
    """)
    sound(JUNE_1 + LATER)


def test_a_period_that_an_earlier_end_took_away_owes_nothing(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), fees=[{"name": "Platform", "timing": "advance", "amount": "30"}])
    billing.run(now=APRIL_1)
    deal.contract.ends_at = APRIL_1
    deal.contract.save()
    deal.version(at("2026-03-31"))
    billing.run(now=APRIL_1 + LATER)
    assert period_total(deal, APRIL_1) == 0
    assert billing.run(now=MAY_1).results == ()
    sound(MAY_1 + LATER)


# --- Approval, refreshed drafts ---------------------------------------------------------------------------------------


def test_a_draft_waits_for_approval_and_is_made_anew(world: World) -> None:
    deal = Deal(world, prices={"ticket": GRADUATED}, credit_notes="approval")
    deal.settled("ticket", 12, MARCH)
    billing.run(now=APRIL_1)
    reverse("ticket")
    report = billing.run(now=APRIL_1 + LATER)
    note = CreditNote.objects.get()
    assert (report.credited, report.to_approve, note.status, note.number) == ((), (note.id,), "draft", None)
    reverse("ticket", 2)
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=APRIL_1 + 2 * LATER)
    again = CreditNote.objects.get()
    assert (again.id, again.total_minor, LineReversal.objects.count()) == (note.id, 400, 3)
    sound(APRIL_1 + 2 * LATER)
    # What a draft gives back is not billed again, and not given back again.
    billing.run(now=MAY_1)
    assert deal.totals() == ["22.00", "2.00"]
    credit_notes.freeze(CreditNote.objects.get(), now=MAY_1, wall=MAY_1)
    assert billing.run(now=MAY_1 + LATER).results == ()
    sound(MAY_1 + LATER)


def test_a_draft_that_is_not_owed_any_more_goes(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")}, credit_notes="approval")
    deal.settled("ticket", 6, MARCH)
    billing.run(now=APRIL_1)
    cheaper = deal.version(at("2026-03-01"), prices={"ticket": per_unit("1.00")}, credit_notes="approval")
    billing.run(now=APRIL_1 + LATER)
    assert CreditNote.objects.get().total_minor == 600
    assert cheaper.number == 2
    deal.version(at("2026-03-01"), prices={"ticket": per_unit("3.00")}, credit_notes="approval")
    billing.run(now=APRIL_1 + 2 * LATER)
    assert not CreditNote.objects.exists() and not CreditAllocation.objects.exists()
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.totals() == ["12.00", "9.00"]
    sound(MAY_1 + LATER)


def test_what_waits_on_a_draft_of_an_invoice_is_made_anew_with_it(world: World, settings: Any) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 6, MARCH)
    billing.run(now=APRIL_1)
    deal.version(at("2026-03-01"), prices={"ticket": per_unit("3.00")})
    deal.settled("ticket", 1, at("2026-04-10"))
    settings.INVOICE_GRACE_HOURS = 24
    for hours in (0, 5):
        billing.run(now=MAY_1 + timedelta(hours=hours))
        assert deal.totals() == ["12.00", "9.00"]
    billing.run(now=MAY_1 + DAY)
    assert deal.totals() == ["12.00", "9.00"]
    sound(MAY_1 + LATER)


# --- Which invoice, and its tax ---------------------------------------------------------------------------------------


def test_first_the_invoice_that_billed_it_then_others_of_the_period(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("1.00")})
    deal.settled("ticket", 5, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 3, at("2026-03-20"))
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.totals() == ["5.00", "4.00"]
    reverse("ticket", 2)
    billing.run(now=MAY_1 + LATER)
    assert deal.notes().endswith("total 2.00 of HF-000001")
    # HF-000001 has 3.00 left, and billed all that is undone: the rest is taken of the other.
    deal.version(at("2026-02-01"), prices={"ticket": per_unit("0.01")})
    reverse("ticket", 3)
    billing.run(now=MAY_1 + 2 * LATER)
    note = CreditNote.objects.order_by("id")[1]
    assert [(part.invoice.number, part.net_minor) for part in note.allocations.order_by("id")] == [
        ("HF-000001", 300),
        ("HF-000002", 396),
    ]
    sound(MAY_1 + 9 * DAY)


@pytest.mark.parametrize("inclusive", [False, True])
def test_what_is_left_of_an_invoice_carries_the_tax_of_that(world: World, inclusive: bool) -> None:
    deal = Deal(world, prices={"ticket": per_unit("0.33")})
    rate = TaxRate.objects.create(key="vat", name="VAT", percent=Decimal(19), inclusive=inclusive, created_at=BEFORE)
    deal.customer.tax_rates.add(rate)
    deal.settled("ticket", 7, MARCH)
    billing.run(now=APRIL_1)
    deal.customer.tax_rates.clear()
    given = []
    for count in (1, 2, 4):
        reverse("ticket", count)
        billing.run(now=APRIL_1 + count * DAY)
        note = CreditNote.objects.order_by("-id")[0]
        given.append((note.subtotal_minor, note.tax_minor, note.total_minor))
    invoice = deal.invoice()
    # 2.31 with 0.44 on top (0.37 inside): 1.98 have 0.38 (0.32), 1.32 have 0.25 (0.21).
    assert given == (
        [(33, 5, 33), (66, 11, 66), (132, 21, 132)] if inclusive else [(33, 6, 39), (66, 13, 79), (132, 25, 157)]
    )
    assert sum(tax for _, tax, _ in given) == invoice.tax_minor
    assert note.taxes[0]["percent"] == "19"
    sound(APRIL_1 + 9 * DAY)


@pytest.mark.parametrize("inclusive", [False, True])
def test_what_goodwill_gave_is_not_given_twice(world: World, inclusive: bool) -> None:
    deal = Deal(world, prices={"ticket": per_unit("10.00")})
    rate = TaxRate.objects.create(key="vat", name="VAT", percent=Decimal(20), inclusive=inclusive, created_at=BEFORE)
    deal.customer.tax_rates.add(rate)
    deal.settled("ticket", 2, MARCH)
    billing.run(now=APRIL_1)
    invoice = deal.invoice()
    credit_notes.goodwill(Goodwill(invoice.id, "sorry", Decimal("9.00")), now=APRIL_1, by="ann")
    reverse("ticket", 2)
    billing.run(now=APRIL_1 + DAY)
    note = CreditNote.objects.get(kind="automatic")
    # Of 24.00 (20.00) there are 15.00 (11.00) left to be given.
    assert note.total_minor == invoice.total_minor - 900
    assert (note.subtotal_minor, note.tax_minor) == ((1100, 183) if inclusive else (1250, 250))
    line = note.lines.get(kind="goodwill")
    assert (line.title, line.amount_minor) == ("Credited before, as goodwill", 900 if inclusive else 750)
    assert period_total(deal, at("2026-03-01")) == 0
    assert note.allocations.get().net_minor == 2000
    sound(APRIL_1 + 2 * DAY)


# --- Invoices of nothing ----------------------------------------------------------------------------------------------


def test_an_invoice_of_nothing_is_skipped_and_carried(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-02-01"),
        ends_at=JUNE_1,
        prices={"ticket": per_unit("2") | {"included": Decimal(3)}},
        zero_invoices="skip",
    )
    deal.settled("ticket", 2, at("2026-02-10"))
    deal.settled("ticket", 3, MARCH)
    for now in (at("2026-03-01"), APRIL_1):
        assert billing.run(now=now).issued == ()
    assert not LineOutcome.objects.exists()
    deal.settled("ticket", 4, at("2026-04-10"))
    billing.run(now=MAY_1)
    assert deal.lines() == expected("""
        usage Ticket  4  2.00
        usage Ticket  2  0.00
        usage Ticket  3  0.00
        total            2.00
    """)
    # February has had its account: what comes late corrects it.
    deal.settled("ticket", 2, at("2026-02-20"))
    deal.settled("ticket", 1, at("2026-05-20"))
    billing.run(now=JUNE_1)
    assert deal.lines() == "usage Ticket 1 0.00\nusage Ticket 2 2.00\ntotal 2.00"
    sound(JUNE_1 + LATER)


def test_the_last_invoice_is_made_also_where_it_comes_to_nothing(world: World) -> None:
    deal = Deal(world, ends_at=APRIL_1, prices={"ticket": {"model": "free"}}, zero_invoices="skip")
    deal.settled("ticket", 2, MARCH)
    billing.run(now=APRIL_1)
    assert deal.totals() == ["0.00"]
    sound(APRIL_1 + LATER)


def test_a_period_whose_invoice_is_void_is_billed_anew_beside_its_corrections(world: World) -> None:
    deal = Deal(world, prices={"ticket": GRADUATED})
    deal.settled("ticket", 12, MARCH)
    billing.run(now=APRIL_1)
    deal.settled("ticket", 3, MARCH)
    deal.settled("ticket", 1, at("2026-04-10"))
    billing.run(now=MAY_1)
    void(deal.invoice(0).pk, now=MAY_1)
    reverse("ticket", 5)
    billing.run(now=MAY_1 + DAY)
    # 15 - 5 = 10 at 2.00 are 20.00, of which 3.00 stand on April's invoice.
    assert deal.totals() == ["17.00", "5.00"]
    assert period_total(deal, at("2026-03-01")) == 2000
    sound(MAY_1 + LATER)


# --- Seen beforehand --------------------------------------------------------------------------------------------------


def test_the_preview_tells_what_is_given_back_and_what_rides_on_the_next_invoice(world: World) -> None:
    deal = Deal(world, starts_at=at("2026-02-01"), prices={"ticket": VOLUME, "check": per_unit("1")})
    deal.settled("ticket", 11, at("2026-02-10"))
    deal.settled("check", 5, MARCH)
    billing.run(now=APRIL_1)
    reverse("ticket")
    reverse("check", 2)
    deal.provisional("check", 1, at("2026-04-20"))
    body = preview_json(preview("acme", now=at("2026-04-10")))
    assert shown(body["confirmed"]) == "usage Ticket, taken back -1 9.00\ntotal 9.00"
    assert shown(body["to_credit"]) == "usage Check, taken back -2 -2.00\ntotal -2.00"
    assert (shown(body["provisional"]), body["expected_total"]) == ("usage Check 1 1.00\ntotal 1.00", "10.00")
    billing.run(now=at("2026-04-10"))
    assert CreditNote.objects.get().total_minor == 200


# --- Cheap where there is nothing to do -------------------------------------------------------------------------------


def test_clocks_are_kept_of_every_contract_that_is_billed(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("2.00")})
    deal.settled("ticket", 6, MARCH)
    billing.run(now=APRIL_1)
    clock = BillingClock.objects.get()
    agreed = terms.load([deal.customer.pk])
    (agreement,) = agreed.agreements(deal.customer.pk)
    assert (clock.versions, clock.card_versions, clock.due_at) == (1, len(agreed.card_versions(agreement)), None)
    BillingClock.objects.all().delete()
    # Without one everything is looked at again, once.
    assert len(billing.run(now=APRIL_1).results) == 1
    assert billing.run(now=APRIL_1).results == ()


def test_what_was_taken_back_long_ago_calls_for_nothing(world: World, django_assert_num_queries: Any) -> None:
    deals = [Deal(world, f"c{number}", prices={"ticket": per_unit("2.00")}) for number in range(5)]
    for deal in deals:
        deal.settled("ticket", 4, MARCH)
    billing.run(now=APRIL_1)
    for deal in deals[1:]:
        reverse("ticket", customer=deal.customer)
    assert len(billing.run(now=APRIL_1 + DAY).credited) == 4
    with django_assert_num_queries(2):
        assert billing.run(now=APRIL_1 + 2 * DAY).results == ()
    assert Invoice.objects.count() == 5
