"""The audit trail as a chain: where each line came from, that nothing in it can be changed unseen, and that writers at
once keep it whole.
"""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse

from access.audit import INVARIANTS
from access.invariants import Findings, Scope, check
from access.models import ApiKey, TrailEntry
from outcomes.models import InboxItem

NOW = datetime(2026, 4, 1, tzinfo=UTC)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


def audited() -> Findings:
    [result] = check(INVARIANTS, Scope(now=NOW))
    assert result.error == ""
    return result.findings


def problems() -> list[str]:
    return [row["problem"] for row in audited().violation_rows]


def write(user: User, *messages: str) -> None:
    kind = ContentType.objects.get_for_model(ApiKey)
    for message in messages:
        LogEntry.objects.create(
            user=user, content_type=kind, object_id="1", object_repr="a key", action_flag=CHANGE, change_message=message
        )


@pytest.fixture
def anna(db: None) -> User:
    return User.objects.create_user("anna")


@pytest.fixture
def lines(anna: User) -> list[int]:
    """The ids of five lines."""
    write(anna, "one", "two", 'three "äöü" \\ 🦊', "", "five")
    return list(LogEntry.objects.order_by("id").values_list("id", flat=True))


# --- Where a line came from -------------------------------------------------------------------------------------------


def engineer() -> Client:
    user = User.objects.create_user("eve", is_staff=True)
    user.groups.add(Group.objects.get(name="engineer"))
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(user)
    return client


def items() -> None:
    for number in range(1, 4):
        InboxItem.objects.create(seq=number, body="{}", reason="too_old", message="", received_at=NOW)


def test_a_line_says_where_it_came_from(db: None, caplog: pytest.LogCaptureFixture) -> None:
    eve = engineer()
    items()
    given = {"note": "a test's"}
    headers = {"User-Agent": AGENT, "X-Forwarded-For": "198.51.100.1"}
    eve.post(reverse("admin:outcomes_inboxitem_dismiss"), given, headers=headers)
    entry = TrailEntry.objects.get()
    assert (entry.seq, entry.address, entry.user_agent) == (1, "203.0.113.7", AGENT)
    assert entry.line.change_message == "Dismiss: a test's"
    # It is shown, to who may see it.
    boss = User.objects.create_superuser("boss")
    reader = Client()
    reader.force_login(boss)
    assert "203.0.113.7" in reader.get("/admin/admin/logentry/").content.decode()
    page = reader.get(reverse("admin:admin_logentry_change", args=[entry.line_id])).content.decode()
    assert AGENT in page and bytes(entry.digest).hex() in page
    # What is not told by a request has nothing of the last one.
    write(boss, "by a program")
    later = TrailEntry.objects.get(seq=2)
    assert (later.address, later.user_agent) == (None, "")
    assert audited().checked == 2 and problems() == []


def test_behind_a_proxy_of_ours(db: None, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    eve = engineer()
    items()
    odd = "a" * 400 + "\n"
    address = reverse("admin:outcomes_inboxitem_dismiss")
    eve.post(address, {"note": "n"}, headers={"User-Agent": odd, "X-Forwarded-For": "6.6.6.6, 198.51.100.1"})
    entry = TrailEntry.objects.get()
    assert (entry.address, entry.user_agent) == ("198.51.100.1", "a" * 300)


def test_the_log_has_each_digest(committed: None, caplog: pytest.LogCaptureFixture) -> None:
    """Outside the table, where who rewrites it does not reach; once it is committed, and not before."""
    eve = engineer()
    items()
    for note in ("first", "second"):
        eve.post(reverse("admin:outcomes_inboxitem_dismiss"), {"note": note})
    told = [json.loads(record.message) for record in caplog.records if record.name == "access.trail"]
    kept = [(entry.seq, bytes(entry.digest).hex()) for entry in TrailEntry.objects.order_by("seq")]
    assert [(line["entry"], line["digest"]) for line in told] == kept and len(kept) == 2


def test_the_caller_does_not_stay_on_the_connection(committed: None) -> None:
    eve = engineer()
    items()
    eve.post(reverse("admin:outcomes_inboxitem_dismiss"), {"note": "n"}, headers={"User-Agent": AGENT})
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('holdfast.caller', true)")
        assert not cursor.fetchone()[0]


# --- Nothing is changed unseen ----------------------------------------------------------------------------------------


def test_an_untouched_chain_holds(lines: list[int]) -> None:
    assert (audited().checked, problems()) == (5, [])


def third(lines: list[int]) -> str:
    return str(lines[2])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE django_admin_log SET change_message = 'no' WHERE id = {line}", ["line {line}, or an entry up to"]),
        ("UPDATE django_admin_log SET user_id = {other} WHERE id = {line}", ["line {line}, or an entry up to"]),
        ("UPDATE django_admin_log SET action_time = action_time + interval '1 microsecond' WHERE id = {line}",
         ["line {line}, or an entry up to"]),
        ("UPDATE django_admin_log SET object_id = NULL WHERE id = {line}", ["line {line}, or an entry up to"]),
        ("UPDATE access_trailentry SET address = '198.51.100.1' WHERE line_id = {line}",
         ["line {line}, or an entry up to"]),
        ("UPDATE access_trailentry SET noted_at = noted_at - interval '1 day' WHERE line_id = {line}",
         ["line {line}, or an entry up to"]),
        ("DELETE FROM django_admin_log WHERE id = {line}", ["line {line} is gone"]),
        ("DELETE FROM access_trailentry WHERE line_id = {line}",
         ["entries before this one are gone", "the line has no entry in the chain"]),
        ("DELETE FROM access_trailentry WHERE line_id = {line}; DELETE FROM django_admin_log WHERE id = {line}",
         ["entries before this one are gone"]),
        ("DELETE FROM access_trailentry WHERE seq = 1; DELETE FROM django_admin_log WHERE id = {first}",
         ["entries before this one are gone"]),
        ("INSERT INTO django_admin_log (action_time, user_id, object_repr, action_flag, change_message) "
         "VALUES (now(), {user}, '', 1, 'never')", ["the line has no entry in the chain"]),
        # Whoever works out a digest anew has to work out all that follow.
        ("UPDATE django_admin_log SET change_message = 'nothing' WHERE id = {line}; UPDATE access_trailentry e "
         "SET digest = {computed} FROM django_admin_log l WHERE l.id = e.line_id AND e.line_id = {line}",
         ["line {after}, or an entry up to"]),
    ],
)  # fmt: skip
def test_a_change_past_the_triggers_shows(lines: list[int], anna: User, statement: str, expected: list[str]) -> None:
    other = User.objects.create_user("ben")
    computed = (
        "sha256(convert_to(jsonb_build_array((SELECT encode(digest, 'hex') FROM access_trailentry p "
        "WHERE p.seq = e.seq - 1), e.seq, extract(epoch FROM e.noted_at)::text, host(e.address), e.user_agent, l.id, "
        "extract(epoch FROM l.action_time)::text, l.user_id, l.content_type_id, l.object_id, l.object_repr, "
        "l.action_flag, l.change_message)::text, 'UTF8'))"
    )
    names: dict[str, Any] = {
        "line": lines[2], "after": lines[3], "first": lines[0], "other": other.pk, "user": anna.pk, "computed": computed
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL session_replication_role = replica")
        cursor.execute(statement.format(**names))
        cursor.execute("SET LOCAL session_replication_role = origin")
    found = problems()
    assert len(found) == len(expected)
    for one, begins in zip(found, expected, strict=True):
        assert one.startswith(begins.format(**names)), one


# --- Writers at once --------------------------------------------------------------------------------------------------


def at_once(*works: Callable[[], None]) -> None:
    done: list[str] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
            done.append("done")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == len(works)


def test_writers_at_once_keep_it_whole(committed: None) -> None:
    people = [User.objects.create_user(f"person{number}") for number in range(4)]
    barrier = threading.Barrier(4)

    def work(user: User) -> None:
        barrier.wait(30)
        for number in range(15):
            with transaction.atomic():
                write(user, f"{number} of it")
                if number % 5 == 4:  # what is rolled back was not written
                    transaction.set_rollback(True)
                elif number % 3 == 0:
                    write(user, "and more")

    at_once(*[lambda user=user: work(user) for user in people])
    assert LogEntry.objects.count() == TrailEntry.objects.count() == 4 * (12 + 4)
    assert list(TrailEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 65))
    assert (audited().checked, problems()) == (64, [])


def test_a_writer_waits_for_the_commit_of_the_one_before(committed: None) -> None:
    anna, ben = User.objects.create_user("anna"), User.objects.create_user("ben")
    written, seen = threading.Event(), []

    def first() -> None:
        with transaction.atomic():
            write(anna, "first")
            written.set()
            with connection.cursor() as cursor:
                for _ in range(300):  # until the other waits for us
                    cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                    if cursor.fetchone()[0]:
                        seen.append("waits")
                        break
                    cursor.execute("SELECT pg_sleep(0.02)")

    def second() -> None:
        assert written.wait(30)
        write(ben, "second")

    at_once(first, second)
    assert seen == ["waits"]
    told = TrailEntry.objects.order_by("seq").values_list("seq", "line__change_message")
    assert list(told) == [(1, "first"), (2, "second")] and problems() == []
