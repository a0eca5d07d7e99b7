"""Which settlement window should "a booking that was not cancelled" have? Asked of 119,390 real bookings by simulation.

    .venv/bin/python samples/hotel/study.py

loads them into an installation of its own (in .local/hotel-study, removed afterwards), simulates, and writes
docs/hotel-study.md. Needs what `make setup` makes.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "hotel-study.md"
SPAN = {"from": "2013-01-01T00:00:00Z", "to": "2018-06-01T00:00:00Z"}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
ENDS = {"Canceled": "booking.cancelled", "No-Show": "booking.no_show", "Check-Out": "booking.checked_out"}
BATCH = 5_000


def rows() -> Iterator[dict[str, str]]:
    """The bookings as published."""
    with gzip.open(HERE / "bookings.csv.gz", "rt", newline="") as handle:
        yield from csv.DictReader(handle)


def events(most: int | None = None) -> Iterator[dict[str, Any]]:
    """Two events for each of the first ``most`` bookings (README.md)."""
    for number, row in enumerate(islice(rows(), most), start=1):
        month = MONTHS.index(row["arrival_date_month"]) + 1
        arrival = datetime(int(row["arrival_date_year"]), month, int(row["arrival_date_day_of_month"]), tzinfo=UTC)
        created = arrival - timedelta(days=int(row["lead_time"])) + timedelta(hours=9)
        nights = int(row["stays_in_weekend_nights"]) + int(row["stays_in_week_nights"])
        ended = datetime.strptime(row["reservation_status_date"], "%m/%d/%Y").replace(tzinfo=UTC) + timedelta(hours=18)
        common = {"customer": row["hotel"]}
        yield common | {
            "id": f"row-{number}-created",
            "type": "booking.created",
            "time": created,
            "data": {
                "booking": number,
                "arrival": (arrival + timedelta(hours=15)).isoformat(),
                "amount": Decimal(row["adr"]) * nights,
            },
        }
        yield common | {
            "id": f"row-{number}-ended",
            "type": ENDS[row["reservation_status"]],
            "time": max(ended, created + timedelta(hours=1)),
            "data": {"booking": number},
        }


def load(most: int | None, now: datetime, say: Callable[[str], None] = print) -> None:
    """Apply the files of this directory, and have the bookings' events accepted and evaluated, as an import."""
    import msgspec

    from contracts.apply.run import apply_directory
    from outcomes import imports
    from outcomes.evaluation import evaluate_waiting
    from outcomes.intake import accept
    from outcomes.wire import read_events

    problems = apply_directory(HERE, now=now, dry_run=False).problems
    if problems:
        raise SystemExit("\n".join(str(problem) for problem in problems))
    encode = msgspec.json.Encoder(decimal_format="number").encode
    opened = imports.open_import(now=now)
    told = events(most)
    sent = 0
    while batch := list(islice(told, BATCH)):
        results = accept(read_events([encode(event) for event in batch]), now=now, import_id=opened.id)
        refused = [result for result in results if result.status != "accepted"]
        if refused:
            raise SystemExit(f"{len(refused)} events were not accepted, first: {refused[0]}")
        sent += len(batch)
        say(f"{sent:,} events accepted")
        evaluate_waiting(now)
    imports.close_import(opened.id, now=now)


def ask(now: datetime, **question: Any) -> dict[str, Any]:
    """One simulation, in this process."""
    from simulation import results
    from simulation.checking import check
    from simulation.run import simulate
    from simulation.serializers import read

    asked = read(SPAN | question)
    check(asked, now)
    found, beside = simulate(asked, now)
    totals = results.Totals()
    totals.add(found)
    return results.summary_json(totals, beside)


# --- The page ---------------------------------------------------------------------------------------------------------


def table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rule = "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)])


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def page(now: datetime) -> str:
    """The study in Markdown, from simulations of what is stored."""
    arrived = (HERE / "tried" / "arrived_booking.outcome").read_text(encoding="utf-8")
    curve = ask(now, window_curve="kept_booking")
    other = ask(now, condition=arrived)
    [changes] = [one["changes"] for one in other["conditions"] if one["condition"] == "kept_booking"]
    lines = []
    for point in curve["window_curve"]:
        confirmed = point["outcomes"] + point["reversed"]
        lines.append(
            (
                point["window"],
                f"{confirmed:,}",
                f"{point['reversed']:,}",
                share(point["reversed"], confirmed),
                f"{point['outcomes']:,}",
                f"{Decimal(point['revenue'].get('EUR', '0')):,}",
            )
        )
    after = other["after"]
    confirmed = after["outcomes"] + after["reversed"]
    lines.append(
        (
            "1 day after arrival",
            f"{confirmed:,}",
            f"{after['reversed']:,}",
            share(after["reversed"], confirmed),
            f"{after['outcomes']:,}",
            f"{Decimal(after['revenue'].get('EUR', '0')):,}",
        )
    )
    head = ("Settlement window", "Billed", "Given back", "of billed", "Stand", "Commission that stands, EUR")
    before = other["before"]
    return (
        (HERE / "page.txt")
        .read_text(encoding="utf-8")
        .format(
            events=f"{curve['events']:,}",
            table=table(head, lines),
            lost=f"{changes['lost']:,}",
            held=f"{changes['lost'] - changes['lost_reversed']:,}",
            reversed=f"{changes['lost_reversed']:,}",
            kept=f"{changes['kept'] + changes['moved_in']:,}",
            before=f"{Decimal(before['revenue'].get('EUR', '0')):,}",
            after=f"{Decimal(after['revenue'].get('EUR', '0')):,}",
            difference=f"{Decimal(other['difference']['revenue'].get('EUR', '0')):,}",
        )
    )


def main() -> int:
    home = ROOT / ".local" / "hotel-study"
    for name in list(os.environ):
        if name.startswith(("HOLDFAST_", "DATABASE_URL", "REDIS_URL", "CELERY_")):
            del os.environ[name]
    os.environ |= {"HOLDFAST_HOME": str(home), "DJANGO_SETTINGS_MODULE": "billing_project.settings"}
    os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
    sys.path.insert(0, str(ROOT))
    from billing_project import embedded

    embedded.stop_all(home)
    shutil.rmtree(home, ignore_errors=True)
    try:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        now = datetime.now(UTC)
        load(None, now, say=lambda text: print(text, file=sys.stderr))
        PAGE.write_text(page(now), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    finally:
        embedded.stop_all(home)
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
