"""What the figures are compared with, in the same run: the raw insert, which is the limit, and the endpoint that a team
would write by hand (benchmarks/handwritten).
"""

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.intake.events import TOKEN, Sent, Stream, batches
from benchmarks.intake.home import ROOT, Installation, Serving
from benchmarks.intake.load import Connection, closed_loop
from benchmarks.intake.measures import Figures, Meter, check, figures_of, measure
from billing_project.services import HOST, ServiceError, Services, free_port, web

# --- The raw insert ---------------------------------------------------------------------------------------------------

_TABLES = """
CREATE TABLE identity (
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    fingerprint bytea NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (customer_id, event_id)
);
CREATE TABLE event (
    seq bigint NOT NULL PRIMARY KEY,
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    "time" timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data jsonb NOT NULL
);
"""
_INSERT = """
WITH incoming AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS t(q bigint, c bigint, i text, f text, y text, t timestamptz, d jsonb)
), claimed AS (
    INSERT INTO identity (customer_id, event_id, fingerprint, seq) SELECT c, i, decode(f, 'hex'), q FROM incoming
    ON CONFLICT DO NOTHING RETURNING seq
)
INSERT INTO event (seq, customer_id, event_id, type, "time", received_at, data)
SELECT q, c, i, y, t, now(), d FROM incoming JOIN claimed ON claimed.seq = q
"""


class RawConnection:
    """Rows straight into the tables, one statement and one commit a batch."""

    def __init__(self, installed: Installation) -> None:
        self._connection = installed.connect("raw")

    def post(self, body: bytes) -> dict[str, Any]:
        return {"accepted": self._connection.execute(_INSERT, [body.decode()]).rowcount, "duplicates": 0}

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def raw_tables(installed: Installation) -> Iterator[None]:
    """A database of its own with tables like ours."""
    with _database(installed, "raw"):
        with installed.connect("raw") as database:
            database.execute(_TABLES)
        yield


def raw(meter: Meter, parts: list[list[Sent]], size: int, seconds: float) -> Figures:
    """The deduplicated insert by as many clients as there are parts."""
    numbers = {key: n for n, key in enumerate(sorted({event.customer for part in parts for event in part}), start=1)}
    streams = [_rows(part, size, numbers, place) for place, part in enumerate(parts, start=1)]
    return _measure(
        meter, meter.installed.servers(), partial(RawConnection, meter.installed), streams, seconds, "raw", "identity"
    )


def _rows(events: list[Sent], size: int, numbers: dict[str, int], block: int) -> Stream:
    """The same events as the rows that intake makes of them. TOKEN, which becomes digits, keeps `seq` unique, too."""
    rows = []
    for place, event in enumerate(events):
        told = json.loads(event.body)
        row = {
            "c": numbers[event.customer],
            "i": told["id"],
            "f": hashlib.sha256(event.body).hexdigest(),
            "y": told["type"],
            "t": told["time"],
            "d": told["data"],
        }
        seq = b'{"q":%d%b%06d,' % (block, TOKEN, place)
        rows.append(event._replace(body=seq + json.dumps(row, separators=(",", ":")).encode()[1:]))
    return batches(rows, size, b"[", b"]")


# --- The endpoint written by hand -------------------------------------------------------------------------------------


@contextlib.contextmanager
def handwritten(installed: Installation) -> Iterator[Serving]:
    """The hand-written application: a database of its own in the same PostgreSQL, the web server started alike."""
    with _database(installed, "handwritten"):
        done = subprocess.run([sys.executable, "-c", _PREPARE], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceError(f"The hand-written endpoint cannot be set up:\n{done.stderr}")
        port = free_port()
        with Services(ROOT, installed.home / "logs") as services:
            services.start("web", [*web(port)[:-1], "benchmarks.handwritten.wsgi:application"])
            services.wait_ready(f"http://{HOST}:{port}/ready")
            pids = {"web": services.running["web"].pid}
            yield Serving(pids | installed.servers(), port, f"Token {done.stdout.split()[-1]}")


_PREPARE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.handwritten.settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
print(Token.objects.create(user=User.objects.create_user("benchmark")).key)
"""


def by_hand(meter: Meter, serving: Serving, streams: list[Stream], seconds: float) -> Figures:
    """HTTP to stored event by the hand-written endpoint."""
    connect = serving.connect("/events" if streams[0].size == 1 else "/events/batch")
    return _measure(meter, serving.pids, connect, streams, seconds, "handwritten", "handwritten_event")


# --- Both -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _database(installed: Installation, name: str) -> Iterator[None]:
    with installed.connect() as ours:
        ours.execute(f"CREATE DATABASE {name}")
        try:
            yield
        finally:
            ours.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _measure(
    meter: Meter,
    pids: dict[str, int],
    connect: Callable[[], Connection],
    streams: list[Stream],
    seconds: float,
    database: str,
    table: str,
) -> Figures:
    """Warm up, measure, and count the rows that came."""
    measure({}, partial(closed_loop, connect, streams, next(meter.numbers), seconds=meter.warm_up))
    with meter.installed.connect(database) as tables:
        [(before,)] = tables.execute(f"SELECT count(*) FROM {table}").fetchall()
        load, watch, _ = measure(pids, partial(closed_loop, connect, streams, next(meter.numbers), seconds=seconds))
        [(after,)] = tables.execute(f"SELECT count(*) FROM {table}").fetchall()
    check("rows accepted", load.accepted, load.events)
    check("rows stored", after - before, load.events)
    return figures_of(load, watch)
