"""The life table and its intervals, worked out by hand; and how often an interval is right."""

from random import Random

import pytest

from simulation.domain.survival import CERTAINLY, EMPTY, LifeTable, Waiting, share_of, wilson

# Of 100 met, 20 are lost in the first fifth of the window, 10 in the second, 5 in the third and 5 in the last.
TABLE = LifeTable(60, (20, 10, 5, 0, 5))


@pytest.mark.parametrize(
    ("age", "at_risk", "rate"),
    [
        (0.0, 100, 0.6),
        (0.1, 90, 60 / 90),
        (0.2, 80, 0.75),
        (0.4, 70, 60 / 70),
        (0.5, 67.5, 60 / 67.5),
        (0.6, 65, 60 / 65),
        (0.8, 65, 60 / 65),
        (1.0, 60, 1.0),
        (7.0, 60, 1.0),
        (-1.0, 100, 0.6),
    ],
)
def test_the_rate_by_age(age: float, at_risk: float, rate: float) -> None:
    assert TABLE.outcomes == 100
    assert TABLE.at_risk(age) == pytest.approx(at_risk)
    assert TABLE.rate(age) == pytest.approx(rate)


def test_nothing_survived() -> None:
    table = LifeTable(0, (3, 0, 0, 0, 1))
    assert [table.rate(age / 10) for age in range(11)] == [0.0] * 11


def test_wilson_is_the_textbooks() -> None:
    # 8 of 10, and 0 of 20: Newcombe's method 3.
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    low, high = wilson(1.0, 20)
    assert (low, high) == (pytest.approx(0.8389, abs=1e-4), 1.0)


def test_shares_are_weighed_by_worth() -> None:
    sure, unsure = LifeTable(50), LifeTable(25, (25, 0, 0, 0, 0))
    found = share_of([Waiting(sure, 0.0, 30.0, 90.0), Waiting(unsure, 0.0, 10.0, 20.0)])
    assert found.expected == pytest.approx((30 * 1 + 10 * 0.5) / 40)
    assert 0 < found.low < found.expected < found.high <= 1
    assert share_of([]) == CERTAINLY
    assert share_of([Waiting(sure, 0.3, 7.0, 7.0)]).expected == 1.0
    gone = share_of([Waiting(LifeTable(0, (40, 0, 0, 0, 0)), 0.0, 5.0, 5.0)])
    assert gone.low == gone.expected == 0.0 < gone.high
    nobody = share_of([Waiting(EMPTY, 0.0, 5.0, 5.0)])
    assert (nobody.low, nobody.high) == (0.0, 1.0)


def test_bounds_are_in_order_and_narrow_with_more_of_a_past() -> None:
    chance = Random(5)
    for _ in range(300):
        table = LifeTable(chance.randrange(60), tuple(chance.randrange(9) for _ in range(5)))
        bigger = LifeTable(table.confirmed * 50, tuple(50 * lost for lost in table.lost))
        if not table.outcomes:
            continue
        # Whatever age: where fewer than one came so far, more of a past says something else.
        age, worth = chance.random() * 0.8, chance.uniform(1, 9)
        each = Waiting(table, age, worth, worth**2 / 40)
        first, second = share_of([each]), share_of([Waiting(bigger, age, worth, worth**2 / 40)])
        for one in (first, second):
            assert 0 <= one.low <= one.expected <= one.high <= 1
        if table.at_risk(age) >= 1:
            assert second.expected == pytest.approx(first.expected)
            assert second.high - second.low <= first.high - first.low + 1e-12


@pytest.mark.parametrize(("z", "least", "most"), [(1.959964, 0.92, 0.98), (0.67449, 0.43, 0.60)])
def test_an_interval_is_right_as_often_as_it_says(z: float, least: float, most: float) -> None:
    """95 % and 50 %, over random pasts and presents of two conditions with outcomes of unlike worth."""
    chance = Random(9)
    rounds, right = 600, 0
    for _ in range(rounds):
        waiting, came, whole = [], 0.0, 0.0
        for _condition in range(2):
            dies, early = chance.uniform(0.1, 0.6), chance.choice((0.5, 1.0, 2.0))

            def fate(dies: float = dies, early: float = early) -> float | None:
                """The age at which it is lost; None: confirmed."""
                return chance.random() ** early if chance.random() < dies else None

            table = EMPTY
            for _past in range(chance.randrange(60, 250)):
                age = fate()
                lost = tuple(int(age is not None and int(age * 5) == bucket) for bucket in range(5))
                table = table.plus(LifeTable(int(age is None), lost))
            for _present in range(chance.randrange(30, 90)):
                now, age, worth = chance.random(), fate(), chance.choice((1.0, 1.0, 4.0))
                if age is not None and age <= now:
                    continue  # It is lost already, so nobody waits for it.
                waiting.append(Waiting(table, now, worth, worth**2))
                whole += worth
                came += worth if age is None else 0.0
        found = share_of(waiting, z)
        right += found.low <= came / whole <= found.high
    assert least <= right / rounds <= most
