"""Idempotency-Key: done once, answered the same; races on real connections; crashes block nobody."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpResponse
from django.utils import timezone

from access import idempotency, keys
from access.models import ApiKey, IdempotencyRecord
from access.tasks import sweep_idempotency
from tests.access import endpoints
from tests.access.conftest import Api, check_envelope

pytestmark = pytest.mark.usefixtures("own_urls")

PATHS = ["/v1/things", "/v1/recorded_things"]


def created() -> int:
    return ApiKey.objects.exclude(name="test").count()


@pytest.mark.parametrize("path", PATHS)
def test_the_first_answer_is_replayed(api: Api, path: str) -> None:
    first = api.post(path, {"name": "x"}, Idempotency_Key="one")
    again = api.post(path, {"name": "x"}, Idempotency_Key="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first["Location"] == again["Location"]
    assert first["Content-Type"] == again["Content-Type"] == "application/json"
    assert not first.has_header("Idempotent-Replayed")
    assert again["Idempotent-Replayed"] == "true"
    assert first["X-Request-Id"] != again["X-Request-Id"]
    assert created() == 1


@pytest.mark.parametrize("path", PATHS)
def test_another_body_under_the_key(api: Api, path: str) -> None:
    assert api.post(path, {"name": "x"}, Idempotency_Key="one").status_code == 201
    check_envelope(api.post(path, {"name": "y"}, Idempotency_Key="one"), 409, "idempotency_key_reused")
    assert created() == 1


@pytest.mark.parametrize(
    "body",
    [b'{"b":[1.0,2],"a":"x"}', b' { "a" : "x", "b" : [ 1, 2.00 ] } ', b'{"a":"\\u0078","b":[1e0,2]}'],
)
def test_the_same_meaning_is_the_same_body(api: Api, body: bytes) -> None:
    first = api.post("/v1/raw", b'{"a":"x","b":[1,2]}', Idempotency_Key="one")
    again = api.post("/v1/raw", body, Idempotency_Key="one")
    assert again["Idempotent-Replayed"] == "true"
    assert again.content == first.content


@pytest.mark.parametrize(
    "body",
    [b'{"a":"x","b":[2,1]}', b'{"a":"X","b":[1,2]}', b'{"a":"x","b":["1",2]}', b'{"a":"x","b":[true,2]}', b"{}", b"[]"],
)
def test_another_meaning_is_another_body(api: Api, body: bytes) -> None:
    api.post("/v1/raw", b'{"a":"x","b":[1,2]}', Idempotency_Key="one")
    check_envelope(api.post("/v1/raw", body, Idempotency_Key="one"), 409, "idempotency_key_reused")


def test_keys_are_compared_byte_by_byte(api: Api) -> None:
    for key in ("abc", "ABC", "abc!", "a b c"):
        assert api.post("/v1/things", {"name": "x"}, Idempotency_Key=key).status_code == 201
    assert created() == 4


def test_a_key_belongs_to_caller_and_path(api: Api, make_key: Callable[..., str]) -> None:
    other = Api(make_key("admin"))
    for caller in (api, other):
        for path in PATHS:
            assert not caller.post(path, {"name": "x"}, Idempotency_Key="one").has_header("Idempotent-Replayed")
    assert created() == 4


def test_without_a_key_everything_is_done(api: Api) -> None:
    for _ in range(2):
        api.post("/v1/things", {"name": "x"})
    assert created() == 2
    assert not IdempotencyRecord.objects.exists()


def test_endpoints_may_opt_out(api: Api) -> None:
    for _ in range(2):
        assert not api.post("/v1/hot_things", {"name": "x"}, Idempotency_Key="one").has_header("Idempotent-Replayed")
    assert created() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "\x7f"])
def test_keys_that_are_none(api: Api, key: str) -> None:
    check_envelope(api.post("/v1/things", {"name": "x"}, Idempotency_Key=key), 400, "invalid_idempotency_key")


def test_the_longest_key(api: Api) -> None:
    assert api.post("/v1/things", {"name": "x"}, Idempotency_Key="~" * 255).status_code == 201
    assert api.post("/v1/things", {"name": "x"}, Idempotency_Key="~" * 255)["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("path", PATHS)
def test_conflicts_are_answers_too(api: Api, path: str) -> None:
    first = api.post(path, {"name": "x", "then": "conflict"}, Idempotency_Key="one")
    again = api.post(path, {"name": "x", "then": "conflict"}, Idempotency_Key="one")
    assert json.loads(first.content)["error"]["code"] == "already_there"
    assert again.content == first.content
    assert again["Idempotent-Replayed"] == "true"


def test_a_refused_request_does_nothing_and_leaves_its_key_free(api: Api) -> None:
    check_envelope(api.post("/v1/things", {"nmae": "x"}, Idempotency_Key="one"), 422, "invalid")
    refused = api.post("/v1/things", {"name": "x", "then": "invalid"}, Idempotency_Key="one")
    check_envelope(refused, 422, "invalid")
    assert created() == 0  # the handler had made a row; it went with the transaction
    assert api.post("/v1/things", {"name": "y"}, Idempotency_Key="one").status_code == 201
    assert created() == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("then", "status"), [("bug", 500), ("database", 503)])
def test_failures_are_not_kept(api: Api, path: str, then: str, status: int) -> None:
    api.client.raise_request_exception = False
    for _ in range(2):
        response = api.post(path, {"name": "x", "then": then}, Idempotency_Key="one")
        assert response.status_code == status
        assert not response.has_header("Idempotent-Replayed")
    assert not IdempotencyRecord.objects.exists()
    if path == "/v1/things":
        assert created() == 0
    assert api.post(path, {"name": "y"}, Idempotency_Key="one").status_code == 201


def test_a_day_later_the_key_is_free(api: Api) -> None:
    api.post("/v1/things", {"name": "x"}, Idempotency_Key="one")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert api.post("/v1/things", {"name": "x"}, Idempotency_Key="one")["Idempotent-Replayed"] == "true"
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24))
    assert not api.post("/v1/things", {"name": "y"}, Idempotency_Key="one").has_header("Idempotent-Replayed")
    assert created() == 2
    assert IdempotencyRecord.objects.count() == 1


def test_the_sweep_removes_what_is_over(api: Api) -> None:
    for number in range(7):
        api.post("/v1/things", {"name": "x"}, Idempotency_Key=f"k{number}")
    old = IdempotencyRecord.objects.order_by("id")[:5].values("id")
    IdempotencyRecord.objects.filter(id__in=list(old.values_list("id", flat=True))).update(
        created_at=timezone.now() - timedelta(days=2)
    )
    assert idempotency.sweep(now=timezone.now(), batch=2) == 5
    assert sweep_idempotency() == 0
    assert IdempotencyRecord.objects.count() == 2


def test_paths_too_long_to_be_kept(api: Api) -> None:
    with pytest.raises(Exception, match="path this long"):
        idempotency.Claim(keys.ids.uuid7(timezone.now()), "POST", "/" * 513, "k", b"")


# --- Races, on connections of their own -------------------------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Handlers wait in the middle until this is set."""
    endpoints.entered.clear()
    event = endpoints.hold = threading.Event()
    yield event
    event.set()
    endpoints.hold = None


def in_thread(call: Callable[[], HttpResponse]) -> tuple[threading.Thread, list[HttpResponse]]:
    answers: list[HttpResponse] = []

    def run() -> None:
        try:
            answers.append(call())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


@pytest.mark.parametrize("path", PATHS)
def test_a_twin_in_progress_is_told_so(committed_api: Api, held: threading.Event, path: str) -> None:
    first, answers = in_thread(lambda: Api(committed_api.key).post(path, {"name": "x"}, Idempotency_Key="one"))
    assert endpoints.entered.wait(10)
    twin = committed_api.post(path, {"name": "x"}, Idempotency_Key="one")
    check_envelope(twin, 409, "idempotency_in_progress")
    assert twin["Retry-After"] == "1"
    held.set()
    first.join(10)
    assert answers[0].status_code == 201
    replayed = committed_api.post(path, {"name": "x"}, Idempotency_Key="one")
    assert replayed["Idempotent-Replayed"] == "true"
    assert replayed.content == answers[0].content
    assert created() == 1


@pytest.mark.parametrize("path", PATHS)
def test_many_at_once_do_it_once(committed_api: Api, path: str) -> None:
    barrier = threading.Barrier(8)

    def call() -> HttpResponse:
        barrier.wait(10)
        return Api(committed_api.key).post(path, {"name": "x"}, Idempotency_Key="one")

    runs = [in_thread(call) for _ in range(8)]
    for thread, _ in runs:
        thread.join(20)
    answers = [answer for _, found in runs for answer in found]
    assert len(answers) == 8
    assert {answer.status_code for answer in answers} <= {201, 409}
    bodies = {answer.content for answer in answers if answer.status_code == 201}
    assert len(bodies) == 1
    assert created() == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_crash_in_the_middle_blocks_nobody(committed_api: Api, held: threading.Event, path: str) -> None:
    crashing = Api(committed_api.key, raise_request_exception=False)
    first, answers = in_thread(lambda: crashing.post(path, {"name": "x"}, Idempotency_Key="one"))
    assert endpoints.entered.wait(10)
    with connection.cursor() as cursor:  # what the database sees when the process dies
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert cursor.rowcount == 1
    held.set()
    first.join(10)
    assert answers[0].status_code == 503
    endpoints.hold = None
    again = committed_api.post(path, {"name": "x"}, Idempotency_Key="one")
    assert again.status_code == 201
    assert not again.has_header("Idempotent-Replayed")
    # atomic: the first left nothing. recorded: it had committed by itself, which its use case must bear.
    assert created() == (1 if path == "/v1/things" else 2)


def test_locks_are_given_back(committed_api: Api) -> None:
    def run(path: str, then: dict[str, Any]) -> None:
        committed_api.post(path, {"name": "x", **then}, Idempotency_Key="one")

    for path in PATHS:
        for then in ({}, {"then": "conflict"}, {"then": "bug"}, {"then": "invalid"}):
            run(path, then)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone() == (0,)
