"""Conditions for named customers alone: whose events they hear of, and what those hear of who join later."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from access.invariants import Scope, check
from contracts import audit as terms_audit
from contracts.apply.run import apply_directory
from contracts.changes import Kind
from contracts.conditions import create_condition_version
from contracts.models import Condition, ConditionCustomer
from outcomes import archive, backfill
from outcomes.audit import INVARIANTS
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Backfill, CustomerBackfill, InboxItem, Outcome, Pending, Subject
from outcomes.sequence import month_number
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.contracts.test_races import Other
from tests.database import thawed
from tests.outcomes import factories
from tests.outcomes.factories import START, say
from tests.outcomes.test_races import uncommitted

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
NOW = START + 20 * DAY
LAST = NOW + 400 * DAY
TEXT = """outcome solved
per ticket
bill when closed
settle after 5 hours
"""
EVER = TEXT.replace("bill when closed\n", "bill when closed and paid ever\n")


@pytest.fixture
def customers(db: None) -> None:
    for key in ("acme", "globex", "initech"):
        factories.customer(key)


def put(text: str = TEXT, *named: str, now: datetime = NOW, **given: Any) -> Any:
    return create_condition_version(
        text, effective_from=given.get("effective_from"), now=now, customers=list(named) or None
    )


def events(at: datetime, kind: str = "closed", now: datetime | None = None, **data: Any) -> None:
    """The same of each customer."""
    for customer in ("acme", "globex", "initech"):
        event = {"id": f"{kind}@{at}/{data.get('ticket')}", "type": kind, "customer": customer, "time": at}
        [result] = factories.send([event | {"data": {"ticket": "T"} | data}], now=now or at)
        assert result.status == "accepted"


def found(**where: Any) -> list[str]:
    rows = Outcome.objects.filter(**where).order_by("customer__key", "met_at")
    return list(rows.values_list("customer__key", flat=True))


def audited(now: datetime = LAST) -> None:
    evaluate_waiting(now)
    settle_due(now)
    for result in check([*INVARIANTS, *SETTLED, *terms_audit.INVARIANTS], Scope(now=now, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


def test_it_hears_of_nobody_else(customers: None) -> None:
    put(TEXT, "acme", "globex")
    put(TEXT.replace("outcome solved", "outcome open_to_all"))
    events(NOW)
    evaluate_waiting(NOW)
    assert found(condition__slug="solved") == ["acme", "globex"]
    assert found(condition__slug="open_to_all") == ["acme", "globex", "initech"]
    audited()


def test_events_from_before_it_was_made_are_brought_to_its_customers_alone(customers: None) -> None:
    events(START)
    evaluate_waiting(NOW)
    put(TEXT, "acme")
    evaluate_waiting(NOW)
    assert found() == ["acme"]
    assert Backfill.objects.get().events == 1
    audited()


def test_an_event_without_its_key_is_missing_only_to_those_it_is_for(customers: None) -> None:
    put(TEXT, "acme")
    put(TEXT.replace("outcome solved", "outcome other").replace("closed", "closed or paid"), "acme", "globex")
    events(NOW, ticket=None)
    evaluate_waiting(NOW)
    told = {item.customer_key: item.message for item in InboxItem.objects.all()}
    assert set(told) == {"acme", "globex"}
    assert "other, solved." in told["acme"] and "other." in told["globex"] and "solved" not in told["globex"]
    audited()


@pytest.mark.parametrize(("at", "billed"), [(-TICK, False), (0 * DAY, True), (TICK, True)])
def test_who_joins_does_from_then_on(customers: None, at: timedelta, billed: bool) -> None:
    """However the event arrives: before they joined (a clock that runs ahead), or late."""
    put(TEXT, "acme", now=START)
    events(NOW + at, now=NOW - HOUR / 60)
    evaluate_waiting(NOW)
    assert found() == ["acme"]
    change = put(TEXT, "acme", "globex")
    assert (change.kind, [d.after for d in change.differences]) == (Kind.CHANGED, ["acme, globex"])
    evaluate_waiting(NOW)
    events(NOW + at, now=NOW + DAY, ticket="late")
    evaluate_waiting(NOW + DAY)
    assert found() == ["acme", "acme"] + ["globex", "globex"] * billed
    audited()


def test_who_joins_with_a_coming_version_joins_with_its_start(customers: None) -> None:
    put(TEXT, "acme", now=START)
    put(TEXT.replace("5 hours", "9 hours"), "acme", "globex", effective_from=NOW + DAY)
    for at in (NOW, NOW + DAY):
        events(at, ticket=str(at))
        evaluate_waiting(at)
    assert list(Outcome.objects.order_by("met_at", "customer").values_list("customer__key", "version__number")) == [
        ("acme", 1), ("acme", 2), ("globex", 2),
    ]  # fmt: skip
    audited()


def test_the_whole_history_counts_where_a_version_looks_at_it(customers: None) -> None:
    """Globex has one `paid` from before it joined, initech none."""
    put(EVER, "acme", now=START)
    say("paid", START, now=START, customer="globex")
    evaluate_waiting(START)
    put(EVER, "acme", "globex", "initech")
    evaluate_waiting(NOW)
    events(NOW + HOUR)
    evaluate_waiting(NOW + HOUR)
    assert found(state="provisional") == ["globex"]
    audited()


def test_a_version_with_ever_brings_what_those_who_joined_were_not_told(customers: None) -> None:
    both = TEXT.replace("bill when closed", "bill when closed and no paid")
    put(both, "acme", now=START)
    events(START, "paid")
    evaluate_waiting(START)
    put(both, "acme", "globex")
    put(EVER, effective_from=NOW + DAY)
    evaluate_waiting(NOW)
    events(NOW + 2 * DAY)
    evaluate_waiting(NOW + 2 * DAY)
    assert found(version__number=2) == ["globex"]  # acme's attempt began under the first version
    audited()


def test_a_dated_first_version_leaves_the_past_to_a_later_one_with_ever(customers: None) -> None:
    events(START, "paid")
    evaluate_waiting(START)
    put(TEXT.replace("bill when closed", "bill when closed or paid"), effective_from=NOW)
    evaluate_waiting(NOW)
    put(EVER, effective_from=NOW + DAY)
    evaluate_waiting(NOW)
    events(NOW + 2 * DAY)
    evaluate_waiting(NOW + 2 * DAY)
    assert found(state="provisional") == ["acme", "globex", "initech"]
    audited()


def test_nothing_of_it_settles_before_those_who_join_have_heard_all(
    customers: None, monkeypatch: Any, tmp_path: Any
) -> None:
    put(EVER, "acme", now=START)
    events(START, "paid")
    events(START + HOUR)
    evaluate_waiting(START + HOUR)
    put(EVER, "acme", "globex", now=START + HOUR)
    settle_due(NOW)
    assert found(state="provisional") == ["acme"]
    monkeypatch.setattr(backfill, "PORTION", 1)
    assert backfill.advance(NOW) == 1
    settle_due(NOW)
    assert found(state="provisional") == ["acme"]
    with pytest.raises(archive.CannotArchive, match=r"still reading|wait for evaluation"):
        archive.archive_month(month_number(START), tmp_path, now=LAST)
    evaluate_waiting(NOW)
    settle_due(NOW)
    assert found(state="confirmed") == ["acme", "globex"]
    assert CustomerBackfill.objects.get().done_at == NOW
    audited()


def test_a_later_version_stays_limited_and_reaches_all_its_customers(customers: None) -> None:
    put(TEXT, "acme", now=START)
    put(TEXT, "acme", "globex", now=START + HOUR)
    evaluate_waiting(START + HOUR)
    events(NOW - DAY, "paid")
    evaluate_waiting(NOW - DAY)
    change = put(TEXT.replace("closed", "closed or paid"), effective_from=NOW - 2 * DAY + 3 * DAY)
    assert change.kind is Kind.NEW_VERSION
    events(NOW + 2 * DAY, "paid")
    evaluate_waiting(NOW + 2 * DAY)
    assert found(version__number=2) == ["acme", "globex"]
    audited()


REFUSED: list[tuple[str, tuple[str, ...] | None, str, str]] = [
    ("solved", ("acme", "nobody"), "customers[1]", "unknown_customer"),
    ("solved", (), "customers", "empty"),
    ("solved", ("globex",), "customers", "customer_left_out"),
    ("everybodys", ("acme",), "customers", "condition_not_limited"),
    ("fresh", ("globes",), "customers[0]", "unknown_customer"),
]


@pytest.mark.parametrize(("slug", "named", "path", "code"), REFUSED, ids=[row[3] + row[0] for row in REFUSED])
def test_refusals_name_the_place_and_write_nothing(
    customers: None, api: Any, slug: str, named: tuple[str, ...], path: str, code: str
) -> None:
    put(TEXT, "acme")
    put(TEXT.replace("outcome solved", "outcome everybodys"))
    body = {"text": TEXT.replace("outcome solved", f"outcome {slug}"), "customers": list(named)}
    answer = api.post("/v1/conditions", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, code)
    assert [(d["path"], d["code"]) for d in error["details"]] == [(path, code)]
    assert Condition.objects.count() == 2 and ConditionCustomer.objects.count() == 1


def test_over_http(customers: None, api: Any) -> None:
    made = api.post("/v1/conditions", {"text": TEXT, "customers": ["globex", "acme", "acme"]})
    assert (made.status_code, made.json()["customers"]) == (201, ["acme", "globex"])
    again = api.post("/v1/conditions", {"text": TEXT})
    assert (again.status_code, again.json()["customers"]) == (200, ["acme", "globex"])
    more = api.post("/v1/conditions", {"text": TEXT, "customers": ["acme", "globex", "initech"]})
    assert (more.status_code, more.json()["version"], len(more.json()["customers"])) == (200, 1, 3)
    assert api.get("/v1/conditions/solved").json()["customers"] == ["acme", "globex", "initech"]
    api.post("/v1/conditions", {"text": TEXT.replace("outcome solved", "outcome other")})
    listed = {row["slug"]: row["customers"] for row in api.get("/v1/conditions").json()["data"]}
    assert listed == {"solved": ["acme", "globex", "initech"], "other": None}
    for wrong in ("acme", [1], [None], {"acme": 1}):
        assert api.post("/v1/conditions", {"text": TEXT, "customers": wrong}).status_code in (400, 422)


def test_apply(db: None, tmp_path: Any) -> None:
    (tmp_path / "conditions").mkdir()
    (tmp_path / "conditions/solved.outcome").write_text(TEXT)
    (tmp_path / "customers.csv").write_text("key,currency\nacme,USD\nglobex,USD\n")
    limits = tmp_path / "limits.yaml"
    limits.write_text("conditions:\n  solved: [acme]\n")
    assert apply_directory(tmp_path, now=NOW).written
    assert not apply_directory(tmp_path, now=NOW).anything_to_do
    limits.write_text("conditions:\n  solved: [acme, globex]\n")
    [(_, change)] = [(step, one) for step, one in apply_directory(tmp_path, now=NOW).changes if one.wrote]
    assert (change.kind, change.differences[0].before, change.differences[0].after) == (
        Kind.CHANGED, "acme", "acme, globex",
    )  # fmt: skip
    for text, line, saying in (
        ("conditions:\n  solved: [globex]\n", 1, "nobody is taken off"),
        ("conditions:\n  solved: [acme, globex, nobody]\n", 1, 'There is no customer "nobody"'),
        ("conditions:\n\n  sovled: [acme]\n", 3, "There is no conditions/sovled.outcome"),
        ("conditions:\n  solved: acme\n", 2, "Expected a list"),
        ("conditions:\n  solved: []\n", 2, "Expected a list"),
        ("solved: [acme]\n", 1, "Expected `conditions:`"),
    ):
        limits.write_text(text)
        result = apply_directory(tmp_path, now=NOW)
        assert [problem.line for problem in result.problems] == [line], text
        assert saying in result.problems[0].message and not result.written
    assert ConditionCustomer.objects.count() == 2


def test_the_audit_sees_subjects_and_events_of_others(customers: None) -> None:
    put(TEXT, "acme", "globex")
    events(NOW)
    evaluate_waiting(NOW)
    audited(NOW)

    def problems() -> set[str]:
        results = check([*INVARIANTS, *terms_audit.INVARIANTS], Scope(now=NOW + DAY, sample=None))
        return {row["problem"] for result in results for row in result.findings.violation_rows}

    globex = ConditionCustomer.objects.filter(customer__key="globex")
    with thawed():
        globex.delete()
    assert problems() == {"the condition is not for this customer"}
    with thawed():
        ConditionCustomer.objects.all().delete()
    assert "the condition is limited and names no customer" in problems()


def test_the_audit_sees_an_event_that_one_who_joined_did_not_hear_of(customers: None) -> None:
    put(TEXT, "acme", now=START)
    put(TEXT, "acme", "globex", now=START)
    evaluate_waiting(START)
    events(NOW)
    evaluate_waiting(NOW)
    audited(NOW)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM outcomes_subject_event WHERE subject_id = %s", [
            Subject.objects.get(customer__key="globex").pk,
        ])  # fmt: skip
    results = check(INVARIANTS, Scope(now=NOW, sample=None))
    broken = {result.invariant.name for result in results if result.findings.violations}
    assert {"events", "facts", "routing", "replay"} <= broken


@pytest.mark.usefixtures("committed")
def test_an_event_that_is_evaluated_while_its_customer_joins_is_heard_of() -> None:
    """The evaluation that does not know of it ends first; the event is brought back all the same."""
    for key in ("acme", "globex"):
        factories.customer(key)
    put(TEXT, "acme", now=START)
    evaluate_waiting(START)
    say("closed", NOW + HOUR / 60, now=NOW, customer="globex")
    with uncommitted(lambda: evaluate_batch(NOW)):
        put(TEXT, "acme", "globex")
        other = Other(lambda: evaluate_waiting(NOW))
        other.start()
        other.wait_until_blocked()  # for the fate of the event's row in `pending`
    other.join(60)
    assert other.result >= 1
    assert found() == ["globex"]
    assert not Pending.objects.exists()
    audited()
