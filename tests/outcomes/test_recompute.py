"""What somebody wrote past the application is set right from the events, in the journal for all to see."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from access.invariants import Scope, check
from outcomes.audit import INVARIANTS
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal, Outcome, Subject
from outcomes.recompute import recompute
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, say
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOW = START + 10 * HOUR


@pytest.fixture(autouse=True)
def subject() -> int:
    factories.customer()
    factories.condition(TICKET)
    say("closed", START, now=NOW)
    evaluate_waiting(NOW)
    return Subject.objects.get().pk


def broken() -> set[str]:
    return {one.invariant.name for one in check(INVARIANTS, Scope(now=NOW, sample=None)) if one.findings.violations}


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    "change",
    ["quantity = 7", "quantity = 'NaN'", "met_at = met_at - interval '1 hour'", "dimensions = '{\"priority\": \"x\"}'",
     "review = '{nonsense}'"],
)  # fmt: skip
def test_a_changed_outcome_is_set_right(subject: int, change: str, settled: bool) -> None:
    if settled:
        settle_due(NOW)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE outcomes_outcome SET {change}")
    assert "replay" in broken()
    assert recompute(subject, now=NOW) >= 1
    settle_due(NOW)
    assert broken() == set()
    [standing] = Outcome.objects.filter(state="confirmed")
    assert (standing.quantity, standing.met_at) == (1, START)


def test_a_deleted_outcome_is_booked_again(subject: int) -> None:
    settle_due(NOW)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM outcomes_journal")
        cursor.execute("DELETE FROM outcomes_outcome")
        cursor.execute("SET LOCAL session_replication_role = origin")
    recompute(subject, now=NOW)
    settle_due(NOW)
    assert broken() == set()
    assert Outcome.objects.get().state == "confirmed"


@pytest.mark.parametrize("settled", [False, True])
def test_where_nothing_is_wrong_nothing_changes(subject: int, settled: bool) -> None:
    if settled:
        settle_due(NOW)
    before = (list(Outcome.objects.values()), list(Journal.objects.values()), list(Subject.objects.values()))
    assert recompute(subject, now=NOW) == 0
    assert (list(Outcome.objects.values()), list(Journal.objects.values()), list(Subject.objects.values())) == before
    assert broken() == set()


def test_by_hand(subject: int) -> None:
    Outcome.objects.update(quantity=3)
    out = StringIO()
    call_command("recompute", str(subject), stdout=out)
    assert out.getvalue() == f"Subject {subject}: 1 outcomes changed.\n"
    with pytest.raises(CommandError, match="There is no subject 99"):
        call_command("recompute", "99")
