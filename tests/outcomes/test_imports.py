"""Imports over the API: how far they are, what they hold, what is left at their close."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from freezegun import freeze_time

from outcomes import imports
from outcomes.evaluation import evaluate_waiting
from outcomes.models import ImportTally
from outcomes.queries import find_import
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_api import answer
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once, uncommitted

NOW = START + timedelta(days=60)


@pytest.fixture
def frozen() -> Any:
    with freeze_time(NOW):
        yield


def event(name: str, customer: str = "acme", **fields: Any) -> dict[str, Any]:
    time = "2019-01-01T00:00:00Z"
    return {"id": name, "type": "closed", "customer": customer, "time": time, "data": {"ticket": name}} | fields


def progress(told: dict[str, Any]) -> tuple[int, ...]:
    return tuple(told[name] for name in ("accepted", "duplicates", "rejected", "waiting", "customers"))


@pytest.mark.usefixtures("db", "frozen")
def test_an_import_tells_how_far_it_is(api: Api) -> None:
    factories.customer()
    factories.condition(TICKET)
    opened = answer(api.post("/v1/imports", {"name": "history"}), 201)
    path = f"/v1/imports/{opened['id']}"
    assert progress(opened) == (0, 0, 0, 0, 0)
    assert not opened["settlement_paused"]
    for batch in ([event("a"), event("b"), event("c", x=1)], [event("a"), event("d", "globex"), event("e")]):
        answer(api.post("/v1/events/batch", {"events": batch}, Import=opened["id"]), 202)
    told = answer(api.get(path))
    assert progress(told) == (3, 1, 2, 2, 1)
    assert told["settlement_paused"]
    answer(api.post("/v1/events", event("f", data={}), Import=opened["id"]), 202)
    evaluate_waiting(NOW)
    assert progress(answer(api.get(path))) == (4, 1, 2, 3, 1)  # the one without a key is accepted, and waits
    assert answer(api.get(f"/v1/inbox/summary?import={opened['id']}"))["count"] == 3
    answer(api.post("/v1/inbox/dismiss", {"import": opened["id"], "reason": "invalid", "note": "noise"}))
    closed = answer(api.post(f"{path}/close"))
    assert progress(closed) == (4, 1, 2, 2, 1)
    assert not closed["settlement_paused"]
    assert "2 of its events wait in the inbox" in closed["notice"]
    assert answer(api.post(f"{path}/close")) == closed
    answer(api.post("/v1/inbox/dismiss", {"import": opened["id"], "note": "noise"}))
    assert answer(api.post(f"{path}/close"))["notice"] is None


@pytest.mark.usefixtures("db", "frozen")
def test_imports_are_listed_by_status(api: Api) -> None:
    ids = [answer(api.post("/v1/imports", {"name": name}), 201)["id"] for name in ("one", "two", "three")]
    answer(api.post(f"/v1/imports/{ids[1]}/close"))
    names = {
        query: {row["name"] for row in answer(api.get(f"/v1/imports{query}"))["data"]}
        for query in ("", "?status=open", "?status=closed")
    }
    assert names == {"": {"one", "two", "three"}, "?status=open": {"one", "three"}, "?status=closed": {"two"}}
    for wrong in ("status=done", "state=open"):
        check_envelope(api.get(f"/v1/imports?{wrong}"), 400, "invalid_parameter")


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", ["imp_00000000000000000000000000", "imp_1", "x/y", "ü"])
def test_imports_that_are_not_there(api: Api, name: str) -> None:
    check_envelope(api.get(f"/v1/imports/{quote(name)}"), 404, "not_found")


@pytest.mark.usefixtures("db", "frozen")
def test_a_list_of_imports_costs_the_same_however_many(api: Api, django_assert_max_num_queries: Any) -> None:
    for n in range(5):
        send([event("a", f"c{n}")], now=NOW, import_id=imports.open_import(now=NOW).id)
    with django_assert_max_num_queries(4):
        rows = answer(api.get("/v1/imports"))["data"]
    assert [row["rejected"] for row in rows] == [1] * 5


@pytest.mark.usefixtures("committed")
def test_batches_of_one_import_do_not_wait_for_each_other() -> None:
    factories.customer()
    factories.customer("globex")
    opened = imports.open_import(now=NOW)
    with uncommitted(lambda: send([event("a")], now=NOW, import_id=opened.id)):
        send([event("b", "globex")], now=NOW, import_id=opened.id)
        assert find_import(opened.id).accepted == 1
    assert find_import(opened.id).accepted == 2


@pytest.mark.usefixtures("committed")
def test_no_batch_is_missing_from_the_tally_however_many_at_once() -> None:
    factories.customer()
    opened = imports.open_import(now=NOW)

    def load(part: int) -> None:
        for n in range(8):
            send([event(f"{part}-{n}"), event("shared"), event(f"bad-{part}-{n}", x=1)], now=NOW, import_id=opened.id)

    at_once(*[lambda part=part: load(part) for part in range(4)])  # type: ignore[misc]
    before = find_import(opened.id)
    assert (before.accepted, before.duplicates, before.rejected) == (33, 31, 32)
    assert ImportTally.objects.count() == 32
    imports.close_import(opened.id, now=NOW)
    after = find_import(opened.id)
    assert (after.accepted, after.duplicates, after.rejected) == (33, 31, 32)
    assert ImportTally.objects.count() == 1
