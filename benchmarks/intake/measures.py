"""The measurements over HTTP. Each checks that every event sent is stored and, with workers, evaluated exactly once."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.intake.events import Stream
from benchmarks.intake.home import Installation, Serving
from benchmarks.intake.load import Background, Connection, Load, closed_loop, open_loop
from benchmarks.intake.processes import Watch

PER_SECOND = 200
LATENCY_CONNECTIONS = 16


@dataclass
class Figures:
    """What one measurement found.

    ``events`` were done in ``seconds``. ``sending_seconds`` is the time until the last was accepted, ``backlog`` what
    waited for evaluation then. CPU is in seconds by kind of process, memory the mean MiB in the first and in the last
    third, latencies are in milliseconds.
    """

    events: int
    seconds: float
    sending_seconds: float
    backlog: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


class Wrong(Exception):
    """The counts do not agree: whatever the speed, the run is worth nothing."""


def check(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise Wrong(f"{what}: {found:,}, and {expected:,} were expected.")


def measure(
    pids: dict[str, int], work: Callable[[], Load], then: Callable[[], Any] = lambda: None
) -> tuple[Load, Watch, Any]:
    """Run ``work`` in a process of its own and watch the others; what ``then`` answers after it is part of it."""
    background = Background(work)
    with Watch(pids) as watch:
        load = background.run()
        after = then()
    watch.cpu["load"] = load.cpu_seconds
    return load, watch, after


def figures_of(load: Load, watch: Watch) -> Figures:
    memory = {kind: thirds for kind in watch.memory if (thirds := watch.thirds(kind))}
    return Figures(load.events, load.seconds, load.seconds, cpu=watch.cpu, memory=memory)


class Meter:
    """Measures one installation, for the ``run``-th time. Each measurement takes a number of its own, so its events are
    new.

    ``warm_up`` is in seconds. A measurement that is ``cold`` begins with a checkpoint, after which PostgreSQL logs each
    page that is touched as a whole.
    """

    def __init__(self, installed: Installation, *, warm_up: float, run: int = 1) -> None:
        self.installed = installed
        self.database = installed.connect()
        self.warm_up = warm_up
        self.numbers = itertools.count(1000 * run)

    # --- What the tables say ---

    def count(self, query: str, *parameters: object) -> int:
        row = self.database.execute(query, parameters).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def newest(self) -> int:
        return self.count("SELECT max(seq) FROM outcomes_event")

    def stored(self, after: int) -> int:
        return self.count("SELECT count(*) FROM outcomes_event WHERE seq > %s", after)

    def waiting(self) -> int:
        return self.count("SELECT count(*) FROM outcomes_pending")

    def drain(self) -> None:
        """Wait until nothing waits for evaluation. What a lost wake-up leaves behind, beat's sweep finds."""
        pause = 0.02
        while self.count("SELECT EXISTS (SELECT FROM outcomes_pending)::int"):
            time.sleep(pause)
            pause = min(pause * 1.2, 0.25)

    def forget_waiting(self) -> None:
        """Discard what intake alone left waiting, so that it is not the next measurement's work."""
        self.database.execute("TRUNCATE outcomes_pending")

    def check_evaluated(self, before: int, events: int, expected_subjects: int) -> None:
        """Whether all since ``before`` are stored and are evidence of a subject, each of exactly one."""
        check("events stored", self.stored(before), events)
        check(
            "subjects",
            self.count("SELECT count(*) FROM outcomes_subject WHERE last_seq > %s", before),
            expected_subjects,
        )
        evidence = """
            SELECT count(*) FROM outcomes_subject s JOIN outcomes_subject_event f ON f.subject_id = s.id
            WHERE s.last_seq > %s
        """
        check("events evaluated", self.count(evidence, before), events)

    # --- Measurements ---

    def intake(self, serving: Serving, streams: list[Stream], seconds: float, *, cold: bool = False) -> Figures:
        """HTTP to stored event, without workers."""
        connect = self._begin(serving, streams, cold=cold)
        before, number = self.newest(), next(self.numbers)
        load, watch, _ = measure(serving.pids, partial(closed_loop, connect, streams, number, seconds=seconds))
        check("events accepted", load.accepted, load.events)
        check("events stored", self.stored(before), load.events)
        check("events waiting", self.waiting(), load.events)
        self.forget_waiting()
        self._repeat = partial(closed_loop, connect, streams, number, limits=load.sent)
        return figures_of(load, watch)

    def again(self, serving: Serving) -> Figures:
        """All that `intake` sent last once more: duplicates, each."""
        newest = self.newest()
        load, watch, _ = measure(serving.pids, self._repeat)
        check("duplicates", load.duplicates, load.events)
        check("duplicates stored", self.stored(newest), 0)
        return figures_of(load, watch)

    def outcomes(self, serving: Serving, streams: list[Stream], seconds: float, *, cold: bool = False) -> Figures:
        """HTTP to committed outcome: load for so long, then until nothing waits, and that time counts."""
        connect = self._begin(serving, streams, cold=cold)
        before, number = self.newest(), next(self.numbers)

        def rest() -> tuple[int, float]:
            began = time.monotonic()
            backlog = self.waiting()
            self.drain()
            return backlog, time.monotonic() - began

        load, watch, (backlog, drained) = measure(
            serving.pids, partial(closed_loop, connect, streams, number, seconds=seconds), rest
        )
        check("events accepted", load.accepted, load.events)
        self.check_evaluated(before, load.events, subjects(streams, load.sent))
        figures = figures_of(load, watch)
        figures.seconds, figures.backlog = load.seconds + drained, backlog
        return figures

    def latency(self, serving: Serving, stream: Stream, seconds: float) -> Figures:
        """Single events by a schedule, with workers: milliseconds from the instant each was due to its answer."""
        connect = self._begin(serving, [stream])
        before, number = self.newest(), next(self.numbers)
        work = partial(open_loop, connect, stream, number, PER_SECOND, seconds, LATENCY_CONNECTIONS)
        load, watch, _ = measure(serving.pids, work, self.drain)
        check("events accepted", load.accepted, round(PER_SECOND * seconds))
        self.check_evaluated(before, load.events, subjects([stream], [load.requests]))
        figures = figures_of(load, watch)
        figures.latency = percentiles(load.latencies)
        return figures

    # --- How ---

    def _begin(self, serving: Serving, streams: list[Stream], *, cold: bool = False) -> Callable[[], Connection]:
        """Warm everything up with the same requests, and leave nothing waiting; what opens connections."""
        connect = serving.connect(path_of(streams[0]))
        Background(partial(closed_loop, connect, streams, next(self.numbers), seconds=self.warm_up)).run()
        if "worker" in serving.pids:
            self.drain()
        else:
            self.forget_waiting()
        if cold:
            self.database.execute("CHECKPOINT")
        return connect


def path_of(stream: Stream) -> str:
    return "/v1/events" if stream.size == 1 else "/v1/events/batch"


def subjects(streams: list[Stream], sent: list[int]) -> int:
    """How many subjects the first so many requests of each stream have: an incident is one in each round."""
    total = 0
    for stream, requests in zip(streams, sent, strict=True):
        rounds, rest = divmod(requests, len(stream.bodies))
        whole = stream.events[: len(stream.bodies) * stream.size]
        total += rounds * len({(event.customer, event.number) for event in whole})
        total += len({(event.customer, event.number) for event in whole[: rest * stream.size]})
    return total


def percentiles(latencies: list[float]) -> dict[str, float]:
    """p50, p99 and the longest, in milliseconds."""
    ordered = sorted(latencies)
    return {
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
        "max": ordered[-1] * 1000,
    }
