"""How fast what is confirmed becomes invoices, and that its memory does not grow with what is on them.

    python -m benchmarks billing [--quick]

The billing run as the task runs it (`invoicing.billing.run`): one customer with a million outcomes, many customers with
a few each, and runs that find nothing to do; beside the limit in the same run, the bare SQL of the same rows. In an
installation of its own, durable as in production.

A piece of outcomes is sent, evaluated and settled by the real thing for a customer of samples/helpdesk, then multiplied
by SQL; so are the customer and its contract. Each copy is later in the month that has ended than the one before.
"""

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.intake import home, report, stored
from benchmarks.intake.measures import Wrong, check
from benchmarks.intake.processes import Watch
from billing_project.services import ServiceError

PIECE = 20
MODEL = "Location 2"  # of samples/helpdesk
WINDOW = timedelta(hours=72)
TEAMS = 125
PRIORITIES = ("1 - Critical", "2 - High", "3 - Moderate", "4 - Low")
# What billing writes, with what hangs on it.
WRITTEN = "invoicing_invoice, invoicing_invoiceline, invoicing_lineoutcome, invoicing_numberseries"

ONE, BARE_ONE, LINES = "one customer", "the same rows by bare SQL", "one customer, 500 lines"
MANY, BARE_MANY = "many customers", "the same rows by a bare loop"
WARM_UP, AGAIN, RUNNING = "warm-up", "again, nothing is due", "in the running month"


@dataclass(frozen=True)
class Sizes:
    """Outcomes of the one customer, ``fewer`` to compare memory with; and customers with `PIECE` outcomes each."""

    outcomes: int = 1_000_000
    fewer: int = 250_000
    customers: int = 10_000
    rounds: int = 3


QUICK = Sizes(customers=2000, rounds=1)
TINY = Sizes(2000, 1000, 10, 1)


@dataclass
class Figures:
    """Rounds of one kind. CPU in seconds, over all of them; memory is the most that was needed beyond what was held
    before: of this process, and of its connection's process at the server.
    """

    what: str
    customers: int
    outcomes: int
    seconds: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=lambda: {"python": 0.0, "postgres": 0.0})
    memory: dict[str, int] = field(default_factory=lambda: {"python": 0, "postgres": 0})

    @property
    def fastest(self) -> float:
        return min(self.seconds)

    def micro(self, kind: str) -> float:
        """CPU microseconds an outcome."""
        return self.cpu[kind] * 1e6 / (self.outcomes * len(self.seconds))


def main() -> int:
    chosen = _options().parse_args()
    sizes = TINY if chosen.tiny else QUICK if chosen.quick else Sizes()
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
    rows = [row for row in bench.rows.values() if row.what != WARM_UP]
    print(f"{json.dumps(machine)}\n\n{_table(rows)}\n\n{report.aim_table(aims)}")
    return 1 if chosen.check and not all(aim.met for aim in aims) else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks billing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="2,000 customers instead of 10,000, one round of three")
    options.add_argument("--tiny", action="store_true", help="as little as can be; the figures mean nothing")
    options.add_argument("--check", action="store_true", help="exit status 1 where an aim is missed")
    options.add_argument("--homes", type=Path, default=home.HOMES, metavar="DIR", help="where data lie (.local/bench)")
    return options


Key = tuple[str, int]
"""What was measured, and over how many outcomes."""


class Bench:
    """One run: ``rows`` are what it found.

    Sets Django up for the installation, so this is for a process of its own.
    """

    def __init__(self, installed: home.Installation, sizes: Sizes) -> None:
        os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
        import django

        django.setup()
        self.sizes = sizes
        self.database = installed.connect()
        self.database.execute("SET session_replication_role = replica")  # past the triggers of what is append-only
        self.pids = {"postgres": installed.servers()["postgres"], "python": os.getpid()}
        self.rows: dict[Key, Figures] = {}
        # The month that ended last, and now.
        self.now = datetime.now(UTC)
        self.end = self.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.start = (self.end - timedelta(days=1)).replace(day=1)
        _piece(self.database, self.start)

    def run(self) -> None:
        sizes = self.sizes
        for outcomes in (sizes.fewer, sizes.outcomes):
            self.fill(1, outcomes)
            if outcomes == sizes.fewer:
                self.bill(WARM_UP, 1, outcomes)
            for _ in range(sizes.rounds):
                self.bill(ONE, 1, outcomes)
                self.by_hand(BARE_ONE, 1, outcomes)
        self.fill(1, sizes.fewer, teams=TEAMS)
        for _ in range(sizes.rounds):
            self.bill(LINES, 1, sizes.fewer)
        total = sizes.customers * PIECE
        self.fill(sizes.customers, total)
        for _ in range(sizes.rounds):
            self.look(RUNNING, self.end - timedelta(hours=1))
            self.bill(MANY, sizes.customers, total)
            self.look(AGAIN, self.now)
            self.by_hand(BARE_MANY, sizes.customers, total)

    # --- What is measured ---

    def bill(self, what: str, customers: int, outcomes: int) -> None:
        from invoicing import billing

        self.empty()

        def work() -> None:
            found = billing.run(now=self.now)
            check("customers parked or waiting", len(found.parked) + len(found.waiting), 0)
            check("invoices issued", len(found.issued), customers)

        self._measure(what, customers, outcomes, work)
        self._verify(customers, outcomes)

    def look(self, what: str, now: datetime) -> None:
        """A run that finds nothing to do."""
        from invoicing import billing

        def work() -> None:
            check("customers billed", len(billing.run(now=now).results), 0)

        self._measure(what, self.sizes.customers, self.sizes.customers * PIECE, work)

    def by_hand(self, what: str, customers: int, outcomes: int) -> None:
        """What no billing can do without: the same rows, known beforehand, a transaction for each customer."""
        database = self.database
        for table in ("invoice", "invoiceline"):
            database.execute(f"DROP TABLE IF EXISTS made_{table}")
            database.execute(f"CREATE TABLE made_{table} AS TABLE invoicing_{table}")
        database.execute("CREATE INDEX ON made_invoice (customer_id)")
        database.execute("CREATE INDEX ON made_invoiceline (invoice_id)")
        database.execute("ANALYZE made_invoice, made_invoiceline")
        ids = [row[0] for row in database.execute("SELECT customer_id FROM made_invoice ORDER BY customer_id")]
        self.empty()
        database.execute("SET session_replication_role = origin")
        scope = {"from": self.start, "to": self.end}

        def work() -> None:
            for customer in ids:
                with database.transaction():
                    for statement in _BY_HAND:
                        database.execute(statement, scope | {"customer": customer})

        self._measure(what, customers, outcomes, work, backend=database.info.backend_pid)
        database.execute("SET session_replication_role = replica")
        self._verify(customers, outcomes)

    def _measure(
        self, what: str, customers: int, outcomes: int, work: Callable[[], None], backend: int | None = None
    ) -> None:
        from django.db import connection

        connection.ensure_connection()
        figures = self.rows.setdefault((what, outcomes), Figures(what, customers, outcomes))
        gc.collect()
        with Watch(self.pids) as watch, _Memory(backend or connection.connection.info.backend_pid) as memory:
            began = time.perf_counter()
            work()
            figures.seconds.append(time.perf_counter() - began)
        for kind in figures.cpu:
            figures.cpu[kind] += watch.cpu[kind]
            figures.memory[kind] = max(figures.memory[kind], memory.most[kind])
        say(f"{what}: {customers:,} customers, {outcomes:,} outcomes in {figures.seconds[-1]:.2f} s")

    def _verify(self, customers: int, outcomes: int) -> None:
        """Each customer has one invoice, each outcome stands on one line that counts it, numbers have no gap."""
        lines = "SELECT sum(outcome_count) FROM invoicing_invoiceline"
        on_lines = "SELECT count(DISTINCT outcome_id) FROM invoicing_lineoutcome WHERE live"
        check("outcomes on lines", self._count(on_lines), outcomes)
        check("outcomes counted by lines", self._count(lines), outcomes)
        check("invoiced customers", self._count("SELECT count(DISTINCT customer_id) FROM invoicing_invoice"), customers)
        check("the last number", self._count("SELECT max(right(number, 6)::int) FROM invoicing_invoice"), customers)
        wrong = """
            SELECT count(*) FROM invoicing_invoice i
            WHERE total_minor <> (SELECT sum(amount_minor) FROM invoicing_invoiceline l WHERE l.invoice_id = i.id)
        """
        check("totals that are not those of their lines", self._count(wrong), 0)

    # --- What is stored ---

    def empty(self) -> None:
        """No invoice yet."""
        self.database.execute(f"TRUNCATE {WRITTEN} CASCADE")
        self.database.execute("CHECKPOINT")

    def fill(self, customers: int, outcomes: int, teams: int = 1) -> None:
        """So many customers with a contract like the model's, and so many confirmed outcomes of them, in equal parts,
        instead of what there was. Each priority and each of ``teams`` has a line of its own.
        """
        database = self.database
        database.execute(f"TRUNCATE {WRITTEN}, outcomes_outcome CASCADE")
        database.execute("DELETE FROM contracts_contractversion WHERE contract_id IN (SELECT id FROM bench_contract)")
        database.execute("DELETE FROM contracts_contract WHERE id IN (SELECT id FROM bench_contract)")
        database.execute("DELETE FROM contracts_customer WHERE id IN (SELECT customer_id FROM bench_contract)")
        database.execute("TRUNCATE bench_contract")
        began = self.start - timedelta(days=90)
        database.execute(_CONTRACTS, {"customers": customers, "key": "bench-"})
        for table, changes in _COPIED.items():
            columns, changed = stored.copied(database, table, changes)
            database.execute(
                f"INSERT INTO {table} ({columns}) SELECT {changed} FROM bench_contract b, {_saved(table)} AS piece",
                {"began": began},
            )
        copies = outcomes // PIECE
        span = (self.end - self.start - 2 * WINDOW) / copies
        kept = stored.drop_indexes(database, ["outcomes_outcome"])
        columns, changed = stored.copied(database, "outcomes_outcome", _OUTCOME)
        database.execute(
            f"INSERT INTO outcomes_outcome ({columns}) SELECT {changed} "
            f"FROM generate_series(0, %(copies)s::int - 1) AS k "
            f"JOIN bench_contract b ON b.number = k %% %(customers)s, {_saved('outcomes_outcome')} AS piece ORDER BY k",
            {"copies": copies, "customers": customers, "span": span, "subjects": PIECE, "teams": teams},
        )
        for statement in kept:
            database.execute(statement)
        database.execute("VACUUM (ANALYZE) outcomes_outcome, contracts_customer, contracts_contract")
        database.execute("VACUUM (ANALYZE) contracts_contractversion")
        check("outcomes stored", self._count("SELECT count(*) FROM outcomes_outcome"), outcomes)
        say(f"{customers:,} customers with {outcomes:,} outcomes are stored")

    def _count(self, query: Any) -> int:
        [(count,)] = self.database.execute(query).fetchall()
        return int(count or 0)


# The invoice comes last: once it is there, its lines are frozen.
_BY_HAND = (
    """
    SELECT condition_id, dimensions, count(*), sum(quantity) FROM outcomes_outcome
    WHERE customer_id = %(customer)s AND state = 'confirmed' AND settled_at >= %(from)s AND settled_at < %(to)s
    GROUP BY condition_id, dimensions
    """,
    """
    INSERT INTO invoicing_invoiceline SELECT l.* FROM made_invoiceline l JOIN made_invoice i ON i.id = l.invoice_id
    WHERE i.customer_id = %(customer)s
    """,
    """
    INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live)
    SELECT l.id, o.id, true FROM outcomes_outcome o
    JOIN made_invoice i ON i.customer_id = o.customer_id
    JOIN made_invoiceline l ON l.invoice_id = i.id AND l.dimensions = o.dimensions AND l.condition_id = o.condition_id
    WHERE o.customer_id = %(customer)s AND o.state = 'confirmed'
      AND o.settled_at >= %(from)s AND o.settled_at < %(to)s
    """,
    "INSERT INTO invoicing_invoice SELECT * FROM made_invoice WHERE customer_id = %(customer)s",
    """
    INSERT INTO invoicing_numberseries (key, prefix, next_number) VALUES ('invoice', 'HF-', 2)
    ON CONFLICT (key) DO UPDATE SET next_number = invoicing_numberseries.next_number + 1
    """,
)

# One row for each customer to be made, with the id of its contract.
_CONTRACTS = """
INSERT INTO bench_contract (number, customer_id, id)
SELECT k, (SELECT max(id) FROM contracts_customer) + 1 + k, gen_random_uuid()
FROM generate_series(0, %(customers)s::int - 1) AS k
"""
_COPIED: dict[str, dict[str, str]] = {
    "contracts_customer": {
        "id": "b.customer_id",
        "key": "'bench-' || b.number",
        "name": "'Customer ' || b.number",
        "partition": "b.number %% 64",
    },
    "contracts_contract": {"id": "b.id", "customer_id": "b.customer_id", "starts_at": "%(began)s::timestamptz"},
    "contracts_contractversion": {
        "id": "nextval(pg_get_serial_sequence('contracts_contractversion', 'id'))",
        "contract_id": "b.id",
        "effective_at": "%(began)s::timestamptz",
    },
}
_LATER = "{0} + k * %(span)s::interval"
_OUTCOME = {
    "id": stored.NEXT_UUID,
    "subject_id": stored.NEXT_SUBJECT,
    "customer_id": "b.customer_id",
    "partition": "b.number %% 64",
    "dimensions": "{0} || CASE WHEN %(teams)s > 1 THEN jsonb_build_object('team', k %% %(teams)s) ELSE '{{}}' END",
} | dict.fromkeys(("first_time", "last_time", "met_at", "settles_at", "settled_at"), _LATER)


def _saved(table: str) -> str:
    return f"piece_of_{table}"


def _piece(database: psycopg.Connection, start: datetime) -> None:
    """`PIECE` outcomes of the model, of all priorities, accepted and evaluated as the month began, settled a window
    later. They, the model and its contract are set aside in tables of their own.
    """
    import msgspec

    from outcomes.evaluation import evaluate_waiting
    from outcomes.intake import accept
    from outcomes.months import ensure_months
    from outcomes.wire import read_events
    from settlement.sweep import settle_due

    ensure_months(start)
    events = [
        {
            "id": f"e{n}",
            "type": "incident.resolved",
            "customer": MODEL,
            "time": (start + timedelta(seconds=n)).isoformat(),
            "data": {"number": f"INC{n}", "priority": PRIORITIES[n % len(PRIORITIES)]},
        }
        for n in range(PIECE)
    ]
    then = start + timedelta(minutes=1)
    results = accept(read_events([msgspec.json.encode(event) for event in events]), now=then)
    check("events accepted", sum(result.status == "accepted" for result in results), PIECE)
    evaluate_waiting(then)
    check("outcomes confirmed", settle_due(then + WINDOW)["confirmed"], PIECE)
    of_model = "(SELECT id FROM contracts_customer WHERE key = %(model)s)"
    of_contract = f"(SELECT id FROM contracts_contract WHERE customer_id = {of_model})"
    for table, rows in {
        "outcomes_outcome": "true",
        "contracts_customer": f"id = {of_model}",
        "contracts_contract": f"id = {of_contract}",
        "contracts_contractversion": f"contract_id = {of_contract}",
    }.items():
        made = f"CREATE TABLE {_saved(table)} AS SELECT * FROM {table} WHERE {rows}"
        psycopg.ClientCursor(database).execute(made, {"model": MODEL})
    database.execute("CREATE TABLE bench_contract (number int PRIMARY KEY, customer_id bigint, id uuid)")


class _Memory:
    """Within the block, how much more memory than before was needed at most: ``most``, in bytes.

    Of this process the kernel keeps the peak; of the server's process for a connection, memory that is not shared is
    sampled.
    """

    def __init__(self, backend: int) -> None:
        self._backend = backend
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.most = {"python": 0, "postgres": 0}

    def __enter__(self) -> "_Memory":
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        self._python, self._server = _status("self", "VmRSS"), _status(self._backend, "RssAnon")
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.most["python"] = _status("self", "VmHWM") - self._python

    def _sample(self) -> None:
        while not self._over.wait(0.02):
            with suppress(OSError):
                self.most["postgres"] = max(self.most["postgres"], _status(self._backend, "RssAnon") - self._server)


def _status(process: int | str, name: str) -> int:
    """A size of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{process}/status has no {name}")


# --- The report -------------------------------------------------------------------------------------------------------


def _aims(rows: dict[Key, Figures], sizes: Sizes) -> list[report.Aim]:
    outcomes, customers, total = sizes.outcomes, sizes.customers, sizes.customers * PIECE
    one, many = rows[ONE, outcomes], rows[MANY, total]
    bare_one, bare_many = rows[BARE_ONE, outcomes].fastest, rows[BARE_MANY, total].fastest
    growth = (one.memory["python"] - rows[ONE, sizes.fewer].memory["python"]) / 2**20
    idle = rows[AGAIN, total].fastest
    lines = rows[LINES, sizes.fewer].fastest / rows[ONE, sizes.fewer].fastest
    return [
        report.Aim(f"{outcomes:,} outcomes of one customer: seconds", one.fastest, 30, at_most=True),
        report.Aim(f"{outcomes:,} outcomes: time of bare SQL / of billing", bare_one / one.fastest, 0.5),
        report.Aim(f"{sizes.fewer:,} outcomes: time with 500 lines / with 4", lines, 2, at_most=True),
        report.Aim(f"memory of Python, {outcomes:,} - {sizes.fewer:,} outcomes: MiB", growth, 8, at_most=True),
        report.Aim(f"{customers:,} customers: customers/s", customers / many.fastest, 100),
        report.Aim(f"{customers:,} customers: time of a bare loop / of billing", bare_many / many.fastest, 0.1),
        report.Aim(f"{customers:,} customers, nothing is due: seconds", idle, 5, at_most=True),
    ]


def _table(rows: Sequence[Figures]) -> str:
    lines = [
        f"{'':<78}{'CPU, us an outcome':>19}{'memory, MiB more':>19}",
        f"{'':<30}{'customers':>10}{'outcomes':>11}{'rounds':>7}{'fastest s':>10}{'customers/s':>12}"
        f"{'postgres':>10}{'python':>8}{'python':>10}{'postgres':>9}",
    ]
    lines += [
        f"{row.what:<30}{row.customers:>10,}{row.outcomes:>11,}{len(row.seconds):>7}{row.fastest:>10.2f}"
        f"{row.customers / row.fastest:>12,.1f}{row.micro('postgres'):>10.1f}{row.micro('python'):>8.1f}"
        f"{row.memory['python'] / 2**20:>10.1f}{row.memory['postgres'] / 2**20:>9.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to standard error, so that the tables can be kept apart."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
