"""`manage.py apply`: what it does to the database, what it prints, what it refuses."""

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from contracts.apply.run import Result, apply_directory
from contracts.changes import Kind
from contracts.models import (
    Condition,
    ConditionCustomer,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    Price,
    RateCardVersion,
)
from contracts.queries import contracts
from tests.contracts.conftest import NOW, TICKET

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)

CUSTOMERS = "key,name,currency\nacme,Acme,USD\nbeta,,USD\n"
CARD = """currency: USD
prices:
  - condition: resolved_ticket
    unit_price: 2.00
"""
CONTRACTS = """defaults:
  rate_card: standard
  starts_at: 2026-01-01
contracts:
  - customers: all
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files, given as ``{"customers.csv": text}``, over a directory that is fine."""

    def make(changes: dict[str, str | None] | None = None) -> Path:
        files: dict[str, str | None] = {
            "customers.csv": CUSTOMERS,
            "conditions/resolved_ticket.outcome": TICKET,
            "rate_cards/standard.yaml": CARD,
            "contracts.yaml": CONTRACTS,
            **(changes or {}),
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


def run(root: Path, *, now: datetime = NOW, dry_run: bool = False) -> Result:
    return apply_directory(root, now=now, dry_run=dry_run)


def done(root: Path, *, now: datetime = NOW) -> dict[str, list[str]]:
    """What was written, by kind of change; without a problem."""
    result = run(root, now=now)
    assert result.problems == []
    found: dict[str, list[str]] = {}
    for step, change in result.changes:
        found.setdefault(change.kind.value, []).append(f"{step.thing[0]} {step.name}")
    return found


def places(root: Path) -> list[tuple[str, int | None]]:
    result = run(root)
    assert not result.written
    return [(problem.file, problem.line) for problem in result.problems]


def rows() -> int:
    return sum(model.objects.count() for model in (Customer, Condition, ConditionVersion, Price, Contract))


def printed(root: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("apply", str(root), *options, stdout=out)
    return out.getvalue()


# --- What it writes ---------------------------------------------------------------------------------------------------


def test_first_run_creates_second_changes_nothing(write: Write) -> None:
    root = write()
    assert done(root) == {
        "created": [
            "customer acme",
            "customer beta",
            "condition resolved_ticket",
            "rate card standard",
            "contract acme",
            "contract beta",
        ]
    }
    before = rows()
    later = run(root, now=NOW + DAY)
    assert not later.anything_to_do and not later.written
    assert {change.kind for _, change in later.changes} == {Kind.UNCHANGED}
    assert rows() == before


def test_dry_run_goes_the_whole_way_and_writes_nothing(write: Write) -> None:
    result = run(write(), dry_run=True)
    assert result.anything_to_do and not result.written
    assert len(result.changes) == 6
    assert rows() == 0


def test_edits_become_changes_and_versions(write: Write) -> None:
    done(write())
    root = write(
        {
            "customers.csv": CUSTOMERS.replace("Acme", "Acme Ltd"),
            "conditions/resolved_ticket.outcome": TICKET.replace("72", "48"),
            "rate_cards/standard.yaml": CARD.replace("2.00", "2.50"),
        }
    )
    changed = done(root, now=NOW + DAY)
    assert changed["changed"] == ["customer acme"]
    assert changed["new version"] == ["condition resolved_ticket", "rate card standard"]
    assert [v.effective_from for v in ConditionVersion.objects.order_by("number")] == [None, NOW + DAY]
    assert [v.effective_from for v in RateCardVersion.objects.order_by("number")] == [None, NOW + DAY]
    assert done(root, now=NOW + 2 * DAY).keys() == {"unchanged"}


def test_a_dated_file_is_a_coming_version(write: Write) -> None:
    root = write(
        {
            "conditions/resolved_ticket@2026-04-01.outcome": TICKET.replace("72", "48"),
            "rate_cards/standard@2026-04-01T0630Z.yaml": CARD.replace("2.00", "2.50"),
        }
    )
    assert "condition resolved_ticket@2026-04-01" in done(root)["new version"]
    assert ConditionVersion.objects.get(number=2).effective_from == datetime(2026, 4, 1, tzinfo=UTC)
    assert RateCardVersion.objects.get(number=2).effective_from == datetime(2026, 4, 1, 6, 30, tzinfo=UTC)
    # Also long after that day the two files say what they said.
    for now in (NOW, NOW + DAY, NOW + 100 * DAY):
        assert done(root, now=now).keys() == {"unchanged"}
    # What held before the dated one is history now.
    write({"conditions/resolved_ticket.outcome": TICKET.replace("72", "24")})
    assert places(root) == [("conditions/resolved_ticket.outcome", 1)]


def test_a_dated_file_may_come_after_edits_in_place(write: Write) -> None:
    done(write())
    edited = {"conditions/resolved_ticket.outcome": TICKET.replace("72", "48")}
    done(write(edited), now=NOW + DAY)
    root = write({**edited, "conditions/resolved_ticket@2026-05-01.outcome": TICKET.replace("72", "24")})
    assert done(root, now=NOW + 2 * DAY)["new version"] == ["condition resolved_ticket@2026-05-01"]
    assert done(root, now=NOW + 90 * DAY).keys() == {"unchanged"}


def test_a_later_version_in_the_past_is_refused(write: Write) -> None:
    root = write({"conditions/resolved_ticket@2026-02-01.outcome": TICKET.replace("72", "48")})
    result = run(root)
    assert [problem.file for problem in result.problems] == ["conditions/resolved_ticket@2026-02-01.outcome"]
    assert "past" in result.problems[0].message
    assert rows() == 0


def test_exceptions_from_all(write: Write) -> None:
    text = (
        CONTRACTS
        + """
  - customer: beta
    net_days: 14
    prices:
      - condition: resolved_ticket
        unit_price: "1.50"
        match: {priority: high}
"""
    )
    done(write({"contracts.yaml": text}))
    by_customer = {contract.customer.key: contract.versions.get() for contract in contracts()}
    assert (by_customer["acme"].net_days, by_customer["beta"].net_days) == (30, 14)
    assert by_customer["acme"].prices.count() == 0
    price = by_customer["beta"].prices.get()
    assert (price.unit_price, price.match) == (Decimal("1.5"), {"priority": "high"})


def test_a_day_begins_at_midnight_of_the_contract(write: Write) -> None:
    zones = "key,currency,time_zone\nacme,USD,Europe/Berlin\nbeta,USD,\n"
    text = CONTRACTS.replace("2026-01-01", "2026-07-01") + "  - {customer: beta, time_zone: Asia/Tokyo}\n"
    text = text.replace("{customer: beta,", "{customer: beta, starts_at: 2026-07-01,")
    done(write({"customers.csv": zones, "contracts.yaml": text}))
    starts = {contract.customer.key: contract.starts_at for contract in contracts()}
    assert starts["acme"] == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert starts["beta"] == datetime(2026, 6, 30, 15, tzinfo=UTC)


def test_customers_of_the_database_may_be_named(write: Write) -> None:
    done(write())
    root = write(
        {
            "customers.csv": None,
            "contracts.yaml": "contracts:\n  - {customer: acme, rate_card: standard, starts_at: 2026-01-01}\n",
        }
    )
    assert "contract acme" in done(root)["unchanged"]
    assert Customer.objects.count() == 2  # nothing is deleted


def test_terms_of_a_contract_are_not_edited(write: Write) -> None:
    done(write())
    root = write({"contracts.yaml": CONTRACTS.replace("defaults:", "defaults:\n  net_days: 14")})
    result = run(root)
    assert len(result.problems) == 2
    assert "net_days is 30, not 14" in result.problems[0].message
    assert set(ContractVersion.objects.values_list("net_days", flat=True)) == {30}


def test_windows_and_late_evidence_of_defaults_and_entries(write: Write) -> None:
    own = CONTRACTS.replace("defaults:", "defaults:\n  settlement_windows: {resolved_ticket: 14 days}")
    own += "  - customer: beta\n    settlement_windows: {}\n    late_evidence: ignore\n"
    assert "+ settlement window of resolved_ticket: 2 weeks" in printed(write({"contracts.yaml": own}))
    found = {c.customer.key: c.versions.get() for c in contracts()}
    assert {key: list(one.settlement_windows.values()) for key, one in found.items()} == {
        "acme": [14 * 86_400], "beta": [],
    }  # fmt: skip
    assert {key: one.late_evidence for key, one in found.items()} == {"acme": "reverse", "beta": "ignore"}
    assert "Nothing to change." in printed(write({"contracts.yaml": own}))
    # A later version in another form is not overridden, and the directory still says what is agreed.
    silence = TICKET.replace("settle after 72 hours", "settle after 72 hours of silence")
    changed = {"conditions/resolved_ticket.outcome": silence, "contracts.yaml": own}
    result = run(write(changed), now=NOW + DAY)
    assert result.problems == []
    assert [step.name for step, change in result.changes if change.wrote] == ["resolved_ticket"]
    result = run(write(changed | {"contracts.yaml": own.replace("14", "15")}), now=NOW + 2 * DAY)
    assert [(p.file, p.line, p.entry) for p in result.problems] == [("contracts.yaml", 2, "acme")]


# --- What it refuses --------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_at_once_and_nothing_written(write: Write) -> None:
    root = write(
        {
            "customers.csv": "key,currency,email\nacme,USD,\nbeta,USX,\ngamma,USD,nobody\nacme,USD,\n",
            "conditions/resolved_ticket.outcome": TICKET,
            "conditions/broken.outcome": "outcome broken\nper id\nbil when a.b\n",
            "rate_cards/standard.yaml": CARD
            + "    macth: {priority: high}\n  - condition: nothing\n    unit_price: 1\n",
            "rate_cards/needs_broken.yaml": "currency: USD\nprices:\n  - {condition: broken, unit_price: 1}\n",
            "contracts.yaml": "contracts:\n  - {customer: delta, rate_card: gold, starts_at: 2026-02-30}\n  - 5\n",
        }
    )
    result = run(root)
    assert [(problem.file, problem.line) for problem in result.problems] == [
        ("conditions/broken.outcome", 3),
        ("contracts.yaml", 2),
        ("contracts.yaml", 3),
        ("customers.csv", 3),
        ("customers.csv", 4),
        ("customers.csv", 5),
        ("rate_cards/standard.yaml", 5),
    ]
    assert [step.name for step in result.skipped] == ["needs_broken"]
    assert rows() == 0


def test_refusals_of_the_use_cases_name_lines_too(write: Write) -> None:
    card = CARD + "  - condition: resolved_ticket\n    unit_price: -1\n    match:\n      priorty: high\n"
    text = CONTRACTS + "    currency: EUR\n  - {customer: nobody, starts_at: 2026-03-01, anchor_day: 31}\n"
    text += "  - customer: acme\n    starts_at: 2026-02-01\n    prices:\n      - {condition: nothing, unit_price: 1}\n"
    assert places(write({"rate_cards/standard.yaml": card})) == [
        ("rate_cards/standard.yaml", 6),
        ("rate_cards/standard.yaml", 8),
    ]
    found = places(write({"rate_cards/standard.yaml": CARD, "contracts.yaml": text}))
    assert set(found) == {("contracts.yaml", 6), ("contracts.yaml", 7), ("contracts.yaml", 11)}


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"customers.csv": "key,nmae,currency\nacme,A,USD\n"}, ("customers.csv", 1)),
        ({"customers.csv": "name,currency\nA,USD\n"}, ("customers.csv", 1)),
        ({"customers.csv": "key,key,currency\na,b,USD\n"}, ("customers.csv", 1)),
        ({"customers.csv": ""}, ("customers.csv", 1)),
        ({"customers.csv": "key,currency\nacme\n"}, ("customers.csv", 2)),
        ({"customers.csv": 'key,currency\n"acme,USD\n'}, ("customers.csv", 2)),
        ({"customers.csv": "key,currency\n,USD\n"}, ("customers.csv", 2)),
        ({"customers.yaml": "customers:\n  - {key: 5, currency: USD}\n"}, ("customers.yaml", 2)),
        ({"customers.yaml": "- a\n"}, ("customers.yaml", None)),
        ({"customers.yaml": "customers:\n  - {key: acme, currency: USD}\n"}, ("customers.yaml", 2)),
        ({"conditions/other.outcome": TICKET}, ("conditions/other.outcome", 1)),
        ({"conditions/notes.txt": "x"}, ("conditions/notes.txt", None)),
        ({"conditions/resolved_ticket@2026-02-30.outcome": TICKET}, None),
        ({"rate_cards/standard.yml": CARD}, ("rate_cards/standard.yml", None)),
        ({"rate_cards/two words.yaml": CARD}, ("rate_cards/two words.yaml", 1)),
        ({"rate_cards/empty.yaml": ""}, ("rate_cards/empty.yaml", None)),
        ({"rate_cards/gold.yaml": CARD + "effective_from: 2026-05-01\n"}, ("rate_cards/gold.yaml", 5)),
        ({"rate_cards/gold.yaml": CARD + "currency: EUR\n"}, ("rate_cards/gold.yaml", 5)),
        ({"rate_cards/gold.yaml": "currency: [USD\n"}, ("rate_cards/gold.yaml", 2)),
        ({"rate_cards/gold.yaml": CARD.replace("currency: USD", "currency: &c USD")}, ("rate_cards/gold.yaml", 1)),
        ({"rate_cards/gold.yaml": CARD.replace("2.00", "!!python/name:os.system")}, ("rate_cards/gold.yaml", 4)),
        ({"rate_cards/gold.yaml": CARD + '    match: {priority: "\\0"}\n'}, ("rate_cards/gold.yaml", 5)),
        ({"rate_cards/gold.yaml": CARD + '    match: {priority: "\\ud800"}\n'}, ("rate_cards/gold.yaml", 5)),
        ({"conditions/nul.outcome": TICKET.replace("resolved_ticket", "nul") + "# \0"}, ("conditions/nul.outcome", 8)),
        ({"customers.yaml": 'customers:\n  - {key: "a\\0", currency: USD}\n'}, ("customers.yaml", 2)),
        ({"customers.yaml": 'customers:\n  - {key: a, name: "\\ud800", currency: USD}\n'}, ("customers.yaml", 2)),
        ({"contract.yaml": CONTRACTS}, ("contract.yaml", None)),
        ({"contracts.yaml": "defaults: 5\ncontracts: []\n"}, ("contracts.yaml", 1)),
        ({"contracts.yaml": CONTRACTS + "extra: 1\n"}, ("contracts.yaml", 6)),
        ({"contracts.yaml": CONTRACTS + "    customer: acme\n"}, ("contracts.yaml", 5)),
        ({"contracts.yaml": CONTRACTS + "    windows: 5\n"}, ("contracts.yaml", 6)),
        ({"contracts.yaml": CONTRACTS + "    settlement_windows: 14 days\n"}, ("contracts.yaml", 6)),
        ({"contracts.yaml": CONTRACTS + "    settlement_windows:\n      x y: soon\n"}, ("contracts.yaml", 7)),
        ({"contracts.yaml": CONTRACTS + "    settlement_windows:\n      nothing: 1 day\n"}, ("contracts.yaml", 7)),
        (
            {"contracts.yaml": CONTRACTS + "    settlement_windows: {resolved_ticket: 26 weeks}\n"},
            ("contracts.yaml", 6),
        ),
        ({"contracts.yaml": CONTRACTS + '    settlement_windows: {"\\0": 1 day}\n'}, ("contracts.yaml", 6)),
        ({"contracts.yaml": CONTRACTS + "    late_evidence: forget\n"}, ("contracts.yaml", 6)),
        ({"contracts.yaml": CONTRACTS.replace("all", "[]")}, ("contracts.yaml", 5)),
        ({"contracts.yaml": CONTRACTS.replace("all", "[acme, acme]")}, ("contracts.yaml", 5)),
        ({"contracts.yaml": CONTRACTS.replace("2026-01-01", "2026-02-30")}, ("contracts.yaml", 3)),
        ({"contracts.yaml": CONTRACTS.replace("standard", "standrad")}, ("contracts.yaml", 2)),
        ({"customers.csv": None}, ("contracts.yaml", 5)),
    ],
)
def test_one_mistake_is_one_complaint_at_its_place(
    write: Write, files: dict[str, str | None], place: tuple[str, int | None] | None
) -> None:
    found = places(write(files))
    assert len(set(found)) == 1
    assert place is None or found[0] == place


def test_files_that_are_not_text(write: Write) -> None:
    root = write()
    (root / "contracts.yaml").write_bytes(b"contracts: \xff\n")
    (root / "conditions" / "resolved_ticket.outcome").write_bytes(b"\xff\xfe")
    result = run(root)
    assert all("UTF-8" in problem.message for problem in result.problems)
    assert len(result.problems) == 2


def test_a_byte_order_mark_is_no_matter(write: Write) -> None:
    root = write()
    (root / "customers.csv").write_text(CUSTOMERS, encoding="utf-8-sig")
    assert "customer acme" in done(root)["created"]


def test_directories_without_anything(tmp_path: Path) -> None:
    assert len(places(tmp_path)) == 1
    assert len(places(tmp_path / "nowhere")) == 1


# --- What it prints ---------------------------------------------------------------------------------------------------


def test_the_printed_diff(write: Write) -> None:
    root = write()
    first = printed(root, "--dry-run")
    assert "2 created" in first
    assert "+ acme, beta" in first  # two contracts of the same terms are one entry
    assert "price of resolved_ticket: per_unit 2" in first
    assert "Dry run: nothing was written." in first
    assert "Done." in printed(root)
    again = printed(root)
    assert "Nothing to change." in again
    assert "created" not in again

    write({"conditions/resolved_ticket.outcome": TICKET.replace("72", "48")})
    changed = printed(root)
    assert "~ resolved_ticket (version 2)" in changed
    assert "- settle after 72 hours" in changed
    assert "+ settle after 48 hours" in changed


def test_errors_are_printed_with_place_and_caret(write: Write) -> None:
    root = write({"conditions/resolved_ticket.outcome": TICKET.replace("bill when", "bil when")})
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 problem; nothing was written"):
        call_command("apply", str(root), stdout=out)
    assert "conditions/resolved_ticket.outcome:4 error" in out.getvalue()
    assert "^" in out.getvalue()
    assert "3 entries that build on these were not tried." in out.getvalue()


def test_the_same_complaint_about_many_is_printed_once(write: Write) -> None:
    many = "key,currency\n" + "".join(f"c{number},USD\n" for number in range(30))
    root = write({"customers.csv": many, "contracts.yaml": CONTRACTS.replace("standard", "gold")})
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("apply", str(root), stdout=out)
    assert out.getvalue().count("gold") == 1
    assert "c0, c1, c2, c3 and 26 more" in out.getvalue()


# --- The examples of docs/apply.md ------------------------------------------------------------------------------------


def test_the_examples_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "apply.md").read_text(encoding="utf-8")
    examples = re.findall(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", text, re.DOTALL)
    assert len(examples) == 9
    for name, content in examples:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert "new version" in done(tmp_path)
    assert done(tmp_path, now=NOW + DAY).keys() == {"unchanged"}
    by_customer = {contract.customer.key: contract for contract in contracts()}
    assert sorted(by_customer) == ["4711", "Location 204", "acme", "beta"]
    assert by_customer["acme"].starts_at == datetime(2026, 1, 1, 5, tzinfo=UTC)
    acme = by_customer["acme"].versions.get()
    assert (acme.settlement_grace_seconds, acme.late_evidence) == (12 * 3600, "review")
    assert list(acme.settlement_windows.values()) == [14 * 86_400]
    beta = by_customer["beta"]
    assert [rate.key for rate in beta.customer.tax_rates.all()] == ["vat-de"]
    assert (beta.customer.address, beta.customer.locale) == ("Hafenstraße 1\n20457 Hamburg", "de")
    assert {one.credits for one in beta.versions.all()} == {"refund"}
    found = [(one.effective_at.date().isoformat(), one.trial, one.minimum, one.net_days) for one in beta.versions.all()]
    assert found == [
        ("2026-01-01", True, 50, 14), ("2026-04-01", False, 50, 14), ("2027-01-01", False, 100, 14),
        ("2026-07-01", False, 50, 30),
    ]  # fmt: skip
    assert beta.ends_at == datetime(2028, 1, 1, tzinfo=UTC)
    assert Price.objects.get(model="graduated").tiers[0] == {"up_to": "100", "unit_price": "2"}
    assert list(acme.conditions.values()) == [1]
    limited = ConditionCustomer.objects.order_by("customer__key").values_list("condition__slug", "customer__key")
    assert list(limited) == [("rescued_order", "acme"), ("rescued_order", "beta")]
