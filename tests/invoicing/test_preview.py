"""The running period under every term, and what a change of terms would change."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from access import ids
from contracts import models, terms
from invoicing import billing
from invoicing.models import Invoice, InvoiceLine
from invoicing.preview import before_and_after, preview, preview_json
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, expected, per_unit, tier

NOW, APRIL_1, MAY_1 = at("2026-03-20"), at("2026-04-01"), at("2026-05-01")
GRADUATED = {"model": "graduated", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}


def shown(part: dict[str, Any]) -> str:
    """Kind, title, quantity and amount of each line, and the total."""
    rows = [
        " ".join(cell for cell in (line["kind"], line["title"], line["quantity"], line["amount"]) if cell)
        for line in part["lines"]
    ]
    return "\n".join([*rows, f"total {part['total']}"])


def test_terms_are_applied_to_what_is_confirmed_and_to_both(world: World) -> None:
    deal = Deal(
        world,
        starts_at=at("2026-03-01"),
        prices={"ticket": GRADUATED, "check": per_unit("1")},
        discount_percent="10",
        minimum="30",
        fees=[{"name": "Platform", "amount": "31", "timing": "advance"}],
    )
    deal.settled("ticket", 8, at("2026-03-10"))
    deal.provisional("ticket", 4, at("2026-03-25"))
    deal.provisional("check", 12, at("2026-03-26"))
    # This one is April's.
    deal.provisional("check", 1, APRIL_1)
    body = preview_json(preview("acme", now=NOW))
    # Confirmed: 16.00 less 1.60 is 14.40, so 15.60 are missing. Both: 10 x 2.00 + 2 x 1.00 + 12.00 = 34.00 less 3.40,
    # which is above the minimum.
    assert shown(body["confirmed"]) == expected("""
        usage    Ticket                          8  16.00
        discount Discount 10 %                      -1.60
        minimum  Minimum of 30.00: difference       15.60
        fee      Platform, March 2026               31.00
        fee      Platform, April 2026               31.00
        total                                       92.00
    """)
    assert shown(body["provisional"]) == expected("""
        usage    Check                          12  12.00
        usage    Ticket                          4   6.00
        discount Discount 10 %                      -1.80
        minimum  Minimum of 30.00: difference      -15.60
        total                                        0.60
    """)
    assert body["expected_total"] == "92.60"
    assert not Invoice.objects.exists()

    for outcome in deal.customer.outcomes.filter(state="provisional"):
        type(outcome).objects.filter(pk=outcome.pk).update(
            state="confirmed", settled_at=outcome.settles_at, due_at=None
        )
    billing.run(now=APRIL_1)
    assert deal.totals() == ["92.60"]


@pytest.mark.parametrize("model", ["pool", "bounds"])
def test_what_counts_one_by_one_comes_out_as_on_the_invoice(world: World, model: str) -> None:
    price: dict[str, Any] = per_unit("2") | {"pool": "free"}
    if model == "bounds":
        price = {"model": "percentage", "percent": Decimal(10), "minimum": Decimal(1), "maximum": Decimal(5)}
    deal = Deal(world, starts_at=at("2026-03-01"), prices={"ticket": price}, pools={"free": "4"})
    minute = timedelta(minutes=1)
    deal.settled("ticket", 3, at("2026-03-10"), minute, amount=Decimal(30))
    deal.settled("ticket", 1, at("2026-03-09"), amount=Decimal(900), priority="high")
    deal.provisional("ticket", 2, at("2026-03-21"), amount=Decimal(3))
    # Its amount is not known: a percentage leaves it out, a pool does not.
    deal.provisional("ticket", 1, at("2026-03-22"), amount=None, quantity=Decimal(1))
    body = preview_json(preview("acme", now=NOW))
    confirmed, both = {"pool": ("0.00", "6.00"), "bounds": ("14.00", "16.00")}[model]
    assert (body["confirmed"]["total"], body["expected_total"]) == (confirmed, both)


def test_late_outcomes_are_shown_as_they_would_be_invoiced(world: World) -> None:
    deal = Deal(world, prices={"ticket": GRADUATED})
    deal.settled("ticket", 8, at("2026-02-10"))
    billing.run(now=at("2026-03-01"))
    deal.settled("ticket", 5, at("2026-02-10"))
    deal.settled("ticket", 1, at("2026-03-10"))
    body = preview_json(preview("acme", now=NOW))
    assert shown(body["confirmed"]) == "usage Ticket 1 2.00\nusage Ticket 5 7.00\ntotal 9.00"
    late = body["confirmed"]["lines"][1]
    assert (late["period_start"], late["details"]) == (
        "2026-02-01T00:00:00Z",
        {"period_amount": "23.00", "billed": "16.00"},
    )


def test_a_million_outcomes_are_previewed_by_their_sums(world: World, django_assert_max_num_queries: Any) -> None:
    acme = world.customer()
    world.contract(acme, starts_at=at("2026-03-01"))
    world.many(acme, 5000, at("2026-03-10"))
    with django_assert_max_num_queries(24):
        assert preview("acme", now=NOW).confirmed.total_minor == 1_000_000


# --- A change of terms ------------------------------------------------------------------------------------------------


def difference(deal: Deal, effective_at: Any, **changed: Any) -> list[dict[str, Any]]:
    """What a further version would change, seen at the end of April."""
    before = terms.load([deal.customer.pk])
    deal.version(effective_at, **changed)
    return before_and_after(deal.customer.pk, before, terms.load([deal.customer.pk]), at("2026-04-20"))


def agreed(world: World) -> Deal:
    deal = Deal(world, starts_at=at("2026-02-01"), prices={"ticket": per_unit("2")})
    for month, count in (("02", 10), ("03", 20), ("04", 30)):
        deal.settled("ticket", count, at(f"2026-{month}-15"), met=at(f"2026-{month}-14"))
    deal.provisional("ticket", 5, at("2026-04-25"), met=at("2026-04-19"))
    billing.run(now=APRIL_1)
    assert deal.totals() == ["20.00", "40.00"]
    return deal


def test_the_running_period_and_what_is_invoiced_before_and_after(world: World) -> None:
    deal = agreed(world)
    found = difference(deal, at("2026-03-01"), prices={"ticket": per_unit("3")}, minimum="70")
    assert [(one["period_start"], one["invoiced"], one["difference"]) for one in found] == [
        ("2026-03-01T00:00:00Z", True, "30.00"),
        ("2026-04-01T00:00:00Z", False, "35.00"),
    ]
    assert shown(found[0]["before"]) == "usage Ticket 20 40.00\ntotal 40.00"
    assert shown(found[0]["after"]) == expected("""
        usage   Ticket                        20  60.00
        minimum Minimum of 70.00: difference      10.00
        total                                     70.00
    """)
    # With what is still provisional: 35 tickets.
    assert shown(found[1]["after"]) == "usage Ticket 35 105.00\ntotal 105.00"


def test_from_the_middle_of_the_running_period(world: World) -> None:
    deal = agreed(world)
    found = difference(deal, at("2026-04-16"), prices={"ticket": per_unit("3")})
    assert [(one["period_start"], one["difference"]) for one in found] == [("2026-04-01T00:00:00Z", "5.00")]


def test_an_invoiced_period_that_stays_as_it_is_is_not_listed(world: World) -> None:
    deal = agreed(world)
    found = difference(deal, at("2026-02-01"), prices={"ticket": per_unit("2")}, net_days=7)
    assert [(one["period_start"], one["difference"]) for one in found] == [("2026-04-01T00:00:00Z", "0.00")]


def test_the_api_shows_it_and_stores_nothing(world: World, api: Any) -> None:
    deal = agreed(world)
    versions, lines = deal.contract.versions.count(), InvoiceLine.objects.count()
    path = f"/v1/contracts/{ids.encode('con', deal.contract.pk)}/amend?preview=true"
    body = {"effective_at": "2026-03-01T00:00:00Z", "minimum": "100.00"}
    answer = api("POST", path, json.dumps(body))
    assert answer.status_code == 200, answer.content
    assert [one["difference"] for one in answer.json()["periods"]][:1] == ["60.00"]
    assert (deal.contract.versions.count(), InvoiceLine.objects.count()) == (versions, lines)
    # The running period of a test customer is that of its clock.
    clock = models.TestClock.objects.create(id=ids.uuid7(NOW), now=at("2026-04-20"), created_at=NOW)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # past the guard: a customer keeps its clock
        cursor.execute("UPDATE contracts_customer SET test_clock_id = %s", [clock.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    found = [(one["period_start"], one["difference"]) for one in api("POST", path, json.dumps(body)).json()["periods"]]
    assert found == [("2026-03-01T00:00:00Z", "60.00"), ("2026-04-01T00:00:00Z", "30.00")]


# --- Commitments ------------------------------------------------------------------------------------------------------


def drawn_twice(world: World) -> Deal:
    """February drew 40.00 of 90.00 and March so far the rest; then 20.00 more settle in February, late."""
    deal = Deal(
        world,
        starts_at=at("2026-02-01"),
        prices={"ticket": per_unit("1")},
        progressive_threshold="10",
        commitments=[{"amount": "90", "payment": "advance"}],
    )
    deal.settled("ticket", 40, at("2026-02-10"))
    billing.run(now=at("2026-03-01"))
    deal.settled("ticket", 70, at("2026-03-10"))
    billing.run(now=at("2026-03-11"))
    assert deal.totals() == ["90.00", "20.00"]
    deal.settled("ticket", 20, at("2026-02-12"))
    return deal


def test_what_ended_and_has_no_invoice_of_its_own_yet_draws_before_the_running_period(world: World) -> None:
    deal = drawn_twice(world)
    body = preview_json(preview("acme", now=at("2026-04-01T12:00")))
    # 30.00 are left for March's 70.00, of which 50.00 were drawn.
    assert shown(body["confirmed"]) == expected("""
        usage    Ticket                                         20  20.00
        drawdown Drawn from the commitment of 90.00: 30.00 left     -20.00
        drawdown Drawn from the commitment of 90.00: 0.00 left       20.00
        total                                                        20.00
    """)
    billing.run(now=at("2026-04-01T12:00"))
    assert deal.totals()[2:] == ["20.00"]


def test_a_change_of_terms_while_what_came_late_is_on_no_invoice(world: World) -> None:
    deal = drawn_twice(world)
    deal.settled("ticket", 5, at("2026-04-10"))
    found = difference(deal, at("2026-02-02"), prices={"ticket": per_unit("2")})
    # Nothing is left for April's 5 either way.
    assert [(one["period_start"], one["difference"]) for one in found] == [
        ("2026-02-01T00:00:00Z", "30.00"),
        ("2026-04-01T00:00:00Z", "5.00"),
    ]
