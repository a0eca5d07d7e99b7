"""What a person keeps off invoices: holds and disputes, and that what is released comes on the next invoice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

import billing_project.urls  # noqa: F401  (before any clock is frozen: msgspec reads the real datetime in annotations)
from access.errors import ApiError
from access.invariants import Scope, check
from contracts.models import Condition
from invoicing import billing, queries
from invoicing.audit import INVARIANTS
from invoicing.issue import issue
from invoicing.models import Invoice, LineOutcome
from invoicing.preview import preview
from outcomes.models import Outcome
from settlement import disputes, holds
from settlement.holds import Target
from tests.invoicing.conftest import World
from tests.invoicing.test_billing import APRIL_1, JUNE_1, MARCH, MAY_1

DAY = timedelta(days=1)
FEBRUARY = datetime(2026, 2, 10, tzinfo=UTC)
IN_APRIL = datetime(2026, 4, 20, tzinfo=UTC)

Free = Callable[[datetime], Any]
"""Lets go of what was kept off, at an instant."""


def keep_off(what: str, outcome: Outcome, now: datetime = MARCH) -> Free:
    if what == "dispute":
        raised = disputes.raise_dispute(outcome.pk, reason="no", by="Ann", now=now)
        return lambda at: disputes.resolve(raised.pk, "rejected", note="n", by="Ben", now=at)
    if what == "withdrawn dispute":
        raised = disputes.raise_dispute(outcome.pk, reason="no", by="Ann", now=now)
        return lambda at: disputes.withdraw(raised.pk, by="Ann", now=at)
    target = {
        "customer": Target(customer=outcome.customer.key),
        "condition": Target(condition=outcome.condition.slug),
        "outcome": Target(outcome=outcome.pk),
    }[what]
    hold = holds.place(target, reason="r", by="Ann", now=now)
    return lambda at: holds.release(hold.pk, by="Ben", now=at)


ONE = ("outcome", "dispute", "withdrawn dispute")
ALL = (*ONE, "customer", "condition")


def reason_of(what: str) -> str:
    return "dispute" if "dispute" in what else "hold"


def billed() -> list[tuple[str, int]]:
    """(number, outcomes) of each invoice in order."""
    return [
        (invoice.number or "draft", LineOutcome.objects.filter(line__invoice=invoice, live=True).count())
        for invoice in Invoice.objects.order_by("created_at", "id")
    ]


def sound(now: datetime) -> None:
    for result in check(INVARIANTS, Scope(now=now, sample=None)):
        assert (result.findings.violation_rows, result.findings.warning_rows, result.error) == ([], [], "")


@pytest.mark.parametrize("what", ONE)
def test_one_of_several_is_left_out_and_comes_on_the_next_invoice(world: World, what: str) -> None:
    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 3, MARCH)
    free = keep_off(what, kept)
    billing.run(now=APRIL_1)
    assert billed() == [("HF-000001", 2)]
    assert queries.unbilled_reasons([kept.pk]) == {kept.pk: reason_of(what)}
    assert queries.held_back([acme.pk]) == [queries.Held(acme.pk, reason_of(what), 1)]
    sound(APRIL_1 + 3 * DAY)
    free(IN_APRIL)
    assert queries.unbilled_reasons([kept.pk]) == {kept.pk: "period_open"}
    billing.run(now=IN_APRIL)
    assert billed() == [("HF-000001", 2)]
    world.outcome(acme, IN_APRIL)
    billing.run(now=MAY_1)
    assert billed() == [("HF-000001", 2), ("HF-000002", 2)]
    late = queries.billed_on([kept.pk])[kept.pk]
    assert (late.period_end, late.invoice.period_end) == (APRIL_1, MAY_1)
    sound(JUNE_1)


@pytest.mark.parametrize("what", ALL)
def test_where_nothing_is_left_no_invoice_is_made_until_it_is_free(world: World, what: str) -> None:
    acme = world.customer()
    world.contract(acme)
    kept = world.outcome(acme, MARCH)
    free = keep_off(what, kept)
    assert billing.run(now=APRIL_1).results == ()
    assert billing.run(now=MAY_1).results == ()
    sound(JUNE_1)
    free(MAY_1)
    billing.run(now=MAY_1)
    assert billed() == [("HF-000001", 1)]
    assert Invoice.objects.get().period_end == APRIL_1
    sound(JUNE_1)


@pytest.mark.parametrize("what", ALL)
def test_others_are_billed(world: World, what: str) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
    kept = world.outcome(acme, MARCH)
    world.outcome(beta, MARCH)
    keep_off(what, kept)
    billing.run(now=APRIL_1)
    assert [one.customer for one in Invoice.objects.all()] == ([] if what == "condition" else [beta])


@pytest.mark.parametrize("what", ALL)
def test_a_draft_lets_go_of_it_and_takes_it_back(world: World, what: str, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 48
    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    assert billed() == [("draft", 2)]
    free = keep_off(what, kept, now=APRIL_1)
    # It is on the draft until the next refresh, and the reason is the one that counts.
    assert queries.unbilled_reasons([kept.pk]) == {kept.pk: reason_of(what)}
    assert queries.held_back([acme.pk])[-1].reason == reason_of(what)
    billing.run(now=APRIL_1 + DAY / 2)
    assert billed() == ([("draft", 1)] if what in ONE else [])
    free(APRIL_1 + DAY)
    billing.run(now=APRIL_1 + DAY)
    assert billed() == [("draft", 2)]
    billing.run(now=APRIL_1 + 2 * DAY)
    assert billed() == [("HF-000001", 2)]
    sound(JUNE_1)


@pytest.mark.parametrize("what", ALL)
def test_issuing_by_hand_leaves_it_out(world: World, what: str, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 48
    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    keep_off(what, kept, now=APRIL_1)
    draft = Invoice.objects.get()
    if what in ONE:
        issue(draft.pk, now=APRIL_1 + DAY)
        assert billed() == [("HF-000001", 1)]
    else:
        with pytest.raises(ApiError) as refused:
            issue(draft.pk, now=APRIL_1 + DAY)
        assert refused.value.code == "nothing_to_bill"
    sound(APRIL_1 + DAY)


def test_upheld_it_is_never_billed(world: World, settings: Any) -> None:
    """The use case that takes it back is tested in tests/settlement; here only that a draft lets it go."""
    settings.INVOICE_GRACE_HOURS = 48
    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    keep_off("dispute", kept, now=APRIL_1)
    Outcome.objects.filter(pk=kept.pk).update(state="reversed", ended_at=APRIL_1)
    billing.run(now=APRIL_1 + 2 * DAY)
    assert billed() == [("HF-000001", 1)]


@pytest.mark.parametrize("what", ("outcome", "customer", "condition"))
@pytest.mark.parametrize("state", ["open", "provisional"])
def test_no_period_waits_for_what_is_held_and_its_settlement_comes_late(world: World, what: str, state: str) -> None:
    acme = world.customer()
    world.contract(acme)
    quiet = Condition.objects.create(slug="quiet", created_at=FEBRUARY)
    world.outcome(acme, MARCH)
    waits = world.outcome(acme, MARCH, state=state)
    if what == "condition":
        # A hold on the condition of what waits, which the other is not of.
        Outcome.objects.filter(pk=waits.pk).update(condition=quiet)
        waits.refresh_from_db()
    assert billing.run(now=APRIL_1).waiting
    free = keep_off(what, waits, now=APRIL_1)
    report = billing.run(now=APRIL_1)
    assert not report.waiting
    assert billed() == ([] if what == "customer" else [("HF-000001", 1)])
    if state == "open":
        return
    Outcome.objects.filter(pk=waits.pk).update(condition=world.condition)
    free(IN_APRIL)
    # The sweep confirms it at its planned instant.
    Outcome.objects.filter(pk=waits.pk).update(state="confirmed", settled_at=MARCH, due_at=None)
    billing.run(now=MAY_1)
    line = queries.billed_on([waits.pk])[waits.pk]
    assert line.period_end == APRIL_1
    assert line.invoice.period_end == (APRIL_1 if what == "customer" else MAY_1)
    sound(JUNE_1)


def test_a_dispute_of_a_provisional_outcome_delays_as_its_window_does(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    keep_off("dispute", world.outcome(acme, MARCH, state="provisional"))
    assert billing.run(now=APRIL_1).waiting


def test_the_closing_invoice_does_not_wait_for_what_is_held_and_another_follows(world: World) -> None:
    acme = world.customer()
    world.contract(acme, ends_at=APRIL_1)
    world.outcome(acme, MARCH)
    late = world.outcome(acme, IN_APRIL, met=MARCH, state="provisional")
    held = world.outcome(acme, IN_APRIL, met=MARCH, state="provisional")
    billing.run(now=APRIL_1)
    free = keep_off("outcome", held, now=APRIL_1)
    Outcome.objects.filter(pk=late.pk).update(state="confirmed", settled_at=IN_APRIL, due_at=None)
    billing.run(now=MAY_1)
    assert billed() == [("HF-000001", 1), ("HF-000002", 1)]
    free(MAY_1)
    Outcome.objects.filter(pk=held.pk).update(state="confirmed", settled_at=IN_APRIL, due_at=None)
    billing.run(now=JUNE_1)
    assert billed() == [("HF-000001", 1), ("HF-000002", 1), ("HF-000003", 1)]
    sound(JUNE_1 + DAY)


@pytest.mark.parametrize("what", ALL)
def test_a_void_invoice_sets_it_waiting_where_it_is_kept_off(world: World, what: str) -> None:
    from invoicing.void import void

    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    keep_off(what, kept, now=APRIL_1 + DAY)
    assert queries.unbilled_reasons([kept.pk]) == {}  # it stands on an issued invoice, and stays there
    void(Invoice.objects.get().pk, now=APRIL_1 + 2 * DAY)
    billing.run(now=APRIL_1 + 3 * DAY)
    assert queries.unbilled_reasons([kept.pk]) == {kept.pk: reason_of(what)}
    assert LineOutcome.objects.filter(live=True).count() == (1 if what in ONE else 0)
    sound(JUNE_1)


@pytest.mark.parametrize("what", ALL)
@pytest.mark.parametrize("state", ["confirmed", "provisional"])
def test_the_preview_leaves_it_out(world: World, what: str, state: str) -> None:
    acme = world.customer()
    world.contract(acme)
    kept, *_ = world.outcomes(acme, 3, MARCH, state=state)
    free = keep_off(what, kept)

    def counts() -> tuple[int, int, list[tuple[str, int]]]:
        found = preview("acme", now=MARCH + DAY)
        parts = [sum(line.outcome_count for line in part.lines) for part in (found.confirmed, found.provisional)]
        return parts[0], parts[1], [(one.reason, one.outcomes) for one in found.held]

    left = 2 if what in ONE else 0
    if state == "confirmed":
        assert counts() == (left, 0, [(reason_of(what), 3 - left)])
    else:
        assert counts() == (0, left, [])
    free(MARCH + DAY)
    assert counts() == ((3, 0, []) if state == "confirmed" else (0, 3, []))


def test_a_hold_counts_before_a_dispute_and_both_before_what_else_is_missing(world: World) -> None:
    acme = world.customer()  # no contract
    kept = world.outcome(acme, MARCH)
    frees = []
    for what, reason in (("", "no_contract"), ("dispute", "dispute"), ("outcome", "hold")):
        if what:
            frees.append(keep_off(what, kept))
        assert queries.unbilled_reasons([kept.pk]) == {kept.pk: reason}
        assert [one.reason for one in queries.held_back([acme.pk])] == [reason]
    for free, reason in zip(frees[::-1], ("dispute", "no_contract"), strict=True):
        free(MARCH)
        assert queries.unbilled_reasons([kept.pk]) == {kept.pk: reason}


def test_the_api_tells_the_reason(world: World, api: Callable[..., Any]) -> None:
    acme = world.customer()
    world.contract(acme)
    kept = world.outcome(acme, MARCH)
    keep_off("dispute", kept)
    with freeze_time(MARCH + DAY):
        told = api("GET", "/v1/invoices/preview?customer=acme").json()
    assert told["held_back"] == [{"reason": "dispute", "outcomes": 1}]
    assert told["confirmed"]["lines"] == []
