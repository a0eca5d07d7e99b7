"""Stored events of one condition, subject by subject, in the order that counts: one pass by a cursor of the database.

PostgreSQL sorts (on its disk where memory is short) and this process holds one subject at a time. Subjects are told
apart by the condition's own reading of the key; SQL only brings those of one key together, by a hash of what stands
under its paths.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from conditions_dsl import Event
from conditions_dsl.model import Path
from outcomes.store import EVENT_COLUMNS, decode_data

ROWS = 2_000
"""Rows of one round trip."""

Subject = tuple[int, str, list[Event]]
"""(customer id, key, its events in order of (time, seq))."""


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything inside is read as it stood at one instant, while intake and settlement go on; PostgreSQL refuses to
    write. Not to be called within a transaction.
    """
    if connection.in_atomic_block:
        raise RuntimeError("a snapshot is a transaction of its own")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        yield


def count(types: Collection[str], customers: Collection[int]) -> dict[int, int]:
    """How many events `subjects` reads, by customer."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT customer_id, count(*) FROM outcomes_event WHERE type = ANY(%s) AND customer_id = ANY(%s) "
            "GROUP BY customer_id",
            [list(types), list(customers)],
        )
        return dict(cursor.fetchall())


def subjects(
    keys: Sequence[Sequence[Path]],
    key_of: Callable[[Mapping[str, Any]], str | None],
    types: Collection[str],
    customers: Collection[int],
    read: Callable[[int], None],
) -> Iterator[Subject]:
    """Every subject with events of these types; events without a key are passed over. ``keys`` are the paths of the
    condition's `per`, ``key_of`` reads them. ``read`` is told how many events came, now and then.
    """
    bucket_sql, parameters = _bucket(keys)
    sql = f"""
        SELECT e.customer_id, {bucket_sql} AS bucket, {EVENT_COLUMNS} FROM outcomes_event e
        WHERE e.type = ANY(%s) AND e.customer_id = ANY(%s) ORDER BY e.customer_id, bucket, e."time", e.seq
    """
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, [*parameters, list(types), list(customers)])
        place: tuple[int, int] | None = None
        here: dict[str, list[Event]] = {}
        while rows := cursor.fetchmany(ROWS):
            for customer, bucket, name, kind, time, seq, data in rows:
                event = Event(name, kind, time, seq, decode_data(data))
                key = key_of(event.data)
                if key is None:
                    continue
                if place != (customer, bucket):
                    for one, events in here.items():
                        yield place[0], one, events  # type: ignore[index]
                    place, here = (customer, bucket), {}
                if key in here:
                    here[key].append(event)
                else:
                    here[key] = [event]
            read(len(rows))
        for one, events in here.items():
            yield place[0], one, events  # type: ignore[index]


# What `#>` takes for an index of a list, and the language for the name of nothing.
_OTHER_INDEX = re.compile(r"\s*[+-]?\d+")
_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def _bucket(keys: Sequence[Sequence[Path]]) -> tuple[str, list[list[str]]]:
    """SQL of a number that is one for events of one key, with its parameters. Equal numbers are one key however they
    are written; numbers and texts may share a key. Where SQL reads a path otherwise than the language, all events of
    a customer share the number.
    """
    segments = [segment for alternatives in keys for path in alternatives for segment in path.segments]
    if any(_OTHER_INDEX.fullmatch(segment) and not _INDEX.fullmatch(segment) for segment in segments):
        return "0::bigint", []
    sql = "0::bigint"
    parameters: list[list[str]] = []
    for alternatives in keys:
        texts, paths = [], []
        for path in alternatives:
            texts.append(
                "CASE jsonb_typeof(e.data #> %s::text[]) WHEN 'number' "
                "THEN trim_scale((e.data #>> %s::text[])::numeric)::text ELSE e.data #>> %s::text[] END"
            )
            paths += [list(path.segments)] * 3
        sql, parameters = f"hashtextextended(coalesce({', '.join(texts)}, ''), {sql})", paths + parameters
    return sql, parameters
