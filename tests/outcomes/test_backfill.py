"""A condition also hears of what was accepted before it was made, and settles nothing before it has heard all of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from outcomes import backfill
from outcomes.backfill import advance, plan
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Backfill, InboxItem, Journal, Outcome, Pending, Subject, SubjectEvent
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_lifecycle import EVER, TICKET

pytestmark = pytest.mark.django_db

NOW = START + timedelta(days=10)
OTHER = TICKET.replace("outcome solved", "outcome other")


@pytest.fixture(autouse=True)
def acme() -> Any:
    return factories.customer()


def hours(n: float) -> Any:
    return START + timedelta(hours=n)


def states(slug: str) -> list[str]:
    return list(Outcome.objects.filter(condition__slug=slug).order_by("id").values_list("state", flat=True))


def test_a_condition_made_after_the_events_comes_to_the_same_as_one_made_before() -> None:
    factories.condition(TICKET)
    for n, kind in enumerate(["closed", "reopened", "closed", "escalated", "closed"]):
        factories.say(kind, hours(n), now=NOW, ticket="AB"[n % 2])
    evaluate_waiting(NOW)
    factories.condition(OTHER)
    evaluate_waiting(NOW)
    settle_due(NOW)
    mine, theirs = (
        list(
            Outcome.objects.filter(condition__slug=slug)
            .order_by("subject__key", "ordinal")
            .values_list("subject__key", "state", "met_by_seq", "met_at", "settled_at", "ended_at")
        )
        for slug in ("solved", "other")
    )
    assert mine == theirs != []


def test_what_knows_an_event_already_does_not_hear_of_it_again() -> None:
    factories.condition(TICKET)
    factories.say("closed", hours(0), now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    before = (Journal.objects.count(), SubjectEvent.objects.count(), Subject.objects.get().state)
    factories.condition(OTHER)
    evaluate_waiting(NOW)
    first = Subject.objects.get(condition__slug="solved")
    assert (
        Journal.objects.filter(outcome__condition__slug="solved").count(),
        SubjectEvent.objects.filter(subject=first).count(),
        first.state,
    ) == before
    assert states("solved") == ["confirmed"]
    assert states("other") == ["provisional"]


def test_a_version_that_mentions_nothing_new_costs_nothing() -> None:
    factories.condition(TICKET)
    factories.say("closed", hours(0), now=NOW)
    evaluate_waiting(NOW)
    factories.condition(TICKET.replace("Solved", "Mended"), effective_from=NOW)
    plan(NOW)
    assert not Backfill.objects.filter(done_at=None).exists()


def test_from_its_date_on_a_condition_hears_of_the_past() -> None:
    factories.say("closed", hours(0), now=NOW, ticket="old")
    factories.say("closed", hours(24), now=NOW, ticket="new")
    evaluate_waiting(NOW)
    factories.condition(TICKET, effective_from=hours(12))
    evaluate_waiting(NOW)
    assert [o.subject.key for o in Outcome.objects.all()] == ["new"]


def test_a_version_with_ever_hears_of_names_that_none_before_it_mentioned() -> None:
    """`no escalated ever` looks at the whole history, also at what the versions before it did not listen to."""
    factories.condition("outcome solved per ticket bill when closed settle after 5 hours")
    factories.say("escalated", hours(0), now=NOW, ticket="A")
    factories.say("closed", hours(1), now=NOW, ticket="B")
    evaluate_waiting(NOW)
    factories.condition(
        "outcome solved per ticket bill when closed and no escalated ever settle after 5 hours",
        effective_from=hours(2),
    )
    evaluate_waiting(NOW)
    for n, ticket in enumerate("AC"):
        factories.say("closed", hours(3 + n), now=NOW, ticket=ticket)
    evaluate_waiting(NOW)
    found = {o.subject.key: o.state for o in Outcome.objects.all()}
    assert found == {"A": "open", "B": "provisional", "C": "provisional"}


def test_nothing_of_it_settles_before_it_has_heard_all(monkeypatch: Any) -> None:
    """In portions of one row: closed is heard first, and the reopening that undoes it later."""
    monkeypatch.setattr(backfill, "PORTION", 1)
    factories.say("closed", hours(0), now=NOW)
    factories.say("reopened", hours(1), now=NOW)
    evaluate_waiting(NOW)
    factories.condition(TICKET)
    plan(NOW)
    assert advance(NOW) == 1
    evaluate_batch(NOW)
    assert states("solved") == ["provisional"]
    assert settle_due(NOW).total() == 0
    evaluate_waiting(NOW)
    settle_due(NOW)
    assert states("solved") == ["void"]
    assert Backfill.objects.get().events == 2


def test_an_event_that_waits_is_not_put_there_twice() -> None:
    factories.say("closed", hours(0), now=NOW)
    evaluate_waiting(NOW)
    factories.say("closed", hours(1), now=NOW, ticket="B")
    factories.condition(TICKET)
    plan(NOW)
    advance(NOW)
    assert Pending.objects.count() == 2
    evaluate_waiting(NOW)
    assert sorted(states("solved")) == ["provisional", "provisional"]


def test_old_events_without_the_key_of_a_new_condition_lie_in_the_inbox_once() -> None:
    factories.say("closed", hours(0), now=NOW)
    evaluate_waiting(NOW)
    for slug in ("first", "second"):
        factories.condition(TICKET.replace("outcome solved", f"outcome {slug}").replace("per ticket", "per case_id"))
        evaluate_waiting(NOW)
    [item] = InboxItem.objects.all()
    assert (item.reason, item.status) == ("missing_key", "waiting")


def test_an_event_retried_from_the_inbox_is_new_only_to_those_that_do_not_know_it() -> None:
    from outcomes import inbox

    factories.condition(TICKET.replace("per ticket", "per case_id"))
    factories.say("closed", hours(0), now=NOW)
    evaluate_waiting(NOW)
    factories.condition(OTHER)
    evaluate_waiting(NOW)
    assert states("other") == ["provisional"]
    inbox.retry(inbox.waiting(), now=NOW)
    evaluate_waiting(NOW)
    assert states("other") == ["provisional"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM outcomes_subject_event")
        assert cursor.fetchone() == (1,)


def test_ever_of_the_lifecycle_table_is_the_same_after_the_fact() -> None:
    for n, kind in enumerate(["closed", "reopened", "closed", "bad", "closed"]):
        factories.say(kind, hours(n), now=NOW)
    evaluate_waiting(NOW)
    factories.condition(EVER)
    evaluate_waiting(NOW)
    settle_due(NOW + timedelta(days=400))
    late = list(Outcome.objects.order_by("ordinal").values_list("state", "met_at", "settled_at", "ended_at"))
    factories.condition(EVER.replace(f"outcome {Outcome.objects.all()[0].condition.slug}", "outcome again"))
    evaluate_waiting(NOW)
    settle_due(NOW + timedelta(days=400))
    again = Outcome.objects.filter(condition__slug="again").order_by("ordinal")
    assert list(again.values_list("state", "met_at", "settled_at", "ended_at")) == late != []


def test_what_an_earlier_version_was_too_young_to_hear_of_a_later_one_hears_of() -> None:
    """The first version is dated and heard of nothing before its date; the next one looks at all of the past."""
    factories.say("escalated", hours(1), now=NOW)
    evaluate_waiting(NOW)
    factories.condition(TICKET, effective_from=hours(5), made_at=hours(5))
    evaluate_waiting(NOW)
    assert not SubjectEvent.objects.exists()
    factories.condition(TICKET.replace("no escalated", "no escalated ever"), effective_from=hours(6))
    factories.say("closed", hours(7), now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    assert SubjectEvent.objects.count() == 2
    assert states("solved") == ["missed"]
