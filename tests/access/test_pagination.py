"""Lists by cursor: complete, stable, bounded, without a count; cursors that only we can make."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access import keys, pagination
from access.models import ApiKey
from tests.access.conftest import Api, check_envelope

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_urls")]

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def things(api: Api) -> list[str]:
    """137 things, newest first; ten of a kind share their moment."""
    made = [keys.create("thing", ["read"], now=START + timedelta(seconds=number // 10))[0] for number in range(137)]
    return [key.public_id for key in sorted(made, key=lambda key: (key.created_at, key.id), reverse=True)]


def page(api: Api, query: str) -> dict[str, Any]:
    response = api.get(f"/v1/things?name=thing&{query}")
    assert response.status_code == 200, response.content
    return json.loads(response.content)


def ids(answer: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in answer["data"]]


@pytest.mark.parametrize("limit", [1, 7, 10, 50, 136, 137, 138, 200])
def test_pages_make_the_whole(api: Api, things: list[str], limit: int) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        answer = page(api, f"limit={limit}{cursor}")
        assert set(answer) == {"data", "has_more", "next_cursor"}
        assert answer["has_more"] == (answer["next_cursor"] is not None)
        found += ids(answer)
        if not answer["has_more"]:
            break
        assert len(answer["data"]) == limit
        cursor = f"&cursor={answer['next_cursor']}"
    assert found == things


def test_the_default_is_fifty(api: Api, things: list[str]) -> None:
    assert ids(page(api, "")) == things[:50]


def test_an_empty_list(api: Api) -> None:
    assert json.loads(api.get("/v1/things?name=none").content) == {"data": [], "has_more": False, "next_cursor": None}


def test_rows_that_come_and_go_disturb_nothing(api: Api, things: list[str]) -> None:
    first = page(api, "limit=20")
    keys.create("thing", ["read"], now=START + timedelta(days=1))
    last = pagination.MAX_LIMIT
    ApiKey.objects.filter(id=keys.ids.decode("key", things[19])).delete()
    rest = page(api, f"limit={last}&cursor={first['next_cursor']}")
    assert ids(first) + ids(rest) == things


def test_no_count_and_one_query(api: Api, things: list[str]) -> None:
    api.get("/v1/things")
    with CaptureQueriesContext(connection) as captured:
        page(api, "limit=5")
    assert len(captured) == 1
    assert "COUNT" not in captured[0]["sql"].upper()
    assert "OFFSET" not in captured[0]["sql"].upper()


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "1e2", "٣", "9" * 30, " 5", "1_0"])
def test_limits(api: Api, limit: str) -> None:
    error = check_envelope(api.get(f"/v1/things?limit={limit}"), 400, "invalid_limit")
    assert error["details"][0]["path"] == "limit"


def test_parameters_come_once(api: Api) -> None:
    check_envelope(api.get("/v1/things?limit=1&limit=2"), 400, "invalid_parameter")


def test_cursors_are_tamper_evident(api: Api, things: list[str]) -> None:
    cursor = page(api, "limit=5")["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    payload = raw[16:].replace(b"2026", b"2025")
    forged = base64.urlsafe_b64encode(raw[:16] + payload).rstrip(b"=").decode()
    wrong = ["", "x", "AAAA", "é", cursor[:-1], cursor + "A", cursor[1:], cursor.swapcase(), forged, "A" * 5000]
    wrong += [f"{cursor}=", "=" + cursor, cursor + "%20", "+/" + cursor[2:], "null", "[]", "e30"]
    for position in range(0, len(cursor), 3):
        changed = "A" if cursor[position] != "A" else "B"
        wrong.append(cursor[:position] + changed + cursor[position + 1 :])
    for text in wrong:
        error = check_envelope(api.get(f"/v1/things?name=thing&limit=5&cursor={text}"), 400, "invalid_cursor")
        assert "start again without cursor" in error["message"]


def test_a_cursor_belongs_to_its_filter(api: Api, things: list[str]) -> None:
    cursor = page(api, "limit=5")["next_cursor"]
    check_envelope(api.get(f"/v1/things?limit=5&cursor={cursor}"), 400, "invalid_cursor")
    check_envelope(api.get(f"/v1/things?name=other&limit=5&cursor={cursor}"), 400, "invalid_cursor")
    # Another page size is the same list.
    assert ids(page(api, f"limit=9&cursor={cursor}")) == things[5:14]


@pytest.mark.parametrize(
    "values",
    [
        (START, keys.ids.uuid7(START)),
        (1, "text é", True),
        (START.date(), pagination.Decimal("1.10")),
    ],
)
def test_cursors_hold_what_orders(values: tuple[Any, ...]) -> None:
    assert pagination.decode_cursor(pagination.encode_cursor(values, "list"), "list") == values


def test_null_orders_nothing() -> None:
    with pytest.raises(TypeError, match="NOT NULL"):
        pagination.encode_cursor([None], "list")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (("-created_at",), ("-created_at", "-id")),
        (("name",), ("name", "id")),
        (("-created_at", "-id"), ("-created_at", "-id")),
        (("name", "-created_at"), ("name", "-created_at", "-id")),
        ((), ("id",)),
    ],
)
def test_the_order_is_total(order: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert pagination.total_order(ApiKey.objects.all(), order) == expected


def test_mixed_directions() -> None:
    for number in range(30):
        keys.create(f"n{number % 4}", ["read"], now=START + timedelta(seconds=number % 7))
    order = ("name", "-created_at", "id")
    whole = list(ApiKey.objects.order_by(*order))
    found: list[ApiKey] = []
    after = None
    while True:
        request = pagination.PageRequest(4, after, "list")
        rows, cursor = pagination.fetch(ApiKey.objects.all(), request, order)
        found += rows
        if cursor is None:
            break
        after = pagination.decode_cursor(cursor, "list")
    assert found == whole
