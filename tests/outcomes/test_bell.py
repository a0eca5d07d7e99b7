"""The bell: at once for the first event, together for those that follow, and never in anybody's way."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from outcomes.bell import Bell


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """``rung(n)``: wait until it rang n times; what it rang."""
    monkeypatch.setattr("outcomes.bell.PAUSE", 0.01)
    calls: list[int] = []
    changed = threading.Condition()

    def ring() -> None:
        with changed:
            calls.append(threading.get_ident())
            changed.notify_all()

    monkeypatch.setattr("outcomes.bell.ring", ring)

    def wait(n: int) -> list[int]:
        with changed:
            assert changed.wait_for(lambda: len(calls) >= n, timeout=60), calls
        return calls

    yield wait


def test_it_rings_in_a_thread_of_its_own_and_for_many_at_once(rung: Any) -> None:
    bell = Bell()
    for _ in range(10_000):
        bell.ring_soon()
    calls = rung(1)
    assert threading.get_ident() not in calls
    assert len(calls) < 1000


def test_whoever_rings_after_a_call_is_heard_by_another(rung: Any) -> None:
    bell = Bell()
    for n in range(1, 6):
        bell.ring_soon()
        rung(n)


def test_what_is_still_wanted_at_the_end_rings_at_the_end(rung: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Bell()
    monkeypatch.setattr(bell, "_start", lambda: None)  # the process ends before its thread comes to it
    bell.ring_soon()
    bell.ring_now()
    bell.ring_now()
    assert len(rung(1)) == 1


def test_a_forked_child_rings_for_itself(rung: Any) -> None:
    bell = Bell()
    bell.ring_soon()
    rung(1)
    bell.begin()  # what a child does first
    bell.ring_soon()
    assert len(rung(2)) == 2
