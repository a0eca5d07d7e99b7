"""Contracts of several versions: phases agreed at once, amendments, their preview, and what is refused."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from access.errors import ApiError
from contracts import amendments, queries, terms, windows
from contracts.agreements import ContractFields, create_contract, ensure_contract
from contracts.amendments import amend_contract
from contracts.changes import Kind
from contracts.clocks import create_clock
from contracts.customers import CustomerFields, put_customer
from contracts.domain.rating import CommitmentInput, DiscountInput, FeeInput
from contracts.models import Contract, ContractVersion, Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from contracts.timeline import Amendment
from tests.contracts.conftest import NOW, Call

pytestmark = pytest.mark.django_db
START, FEB, APRIL, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 4, 7))
NEXT = datetime(2027, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def card(ticket: str) -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)


def own(unit_price: str) -> tuple[PriceFields, ...]:
    return (PriceFields("resolved_ticket", Decimal(unit_price)),)


def given(**changes: Any) -> ContractFields:
    return ContractFields(**{"customer": "acme", "rate_card": "standard", "starts_at": START, **changes})


@pytest.fixture
def contract(acme: Customer) -> Contract:
    return create_contract(given(minimum=Decimal(100), net_days=14), now=NOW).value


def amend(contract: Contract, effective_at: datetime, now: datetime = NOW, **changes: Any) -> Any:
    ends_at = changes.pop("ends_at", None)
    return amend_contract(contract.pk, Amendment(effective_at, changes, ends_at), now=now)


def problems(call: Callable[[], Any]) -> tuple[int, list[tuple[str, str]]]:
    with pytest.raises(ApiError) as refusal:
        call()
    return refusal.value.status_code, [(detail.path, detail.code) for detail in refusal.value.details]


def timeline(contract: Contract) -> list[tuple[int, datetime]]:
    return list(contract.versions.order_by("number").values_list("number", "effective_at"))


# --- Phases -----------------------------------------------------------------------------------------------------------


def test_a_ramp_is_a_version_for_each_step_and_says_what_differs_from_the_one_before(acme: Customer) -> None:
    ramp = (Amendment(APRIL, {"prices": own("1.80")}), Amendment(JULY, {"prices": own("1.60"), "net_days": 7}))
    made = create_contract(given(prices=own("1.90"), minimum=Decimal(50), phases=ramp), now=NOW).value
    read = terms.load([acme.pk])
    [agreement] = read.agreements(acme.pk)
    found = [(one.start, one.version, one.prices[0].unit_price) for one in read.stretches(agreement)]
    assert [(start, version.minimum, version.net_days, price) for start, version, price in found] == [
        (START, 50, 30, Decimal("1.90")), (APRIL, 50, 30, Decimal("1.80")), (JULY, 50, 7, Decimal("1.60")),
    ]  # fmt: skip
    assert timeline(made) == [(1, START), (2, APRIL), (3, JULY)]


@pytest.mark.parametrize(
    "contract_fields",
    [{"trial": True, "phases": (Amendment(FEB),)},
     {"phases": (Amendment(START, {"trial": True}), Amendment(FEB))}],
)  # fmt: skip
def test_a_trial_first_charges_nothing_and_ends_with_the_next_phase(acme: Customer, contract_fields: Any) -> None:
    create_contract(given(**contract_fields, commitments=(CommitmentInput(Decimal(9), "advance"),)), now=NOW)
    read = terms.load([acme.pk])
    [agreement] = read.agreements(acme.pk)
    assert [(s.start, s.version.trial, s.prices[0].trial) for s in read.stretches(agreement)] == [
        (START, True, True), (FEB, False, False),
    ]  # fmt: skip
    # What is committed to begins where charging does.
    assert [span.starts_at for version in agreement.versions for span in version.commitments] == [FEB]


def test_what_is_wrong_with_a_phase_has_its_place_and_is_said_once(acme: Customer) -> None:
    phases = (
        Amendment(APRIL, {"cap": Decimal(50)}),
        Amendment(APRIL, {"net_days": 400}),
        Amendment(NEXT, {"prices": own("-1"), "net_days": 30, "cap": None}),
    )
    bad = given(minimum=Decimal(100), rate_card="standrad", phases=phases, ends_at=NEXT)
    assert problems(lambda: create_contract(bad, now=NOW)) == (
        422,
        [
            ("phases[1].starts_at", "phases_out_of_order"),
            ("phases[2].starts_at", "outside_contract"),
            ("rate_card", "unknown_rate_card"),
            ("phases[0].minimum", "minimum_above_cap"),
            ("phases[1].net_days", "invalid"),
            ("phases[2].prices[0].unit_price", "negative_price"),
        ],
    )
    assert not Contract.objects.exists()


# --- Terms of money ---------------------------------------------------------------------------------------------------

TERMS: list[tuple[dict[str, Any], str, str]] = [
    ({"discount": DiscountInput(Decimal(10), Decimal(5))}, "discount", "both_given"),
    ({"discount": DiscountInput()}, "discount", "required"),
    ({"discount": DiscountInput(percent=Decimal(101))}, "discount.percent", "percent_too_large"),
    ({"discount": DiscountInput(amount=Decimal("0.001"))}, "discount.amount", "too_many_decimals"),
    ({"minimum": Decimal(-1)}, "minimum", "negative"),
    ({"minimum": Decimal(100), "cap": Decimal(50)}, "minimum", "minimum_above_cap"),
    ({"fees": (FeeInput("", "recurring", Decimal(1)),)}, "fees[0].name", "required"),
    ({"fees": (FeeInput("x" * 256, "recurring", Decimal(1)),)}, "fees[0].name", "invalid"),
    ({"fees": (FeeInput("a", "recurring", Decimal(1)), FeeInput("a", "one_off", Decimal(1)))},
     "fees[1].name", "duplicate_name"),
    ({"fees": (FeeInput("a", "weekly", Decimal(1)),)}, "fees[0].kind", "unknown_kind"),
    ({"fees": (FeeInput("a", "seats", Decimal(1)),)}, "fees[0].seats", "required"),
    ({"fees": (FeeInput("a", "one_off", Decimal(1), timing="advance"),)}, "fees[0].timing", "not_used"),
    ({"fees": (FeeInput("a", "recurring", Decimal(-1)),)}, "fees[0].amount", "negative"),
    ({"pools": {"tickets": Decimal(5)}}, "pools.tickets", "unused_pool"),
    ({"prices": (PriceFields("resolved_ticket", Decimal(1), pool="tickets"),)}, "prices[0].pool", "unknown_pool"),
    ({"commitments": (CommitmentInput(Decimal(0), "advance"),)}, "commitments[0].amount", "not_positive"),
    ({"commitments": (CommitmentInput(Decimal(1), "later"),)}, "commitments[0].payment", "unknown_kind"),
    ({"commitments": (CommitmentInput(Decimal(1), "arrears"),)}, "commitments[0].ends_at", "required"),
    ({"commitments": (CommitmentInput(Decimal(1), "advance", FEB, FEB),)},
     "commitments[0].ends_at", "ends_before_start"),
    ({"commitments": (CommitmentInput(Decimal(1), "advance", START - TICK),)},
     "commitments[0].starts_at", "outside_contract"),
    ({"ends_at": APRIL, "commitments": (CommitmentInput(Decimal(1), "advance", None, JULY),)},
     "commitments[0].ends_at", "outside_contract"),
    ({"commitments": (CommitmentInput(Decimal(1), "advance", FEB + timedelta(3)),)},
     "commitments[0].starts_at", "not_a_period"),
    ({"currency": "EUR"}, "currency", "currency_mismatch"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "place", "code"), TERMS)
def test_terms_are_refused_with_their_place(acme: Customer, changes: Any, place: str, code: str) -> None:
    assert problems(lambda: create_contract(given(**changes), now=NOW)) == (422, [(place, code)])


def test_a_pool_of_the_rate_card_must_be_defined(acme: Customer, ticket: str) -> None:
    pooled = PriceFields(ticket, Decimal(1), pool="tickets")
    put_rate_card("pooled", RateCardFields("USD", (pooled,)), now=NOW)
    assert problems(lambda: create_contract(given(rate_card="pooled"), now=NOW)) == (422, [("pools", "unknown_pool")])
    create_contract(given(rate_card="pooled", pools={"tickets": Decimal(5)}), now=NOW)


# --- Amendments -------------------------------------------------------------------------------------------------------


def test_an_amendment_is_a_further_version_of_what_it_says_and_what_was_agreed(contract: Contract) -> None:
    made = amend(contract, APRIL, prices=own("1.50"), cap=Decimal(900))
    assert made.kind is Kind.CHANGED
    assert {(d.name, d.before, d.after) for d in made.differences} == {
        ("cap", None, "900"), ("price of resolved_ticket", None, "per_unit 1.5"),
    }  # fmt: skip
    first, second = contract.versions.order_by("number")
    assert (second.effective_at, second.minimum, second.net_days, second.cap) == (APRIL, 100, 14, 900)
    assert (first.cap, first.prices.count(), second.prices.get().unit_price) == (None, 0, Decimal("1.50"))
    # The same again changes nothing and writes nothing.
    assert amend(contract, APRIL, prices=own("1.5"), cap=Decimal("900.00")).kind is Kind.UNCHANGED
    assert amend(contract, JULY, net_days=14).kind is Kind.UNCHANGED
    assert contract.versions.count() == 2


def test_of_two_amendments_with_one_start_the_later_made_wins_and_builds_on_the_other(contract: Contract) -> None:
    amend(contract, APRIL, cap=Decimal(900))
    amend(contract, APRIL, net_days=7)
    amend(contract, APRIL, cap=None)
    [agreement] = terms.load([contract.customer_id]).agreements(contract.customer_id)
    version = agreement.version_at(APRIL)
    assert (version.number, version.cap, version.net_days) == (4, None, 7)
    assert agreement.version_at(APRIL - TICK).number == 1


def test_an_amendment_holds_until_the_next_agreed_version_starts(contract: Contract) -> None:
    amend(contract, JULY, net_days=60)
    amend(contract, APRIL, minimum=Decimal(500))
    [agreement] = terms.load([contract.customer_id]).agreements(contract.customer_id)
    assert [(start, v.minimum, v.net_days) for start, _, v in agreement.spans()] == [
        (START, 100, 14), (APRIL, 500, 14), (JULY, 100, 60),
    ]  # fmt: skip


def test_prices_and_terms_of_money_reach_into_the_past_and_nothing_else_does(contract: Contract, ticket: str) -> None:
    everything = {
        "settlement_windows": {ticket: 60}, "late_evidence": "ignore", "settlement_grace_seconds": 60,
        "billing_period": "yearly", "anchor_day": 5, "time_zone": "Asia/Tokyo",
        "credit_notes": "approval", "credits": "refund", "zero_invoices": "skip", "progressive_threshold": Decimal(9),
        "collection_method": "charge_automatically",
    }  # fmt: skip
    status, found = problems(lambda: amend(contract, NOW - TICK, **everything))
    assert (status, {code for _, code in found}) == (422, {"backdated"})
    assert {path for path, _ in found} == {
        "settlement_windows", "late_evidence", "settlement_grace", "billing_period", "anchor_day", "time_zone",
        "credit_notes", "credits", "zero_invoices", "progressive_threshold", "collection_method",
    }  # fmt: skip
    # What it says already may be repeated.
    money = {"prices": own("1"), "discount": DiscountInput(percent=Decimal(5)), "trial": True, "anchor_day": 1}
    assert amend(contract, START, **money).kind is Kind.CHANGED
    assert amend(contract, NOW, **everything).kind is Kind.CHANGED


def test_windows_of_an_amendment_are_guarded_for_its_span(
    contract: Contract, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(windows, "WINDOW_GUARDS", [lambda *args: asked.append(args[2:]) or {}])
    amend(contract, JULY, net_days=60)
    amend(contract, APRIL, settlement_windows={ticket: 60})
    amend(contract, APRIL, settlement_windows={})
    assert asked == [(APRIL, JULY), (APRIL, JULY)]


@pytest.mark.parametrize(
    ("effective_at", "changes", "found"),
    [(START - TICK, {"net_days": 1}, ("effective_at", "outside_contract")),
     (NEXT, {"net_days": 1}, ("effective_at", "outside_contract")),
     (APRIL, {"ends_at": NEXT + TICK}, ("ends_at", "ends_at_later")),
     (APRIL, {"ends_at": APRIL}, ("ends_at", "ends_before_start")),
     (START, {"ends_at": FEB}, ("ends_at", "backdated")),
     (APRIL, {"rate_card": "nothing"}, ("rate_card", "unknown_rate_card")),
     (APRIL, {"prices": own("-1")}, ("prices[0].unit_price", "negative_price")),
     (APRIL, {"cap": Decimal(1)}, ("minimum", "minimum_above_cap")),
     (APRIL, {"commitments": (CommitmentInput(Decimal(1), "advance", START - TICK),)},
      ("commitments[0].starts_at", "outside_contract"))],
)  # fmt: skip
def test_amendments_are_refused_with_their_place(
    acme: Customer, effective_at: datetime, changes: Any, found: Any
) -> None:
    contract = create_contract(given(minimum=Decimal(100), ends_at=NEXT), now=NOW).value
    assert problems(lambda: amend(contract, effective_at, **changes)) == (422, [found])
    assert contract.versions.count() == 1


def test_the_end_is_set_and_brought_forward(contract: Contract) -> None:
    amend(contract, APRIL, ends_at=NEXT)
    amend(contract, APRIL, ends_at=JULY)
    contract.refresh_from_db()
    assert (contract.ends_at, contract.versions.count()) == (JULY, 3)
    follows = create_contract(given(starts_at=JULY), now=NOW).value
    assert follows.starts_at == JULY


# --- A directory's history --------------------------------------------------------------------------------------------


def test_ensure_writes_what_is_new_and_knows_what_is_there(acme: Customer) -> None:
    history = [Amendment(APRIL, {"prices": own("1.50")})]
    first = ensure_contract(given(phases=(Amendment(FEB, {"net_days": 7}),)), now=NOW)
    again = given(phases=(Amendment(FEB, {"net_days": 7}),))
    assert first.kind is Kind.CREATED
    assert ensure_contract(again, now=NOW).kind is Kind.UNCHANGED
    for _ in range(2):
        history.append(Amendment(JULY, {"cap": Decimal(len(history))}, NEXT))
        assert ensure_contract(again, history, now=NOW).kind is Kind.CHANGED
        for now in (NOW, NEXT + timedelta(900)):
            assert ensure_contract(again, history, now=now).kind is Kind.UNCHANGED
    assert timeline(first.value) == [(1, START), (2, FEB), (3, APRIL), (4, JULY), (5, JULY)]
    # A history that is shorter or other than what stands is refused; so is one on a fresh database of other terms.
    for asked, message in (
        (history[:1], "version 4 from 2026-07-01T00:00:00Z is not among those asked for"),
        (
            [Amendment(APRIL, {"prices": own("1.40")}), *history[1:]],
            "version 3: price of resolved_ticket is per_unit 1.5",
        ),
    ):
        with pytest.raises(ApiError) as refusal:
            ensure_contract(again, asked, now=NOW)
        assert (refusal.value.code, message in refusal.value.message) == ("contract_already_exists", True)


def test_ensure_makes_a_whole_history_at_once(acme: Customer) -> None:
    history = [Amendment(APRIL, {"prices": own("1.50")}), Amendment(JULY, {"net_days": 7}, NEXT)]
    late = NEXT + timedelta(30)
    made = ensure_contract(given(), history, now=late)
    assert (made.kind, made.value.ends_at, made.value.versions.count()) == (Kind.CREATED, NEXT, 3)
    assert ensure_contract(given(), history, now=late).kind is Kind.UNCHANGED


def test_problems_of_an_amendment_in_a_history_have_their_place(acme: Customer) -> None:
    asked = [Amendment(APRIL, {"net_days": 7}), Amendment(JULY, {"prices": own("-1")})]
    expected = (422, [("amendments[1].prices[0].unit_price", "negative_price")])
    assert problems(lambda: ensure_contract(given(), asked, now=NOW)) == expected
    ensure_contract(given(), asked[:1], now=NOW)
    assert problems(lambda: ensure_contract(given(), asked, now=NOW)) == expected


# --- Over HTTP --------------------------------------------------------------------------------------------------------

BODY = {
    "customer": "acme",
    "rate_card": "standard",
    "starts_at": "2026-01-01T00:00:00Z",
    "ends_at": "2199-01-01T00:00:00Z",
}
SAID: dict[str, Any] = {
    "prices": [
        {"condition": "resolved_ticket", "model": "per_unit", "unit_price": "1.50", "pool": "tickets", "match": {}}
    ],
    "discount": {"percent": "10"},
    "minimum": "100.00",
    "cap": "900.00",
    "progressive_threshold": "250.00",
    "credit_notes": "approval",
    "credits": "refund",
    "zero_invoices": "skip",
    "collection_method": "charge_automatically",
    "fees": [
        {"name": "Platform", "kind": "recurring", "amount": "20.00", "timing": "advance", "counts": False},
        {"name": "Seats", "kind": "seats", "amount": "5.00", "seats": "12", "timing": "arrears", "counts": True},
        {"name": "Set-up", "kind": "one_off", "amount": "250.00", "counts": False},
    ],
    "pools": {"tickets": "500"},
    "commitments": [
        {
            "amount": "12000.00",
            "starts_at": "2026-01-01T00:00:00Z",
            "ends_at": "2027-01-01T00:00:00Z",
            "payment": "advance",
        }
    ],
}


@pytest.fixture
def agreed(call: Call, acme: Customer) -> dict[str, Any]:
    status, made = call("POST", "/v1/contracts", {**BODY, **SAID})
    assert status == 201, made
    return made


def test_every_term_comes_back(call: Call, agreed: dict[str, Any]) -> None:
    assert {name: agreed[name] for name in SAID} == SAID
    assert call("GET", f"/v1/contracts/{agreed['id']}") == (200, agreed)


def test_amend(call: Call, agreed: dict[str, Any]) -> None:
    path = f"/v1/contracts/{agreed['id']}/amend"
    body = {"effective_at": "2198-01-01T00:00:00Z", "discount": None, "fees": []}
    status, made = call("POST", path, body, Idempotency_Key="one")
    assert (status, [version["version"] for version in made["versions"]]) == (201, [1, 2])
    later = made["versions"][1]
    assert (later["discount"], later["fees"], later["cap"], later["commitments"]) == (None, [], "900.00", [])
    assert made["version"] == 1  # the one in force
    choices = ("credit_notes", "credits", "zero_invoices", "progressive_threshold", "collection_method")
    assert [later[name] for name in choices] == ["approval", "refund", "skip", "250.00", "charge_automatically"]
    assert call("POST", path, body, Idempotency_Key="one") == (201, made)
    assert call("POST", path, body) == (200, made)
    for wrong, code in (({"currency": "EUR"}, "unknown_field"), ({"starts_at": "x"}, "unknown_field"),
                        ({"minimum": "-1"}, "negative"), ({"net_days": None}, "null")):  # fmt: skip
        status, answer = call("POST", path, {**body, **wrong})
        assert (status, [(d["path"], d["code"]) for d in answer["error"]["details"]]) == (422, [(*wrong, code)])
    change = {"effective_at": "2198-01-01T00:00:00Z", "credits": "next_invoice", "progressive_threshold": None}
    status, shown = call("POST", f"{path}?preview=true", change)
    assert shown["differences"] == [
        {"name": "credits", "before": "refund", "after": "next_invoice"},
        {"name": "progressive_threshold", "before": "250", "after": None},
    ]
    status, answer = call("POST", path, {"net_days": 5})
    assert (status, answer["error"]["details"][0]["path"]) == (422, "effective_at")
    assert call("POST", "/v1/contracts/con_01jb3z9k7qe8tv6d0n4r2m5xwa/amend", body)[0] == 404


@pytest.fixture
def previews() -> Iterator[list[Any]]:
    asked: list[Any] = []

    def tell(customer_id: int, before: terms.Terms, after: terms.Terms, now: datetime) -> Any:
        asked.append((before, after))
        return [{"before": len(before.agreements(customer_id)), "after": len(after.agreements(customer_id))}]

    kept, amendments.PREVIEWS[:] = list(amendments.PREVIEWS), [tell]
    yield asked
    amendments.PREVIEWS[:] = kept


def test_a_preview_shows_before_and_after_and_stores_nothing(call: Call, agreed: Any, previews: list[Any]) -> None:
    path = f"/v1/contracts/{agreed['id']}/amend?preview=true"
    status, shown = call("POST", path, {"effective_at": "2026-02-01T00:00:00Z", "minimum": "50"})
    assert status == 200
    assert shown["differences"] == [{"name": "minimum", "before": "100", "after": "50"}]
    assert shown["contract"]["versions"][1]["minimum"] == "50.00"
    assert shown["periods"] == [{"before": 1, "after": 1}]
    [(before, after)] = previews
    customer = Customer.objects.get().pk
    assert [len(told.agreements(customer)[0].versions) for told in (before, after)] == [1, 2]
    assert ContractVersion.objects.count() == 1
    assert call("GET", f"/v1/contracts/{agreed['id']}") == (200, agreed)
    # What would be refused is refused.
    assert call("POST", path, {"effective_at": "2026-02-01T00:00:00Z", "time_zone": "Asia/Tokyo"})[0] == 422
    assert call("POST", path.replace("true", "maybe"), {"effective_at": "2026-02-01T00:00:00Z"})[0] == 400


def test_a_contract_can_be_previewed_before_it_is_agreed(call: Call, acme: Customer, previews: list[Any]) -> None:
    status, shown = call("POST", "/v1/contracts?preview=true", {**BODY, **SAID})
    assert (status, shown["periods"], shown["contract"]["cap"]) == (200, [{"before": 0, "after": 1}], "900.00")
    assert not Contract.objects.exists()
    assert call("POST", "/v1/contracts?preview=true", {**BODY, "customer": "nobody"})[0] == 422


def test_without_who_makes_invoices_a_preview_has_no_periods(call: Call, agreed: Any, previews: list[Any]) -> None:
    amendments.PREVIEWS.clear()
    path = f"/v1/contracts/{agreed['id']}/amend?preview=true"
    assert call("POST", path, {"effective_at": "2026-02-01T00:00:00Z", "net_days": 1})[1]["periods"] is None


def test_a_test_customer_is_amended_by_its_own_clock(acme: Customer) -> None:
    """What is past for a test customer, its clock says: here it shows a time long before ours."""
    clock = create_clock(now=FEB, name="", wall=NOW)
    put_customer("tested", CustomerFields(name="Tested", currency="USD", test_clock=clock.pk), now=NOW)
    contract = create_contract(given(customer="tested", starts_at=START), now=NOW).value
    later = {"settlement_windows": {"resolved_ticket": 14 * 86_400}}
    assert amend(contract, APRIL, **later).kind == Kind.CHANGED
    assert problems(lambda: amend(contract, FEB - TICK, **later))[1] == [("settlement_windows", "backdated")]
    shown = queries.contracts().get(pk=contract.pk)
    assert queries.version_in_force(shown, NOW).number == 1
