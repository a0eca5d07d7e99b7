"""`manage.py apply` with every price model and a contract's history."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from contracts.models import Contract, Price
from tests.contracts.conftest import NOW
from tests.contracts.test_apply import CONTRACTS, Write, done, places, printed, run, write

pytestmark = pytest.mark.django_db
__all__ = ["write"]

TIERED = """currency: USD
prices:
  - condition: resolved_ticket
    model: graduated
    tiers:
      - {up_to: 100, unit_price: "2.00"}
      - {up_to: null, unit_price: "1.50", flat_fee: 5}
    included: 10
"""
ACME = """contracts:
  - customer: acme
    rate_card: standard
    starts_at: 2026-01-01
    time_zone: America/New_York
    minimum: 50
    prices:
      - {condition: resolved_ticket, model: percentage, percent: 25, minimum: 1, maximum: "50.00"}
"""
HISTORY = (
    ACME
    + """    phases:
      - starts_at: 2026-07-01
        minimum: 80
"""
)
AMENDED = (
    HISTORY
    + """    amendments:
      - effective_at: 2026-02-01
        minimum: null
        discount: {percent: 5}
"""
)


def test_models_and_terms_are_written_and_known_again(write: Write) -> None:
    root = write({"rate_cards/standard.yaml": TIERED, "contracts.yaml": HISTORY})
    assert "contract acme" in done(root)["created"]
    row = Price.objects.get(model="graduated")
    assert (row.tiers[1], row.included) == ({"up_to": None, "unit_price": "1.5", "flat_fee": "5"}, 10)
    first, second = Contract.objects.get().versions.order_by("number")
    assert (first.effective_at, second.effective_at) == (
        datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2026, 7, 1, 4, tzinfo=UTC),
    )  # fmt: skip
    assert done(root).keys() == {"unchanged"}
    same = {"rate_cards/standard.yaml": TIERED.replace("100", "100.0"), "contracts.yaml": HISTORY}
    assert done(write(same)).keys() == {"unchanged"}
    changed = write({**same, "rate_cards/standard.yaml": TIERED.replace("flat_fee: 5", "flat_fee: 6")})
    assert "rate card standard" in done(changed)["new version"]


def test_an_amendment_appended_to_the_file_is_made_once(write: Write) -> None:
    done(write({"contracts.yaml": HISTORY}))
    root = write({"contracts.yaml": AMENDED})
    text = printed(root, "--dry-run")
    assert "~ acme" in text and "- minimum: 50" in text and "+ discount: 5 %" in text
    assert Contract.objects.get().versions.count() == 2
    assert done(root)["changed"] == ["contract acme"]
    assert done(root).keys() == {"unchanged"}
    amended = Contract.objects.get().versions.get(number=3)
    assert (amended.effective_at, amended.minimum, amended.discount_percent) == (
        datetime(2026, 2, 1, 5, tzinfo=UTC), None, Decimal(5),
    )  # fmt: skip
    # Taken out of the file again, or put differently: what stands is not edited.
    for text, message in (
        (HISTORY, "version 3 from 2026-02-01T05:00:00Z is not among those asked for"),
        (AMENDED.replace("percent: 5", "percent: 6"), "version 3: discount is 5 %, not 6 %"),
        (AMENDED.replace("minimum: 80", "minimum: 90"), "version 2: minimum is 80, not 90"),
    ):
        result = run(write({"contracts.yaml": text}))
        [problem] = result.problems
        assert message in problem.message and "list what changes as a further amendment" in problem.message
    assert Contract.objects.get().versions.count() == 3


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("rate_cards/standard.yaml", TIERED.replace("up_to: null", "up_to: 500"), 7),  # a gap above
        ("rate_cards/standard.yaml", TIERED.replace("up_to: null", "up_to: 100"), 7),  # an overlap
        ("rate_cards/standard.yaml", TIERED.replace("up_to: 100", "up_to: null"), 6),
        ("rate_cards/standard.yaml", TIERED.replace('"2.00"', "-1"), 6),
        ("rate_cards/standard.yaml", TIERED.replace("included: 10", "percent: 10"), 8),
        ("rate_cards/standard.yaml", TIERED + "  - {condition: resolved_ticket, unit_price: 1}\n", 9),  # equally well
        ("contracts.yaml", ACME.replace("percent: 25", "tiers: []"), 8),
        ("contracts.yaml", ACME.replace("minimum: 50", "cap: -1"), 6),
        ("contracts.yaml", ACME.replace("minimum: 50", "currency: EUR"), 6),
        ("contracts.yaml", ACME + "    cap: 20\n", 6),  # below the minimum
        ("contracts.yaml", HISTORY.replace("2026-07-01", "2025-07-01"), 10),
        ("contracts.yaml", HISTORY.replace("2026-07-01", "2026-07-32"), 10),
        ("contracts.yaml", HISTORY.replace("minimum: 80", "minimum: -80"), 11),
        ("contracts.yaml", HISTORY.replace("minimum: 80", "currency: USD"), 11),
        ("contracts.yaml", AMENDED.replace("2026-02-01", "2025-02-01"), 13),
        ("contracts.yaml", AMENDED.replace("percent: 5", "percent: 101"), 15),
        ("contracts.yaml", AMENDED.replace("discount: {percent: 5}", "rate_card: nothing"), 15),
        ("contracts.yaml", ACME + CONTRACTS.replace("customers: all", "customer: acme, starts_at: 2026-03-01")
         .replace("contracts:\n  - ", "").replace("defaults:\n  rate_card: standard\n  starts_at: 2026-01-01\n",
                                                  "  - {rate_card: standard, ").rstrip() + "}\n", 9),  # overlapping
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_line_and_nothing_is_written(write: Write, file: str, text: str, line: int) -> None:
    assert set(places(write({"contracts.yaml": None, file: text}))) == {(file, line)}
    assert not Contract.objects.exists() and not Price.objects.exists()


def test_amendments_may_be_backdated_in_prices_alone(write: Write) -> None:
    done(write({"contracts.yaml": HISTORY}))
    root = write({"contracts.yaml": AMENDED.replace("minimum: null", "late_evidence: ignore")})
    [problem] = run(root, now=NOW).problems
    assert (problem.line, "never changed for what has passed" in problem.message) == (14, True)
