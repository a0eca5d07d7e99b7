"""What an explanation says of holds and disputes, while they last and once they are over."""

from datetime import timedelta

import pytest

from outcomes import explaining
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from settlement import disputes, holds
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOW = START + 10 * HOUR


@pytest.fixture
def outcome() -> Outcome:
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", START, now=START)
    evaluate_waiting(START)
    return Outcome.objects.get()


def told(outcome: Outcome) -> explaining.Explanation:
    return explaining.explain_outcome(outcome, now=NOW)


def reasons(outcome: Outcome) -> set[str]:
    return {wait.reason for wait in told(outcome).waits}


@pytest.mark.parametrize("target", ["outcome", "customer", "condition"])
def test_a_hold_is_told_until_it_is_released(outcome: Outcome, target: str) -> None:
    on = {"outcome": outcome.pk, "customer": "acme", "condition": "solved"}[target]
    placed = holds.place(holds.Target(**{target: on}), reason="They rang", by="Ada", now=START)
    settle_due(NOW)
    assert f"There is a hold on its {target}: the clock books nothing of it" in told(outcome).summary
    assert reasons(outcome) == {"hold", "window"}
    holds.release(placed.pk, by="Ada", now=NOW)
    settle_due(NOW)
    assert "hold" not in reasons(outcome)
    assert "so it was confirmed" in told(outcome).summary


def test_a_dispute_is_told_and_then_its_decision(outcome: Outcome) -> None:
    settle_due(NOW)
    raised = disputes.raise_dispute(outcome.pk, reason="Not solved", by="Bob", now=NOW)
    assert "It is not invoiced yet: it is disputed, and that is not decided yet." in told(outcome).summary
    disputes.resolve(raised.pk, "upheld", note="He is right", by="Ada", now=NOW)
    found = told(outcome)
    assert found.agrees
    assert found.outcome.state == "reversed"
    assert "Ada took the charge back, with the reason: “" in found.summary
    assert "He is right" in found.summary
