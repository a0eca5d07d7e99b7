"""Simulations of the real logs in samples/: the help desk against what is booked and invoiced, the hotels against a
recount by hand. HOLDFAST_SLOW_TESTS=1 takes all of both; else the first of each, of the largest customers.
"""

import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from shutil import copytree
from typing import Any

import msgspec

from billing_project.demo import helpdesk
from contracts.apply.run import apply_directory
from invoicing import billing
from invoicing.models import InvoiceLine
from outcomes import imports
from outcomes.evaluation import evaluate_waiting
from outcomes.intake import accept
from outcomes.models import Outcome
from outcomes.wire import read_events
from samples.hotel import study
from settlement.sweep import settle_due
from simulation.asked import WINDOWS, Asked
from simulation.run import simulate

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SLOW = bool(os.environ.get("HOLDFAST_SLOW_TESTS"))
NOW = datetime(2017, 6, 1, tzinfo=UTC)


def test_the_help_desk_is_computed_as_it_was_billed(committed: None, tmp_path: Path) -> None:
    directory = SAMPLES / "helpdesk"
    told = [row for row in helpdesk.events(directory) if row["customer"] != "?"]
    if not SLOW:
        told, directory = _of_the_largest(told[:5_000], Path(copytree(directory, tmp_path / "helpdesk")))
    assert not apply_directory(directory, now=NOW).problems
    opened = imports.open_import(now=NOW)
    for batch in helpdesk.batches(told, 5_000):
        accept(read_events([msgspec.json.encode(row) for row in batch]), now=NOW, import_id=opened.id)
        evaluate_waiting(NOW)
    imports.close_import(opened.id, now=NOW)
    settle_due(NOW)
    assert billing.run(now=NOW).parked == ()
    rows, _ = simulate(Asked(datetime(2016, 1, 1, tzinfo=UTC), NOW), NOW)
    confirmed, revenue = Counter[Any](), Counter[Any]()
    for row in rows:
        assert row.before == row.after
        confirmed[row.customer, row.month] += row.before.outcomes
        revenue[row.customer, row.month] += row.before.amount_minor
    booked = Outcome.objects.filter(state="confirmed").values_list("customer__key", "settled_at")
    assert confirmed == Counter((key, f"{settled_at:%Y-%m}") for key, settled_at in booked)
    billed = Counter[Any]()
    lines = InvoiceLine.objects.values_list("invoice__customer__key", "period_start", "amount_minor")
    for key, start, minor in lines:
        billed[key, f"{start:%Y-%m}"] += minor
    assert +revenue == +billed and sum(billed.values()) > 0
    if SLOW:
        assert confirmed.total() == 20_762


def _of_the_largest(told: list[dict[str, Any]], directory: Path) -> tuple[list[dict[str, Any]], Path]:
    """Those of the 25 customers that have most, who alone are left in the directory."""
    largest = {key for key, _ in Counter(row["customer"] for row in told).most_common(25)}
    listed = (directory / "customers.csv").read_text().splitlines(keepends=True)
    kept = [line for line in listed[1:] if line.split(",")[0] in largest]
    (directory / "customers.csv").write_text("".join([listed[0], *kept]))
    return [row for row in told if row["customer"] in largest], directory


def test_the_hotels_are_counted_as_by_hand(committed: None) -> None:
    most = None if SLOW else 600
    study.load(most, NOW + timedelta(days=900), say=lambda _: None)
    text = study.page(NOW + timedelta(days=900))
    found = [
        tuple(cell.strip() for cell in line.split("|")[1:-1])
        for line in text.splitlines()
        if re.match(r"\| [1-9]\d* (hour|day)", line)
    ]
    stays = list(_stays(most))
    expected = [
        _counted(stays, [stay["created"] + timedelta(seconds=seconds) for stay in stays]) for seconds in WINDOWS
    ]
    # Never before it was met, also where somebody books on the day of arrival.
    arrivals = [max(stay["arrival"] + timedelta(days=1), stay["created"]) for stay in stays]
    expected.append(_counted(stays, arrivals))
    assert [line[1:] for line in found] == expected
    if SLOW:
        assert study.PAGE.read_text() == text


def _stays(most: int | None) -> Any:
    for row in islice(study.rows(), most):
        day = datetime(
            int(row["arrival_date_year"]), study.MONTHS.index(row["arrival_date_month"]) + 1,
            int(row["arrival_date_day_of_month"]), tzinfo=UTC,
        )  # fmt: skip
        created = day - timedelta(days=int(row["lead_time"])) + timedelta(hours=9)
        month, of_month, year = (int(part) for part in row["reservation_status_date"].split("/"))
        ended = datetime(year, month, of_month, 18, tzinfo=UTC)
        nights = int(row["stays_in_weekend_nights"]) + int(row["stays_in_week_nights"])
        yield {
            "created": created,
            "arrival": day + timedelta(hours=15),
            "lost_at": None if row["reservation_status"] == "Check-Out" else max(ended, created + timedelta(hours=1)),
            "amount": Decimal(row["adr"]) * nights,
            "hotel": row["hotel"],
        }


def _counted(stays: list[Any], settle: list[datetime]) -> tuple[str, ...]:
    """Billed, given back, their share, standing, and the commission: rounded once for each hotel and month."""
    confirmed = reversed_ = 0
    amounts = Counter[Any]()
    for stay, settles_at in zip(stays, settle, strict=True):
        lost_at = stay["lost_at"]
        if lost_at is not None and lost_at < settles_at:
            continue
        confirmed += 1
        if lost_at is not None and lost_at < settles_at + timedelta(days=180):
            reversed_ += 1
        elif stay["amount"] >= 0:
            local = settles_at.astimezone(study_zone())
            amounts[stay["hotel"], f"{local:%Y-%m}"] += stay["amount"]
    cents = sum(int((amount * 10 + Decimal("0.5")) // 1) for amount in amounts.values())
    money = f"{Decimal(cents) / 100:,.2f}"
    share = study.share(reversed_, confirmed)
    return f"{confirmed:,}", f"{reversed_:,}", share, f"{confirmed - reversed_:,}", money


def study_zone() -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo("Europe/Lisbon")
