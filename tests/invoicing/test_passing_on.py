"""What a contract passes on to another system stands on no invoice here, and says so."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from access.invariants import Scope, check
from invoicing import billing, queries
from invoicing.audit import INVARIANTS
from invoicing.models import Invoice, LineOutcome
from invoicing.preview import preview, preview_json
from tests.invoicing.conftest import World

pytestmark = pytest.mark.django_db

MARCH = datetime(2026, 3, 20, tzinfo=UTC)
MID = datetime(2026, 3, 15, tzinfo=UTC)
APRIL_1, MAY_1 = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)


def test_it_is_billed_by_neither_run_nor_preview_and_has_its_reason(world: World) -> None:
    acme, beta = world.customer(), world.customer("beta")
    world.contract(acme, pass_on="stripe_meter_events")
    world.contract(beta)
    passed = world.outcomes(acme, 3, MARCH)
    review = world.outcome(acme, MARCH, review=["quantity"])
    world.outcome(acme, MARCH + timedelta(days=1), state="provisional")
    billed = world.outcome(beta, MARCH)
    shown = preview_json(preview("acme", now=MARCH))
    assert (shown["expected_total"], shown["confirmed"]["lines"], shown["provisional"]["lines"]) == ("0.00", [], [])
    assert shown["held_back"] == [{"reason": "review", "outcomes": 1}, {"reason": "passed_on", "outcomes": 3}]

    assert [one.customer_id for one in billing.run(now=APRIL_1).results] == [beta.id]
    assert list(LineOutcome.objects.values_list("outcome", flat=True)) == [billed.id]
    # Nothing calls for the customer in any later run, so it is not even looked at.
    assert billing.run(now=MAY_1).results == ()
    reasons = queries.unbilled_reasons([*(one.id for one in passed), review.id])
    assert reasons == dict.fromkeys((one.id for one in passed), "passed_on") | {review.id: "review"}
    [wait] = queries.outcome_waits(passed[0], now=MAY_1)
    assert wait.reason == "" and "another system" in wait.message
    assert queries.outcome_billing(passed[0])["unbilled"]["reason"] == "passed_on"
    holds(MAY_1)


def test_what_was_met_before_is_invoiced_here_and_corrected_here(world: World) -> None:
    acme = world.customer()
    contract = world.contract(acme)
    world.amend(contract, number=2, effective_at=MID, overrides=None, pass_on="lago_events")
    before = world.outcomes(acme, 2, MARCH, met=MID - timedelta(seconds=1))
    world.outcomes(acme, 5, MARCH, met=MID)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert invoice.lines.get().outcome_count == 2
    assert invoice.subtotal_minor == 2 * _price(world)
    before[0].state = "reversed"
    before[0].save(update_fields=["state"])
    report = billing.run(now=MAY_1)
    assert (len(report.issued), len(report.credited)) == (0, 1)
    late = world.outcome(acme, MAY_1, met=MID - timedelta(days=1))
    billing.run(now=datetime(2026, 6, 1, tzinfo=UTC))
    assert LineOutcome.objects.filter(outcome=late, line__invoice__status="issued").exists()
    assert LineOutcome.objects.count() == 3
    holds(datetime(2026, 6, 1, tzinfo=UTC))


def holds(now: datetime) -> None:
    for result in check(INVARIANTS, Scope(now=now, sample=None)):
        assert result.findings.violations == 0, result.findings.violation_rows


def _price(world: World) -> int:
    return int(world.card_version.prices.get(match={"priority": "high"}).unit_price * Decimal(100))
