"""What was measured, as tables and as JSON, beside what it should be."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.intake.home import Installation
from benchmarks.intake.measures import Figures

# (what was measured, events a request)
Row = tuple[str, int]

RAW_ONE, RAW_TWO = "raw insert, one client", "raw insert, two clients"
BY_HAND = "hand-written endpoint"
INTAKE = "intake alone"
DUPLICATES = "intake alone, duplicates"
OUTCOMES = "to committed outcome"
LATENCY = "single events by schedule"
SLOW = "slow path, history of {:,}"
COLD, WARM = "{}, {:,} stored, cold", "{}, {:,} stored, warm"

KINDS = ("web", "worker", "postgres", "redis", "beat", "load")
# Memory is called flat where the last third of the time needs at most so much of the first.
FLAT = 1.05


class Aim(NamedTuple):
    """A figure and what it should be at least, or at most."""

    what: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def aims(rows: dict[Row, Figures], stored: int) -> Iterator[Aim]:
    """Those whose rows were measured."""

    def speed(what: str, size: int) -> float | None:
        return rows[what, size].per_second if (what, size) in rows else None

    if found := speed(INTAKE, 100):
        yield Aim("intake alone, batches of 100: events/s", found, 30_000)
    for size in (100, 1000):
        limit = max(speed(RAW_ONE, size) or 0, speed(RAW_TWO, size) or 0)
        if limit and (found := speed(INTAKE, size)):
            yield Aim(f"intake alone / raw insert (the faster), batches of {size:,}", found / limit, 0.5)
    for size, bound in ((100, 2.5), (1000, 2.5), (1, 4.0)):
        if (found := speed(INTAKE, size)) and (other := speed(BY_HAND, size)):
            many = "single events" if size == 1 else f"batches of {size:,}"
            yield Aim(f"intake alone / hand-written endpoint, {many}", found / other, bound)
    for size in (100, 1000):
        if found := speed(OUTCOMES, size):
            yield Aim(f"HTTP to committed outcome, batches of {size:,}: events/s", found, 15_000)
            if memory := rows[OUTCOMES, size].memory.get("worker"):
                what = f"memory of the workers, last third / first third, batches of {size:,}"
                yield Aim(what, memory[1] / memory[0], FLAT, at_most=True)
    if (LATENCY, 1) in rows:
        yield Aim("a single event at 200 requests/s: p99 in ms", rows[LATENCY, 1].latency["p99"], 10, at_most=True)
    for what in (INTAKE, OUTCOMES):
        for size in (100, 1000):
            for state in (COLD, WARM):
                name = state.format(what, stored)
                if (found := speed(name, size)) and (empty := speed(what, size)):
                    yield Aim(f"{name} / empty, batches of {size:,}", found / empty, 0.8)


def machine(installed: Installation) -> dict[str, Any]:
    """What the figures were measured on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    with installed.connect() as database:
        settings = {name: database.execute(f"SHOW {name}").fetchall()[0][0] for name in names}
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "postgres": settings,
    }


def line(row: Row, figures: Figures) -> str:
    """One measurement as a line of the table."""
    what, size = row
    cpu = "".join(
        f"{figures.cpu[kind] / figures.events * 1e6:>9.1f}" if kind in figures.cpu else f"{'':>9}" for kind in KINDS
    )
    return f"{what:<44}{size:>6,}{figures.events:>11,}{figures.seconds:>7.1f}{figures.per_second:>10,.0f}{cpu}"


HEAD = f"{'':<78}{'CPU, us an event':>18}\n{'':<44}{'batch':>6}{'events':>11}{'s':>7}{'events/s':>10}" + "".join(
    f"{kind:>9}" for kind in KINDS
)


def details(row: Row, figures: Figures) -> Iterator[str]:
    """What does not fit the line."""
    if figures.backlog:
        yield (
            f"accepted {figures.events / figures.sending_seconds:,.0f} events/s; {figures.backlog:,} waited when the "
            f"load ended, evaluated {figures.seconds - figures.sending_seconds:.1f} s later"
        )
    if figures.latency:
        yield ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in figures.latency.items())
    if row[0].startswith(OUTCOMES):
        for kind, (first, last) in figures.memory.items():
            yield f"memory of {kind}: {first:.0f} MiB in the first third, {last:.0f} in the last"


def table(rows: dict[Row, Figures]) -> str:
    lines = [HEAD]
    for row, figures in rows.items():
        lines.append(line(row, figures))
        lines += [f"    {text}" for text in details(row, figures)]
    return "\n".join(lines)


def aim_table(found: list[Aim]) -> str:
    lines = [f"{'':<76}{'found':>10}{'aim':>12}"]
    for aim in found:
        number = f"{aim.value:,.0f}" if aim.bound >= 1000 else f"{aim.value:.2f}"
        bound = f"{'<=' if aim.at_most else '>='} {aim.bound:,g}"
        lines.append(f"{aim.what:<76}{number:>10}{bound:>12}  {'met' if aim.met else 'MISSED'}")
    return "\n".join(lines)


def as_json(machine: dict[str, Any], rows: dict[Row, Figures], found: list[Aim]) -> dict[str, Any]:
    return {
        "machine": machine,
        "figures": [
            {"what": what, "batch": size, "events_per_second": figures.per_second, **asdict(figures)}
            for (what, size), figures in rows.items()
        ],
        "aims": [aim._asdict() | {"met": aim.met} for aim in found],
    }
