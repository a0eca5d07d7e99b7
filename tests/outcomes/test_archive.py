"""Retention: payloads leave by month; identities, facts and outcomes stay, and what needs the archive says so."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from outcomes import inbox
from outcomes.archive import CannotArchive, archive_month, file_name, months_before, restore
from outcomes.evaluation import evaluate_waiting
from outcomes.models import ArchivedMonth, Event, EventIdentity, InboxItem, Outcome, Pending, SubjectEvent
from outcomes.months import ensure_months
from outcomes.sequence import month_number
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db

JANUARY = datetime(2026, 1, 10, tzinfo=UTC)
APRIL = datetime(2026, 4, 10, tzinfo=UTC)
MONTH = month_number(JANUARY)


@pytest.fixture
def history() -> None:
    """Settled in January, and something of April."""
    ensure_months(JANUARY)
    factories.customer()
    factories.condition(TICKET)
    for n in range(5):
        factories.say(
            "closed", JANUARY + timedelta(hours=n), now=JANUARY + timedelta(hours=n), ticket=f"T{n}", price=0.1
        )
    evaluate_waiting(JANUARY + timedelta(days=1))
    settle_due(JANUARY + timedelta(days=10))
    ensure_months(APRIL)
    factories.say("closed", APRIL, now=APRIL, ticket="spring")
    evaluate_waiting(APRIL)


def tables() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE 'outcomes_event_2026%' AND relkind = 'r'")
        return {name for (name,) in cursor.fetchall()}


def payloads() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT *, data::text FROM outcomes_event ORDER BY seq")
        return cursor.fetchall()


def test_a_month_leaves_and_comes_back_as_it_was(history: None, tmp_path: Path) -> None:
    before = payloads()
    assert months_before(month_number(APRIL)) == [MONTH]
    done = archive_month(MONTH, tmp_path, now=APRIL)
    assert done.events == 5
    assert Event.objects.count() == 1
    assert "outcomes_event_2026_01" not in tables()
    assert EventIdentity.objects.count() == 6
    assert SubjectEvent.objects.count() == 6
    assert Outcome.objects.filter(state="confirmed").count() == 5
    assert restore(tmp_path / file_name(MONTH)) == ("2026-01", 5)
    assert payloads() == before
    assert not ArchivedMonth.objects.exists()
    assert restore(tmp_path / file_name(MONTH)) == ("2026-01", 0)
    # From the table for the rest it leaves again.
    archive_month(MONTH, tmp_path, now=APRIL)
    assert Event.objects.count() == 1


def test_an_archived_event_is_still_a_duplicate_and_a_conflict(history: None, tmp_path: Path) -> None:
    archive_month(MONTH, tmp_path, now=APRIL)
    again = {
        "id": f"closed@{JANUARY.isoformat()}", "type": "closed", "customer": "acme", "time": JANUARY,
        "data": {"ticket": "T0", "units": 1, "price": 0.1},
    }  # fmt: skip
    later = JANUARY + timedelta(days=20)
    assert [r.status for r in factories.send([again], now=later)] == ["duplicate"]
    [other] = factories.send([again | {"type": "reopened"}], now=later)
    assert (other.status, other.code) == ("rejected", "id_conflict")


def test_the_file_can_be_read_without_us(history: None, tmp_path: Path) -> None:
    archive_month(MONTH, tmp_path, now=APRIL)
    path = tmp_path / "events-2026-01.jsonl.gz"
    head, *events, foot = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    assert head == {"format": "holdfast events 1", "month": "2026-01"}
    assert foot["events"] == len(events) == 5
    assert (events[0]["customer"], events[0]["data"]["ticket"]) == ("acme", "T0")
    assert path.stat().st_mode & 0o777 == 0o600


def test_late_evidence_for_an_archived_history_waits_in_the_inbox(history: None, tmp_path: Path) -> None:
    archive_month(MONTH, tmp_path, now=APRIL)
    first = JANUARY + timedelta(minutes=30)
    # An import may bring events of any age; this one is older than what settled.
    from outcomes.imports import close_import, open_import

    backfill = open_import(now=APRIL)
    event = {
        "id": "late",
        "type": "escalated",
        "customer": "acme",
        "time": JANUARY,
        "data": {"ticket": "T1", "units": 1},
    }
    factories.send([event], now=APRIL, import_id=backfill.id)
    close_import(backfill.id, now=APRIL)
    assert first > JANUARY
    evaluate_waiting(APRIL)
    assert not Pending.objects.exists()
    [item] = InboxItem.objects.all()
    assert (item.reason, item.event_id) == ("archived", "late")
    assert "2026-01" in item.message
    assert Outcome.objects.get(subject__key="T1").state == "confirmed"

    restore(tmp_path / file_name(MONTH))
    inbox.retry(inbox.waiting(), now=APRIL)
    evaluate_waiting(APRIL)
    assert not InboxItem.objects.filter(status="waiting").exists()
    assert list(Outcome.objects.filter(subject__key="T1").order_by("ordinal").values_list("state", flat=True)) == [
        "reversed",
        "open",
    ]


@pytest.mark.parametrize("reason", ["recent", "waiting", "unfinished"])
def test_what_is_still_needed_stays(history: None, tmp_path: Path, reason: str) -> None:
    if reason == "recent":
        with pytest.raises(CannotArchive, match="too recent"):
            archive_month(month_number(APRIL), tmp_path, now=APRIL + timedelta(days=40))
    elif reason == "waiting":
        factories.say("closed", JANUARY + timedelta(days=2), now=JANUARY + timedelta(days=2), ticket="waits")
        with pytest.raises(CannotArchive, match="wait for evaluation"):
            archive_month(MONTH, tmp_path, now=APRIL)
    else:
        factories.say("escalated", JANUARY + timedelta(days=2), now=JANUARY + timedelta(days=2), ticket="unmet")
        evaluate_waiting(APRIL)
        with pytest.raises(CannotArchive, match=r"1 outcomes that are open or provisional .*'unmet'"):
            archive_month(MONTH, tmp_path, now=APRIL)
    assert not list(tmp_path.iterdir())
    assert "outcomes_event_2026_01" in tables()


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "another"])
def test_a_damaged_file_is_refused_whole(history: None, tmp_path: Path, damage: str) -> None:
    archive_month(MONTH, tmp_path, now=APRIL)
    path = tmp_path / file_name(MONTH)
    text = gzip.decompress(path.read_bytes()).decode()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "changed":
        path.write_bytes(gzip.compress(text.replace('"T3"', '"T9"').encode()))
    elif damage == "foreign":
        path.write_bytes(gzip.compress(b"hello\n"))
    else:
        lines = text.splitlines(keepends=True)
        import hashlib

        foot = json.dumps({"events": 1, "sha256": hashlib.sha256(lines[1].encode()).hexdigest()})
        path.write_bytes(gzip.compress((lines[0] + lines[1] + foot + "\n").encode()))
    with pytest.raises(CannotArchive):
        restore(path)
    assert Event.objects.count() == 1


def test_the_commands(history: None, tmp_path: Path, capsys: Any) -> None:
    call_command("archive_events", "--before", "2026-04", "--to", str(tmp_path), "--dry-run")
    call_command("archive_events", "--before", "2026-04", "--to", str(tmp_path))
    said = capsys.readouterr().out
    assert "Would be archived: 2026-01." in said
    assert f"2026-01: 5 events to {tmp_path}" in said
    call_command("archive_events", "--before", "2026-04", "--to", str(tmp_path))
    assert "holds no payloads received before 2026-04" in capsys.readouterr().out
    call_command("restore_events", str(tmp_path / "events-2026-01.jsonl.gz"))
    assert "2026-01: 5 events put back." in capsys.readouterr().out
    with pytest.raises(CommandError, match="give a month such as 2026-03"):
        call_command("archive_events", "--before", "March")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("restore_events", str(tmp_path / "nothing.gz"))


def test_the_api_says_of_an_archived_event_that_it_is_archived(history: None, tmp_path: Path, api: Any) -> None:
    archive_month(MONTH, tmp_path, now=APRIL)
    answer = api("GET", f"/v1/events/closed@{JANUARY.isoformat()}?customer=acme".replace("+", "%2B"))
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["archived_month"]) == ("archived", "2026-01")
