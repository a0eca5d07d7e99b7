"""How fast what is due becomes final, and that it costs by what is due, not by what is stored.

    python -m benchmarks sweep [--quick]

The sweep as workers run it (`settlement.sweep.settle_due`), beside the limit in the same run: the bare UPDATE of as
many outcomes and the COPY of as many journal rows. In an installation of its own, durable as in production.

A piece of provisional outcomes is sent and evaluated by the real thing, then multiplied by SQL: each copy lies later in
time than the one before, as if outcomes were met, and became due, at a steady pace. So the instant that the sweep is
given says how many are due.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.intake import home, report, stored
from benchmarks.intake.measures import Wrong, check
from benchmarks.intake.processes import Watch
from billing_project.services import ServiceError

WINDOW = timedelta(hours=72)  # of samples/helpdesk
PACE = timedelta(milliseconds=10)
_TABLES = ("outcomes_outcome", "outcomes_journal")
_NEXT_TIME = "{0} + k * %(span)s::interval"
_CHANGES = {
    "outcomes_outcome.id": stored.NEXT_UUID,
    "outcome_id": stored.NEXT_UUID,
    "subject_id": stored.NEXT_SUBJECT,
    "outcomes_journal.id": "nextval(pg_get_serial_sequence('outcomes_journal', 'id'))",
} | dict.fromkeys(
    ("first_time", "last_time", "met_at", "settles_at", "due_at", "effective_at", "recorded_at"), _NEXT_TIME
)
SWEEP, RAW, LATE = "settle_due", "bare UPDATE and COPY", "settle_due, unvacuumed"
TWO = "settle_due, two at once"


@dataclass(frozen=True)
class Sizes:
    """``few`` and ``many`` are due among as many and among ``stored``; ``held`` at once, as after an outage."""

    few: int = 1000
    many: int = 50_000
    held: int = 500_000
    stored: int = 5_000_000
    rounds: int = 7


QUICK = Sizes(held=200_000, stored=1_000_000, rounds=5)
TINY = Sizes(few=100, many=500, held=1000, stored=5000, rounds=2)


@dataclass
class Figures:
    """``due`` outcomes of ``stored`` became final in each of so many ``seconds``; CPU in seconds, over all of them."""

    what: str
    due: int
    stored: int
    seconds: list[float] = field(default_factory=list)
    cpu: Counter[str] = field(default_factory=Counter)

    @property
    def typical(self) -> float:
        return statistics.median(self.seconds)

    @property
    def per_second(self) -> float:
        return self.due / self.typical

    def micro(self, kind: str) -> float:
        """CPU microseconds an outcome."""
        return self.cpu[kind] * 1e6 / (self.due * len(self.seconds))


def main() -> int:
    chosen = _options().parse_args()
    sizes = TINY if chosen.tiny else QUICK if chosen.quick else Sizes()
    if chosen.stored:
        sizes = Sizes(sizes.few, sizes.many, sizes.held, chosen.stored, sizes.rounds)
    if sizes.stored < 2 * (sizes.rounds + 1) * sizes.few + 3 * sizes.rounds * sizes.many + sizes.held:
        print(f"--stored {sizes.stored:,} is less than what becomes due in the run.", file=sys.stderr)
        return 2
    home.end_on_sigterm()
    try:
        with home.installation(home.own_home(chosen.homes)) as installed:
            machine = report.machine(installed)
            bench = Bench(installed, sizes)
            bench.run()
    except (Wrong, ServiceError) as error:
        print(error, file=sys.stderr)
        return 1
    aims = list(_aims(bench.rows, sizes))
    print(f"{json.dumps(machine)}\n\n{_table(bench.rows)}\n\n{_plan_text(bench.plan)}\n\n{report.aim_table(aims)}")
    return 1 if chosen.check and not all(aim.met for aim in aims) else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="1 million stored instead of 5")
    options.add_argument("--tiny", action="store_true", help="as little as can be; the figures mean nothing")
    options.add_argument("--stored", type=int, default=0, metavar="N", help="so many stored")
    options.add_argument("--check", action="store_true", help="exit status 1 where an aim is missed")
    options.add_argument("--homes", type=Path, default=home.HOMES, metavar="DIR", help="where data lie (.local/bench)")
    return options


class Bench:
    """One run: ``rows`` and ``plan`` are what it found.

    Sets Django up for the installation, so this is for a process of its own.
    """

    def __init__(self, installed: home.Installation, sizes: Sizes) -> None:
        os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
        import django

        django.setup()
        self.sizes = sizes
        self.database = installed.connect()
        self.pids = {"postgres": installed.servers()["postgres"], "python": os.getpid()}
        self.rows: list[Figures] = []
        self.plan: list[dict[str, Any]] = []
        self.first_due = _piece(self.database, sizes.few)
        self.stored = self.settled = 0

    def run(self) -> None:
        sizes = self.sizes
        for due in (sizes.few, sizes.many):
            found = self._row(SWEEP, due, due)
            for _ in range(sizes.rounds):
                self.fill(due)
                self.sweep(found)
        self.fill(sizes.stored)
        # The first after a checkpoint logs as a whole each page of an index that it touches: of every customer's.
        self.sweep(Figures("warm-up", sizes.few, sizes.stored))
        few = self._row(SWEEP, sizes.few, sizes.stored)
        for _ in range(sizes.rounds):
            self.sweep(few)
        self.plan = self.explain(sizes.few)
        many, two, raw = (self._row(what, sizes.many, sizes.stored) for what in (SWEEP, TWO, RAW))
        # In turn, so that what else the machine does falls on all.
        for _ in range(sizes.rounds):
            self.sweep(many)
            self.sweep(two, at_once=2)
            self.raw(raw)
        self.sweep(self._row(SWEEP, sizes.held, sizes.stored))
        # Now what has become final since the last vacuum still stands in the index.
        late = self._row(LATE, sizes.few, sizes.stored)
        for _ in range(sizes.rounds):
            self.sweep(late)

    def _row(self, what: str, due: int, stored: int) -> Figures:
        self.rows.append(Figures(what, due, stored))
        return self.rows[-1]

    # --- What is measured ---

    def sweep(self, figures: Figures, at_once: int = 1) -> None:
        """By one sweep, or by as many as workers begin while the first has not ended."""
        from django.db import connection

        from settlement.sweep import settle_due

        until = self._until(figures.due)

        def confirmed(_: int) -> int:
            try:
                return settle_due(until)["confirmed"]
            finally:
                if at_once > 1:
                    connection.close()  # that of its thread

        def work() -> None:
            if at_once == 1:
                check("outcomes confirmed", confirmed(0), figures.due)
                return
            with ThreadPoolExecutor(at_once) as pool:
                check("outcomes confirmed", sum(pool.map(confirmed, range(at_once))), figures.due)

        self._measure(figures, work, in_order=at_once == 1)

    def raw(self, figures: Figures) -> None:
        """What no sweep can do without: the rows known beforehand, the same batches, as many commits."""
        from settlement.sweep import BATCH

        until = self._until(figures.due)
        ids = self.database.execute(
            "SELECT id, due_at FROM outcomes_outcome WHERE due_at <= %s ORDER BY due_at, id", [until]
        ).fetchall()
        check("outcomes due", len(ids), figures.due)

        def work() -> None:
            for first in range(0, len(ids), BATCH):
                batch = ids[first : first + BATCH]
                with self.database.transaction():
                    self.database.execute(_UPDATE, [[pk for pk, _ in batch]])
                    with self.database.cursor().copy(_COPY) as copy:
                        copy.set_types(["uuid", *["text"] * 6, "timestamptz", "timestamptz"])
                        for pk, due_at in batch:
                            copy.write_row((pk, "provisional", "confirmed", "clock", "settle", "", "", due_at, until))

        self._measure(figures, work)

    def _until(self, due: int) -> datetime:
        """The instant at which so many more are due."""
        return self.first_due + (self.settled + due - 1) * PACE

    def _measure(self, figures: Figures, work: Callable[[], None], *, in_order: bool = True) -> None:
        newest = self._count("SELECT coalesce(max(id), 0) FROM outcomes_journal")
        with Watch(self.pids) as watch:
            began = time.perf_counter()
            work()
            figures.seconds.append(time.perf_counter() - began)
        figures.cpu.update(watch.cpu)
        self.settled += figures.due
        self._verify(figures, newest, in_order)
        say(f"{figures.what}: {figures.due:,} of {figures.stored:,} in {figures.seconds[-1]:.3f} s")

    def _verify(self, figures: Figures, newest: int, in_order: bool) -> None:
        """Each has its row in the journal, at its instant, in the order of due (what one sweep writes has it); and
        nothing else became final.
        """
        [written] = self.database.execute(_WRITTEN, [newest]).fetchall()
        check("journal rows", written[0], figures.due)
        check("outcomes in the journal", written[1], figures.due)
        check("journal rows out of order", written[2] if in_order else 0, 0)
        due = "SELECT count(*) FROM outcomes_outcome WHERE due_at <= %s"
        check("outcomes left due", self._count(due, self.first_due + (self.settled - 1) * PACE), 0)
        final = """
            SELECT count(*) FROM outcomes_journal j JOIN outcomes_outcome o ON o.id = j.outcome_id
            WHERE j.id > %s AND o.state = 'confirmed' AND o.settled_at = j.effective_at AND o.settled_at = o.settles_at
        """
        check("outcomes confirmed at their instant", self._count(final, newest), figures.due)

    def explain(self, due: int) -> list[dict[str, Any]]:
        """The plan of the statement that confirms, with so many due, as PostgreSQL runs it; then it is taken back."""
        from django.db import connection, transaction

        from settlement import sweep

        until = self._until(due)
        with transaction.atomic(), connection.cursor() as cursor:
            scope = sweep._scope(cursor, until, self._until(1), until, None)
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sweep._WALL.settle, scope)
            [plan] = cursor.fetchone()
            transaction.set_rollback(True)
        nodes = list(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
        whole = [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in _TABLES]
        # A table of a few pages is cheapest read as a whole.
        check("tables read as a whole", len(whole) if self.stored > 100 * due else 0, 0)
        return nodes

    # --- What is stored ---

    def fill(self, count: int) -> None:
        """As many provisional outcomes with their journal, instead of what there was."""
        database = self.database
        copies = count // self.sizes.few
        # The journal is append-only, also for us: the role `replica` passes its trigger.
        database.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        database.execute("SET maintenance_work_mem = '512MB'")
        kept = stored.drop_indexes(database, _TABLES)
        for table in _TABLES:
            database.execute(f"TRUNCATE {table}")
            columns, changed = stored.copied(database, table, _CHANGES)
            changed = changed.replace("piece.", f"{_saved(table)}.")
            for first in range(0, copies, step := max(1, stored.ROWS_AT_ONCE // self.sizes.few)):
                last = min(first + step, copies) - 1
                database.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {changed} "
                    f"FROM generate_series(%(first)s::int, %(last)s::int) AS k, {_saved(table)} ORDER BY k",
                    {"first": first, "last": last, "subjects": self.sizes.few, "span": self.sizes.few * PACE},
                )
                if copies > step:
                    say(f"{table}: {(last + 1) * self.sizes.few:,} outcomes")
        for statement in kept:
            database.execute(statement)
        database.execute("SET session_replication_role = origin; SET synchronous_commit = on")
        database.execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}")
        database.execute("CHECKPOINT")
        provisional = "SELECT count(*) FROM outcomes_outcome WHERE state = 'provisional'"
        check("outcomes stored", self._count(provisional), count)
        self.stored, self.settled = count, 0

    def _count(self, query: Any, *parameters: object) -> int:
        [(count,)] = self.database.execute(query, parameters).fetchall()
        return int(count)


_UPDATE = """
UPDATE outcomes_outcome SET state = 'confirmed', settled_at = settles_at, due_at = NULL WHERE id = ANY(%s)
"""
_COPY = """
COPY outcomes_journal
    (outcome_id, from_state, to_state, cause, clause, actor, reason, effective_at, recorded_at)
FROM STDIN (FORMAT BINARY)
"""
_WRITTEN = """
SELECT count(*), count(DISTINCT outcome_id), count(*) FILTER (WHERE effective_at < before)
FROM (SELECT outcome_id, effective_at, lag(effective_at) OVER (ORDER BY id) AS before
      FROM outcomes_journal WHERE id > %s AND to_state = 'confirmed') AS written
"""


def _saved(table: str) -> str:
    return f"piece_of_{table}"


def _piece(database: psycopg.Connection, count: int) -> datetime:
    """As many provisional outcomes, of all customers in turn, accepted and evaluated, each due a `PACE` after the one
    before; the first one's instant. They are set aside in tables of their own.
    """
    import msgspec

    from outcomes.evaluation import evaluate_waiting
    from outcomes.intake import accept
    from outcomes.wire import read_events

    customers = [key for (key,) in database.execute("SELECT key FROM contracts_customer ORDER BY id")]
    now = datetime.now(UTC)
    began = now - count * PACE
    events = [
        {
            "id": f"e{n}",
            "type": "incident.resolved",
            "customer": customers[n % len(customers)],
            "time": began + n * PACE,
            "data": {"number": f"INC{n:07}", "priority": f"{n % 4 + 1} - Moderate"},
        }
        for n in range(count)
    ]
    for first in range(0, count, 1000):
        results = accept(read_events([msgspec.json.encode(event) for event in events[first : first + 1000]]), now=now)
        check("events accepted", sum(result.status == "accepted" for result in results), len(results))
    evaluate_waiting(now)
    for table in _TABLES:
        database.execute(f"CREATE TABLE {_saved(table)} AS SELECT * FROM {table} ORDER BY id")
        database.execute(f"ANALYZE {_saved(table)}")
    return began + WINDOW


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


# --- The report -------------------------------------------------------------------------------------------------------


def _aims(rows: Sequence[Figures], sizes: Sizes) -> Iterator[report.Aim]:
    found = {(row.what, row.due, row.stored): row for row in rows}
    many = found[SWEEP, sizes.many, sizes.stored]
    two = found[TWO, sizes.many, sizes.stored]
    yield report.Aim(f"{sizes.many:,} due: outcomes/s, two at once", two.per_second, 50_000)
    raw = found[RAW, sizes.many, sizes.stored]
    yield report.Aim(f"{sizes.many:,} due: outcomes/s, sweep / {RAW}", many.per_second / raw.per_second, 0.5)
    for due in (sizes.few, sizes.many):
        ratio = min(found[SWEEP, due, sizes.stored].seconds) / min(found[SWEEP, due, due].seconds)
        what = f"{due:,} due: fastest among {sizes.stored:,} stored / among {due:,}"
        yield report.Aim(what, ratio, 1.5, at_most=True)
    held = found[SWEEP, sizes.held, sizes.stored]
    what = f"outcomes/s, {sizes.held:,} due at once / {sizes.many:,}"
    yield report.Aim(what, held.per_second / many.per_second, 0.7)


def _table(rows: Sequence[Figures]) -> str:
    lines = [
        f"{'':<75}{'CPU, us an outcome':>18}",
        f"{'':<24}{'due':>9}{'stored':>11}{'rounds':>8}{'median s':>10}{'fastest':>9}{'outcomes/s':>12}"
        f"{'postgres':>10}{'python':>8}",
    ]
    lines += [
        f"{row.what:<24}{row.due:>9,}{row.stored:>11,}{len(row.seconds):>8}{row.typical:>10.3f}{min(row.seconds):>9.3f}"
        f"{row.per_second:>12,.0f}{row.micro('postgres'):>10.1f}{row.micro('python'):>8.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def _plan_text(nodes: Sequence[dict[str, Any]]) -> str:
    """The steps that read or write tables, with the pages that each touched, its children's included."""
    lines = ["The statement that confirms, as PostgreSQL ran it (rows; pages touched, those of its inputs included):"]
    for node in nodes:
        if place := node.get("Index Name") or node.get("Relation Name"):
            kind = node["Operation"] if node["Node Type"] == "ModifyTable" else node["Node Type"]
            pages = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
            lines.append(f"  {kind:<22}{place:<34}{node['Actual Rows'] * node['Actual Loops']:>10,.0f}{pages:>12,}")
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to standard error, so that the tables can be kept apart."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
