"""Outcomes that count one by one: they come back in order, and memory does not grow with them."""

import tracemalloc
from contextlib import closing
from decimal import Decimal
from random import Random

import pytest

from invoicing.selection import InOrder
from simulation import in_order
from simulation.in_order import Placed, Spool


def test_what_is_put_comes_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_order, "BLOCK", 7)
    chance = Random(3)
    put: dict[tuple[int, int, int], list[Placed]] = {}
    with closing(Spool()) as spool:
        assert [spool.number(), spool.number()] == [1, 2]
        for met_by in range(2**62, 2**62 + 200):
            place = chance.choice((1, 2)), chance.choice((0, 1)), chance.choice((0, 5))
            value = chance.choice((None, Decimal("0.10"), Decimal(10) ** 37 / 3))
            one = InOrder(9, '{"p": null}', chance.randrange(3), Decimal(chance.randrange(5)) / 4, value)
            put.setdefault(place, []).append((chance.randrange(-20, 20), met_by, one))
            spool.put(*place, *put[place][-1])
        for (tally, contract, period), listed in put.items():
            assert list(spool.of([tally], contract, period)) == sorted(listed, key=lambda one: one[:2])
            both = [one for number in (1, 2) for one in put[number, contract, period]]
            assert list(spool.of([1, 2], contract, period)) == sorted(both, key=lambda one: one[:2])
        assert list(spool.of([3], 0, 0)) == []


def test_memory_does_not_grow_with_them() -> None:
    tracemalloc.start()
    try:
        with closing(Spool()) as spool:
            for n in range(2 * in_order.BLOCK + 1):
                spool.put(1, 0, 0, -n, n, InOrder(9, "{}", 0, Decimal(n), Decimal(n)))
            kept = tracemalloc.get_traced_memory()[0]
            read = sum(1 for _ in spool.of([1], 0, 0))
            most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == 2 * in_order.BLOCK + 1
    # A row in memory has about 500 bytes; one block of them is, and no more.
    assert kept < 100 * in_order.BLOCK and most < 1000 * in_order.BLOCK
