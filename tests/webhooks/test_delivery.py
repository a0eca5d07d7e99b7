"""At least once, in order per outcome, whatever the receivers, the workers and the clock do."""

import itertools
import json
import os
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from access import ids
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal
from settlement.sweep import settle_due
from tests.access.conftest import Api
from tests.contracts.test_races import meanwhile
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once, uncommitted
from tests.project.running import wait_until
from tests.webhooks.conftest import Received, Receiver, subscribe
from webhooks import delivery, endpoints, schedule
from webhooks.catalog import ENDPOINT_DISABLED, TEST
from webhooks.delivery import deliver_due, due, record, reserve
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.publish import News, enqueue, publish
from webhooks.sending import Answer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
# How many weeks of failures are played; `DELIVERY_SEEDS=50` for more.
SEEDS = int(os.environ.get("DELIVERY_SEEDS", "1"))
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))


def queue(endpoint: Endpoint, *abouts: str, now: datetime = NOW) -> list[Delivery]:
    """One message about each of these."""
    return enqueue(endpoint, [News("invoice.issued", about, now, {"n": n}) for n, about in enumerate(abouts)], now=now)


def in_order(requests: list[Received]) -> dict[str, list[int]]:
    """What was told of each thing, in the order of arrival."""
    told: dict[str, list[int]] = defaultdict(list)
    abouts = dict(Delivery.objects.values_list("uid", "about"))
    by_id = {Delivery(uid=uid).public_id: about for uid, about in abouts.items()}
    for request in requests:
        told[by_id[request.id]].append(json.loads(request.body)["data"]["n"])
    return told


# --- The whole way ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(SEEDS))
def test_hours_of_failure_and_then_everything_in_order(receiver: Receiver, seed: int) -> None:
    """Events over a week go through evaluation and settlement, while the receiver is down for nine hours, then fails
    two times in five, then is well. Everything the journal says arrives; of each outcome in the journal's order.
    """
    chance = random.Random(seed)
    start = NOW
    to = subscribe(receiver, "outcome.provisional", "outcome.confirmed", "outcome.voided", "outcome.missed",
                   "outcome.reversed", now=start)  # fmt: skip
    factories.customer()
    factories.condition(TICKET)
    clock = [start]

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        since = clock[0] - start
        if since < 9 * HOUR:
            return 503, {}, b"down"
        return (500 if since < 20 * HOUR and chance.random() < 0.4 else 200), {}, b""

    receiver.answer = answer
    kinds = ["closed", "closed", "closed", "reopened", "escalated"]
    for step in range(0, 30 * 60, 30):  # half an hour at a time, thirty hours
        clock[0] = start + step * MINUTE
        for _ in range(3):
            factories.say(chance.choice(kinds), clock[0] - chance.random() * HOUR, now=clock[0],
                          ticket=f"T{chance.randrange(40)}", nonce=chance.random())  # fmt: skip
        evaluate_waiting(clock[0])
        settle_due(clock[0])
        deliver_due(clock[0])
    for hours in range(31, 181, 6):
        clock[0] = start + hours * HOUR
        settle_due(clock[0])
        deliver_due(clock[0])
    names = {"provisional": "provisional", "confirmed": "confirmed", "void": "voided", "missed": "missed",
             "reversed": "reversed", "superseded": "voided"}  # fmt: skip
    expected: dict[str, list[str]] = defaultdict(list)
    for row in Journal.objects.order_by("id"):
        change = (row.from_state, row.to_state)
        if row.to_state in names and row.from_state != row.to_state and change != ("open", "superseded"):
            expected[ids.encode("out", row.outcome_id)].append(f"outcome.{names[row.to_state]}")
    found: dict[str, list[str]] = defaultdict(list)
    for request in receiver.accepted:
        body = json.loads(request.body)
        found[body["data"]["id"]].append(body["type"])
    assert sum(map(len, expected.values())) > 60
    assert found == expected
    assert {name for told in expected.values() for name in told} >= {"outcome.provisional", "outcome.confirmed"}
    assert Counter(Delivery.objects.values_list("status", flat=True)) == {"accepted": sum(map(len, expected.values()))}
    # The log has every request, with its answer.
    assert Attempt.objects.count() == len(receiver.requests) > len(receiver.accepted)
    answered = Counter(request.status for request in receiver.requests)
    assert Counter(Attempt.objects.values_list("status_code", flat=True)) == answered
    to.refresh_from_db()
    assert (to.status, to.failures, to.failing_since) == ("enabled", 0, None)


@pytest.mark.django_db
def test_one_outcome_that_fails_holds_up_only_itself(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, "a", "b", "a", "c", "a", "b")
    receiver.answer = lambda request: (500 if json.loads(request.body)["data"]["n"] == 0 else 200, {}, b"")
    assert deliver_due(NOW) == 4
    assert in_order(receiver.accepted) == {"b": [1, 5], "c": [3]}
    receiver.answers(200)
    deliver_due(NOW + MINUTE)
    assert in_order(receiver.accepted) == {"b": [1, 5], "c": [3], "a": [0, 2, 4]}


@pytest.mark.django_db
def test_what_is_given_up_no_longer_holds_up_the_next(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    first, _ = queue(to, "a", "a")

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        return (400 if request.id == first.public_id else 200), {}, b"cannot read this"

    receiver.answer = answer
    now = NOW
    times = []
    while first.status == "waiting":
        now = max(first.next_attempt_at, now)
        # Another message gets through now and then, so that the endpoint as a whole is no failure.
        queue(to, f"other{len(times)}", now=now)
        deliver_due(now)
        times.append(now - NOW)
        first.refresh_from_db()
    assert len(times) == schedule.ATTEMPTS == first.attempts
    for before, after, pause in zip(times, times[1:], schedule.PAUSES, strict=False):
        assert pause <= after - before <= pause * 1.21 + MINUTE
    assert first.status == "failed" and first.finished_at is not None
    assert [attempt.answer for attempt in first.log.all()] == ["cannot read this"] * schedule.ATTEMPTS
    assert in_order(receiver.accepted)["a"] == [1]
    to.refresh_from_db()
    assert to.disabled_at is None


@pytest.mark.django_db
def test_every_attempt_has_the_same_id_and_body_and_its_own_timestamp(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    [message] = queue(to, "a")
    receiver.answers(500)
    deliver_due(NOW)
    receiver.answers(200)
    deliver_due(NOW + HOUR)
    first, second = receiver.requests
    assert first.id == second.id == message.public_id
    assert first.body == second.body == message.body
    sent = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert [at - int(NOW.timestamp()) for at in sent] == [0, 3600]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


# --- Bounds -----------------------------------------------------------------------------------------------------------


def slowly(until: threading.Event) -> Callable[[Received], tuple[int, dict[str, str], bytes]]:
    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        until.wait(60)
        return 200, {}, b""

    return answer


@pytest.mark.django_db
def test_a_slow_receiver_does_not_hold_up_another(make_receiver: Callable[[], Receiver]) -> None:
    slow, quick = make_receiver(), make_receiver()
    release = threading.Event()
    slow.answer = slowly(release)
    queue(subscribe(slow, now=NOW), *[f"s{n}" for n in range(20)])
    queue(subscribe(quick, now=NOW), *[f"q{n}" for n in range(50)])

    def let_go(request: Received) -> tuple[int, dict[str, str], bytes]:
        if len(quick.requests) == 49:  # the last one: only now may the slow one answer, once all that may have asked it
            wait_until(lambda: slow.most_at_once == delivery.PER_ENDPOINT, 10)
            release.set()
        return 200, {}, b""

    quick.answer = let_go
    assert deliver_due(NOW) == 70
    assert (len(slow.accepted), len(quick.accepted)) == (20, 50)
    assert slow.most_at_once == delivery.PER_ENDPOINT


@pytest.mark.django_db
def test_a_run_ends_in_time_and_leaves_the_rest(receiver: Receiver) -> None:
    queue(subscribe(receiver, now=NOW), *[f"a{n}" for n in range(40)])
    assert deliver_due(NOW, seconds=0) == 0
    assert deliver_due(NOW) == 40


@pytest.mark.django_db
def test_due_messages_are_found_by_an_index(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO webhooks_delivery (uid, endpoint_id, type, about, body, created_at, status, attempts, tries,
                next_attempt_at, finished_at)
            SELECT gen_random_uuid(), %(to)s, 'invoice.issued', 'a' || n, '{}', %(now)s,
                CASE WHEN n %% 1000 = 0 THEN 'waiting' ELSE 'accepted' END, 1, 1, %(now)s,
                CASE WHEN n %% 1000 = 0 THEN NULL ELSE %(now)s END
            FROM generate_series(1, 50000) n
            """,
            {"to": to.pk, "now": NOW},
        )
        cursor.execute("ANALYZE webhooks_delivery")
    plan = due(to, NOW).explain()
    assert "hook_due" in plan and "Seq Scan" not in plan, plan
    assert due(to, NOW).count() == 50


# --- Workers ----------------------------------------------------------------------------------------------------------


def test_workers_at_once_send_each_message_once(committed: None, make_receiver: Callable[[], Receiver]) -> None:
    receivers = [make_receiver() for _ in range(3)]
    for receiver in receivers:
        queue(subscribe(receiver, now=NOW), *[f"a{n % 25}" for n in range(100)])
    assert sum(at_once(*[lambda: deliver_due(NOW)] * 4)) + deliver_due(NOW) == 300
    for receiver in receivers:
        assert len({request.id for request in receiver.requests}) == len(receiver.requests) == 100
        assert receiver.most_at_once <= delivery.PER_ENDPOINT
    told = in_order(receivers[0].requests)
    assert all(numbers == sorted(numbers) for numbers in told.values()) and len(told) == 25
    assert Attempt.objects.count() == 300


def test_reservations_at_once_do_not_overlap(committed: None, receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, *[f"a{n}" for n in range(30)])
    reserved = list(itertools.chain(*at_once(*[lambda: reserve(to.pk, NOW, room=32)] * 8)))
    assert len(reserved) == len({sending.delivery for sending in reserved}) == delivery.PER_ENDPOINT
    assert reserve(to.pk, NOW, room=32) == []


def test_no_transaction_is_open_while_something_is_sent(committed_api: Api, receiver: Receiver) -> None:
    seen: list[Any] = []

    def look(request: Received) -> tuple[int, dict[str, str], bytes]:
        seen.append(
            watcher.execute(
                "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            ).fetchall()
        )
        return 200, {}, b""

    receiver.answer = look
    parameters = connection.get_connection_params()
    with connection.get_new_connection(parameters) as watcher:
        watcher.autocommit = True
        to = subscribe(receiver, now=NOW)
        answer = committed_api.post(f"/v1/webhook_endpoints/{to.public_id}/test", Idempotency_Key="k")
        assert answer.status_code == 200
        queue(to, "a")
        deliver_due(NOW)
    assert seen == [[], []]


@pytest.mark.django_db
def test_a_worker_that_dies_between_reserving_and_recording(receiver: Receiver) -> None:
    """The message is sent again when the lease is over, under the same id; the log shows the attempt without an end."""
    to = subscribe(receiver, now=NOW)
    [message] = queue(to, "a")
    [sending] = reserve(to.pk, NOW, room=1)
    assert deliver_due(NOW + 30 * SECOND) == 0
    assert deliver_due(NOW + delivery.LEASE) == 1
    assert [request.id for request in receiver.requests] == [message.public_id]
    assert [(one.number, one.status_code, one.ms is None) for one in message.log.all()] == [
        (1, None, True),
        (2, 200, False),
    ]
    # It comes back from the dead: its failure is noted and changes nothing.
    record(sending, Answer(None, "Too slow.", ms=90_000), now=NOW + 2 * MINUTE)
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("accepted", 2)
    assert message.log.get(number=1).error == "Too slow."


@pytest.mark.django_db
def test_a_late_success_counts_and_a_late_failure_does_not(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    for answer, status in ((Answer(200, ""), "accepted"), (Answer(500, "Answered 500."), "waiting")):
        [message] = queue(to, status)
        [late] = reserve(to.pk, NOW, room=1)
        [again] = reserve(to.pk, NOW + delivery.LEASE, room=1)
        record(late, answer, now=NOW + 2 * MINUTE)
        message.refresh_from_db()
        assert message.status == status
        assert (message.leased_until is None) == (status == "accepted"), "the second attempt is still under way"
        record(again, Answer(200, ""), now=NOW + 2 * MINUTE)
        message.refresh_from_db()
        assert message.status == "accepted"


@pytest.mark.django_db
def test_an_endpoint_deleted_while_something_is_on_its_way(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, "a", "b")
    sendings = reserve(to.pk, NOW, room=2)
    endpoints.delete(to.pk)
    for sending in sendings:
        record(sending, Answer(200, ""), now=NOW)
    assert not Delivery.objects.exists() and not Attempt.objects.exists()


def test_a_message_that_is_being_queued_is_deleted_with_its_endpoint(committed: None, receiver: Receiver) -> None:
    """Whoever publishes holds the endpoint's key: a delete waits, and neither fails."""
    to = subscribe(receiver, now=NOW)
    with meanwhile(lambda: endpoints.delete(to.pk)) as other:
        publish("invoice.issued", "inv_1", dict, now=NOW)
    assert other.result is None
    assert not Endpoint.objects.exists() and not Delivery.objects.exists()


def test_publishing_waits_for_no_worker(committed: None, receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, "a")
    with uncommitted(lambda: reserve(to.pk, NOW, room=1)), connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
        publish("invoice.issued", "inv_1", dict, now=NOW)
        assert reserve(to.pk, NOW, room=1) == [], "another reserves for it: passed over"
    assert Delivery.objects.count() == 2


# --- Health -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_breaker_sends_one_at_a_time_while_it_fails_and_all_when_it_is_well(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, *[f"a{n}" for n in range(60)])
    receiver.answers(500)
    now = NOW
    deliver_due(now)
    first_burst = len(receiver.requests)
    assert first_burst <= schedule.BREAKER_AFTER + delivery.PER_ENDPOINT
    to.refresh_from_db()
    assert to.status == "failing" and to.resume_at is not None
    for _ in range(6):
        before = len(receiver.requests)
        to.refresh_from_db()
        assert to.resume_at is not None
        assert deliver_due(to.resume_at - SECOND) == 0
        deliver_due(to.resume_at)
        assert len(receiver.requests) == before + 1
    receiver.answers(200)
    to.refresh_from_db()
    assert to.resume_at is not None
    deliver_due(to.resume_at + HOUR)
    assert len(receiver.accepted) == 60
    to.refresh_from_db()
    assert (to.status, to.failures, to.resume_at, to.failing_since) == ("enabled", 0, None, None)


@pytest.mark.django_db
def test_retry_after_of_a_429_pauses_the_endpoint(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    [message] = queue(to, "a")
    receiver.answers(429, Retry_After="300")
    deliver_due(NOW)
    queue(to, "b")
    assert deliver_due(NOW + 4 * MINUTE) == 0
    receiver.answers(200)
    assert deliver_due(NOW + 6 * MINUTE) == 2
    message.refresh_from_db()
    assert message.status == "accepted"


@pytest.mark.django_db
def test_410_disables_at_once_and_the_message_waits(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, "a", "a")
    receiver.answers(410)
    assert deliver_due(NOW) == 1
    to.refresh_from_db()
    assert (to.status, to.disabled_at is not None, to.disabled_reason) == ("disabled", True, "gone")
    assert "webhook_endpoint_disabled" in caplog.text
    receiver.answers(200)
    assert deliver_due(NOW + 30 * DAY) == 0
    endpoints.change(to.pk, enabled=True, now=NOW + DAY)
    deliver_due(NOW + DAY)
    assert in_order(receiver.accepted) == {"a": [0, 1]}


@pytest.mark.django_db
def test_days_without_a_success_disable_before_anything_is_given_up(
    receiver: Receiver, make_receiver: Callable[[], Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    watcher = make_receiver()
    subscribe(watcher, ENDPOINT_DISABLED, now=NOW)
    to = subscribe(receiver, now=NOW)
    queue(to, *[f"a{n % 3}" for n in range(30)])
    receiver.answers(500, b"broken")
    now = NOW
    while to.disabled_at is None:
        now = max(now + HOUR, to.resume_at or now)
        deliver_due(now)
        to.refresh_from_db()
    assert schedule.DISABLE_AFTER <= to.disabled_at - NOW < schedule.DISABLE_AFTER + 2 * DAY  # type: ignore[operator]
    assert (to.disabled_reason, to.last_error) == ("failing", "Answered 500.")
    assert Counter(Delivery.objects.filter(endpoint=to).values_list("status", flat=True)) == {"waiting": 30}
    # The others are told; the endpoint itself is not.
    deliver_due(now)
    [told] = watcher.requests
    body = json.loads(told.body)
    assert body["type"] == "endpoint.disabled" and body["data"]["id"] == to.public_id
    assert body["data"]["last_error"] == "Answered 500."
    # Mended and enabled, it gets everything, in order, with all its tries before it.
    receiver.answers(200)
    endpoints.change(to.pk, enabled=True, now=now + DAY)
    deliver_due(now + DAY)
    assert in_order(receiver.accepted) == {f"a{n}": list(range(n, 30, 3)) for n in range(3)}


@pytest.mark.django_db
def test_a_ping_is_sent_once_and_touches_no_health(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, to.public_id)  # waits, and does not hold the ping up
    endpoints.change(to.pk, enabled=False, now=NOW)
    receiver.answers(500, b"oh")
    message = endpoints.ping(to.pk, now=NOW)
    assert (message.type, message.status, message.attempts) == (TEST, "failed", 1)
    receiver.answers(204)
    assert endpoints.ping(to.pk, now=NOW).status == "accepted"
    to.refresh_from_db()
    assert (to.failures, to.last_failure_at, to.last_success_at, to.status) == (0, None, None, "disabled")


# --- Sending again ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_resend_one_and_all_since(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    old, failed, waits, accepted = queue(to, "old", "failed", "waits", "accepted")
    Delivery.objects.filter(pk=old.pk).update(created_at=NOW - HOUR)
    Delivery.objects.filter(pk__in=[old.pk, failed.pk]).update(status="failed", finished_at=NOW, tries=12, attempts=12)
    Delivery.objects.filter(pk=accepted.pk).update(status="accepted", finished_at=NOW, tries=1, attempts=1)
    Delivery.objects.filter(pk=waits.pk).update(next_attempt_at=NOW + DAY, tries=7, attempts=7)
    assert endpoints.resend_since(to.pk, NOW, now=NOW) == 2
    assert deliver_due(NOW) == 2
    assert set(in_order(receiver.accepted)) == {"failed", "waits"}
    endpoints.resend(accepted, now=NOW)
    assert deliver_due(NOW) == 1
    assert receiver.requests[-1].id == accepted.public_id
    accepted.refresh_from_db()
    assert (accepted.status, accepted.attempts, accepted.tries) == ("accepted", 2, 1)


@pytest.mark.django_db
def test_what_is_on_its_way_is_not_queued_again(receiver: Receiver) -> None:
    to = subscribe(receiver, now=NOW)
    [message] = queue(to, "a")
    reserve(to.pk, NOW, room=1)
    assert endpoints.resend_since(to.pk, NOW, now=NOW) == 0
    endpoints.resend(message, now=NOW)
    assert deliver_due(NOW) == 0


@pytest.mark.django_db
def test_a_new_url_gets_what_waits(receiver: Receiver, make_receiver: Callable[[], Receiver]) -> None:
    to = subscribe(receiver, now=NOW)
    queue(to, "a")
    receiver.answers(500)
    deliver_due(NOW)
    moved = make_receiver()
    endpoints.change(to.pk, url=moved.url, now=NOW)
    deliver_due(NOW + MINUTE)
    assert (len(receiver.requests), len(moved.accepted)) == (1, 1)


# --- Retention --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_retention(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SWEEP_BATCH", 3)
    to, disabled = subscribe(receiver, now=NOW), subscribe(receiver, now=NOW)
    queue(to, *"abcdefg")
    deliver_due(NOW)
    queue(to, "waits")
    queue(disabled, "waits for long")
    endpoints.change(disabled.pk, enabled=False, now=NOW)
    assert endpoints.sweep(now=NOW + endpoints.KEPT - SECOND) == 0
    assert endpoints.sweep(now=NOW + endpoints.KEPT + SECOND) == 8
    assert [message.about for message in Delivery.objects.all()] == ["waits"]
    assert not Attempt.objects.exists()
