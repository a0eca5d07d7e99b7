"""Where identity should stand: in the table of events, hashed by customer, or apart from payloads by month.

    python -m benchmarks storage [--events 200000]

Deduplicated inserts of the same rows, durable, by one client, into three designs that can all say "once" for ever; and
what it costs each to let a month go. In a database of its own on the embedded server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

KEY = "customer bigint NOT NULL, event_id text NOT NULL"
EVENT = f"seq bigint NOT NULL, {KEY}, type text NOT NULL, time timestamptz NOT NULL, data jsonb NOT NULL"
SENT = "jsonb_to_recordset(%s::jsonb) AS t(q bigint, c bigint, i text, y text, t timestamptz, d jsonb)"
MONTHS = 4

PLAIN = f"CREATE TABLE event ({EVENT}, month int NOT NULL, PRIMARY KEY (seq), UNIQUE (customer, event_id));"
HASHED = (
    f"CREATE TABLE event ({EVENT}, month int NOT NULL, PRIMARY KEY (customer, event_id)) PARTITION BY HASH (customer);"
    + "".join(
        f"CREATE TABLE event_{n} PARTITION OF event FOR VALUES WITH (MODULUS 16, REMAINDER {n});" for n in range(16)
    )
)
APART = (
    f"CREATE TABLE identity ({KEY}, fingerprint bytea NOT NULL, seq bigint NOT NULL, PRIMARY KEY (customer, event_id));"
    f"CREATE TABLE event ({EVENT}, PRIMARY KEY (seq)) PARTITION BY RANGE (seq);"
    + "".join(
        f"CREATE TABLE event_{n} PARTITION OF event FOR VALUES FROM ({n}000000000000) TO ({n + 1}000000000000);"
        for n in range(MONTHS)
    )
)
ONE_TABLE = f"""
INSERT INTO event (seq, customer, event_id, type, time, data, month)
SELECT q, c, i, y, t, d, (q / 1000000000000)::int FROM {SENT} ORDER BY c, i ON CONFLICT DO NOTHING
"""
TWO_TABLES = f"""
WITH sent AS MATERIALIZED (SELECT * FROM {SENT}),
claimed AS (
    INSERT INTO identity (customer, event_id, fingerprint, seq)
    SELECT c, i, sha256(i::bytea), q FROM sent ORDER BY c, i ON CONFLICT DO NOTHING RETURNING seq
)
INSERT INTO event (seq, customer, event_id, type, time, data)
SELECT q, c, i, y, t, d FROM sent JOIN claimed ON claimed.seq = q
"""
DESIGNS: dict[str, tuple[str, str, str]] = {
    "plain, unique (customer, id)": (PLAIN, ONE_TABLE, "DELETE FROM event WHERE month = 0"),
    "hash x16 by customer": (HASHED, ONE_TABLE, "DELETE FROM event WHERE month = 0"),
    "identity apart, payload by month": (APART, TWO_TABLES, "DROP TABLE event_0"),
}


def rows_of(count: int) -> list[dict[str, Any]]:
    """As many events, a quarter of them in each of four months, ids in no order (as UUIDs are)."""
    chance = random.Random(5)
    data = {"number": "INC0000045", "priority": "3 - Moderate", "category": "Category 55", "state": "Active"}
    return [
        {
            "q": n * MONTHS // count * 10**12 + n,
            "c": chance.randrange(200),
            "i": f"{chance.getrandbits(96):024x}",
            "y": "incident.active",
            "t": "2026-03-01T10:00:00Z",
            "d": data,
        }
        for n in range(count)
    ]


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks storage", description=__doc__)
    options.add_argument("--events", type=int, default=200_000)
    count = options.parse_args().events
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
    import psycopg
    from django.conf import settings

    database = settings.DATABASES["default"]
    where = {"host": database["HOST"], "port": database["PORT"], "user": database["USER"]}
    rows = rows_of(count)
    print(f"{'design':<36}{'batch':>7}{'rows/s':>10}{'ratio':>8}{'bytes/row':>11}{'a month goes in':>18}")
    with psycopg.connect(**where, dbname="postgres", autocommit=True) as admin:
        for size in (1000, 100):
            first = 0.0
            for name, (schema, insert, drop) in DESIGNS.items():
                admin.execute("DROP DATABASE IF EXISTS holdfast_storage")
                admin.execute("CREATE DATABASE holdfast_storage")
                batches = [json.dumps(rows[n : n + size]) for n in range(0, count, size)]
                with psycopg.connect(**where, dbname="holdfast_storage", autocommit=True) as own:
                    own.execute(schema)
                    spent = timed(lambda: [own.execute(insert, [batch]) for batch in batches])  # noqa: B023
                    [stored] = own.execute("SELECT count(*) FROM event").fetchone() or [0]
                    if stored != count:
                        raise SystemExit(f"{name}: {stored} of {count} rows were stored.")
                    [held] = own.execute("SELECT pg_database_size(current_database())").fetchone() or [0]
                    gone = timed(lambda: (own.execute(drop), own.execute("VACUUM")))  # noqa: B023
                first = first or count / spent
                print(
                    f"{name:<36}{size:>7}{count / spent:>10,.0f}{count / spent / first:>8.2f}"
                    f"{held / count:>11.0f}{gone * 1000:>15.0f} ms"
                )
        admin.execute("DROP DATABASE IF EXISTS holdfast_storage")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
