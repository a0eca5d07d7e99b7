"""`python -m tests.simulation`: play seeds in a database of its own, and say what was seen.

--seed N [--minimise]   one seed, with its trace
--seeds N [--from M]    so many seeds
--minutes N             for so long
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The seeded simulator.")
    parser.add_argument("--seed", type=int, help="play one seed and show its trace")
    parser.add_argument("--minimise", action="store_true", help="make a failing seed small")
    parser.add_argument("--seeds", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--minutes", type=float, help="as many as there is time for, from a random one unless told")
    parser.add_argument(
        "--mutant", metavar="NAME", help="find the first seed that finds this bug of mutants.py, or `all`"
    )
    parser.add_argument("--rare", action="store_true", help="list how often each rare thing happened")
    options = parser.parse_args()
    with database():
        from .run import artefact, play_seed

        if options.seed is not None:
            played = play_seed(options.seed)
            print("\n".join(played.trace))
            print(artefact(played, minimise=options.minimise) if played.failure else "All held.")
            return 1 if played.failure else 0
        if options.mutant:
            return hunt(options.mutant, range(options.first, options.first + options.seeds))
        first = options.first or (secrets.randbelow(10**9) if options.minutes else 0)
        began, last = time.monotonic(), None if options.minutes else first + options.seeds
        seed, violations, outcomes, days = first, 0, 0, 0.0
        faults: Counter[str] = Counter()
        rare: Counter[str] = Counter()
        while seed != last and (not options.minutes or time.monotonic() - began < options.minutes * 60):
            played = play_seed(seed)
            seed += 1
            outcomes += played.outcomes
            days += played.simulated.total_seconds() / 86_400
            faults.update(played.faults)
            faults.update(f"seeds with {fault}" for fault in played.world.faults)
            rare.update(played.sometimes)
            if played.failure:
                violations += 1
                print(artefact(played, minimise=options.minimise), flush=True)
            elif sys.stderr.isatty():
                print(f"\r{seed - first} seeds", end="", file=sys.stderr, flush=True)
        seconds = time.monotonic() - began
        print(
            f"\nseeds {first} to {seed - 1}: {seed - first} worlds in {seconds:.0f} s "
            f"({(seed - first) / seconds:.1f} a second)"
        )
        print(f"outcomes simulated: {outcomes:,}; simulated time: {days / 365.25:.1f} years")
        print("faults: " + ", ".join(f"{name} {count:,}" for name, count in sorted(faults.items())))
        if options.rare:
            print("\n".join(f"{count:8,}  {name}" for name, count in sorted(rare.items())))
        print(f"violations: {violations}")
    return 1 if violations else 0


def hunt(name: str, seeds: range) -> int:
    """The first seed that finds each mutant, and how."""
    import pytest

    from .mutants import MUTANTS
    from .run import play_seed

    missed = 0
    for mutant in MUTANTS:
        if name != "all" and mutant.__name__ not in name.split(","):
            continue
        for seed in seeds:
            with pytest.MonkeyPatch.context() as monkeypatch:
                mutant(monkeypatch)
                played = play_seed(seed)
            if played.failure:
                print(f"{mutant.__name__}: {seed}  {played.failure[:150]!r}", flush=True)
                break
        else:
            missed += 1
            print(f"{mutant.__name__}: not found by any seed of {seeds}", flush=True)
    return 1 if missed else 0


@contextmanager
def database() -> Iterator[None]:
    """The servers of the tests, and a database that exists for this run alone."""
    import pytest  # noqa: F401 -- its presence makes the settings choose the tests' servers

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    connection.settings_dict["TEST"]["NAME"] = f"simulation_{os.getpid()}"
    made = setup_databases(verbosity=0, interactive=False)
    try:
        yield
    finally:
        teardown_databases(made, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
