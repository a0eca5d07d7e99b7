"""The payload table's partitions by month of receipt."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils import timezone

from outcomes.models import Event
from outcomes.months import ensure_months, name_of
from outcomes.sequence import month_number
from tests.outcomes import factories

pytestmark = pytest.mark.django_db


def table_of(seq: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM outcomes_event WHERE seq = %s", [seq])
        name: str = cursor.fetchone()[0]
        return name


def test_a_new_installation_has_this_months_partition() -> None:
    now = timezone.now()
    assert ensure_months(now) == []
    factories.customer()
    factories.say("closed", now, now=now)
    assert table_of(Event.objects.get().seq) == name_of(month_number(now))


def test_months_are_made_ahead_once() -> None:
    new_year = datetime(2031, 12, 31, 23, 59, tzinfo=UTC)
    assert ensure_months(new_year) == ["outcomes_event_2031_12", "outcomes_event_2032_01", "outcomes_event_2032_02"]
    assert ensure_months(new_year) == []
    assert ensure_months(datetime(2032, 1, 1, tzinfo=UTC)) == ["outcomes_event_2032_03"]


def test_a_month_whose_events_lie_in_the_rest_keeps_them_there() -> None:
    """Intake never waits for a partition, and nothing is moved under its feet."""
    late = datetime(2033, 5, 1, tzinfo=UTC)
    factories.customer()
    factories.say("closed", late, now=late)
    assert table_of(Event.objects.get().seq) == "outcomes_event_rest"
    assert ensure_months(late) == ["outcomes_event_2033_06", "outcomes_event_2033_07"]
    assert table_of(Event.objects.get().seq) == "outcomes_event_rest"
    june = datetime(2033, 6, 1, tzinfo=UTC)
    factories.say("closed", june, now=june)
    assert {table_of(event.seq) for event in Event.objects.all()} == {"outcomes_event_rest", "outcomes_event_2033_06"}
