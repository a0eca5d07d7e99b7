"""What changes, worked out by hand: outcomes gained, lost and moved, curves, and who is asked about."""

import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from access.errors import ApiError
from contracts.clocks import create_clock, move_forward
from contracts.contract_serializers import VersionRequest
from contracts.domain.rating import CommitmentInput
from contracts.models import Customer
from outcomes import late
from outcomes.models import ArchivedMonth, LateEvidence
from simulation import report, results
from simulation.checking import check
from simulation.report import changed
from simulation.run import simulate
from simulation.serializers import NOT_TRIED, TermsRequest, read
from tests.outcomes import factories
from tests.simulation_app.shop import DAY, HOUR, JANUARY, NOW, SPAN, TEXT, agree, open_shop, say, settle


@pytest.fixture
def shop(committed: None, settings: Any) -> Iterator[None]:
    """Three tickets of acme that held, came back after 30 hours, and came back after 2; one of globex that held."""
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme", "globex")
    say("closed", "held", JANUARY + DAY, priority="urgent")
    say("closed", "late", JANUARY + 2 * DAY)
    say("reopened", "late", JANUARY + 2 * DAY + 30 * HOUR)
    say("closed", "soon", JANUARY + 3 * DAY)
    say("reopened", "soon", JANUARY + 3 * DAY + 2 * HOUR)
    say("closed", "G", JANUARY + 40 * DAY, customer="globex")
    settle()
    yield


def ask(**question: Any) -> tuple[list[results.Row], dict[str, Any]]:
    asked = read({**SPAN, **question})
    check(asked, NOW)
    rows, beside = simulate(asked, NOW)
    totals = results.Totals()
    totals.add(rows)
    return rows, results.summary_json(totals, beside)


def test_what_is_in_force(shop: None) -> None:
    _, told = ask()
    assert told["before"] == told["after"] == {
        "outcomes": 2, "reversed": 1, "unpriced": 0, "revenue": {"USD": "35.00"},
    }  # fmt: skip
    assert told["difference"] == {"outcomes": 0, "reversed": 0, "unpriced": 0, "revenue": {"USD": "0.00"}}
    assert [(one["month"], one["after"]["revenue"]["USD"]) for one in told["months"]] == [
        ("2026-01", "25.00"), ("2026-02", "10.00"),
    ]  # fmt: skip


def test_a_longer_window_loses_what_did_not_hold(shop: None) -> None:
    _, told = ask(condition=TEXT.replace("24 hours", "48 hours"))
    assert (told["after"]["outcomes"], told["after"]["reversed"]) == (2, 0)
    assert told["difference"]["revenue"] == {"USD": "0.00"}
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert {name: n for name, n in solved["changes"].items() if n} == {"kept": 2, "lost": 1, "lost_reversed": 1}
    [lost] = solved["examples"]["lost"]
    assert (lost["customer"], lost["subject"], lost["held"]) == ("acme", "late", False)
    assert (lost["before"]["state"], lost["after"]["state"]) == ("reversed", "void")
    assert lost["why"] == (
        "It was taken back inside its window by reopened (reopened-late-01040600), on 4 January 2026, 06:00 UTC."
    )
    assert lost["explanation"]["verdict"] is True


def test_a_window_of_contracts_does_the_same(shop: None) -> None:
    _, told = ask(contract={"settlement_windows": {"solved": "48 hours"}})
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert {name: n for name, n in solved["changes"].items() if n} == {"kept": 2, "lost": 1, "lost_reversed": 1}


def test_a_shorter_window_gains_what_came_back(shop: None) -> None:
    _, told = ask(condition=TEXT.replace("24 hours", "1 hour"))
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert {name: n for name, n in solved["changes"].items() if n} == {
        "kept": 3,
        "kept_reversed_before": 1,
        "kept_reversed_after": 1,
        "gained": 1,
        "gained_reversed": 1,
    }
    [gained] = solved["examples"]["gained"]
    assert (gained["subject"], gained["before"]["state"], gained["after"]["state"]) == ("soon", "void", "reversed")
    assert gained["why"].startswith("It was taken back inside its window by reopened")


def test_what_is_kept_and_given_back_by_one_rule_alone(shop: None) -> None:
    """Confirmed by both: without a credit clause the one that came back after 30 hours would stand."""
    _, told = ask(condition=TEXT.replace("credit within 30 days when reopened\n", ""))
    [solved] = told["conditions"]
    assert {name: n for name, n in solved["changes"].items() if n} == {"kept": 3, "kept_reversed_before": 1}
    assert changed(solved["changes"]) and told["difference"]["reversed"] == -1
    shown = io.StringIO()
    report.write(told, [], shown)
    assert "solved: 3 kept (given back: 1 of them in force, 0 as tried), 0 gained" in shown.getvalue()


def test_a_window_that_moves_an_outcome_out_of_the_span(shop: None) -> None:
    rows, told = ask(to="2026-02-01T00:00:00Z", contract={"settlement_windows": {"solved": "40 days"}})
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert solved["changes"]["moved_out"] == 1 and solved["changes"]["lost"] == 1
    assert told["difference"]["revenue"] == {"USD": "-25.00"}
    assert {row.month for row in rows} == {"2026-01"}


def test_another_condition_beside_those_in_force(shop: None) -> None:
    text = TEXT.replace("outcome solved", "outcome reopening").replace("when closed", "when reopened", 1)
    text = text.replace("void when reopened\n", "").replace("credit within 30 days when reopened\n", "")
    prices = [{"condition": "reopening", "unit_price": "3"}, {"condition": "solved", "unit_price": "10"}]
    _, told = ask(condition=text, rate_card={"currency": "USD", "prices": prices})
    by_slug = {one["condition"]: one for one in told["conditions"]}
    assert by_slug["reopening"]["before"] == {"outcomes": 0, "reversed": 0, "unpriced": 0, "revenue": {"USD": "0.00"}}
    assert by_slug["reopening"]["after"]["revenue"] == {"USD": "6.00"}
    assert by_slug["reopening"]["changes"]["gained"] == 2
    assert by_slug["solved"]["difference"]["revenue"] == {"USD": "-15.00"}, "the urgent one costs 10 as well"


def test_terms_stand_apart_from_conditions(shop: None) -> None:
    _, told = ask(contract={"minimum": "12", "discount": {"percent": "10"}})
    by_slug = {one["condition"]: one["difference"]["revenue"]["USD"] for one in told["conditions"]}
    # acme 22.50 in January; globex 12 for 9; four months with nothing in them at 12 each.
    assert by_slug == {"solved": "0.00", None: "47.50"}
    assert told["after"]["revenue"] == {"USD": "82.50"}


def changes_of(told: dict[str, Any], slug: str = "solved") -> dict[str, int]:
    [found] = [one for one in told["conditions"] if one["condition"] == slug]
    return {name: n for name, n in found["changes"].items() if n}


def test_other_periods_move_outcomes(shop: None) -> None:
    # globex's outcome of 10 February settles on the 11th, in the period from 20 January.
    rows, told = ask(contract={"anchor_day": 20, "minimum": "12"}, customers=["globex"])
    found = {(row.month, row.condition): row.after.amount_minor for row in rows if row.after.amount_minor}
    # Until 20 January 19 of 31 days, 7.35, and from then on 2.00 beside the outcome; then two periods without any.
    assert found == {
        ("2026-01", ""): 935, ("2026-01", "solved"): 1000, ("2026-02", ""): 1200, ("2026-03", ""): 1200,
    }  # fmt: skip
    assert changes_of(told) == {"kept": 1}
    _, told = ask(contract={"billing_period": "yearly"}, to="2026-02-01T00:00:00Z", customers=["globex"])
    # The year overlaps January, and counts whole.
    assert changes_of(told) == {"moved_in": 1}
    assert told["difference"]["revenue"] == {"USD": "10.00"} and told["difference"]["outcomes"] == 1


def test_late_evidence_that_was_left_out_can_be_taken(shop: None) -> None:
    """What it comes to is what it comes to for who had it taken from the start."""
    agree("careful", late_evidence="review")
    for customer in ("careful", "globex"):
        say("closed", "L", JANUARY + 10 * DAY, customer=customer)
        say("closed", "M", JANUARY + 10 * DAY, customer=customer)
        settle()
        say("reopened", "L", JANUARY + 10 * DAY + HOUR, customer=customer)
        settle()
    assert LateEvidence.objects.count() == 1
    rows, told = ask(contract={"late_evidence": "reverse"})
    assert changes_of(told) == {"kept": 5, "kept_reversed_before": 1, "kept_reversed_after": 1, "lost": 1}
    after = {(row.customer, row.condition): row.after for row in rows if row.month == "2026-01"}
    assert after["careful", "solved"] == after["globex", "solved"], "who had it count from the start"
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    [lost] = solved["examples"]["lost"]
    assert (lost["subject"], lost["held"], lost["after"]["state"]) == ("L", True, "void")
    assert lost["why"].startswith("It was taken back inside its window by reopened")
    assert told["difference"]["revenue"] == {"USD": "-10.00"}
    [row] = LateEvidence.objects.all()
    late.accept(row.id, now=NOW, actor="ops", note="as tried")
    truly, _ = ask()
    assert [row.after for row in rows] == [row.before for row in truly]
    assert ask(contract={"late_evidence": "reverse"})[1]["difference"]["outcomes"] == 0


def test_periods_that_have_not_begun_owe_nothing(shop: None) -> None:
    rows, told = ask(to="2027-01-01T00:00:00Z", contract={"minimum": "12"}, customers=["globex"])
    # April begins with the very instant at which it is asked.
    assert [row.month for row in rows if row.condition == ""] == ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert told["after"]["revenue"] == {"USD": "48.00"}


def test_customers_are_chosen(shop: None) -> None:
    rows, told = ask(customers=["globex"])
    assert {row.customer for row in rows} == {"globex"}
    assert told["events"] == 1


def test_curves(shop: None) -> None:
    _, told = ask(window_curve="solved", price_curve="solved")
    windows = {one["window"]: (one["outcomes"], one["revenue"]["USD"]) for one in told["window_curve"]}
    # While the window is short, what comes back is confirmed and then given back: two stand, whatever it is.
    assert set(windows.values()) == {(2, "35.00")}
    prices = {one["percent"]: one["revenue"]["USD"] for one in told["price_curve"]}
    assert (prices[50], prices[100], prices[150]) == ("17.50", "35.00", "52.50")


def test_a_curve_where_nothing_is_given_back(shop: None) -> None:
    text = TEXT.replace("credit within 30 days when reopened\n", "")
    _, told = ask(condition=text, window_curve="solved")
    points = {one["window"]: (one["outcomes"], one["revenue"]["USD"]) for one in told["window_curve"]}
    assert points["1 hour"] == (4, "55.00")
    assert points["1 day"] == (3, "45.00")
    assert points["2 days"] == (2, "35.00")
    [solved] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert (solved["changes"]["lost"], solved["changes"]["gained"], solved["changes"]["kept"]) == (0, 0, 3)
    assert (solved["before"]["reversed"], solved["after"]["reversed"]) == (1, 0)


def test_what_is_in_its_window_is_counted_apart(shop: None) -> None:
    say("closed", "new", NOW - 2 * HOUR)
    settle()
    _, told = ask(contract={"settlement_windows": {"solved": "1 hour"}})
    assert told["provisional"] == {"before": 1, "after": 0}
    assert (told["before"]["outcomes"], told["after"]["outcomes"]) == (2, 3)


def test_a_customer_without_a_contract_is_counted_and_not_priced(shop: None) -> None:
    factories.customer("free")
    say("closed", "F", JANUARY + DAY, customer="free")
    settle()
    rows, told = ask(customers=["free"])
    assert [(row.month, row.currency, row.before.outcomes, row.before.unpriced) for row in rows] == [
        ("2026-01", "", 1, 1)
    ]
    assert told["before"]["revenue"] == {}


def checksums() -> dict[str, str]:
    """Of every table of ours."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(f"SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM \"{table}\" t")
            [(found[table],)] = cursor.fetchall()
        cursor.execute("SELECT string_agg(sequencename || ' ' || last_value, ',') FROM pg_sequences")
        [(found["sequences"],)] = cursor.fetchall()
    return found


def test_nothing_is_written(shop: None) -> None:
    before = checksums()
    ask(condition=TEXT.replace("24 hours", "48 hours"), contract={"minimum": "12"}, window_curve="solved")
    assert checksums() == before


def test_it_reads_one_instant_while_intake_goes_on(shop: None, settings: Any) -> None:
    """Events that are accepted, evaluated and booked while it reads are not in it, for any customer."""
    asked = read(SPAN)
    done: list[bool] = []

    def more(_: int) -> None:
        def work() -> None:
            try:
                for n in range(3):
                    say("closed", f"more{n}", JANUARY + 5 * DAY + timedelta(minutes=n))
                    say("closed", f"more{n}", JANUARY + 5 * DAY, customer="globex")
                settle()
                done.append(True)
            finally:
                connection.close()

        thread = Thread(target=work)
        thread.start()
        thread.join()

    rows, beside = simulate(asked, NOW, total=more)
    assert done and sum(row.before.outcomes for row in rows) == 2 and beside.events == 6
    rows, _ = simulate(asked, NOW)
    assert sum(row.before.outcomes for row in rows) == 8


def test_test_clocks_have_their_own_now(shop: None) -> None:
    clock = create_clock(now=JANUARY + DAY + 10 * HOUR, wall=NOW)
    Customer.objects.create(key="test", name="test", currency="USD", partition=1, test_clock=clock, created_at=JANUARY)
    say("closed", "T", JANUARY + DAY, customer="test")
    rows, told = ask(customers=["test"])
    assert rows == [] and told["provisional"] == {"before": 1, "after": 1}
    move_forward(clock.pk, JANUARY + 2 * DAY)
    rows, _ = ask(customers=["test"])
    assert [row.before.outcomes for row in rows] == [1]


# --- What cannot be asked ---------------------------------------------------------------------------------------------

SOLVED = {"condition": "solved", "unit_price": "1"}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"to": SPAN["from"]}, "to", "invalid"),
    ({"to": "2037-01-01T00:00:00Z"}, "to", "invalid"),
    ({"customers": ["acme", "acmee"]}, "customers[1]", "unknown_customer"),
    ({"condition": "outcome solved\nper ticket\nbill whn closed"}, "condition", "invalid_condition"),
    ({"condition": TEXT.replace("per ticket", "per number")}, "condition", "key_changed"),
    ({"rate_card": {"currency": "EUR", "prices": [SOLVED]}}, "rate_card", "no_effect"),
    ({"rate_card": {"currency": "usd", "prices": []}}, "rate_card.currency", "unknown_currency"),
    ({"rate_card": {"currency": "USD", "key": "none", "prices": [SOLVED]}},
     "rate_card.key", "unknown_rate_card"),
    ({"rate_card": {"currency": "USD", "prices": [{"condition": "solvd", "unit_price": "1"}]}},
     "rate_card.prices[0].condition", "unknown_condition"),
    ({"rate_card": {"currency": "USD", "prices": [{"condition": "solved", "unit_price": "1", "match": {"p": "x"}}]}},
     "rate_card.prices[0].match.p", "unknown_dimension"),
    ({"contract": {"minimum": "10", "cap": "5"}}, "contract.minimum", "minimum_above_cap"),
    ({"contract": {"discount": {"percent": "10", "amount": "1"}}}, "contract.discount", "both_given"),
    ({"contract": {"settlement_windows": {"solvd": "1 day"}}}, "contract.settlement_windows.solvd",
     "unknown_condition"),
    ({"contract": {"settlement_windows": {"solved": "200 days"}}}, "contract.settlement_windows.solved",
     "invalid_duration"),
    ({"condition": TEXT.replace("after 24 hours", "after 24 hours of silence"), "window_curve": "solved"},
     "window_curve", "window_not_overridable"),
    ({"contract": {"billing_period": "weekly", "anchor_day": 8}}, "contract.anchor_day", "invalid_anchor_day"),
    ({"contract": {"time_zone": "Mars"}}, "contract.time_zone", "unknown_time_zone"),
    ({"contract": {"late_evidence": "ignore"}}, "contract.late_evidence", "not_simulated"),
    ({"contract": {"pools": {"free": "9"}}}, "contract.pools.free", "no_effect"),
    ({"window_curve": "solvd"}, "window_curve", "unknown_condition"),
    ({"price_curve": "solvd"}, "price_curve", "unknown_condition"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "path", "code"), WRONG, ids=lambda one: str(one)[:60])
def test_a_question_that_makes_no_sense_is_refused(shop: None, question: Any, path: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        ask(**question)
    assert [(one.path, one.code) for one in refused.value.details] == [(path, code)]
    assert refused.value.status_code == 422


@pytest.mark.parametrize("name", NOT_TRIED)
def test_a_term_that_cannot_be_tried_says_why(shop: None, name: str) -> None:
    assert name in {*VersionRequest().fields} and name not in TermsRequest().fields
    with pytest.raises(ApiError) as refused:
        ask(contract={name: 1})
    [told] = refused.value.details
    assert (told.path, told.code, told.message) == (f"contract.{name}", "not_simulated", NOT_TRIED[name])


def test_every_term_of_a_contract_is_tried_or_told_of() -> None:
    assert {*VersionRequest().fields} == {*TermsRequest().fields, *NOT_TRIED}


def test_a_commitment_keeps_its_periods(shop: None) -> None:
    agree("bound", commitments=(CommitmentInput(Decimal(100), "advance", JANUARY),))
    with pytest.raises(ApiError) as refused:
        ask(contract={"billing_period": "quarterly"})
    [told] = refused.value.details
    assert (told.path, told.code) == ("contract.billing_period", "not_simulated") and "bound" in told.message
    assert ask(contract={"billing_period": "quarterly"}, customers=["acme"])[1]["difference"]["revenue"] == {
        "USD": "0.00"
    }


def test_months_that_are_not_there_are_named(shop: None) -> None:
    ArchivedMonth.objects.create(month="2025-11", path="x", events=1, sha256="0" * 64, archived_at=NOW)
    _, told = ask()
    assert told["archived_months"] == ["2025-11"]
