"""Measure intake and evaluation over HTTP, beside the raw insert and a hand-written endpoint, in one run."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.intake import home, reference, report, slow, stored
from benchmarks.intake.events import Sent, Stream, batches, load, shares
from benchmarks.intake.load import Background, Refused
from benchmarks.intake.measures import Figures, Meter, Wrong
from benchmarks.intake.profiling import profile
from billing_project.services import ServiceError, only_one

CONNECTIONS = 32
WORKERS = 2
SIZES = (100, 1000)
HISTORIES = (10, 100, 1000)
SECTIONS = ("raw", "handwritten", "intake", "outcomes", "latency", "slow")


@dataclass(frozen=True)
class Sizes:
    """How long and how much. ``seconds`` for outcomes; ``events`` of the log are used, all where it is None."""

    seconds: float = 60.0
    short_seconds: float = 10.0
    latency_seconds: float = 30.0
    warm_up: float = 2.0
    events: int | None = None
    slow_events: int = 20_000
    profile_events: int = 40_000


QUICK = Sizes(seconds=10.0, short_seconds=5.0, latency_seconds=10.0)
TINY = Sizes(
    seconds=0.5, short_seconds=0.3, latency_seconds=0.5, warm_up=0.1, events=8000, slow_events=1000, profile_events=1000
)


def main() -> int:
    chosen = _options().parse_args()
    sizes = TINY if chosen.tiny else QUICK if chosen.quick else Sizes()
    only = chosen.only or (() if chosen.profile else SECTIONS)
    if chosen.seconds is not None:
        sizes = replace(sizes, seconds=chosen.seconds)
    home.end_on_sigterm()
    say("making the load of the incident log")
    events = load(datetime.now(UTC), limit=sizes.events)
    rows: dict[report.Row, Figures] = {}
    try:
        with home.installation(home.own_home(chosen.homes)) as installed:
            if chosen.profile:
                # In a process of its own, because Django keeps to the first home that it sees.
                Background(partial(profile, installed, batches(events, 100), sizes.profile_events)).run()
            machine = report.machine(installed)
            _measure(Run(Meter(installed, warm_up=sizes.warm_up), sizes, events, rows), only)
        if chosen.stored:
            _measure_stored(chosen.homes, only, sizes, events, rows, chosen.stored)
    except (Wrong, Refused, ServiceError) as error:
        print(error, file=sys.stderr)
        return 1
    if not rows:
        return 0
    found = list(report.aims(rows, chosen.stored))
    print(f"{json.dumps(machine)}\n\n{report.table(rows)}\n\n{report.aim_table(found)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(machine, rows, found), indent=1) + "\n")
    return 1 if chosen.check and not all(aim.met for aim in found) else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks intake", description=__doc__)
    options.add_argument("--quick", action="store_true", help="10 seconds instead of 60")
    options.add_argument("--tiny", action="store_true", help="as little as can be; the figures mean nothing")
    options.add_argument("--seconds", type=float, help="how long to send from HTTP to committed outcome (60)")
    options.add_argument("--only", type=_sections, default=(), help=f"some of {','.join(SECTIONS)}")
    options.add_argument("--stored", type=_count, default=0, metavar="N", help="again with so many events stored")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options.add_argument("--check", action="store_true", help="exit status 1 where an aim is missed")
    options.add_argument("--profile", action="store_true", help="show in which functions and statements the time goes")
    options.add_argument("--homes", type=Path, default=home.HOMES, metavar="DIR", help="where data lie (.local/bench)")
    return options


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; choose of {','.join(SECTIONS)}")
    return names


def _count(text: str) -> int:
    count = int(text)
    if count < 1000:
        raise argparse.ArgumentTypeError("give 1000 or more")
    return count


@dataclass(frozen=True)
class Run:
    """One installation under measurement; ``rows`` collects what is found."""

    meter: Meter
    sizes: Sizes
    events: list[Sent]
    rows: dict[report.Row, Figures]

    def streams(self, size: int, *around: bytes) -> list[Stream]:
        connections = max(1, min(CONNECTIONS, len(self.events) // size))
        parts = [part for part in shares(self.events, connections) if len(part) >= size]
        return [batches(part, size, *around) for part in parts or [self.events]]

    def note(self, what: str, size: int, measured: Callable[[], Figures]) -> None:
        say(f"... {what}, {size:,} a request")
        self.rows[what, size] = measured()
        say(report.line((what, size), self.rows[what, size]))


def _measure(run: Run, only: tuple[str, ...]) -> None:
    meter, sizes, installed = run.meter, run.sizes, run.meter.installed
    if "raw" in only:
        with reference.raw_tables(installed):
            for clients, what in ((1, report.RAW_ONE), (2, report.RAW_TWO)):
                parts = shares(run.events, clients)
                for size in SIZES:
                    run.note(what, size, partial(reference.raw, meter, parts, size, sizes.short_seconds))
    if "handwritten" in only:
        with reference.handwritten(installed) as serving:
            for size in (1, *SIZES):
                streams = run.streams(size, b"[", b"]")
                work = partial(reference.by_hand, meter, serving, streams, sizes.short_seconds)
                run.note(report.BY_HAND, size, work)
    if {"intake", "slow"} & set(only):
        with home.serving(installed) as serving:
            for size in (1, *SIZES) if "intake" in only else ():
                streams = run.streams(size)
                run.note(report.INTAKE, size, partial(meter.intake, serving, streams, sizes.short_seconds))
                run.note(report.DUPLICATES, size, partial(meter.again, serving))
            for history in HISTORIES if "slow" in only else ():
                customers = sorted({event.customer for event in run.events})[:20]
                work = partial(slow.replays, meter, serving, customers, history, sizes.slow_events // history)
                run.note(report.SLOW.format(history), 1, work)
    if {"outcomes", "latency"} & set(only):
        with home.serving(installed, workers=WORKERS) as serving:
            for size in SIZES if "outcomes" in only else ():
                run.note(report.OUTCOMES, size, partial(meter.outcomes, serving, run.streams(size), sizes.seconds))
            if "latency" in only:
                one = batches(run.events, 1)
                run.note(report.LATENCY, 1, partial(meter.latency, serving, one, sizes.latency_seconds))


def _measure_stored(
    homes: Path,
    only: tuple[str, ...],
    sizes: Sizes,
    events: list[Sent],
    rows: dict[report.Row, Figures],
    count: int,
) -> None:
    """Intake alone and to committed outcome with so many events stored, right after a checkpoint and then once more."""
    with only_one(homes / f"stored-{count}.lock", "Another benchmark uses this store: wait until it has ended."):
        path, runs = stored.home_with(homes, count, say)
        with home.installation(path, keep=True) as installed:
            run = Run(Meter(installed, warm_up=sizes.warm_up, run=runs), sizes, events, rows)
            for size in SIZES:
                if "intake" in only:
                    with home.serving(installed) as serving:
                        work = partial(run.meter.intake, serving, run.streams(size), sizes.short_seconds)
                        _cold_and_warm(run, report.INTAKE, count, size, work)
                if "outcomes" in only:
                    # Anew for each size: beat bills after five minutes, which is not what is measured.
                    with home.serving(installed, workers=WORKERS) as serving:
                        work = partial(run.meter.outcomes, serving, run.streams(size), sizes.seconds)
                        _cold_and_warm(run, report.OUTCOMES, count, size, work)


def _cold_and_warm(run: Run, what: str, count: int, size: int, work: Callable[..., Figures]) -> None:
    run.note(report.COLD.format(what, count), size, partial(work, cold=True))
    run.note(report.WARM.format(what, count), size, work)


def say(text: str) -> None:
    """Progress goes to standard error, so that the tables can be kept apart."""
    print(text, file=sys.stderr, flush=True)
