"""The pages on which rate cards and contracts are agreed and amended: the use cases', with errors at their inputs."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from contracts import amendments
from contracts.agreements import ContractFields, create_contract
from contracts.domain.rating import FeeInput
from contracts.models import Condition, Contract, Customer, RateCard, RateCardVersion
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.contracts.conftest import NOW
from tests.contracts.test_price_models import PRICES, REFUSED

pytestmark = pytest.mark.django_db
ADD_CARD, ADD_CONTRACT = "admin:contracts_ratecard_add", "admin:contracts_contract_add"


@pytest.fixture
def admin(ticket: str, acme: Customer) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    return client


@pytest.fixture
def card(ticket: str) -> RateCard:
    return put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW).value.rate_card


def inputs(price: dict[str, Any], number: int = 0) -> dict[str, str]:
    """A price of the API as the inputs of its row."""
    said = {f"prices-{number}-condition": "resolved_ticket"}
    for name, value in price.items():
        if name == "match":
            said[f"prices-{number}-match"] = "; ".join(f"{one}={text}" for one, text in value.items())
        elif name != "tiers":
            said[f"prices-{number}-{name}"] = value
    for place, tier in enumerate(price.get("tiers", ())):
        for name, value in tier.items():
            said[f"prices-{number}-tiers-{place}-{name}"] = value or ""
    return said


def page_of(response: Any) -> Any:
    assert response.status_code == 200, response
    return response.context["page"]


def complaints(response: Any) -> dict[str, str]:
    """What stands at the inputs: name -> message; "" for the head, "prices-1" for a row."""
    page = page_of(response)
    rows = [row for one in page.rows.values() for row in one.meant]
    tiers = [tier for row in rows if hasattr(row, "tiers") for tier in row.tiers.meant]
    return {
        (form.add_prefix(name) if name != "__all__" else form.prefix or ""): " ".join(messages)
        for form in [page.head, *rows, *tiers]
        for name, messages in form.errors.items()
    }


CARD = {"key": "standard", "currency": "USD", "effective_from_0": "", "effective_from_1": ""}


@pytest.mark.parametrize(("price", "said"), PRICES)
def test_a_card_is_previewed_with_its_curve_and_saved(admin: Client, price: dict[str, Any], said: str) -> None:
    body = {**CARD, **inputs(price)}
    shown = admin.post(reverse(ADD_CARD), {**body, "_preview": "1"})
    assert complaints(shown) == {}
    [row] = page_of(shown).rows["prices"].meant
    assert "resolved_ticket" in row.curve.label and row.curve.rows and len(row.curve.charts) == 2
    text = shown.content.decode()
    assert "nothing was stored" in text and text.count("<canvas") == 2 and row.curve.said
    assert not RateCard.objects.exists()
    # What was typed is still there, and goes on as it is.
    for name, value in body.items():
        if value:
            assert re.search(rf'name="{name}"', text), name
    done = admin.post(reverse(ADD_CARD), body)
    assert done.status_code == 302, complaints(done)
    told = admin.get(done.url).content.decode()
    assert row.curve.said.replace("'", "&#x27;") in told
    assert RateCardVersion.objects.get().prices.get().model == price["model"]
    assert "in force says this already" in complaints(admin.post(reverse(ADD_CARD), body))[""]


@pytest.mark.parametrize("unreadable", [False, True])
def test_what_is_refused_stands_at_its_input(admin: Client, unreadable: bool) -> None:
    """All of it in one form, each in a row of its own; what is no number at all is told before anything else is."""
    listed = [
        one
        for one in REFUSED
        if one[2] not in ("invalid_choice", "unknown_field")
        and (one[2] in ("invalid", "max_decimal_places")) == unreadable
    ]
    body = {**CARD, **inputs({"model": "free", "match": {"priority": "low"}})}
    for number, (price, _, _) in enumerate(listed, start=5):
        body |= inputs({"match": {"priority": str(number)}, **price}, number)
    found = complaints(admin.post(reverse(ADD_CARD), body))
    for number, (_, place, code) in enumerate(listed, start=5):
        wanted = f"prices-{number}-" + place.replace("[", "-").replace("].", "-")
        row = f"prices-{number}" if place == "tiers" else wanted  # tiers themselves are no input
        assert row in found or (code == "required" and wanted.rpartition("-")[0] in found), (found, wanted)
    assert not [name for name in found if name.startswith("prices-0")]
    assert not RateCard.objects.exists()


def test_ties_currencies_and_cards_in_use(admin: Client, card: RateCard) -> None:
    body = {**CARD, **inputs({"model": "free"}), **inputs({"model": "free"}, 3)}
    assert "exactly as well" in complaints(admin.post(reverse(ADD_CARD), body))["prices-3-match"]
    other = {**CARD, "currency": "EUR", **inputs({"model": "free"})}
    assert "is in USD and stays so" in complaints(admin.post(reverse(ADD_CARD), other))["currency"]
    assert "at least one price" in complaints(admin.post(reverse(ADD_CARD), CARD))[""]
    # In place nothing is edited: there is a further version, filled with the one in force.
    page = reverse("admin:contracts_ratecard_change", args=[card.pk])
    assert admin.post(page, {"key": "x"}).status_code == 403
    begin = admin.get(reverse("admin:contracts_ratecard_new_version_this", args=[card.pk]), follow=True)
    text = begin.content.decode()
    assert begin.status_code == 200 and 'value="standard"' in text and 'value="2.00"' in text
    assert 'data-mark="__row__"' in text and "prices-__row__-tiers-__tier__-up_to" in text
    done = admin.post(reverse(ADD_CARD), {**CARD, **inputs({"model": "per_unit", "unit_price": "3"})})
    assert (done.status_code, card.versions.count()) == (302, 2)


HEAD = {
    "customer": "acme", "rate_card": "standard", "currency": "",
    "starts_at_0": "2026-01-01", "starts_at_1": "00:00:00", "ends_at_0": "2199-01-01", "ends_at_1": "00:00:00",
    "billing_period": "monthly", "anchor_day": "1", "time_zone": "", "net_days": "14",
    "settlement_grace": "12 hours", "settlement_windows": "resolved_ticket: 14 days", "late_evidence": "review",
    "credit_notes": "approval", "credits": "refund", "zero_invoices": "skip", "progressive_threshold": "250",
    "collection_method": "charge_automatically", "pass_on": "none",
    "conditions": "resolved_ticket: 1", "discount_percent": "10", "minimum": "50", "cap": "900.00", "trial": "on",
    "phases": "- {starts_at: 2026-02-01T00:00:00Z, minimum: 100}",
}  # fmt: skip
ROWS = {
    **inputs({"model": "per_unit", "unit_price": "1.75", "pool": "tickets"}),
    "fees-0-name": "Platform", "fees-0-kind": "recurring", "fees-0-amount": "20", "fees-0-timing": "advance",
    "fees-1-name": "Seats", "fees-1-kind": "seats", "fees-1-amount": "5", "fees-1-seats": "12", "fees-1-counts": "on",
    "fees-2-name": "", "fees-2-kind": "recurring", "fees-2-amount": "",
    "pools-0-name": "tickets", "pools-0-units": "500",
    "commitments-0-amount": "12000", "commitments-0-payment": "arrears",
    "commitments-0-ends_at": "2027-01-01T00:00:00Z",
}  # fmt: skip


def test_a_contract_is_agreed_with_all_its_terms(admin: Client, card: RateCard) -> None:
    assert admin.get(reverse(ADD_CONTRACT)).status_code == 200
    shown = admin.post(reverse(ADD_CONTRACT), {**HEAD, **ROWS, "_preview": "1"})
    assert complaints(shown) == {}
    assert "pool tickets" in shown.content.decode() and not Contract.objects.exists()
    done = admin.post(reverse(ADD_CONTRACT), {**HEAD, **ROWS})
    assert done.status_code == 302, complaints(done)
    first, second = Contract.objects.get().versions.order_by("number")
    condition = str(Condition.objects.get().pk)
    assert (first.trial, first.minimum, first.cap, first.discount_percent, first.pools) == (
        True, 50, 900, 10, {"tickets": "500"},
    )  # fmt: skip
    assert (first.credit_notes, first.credits, first.zero_invoices, first.progressive_threshold) == (
        "approval", "refund", "skip", 250,
    )  # fmt: skip
    assert (first.collection_method, first.pass_on) == ("charge_automatically", "none")
    assert (first.settlement_windows, first.conditions, first.late_evidence, first.settlement_grace_seconds) == (
        {condition: 14 * 86_400}, {condition: 1}, "review", 43_200,
    )  # fmt: skip
    assert [(fee.name, fee.seats, fee.counts) for fee in first.fees.all()] == [
        ("Platform", None, False),
        ("Seats", 12, True),
    ]
    assert (second.trial, second.minimum, first.commitments.get().amount) == (False, 100, 12_000)
    text = admin.get(reverse("admin:contracts_contract_change", args=[first.contract_id])).content.decode()
    for said in ("1.75 USD, drawing on the pool tickets",
                 "fee Seats: <b>5.00 USD a period for each of 12 seats, in arrears",
                 "discount: <b>10 %", "minimum: <b>100.00 USD", "progressive_threshold: <b>250.00 USD", "Paid back",
                 "Charged: taken from the payment method", "No: invoiced here",
                 "pool tickets: <b>500 a period"):  # fmt: skip
        assert said in text, said


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [({"starts_at_0": "soon"}, "starts_at", "valid date"),
     ({"anchor_day": "32"}, "anchor_day", "less than or equal to 31"),
     ({"currency": "EUR"}, "currency", "choose a card in EUR"),
     ({"minimum": "-5"}, "minimum", "not negative"),
     ({"progressive_threshold": "0"}, "progressive_threshold", "above zero"),
     ({"credits": "nowhere"}, "credits", "valid choice"),
     ({"minimum": "1000"}, "minimum", "above the cap"),
     ({"discount_percent": "101"}, "discount_percent", "at most 100"),
     ({"discount_amount": "5"}, "discount_percent", "not both"),
     ({"settlement_grace": "soon"}, "settlement_grace", "is no duration"),
     ({"settlement_windows": "nothing: 14 days"}, "settlement_windows", "There is no condition"),
     ({"settlement_windows": "resolved_ticket: ["}, "settlement_windows", "Line"),
     ({"settlement_windows": "- 14 days"}, "settlement_windows", "Expected an object"),
     ({"conditions": "resolved_ticket: 9"}, "conditions", "has versions 1 to 1"),
     ({"conditions": "resolved_ticket: one"}, "conditions", "Expected the number of a version"),
     ({"phases": "- {starts_at: 2026-02-01T00:00:00Z, net_days: -1}"}, "phases", "phases[0].net_days"),
     ({"prices-0-unit_price": "-1"}, "prices-0-unit_price", "not negative"),
     ({"prices-0-match": "priorty=high"}, "prices-0-match", "Did you mean priority?"),
     ({"fees-1-seats": ""}, "fees-1-seats", "says how many"),
     ({"pools-0-units": "0"}, "pools-0-units", "above zero"),
     ({"pools-0-name": "other"}, "prices-0-pool", "defines no pool"),
     ({"commitments-0-ends_at": "2027-01-05T00:00:00Z"}, "commitments-0-ends_at", "with a billing period")],
)  # fmt: skip
def test_errors_stand_at_their_inputs(admin: Client, card: RateCard, changes: Any, place: str, message: str) -> None:
    response = admin.post(reverse(ADD_CONTRACT), {**HEAD, **ROWS, **changes})
    found = complaints(response)
    assert any(message in text for name, text in found.items() if name.startswith(place)), found
    assert re.search(r"errors|alert", response.content.decode())
    assert not Contract.objects.exists()


def test_overlapping_contracts_are_refused(admin: Client, card: RateCard) -> None:
    assert admin.post(reverse(ADD_CONTRACT), {**HEAD, **ROWS}).status_code == 302
    assert "do not overlap" in complaints(admin.post(reverse(ADD_CONTRACT), {**HEAD, **ROWS}))["starts_at"]


@pytest.fixture
def contract(admin: Client, card: RateCard) -> Contract:
    own = (PriceFields("resolved_ticket", Decimal("1.75")),)
    fees = (FeeInput("Platform", "recurring", Decimal(20), timing="advance"),)
    start = NOW.replace(month=1, day=1, hour=0)
    given = ContractFields("acme", "standard", start, prices=own, fees=fees, minimum=Decimal(50), cap=Decimal(900))
    return create_contract(given, now=NOW).value


@pytest.fixture
def told() -> Iterator[None]:
    def periods(*_: Any) -> Any:
        return [{"contract": "con", "currency": "USD", "period_start": "A", "period_end": "B", "invoiced": True,
                 "before": {"lines": [], "total": "50.00"}, "after": {"lines": [], "total": "81.00"},
                 "difference": "31.00"}]  # fmt: skip

    kept, amendments.PREVIEWS[:] = list(amendments.PREVIEWS), [periods]
    yield
    amendments.PREVIEWS[:] = kept


def fields_of(page: Any) -> dict[str, str]:
    """What a browser would send of a page as it was opened."""
    sent: dict[str, str] = {}
    forms = [page.head, *(row for one in page.rows.values() for row in one.shown)]
    for form in forms:
        for bound in form:
            value = bound.value()
            if isinstance(value, bool) or value is None:
                sent |= {bound.html_name: "on"} if value else {}
            elif not hasattr(value, "year"):
                sent[bound.html_name] = str(value)
    return sent


def test_a_contract_is_amended_with_before_and_after(admin: Client, contract: Contract, told: None) -> None:
    path = reverse("admin:contracts_contract_amend_this", args=[contract.pk])
    opened = admin.get(path)
    sent = fields_of(page_of(opened))
    assert (sent["prices-0-unit_price"], sent["fees-0-name"], sent["minimum"]) == ("1.75", "Platform", "50")
    moment = {"effective_at_0": "2026-02-01", "effective_at_1": "00:00:00"}
    assert "changes nothing" in complaints(admin.post(path, {**sent, **moment}))[""]
    now_on = {"credits": "refund", "progressive_threshold": "250"}
    assert "never changed for what has passed" in complaints(admin.post(path, {**sent, **moment, **now_on}))["credits"]
    changed = {**sent, **moment, "minimum": "", "prices-0-unit_price": "1.50", "discount_percent": "5"}
    shown = admin.post(path, {**changed, "_preview": "1"})
    assert complaints(shown) == {}
    text = " ".join(shown.content.decode().split())
    for part in (
        "<td>minimum</td><td>50</td><td>—</td>",
        "<td>discount</td><td>—</td><td>5 %</td>",
        "81.00",
        "31.00 USD",
    ):
        assert part in text, part
    assert contract.versions.count() == 1
    assert admin.post(path, changed).status_code == 302
    version = contract.versions.get(number=2)
    assert (version.minimum, version.cap, version.prices.get().unit_price) == (None, 900, Decimal("1.50"))
    assert [fee.timing for fee in version.fees.all()] == ["advance"]
    # What did not change is as agreed at the time, whatever the page was filled with.
    assert (
        "never changed for what has passed"
        in complaints(admin.post(path, {**changed, "anchor_day": "5"}))["anchor_day"]
    )


def test_only_who_may_change_contracts_amends_them(contract: Contract) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("clerk", is_staff=True))
    assert client.get(reverse("admin:contracts_contract_amend_this", args=[contract.pk])).status_code == 403
    assert client.get(reverse(ADD_CONTRACT)).status_code == 403
    assert client.get(reverse(ADD_CARD)).status_code == 403
