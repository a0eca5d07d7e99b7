"""Single events that arrive together are stored together, and fail apart."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connections

from outcomes import together
from outcomes.intake import accept
from outcomes.models import Event, EventIdentity, Pending
from outcomes.wire import read_event
from tests.outcomes import factories
from tests.outcomes.factories import START

pytestmark = pytest.mark.usefixtures("committed")

NOW = START + timedelta(hours=1)


def item(name: str, **fields: Any) -> Any:
    event = {"id": name, "type": "closed", "customer": "acme", "time": START, "data": {"ticket": name}}
    return read_event(msgspec.json.encode(event | fields))


class Gate:
    """`accept` that lets the first call in only when it is told to, and notes how many came with each."""

    def __init__(self, fail: type[Exception] | None = None) -> None:
        self.open = threading.Event()
        self.sizes: list[int] = []
        self.fail = fail

    def __call__(self, items: Any, **options: Any) -> Any:
        self.sizes.append(len(items))
        assert self.open.wait(60)
        if self.fail is not None and len(items) > 1:
            raise self.fail("together is too much")
        return accept(items, **options)


def at_once(gathering: together.Gathering, items: list[Any], gate: Gate) -> list[Any]:
    """Send them from a thread each; the first is held until all the others wait behind it."""

    def send(one: Any) -> Any:
        try:
            return gathering.accept_one(one, now=NOW)
        except Exception as error:  # noqa: BLE001 -- looked at by the test
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(items)) as threads:
        futures = [threads.submit(send, items[0])]
        while not gate.sizes:
            pass
        futures += [threads.submit(send, one) for one in items[1:]]
        while len(gathering._waiting) < len(items) - 1:
            pass
        gate.open.set()
        return [future.result(60) for future in futures]


def test_those_that_come_while_one_is_stored_are_stored_next_all_at_once(monkeypatch: Any) -> None:
    factories.customer()
    gate = Gate()
    monkeypatch.setattr(together, "accept", gate)
    results = at_once(together.Gathering(), [item(f"e{n}") for n in range(20)], gate)
    assert gate.sizes == [1, 19]
    assert {(r.id, r.status) for r in results} == {(f"e{n}", "accepted") for n in range(20)}
    assert Event.objects.count() == Pending.objects.count() == 20


def test_each_gets_its_own_verdict(monkeypatch: Any) -> None:
    factories.customer()
    gate = Gate()
    monkeypatch.setattr(together, "accept", gate)
    sent = [item("a"), item("b"), item("b"), item("b", type="other"), item("c", customer="nobody")]
    results = at_once(together.Gathering(), sent, gate)
    assert results[0].status == "accepted"
    assert sorted(r.status for r in results[1:4]) in (
        ["accepted", "duplicate", "rejected"],
        ["accepted", "rejected", "rejected"],  # `other` came first of the three
    )
    assert (results[4].status, results[4].code) == ("rejected", "unknown_customer")
    assert EventIdentity.objects.count() == 2


def test_what_fails_together_is_tried_apart(monkeypatch: Any) -> None:
    factories.customer()
    gate = Gate(fail=OperationalError)
    monkeypatch.setattr(together, "accept", gate)
    results = at_once(together.Gathering(), [item(f"e{n}") for n in range(5)], gate)
    assert gate.sizes == [1, 4, 1, 1, 1, 1]
    assert {r.status for r in results} == {"accepted"}
    assert Event.objects.count() == 5


def test_one_that_fails_alone_fails_and_the_next_goes_on(monkeypatch: Any) -> None:
    factories.customer()
    gathering = together.Gathering()

    def broken(*_: Any, **__: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(together, "accept", broken)
    for _ in range(3):
        with pytest.raises(OperationalError):
            gathering.accept_one(item("e"), now=NOW)
    monkeypatch.setattr(together, "accept", accept)
    assert gathering.accept_one(item("e"), now=NOW).status == "accepted"


def test_no_more_than_the_most_go_at_once(monkeypatch: Any) -> None:
    factories.customer()
    monkeypatch.setattr(together, "MOST", 4)
    gate = Gate()
    monkeypatch.setattr(together, "accept", gate)
    results = at_once(together.Gathering(), [item(f"e{n}") for n in range(10)], gate)
    assert gate.sizes == [1, 4, 4, 1]
    assert {r.status for r in results} == {"accepted"}
