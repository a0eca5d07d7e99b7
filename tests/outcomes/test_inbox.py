"""The inbox: found by filters, counted by reason, retried and dismissed one by one, by selection and in portions."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from freezegun import freeze_time

from access import ids
from outcomes import imports, inbox
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, Import, InboxItem, Outcome, Pending
from outcomes.queries import IMPORT_PREFIX, find_import
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_api import answer
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once

NOW = START + timedelta(days=60)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def event(name: str, *, customer: str = "globex", **fields: Any) -> dict[str, Any]:
    shown = {"id": name, "type": "closed", "customer": customer, "time": NOW - HOUR, "data": {"ticket": name}}
    return shown | fields


def public(found: Import) -> str:
    return ids.encode(IMPORT_PREFIX, found.id)


@pytest.fixture
def frozen() -> Any:
    with freeze_time(NOW):
        yield


@pytest.fixture
def world(db: None, frozen: None) -> Import:
    """What waits: two of globex (one of them in an import), one too old, one that is no event, one without a key."""
    factories.customer()
    factories.condition(TICKET)
    opened = imports.open_import(name="history", now=NOW)
    send([event("g1")], now=NOW - 2 * HOUR)
    send([event("g2", type="escalated")], now=NOW - HOUR, import_id=opened.id)
    send([event("old", customer="acme", time=START - DAY), event("bad", customer="acme", x=1)], now=NOW)
    send([event("keyless", customer="acme", data={})], now=NOW, import_id=opened.id)
    evaluate_waiting(NOW)
    return opened


def listed(api: Api, **query: str) -> list[str]:
    return [item["event_id"] for item in answer(api.get(f"/v1/inbox?{urlencode(query)}"))["data"]]


def item(name: str) -> InboxItem:
    return InboxItem.objects.get(event_id=name)


# --- reading ----------------------------------------------------------------------------------------------------------

FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["keyless", "bad", "old", "g2", "g1"]),
    ({"type": "escalated"}, ["g2"]),
    ({"event_id": "old"}, ["old"]),
    ({"customer": "globex", "type": "closed"}, ["g1"]),
    ({"received_from": "2026-03-01T23:00:00Z"}, ["keyless", "bad", "old", "g2"]),
    ({"received_to": "2026-03-01T23:00:00Z"}, ["g1"]),
    ({"received_from": "2026-03-01T23:00:00+00:00", "received_to": "2026-03-02T00:00:00Z"}, ["g2"]),
    ({"import": "", "reason": "unknown_customer"}, ["g2"]),
    ({"import": ""}, ["keyless", "g2"]),
    ({"status": "dismissed"}, []),
]


@pytest.mark.parametrize(("query", "names"), FILTERS)
def test_every_filter_of_the_list_and_of_the_summary(
    api: Api, world: Import, query: dict[str, str], names: list[str]
) -> None:
    query = query | ({"import": public(world)} if "import" in query else {})
    assert listed(api, **query) == names
    counted = answer(api.get(f"/v1/inbox/summary?{urlencode(query)}"))
    assert counted["count"] == len(names) == sum(entry["count"] for entry in counted["by_reason"])


def test_the_summary_counts_by_reason_and_tells_since_when(api: Api, world: Import) -> None:
    assert answer(api.get("/v1/inbox/summary")) == {
        "status": "waiting",
        "count": 5,
        "oldest_received_at": "2026-03-01T22:00:00Z",
        "by_reason": [
            {"reason": "unknown_customer", "count": 2, "oldest_received_at": "2026-03-01T22:00:00Z"},
            {"reason": "invalid", "count": 1, "oldest_received_at": "2026-03-02T00:00:00Z"},
            {"reason": "missing_key", "count": 1, "oldest_received_at": "2026-03-02T00:00:00Z"},
            {"reason": "too_old", "count": 1, "oldest_received_at": "2026-03-02T00:00:00Z"},
        ],
    }
    empty = answer(api.get("/v1/inbox/summary?status=resolved"))
    assert empty == {"status": "resolved", "count": 0, "oldest_received_at": None, "by_reason": []}


def test_one_item_is_read_by_its_id(api: Api, world: Import) -> None:
    told = answer(api.get(f"/v1/inbox/{item('g2').id}"))
    assert (told["event_id"], told["import"], told["note"], told["handled_by"]) == ("g2", public(world), None, None)
    for unknown in ("0", "9" * 30, "x", "-1", "١"):
        for method, path in (("GET", ""), ("POST", "/retry"), ("POST", "/dismiss")):
            body = {"note": "x"} if path == "/dismiss" else None
            check_envelope(api(method, f"/v1/inbox/{unknown}{path}", body), 404, "not_found")


@pytest.mark.parametrize("query", ["import=imp_1", "received_from=today", "event=1", "type=a&type=b", "status=all"])
def test_filters_that_mean_nothing_are_refused(api: Api, query: str) -> None:
    for path in ("/v1/inbox", "/v1/inbox/summary"):
        check_envelope(api.get(f"{path}?{query}"), 400, "invalid_parameter")


@pytest.mark.django_db
def test_counting_what_waits_reads_no_resolved_item() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO outcomes_inboxitem (seq, customer_key, event_id, type, body, reason, message, status, attempts,
                                            received_at, note, handled_by)
            SELECT n, 'acme', 'e' || n, 'closed', '{}', CASE WHEN n %% 2 = 0 THEN 'invalid' ELSE 'too_old' END, '',
                   CASE WHEN n %% 1000 = 0 THEN 'waiting' ELSE 'resolved' END, 0, now(), '', ''
            FROM generate_series(1, 50000) n
            """,
            [],
        )
        cursor.execute("ANALYZE outcomes_inboxitem")
        assert [(entry.reason, entry.count) for entry in inbox.summary(inbox.waiting())] == [("invalid", 50)]
        for items in (inbox.waiting(), inbox.waiting(reason="invalid"), inbox.waiting().order_by("id")[:10]):
            plan = json.loads(items.explain(format="json", analyze=True, buffers=True))[0]["Plan"]
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 120, plan


# --- retrying ---------------------------------------------------------------------------------------------------------


def test_one_item_is_retried(api: Api, world: Import) -> None:
    told = answer(api.post(f"/v1/inbox/{item('g1').id}/retry"))
    assert (told["status"], told["reason"], told["attempts"]) == ("waiting", "unknown_customer", 1)
    assert told["handled_by"] == "API key test"
    factories.customer("globex")
    told = answer(api.post(f"/v1/inbox/{item('g1').id}/retry"))
    assert (told["status"], told["attempts"], told["resolved_at"]) == ("resolved", 2, "2026-03-02T00:00:00Z")
    assert Event.objects.filter(event_id="g1").exists()
    error = check_envelope(api.post(f"/v1/inbox/{item('g1').id}/retry"), 409, "not_waiting")
    assert "resolved since 2026-03-02T00:00:00Z" in error["message"]
    check_envelope(api.post(f"/v1/inbox/{item('g1').id}/dismiss", {"note": "x"}), 409, "not_waiting")
    check_envelope(api.post(f"/v1/inbox/{item('g2').id}/retry", {"now": 1}), 422, "invalid")


def test_the_items_of_an_import_are_retried_and_dismissed_by_its_id(api: Api, world: Import) -> None:
    factories.customer("globex")
    done = answer(api.post("/v1/inbox/retry", {"import": public(world), "reason": "unknown_customer"}))
    assert (done["accepted"], done["rejected"]) == (1, 0)
    assert answer(api.post("/v1/inbox/dismiss", {"import": public(world), "note": "a test"})) == {
        "dismissed": 1,
        "remaining": 0,
    }
    assert listed(api) == ["bad", "old", "g1"]


def test_very_many_are_retried_in_portions_each_once(api: Api, world: Import, monkeypatch: Any) -> None:
    monkeypatch.setattr(inbox, "AT_ONCE", 3)
    monkeypatch.setattr(inbox, "BATCH", 2)
    send([event(f"more{n}") for n in range(5)], now=NOW)
    send([event(f"bad{n}", x=n) for n in range(2)], now=NOW)
    factories.customer("globex")
    asked: dict[str, Any] = {"all": True}
    total: Counter[str] = Counter()
    remaining = []
    while True:
        done = answer(api.post("/v1/inbox/retry", asked))
        remaining.append(done.pop("remaining"))
        asked["after"] = done.pop("after")
        total += Counter(done)
        if asked["after"] is None:
            break
    assert remaining == [9, 6, 3, 0]
    # g1, g2, more0 to more4 and the one without a key; of what is still wrong, each was tried once.
    assert total == {"accepted": 8, "rejected": 4}
    assert set(InboxItem.objects.filter(status="waiting").values_list("attempts", flat=True)) == {1}
    assert answer(api.post("/v1/inbox/dismiss", {"all": True, "note": "done"})) == {"dismissed": 3, "remaining": 1}
    assert answer(api.post("/v1/inbox/dismiss", {"all": True, "note": "done"})) == {"dismissed": 1, "remaining": 0}


def test_an_event_that_came_in_time_is_not_too_old_once_its_cause_is_mended(world: Import) -> None:
    send([event("timely", time=NOW - 34 * DAY)], now=NOW)
    factories.customer("globex")
    assert inbox.retry(inbox.waiting(reason="unknown_customer"), now=NOW + 300 * DAY) == Counter(accepted=3)
    assert Event.objects.get(event_id="timely").received_at == NOW + 300 * DAY
    assert inbox.retry(inbox.waiting(reason="too_old"), now=NOW + 300 * DAY) == Counter(rejected=1)


def test_history_of_an_import_is_of_any_age_also_when_it_is_retried_after_the_close(world: Import) -> None:
    for name, customer in (("h1", "globex"), ("h2", "initech")):
        send([event(name, customer=customer, time=NOW - 900 * DAY)], now=NOW, import_id=world.id)
    factories.customer("globex")
    inbox.retry(inbox.waiting(reason="unknown_customer"), now=NOW)
    imports.close_import(world.id, now=NOW)
    factories.customer("initech")
    assert inbox.retry(inbox.waiting(reason="unknown_customer"), now=NOW + DAY) == Counter(accepted=1)
    late = Event.objects.get(event_id="h2")
    assert (late.time, late.batch_import_id) == (NOW - 900 * DAY, None)
    evaluate_waiting(NOW + DAY)
    settle_due(NOW + DAY)
    assert Outcome.objects.get(subject__key="h2").state == "confirmed"


def test_an_item_that_is_no_event_keeps_what_was_first_said_of_it(world: Import) -> None:
    InboxItem.objects.filter(event_id="bad").update(message="Row 7: the cell `time` is empty.")
    inbox.retry(inbox.waiting(reason="invalid"), now=NOW)
    assert (item("bad").message, item("bad").attempts) == ("Row 7: the cell `time` is empty.", 1)


def test_a_retry_moves_the_tally_of_its_import(world: Import) -> None:
    send([event("g3"), event("g4"), event("g3")], now=NOW, import_id=world.id)
    found = find_import(world.id)
    assert (found.accepted, found.duplicates, found.rejected, found.waiting) == (1, 0, 4, 4)
    factories.customer("globex")
    send([event("g3")], now=NOW)
    inbox.retry(inbox.waiting(import_id=world.id), now=NOW)
    found = find_import(world.id)
    assert (found.accepted, found.duplicates, found.rejected, found.waiting) == (3, 1, 1, 0)


# --- dismissing -------------------------------------------------------------------------------------------------------


def test_dismissed_with_a_note_and_by_whom_it_stays_readable(api: Api, world: Import) -> None:
    told = answer(api.post(f"/v1/inbox/{item('bad').id}/dismiss", {"note": "a test of the sender"}))
    assert (told["status"], told["note"], told["handled_by"]) == ("dismissed", "a test of the sender", "API key test")
    assert listed(api, status="dismissed") == ["bad"]
    assert "bad" not in listed(api)
    chosen = [item("g1").id, item("old").id, 2**62]
    assert answer(api.post("/v1/inbox/dismiss", {"ids": chosen, "note": "n"})) == {"dismissed": 2, "remaining": 0}
    done = answer(api.post("/v1/inbox/dismiss", {"reason": "missing_key", "note": "n"}))
    assert done == {"dismissed": 1, "remaining": 0}
    assert listed(api) == ["g2"]


@pytest.mark.parametrize(
    "body",
    [{"all": True}, {"note": "n"}, {"all": True, "note": ""}, {"all": True, "note": "n", "after": 1}, {"ids": [1]}],
)
def test_a_dismissal_says_which_and_why(api: Api, world: Import, body: dict[str, Any]) -> None:
    check_envelope(api.post("/v1/inbox/dismiss", body), 422, "invalid")
    assert set(InboxItem.objects.values_list("status", flat=True)) == {"waiting"}


@pytest.mark.usefixtures("committed")
def test_retries_and_dismissals_at_once_count_each_item_once() -> None:
    send([event(f"e{n}") for n in range(60)], now=NOW)
    factories.customer("globex")
    # Appended to, which is one step: `+=` reads before the call and writes after it, and would lose the other's.
    retried: list[Counter[str]] = []
    counted: list[int] = []

    def retry() -> None:
        retried.append(Counter(inbox.retry(inbox.waiting(), now=NOW)))

    def dismiss() -> None:
        chosen = list(inbox.waiting().order_by("-id").values_list("id", flat=True)[:40])
        counted.append(inbox.dismiss(inbox.waiting(ids=chosen), now=NOW))

    at_once(retry, dismiss, retry, dismiss)
    accepted, dismissed = sum(retried, Counter[str]()), sum(counted)
    statuses = Counter(InboxItem.objects.values_list("status", flat=True))
    assert statuses == Counter(resolved=accepted["accepted"], dismissed=dismissed)
    assert statuses.total() == 60
    assert Pending.objects.count() == Event.objects.count() == accepted["accepted"] == accepted.total()
