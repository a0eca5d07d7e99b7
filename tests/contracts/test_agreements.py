from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from access.errors import ApiError
from contracts import windows
from contracts.agreements import ContractFields, create_contract, ensure_contract, public_id
from contracts.changes import Kind
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import Condition, Contract, Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.contracts.conftest import NOW
from tests.database import thawed

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
DAY = 86_400


@pytest.fixture(autouse=True)
def card(ticket: str) -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)


def terms(**changes: Any) -> ContractFields:
    return ContractFields(**{"customer": "acme", "rate_card": "standard", "starts_at": START, **changes})


def problems(use_case: Any = create_contract, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(ApiError) as refusal:
        use_case(terms(**changes), now=NOW)
    return [(detail.path, detail.code) for detail in refusal.value.details]


def test_currency_and_zone_come_from_the_customer() -> None:
    put_customer("acme", CustomerFields("USD", time_zone="Europe/Berlin"), now=NOW)
    contract = create_contract(terms(), now=NOW).value
    version = contract.versions.get()
    assert contract.currency == "USD"
    assert (version.number, version.effective_at, version.time_zone) == (1, START, "Europe/Berlin")
    assert (version.billing_period, version.anchor_day, version.net_days) == ("monthly", 1, 30)
    assert public_id(contract).startswith("con_")


def test_everything_that_is_wrong_comes_at_once(acme: Customer) -> None:
    assert problems(
        rate_card="standrad",
        time_zone="Mars/Olympus",
        billing_period="weekly",
        anchor_day=8,
        ends_at=START,
        net_days=-1,
        settlement_grace_seconds=10**9,
        settlement_windows={"resolved_ticket": 181 * DAY, "resolved_tickte": DAY},
        late_evidence="forget",
        credits="nowhere",
        progressive_threshold=Decimal("0.001"),
        prices=(PriceFields("nothing", Decimal(1)),),
    ) == [
        ("ends_at", "ends_before_start"),
        ("rate_card", "unknown_rate_card"),
        ("time_zone", "unknown_time_zone"),
        ("anchor_day", "invalid_anchor_day"),
        ("net_days", "invalid"),
        ("settlement_grace", "invalid_duration"),
        ("settlement_windows.resolved_ticket", "invalid_duration"),
        ("settlement_windows.resolved_tickte", "unknown_condition"),
        ("late_evidence", "invalid_choice"),
        ("credits", "invalid_choice"),
        ("prices[0].condition", "unknown_condition"),
        ("progressive_threshold", "too_many_decimals"),
    ]


def test_unknown_customer() -> None:
    assert problems() == [("customer", "unknown_customer")]


def test_currencies_never_meet(acme: Customer) -> None:
    assert problems(currency="EUR") == [("currency", "currency_mismatch")]


def test_an_overlap_names_the_other_contract(acme: Customer) -> None:
    first = create_contract(terms(starts_at=START, ends_at=JULY), now=NOW).value
    with pytest.raises(ApiError) as refusal:
        create_contract(terms(starts_at=datetime(2026, 6, 30, tzinfo=UTC)), now=NOW)
    assert (refusal.value.status_code, refusal.value.code) == (409, "overlapping_contract")
    assert public_id(first) in refusal.value.message
    assert "2026-07-01T00:00:00Z or later" in refusal.value.message
    # Half open: one may begin where the other ends.
    create_contract(terms(starts_at=JULY), now=NOW)
    assert problems(starts_at=datetime(2025, 1, 1, tzinfo=UTC)) == [("starts_at", "overlapping_contract")]
    create_contract(terms(starts_at=datetime(2025, 1, 1, tzinfo=UTC), ends_at=START), now=NOW)
    assert Contract.objects.count() == 3


def test_the_database_refuses_an_overlap_too(acme: Customer) -> None:
    create_contract(terms(), now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Contract.objects.create(customer=acme, currency="USD", starts_at=JULY, created_at=NOW)


def test_prices_of_its_own_are_checked_as_a_cards_are(acme: Customer, ticket: str) -> None:
    twice = PriceFields(ticket, Decimal(1))
    assert problems(prices=(twice, twice)) == [("prices[1].match", "duplicate_price")]
    contract = create_contract(terms(prices=(twice,)), now=NOW).value
    assert contract.versions.get().prices.get().unit_price == 1


def test_ensure_is_create_then_nothing_then_a_refusal(acme: Customer, ticket: str) -> None:
    prices = (PriceFields(ticket, Decimal("1.50")),)
    assert ensure_contract(terms(prices=prices), now=NOW).kind is Kind.CREATED
    assert ensure_contract(terms(prices=prices, currency="USD", time_zone="UTC"), now=NOW).kind is Kind.UNCHANGED
    with pytest.raises(ApiError) as refusal:
        ensure_contract(terms(net_days=14), now=NOW)
    assert refusal.value.code == "contract_already_exists"
    assert "net_days is 30, not 14" in refusal.value.message
    assert "price of resolved_ticket (per_unit 1.5) is not among those asked for" in refusal.value.message


# --- settlement windows, late evidence --------------------------------------------------------------------------------


def windows_of(contract: Contract) -> dict[str, int]:
    return windows.of_version(contract.versions.get())


def test_windows_are_kept_by_condition(acme: Customer, ticket: str) -> None:
    contract = create_contract(terms(settlement_windows={ticket: 14 * DAY}, late_evidence="ignore"), now=NOW).value
    version = contract.versions.get()
    assert version.settlement_windows == {str(Condition.objects.get().pk): 14 * DAY}
    assert (windows_of(contract), version.late_evidence) == ({ticket: 14 * DAY}, "ignore")


@pytest.mark.parametrize("seconds", [0, 1, 180 * DAY])
def test_the_shortest_and_the_longest_window(acme: Customer, ticket: str, seconds: int) -> None:
    assert windows_of(create_contract(terms(settlement_windows={ticket: seconds}), now=NOW).value) == {ticket: seconds}


@pytest.mark.parametrize(
    "clause",
    ["settle immediately", "settle after 0 hours", "settle after 5 hours of silence",
     "settle after 5 hours of silence, at most 9 hours", "settle at latest due of ticket.closed",
     "settle 2 hours after latest due of ticket.closed"],
)  # fmt: skip
def test_only_the_duration_of_settle_after_can_be_replaced(acme: Customer, clause: str) -> None:
    create_condition_version(other(clause), effective_from=None, now=NOW)
    with pytest.raises(ApiError) as refusal:
        create_contract(terms(settlement_windows={"other": DAY}), now=NOW)
    [detail] = refusal.value.details
    assert (refusal.value.status_code, detail.path, detail.code) == (
        422, "settlement_windows.other", "window_not_overridable",
    )  # fmt: skip
    written = "settle immediately" if clause == "settle after 0 hours" else clause
    assert detail.message.startswith(f"Condition other says `{written}` (version 1), and a contract can replace")


def test_a_condition_that_says_nothing_settles_after_72_hours_and_can_be_overridden(acme: Customer) -> None:
    create_condition_version(other(""), effective_from=None, now=NOW)
    create_contract(terms(settlement_windows={"other": DAY}), now=NOW)


def other(clause: str) -> str:
    return f"outcome other\nper ticket_id\nbill when ticket.closed\n{clause}\n"


def test_the_version_in_force_says_whether_it_can_be_overridden(acme: Customer) -> None:
    create_condition_version(other("settle after 1 hour"), effective_from=None, now=NOW)
    create_condition_version(other("settle after 1 hour of silence"), effective_from=NOW + timedelta(1), now=NOW)
    given = terms(settlement_windows={"other": DAY}, ends_at=JULY)
    with pytest.raises(ApiError, match="version 2"):
        create_contract(given, now=NOW + timedelta(1))
    ensure_contract(given, now=NOW + timedelta(1, microseconds=-1))
    # What is agreed already stays so, whatever the condition says since: a directory that is applied again is fine.
    assert ensure_contract(given, now=NOW + timedelta(1)).kind is Kind.UNCHANGED


def test_windows_and_late_evidence_of_a_standing_contract_are_not_edited(acme: Customer, ticket: str) -> None:
    create_condition_version(other(""), effective_from=None, now=NOW)
    agreed = {ticket: 14 * DAY}
    ensure_contract(terms(settlement_windows=agreed), now=NOW)
    assert ensure_contract(terms(settlement_windows=agreed), now=NOW).kind is Kind.UNCHANGED
    for changes, message in (
        ({"settlement_windows": {ticket: 5 * DAY}}, "settlement window of resolved_ticket is 2 weeks, not 5 days"),
        ({"settlement_windows": {}}, "settlement window of resolved_ticket (2 weeks) is not among those asked for"),
        ({"settlement_windows": {**agreed, "other": DAY}}, "settlement window of other is not set, not 1 day"),
        ({"settlement_windows": agreed, "late_evidence": "review"}, "late_evidence is reverse, not review"),
    ):
        with pytest.raises(ApiError) as refusal:
            ensure_contract(terms(**changes), now=NOW)
        assert refusal.value.code == "contract_already_exists"
        assert message in refusal.value.message


def test_the_database_knows_three_answers_to_late_evidence(acme: Customer) -> None:
    contract = create_contract(terms(), now=NOW).value
    assert contract.versions.get().late_evidence == "reverse"
    with thawed(), pytest.raises(IntegrityError, match="contract_late_evidence_known"), transaction.atomic():
        contract.versions.update(late_evidence="forget")
