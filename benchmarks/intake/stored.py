"""Millions of events already stored: what intake and evaluation leave of a piece of the log, multiplied by SQL.

The piece is sent, evaluated and settled by the real thing, so each row is as the real thing writes it, in the real
proportion; its copies differ in their keys alone. Indexes are dropped before and built after. The home is kept: a
second run with the same number uses it again, unless the migrations have changed since.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.intake import events, home
from benchmarks.intake.load import Background, closed_loop
from benchmarks.intake.measures import check
from billing_project import embedded

PIECE = 20_000
_TABLES = (
    "outcomes_event_identity",
    "outcomes_event",
    "outcomes_subject",
    "outcomes_subject_event",
    "outcomes_outcome",
    "outcomes_journal",
)
# Each copy's numbers begin so much after those of the one before: the span of the piece's.
_NEXT_SEQ = "{0} + k * %(seqs)s::bigint"
NEXT_SUBJECT = "{0} + k * %(subjects)s::bigint"
_NEXT_TEXT = "{0} || '~' || k"
# Outcomes' ids begin with their time; the copies' begin with small numbers, so they lie before all others.
NEXT_UUID = "overlay({0}::text placing lpad(to_hex(k), 8, '0') from 1 for 8)::uuid"
# How a column is changed from copy to copy, by table.column or by column; all others are as they were.
_CHANGES = {
    "seq": _NEXT_SEQ,
    "first_seq": _NEXT_SEQ,
    "last_seq": _NEXT_SEQ,
    "met_by_seq": _NEXT_SEQ,
    "ended_by_seq": _NEXT_SEQ,
    "event_seq": _NEXT_SEQ,
    "event_id": _NEXT_TEXT,
    "outcomes_subject.id": NEXT_SUBJECT,
    "subject_id": NEXT_SUBJECT,
    "outcomes_subject.key": _NEXT_TEXT,
    "outcomes_outcome.id": NEXT_UUID,
    "outcome_id": NEXT_UUID,
    "outcomes_journal.id": "nextval(pg_get_serial_sequence('outcomes_journal', 'id'))",
}
ROWS_AT_ONCE = 1_000_000


def home_with(homes: Path, count: int, say: Callable[[str], None]) -> tuple[Path, int]:
    """A home in which about ``count`` events are stored and evaluated, and how many runs it has had, this included."""
    path = homes / f"stored-{count}"
    marker = path / "stored.json"
    schema = _schema()
    if not marker.exists() or json.loads(marker.read_text())["schema"] != schema:
        embedded.stop_all(path)
        shutil.rmtree(path, ignore_errors=True)
        with home.installation(path, keep=True) as installed:
            _fill(installed, count, say)
        marker.write_text(json.dumps({"schema": schema, "runs": 0}))
    runs = json.loads(marker.read_text())["runs"] + 1
    marker.write_text(json.dumps({"schema": schema, "runs": runs}))
    return path, runs


def _schema() -> str:
    """Changes with every migration."""
    digest = hashlib.sha256()
    for path in sorted(home.ROOT.glob("*/migrations/*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _fill(installed: home.Installation, count: int, say: Callable[[str], None]) -> None:
    say(f"making {installed.home.name}: a piece of the log by HTTP, evaluated and settled")
    # Old enough for its outcomes to be final.
    told = _incidents(events.load(datetime.now(UTC) - timedelta(days=4), days=20), min(PIECE, count // 10))
    stream = events.batches(told, len(told) // 20)
    with home.serving(installed) as serving:
        work = partial(closed_loop, serving.connect("/v1/events/batch"), [stream], 0, limits=[len(stream.bodies)])
        sent = Background(work).run().accepted
    home.manage("pump", "--once")
    with installed.connect() as database:
        _multiply(database, count // sent - 1, say)
        check("events stored", _number(database, "SELECT count(*) FROM outcomes_event"), count // sent * sent)


def _incidents(told: list[events.Sent], count: int) -> list[events.Sent]:
    """The first incidents with all that is told of them, ``count`` events at most."""
    sizes = Counter(event.number for event in told)
    chosen: set[str] = set()
    for event in told:
        if event.number not in chosen:
            if count < sizes[event.number]:
                break
            count -= sizes[event.number]
            chosen.add(event.number)
    return [event for event in told if event.number in chosen]


def _multiply(database: psycopg.Connection, copies: int, say: Callable[[str], None]) -> None:
    """Add so many copies of everything, and set the sequences beyond them."""
    spans = {
        "seqs": _number(database, "SELECT max(seq) - min(seq) + 1 FROM outcomes_event"),
        "subjects": _number(database, "SELECT max(id) - min(id) + 1 FROM outcomes_subject"),
    }
    # Built in memory where it can be had; nothing here must survive a crash but the whole.
    database.execute("SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
    kept = drop_indexes(database, _TABLES)
    for table in _TABLES:
        database.execute(f"CREATE TEMP TABLE piece AS SELECT * FROM {table}")
        rows = _number(database, "SELECT count(*) FROM piece")
        quoted, changed = copied(database, table, _CHANGES)
        step = max(1, ROWS_AT_ONCE // rows)
        for first in range(1, copies + 1, step):
            last = min(first + step - 1, copies)
            database.execute(
                f"INSERT INTO {table} ({quoted}) SELECT {changed} "
                "FROM generate_series(%(first)s::int, %(last)s::int) AS k, piece",
                spans | {"first": first, "last": last},
            )
            say(f"{table}: {rows * (last + 1):,} rows")
        database.execute("DROP TABLE piece")
    for statement in kept:
        say(statement[:100])
        database.execute(statement)
    for sequence, name in (
        ("'outcomes_seq'", "seqs"),
        ("pg_get_serial_sequence('outcomes_subject', 'id')", "subjects"),
    ):
        database.execute(f"SELECT setval({sequence}, nextval({sequence}) + %s::bigint)", [copies * spans[name]])
    say("vacuum, analyze, checkpoint")
    database.execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}")
    database.execute("CHECKPOINT")


_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""


def copied(database: psycopg.Connection, table: str, changes: Mapping[str, str]) -> tuple[str, str]:
    """The table's columns, and what makes each of a row of `piece`: by its entry in ``changes``, or as it is."""
    columns = [name for (name,) in database.execute(_COLUMNS, [table])]
    changed = [
        (changes.get(f"{table}.{column}") or changes.get(column) or "{0}").format(f'piece."{column}"')
        for column in columns
    ]
    return ", ".join(f'"{column}"' for column in columns), ", ".join(changed)


def drop_indexes(database: psycopg.Connection, tables: Sequence[str]) -> list[str]:
    """Drop every index and unique constraint of the tables; the statements that make them again."""
    again = []
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('p', 'u')
    """
    for table, name, definition in database.execute(constraints, [list(tables)]).fetchall():
        database.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    indexes = """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid = ANY(%s::regclass[])
    """
    for name, definition in database.execute(indexes, [list(tables)]).fetchall():
        database.execute(f"DROP INDEX {name}")
        # Of a partitioned table: without ONLY, its partitions get theirs, too.
        again.append(definition.replace(" ON ONLY ", " ON "))
    return again


def _number(database: psycopg.Connection, query: Any) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])
