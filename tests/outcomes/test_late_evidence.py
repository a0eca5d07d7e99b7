"""Late evidence: an event that would take back what is confirmed, and what the contract says of it."""

import random
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from access.invariants import Scope, check
from contracts.models import Contract, ContractVersion, RateCard
from outcomes import late
from outcomes.audit import INVARIANTS
from outcomes.backfill import plan
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Journal, LateEvidence, Outcome, SubjectEvent
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.outcomes.factories import START, say, send
from tests.outcomes.test_lifecycle import REPEATING, TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def agree(*policies: tuple[float, str]) -> None:
    """acme's contract: from each hour on, the policy."""
    customer = factories.customer()
    card = RateCard.objects.create(key="standard", created_at=START)
    contract = Contract.objects.create(customer=customer, currency="USD", starts_at=START - 30 * DAY, created_at=START)
    for number, (hours, policy) in enumerate(policies, start=1):
        ContractVersion.objects.create(
            contract=contract, number=number, effective_at=START + hours * HOUR, rate_card=card, late_evidence=policy,
            created_at=START,
        )  # fmt: skip


def tell(kind: str, hours: float, *, now: float | None = None, **data: Any) -> None:
    instant = START + (hours if now is None else now) * HOUR
    assert say(kind, START + hours * HOUR, now=instant, **data).status == "accepted"
    evaluate_waiting(instant)


def states() -> list[str]:
    return list(Outcome.objects.order_by("subject__key", "ordinal").values_list("state", flat=True))


def audited(hours: float) -> None:
    for result in check([*INVARIANTS, *SETTLED], Scope(now=START + hours * HOUR, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


def confirmed_then_reopened_late(*policies: tuple[float, str]) -> None:
    """Closed at the start, confirmed after 5 hours; the reopening of the first hour comes in the ninth."""
    agree(*policies)
    factories.condition(TICKET)
    tell("closed", 0)
    settle_due(START + 6 * HOUR)
    assert states() == ["confirmed"]
    tell("reopened", 1, now=9)


def test_it_reverses_where_nothing_else_was_agreed() -> None:
    confirmed_then_reopened_late((-720, "reverse"))
    assert states()[0] == "reversed"
    assert not LateEvidence.objects.exists()
    audited(9)


@pytest.mark.parametrize(("policy", "status"), [("review", "waiting"), ("ignore", "ignored")])
def test_it_is_left_out_and_kept_where_the_contract_says_so(policy: str, status: str) -> None:
    confirmed_then_reopened_late((-720, policy))
    assert states() == ["confirmed"]
    [found] = LateEvidence.objects.all()
    assert (found.policy, found.status, found.time, found.outcome.state) == (policy, status, START + HOUR, "confirmed")
    assert SubjectEvent.objects.count() == 1
    audited(9)
    # What comes in order goes on as if it had never been.
    tell("escalated", 10)
    tell("reopened", 12)  # within the credit clause's ten hours
    assert states() == ["reversed"]
    assert Journal.objects.latest("id").clause == "credit"
    audited(12)


def test_the_contract_in_force_when_it_was_met_decides() -> None:
    agree((-720, "ignore"), (-1, "review"), (2, "reverse"))
    factories.condition(TICKET)
    for n, hours in enumerate((-3, 0, 3)):
        tell("closed", hours, ticket=f"T{n}")
    settle_due(START + 20 * HOUR)
    for n, hours in enumerate((-2, 1, 4)):
        tell("reopened", hours, now=21, ticket=f"T{n}")
    assert dict(LateEvidence.objects.values_list("subject__key", "status")) == {"T0": "ignored", "T1": "waiting"}
    # Late evidence that comes before its window's end voids the third in truth: a reversal, and a void beside it.
    assert states() == ["confirmed", "confirmed", "reversed", "void"]
    audited(21)


def test_what_only_adds_an_outcome_is_booked() -> None:
    agree((-720, "review"))
    factories.condition(REPEATING)
    tell("closed", 0)
    settle_due(START + 6 * HOUR)
    tell("closed", 40)
    tell("reopened.later", 30, now=41)  # so the closing of hour 40 is a further success
    settle_due(START + 60 * HOUR)
    assert states() == ["confirmed", "confirmed"]
    assert not LateEvidence.objects.exists()
    audited(60)


def test_accepted_it_counts_and_is_not_to_be_accepted_twice() -> None:
    confirmed_then_reopened_late((-720, "review"))
    found = late.accept(LateEvidence.objects.get().pk, now=START + 10 * HOUR, actor="Ann", note="the log proves it")
    assert (found.status, found.decided_by, found.note) == ("accepted", "Ann", "the log proves it")
    assert states()[0] == "reversed"
    assert SubjectEvent.objects.count() == 2
    audited(10)
    for decide in (late.accept, late.ignore):
        with pytest.raises(late.Decided, match="accepted by Ann"):
            decide(found.pk, now=START + 11 * HOUR, actor="Bob", note="no")


def test_ignored_it_stands_for_good() -> None:
    confirmed_then_reopened_late((-720, "review"))
    found = late.ignore(LateEvidence.objects.get().pk, now=START + 10 * HOUR, actor="Ann", note="a test ticket")
    assert found.status == "ignored"
    with pytest.raises(late.Decided, match="ignored by Ann"):
        late.accept(found.pk, now=START + 11 * HOUR, actor="Bob", note="no")
    assert states() == ["confirmed"]
    audited(10)


def test_of_one_batch_only_what_would_take_back_is_left_out() -> None:
    agree((-720, "review"))
    factories.condition(TICKET)
    tell("closed", 0)
    settle_due(START + 6 * HOUR)
    kinds = [("closed", 2), ("reopened", 1), ("closed", 3), ("reopened", 4)]
    batch = [
        {
            "id": f"l{n}",
            "type": kind,
            "customer": "acme",
            "time": START + hour * HOUR,
            "data": {"ticket": "T", "units": 9 if hour == 3 else 1},
        }
        for n, (kind, hour) in enumerate(kinds)
    ]
    send(batch, now=START + 9 * HOUR)
    evaluate_waiting(START + 9 * HOUR)
    assert states() == ["confirmed"]
    # The closing of hour 3 would change the quantity that was billed: late evidence as well.
    assert sorted((found.time - START) / HOUR for found in LateEvidence.objects.all()) == [1, 3, 4]
    audited(9)


def test_a_later_condition_does_not_bring_it_in_again() -> None:
    """A new condition hears of the past; for the old one the event stays left out."""
    confirmed_then_reopened_late((-720, "review"))
    factories.condition(TICKET.replace("outcome solved", "outcome other").replace("settle after 5", "settle after 3"))
    plan(START + 10 * HOUR)
    evaluate_waiting(START + 10 * HOUR)
    settle_due(START + 10 * HOUR)
    assert list(Outcome.objects.filter(condition__slug="other").values_list("state", flat=True)) == ["void"]
    assert list(Outcome.objects.filter(condition__slug="solved").values_list("state", flat=True)) == ["confirmed"]
    assert LateEvidence.objects.count() == 1
    audited(10)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_confirmed_is_taken_back_unasked(seed: int) -> None:
    """Under `ignore`, whatever comes in whatever order: what was confirmed is only ever ended by its credit clause."""
    chance = random.Random(seed)
    agree((-720, "ignore"))
    factories.condition(chance.choice([TICKET, REPEATING]))
    now = START
    for n in range(40):
        now += chance.choice([0, 0.2, 1, 4]) * HOUR
        data = {"ticket": chance.choice("TU"), "units": n % 3}
        kind = chance.choice(["closed", "closed", "escalated", "reopened", "reopened.later"])
        time = now - chance.choice([0, 0, 0.5, 3, 12]) * HOUR
        send([{"id": f"e{n}", "type": kind, "customer": "acme", "time": time, "data": data}], now=now)
        if chance.random() < 0.7:
            evaluate_batch(now)
        if chance.random() < 0.5:
            settle_due(now)
    evaluate_waiting(now)
    settle_due(now + 999 * HOUR)
    taken_back = Journal.objects.filter(from_state="confirmed").exclude(clause="restated")
    assert set(taken_back.values_list("clause", flat=True)) <= {"credit"}
    audited((now - START) / HOUR + 999)


# --- the API ----------------------------------------------------------------------------------------------------------


def test_the_api_lists_and_decides(api: Api) -> None:
    confirmed_then_reopened_late((-720, "review"))
    [item] = api.get("/v1/late_evidence?status=waiting&customer=acme").json()["data"]
    assert (item["condition"], item["subject"], item["policy"], item["status"]) == ("solved", "T", "review", "waiting")
    assert item["event"].startswith("reopened@")
    assert api.get(f"/v1/late_evidence/{item['id']}").json() == item
    fate = api.get(f"/v1/events/{item['event']}?customer=acme").json()
    assert (fate["status"], fate["outcomes"], fate["late_evidence"]) == ("evaluated", [], [item])
    check_envelope(api.post(f"/v1/late_evidence/{item['id']}/accept", {}), 422, "invalid")
    done = api.post(f"/v1/late_evidence/{item['id']}/accept", {"note": "seen"}).json()
    assert (done["status"], done["note"]) == ("accepted", "seen")
    assert done["decided_by"].startswith("API key")
    error = check_envelope(api.post(f"/v1/late_evidence/{item['id']}/ignore", {"note": "x"}), 409, "already_decided")
    assert "accepted by API key" in error["message"]
    assert api.get(f"/v1/outcomes/{item['outcome']}").json()["state"] == "reversed"
    for path in ("late_01ARZ3NDEKTSV4RRFFQ69G5FAV", "out_x", "x"):
        check_envelope(api.get(f"/v1/late_evidence/{path}"), 404, "not_found")
        check_envelope(api.post(f"/v1/late_evidence/{path}/accept", {"note": "x"}), 404, "not_found")


@freeze_time(START + HOUR)
def test_the_api_takes_back_and_completes(api: Api) -> None:
    factories.customer()
    factories.condition(TICKET)
    tell("closed", 0)
    tell("closed", 0.1, ticket="U", units="many")
    by_subject = {row["subject"]: row for row in api.get("/v1/outcomes").json()["data"]}
    taken = f"/v1/outcomes/{by_subject['T']['id']}"
    check_envelope(api.post(f"{taken}/reverse", {}), 422, "invalid")
    check_envelope(api.post(f"{taken}/reverse", {"reason": "x", "why": "y"}), 422, "invalid")
    done = api.post(f"{taken}/reverse", {"reason": "a test ticket"}).json()
    assert done["state"] == "void"
    last = done["journal"][-1]
    assert (last["to"], last["cause"], last["reason"]) == ("void", "person", "a test ticket")
    assert last["actor"].startswith("API key")
    error = check_envelope(api.post(f"{taken}/reverse", {"reason": "again"}), 409, "not_possible")
    assert "is void" in error["message"]
    missing = f"/v1/outcomes/{by_subject['U']['id']}"
    assert by_subject["U"]["review"] == ["quantity_unknown"]
    check_envelope(api.post(f"{missing}/complete", {"reason": "x"}), 422, "invalid")
    check_envelope(api.post(f"{missing}/complete", {"quantity": "-1", "reason": "x"}), 422, "invalid")
    check_envelope(api.post(f"{missing}/complete", {"amount": "1", "reason": "x"}), 409, "not_possible")
    done = api.post(f"{missing}/complete", {"quantity": "3.5", "reason": "counted by hand"}).json()
    assert (done["quantity"], done["review"], done["state"]) == ("3.5", [], "provisional")
    check_envelope(api.post(f"{missing}/complete", {"quantity": "4", "reason": "x"}), 409, "not_possible")
    check_envelope(api.post("/v1/outcomes/out_x/reverse", {"reason": "x"}), 404, "not_found")


def test_the_api_needs_a_key_that_may_write(make_key: Any, api: Api) -> None:
    reader = Api(make_key("read"))
    factories.customer()
    factories.condition(TICKET)
    tell("closed", 0)
    found = api.get("/v1/outcomes").json()["data"][0]["id"]
    for path in (f"outcomes/{found}/reverse", f"outcomes/{found}/complete", "late_evidence/x/accept"):
        check_envelope(reader.post(f"/v1/{path}", {"reason": "x", "note": "x"}), 403, "missing_scope")
