"""How fast events fold into facts, and that it does not depend on how many came before.

    .venv/bin/python benchmarks/fold.py            prints a table; exit status 1 where a goal is missed with --check

Each step is what the engine does for one event of an attempt that is met: fold `attempt` and `void`, ask `met` and
`voided`. The machine's own pace is measured in the same run (a plain loop of dict reads), so that figures of two
machines compare.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conditions_dsl import Event, Program, compile, parse

DEMO = """outcome resolved_incident "Incident resolved"
per number
bill when incident.resolved or incident.closed
void when incident.new or incident.active or incident.awaiting.*
settle after 72 hours
dimension priority = latest priority of incident.*
"""
GALLERY = Path(__file__).resolve().parent.parent / "conditions_dsl" / "gallery"
PRELUDE = 100
DEMO_TYPES = ["incident.new", "incident.active", "incident.awaiting.user_info", "incident.resolved", "incident.closed"]


def events_for(program: Program, types: list[str], count: int) -> list[Event]:
    """Events of these types with the fields that the conditions read, in order of time."""
    chance = random.Random(7)
    return [
        Event(
            f"e{n}",
            chance.choice(types),
            n * 60_000_000,
            n,
            {
                "number": "INC1",
                "priority": "3 - Moderate",
                "lead_id": 7,
                "campaign": "spring",
                "employees": chance.randrange(200),
                "country": chance.choice(["DE", "FR", "BR"]),
                "email": "a@example.com",
                "minutes": chance.randrange(30),
                "satisfied": chance.random() < 0.5,
                "score": Decimal(chance.randrange(100)) / 100,
                "page": f"/p/{chance.randrange(900)}",
                "reason": "fraud",
            },
        )
        for n in range(count)
    ]


def steps_per_second(program: Program, events: list[Event], history_of: int) -> float:
    """Steps a second over `events`, with facts that start anew after each `history_of` events; the best of several
    runs.

    The first events of a history are folded untimed: what has been seen decides which branches a verdict takes, and the
    histories compared shall differ in length only.
    """
    fold, met, voided, new = program.fold, program.met, program.voided, program.new
    history = new("history")
    best = 0.0
    for _ in range(15):
        spent = 0.0
        for start in range(0, len(events), history_of):
            chunk = events[start : start + history_of]
            attempt, void = new("attempt"), new("void")
            for event in events[:PRELUDE]:
                fold("attempt", attempt, event)
                fold("void", void, event)
            begun = time.process_time()
            for event in chunk:
                fold("attempt", attempt, event)
                fold("void", void, event)
                met(attempt, history)
                voided(void, history)
            spent += time.process_time() - begun
        best = max(best, len(events) / spent)
    return best


def pace() -> float:
    """Millions of plain dict reads a second on this machine, now."""
    data = {"a": 1}
    best = 0.0
    for _ in range(5):
        begun = time.process_time()
        for _ in range(300_000):
            data["a"]
        best = max(best, 0.3 / (time.process_time() - begun))
    return best


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--check", action="store_true", help="fail where a goal is missed")
    check = options.parse_args().check
    largest = (GALLERY / "qualified_lead.outcome").read_text(encoding="utf-8")
    lead = compile(parse(largest))
    lead_types = sorted({name.text for name in lead.names})
    missed = False
    print(f"this machine: {pace():.1f} million dict reads a second\n")
    print(
        f"{'condition':<20}{'goal':>12}{'steps/s':>12}{'ratio':>8}{'10 events':>14}{'10,000 events':>16}{'growth':>9}"
    )
    rows: list[tuple[str, Program, list[str], int]] = [
        ("demo", compile(parse(DEMO)), DEMO_TYPES, 300_000),
        ("largest of gallery", lead, lead_types, 60_000),
    ]
    for name, program, types, goal in rows:
        events = events_for(program, types, 20_000)
        rate = steps_per_second(program, events, 20_000)
        short, long = (steps_per_second(program, events, size) for size in (10, 10_000))
        growth = short / long
        missed |= rate < goal or growth > 1.5
        cost: Callable[[float], str] = lambda per_second: f"{1e6 / per_second:.2f} us"  # noqa: E731
        print(
            f"{name:<20}{goal:>12,}{rate:>12,.0f}{rate / goal:>7.1f}x{cost(short):>14}{cost(long):>16}{growth:>8.2f}x"
        )
    return 1 if check and missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
