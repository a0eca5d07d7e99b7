"""Settlement windows of a contract's own: what they do to outcomes, and that they never reach what was met already."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from access.errors import ApiError
from access.invariants import Scope, check
from contracts import audit as terms_audit
from contracts.agreements import ContractFields, create_contract, ensure_contract
from contracts.apply.run import apply_directory
from contracts.models import Condition, Contract, ContractVersion, Customer, RateCard
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from outcomes.audit import INVARIANTS
from outcomes.backfill import plan
from outcomes.evaluation import OUTSIDE_LOCK, evaluate_batch, evaluate_waiting, lock_partition
from outcomes.models import Outcome, Pending, Subject
from outcomes.recompute import recompute
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.contracts.test_races import Other, meanwhile
from tests.database import thawed
from tests.outcomes import factories
from tests.outcomes.factories import START, say
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import uncommitted

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
NOW = START + 20 * DAY
ROUND = TICKET.replace("void when reopened\n", "")
SILENT = TICKET.replace("settle after 5 hours", "settle after 5 hours of silence")


@dataclass(frozen=True)
class Span:
    """A contract version: from when on, and hours in the place of the condition's own (None: no override)."""

    start: datetime
    hours: float | None


def agree(*spans: Span, ends_at: datetime | None = None, customer: str = "acme") -> Contract:
    """A contract with these versions, written as later amendments would be."""
    card, _ = RateCard.objects.get_or_create(key="standard", defaults={"created_at": START})
    owner = Customer.objects.get(key=customer)
    contract = Contract.objects.create(
        customer=owner, currency="USD", starts_at=spans[0].start, ends_at=ends_at, created_at=START
    )
    for number, span in enumerate(spans, start=1):
        own = {} if span.hours is None else {str(Condition.objects.get().pk): int(span.hours * 3600)}
        ContractVersion.objects.create(
            contract=contract, number=number, effective_at=span.start, rate_card=card, settlement_windows=own,
            created_at=START,
        )  # fmt: skip
    return contract


def fields(windows: dict[str, int] | None = None, **changes: Any) -> ContractFields:
    given = {"solved": 9 * 3600} if windows is None else windows
    return ContractFields(
        **{"customer": "acme", "rate_card": "standard", "starts_at": START, "settlement_windows": given, **changes}
    )


def card() -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=START)


def close(at: datetime, kind: str = "closed", now: datetime | None = None, **data: Any) -> None:
    say(kind, at, now=now or at, **data)
    evaluate_waiting(now or at)


def audited(now: datetime) -> None:
    for result in check([*INVARIANTS, *SETTLED, *terms_audit.INVARIANTS], Scope(now=now, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


# --- what a window does -----------------------------------------------------------------------------------------------

TABLE: list[tuple[str, tuple[Span, ...], datetime | None, datetime, float]] = [
    ("without a contract", (), None, START, 5),
    ("a contract without windows", (Span(START, None),), None, START, 5),
    ("met as the contract starts", (Span(START, 9),), None, START, 9),
    ("met one microsecond before it starts", (Span(START + TICK, 9),), None, START, 5),
    ("shorter than the condition's", (Span(START, 0.5),), None, START, 0.5),
    ("none at all: final as it is met", (Span(START, 0),), None, START, 0),
    ("longer, met as the second version begins", (Span(START, None), Span(START + DAY, 9)), None, START + DAY, 9),
    ("and one microsecond before", (Span(START, None), Span(START + DAY, 9)), None, START + DAY - TICK, 5),
    ("the second version has another", (Span(START, 7), Span(START + DAY, 9)), None, START + DAY - TICK, 7),
    ("the second version has none any more", (Span(START, 7), Span(START + DAY, None)), None, START + DAY, 5),
    ("of two that start together the later made counts", (Span(START, 7), Span(START, 9)), None, START, 9),
    ("met one microsecond before the contract ends, it settles after", (Span(START, 9),), START + DAY,
     START + DAY - TICK, 9),
    ("met as the contract ends", (Span(START, 9),), START + DAY, START + DAY, 5),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("spans", "ends_at", "met_at", "hours"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_the_window_in_force_when_it_was_met(
    spans: tuple[Span, ...], ends_at: datetime | None, met_at: datetime, hours: float
) -> None:
    factories.customer()
    factories.condition(TICKET)
    if spans:
        agree(*spans, ends_at=ends_at)
    close(met_at)
    outcome = Outcome.objects.get()
    end = met_at + hours * HOUR
    assert (outcome.met_at, outcome.settles_at) == (met_at, end)
    settle_due(end - TICK)
    outcome.refresh_from_db()
    assert outcome.state == "provisional"
    settle_due(end)
    outcome.refresh_from_db()
    assert (outcome.state, outcome.settled_at) == ("confirmed", end)
    audited(NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(("hours", "state"), [(8, "void"), (9, "reversed")])
def test_the_clauses_follow_the_window(hours: int, state: str) -> None:
    """Reopened inside the nine hours of the contract it is void; as they end, it is credited."""
    factories.customer()
    factories.condition(TICKET)
    agree(Span(START, 9))
    close(START)
    close(START + hours * HOUR, "reopened")
    settle_due(NOW)
    assert [o.state for o in Outcome.objects.all()] == [state]
    audited(NOW)


@pytest.mark.django_db
def test_each_customer_has_its_own() -> None:
    factories.condition(TICKET)
    for key in ("acme", "globex", "initech"):
        factories.customer(key)
    agree(Span(START, 9))
    agree(Span(START, 1), customer="globex")
    for key in ("acme", "globex", "initech"):
        say("closed", START, now=START, customer=key)
    evaluate_waiting(START)
    ends = dict(Outcome.objects.values_list("customer__key", "settles_at"))
    assert ends == {"acme": START + 9 * HOUR, "globex": START + HOUR, "initech": START + 5 * HOUR}


@pytest.mark.django_db
def test_a_later_version_in_another_form_is_not_overridden() -> None:
    """And one that comes back to `settle after` is."""
    factories.customer()
    factories.condition(TICKET)
    factories.condition(SILENT, effective_from=START + DAY)
    factories.condition(TICKET, effective_from=START + 2 * DAY)
    agree(Span(START, 9))
    for day, ticket in enumerate("ABC"):
        close(START + day * DAY, ticket=ticket)
    ends = dict(Outcome.objects.values_list("subject__key", "settles_at"))
    assert ends == {"A": START + 9 * HOUR, "B": START + DAY + 5 * HOUR, "C": START + 2 * DAY + 9 * HOUR}
    settle_due(NOW)
    audited(NOW)


@pytest.mark.django_db
def test_settle_early_ends_an_overridden_window_too() -> None:
    factories.customer()
    factories.condition(TICKET + "settle early when paid\n")
    agree(Span(START, 9))
    close(START)
    close(START + HOUR, "paid")
    assert Outcome.objects.get().settles_at == START + HOUR


@pytest.mark.django_db
def test_late_evidence_and_recompute_are_judged_by_the_window_of_the_customer() -> None:
    factories.customer()
    factories.condition(TICKET)
    agree(Span(START, 9))
    close(START + HOUR)
    settle_due(NOW)
    before = Outcome.objects.get()
    close(START, "seen", now=NOW)  # older than what is folded; not mentioned, so nothing comes of it
    assert recompute(Subject.objects.get().pk, now=NOW) == 0
    close(START + 7 * HOUR, "reopened", now=NOW)  # inside nine hours, outside five
    settle_due(NOW)
    assert list(Outcome.objects.values_list("state", flat=True).order_by("ordinal")) == ["reversed", "void"]
    assert before.settled_at == START + 10 * HOUR
    assert recompute(Subject.objects.get().pk, now=NOW) == 0
    audited(NOW)


@pytest.mark.django_db
def test_the_audit_sees_a_window_that_somebody_changed() -> None:
    factories.customer()
    factories.condition(TICKET)
    contract = agree(Span(START, 9))
    close(START)
    settle_due(NOW)
    audited(NOW)
    with thawed():
        contract.versions.update(settlement_windows={})
    found = {r.invariant.name for r in check(INVARIANTS, Scope(now=NOW, sample=None)) if r.findings.violations}
    assert "replay" in found


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [-1, 180 * 86_400 + 1, 1.5e9, "60", None, [60]])
def test_the_audit_sees_a_window_that_is_none(seconds: Any) -> None:
    factories.customer()
    condition = factories.condition(TICKET).condition_id
    contract = agree(Span(START, 9))
    for windows, problem in (
        ({str(condition): seconds}, "is no sane duration"),
        ({str(condition + 1): 60}, "names no condition"),
    ):
        with thawed():
            contract.versions.update(settlement_windows=windows)
        [found] = [r for r in check(terms_audit.INVARIANTS, Scope(now=NOW)) if r.invariant.name == "contracts"]
        [row] = found.findings.violation_rows
        assert problem in row["problem"]


@pytest.mark.django_db
def test_a_batch_asks_for_windows_once_and_no_more_where_there_are_none() -> None:
    for number in range(30):
        factories.customer(f"c{number}")
    factories.condition(TICKET)
    for number in range(30):
        say("closed", START, now=START, customer=f"c{number}")
    with CaptureQueriesContext(connection) as asked:
        evaluate_batch(START, size=1000)
    assert len([one for one in asked.captured_queries if "settlement_windows" in one["sql"]]) == 1


# --- what was met already ---------------------------------------------------------------------------------------------

LAPSES = TICKET  # `bill when closed and no escalated`: an escalation takes the meeting back
REFUSED = (409, "window_backdated", "settlement_windows.solved")


def refused(**changes: Any) -> str:
    with pytest.raises(ApiError) as refusal, transaction.atomic():
        create_contract(fields(**changes), now=NOW)
    [detail] = refusal.value.details
    assert (refusal.value.status_code, detail.code, detail.path) == REFUSED
    return detail.message


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("starts", "ends", "stands"),
    [(0 * DAY, None, False), (TICK, None, True), (-DAY, None, False), (-DAY, 0 * DAY, True), (-DAY, TICK, False)],
)
@pytest.mark.parametrize("settled", [False, True])
def test_what_was_met_in_the_span_already_forbids_the_window(
    starts: timedelta, ends: timedelta | None, stands: bool, settled: bool
) -> None:
    """Met at START + DAY; the contract begins and ends relative to that."""
    factories.customer()
    factories.condition(TICKET)
    card()
    met_at = START + DAY
    close(met_at)
    if settled:
        settle_due(NOW)
    span = {"starts_at": met_at + starts, "ends_at": None if ends is None else met_at + ends}
    if stands:
        create_contract(fields(**span), now=NOW)
    else:
        assert refused(**span) == (
            "acme has an outcome of solved met at 2026-01-02T00:00:00Z, and a window never reaches into what was met"
            " already. Let the contract start after that, or leave this window out."
        )
        assert not Contract.objects.exists()
        create_contract(fields({}, **span), now=NOW)
    settle_due(NOW)
    audited(NOW)


@pytest.mark.django_db
def test_other_customers_and_conditions_forbid_nothing() -> None:
    factories.customer()
    factories.customer("globex")
    factories.condition(TICKET)
    factories.condition(TICKET.replace("outcome solved", "outcome other").replace("closed", "done"))
    card()
    say("closed", START, now=START, customer="globex")
    close(START, "done")
    create_contract(fields(), now=NOW)
    assert Outcome.objects.count() == 2


@pytest.mark.django_db
def test_what_was_met_under_a_version_of_another_form_forbids_nothing() -> None:
    factories.customer()
    factories.condition(SILENT)
    factories.condition(TICKET, effective_from=START + DAY)
    card()
    close(START + HOUR, ticket="A")
    create_contract(fields(), now=NOW)
    settle_due(NOW)
    audited(NOW)


@pytest.mark.django_db
def test_what_is_not_met_yet_forbids_nothing() -> None:
    factories.customer()
    factories.condition(TICKET.replace("bill when closed", "bill when at least 2 closed"))
    card()
    close(START)
    create_contract(fields(), now=START + HOUR)
    close(START + HOUR)
    assert Outcome.objects.get().settles_at == START + 10 * HOUR


@pytest.mark.django_db
@pytest.mark.parametrize("in_one_batch", [False, True])
def test_what_was_met_and_lapsed_again_counts_as_met(in_one_batch: bool) -> None:
    """With a shorter window it would have settled before it lapsed, so its events would give another outcome."""
    factories.customer()
    factories.condition(LAPSES)
    card()
    say("seen", START, now=NOW)
    for kind, hours in (("reopened", 0), ("closed", 1), ("escalated", 3)):
        say(kind, START + hours * HOUR, now=NOW)
        if not in_one_batch:
            evaluate_waiting(NOW)
    evaluate_waiting(NOW)
    assert [(o.state, o.met_at) for o in Outcome.objects.all()] == [("open", None)]
    assert "2026-01-01T01:00:00Z" in refused(windows={"solved": 3600})
    create_contract(fields({"solved": 3600}, starts_at=START + HOUR + TICK), now=NOW)
    audited(NOW)


@pytest.mark.django_db
def test_met_in_the_span_lapsed_and_met_anew_after_it() -> None:
    factories.customer()
    factories.condition(TICKET.replace("no escalated", "no escalated after closed"))
    card()
    for kind, hours in (("closed", 1), ("escalated", 3), ("closed", 4)):
        close(START + hours * HOUR, kind)
    assert Outcome.objects.get().met_at == START + 4 * HOUR
    assert "2026-01-01T01:00:00Z" in refused(ends_at=START + 2 * HOUR)
    create_contract(fields(ends_at=START + HOUR), now=NOW)
    audited(NOW)


@pytest.mark.django_db
def test_an_open_attempt_whose_events_are_archived_may_have_been_met() -> None:
    factories.customer()
    factories.condition(TICKET)
    card()
    close(START, "escalated")
    close(START + HOUR, "escalated")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute('DELETE FROM outcomes_event WHERE "time" = %s', [START])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert "met at 2026-01-01T01:00:00Z" in refused()
    create_contract(fields(starts_at=START + HOUR + TICK), now=NOW)


@pytest.mark.django_db
def test_ensure_guards_as_create_does() -> None:
    factories.customer()
    factories.condition(TICKET)
    card()
    close(START)
    with pytest.raises(ApiError) as refusal:
        ensure_contract(fields(), now=NOW)
    assert refusal.value.code == "window_backdated"


@pytest.mark.django_db
def test_apply_names_the_line_and_writes_nothing(tmp_path: Any) -> None:
    for key in ("acme", "globex"):
        factories.customer(key)
    factories.condition(TICKET)
    card()
    close(START)
    text = "defaults:\n  rate_card: standard\n  starts_at: 2026-01-01\n  settlement_windows:\n    solved: 9 hours\n"
    text += "contracts:\n  - customers: [acme, globex]\n"
    (tmp_path / "contracts.yaml").write_text(text)
    for dry_run in (True, False):
        result = apply_directory(tmp_path, now=NOW, dry_run=dry_run)
        assert [(p.file, p.line, p.entry) for p in result.problems] == [("contracts.yaml", 5, "acme")]
        assert "settlement_windows.solved: acme has an outcome of solved met at" in result.problems[0].message
        assert not Contract.objects.exists()
    (tmp_path / "contracts.yaml").write_text(text.replace("01-01", "01-02"))
    assert apply_directory(tmp_path, now=NOW).written
    assert not apply_directory(tmp_path, now=NOW).anything_to_do
    # What is met under them does not trouble the next run of the same directory.
    close(START + DAY + HOUR, ticket="U", now=NOW)
    assert apply_directory(tmp_path, now=NOW).problems == []


@pytest.mark.django_db
def test_over_http(api: Any) -> None:
    factories.customer()
    factories.condition(TICKET)
    card()
    close(START)
    body = {"customer": "acme", "rate_card": "standard", "starts_at": "2026-01-01T00:00:00Z"}
    answer = api.post("/v1/contracts", {**body, "settlement_windows": {"solved": "9 hours"}})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (409, "window_backdated", "conflict")
    assert [detail["path"] for detail in error["details"]] == ["settlement_windows.solved"]
    later = {**body, "starts_at": "2026-01-01T00:00:00.000001Z", "settlement_windows": {"solved": "9 hours"}}
    assert api.post("/v1/contracts", later).json()["settlement_windows"] == {"solved": "9 hours"}


# --- on two connections -----------------------------------------------------------------------------------------------


def waiting_event() -> None:
    factories.customer()
    factories.condition(TICKET)
    card()
    say("closed", START, now=START)


@pytest.mark.usefixtures("committed")
def test_what_is_evaluated_while_a_contract_is_made_follows_it() -> None:
    waiting_event()
    with meanwhile(lambda: evaluate_waiting(START)) as other:
        create_contract(fields(), now=NOW)
    assert other.result == 1
    assert Outcome.objects.get().settles_at == START + 9 * HOUR
    audited(NOW)


@pytest.mark.usefixtures("committed")
def test_what_is_evaluated_while_a_contract_fails_follows_the_condition() -> None:
    waiting_event()
    with meanwhile(lambda: evaluate_waiting(START), then_roll_back=True) as other:
        create_contract(fields(), now=NOW)
    assert other.result == 1
    assert Outcome.objects.get().settles_at == START + 5 * HOUR
    audited(NOW)


@pytest.mark.usefixtures("committed")
def test_a_contract_waits_for_what_is_just_being_met_and_is_refused() -> None:
    waiting_event()
    with meanwhile(lambda: create_contract(fields(), now=NOW)) as other:
        assert evaluate_batch(START).events == 1
    assert isinstance(other.result, ApiError)
    assert other.result.code == "window_backdated"
    assert not Contract.objects.exists()
    audited(NOW)


@pytest.mark.usefixtures("committed")
def test_a_contract_without_windows_waits_for_nobody() -> None:
    waiting_event()
    with uncommitted(lambda: evaluate_batch(START)), connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '60s'")
        create_contract(fields({}), now=NOW)
    assert Outcome.objects.get().settles_at == START + 5 * HOUR


@pytest.mark.usefixtures("committed")
def test_evaluation_passes_over_what_is_held_from_outside_and_waits_only_empty_handed() -> None:
    """Who makes many contracts holds some partitions and waits for others: a worker that did so, too, would stand in a
    circle with it.
    """
    keys = {factories.customer(key).partition: key for key in (f"c{number}" for number in range(6))}
    assert len(keys) >= 3
    factories.condition(TICKET)
    for key in keys.values():
        say("closed", START, now=START, customer=key)
    held, *others = sorted(keys)
    with transaction.atomic(), connection.cursor() as cursor:
        lock_partition(cursor, held)
        first = Other(lambda: evaluate_batch(START).events)
        first.start()
        first.join(60)
        assert first.result == len(others)
        second = Other(lambda: evaluate_waiting(START))
        second.start()
        second.wait_until_blocked()
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND pid = %s AND granted",
            [OUTSIDE_LOCK, second.pid],
        )
        assert cursor.fetchone() == (0,)
        for partition in others:
            lock_partition(cursor, partition)
    second.join(60)
    assert second.result == 1
    assert not Pending.objects.exists()


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("seed", range(2))
def test_a_directory_of_many_windows_against_workers(seed: int, tmp_path: Any, settings: Any) -> None:
    """Nobody is chosen as the victim of a deadlock; who was met first has the condition's window, or nobody has."""
    settings.EVALUATION_BATCH = 7
    customers = [factories.customer(f"c{number}") for number in range(40)]
    factories.condition(TICKET)
    plan(NOW)  # or workers may bring it once more what others are evaluating
    card()
    text = "defaults:\n  rate_card: standard\n  starts_at: 2026-01-01\n  settlement_windows: {solved: 9 hours}\n"
    text += "contracts:\n"
    (tmp_path / "contracts.yaml").write_text(text + "".join(f"  - customer: {c.key}\n" for c in customers))
    events = [
        {"id": f"e{n}", "type": "closed", "customer": one.key, "time": START + n * HOUR / 60, "data": {"ticket": n}}
        for one in customers
        for n in range(5)
    ]
    assert {one.status for one in factories.send(events, now=NOW)} == {"accepted"}

    def work() -> int:
        done = 0
        while Pending.objects.exists():
            done += evaluate_waiting(NOW)
        return done

    others = [Other(lambda: apply_directory(tmp_path, now=NOW)), Other(work), Other(work)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
        assert not other.is_alive()
    applied, *worked = (other.result for other in others)
    assert sum(worked) == 200, worked
    hours = {(end - met) / HOUR for met, end in Outcome.objects.values_list("met_at", "settles_at")}
    if applied.written:
        assert hours == {9}
    else:
        assert hours == {5} and all("met at" in problem.message for problem in applied.problems)
    audited(NOW)
