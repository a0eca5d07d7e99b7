"""The benchmarks run and count right. Nothing here says how fast anything is."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks import billing
from benchmarks.intake import events, home, load, report, stored
from benchmarks.intake.measures import Figures, Wrong, check, percentiles, subjects
from benchmarks.intake.processes import cpu_seconds, resident
from benchmarks.intake.profiling import statements
from benchmarks.sweep import RAW, SWEEP
from billing_project import embedded
from tests.project.running import ROOT

NOW = datetime(2026, 3, 1, tzinfo=UTC)


# --- The whole, as a user runs it -------------------------------------------------------------------------------------


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)


SLOW = pytest.mark.skipif(not os.environ.get("HOLDFAST_SLOW_TESTS"), reason="a minute each: set HOLDFAST_SLOW_TESTS=1")


def test_intake_is_measured(tmp_path: Path) -> None:
    done = bench("intake", "--tiny", "--only", "raw,intake", "--homes", str(tmp_path / "homes"))
    assert done.returncode == 0, done.stderr
    for what in (report.RAW_ONE, report.INTAKE, report.DUPLICATES):
        assert f"{what:<44}{100:>6,}" in done.stdout


@SLOW
def test_the_sweep_is_measured(tmp_path: Path) -> None:
    # Counts that do not agree would end the run with status 1: each outcome that is due is confirmed once, at its time.
    done = bench("sweep", "--tiny", "--homes", str(tmp_path / "homes"))
    assert done.returncode == 0, done.stderr
    for what, due, among in ((SWEEP, 100, 100), (SWEEP, 100, 5000), (SWEEP, 500, 5000), (RAW, 500, 5000)):
        assert f"{what:<24}{due:>9,}{among:>11,}{2:>8}" in done.stdout
    assert "outcome_due" in done.stdout, "the plan"
    assert done.stdout.count(" >= ") == 3 and done.stdout.count(" <= ") == 2
    assert list((tmp_path / "homes").iterdir()) == [], "stopped and removed"


@SLOW
def test_lists_are_measured(tmp_path: Path) -> None:
    # A page that does not open would end the run with status 1.
    done = bench("lists", "--tiny", "--homes", str(tmp_path / "homes"))
    assert done.returncode == 0, done.stderr
    for place in ("outcomes.outcome", "invoicing.invoice", "webhooks.delivery", "front page", "invoice of 500 lines"):
        assert f"\n{place:<38}" in done.stdout
    assert done.stdout.count(" <= ") == 5
    assert list((tmp_path / "homes").iterdir()) == [], "stopped and removed"


@SLOW
def test_simulation_is_measured(tmp_path: Path) -> None:
    # Counts that do not agree would end the run with status 1: copies of the log come to as many times what one does.
    done = bench("simulation", "--tiny", "--homes", str(tmp_path / "homes"))
    assert done.returncode == 0, done.stderr
    for what, workers in (("what is in force", 1), ("other prices", 1), ("another text", 1), ("another text", 2)):
        assert f"{what:<20}{2000:>12,}{workers:>9}{1:>8}" in done.stdout
    assert done.stdout.count(" >= ") == 4 and done.stdout.count(" <= ") == 2
    assert list((tmp_path / "homes").iterdir()) == [], "stopped and removed"


@SLOW
def test_billing_is_measured(tmp_path: Path) -> None:
    # Counts that do not agree would end the run with status 1: each outcome is on one line, numbers have no gap.
    done = bench("billing", "--tiny", "--homes", str(tmp_path / "homes"))
    assert done.returncode == 0, done.stderr
    for what, customers, outcomes in (
        *((what, 1, count) for what in (billing.ONE, billing.BARE_ONE) for count in (1000, 2000)),
        (billing.LINES, 1, 1000),
        *((what, 10, 200) for what in (billing.MANY, billing.BARE_MANY, billing.AGAIN, billing.RUNNING)),
    ):
        assert f"{what:<30}{customers:>10,}{outcomes:>11,}{1:>7}" in done.stdout
    assert done.stdout.count(" >= ") == 3 and done.stdout.count(" <= ") == 4
    assert list((tmp_path / "homes").iterdir()) == [], "stopped and removed"


@SLOW
def test_every_measurement_gives_its_figures(tmp_path: Path) -> None:
    # Counts that do not agree would end the run with status 1: each event is accepted, stored and evaluated once.
    homes, figures_file = tmp_path / "homes", tmp_path / "figures.json"
    sections = "raw,handwritten,intake,slow,outcomes,latency"
    done = bench(
        *("intake", "--tiny", "--profile", "--only", sections, "--homes", str(homes), "--json", str(figures_file))
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures_file.read_text())
    figures = {(figure["what"], figure["batch"]): figure for figure in found["figures"]}
    assert list(figures) == [
        *((what, size) for what in (report.RAW_ONE, report.RAW_TWO) for size in (100, 1000)),
        *((report.BY_HAND, size) for size in (1, 100, 1000)),
        *((what, size) for size in (1, 100, 1000) for what in (report.INTAKE, report.DUPLICATES)),
        *((report.SLOW.format(history), 1) for history in (10, 100, 1000)),
        *((report.OUTCOMES, size) for size in (100, 1000)),
        (report.LATENCY, 1),
    ]
    for (what, size), figure in figures.items():
        assert figure["events"] > 0 and figure["events_per_second"] > 0, what
        assert figure["events"] % size == 0, what
        assert f"{what:<44}{size:>6,}" in done.stdout
    assert set(figures[report.OUTCOMES, 100]["cpu"]) == {"web", "worker", "beat", "postgres", "redis", "load"}
    assert figures[report.LATENCY, 1]["events"] == 100
    assert set(figures[report.LATENCY, 1]["latency"]) == {"p50", "p99", "max"}
    assert found["machine"]["postgres"]["fsync"] == "on"
    assert found["machine"]["postgres"]["synchronous_commit"] == "on"
    # A second may be too short for thirds of the memory; every other aim without stored events has its line.
    assert len([aim for aim in found["aims"] if not aim["what"].startswith("memory")]) == 9
    assert all(aim["what"] in done.stdout for aim in found["aims"])
    # The profile: functions and statements, of intake and of evaluation.
    assert done.stdout.count("1,000 events,") == 4
    assert "read_event" in done.stdout
    assert "COMMIT" in done.stdout
    assert list(homes.iterdir()) == [], "stopped and removed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sweeep"],
            "There is no benchmark 'sweeep'; known are: billing, fold, intake, lists, simulation, storage, sweep.",
        ),
        (["--quick"], "Options belong to one benchmark: name it before them"),
        (["intake", "--only", "raw,cooked"], "there is no cooked; choose of raw,handwritten"),
        (["intake", "--stored", "10"], "give 1000 or more"),
        (["sweep", "--stored", "1000"], "--stored 1,000 is less than what becomes due in the run."),
    ],
)
def test_words_that_mean_nothing_are_refused(words: list[str], message: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert message in done.stderr


# --- Stored events ----------------------------------------------------------------------------------------------------


@SLOW
def test_stored_events_are_copies_of_what_the_engine_wrote(tmp_path: Path) -> None:
    said: list[str] = []
    path, runs = stored.home_with(tmp_path, 2000, said.append)
    assert runs == 1
    told = len(said)
    assert told > 0
    assert stored.home_with(tmp_path, 2000, said.append) == (path, 2)
    assert len(said) == told, "it was used again"
    try:
        with home.Installation(path, "").connect() as database:

            def one(query: str) -> Any:
                [(value,)] = database.execute(query).fetchall()
                return value

            piece = one("SELECT count(*) FROM outcomes_event WHERE position('~' IN event_id) = 0")
            copies = 2000 // piece
            total = copies * piece
            assert copies >= 10 and total > 1800
            for table in ("outcomes_event", "outcomes_event_identity", "outcomes_subject_event"):
                assert one(f"SELECT count(*) FROM {table}") == total
            incidents = one("SELECT count(*) FROM outcomes_subject WHERE position('~' IN key) = 0")
            assert one("SELECT count(*) FROM outcomes_subject") == copies * incidents
            assert 4 < piece / incidents < 12, "whole incidents"
            # Every event has its identity; every outcome its subject, its journal and events that exist.
            assert (
                one("SELECT count(*) FROM outcomes_event JOIN outcomes_event_identity USING (seq, event_id)") == total
            )
            assert one("SELECT count(*) FROM outcomes_subject_event JOIN outcomes_event USING (seq)") == total
            outcomes = one("SELECT count(*) FROM outcomes_outcome")
            assert outcomes >= copies * incidents
            assert outcomes == one(
                "SELECT count(*) FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id "
                "JOIN outcomes_event e ON e.seq = o.first_seq AND e.customer_id = s.customer_id"
            )
            assert one("SELECT count(DISTINCT outcome_id) FROM outcomes_journal") == outcomes
            assert one("SELECT count(*) FROM outcomes_outcome WHERE state = 'confirmed'") > 0
            assert one("SELECT nextval('outcomes_seq')") > one("SELECT max(seq) % 1000000000000 FROM outcomes_event")
            assert one("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
            assert one("SELECT count(*) FROM pg_class WHERE relname = 'one_confirmed_per_subject'") == 1
    finally:
        embedded.stop_all(path)


# --- The parts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told() -> list[events.Sent]:
    return events.load(NOW, limit=3000)


def test_the_load_is_the_log_in_the_day_before_now(told: list[events.Sent]) -> None:
    bodies = [json.loads(event.body) for event in told]
    times = [datetime.fromisoformat(body["time"]) for body in bodies]
    assert len(told) == 3000
    assert times == sorted(times)
    assert (NOW - times[0]).days == 1 and times[-1] < NOW
    assert len({body["id"] for body in bodies}) == 3000
    assert all(body["id"].endswith(events.TOKEN.decode()) for body in bodies)
    assert not [body for body in bodies if body["customer"] == events.NOBODY]
    assert len(events.token(7, 3)) == len(events.TOKEN) and events.token(7, 3) != events.token(73, 0)


def test_a_customer_is_on_one_connection_in_order(told: list[events.Sent]) -> None:
    parts = events.shares(told, 4)
    assert sorted(event.body for part in parts for event in part) == sorted(event.body for event in told)
    customers = [{event.customer for event in part} for part in parts]
    assert sum(map(len, customers)) == len(set().union(*customers))
    assert max(map(len, parts)) < 1.2 * min(map(len, parts))
    place = {event.body: n for n, event in enumerate(told)}
    assert all([place[event.body] for event in part] == sorted(place[event.body] for event in part) for part in parts)


def test_subjects_are_counted_by_what_was_sent() -> None:
    told = [events.Sent("a", number, b"{}") for number in ("1", "1", "2", "3", "4")]
    stream = events.batches(told, 2)
    assert stream.bodies == [b'{"events":[{},{}]}'] * 2  # the fifth fills no batch
    assert [subjects([stream], [sent]) for sent in range(5)] == [0, 1, 3, 4, 6]


def test_percentiles() -> None:
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"p50": 51.0, "p99": 100.0, "max": 100.0}


def test_counts_that_differ_end_the_run() -> None:
    check("events", 3, 3)
    with pytest.raises(Wrong, match="events: 2, and 3 were expected"):
        check("events", 2, 3)


class _Answers(BaseHTTPRequestHandler):
    """202 to three requests on a connection, then it closes it; 422 where the body says so."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.served = getattr(self, "served", 0) + 1
        self.close_connection = self.served == 3
        content = b'{"accepted": 1, "duplicates": 0}' if body != b"bad" else b'{"error": "no"}'
        self.send_response(202 if body != b"bad" else 422)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_load_goes_on_when_the_server_closes_a_connection(answering: int) -> None:
    stream = events.Stream([b"a", b"b"], 1, [])
    connect = partial(load.HttpConnection, "127.0.0.1", answering, "/", "Bearer x")
    found = load.closed_loop(connect, [stream, stream], 1, limits=[7, 5])
    assert (found.requests, found.accepted, found.sent) == (12, 12, [7, 5])
    by_schedule = load.open_loop(connect, stream, 1, per_second=500, seconds=0.1, connections=3)
    assert by_schedule.accepted == len(by_schedule.latencies) == 50
    assert by_schedule.seconds >= 49 / 500


def test_what_is_refused_ends_the_load(answering: int) -> None:
    stream = events.Stream([b"bad"], 1, [])
    connect = partial(load.HttpConnection, "127.0.0.1", answering, "/", "Bearer x")
    with pytest.raises(load.Refused, match="422"):
        load.Background(partial(load.closed_loop, connect, [stream], 1, limits=[1])).run()


def test_cpu_and_memory_are_those_of_the_whole_family() -> None:
    burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    # One grandchild that has ended, one that lives.
    script = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]);"
        f"subprocess.Popen([sys.executable, '-c', {burn + chr(10) + 'time.sleep(60)'!r}]);"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            deadline = time.monotonic() + 30
            # Each process loses up to a tick of its time.
            while cpu_seconds(process.pid) < 0.55 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert 0.55 <= cpu_seconds(process.pid) < 5
            own = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            assert resident(process.pid) > 1.5 * own
        finally:
            subprocess.run(["kill", *Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()])
            process.kill()


def test_statements_are_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(
        "2026-03-01 10:00:00 UTC [1] LOG:  duration: 9.0 ms  statement: SELECT 'before'\n"
        "2026-03-01 10:00:01 UTC [1] LOG:  duration: 1.500 ms  statement: \n"
        "\tWITH a AS ( -- why\n"
        "\t  SELECT 'it''s' + 12)\n"
        "\tSELECT 1\n"
        "2026-03-01 10:00:02 UTC [1] LOG:  checkpoint starting: time\n"
        "2026-03-01 10:00:03 UTC [1] LOG:  duration: 2.5 ms  execute <unnamed>: COMMIT\n"
        "2026-03-01 10:00:04 UTC [1] LOG:  duration: 0.5 ms  statement: COMMIT\n"
    )
    first = len(log.read_text().split("\n")[0]) + 1
    assert statements(log, first) == {"WITH a AS ( SELECT ? + ?) SELECT ?": [1.5], "COMMIT": [2.5, 0.5]}


def test_aims_are_ratios_within_the_run() -> None:
    rows = {
        (report.RAW_ONE, 100): Figures(100, 1, 1),
        (report.RAW_TWO, 100): Figures(200, 1, 1),
        (report.BY_HAND, 100): Figures(30, 1, 1),
        (report.INTAKE, 100): Figures(90, 1, 1),
        (report.COLD.format(report.INTAKE, 5000), 100): Figures(81, 1, 1),
    }
    found = {aim.what: (aim.value, aim.met) for aim in report.aims(rows, 5000)}
    assert found == {
        "intake alone, batches of 100: events/s": (90, False),
        "intake alone / raw insert (the faster), batches of 100": (0.45, False),
        "intake alone / hand-written endpoint, batches of 100": (3.0, True),
        "intake alone, 5,000 stored, cold / empty, batches of 100": (0.9, True),
    }
