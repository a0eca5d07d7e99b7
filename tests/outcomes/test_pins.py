"""Versions of conditions that a contract pins: what attempts take them, and that pins never reach into the past."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from access.errors import ApiError
from access.invariants import Scope, check
from contracts import audit as terms_audit
from contracts import pins
from contracts.agreements import ContractFields, create_contract, ensure_contract
from contracts.apply.run import apply_directory
from contracts.changes import Kind
from contracts.conditions import create_condition_version
from contracts.models import Condition, Contract, ContractVersion, Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from outcomes.audit import INVARIANTS
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Outcome
from outcomes.recompute import recompute
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.contracts.test_races import meanwhile
from tests.database import thawed
from tests.outcomes import factories
from tests.outcomes.factories import START, say
from tests.outcomes.test_races import uncommitted

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
NOW = START + 20 * DAY
LAST = NOW + 400 * DAY
FIRST = """outcome solved
per ticket
bill when closed
settle after 5 hours
"""
# Another window, another quantity, and a name that the first does not mention.
SECOND = """outcome solved
per ticket
bill when closed or paid
settle after 9 hours
quantity 2
"""


@pytest.fixture
def solved(db: None) -> None:
    """Version 1, and version 2 from NOW on."""
    _solved()


def _solved() -> None:
    factories.customer()
    factories.condition(FIRST)
    factories.condition(SECOND, effective_from=NOW)
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=NOW)


def fields(version: int | None = 1, **changes: Any) -> ContractFields:
    pinned = {} if version is None else {"solved": version}
    return ContractFields(
        **{"customer": "acme", "rate_card": "standard", "starts_at": NOW, "conditions": pinned, **changes}
    )


def agree(version: int | None = 1, **changes: Any) -> Contract:
    return create_contract(fields(version, **changes), now=NOW).value


def amend(contract: Contract, at: datetime, version: int | None) -> None:
    """A further version, written as an amendment would be."""
    latest = contract.versions.latest("number")
    ContractVersion.objects.create(
        contract=contract, number=latest.number + 1, effective_at=at, rate_card=latest.rate_card, created_at=NOW,
        conditions={} if version is None else {str(Condition.objects.get(slug="solved").pk): version},
    )  # fmt: skip


def close(at: datetime, kind: str = "closed", **data: Any) -> None:
    say(kind, at, now=at, **data)
    evaluate_waiting(at)


def versions() -> list[int]:
    return list(
        Outcome.objects.exclude(state="superseded").order_by("met_at").values_list("version__number", flat=True)
    )


def audited(now: datetime = LAST) -> None:
    settle_due(now)
    for result in check([*INVARIANTS, *SETTLED, *terms_audit.INVARIANTS], Scope(now=now, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


# --- what a pin does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pinned", "begins", "expected"),
    [
        ([], -TICK, 1),
        ([], 0 * DAY, 2),
        ([(0 * DAY, 1)], 0 * DAY, 1),
        ([(TICK, 1)], 0 * DAY, 2),
        ([(0 * DAY, 1), (DAY, 2)], DAY - TICK, 1),
        ([(0 * DAY, 1), (DAY, 2)], DAY, 2),
        ([(0 * DAY, 1), (DAY, None)], DAY - TICK, 1),
        ([(0 * DAY, 1), (DAY, None)], DAY, 2),
        ([(0 * DAY, None), (DAY, 1)], DAY, 1),
        ([(0 * DAY, 1)], 30 * DAY - TICK, 1),
        ([(0 * DAY, 1)], 30 * DAY, 2),  # the contract has ended
    ],
)
def test_the_version_of_an_attempt_is_the_one_pinned_when_it_begins(
    solved: None, pinned: list[tuple[timedelta, int | None]], begins: timedelta, expected: int
) -> None:
    if pinned:
        (start, version), *later = pinned
        contract = agree(version, starts_at=NOW + start, ends_at=NOW + 30 * DAY)
        for at, number in later:
            amend(contract, NOW + at, number)
    close(NOW + begins)
    outcome = Outcome.objects.get()
    assert outcome.version.number == expected
    assert outcome.settles_at == NOW + begins + {1: 5, 2: 9}[expected] * HOUR
    assert outcome.quantity == expected
    audited()


def test_an_attempt_keeps_its_version_over_the_edges_of_a_pin(db: None) -> None:
    """Begun before the pin, met in it; begun in it, met after it."""
    factories.customer()
    text = FIRST.replace("closed\n", "closed and seen\n")
    factories.condition(text)
    factories.condition(text.replace("5 hours", "9 hours"), effective_from=NOW)
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=NOW)
    agree(1, starts_at=NOW + DAY, ends_at=NOW + 2 * DAY)
    close(NOW + DAY - HOUR, "seen", ticket="A")
    close(NOW + DAY + HOUR, "closed", ticket="A")
    close(NOW + 2 * DAY - HOUR, "seen", ticket="B")
    close(NOW + 2 * DAY + HOUR, "closed", ticket="B")
    assert versions() == [2, 1]
    audited()


def test_each_customer_has_its_own(solved: None) -> None:
    factories.customer("globex")
    agree(1)
    say("closed", NOW, now=NOW, customer="globex")
    close(NOW)
    found = dict(Outcome.objects.values_list("customer__key", "version__number"))
    assert found == {"acme": 1, "globex": 2}
    audited()


def test_late_events_and_recompute_follow_the_pin(solved: None) -> None:
    """In order: begun by `closed` under version 1, which does not know `paid`. Arrived the other way round."""
    agree(1)
    say("paid", NOW + HOUR, now=NOW + 2 * HOUR)
    evaluate_waiting(NOW + 2 * HOUR)
    assert versions() == []  # an event that only version 2 mentions begins nothing
    say("closed", NOW, now=NOW + 2 * HOUR)
    evaluate_waiting(NOW + 2 * HOUR)
    assert versions() == [1]
    settle_due(LAST)
    assert recompute(Outcome.objects.get().subject_id, now=LAST) == 0
    audited()


def test_a_later_version_is_pinned_before_it_is_in_force_for_all(db: None) -> None:
    """Also where an event came, with a clock that runs ahead, before the version was made."""
    factories.customer()
    factories.customer("globex")
    factories.condition(FIRST)
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=NOW)
    for customer in ("acme", "globex"):
        say("paid", NOW + timedelta(minutes=4), now=NOW, customer=customer)
    evaluate_waiting(NOW)
    create_condition_version(SECOND, effective_from=NOW + 100 * DAY, now=NOW)
    agree(2)
    evaluate_waiting(NOW + HOUR)
    assert list(Outcome.objects.values_list("customer__key", "version__number")) == [("acme", 2)]
    audited()


def test_versions_come_into_force_by_their_starts_not_their_numbers(db: None) -> None:
    factories.customer()
    create_condition_version(FIRST, effective_from=None, now=START)
    create_condition_version(SECOND, effective_from=START + 10 * DAY, now=START)
    create_condition_version(FIRST.replace("5 hours", "7 hours"), effective_from=START + 5 * DAY, now=START)
    for day in (4, 5, 9, 10):
        close(START + day * DAY, ticket=f"T{day}")
    assert versions() == [1, 3, 3, 2]
    audited()


def test_a_batch_asks_once_and_no_more_where_nothing_is_pinned(solved: None) -> None:
    agree(None)
    say("closed", NOW, now=NOW)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        evaluate_batch(NOW)
    assert len([one for one in asked.captured_queries if "NOT conditions = '{}'" in one["sql"]]) == 1
    assert not [
        one for one in asked.captured_queries if "conditioncustomer" in one["sql"] and "backfill" not in one["sql"]
    ]


# --- what was evaluated already ---------------------------------------------------------------------------------------


def refused(version: int = 1, **changes: Any) -> tuple[int, str, str, str]:
    with pytest.raises(ApiError) as refusal, transaction.atomic():
        create_contract(fields(version, **changes), now=NOW)
    [detail] = refusal.value.details
    return refusal.value.status_code, detail.code, detail.path, detail.message


@pytest.mark.parametrize("kind", ["closed", "paid", "other"])
@pytest.mark.parametrize(
    ("version", "at", "starts", "ends", "stands"),
    [
        (1, 0 * DAY, 0 * DAY, None, False),
        (1, 0 * DAY, TICK, None, True),
        (1, 0 * DAY, -DAY, None, False),
        (1, 0 * DAY, -DAY, 0 * DAY, True),
        (1, 0 * DAY, -DAY, TICK, False),
        (1, -TICK, -DAY, None, True),  # evaluated by version 1 itself
        (2, 0 * DAY, 0 * DAY, None, True),
        (2, HOUR, 0 * DAY, None, True),
        (2, -TICK, 0 * DAY, None, True),
    ],
)
def test_what_was_evaluated_by_another_version_forbids_the_pin(
    solved: None, kind: str, version: int, at: timedelta, starts: timedelta, ends: timedelta | None, stands: bool
) -> None:
    """Version 2 is in force from NOW on. An event that nobody mentions forbids nothing."""
    close(NOW + at, kind)
    span = {"starts_at": NOW + starts, "ends_at": None if ends is None else NOW + ends}
    if stands or kind == "other":
        create_contract(fields(version, **span), now=NOW)
    else:
        assert refused(version, **span)[:3] == (409, "pin_backdated", "conditions.solved")
        assert not Contract.objects.exists()
        create_contract(fields(None, **span), now=NOW)
    audited()


@pytest.mark.parametrize(
    ("pinned", "before", "after", "stands"),
    [(1, {"solved": 1}, {"solved": 2}, False), (1, {"solved": 1}, {}, False), (1, {"solved": 1}, {"solved": 1}, True),
     (2, {"solved": 2}, {}, True), (2, {}, {"solved": 2}, True), (2, {"solved": 2}, {"solved": 1}, False)],
)  # fmt: skip
def test_a_change_of_pins_is_measured_against_those_before(
    solved: None, pinned: int, before: dict[str, int], after: dict[str, int], stands: bool
) -> None:
    """As an amendment makes it: version 2 is in force in general, and what was evaluated followed ``before``."""
    agree(pinned)
    close(NOW + HOUR)
    acme = Customer.objects.get()

    def change(start: datetime) -> None:
        with transaction.atomic():
            pins.refuse_backdated(acme, after, start, None, before=before)

    change(NOW + HOUR + TICK)
    if stands:
        change(NOW)
    else:
        with pytest.raises(ApiError, match="events up to 2026-01-21T01:00:00Z"):
            change(NOW + HOUR)


def test_other_customers_and_conditions_forbid_nothing(solved: None) -> None:
    factories.customer("globex")
    factories.condition(FIRST.replace("solved", "other").replace("closed", "done"))
    say("closed", NOW, now=NOW, customer="globex")
    close(NOW, "done")
    agree(1)
    assert Outcome.objects.count() == 2
    audited()


def test_a_window_is_measured_against_what_the_pin_made_of_the_past(solved: None) -> None:
    """The window guard replays the past as it was judged: under the pin of the contract before."""
    create_contract(fields(1, ends_at=NOW + DAY), now=NOW)
    close(NOW + HOUR)
    create_contract(fields(1, starts_at=NOW + DAY, settlement_windows={"solved": 60}), now=NOW)
    close(NOW + DAY, ticket="U")
    assert sorted(o.settles_at - o.met_at for o in Outcome.objects.all()) == [HOUR / 60, 5 * HOUR]
    audited()


def test_refusals_name_the_place(solved: None) -> None:
    factories.customer("globex")
    create_condition_version(FIRST.replace("solved", "theirs"), effective_from=None, now=NOW, customers=["globex"])
    with thawed():  # made on NOW, and for attempts from then on
        Condition.objects.get(slug="solved").versions.filter(number=2).update(created_at=NOW)
    assert refused(3) == (422, "unknown_version", "conditions.solved", "Condition solved has versions 1 to 2.")
    assert refused(conditions={"sovled": 1})[1:3] == ("unknown_condition", "conditions.sovled")
    assert refused(conditions={"theirs": 1})[1:3] == ("not_for_customer", "conditions.theirs")
    status, code, path, message = refused(2, starts_at=NOW - TICK)
    assert (status, code, path) == (422, "pin_before_version", "conditions.solved")
    assert "solved v2 holds from 2026-01-21T00:00:00Z on" in message
    agree(2)


def test_a_window_replaces_that_of_the_pinned_form(solved: None) -> None:
    silent = FIRST.replace("5 hours", "5 hours of silence")
    factories.condition(silent, effective_from=NOW + TICK)
    later = NOW + 2 * DAY
    with pytest.raises(ApiError) as refusal, transaction.atomic():
        create_contract(fields(3, starts_at=later, settlement_windows={"solved": 60}), now=NOW)
    assert [detail.code for detail in refusal.value.details] == ["window_not_overridable"]
    create_contract(fields(1, starts_at=later, settlement_windows={"solved": 60}), now=later)
    close(later)
    assert Outcome.objects.get().settles_at == later + HOUR / 60


def test_ensure_compares_pins(solved: None) -> None:
    agree(1)
    assert ensure_contract(fields(1), now=NOW).kind is Kind.UNCHANGED
    for version, message in (
        (2, "pinned version of solved is version 1, not version 2"),
        (None, "pinned version of solved (version 1) is not among those asked for"),
    ):
        with pytest.raises(ApiError) as refusal:
            ensure_contract(fields(version), now=NOW)
        assert message in refusal.value.message


def test_the_audit_sees_a_pin_that_somebody_changed(solved: None) -> None:
    contract = agree(1)
    close(NOW)
    audited()
    condition = Condition.objects.get(slug="solved")
    for written, invariant in (
        ({}, "replay"),
        ({str(condition.pk): 9}, "contracts"),
        ({str(condition.pk): "1"}, "contracts"),
        ({str(condition.pk + 1): 1}, "contracts"),
    ):
        with thawed():
            contract.versions.update(conditions=written)
        known = [one for one in (*INVARIANTS, *terms_audit.INVARIANTS) if one.name == invariant]
        [found] = check(known, Scope(now=NOW, sample=None))
        assert found.findings.violations, written


# --- at the edges -----------------------------------------------------------------------------------------------------


def test_over_http(solved: None, api: Any) -> None:
    body = {"customer": "acme", "rate_card": "standard", "starts_at": "2026-01-21T00:00:00Z"}
    for wrong, path in (
        ([], "conditions"),
        ({"solved": "1"}, "conditions.solved"),
        ({"solved": 0}, "conditions.solved"),
        ({"solved": True}, "conditions.solved"),
        ({"solved": 1.5}, "conditions.solved"),
        ({"solved": 7}, "conditions.solved"),
        ({"no such": 1}, 'conditions["no such"]'),
    ):
        answer = api.post("/v1/contracts", {**body, "conditions": wrong})
        assert answer.status_code in (400, 422)
        assert [detail["path"] for detail in answer.json()["error"]["details"]] == [path], wrong
    close(NOW)
    answer = api.post("/v1/contracts", {**body, "conditions": {"solved": 1}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "pin_backdated")
    made = api.post("/v1/contracts", {**body, "conditions": {"solved": 2}})
    assert (made.status_code, made.json()["conditions"]) == (201, {"solved": 2})
    assert api.get(f"/v1/contracts/{made.json()['id']}").json()["conditions"] == {"solved": 2}


def test_apply_names_the_line_and_is_repeated_without_effect(solved: None, tmp_path: Any) -> None:
    text = "contracts:\n  - customer: acme\n    rate_card: standard\n    starts_at: 2026-01-21\n    conditions:\n"
    (tmp_path / "contracts.yaml").write_text(text + "      solved: 1\n")
    close(NOW)
    for dry_run in (True, False):
        result = apply_directory(tmp_path, now=NOW, dry_run=dry_run)
        assert [(p.file, p.line, p.entry) for p in result.problems] == [("contracts.yaml", 6, "acme")]
        assert "conditions.solved: acme has events up to 2026-01-21T00:00:00Z" in result.problems[0].message
    (tmp_path / "contracts.yaml").write_text(text + "      solved: 2\n")
    assert apply_directory(tmp_path, now=NOW).written
    assert not apply_directory(tmp_path, now=NOW).anything_to_do
    assert ContractVersion.objects.get().conditions == {str(Condition.objects.get().pk): 2}


# --- on two connections -----------------------------------------------------------------------------------------------


def waiting_event() -> None:
    _solved()
    say("closed", NOW, now=NOW)


@pytest.mark.usefixtures("committed")
def test_what_is_evaluated_while_a_pin_is_agreed_follows_it() -> None:
    waiting_event()
    with meanwhile(lambda: evaluate_waiting(NOW)) as other:
        agree(1)
    assert other.result == 1
    assert versions() == [1]
    audited()


@pytest.mark.usefixtures("committed")
def test_what_is_evaluated_while_a_pin_fails_follows_what_is_in_force() -> None:
    waiting_event()
    with meanwhile(lambda: evaluate_waiting(NOW), then_roll_back=True) as other:
        agree(1)
    assert other.result == 1
    assert versions() == [2]
    audited()


@pytest.mark.usefixtures("committed")
def test_a_pin_waits_for_what_is_just_being_evaluated_and_is_refused() -> None:
    waiting_event()
    with meanwhile(lambda: agree(1)) as other:
        assert evaluate_batch(NOW).events == 1
    assert isinstance(other.result, ApiError)
    assert other.result.code == "pin_backdated"
    assert not Contract.objects.exists()
    audited()


@pytest.mark.usefixtures("committed")
def test_a_contract_without_pins_waits_for_nobody() -> None:
    waiting_event()
    with uncommitted(lambda: evaluate_batch(NOW)), connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '60s'")
        agree(None)
    assert versions() == [2]
    assert Customer.objects.count() == 1
