"""Workers beside each other and beside those who write outcomes, each on a connection of its own."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from handover.models import Handover
from handover.work import hand_over_due
from tests.handover.conftest import MARCH, NOW, World, confirmed, holds, journal, rows
from tests.handover.lago_server import LagoServer
from tests.outcomes.test_races import at_once, uncommitted

MINUTE = timedelta(minutes=1)


def test_four_workers_at_once_hand_over_each_outcome_once(committed_world: World, lago: LagoServer) -> None:
    acme = committed_world.customer()
    committed_world.contract(acme, pass_on="lago_events")
    hand_over_due(NOW)
    committed_world.many(acme, 450, MARCH)
    for outcome in acme.outcomes.all():
        journal(outcome, "provisional", "confirmed", MARCH)
    reports = at_once(*[lambda: hand_over_due(NOW + MINUTE)] * 4)
    hand_over_due(NOW + MINUTE)
    assert set(lago.sent.values()) == {1} and len(lago.sent) == 450
    assert sum(report.done for report in reports) <= 450
    assert Handover.objects.filter(status="done").count() == 450
    assert lago.log and all(status == 200 for _, _, status in lago.log)
    holds(NOW)


def test_one_that_is_being_sent_is_sent_by_nobody_else(committed_world: World, lago: LagoServer) -> None:
    acme = committed_world.customer()
    committed_world.contract(acme, pass_on="lago_events")
    confirmed(committed_world, acme)
    arrived, go_on = threading.Event(), threading.Event()

    def wait(event: dict[str, Any]) -> dict[str, list[str]]:
        arrived.set()
        assert go_on.wait(20)
        return {}

    lago.refuse = wait

    def second() -> int:
        assert arrived.wait(20)
        try:
            return hand_over_due(NOW + MINUTE).done
        finally:
            go_on.set()

    first, other = at_once(lambda: hand_over_due(NOW).done, second)
    assert (first, other) == (1, 0)
    assert rows() == [("usage", "done", "")] and list(lago.sent.values()) == [1]


@pytest.mark.parametrize("begun", [False, True])
def test_what_commits_late_is_not_missed(committed_world: World, lago: LagoServer, begun: bool) -> None:
    """An outcome whose transaction drew its place in the journal before others, and commits after they were read."""
    acme = committed_world.customer()
    committed_world.contract(acme, pass_on="lago_events")
    if begun:
        hand_over_due(NOW)
    with uncommitted(lambda: confirmed(committed_world, acme)):
        confirmed(committed_world, acme)
        for minute in range(3):
            hand_over_due(NOW + minute * MINUTE)
        assert len(lago.events) <= 1
    for minute in range(3, 6):
        hand_over_due(NOW + minute * MINUTE)
    assert len(lago.events) == 2
    assert rows() == [("usage", "done", "")] * 2
    holds(NOW)


def test_a_contract_that_is_agreed_while_outcomes_are_read_misses_none(
    committed_world: World, lago: LagoServer
) -> None:
    acme, beta = committed_world.customer(), committed_world.customer("beta")
    committed_world.contract(beta, pass_on="lago_events")
    hand_over_due(NOW)
    confirmed(committed_world, acme)
    with uncommitted(lambda: committed_world.contract(acme, pass_on="lago_events")):
        hand_over_due(NOW)
        confirmed(committed_world, acme)
        hand_over_due(NOW + MINUTE)
        assert len(lago.events) == 0
    hand_over_due(NOW + 2 * MINUTE)
    assert len(lago.events) == 2
    holds(NOW)
