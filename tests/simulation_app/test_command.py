"""`manage.py simulate`, as a person runs it."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.simulation_app.shop import DAY, HOUR, JANUARY, TEXT, open_shop, say, settle

CARD = """currency: USD
prices:
  - condition: solved
    unit_price: "12.50"
"""


@pytest.fixture
def shop(committed: None, settings: Any) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme", "=cmd()")
    say("closed", "A", JANUARY + DAY)
    say("closed", "B", JANUARY + 2 * DAY, customer="=cmd()")
    say("reopened", "B", JANUARY + 2 * DAY + 30 * HOUR, customer="=cmd()")
    settle()


def simulate(*words: str) -> str:
    out = io.StringIO()
    call_command("simulate", "--from", "2026-01-01", "--to", "2026-03-01T00:00:00Z", *words, stdout=out)
    return out.getvalue()


def test_text(shop: None, tmp_path: Path) -> None:
    (tmp_path / "tried.outcome").write_text(TEXT.replace("24 hours", "2 days"))
    (tmp_path / "card.yaml").write_text(CARD)
    told = simulate("--condition", str(tmp_path / "tried.outcome"), "--rate-card", str(tmp_path / "card.yaml"),
                    "--window-curve", "solved", "--price-curve", "solved")  # fmt: skip
    assert "3 events replayed, in force and tried." in told
    assert "solved: 1 kept, 0 gained, 1 lost (of which 1 did not hold in force either)" in told
    assert "lost: =cmd() B: It was taken back inside its window by reopened (reopened-B-01040600)" in told
    for words in ("Revenue by settlement window", "30 days", "Revenue by price", "By month", "12.50"):
        assert words in told


def test_slips_are_told_of_and_names_are_no_markup(shop: None, tmp_path: Path) -> None:
    say("closed", "[/b]", JANUARY + 3 * DAY)
    settle()
    (tmp_path / "tried.outcome").write_text(TEXT.replace("when closed", "when clsed"))
    told = simulate("--condition", str(tmp_path / "tried.outcome"))
    assert "The text that is tried: Line 3: No event `clsed` has ever been seen. Is `closed` meant?" in told
    assert "lost: acme [/b]: The condition was not met in time" in told
    # 3 were confirmed and one given back; none is, as tried.
    assert re.search(r"2 │ +0 │ +-2 │ +1 │ +0 │ USD", told)


def test_json(shop: None) -> None:
    told = json.loads(simulate("--format", "json", "--window", "solved", "2 days", "--customer", "acme"))
    assert told["before"]["revenue"] == told["after"]["revenue"] == {"USD": "10.00"}
    assert [one["customer"] for one in told["customers"]] == ["acme"]


def test_csv_into_a_file(shop: None, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(CARD)
    path = tmp_path / "result.csv"
    words = ("--format", "csv", "--output", str(path), "--rate-card", str(tmp_path / "card.yaml"))
    assert simulate(*words, "--replaces", "standard") == f"3 events read; written to {path}.\n"
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    # A spreadsheet would take the key for a formula.
    assert [row["customer"] for row in rows] == ["'=cmd()", "acme"]
    assert rows[1] == {
        "customer": "acme", "month": "2026-01", "condition": "solved", "currency": "USD",
        "before_outcomes": "1", "before_reversed": "0", "before_unpriced": "0", "before_revenue": "10.00",
        "after_outcomes": "1", "after_reversed": "0", "after_unpriced": "0", "after_revenue": "12.50",
        "difference_outcomes": "0", "difference_revenue": "2.50",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--condition", "none.outcome"], "none.outcome cannot be read"),
        (["--window", "solvd", "2 days"], "contract.settlement_windows.solvd: There is no condition"),
        (["--customer", "acm"], 'customers[0]: There is no customer "acm". Did you mean acme?'),
        (["--replaces", "standard"], "give both"),
        (["--to", "2025-01-01"], "to: `to` is after `from`"),
        (["--to", "tomorrow"], "to: "),
        (["--output", "no/such/place.csv"], "no/such/place.csv cannot be written: No such file or directory."),
    ],
)
def test_what_is_wrong_is_said(shop: None, words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        simulate(*words)
    assert said in str(refused.value)


def test_a_file_that_is_no_card(shop: None, tmp_path: Path) -> None:
    for text, said in (
        ("- 1\n", "expected names"),
        ("a: &x 1\n", "line 1"),
        ("currency: USD\nprice: 1\n", "rate_card."),
    ):
        (tmp_path / "card.yaml").write_text(text)
        with pytest.raises(CommandError) as refused:
            simulate("--rate-card", str(tmp_path / "card.yaml"))
        assert said in str(refused.value)
