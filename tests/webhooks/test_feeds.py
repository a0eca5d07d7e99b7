"""The journal is read in order, without a row missed and without making its writers wait."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Journal
from settlement.sweep import settle_due
from tests.contracts.test_races import Other
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once, uncommitted
from webhooks import endpoints, feeds
from webhooks.delivery import deliver_due
from webhooks.feeds import Feed, read_news
from webhooks.models import Delivery, Endpoint, Reading
from webhooks.publish import News, publish

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TABLE = "tests_webhooks_feed"


def rows(after: int, until: int, types: Any) -> list[News]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, word FROM {TABLE} WHERE id > %s AND id <= %s ORDER BY id", [after, until])
        return [News("dispute.raised", f"row_{pk}", NOW, {"word": word}) for pk, word in cursor.fetchall()]


@pytest.fixture
def table(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A feed of its own, so that no other test's ids are in the way."""
    monkeypatch.setattr(feeds, "FEEDS", [Feed("tests", TABLE, frozenset({"dispute.raised"}), rows)])
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        cursor.execute(f"CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, word text NOT NULL)")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


def write(*words: str) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {TABLE} (word) VALUES (%s)", [(word,) for word in words])


def endpoint() -> Endpoint:
    made, _ = endpoints.create("https://example.com/", ["dispute.raised"], now=NOW)
    return made


def read_all() -> None:
    for _ in range(1000):
        if not read_news(NOW):
            return
    raise AssertionError("reading comes to no end")


def told(to: Endpoint) -> list[str]:
    bodies = Delivery.objects.filter(endpoint=to).order_by("id").values_list("body", flat=True)
    return [json.loads(body)["data"]["word"] for body in bodies]


class Writer:
    """A transaction on a connection of its own."""

    def __init__(self) -> None:
        self.connection = connection.get_new_connection(connection.get_connection_params())

    def writes(self, *words: str) -> "Writer":
        with self.connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {TABLE} (word) VALUES (%s)", [(word,) for word in words])
        return self

    def does(self, statement: str) -> None:
        self.connection.execute(statement)

    def commits(self) -> None:
        self.connection.commit()

    def rolls_back(self) -> None:
        self.connection.rollback()


@contextmanager
def writers(count: int) -> Iterator[list[Writer]]:
    made = [Writer() for _ in range(count)]
    try:
        yield made
    finally:
        for writer in made:
            writer.connection.close()


def test_an_early_id_that_commits_late_is_waited_for(table: None) -> None:
    to = endpoint()
    write("a")
    with writers(1) as [late]:
        late.writes("b")
        write("c")
        read_all()
        assert told(to) == ["a"]
        read_all()
        assert told(to) == ["a"], "the gap is not stepped over while its writer is at work"
        late.commits()
        read_all()
        assert told(to) == ["a", "b", "c"]


def test_an_id_that_was_rolled_back_is_stepped_over(table: None) -> None:
    to = endpoint()
    with writers(1) as [gone]:
        gone.writes("a", "b")
        write("c")
        read_all()
        assert told(to) == []
        gone.rolls_back()
        read_all()
        assert told(to) == ["c"]
    reading = Reading.objects.get()
    assert (reading.gap_end, reading.gap_writers) == (None, [])


def test_a_gap_that_nobody_can_fill_costs_no_wait(table: None) -> None:
    to = endpoint()
    with transaction.atomic():
        write("gone")
        transaction.set_rollback(True)
    write("a")
    read_all()
    assert told(to) == ["a"]


def test_an_id_drawn_before_its_transaction_has_a_number_is_waited_for(table: None) -> None:
    """INSERT draws the id first and is given its transaction id after: a horizon of transaction ids would not see it.
    Here the moment in between is as long as the test likes: a slow expression in the same row.
    """
    to = endpoint()
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {TABLE}_slow() RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
            "PERFORM pg_advisory_lock_shared(7399); PERFORM pg_advisory_unlock_shared(7399); RETURN 'b'; END $$"
        )
        cursor.execute("SELECT pg_advisory_lock(7399)")

    def insert() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} (id, word) VALUES (nextval('{TABLE}_id_seq'), {TABLE}_slow())")

    write("a")
    other = Other(insert)
    other.start()
    other.wait_until_blocked()
    write("c")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT last_value FROM {TABLE}_id_seq")
        assert cursor.fetchone() == (3,), "the id is drawn"
        cursor.execute("SELECT backend_xid FROM pg_stat_activity WHERE pid = %s", [other.pid])
        assert cursor.fetchone() == (None,), "and the transaction has no number yet"
    read_all()
    assert told(to) == ["a"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(7399)")
    other.join(30)
    read_all()
    assert told(to) == ["a", "b", "c"]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP FUNCTION {TABLE}_slow()")


def test_only_writers_of_this_very_table_hold_a_gap_open(table: None) -> None:
    """A long query, a backup, writers of other tables, and those that began after the gap was seen: none delays it."""
    to = endpoint()

    with writers(3) as [gone, reader, younger]:
        reader.does(f"SELECT count(*) FROM {TABLE}")
        reader.does("LOCK TABLE access_apikey IN ROW EXCLUSIVE MODE")
        gone.writes("gone")
        write("a")
        read_all()
        younger.writes("b")
        gone.rolls_back()
        read_all()
        assert told(to) == ["a"]
        younger.commits()
        read_all()
        assert told(to) == ["a", "b"]


def test_writers_wait_for_no_reader(table: None) -> None:
    endpoint()
    write("a")
    with writers(1) as [late]:
        late.writes("b")
        write("c")
        with transaction.atomic():
            read_all()  # holds its reading to the end of this transaction
            with writers(1) as [another]:
                another.writes("d").commits()
            # Nor does who queues a message for the same endpoint.
            at_once(lambda: publish("dispute.raised", "dsp_1", lambda: {"word": "published"}, now=NOW))
        late.commits()


@pytest.mark.parametrize("seed", range(6))
def test_every_row_that_commits_is_told_once_and_in_order(table: None, seed: int, monkeypatch: Any) -> None:
    """Five writers interleave, commit and roll back at random, two readers read all the while."""
    chance = random.Random(seed)
    monkeypatch.setattr(feeds, "BATCH", chance.choice([2, 7, 1000]))
    to = endpoint()
    committed: list[str] = []
    with writers(5) as made:
        open_words: dict[int, list[str]] = {n: [] for n in range(5)}
        for step in range(150):
            who = chance.randrange(5)
            deed = chance.choice(["write", "write", "write", "commit", "roll back", "read"])
            if deed == "write":
                words = [f"w{step}.{n}" for n in range(chance.randrange(1, 4))]
                made[who].writes(*words)
                open_words[who] += words
            elif deed == "commit":
                made[who].commits()
                committed += open_words[who]
                open_words[who] = []
            elif deed == "roll back":
                made[who].rolls_back()
                open_words[who] = []
            else:
                at_once(lambda: read_news(NOW), lambda: read_news(NOW))
        for writer in made:
            writer.rolls_back()
    read_all()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT word FROM {TABLE} ORDER BY id")
        in_order = [word for (word,) in cursor.fetchall()]
    assert sorted(in_order) == sorted(committed)
    assert told(to) == in_order


def test_a_new_endpoint_is_told_of_what_comes_after_it(table: None) -> None:
    first = endpoint()
    write("a")
    read_all()
    second = endpoint()
    write("b")
    read_all()
    assert (told(first), told(second)) == (["a", "b"], ["b"])


def test_an_endpoint_made_while_the_feed_lags_does_not_get_the_past(table: None) -> None:
    first = endpoint()
    write("a")
    second = endpoint()
    read_all()
    assert (told(first), told(second)) == (["a"], [])


def test_a_name_that_is_added_is_told_from_then_on_and_one_that_is_left_out_no_more(table: None) -> None:
    to, _ = endpoints.create("https://example.com/", ["invoice.issued"], now=NOW)
    write("a")
    read_all()
    assert not Reading.objects.exists()
    endpoints.change(to.pk, events=["dispute.raised"], now=NOW)
    write("b")
    read_all()
    endpoints.change(to.pk, events=["invoice.issued"], now=NOW)
    write("c")
    read_all()
    endpoints.change(to.pk, events=["*"], now=NOW)
    write("d")
    read_all()
    assert told(to) == ["b", "d"]


def test_a_feed_that_is_younger_than_the_endpoint_is_read_from_now_on(table: None, monkeypatch: Any) -> None:
    all_feeds, feeds.FEEDS[:] = list(feeds.FEEDS), []
    to, _ = endpoints.create("https://example.com/", ["*"], now=NOW)
    write("a")
    monkeypatch.setattr(feeds, "FEEDS", all_feeds)
    read_all()
    write("b")
    read_all()
    assert told(to) == ["b"]


def test_a_disabled_endpoint_reads_nothing_and_goes_on_where_it_stopped(table: None) -> None:
    to = endpoint()
    write("a")
    read_all()
    endpoints.change(to.pk, enabled=False, now=NOW)
    write("b", "c")
    read_all()
    assert told(to) == ["a"]
    endpoints.change(to.pk, enabled=True, now=NOW)
    read_all()
    assert told(to) == ["a", "b", "c"]


def test_what_cannot_be_sent_yet_waits_in_the_table(table: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeds, "WINDOW", 4)
    monkeypatch.setattr(feeds, "BATCH", 2)
    to = endpoint()
    write(*"abcdefghij")
    read_all()
    assert told(to) == list("abcd")
    Delivery.objects.filter(about__in=["row_1", "row_2"]).update(status="accepted", finished_at=NOW)
    read_all()
    assert told(to) == list("abcdef")


def test_a_feed_that_raises_stays_where_it_is_and_the_others_go_on(
    table: None, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Feed("broken", "outcomes_journal", frozenset({"sync.mismatch"}), lambda *_: 1 / 0)  # type: ignore[arg-type]
    feeds.FEEDS.insert(0, broken)
    to, _ = endpoints.create("https://example.com/", ["*"], now=NOW)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outcomes_journal (outcome_id, from_state, to_state, cause, clause, actor, reason, "
            "effective_at, recorded_at) VALUES (%s, '', 'open', 'event', '', '', '', %s, %s)",
            [uuid4(), NOW, NOW],
        )
    write("a")
    read_all()
    assert told(to) == ["a"]
    assert "webhook_feed_stalled" in caplog.text


def test_with_nobody_subscribed_it_costs_two_small_queries(table: None, django_assert_num_queries: Any) -> None:
    write("a")
    with django_assert_num_queries(2):
        assert deliver_due(NOW) == 0


def test_the_journal_itself_is_read_while_evaluation_and_sweep_write_it(committed: None) -> None:
    """The race on the real tables: what one connection evaluates, another reads and a third holds back."""
    now = factories.START + timedelta(days=20)
    to, _ = endpoints.create("https://example.com/", ["outcome.provisional"], now=now)
    factories.condition(TICKET)
    for customer in ("acme", "globex"):
        factories.customer(customer)
    factories.say("closed", now - timedelta(hours=4), now=now, ticket="first")
    evaluate_waiting(now)  # so that the name of the event is known, for which the two would wait for each other
    factories.say("closed", now - timedelta(hours=3), now=now)
    with uncommitted(lambda: evaluate_batch(now)):
        factories.say("closed", now - timedelta(hours=3), now=now, customer="globex")
        assert evaluate_waiting(now) == 1
        read_all()
        assert Delivery.objects.count() == 1, "the one held back has the earlier ids"
    read_all()
    assert settle_due(now).total() == 0
    assert Delivery.objects.filter(endpoint=to).count() == 3 == Journal.objects.filter(to_state="provisional").count()
    bodies = [json.loads(body) for body in to.deliveries.order_by("id").values_list("body", flat=True)]
    assert [body["data"]["customer"] for body in bodies] == ["acme", "acme", "globex"]
