"""Billing runs: what lands on which invoice, what waits, what parks, and that a repetition changes nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from access.errors import ApiError
from contracts.models import RateCardVersion
from invoicing import billing, queries
from invoicing.content import content_hash
from invoicing.issue import issue
from invoicing.models import Invoice, InvoiceLine, LineOutcome, NumberSeries, ParkedCustomer
from outcomes.models import Import, ImportCustomer, Outcome
from tests.database import thawed
from tests.invoicing.conftest import World

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
MAY_1 = datetime(2026, 5, 1, tzinfo=UTC)
JUNE_1 = datetime(2026, 6, 1, tzinfo=UTC)


def lines(invoice: Invoice) -> list[tuple[str, str, int, int]]:
    """(priority, quantity, amount in cents, voided) of each line."""
    return [
        (line.dimensions.get("priority", ""), f"{line.quantity.normalize():f}", line.amount_minor, line.voided_count)
        for line in invoice.lines.order_by("position")
    ]


def test_a_month_becomes_an_invoice(world: World) -> None:
    acme = world.customer()
    world.contract(acme, net_days=14)
    world.outcomes(acme, 15, MARCH)
    world.outcomes(acme, 4, MARCH, priority="low")
    world.outcomes(acme, 3, MARCH, state="void")

    report = billing.run(now=APRIL_1 + timedelta(hours=2))

    (invoice,) = Invoice.objects.all()
    assert report.issued == (invoice.id,)
    assert (invoice.number, invoice.status, invoice.currency) == ("HF-000001", "issued", "USD")
    assert (invoice.period_start, invoice.period_end) == (datetime(2026, 3, 1, tzinfo=UTC), APRIL_1)
    assert (invoice.issued_at, invoice.due_at) == (
        datetime(2026, 4, 1, 2, tzinfo=UTC),
        datetime(2026, 4, 15, 2, tzinfo=UTC),
    )
    # 15 x 2.00 = 30.00, and 4 x 0.75 = 3.00
    assert lines(invoice) == [("high", "15", 3000, 3), ("low", "4", 300, 0)]
    assert invoice.total_minor == 3300
    assert invoice.content_hash == content_hash(invoice)
    assert {line.title for line in invoice.lines.all()} == {"Support ticket resolved"}


def test_a_run_again_changes_nothing(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    before = (list(Invoice.objects.values()), list(LineOutcome.objects.values()))
    for hours in (0, 1, 24 * 60):
        assert billing.run(now=APRIL_1 + timedelta(hours=hours)).results == ()
    assert (list(Invoice.objects.values()), list(LineOutcome.objects.values())) == before


def test_nothing_to_bill_makes_no_invoice(world: World) -> None:
    world.contract(world.customer())
    assert billing.run(now=JUNE_1).results == ()
    assert not Invoice.objects.exists()


def test_the_period_is_that_of_settlement_and_the_price_that_of_meeting(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    # From 30 March on the card asks 3.00; met on the 29th it is still 2.00, and settled on 1 April it is April's.
    newer = RateCardVersion.objects.create(
        rate_card=world.card,
        number=2,
        currency="USD",
        effective_from=datetime(2026, 3, 30, tzinfo=UTC),
        created_at=MARCH,
    )
    world.price("high", "3.00", newer)
    world.outcome(acme, APRIL_1 - timedelta(microseconds=1), met=datetime(2026, 3, 29, tzinfo=UTC))
    world.outcome(acme, APRIL_1, met=datetime(2026, 3, 29, tzinfo=UTC))
    world.outcome(acme, APRIL_1 + timedelta(days=1), met=datetime(2026, 3, 30, tzinfo=UTC))
    billing.run(now=MAY_1)
    march, april = Invoice.objects.order_by("period_start")
    assert lines(march) == [("high", "1", 200, 0)]
    assert lines(april) == [("high", "1", 200, 0), ("high", "1", 300, 0)]


def test_an_amendment_that_leaves_the_price_keeps_one_line(world: World) -> None:
    acme = world.customer()
    contract = world.contract(acme)
    world.amend(contract, number=2, effective_at=MARCH, overrides=None, net_days=60)
    world.outcome(acme, MARCH, met=MARCH - timedelta(days=2))
    world.outcome(acme, MARCH + timedelta(days=3), met=MARCH + timedelta(days=2))
    billing.run(now=APRIL_1)
    (invoice,) = Invoice.objects.all()
    assert lines(invoice) == [("high", "2", 400, 0)]
    assert invoice.net_days == 60


def test_a_contract_price_beats_the_card(world: World) -> None:
    acme = world.customer()
    world.contract(acme, overrides={"*": "1.10"})
    world.outcomes(acme, 2, MARCH)
    world.outcomes(acme, 1, MARCH, priority=None)
    billing.run(now=APRIL_1)
    (invoice,) = Invoice.objects.all()
    assert sorted(lines(invoice)) == [("", "1", 110, 0), ("high", "2", 220, 0)]


def test_a_running_period_is_not_billed(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    assert billing.run(now=APRIL_1 - timedelta(microseconds=1)).issued == ()
    assert len(billing.run(now=APRIL_1).issued) == 1


@pytest.mark.parametrize("obstacle", ["provisional", "open", "import", "pending"])
def test_a_customer_waits_while_something_could_still_settle_inside(world: World, obstacle: str) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
        world.outcome(customer, MARCH)
    just_inside = APRIL_1 - timedelta(microseconds=1)
    if obstacle == "import":
        blocker: Any = Import.objects.create(created_at=MARCH)
        ImportCustomer.objects.create(batch_import=blocker, customer=acme)
    elif obstacle == "pending":
        world.pending(acme, just_inside)
    else:
        blocker = world.outcome(acme, just_inside, state=obstacle)

    report = billing.run(now=APRIL_1)
    assert [(one.customer_id, bool(one.waiting)) for one in report.results] == [(acme.id, True), (beta.id, False)]
    assert list(Invoice.objects.values_list("customer__key", flat=True)) == ["beta"]

    if obstacle == "import":
        Import.objects.update(closed_at=MARCH)
    elif obstacle == "pending":
        from outcomes.models import Pending

        Pending.objects.all().delete()
    else:
        Outcome.objects.filter(pk=blocker.pk).update(state="missed", due_at=None)
    assert len(billing.run(now=APRIL_1).issued) == 1


def test_what_settles_at_or_after_the_end_keeps_nobody_waiting(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    world.outcome(acme, APRIL_1, state="provisional")
    world.pending(acme, APRIL_1)
    assert len(billing.run(now=APRIL_1).issued) == 1


def test_a_late_outcome_rides_on_the_next_invoice_and_names_its_period(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    late = world.outcome(acme, MARCH)
    world.outcome(acme, MARCH, state="void")
    assert billing.run(now=APRIL_1 + timedelta(days=9)).issued == ()
    world.outcomes(acme, 3, APRIL_1 + timedelta(days=10))
    billing.run(now=MAY_1)
    march, april = Invoice.objects.order_by("period_start")
    assert lines(march) == [("high", "2", 400, 0)]
    assert lines(april) == [("high", "3", 600, 0), ("high", "1", 200, 0)]
    line = april.lines.get(billed__outcome=late)
    assert (line.period_start, line.period_end) == (march.period_start, march.period_end)


def test_a_late_outcome_alone_is_billed_with_the_latest_period(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    world.outcome(acme, MARCH)
    billing.run(now=JUNE_1)
    invoice = Invoice.objects.get(period_start=MAY_1)
    assert lines(invoice) == [("high", "1", 200, 0)]
    assert invoice.lines.get().period_end == APRIL_1


def test_what_settles_after_the_contract_ends_is_billed_in_its_last_period(world: World) -> None:
    acme = world.customer()
    end = datetime(2026, 3, 20, tzinfo=UTC)
    world.contract(acme, ends_at=end)
    world.outcome(acme, MARCH)
    world.outcome(acme, end + timedelta(days=2), met=end - timedelta(days=1))
    world.outcome(acme, end + timedelta(days=5), met=end)  # no contract any more
    billing.run(now=MAY_1)
    (invoice,) = Invoice.objects.all()
    assert (invoice.period_start, invoice.period_end) == (datetime(2026, 3, 1, tzinfo=UTC), end)
    assert lines(invoice) == [("high", "2", 400, 0)]


def test_one_closing_invoice_follows_once_everything_has_settled(world: World) -> None:
    acme = world.customer()
    end = datetime(2026, 3, 20, tzinfo=UTC)
    world.contract(acme, ends_at=end)
    world.outcome(acme, MARCH)
    first = world.outcome(acme, end + timedelta(days=2), met=end - timedelta(days=1), state="provisional")
    second = world.outcome(acme, end + timedelta(days=9), met=end - timedelta(days=1), state="provisional")
    assert len(billing.run(now=end).issued) == 1

    Outcome.objects.filter(pk=first.pk).update(state="confirmed", settled_at=first.settles_at, due_at=None)
    report = billing.run(now=end + timedelta(days=3))
    assert report.issued == () and report.waiting

    Outcome.objects.filter(pk=second.pk).update(state="confirmed", settled_at=second.settles_at, due_at=None)
    billing.run(now=end + timedelta(days=10))
    closing = Invoice.objects.get(ordinal=2)
    assert lines(closing) == [("high", "2", 400, 0)]
    assert closing.period_end == end
    assert billing.run(now=JUNE_1).results == ()


def test_one_customers_failure_parks_that_customer(world: World) -> None:
    # Two prices that fit alike cannot be saved through the use cases; here they are forced into the table.
    acme, beta = world.customer(), world.customer("beta")
    world.contract(acme, overrides={"high": "1"})
    contract = world.contract(beta)
    version = contract.versions.get()
    from contracts.models import Price

    for match in ({"priority": "high"}, {"tier": "gold"}):
        Price.objects.create(
            contract_version=version, condition=world.condition, model="per_unit", unit_price=Decimal(1), match=match
        )
    world.outcome(acme, MARCH)
    world.outcome(beta, MARCH, dimensions={"priority": "high", "tier": "gold"})

    for attempts in (1, 2):
        report = billing.run(now=APRIL_1 + timedelta(days=attempts))
        parked = ParkedCustomer.objects.get()
        assert (parked.customer, parked.attempts, parked.since) == (beta, attempts, APRIL_1 + timedelta(days=1))
        assert "equally well" in parked.reason
        assert [one.customer_id for one in report.parked] == [beta.id]
    assert list(Invoice.objects.values_list("customer__key", "number")) == [("acme", "HF-000001")]

    with thawed():
        Price.objects.filter(contract_version=version, match={"tier": "gold"}).delete()
    billing.run(now=APRIL_1 + timedelta(days=3))
    assert not ParkedCustomer.objects.exists()
    assert list(Invoice.objects.order_by("number").values_list("number", flat=True)) == ["HF-000001", "HF-000002"]


def test_a_number_taken_by_a_failed_customer_is_given_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
        world.outcome(customer, MARCH)
    from invoicing import issue as issuing

    real = issuing.content_hash

    def fails_for_acme(invoice: Invoice) -> str:
        assert invoice.number is not None
        if invoice.customer_id == acme.id:
            raise RuntimeError("a fault after the number was taken")
        return real(invoice)

    monkeypatch.setattr(issuing, "content_hash", fails_for_acme)
    billing.run(now=APRIL_1)
    assert list(Invoice.objects.values_list("customer__key", "number")) == [("beta", "HF-000001")]
    monkeypatch.undo()
    billing.run(now=APRIL_1)
    assert Invoice.objects.get(customer=acme).number == "HF-000002"
    assert NumberSeries.objects.get().next_number == 3


def test_what_cannot_be_billed_names_its_reason(world: World) -> None:
    acme, stranger = world.customer(), world.customer("stranger")
    world.contract(acme)
    review = world.outcome(acme, MARCH, review=["quantity"])
    unknown = world.outcome(acme, MARCH, quantity=None)
    unpriced = world.outcome(acme, MARCH, priority="unheard of")
    before = world.outcome(acme, datetime(2026, 1, 2, tzinfo=UTC))
    lost = world.outcome(stranger, MARCH)
    running = world.outcome(acme, APRIL_1)
    billed = world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    assert Invoice.objects.get().lines.get().outcome_count == 1
    everything = [one.id for one in (review, unknown, unpriced, before, lost, running, billed)]
    assert queries.unbilled_reasons(everything) == {
        review.id: "review",
        unknown.id: "review",
        unpriced.id: "not_priced",
        before.id: "no_contract",
        lost.id: "no_contract",
        running.id: "period_open",
    }
    held = {(one.customer_id, one.reason): one.outcomes for one in queries.held_back([acme.id, stranger.id])}
    assert held == {
        (acme.id, "period_open"): 1,
        (acme.id, "review"): 2,
        (acme.id, "no_contract"): 1,
        (acme.id, "not_priced"): 1,
        (stranger.id, "no_contract"): 1,
    }


def test_unpriced_outcomes_are_billed_once_the_terms_are_mended(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH, priority="urgent")
    assert billing.run(now=APRIL_1).issued == ()
    world.price("urgent", "5.00")
    billing.run(now=APRIL_1)
    assert lines(Invoice.objects.get()) == [("urgent", "1", 500, 0)]


def test_a_reversal_after_the_invoice_is_visible(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    one, other = world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    Outcome.objects.filter(pk=one.pk).update(state="reversed")
    (found,) = queries.reversed_after_billing(acme.id)
    assert found.outcome_id == one.pk
    invoice = Invoice.objects.get()
    (line,) = queries.lines_of([invoice.id])[invoice.id]
    assert queries.line_json(line, "USD")["reversed_count"] == 1
    assert set(queries.billed_on([one.pk, other.pk])) == {one.pk, other.pk}


def test_a_draft_is_refreshed_until_its_grace_ends(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    world.contract(acme)
    first = world.outcome(acme, MARCH)
    report = billing.run(now=APRIL_1)
    draft = Invoice.objects.get()
    assert (report.drafted, report.issued, draft.status, draft.number) == ((draft.id,), (), "draft", None)
    assert queries.unbilled_reasons([first.pk]) == {first.pk: "draft"}

    Outcome.objects.filter(pk=first.pk).update(state="reversed")
    world.outcomes(acme, 2, MARCH, priority="low")
    billing.run(now=APRIL_1 + timedelta(hours=23))
    draft.refresh_from_db()
    assert (lines(draft), draft.total_minor, draft.status) == ([("low", "2", 150, 0)], 150, "draft")

    billing.run(now=APRIL_1 + timedelta(hours=24))
    draft.refresh_from_db()
    assert (draft.status, draft.number) == ("issued", "HF-000001")


def test_a_draft_that_runs_empty_goes(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    world.contract(acme)
    outcome = world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    Outcome.objects.filter(pk=outcome.pk).update(state="reversed")
    billing.run(now=APRIL_1)
    assert not Invoice.objects.exists() and not InvoiceLine.objects.exists() and not LineOutcome.objects.exists()
    assert not NumberSeries.objects.exists()


def test_a_draft_stays_as_it_is_while_its_customer_waits(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    world.outcome(acme, MARCH, state="provisional")
    report = billing.run(now=MAY_1)
    assert report.waiting and lines(Invoice.objects.get()) == [("high", "1", 200, 0)]
    assert Invoice.objects.get().status == "draft"


def test_a_run_of_the_past_leaves_later_drafts_alone(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    billing.run(now=MARCH)
    assert lines(Invoice.objects.get()) == [("high", "1", 200, 0)]


def test_a_draft_of_a_period_that_an_amendment_took_away_gives_its_outcomes_back(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    contract = world.contract(acme)
    world.outcome(acme, MARCH)
    (draft,) = billing.run(now=APRIL_1).drafted
    start = contract.starts_at
    world.amend(contract, number=2, effective_at=start, overrides=None, billing_period="quarterly")
    with pytest.raises(ApiError):
        issue(draft, now=APRIL_1)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert (invoice.period_start, lines(invoice)) == (start, [("high", "1", 200, 0)])


def test_customers_whose_period_runs_cost_no_query_each(world: World, django_assert_num_queries: Any) -> None:
    for number in range(10):
        customer = world.customer(f"c{number}")
        world.contract(customer)
        world.outcome(customer, MARCH)
    # One for the test clocks, one for the candidates and seven for the terms of them all.
    with django_assert_num_queries(9):
        assert billing.run(now=MARCH + timedelta(days=1)).results == ()


def test_a_million_cheap_outcomes_are_exact_to_the_cent(world: World) -> None:
    # The law of one rounding, at a size that a test can bear; 10^6 stand in test_rating.
    acme = world.customer()
    world.contract(acme, overrides={"*": "0.0149"})
    world.many(acme, 10_000, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert invoice.total_minor == 14_900
    assert LineOutcome.objects.count() == 10_000


@pytest.mark.parametrize(("currency", "unit_price", "count", "minor"), [("JPY", "0.5", 3, 2), ("KWD", "0.0125", 3, 38)])
def test_currencies_round_in_their_own_minor_unit(
    world: World, currency: str, unit_price: str, count: int, minor: int
) -> None:
    acme = world.customer()
    world.contract(acme, currency=currency, overrides={"*": unit_price})
    world.outcomes(acme, count, MARCH)
    billing.run(now=APRIL_1)
    assert Invoice.objects.get().total_minor == minor


def test_periods_follow_the_contracts_time_zone(world: World) -> None:
    acme = world.customer()
    world.contract(acme, time_zone="America/New_York", starts_at=datetime(2026, 1, 1, 5, tzinfo=UTC))
    world.outcome(acme, datetime(2026, 4, 1, 3, 59, tzinfo=UTC))
    world.outcome(acme, datetime(2026, 4, 1, 4, 0, tzinfo=UTC))
    billing.run(now=MAY_1 + timedelta(hours=4))
    march, april = Invoice.objects.order_by("period_start")
    assert march.period_end == april.period_start == datetime(2026, 4, 1, 4, tzinfo=UTC)
    assert (lines(march)[0][1], lines(april)[0][1]) == ("1", "1")


def test_only_the_customers_asked_for_are_billed(world: World) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
        world.outcome(customer, MARCH)
    seen: list[tuple[int, int, int]] = []
    billing.run(
        now=APRIL_1, only=[beta.id], progress=lambda done, total, one: seen.append((done, total, one.customer_id))
    )
    assert list(Invoice.objects.values_list("customer_id", flat=True)) == [beta.id]
    assert seen == [(1, 1, beta.id)]
