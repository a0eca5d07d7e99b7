"""The running period of a contract beside terms that are only tried: what billing then does, and nothing written."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from freezegun import freeze_time

from contracts import amendments
from contracts.domain import money
from contracts.history import COMING, IN_FORCE, PAST, REPLACED, history_of
from contracts.models import Contract, TaxRate
from contracts.timeline import Amendment
from invoicing import billing
from invoicing.models import CreditNote, Invoice, InvoiceLine
from tests.contracts.test_admin_terms import fields_of, page_of
from tests.invoicing.conftest import BEFORE, World, make_world, world
from tests.invoicing.deals import Deal, at, per_unit
from tests.workbench.tables import checksums
from workbench.contract_pages import running_period
from workbench.contract_preview import Look, corrections_of, look, rows_of, sums_of

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db
# Before any clock is frozen: types of messages are made when their modules load.
assert get_resolver().url_patterns
APRIL_2, APRIL_20 = at("2026-04-02"), at("2026-04-20")


@pytest.fixture
def maria(db: None) -> User:
    user = User.objects.create_user("maria", is_staff=True)
    user.groups.add(Group.objects.get(name="finance"))
    return user


@pytest.fixture
def finance(maria: User) -> Client:
    client = Client()
    client.force_login(maria)
    return client


def agreed(world: World, **terms: Any) -> Deal:
    """20 tickets of March are invoiced at 2.00; in April 30 are confirmed, and 5 in their window."""
    deal = Deal(world, starts_at=at("2026-03-01"), prices={"ticket": per_unit("2")}, **terms)
    deal.settled("ticket", 20, at("2026-03-15"), met=at("2026-03-14"))
    deal.settled("ticket", 30, at("2026-04-15"), met=at("2026-04-14"))
    deal.provisional("ticket", 5, at("2026-04-25"), met=at("2026-04-19"))
    billing.run(now=APRIL_2)
    return deal


def settle(deal: Deal) -> None:
    """What is in its window comes to its end."""
    for outcome in deal.customer.outcomes.filter(state="provisional"):
        type(outcome).objects.filter(pk=outcome.pk).update(
            state="confirmed", settled_at=outcome.settles_at, due_at=None
        )


def tried(maria: User, deal: Deal, effective_at: datetime, **changes: Any) -> tuple[Look, Look]:
    """The two looks at an amendment, as the page has them."""
    request = RequestFactory().get("/")
    request.user = maria
    looks: list[Look | str | None] = [look(request, deal.contract, APRIL_20)]

    def amend() -> Any:
        return amendments.amend_contract(deal.contract.pk, Amendment(effective_at, changes), now=APRIL_20)

    amendments.preview(
        deal.customer.pk, amend, lambda contract: looks.append(look(request, contract, APRIL_20)), now=APRIL_20
    )
    before, after = looks
    assert isinstance(before, Look) and isinstance(after, Look)
    return before, after


def test_lines_are_beside_each_other_confirmed_and_provisional_apart(world: World, maria: User) -> None:
    TaxRate.objects.create(key="vat", name="VAT", percent=Decimal(19), created_at=BEFORE)
    deal = agreed(world, discount_percent="10")
    deal.customer.tax_rates.add(TaxRate.objects.get())
    before, after = tried(maria, deal, APRIL_20, minimum=Decimal(400), discount=None)
    # 60.00 less 10 %, as they were met before the 20th; the minimum is 400.00 of a full month.
    rows = {row.title: (row.before, row.after) for row in rows_of(before.confirmed, after.confirmed)}
    assert rows["Ticket"] == (6000, 6000)
    assert any(before_ is None and after_ for title, (before_, after_) in rows.items() if "Minimum" in title), rows
    assert sum(row.difference for row in rows_of(before.confirmed, after.confirmed)) == (
        after.confirmed.total_minor - before.confirmed.total_minor
    )
    assert [row.before for row in rows_of(before.provisional, after.provisional)][:1] == [1000]
    sums = sums_of(before, after, provisional=False)
    assert [one.name for one in sums] == ["Subtotal", "VAT 19 %", "Total"]
    assert [one.before for one in sums] == [5400, 1026, 6426]
    assert sums_of(before, after, provisional=True)[0].before == 5400 + 900


def test_what_is_previewed_is_what_is_billed(world: World, maria: User) -> None:
    """The provisional ones settle, the amendment is made, and the invoice of April says what was shown."""
    deal = agreed(world)
    before, after = tried(maria, deal, APRIL_20, minimum=Decimal(200), prices=())
    expected = [one.after for one in sums_of(before, after, provisional=True)]
    amendments.amend_contract(
        deal.contract.pk, Amendment(APRIL_20, {"minimum": Decimal(200), "prices": ()}), now=APRIL_20
    )
    settle(deal)
    billing.run(now=at("2026-05-02"))
    invoice = Invoice.objects.get(period_start=at("2026-04-01"))
    assert [invoice.subtotal_minor, invoice.total_minor] == [expected[0], expected[-1]]
    # The minimum holds for 11 of 30 days: 73.33, which the 35 tickets come to less than by 3.33.
    assert invoice.subtotal_minor == 7333


@pytest.mark.parametrize("policy", ["automatic", "approval"])
def test_a_lower_price_backwards_is_the_credit_note_that_follows(world: World, maria: User, policy: str) -> None:
    from contracts.prices import PriceFields

    deal = agreed(world, credit_notes=policy)
    change = {"prices": (PriceFields("ticket", Decimal("1.50")),)}
    before, after = tried(maria, deal, at("2026-03-10"), **change)
    [correction] = corrections_of(before, after)
    assert (correction.start, correction.minor, correction.invoiced) == (at("2026-03-01"), -1000, True)
    amendments.amend_contract(deal.contract.pk, Amendment(at("2026-03-10"), change), now=APRIL_20)
    billing.run(now=at("2026-05-02"))
    note = CreditNote.objects.get()
    assert note.subtotal_minor == -correction.minor
    assert note.status == ("issued" if policy == "automatic" else "draft")


def test_a_higher_price_backwards_is_a_line_of_the_next_invoice(world: World, maria: User) -> None:
    from contracts.prices import PriceFields

    deal = agreed(world)
    change = {"prices": (PriceFields("ticket", Decimal(3)),)}
    before, after = tried(maria, deal, at("2026-03-01"), **change)
    [correction] = corrections_of(before, after)
    assert (correction.minor, correction.invoiced) == (2000, True)
    amendments.amend_contract(deal.contract.pk, Amendment(at("2026-03-01"), change), now=APRIL_20)
    settle(deal)
    billing.run(now=at("2026-05-02"))
    corrected = InvoiceLine.objects.filter(invoice__period_start=at("2026-04-01"), period_start=at("2026-03-01"))
    assert sum(line.amount_minor for line in corrected) == correction.minor


def test_drawn_commitments_are_shown(world: World, maria: User) -> None:
    deal = agreed(world, commitments=[{"amount": Decimal(60), "payment": "advance", "ends_at": at("2027-03-01")}])
    before, after = tried(maria, deal, APRIL_20, net_days=5)
    # March drew 40.00, so 20.00 of April's 60.00 are prepaid.
    drawn = [row for row in rows_of(before.confirmed, after.confirmed) if (row.before or 0) < 0]
    assert [(row.before, row.after) for row in drawn] == [(-2000, -2000)]


# --- History ----------------------------------------------------------------------------------------------------------


def test_versions_as_a_history(world: World) -> None:
    deal = agreed(world)
    for start, changes in (
        ("2026-05-01", {"minimum": Decimal(50)}),
        ("2026-04-10", {"cap": Decimal(900)}),
        ("2026-05-01", {"minimum": Decimal(70)}),
    ):
        amendments.amend_contract(deal.contract.pk, Amendment(at(start), changes), now=at("2026-04-01"))
    deal.contract.refresh_from_db()
    found = history_of(deal.contract, APRIL_20)
    assert [(span.number, span.state, span.end) for span in found.spans] == [
        (1, PAST, at("2026-04-10")),
        (2, REPLACED, at("2026-05-01")),
        (3, IN_FORCE, at("2026-05-01")),
        (4, COMING, None),
    ]
    assert [[(one.name, one.before, one.after) for one in span.changes] for span in found.spans] == [
        [],
        [("minimum", None, "50")],
        [("cap", None, "900")],
        [("minimum", "50", "70")],
    ]
    assert [period.start for period in found.periods] == [at("2026-03-01"), at("2026-04-01"), at("2026-05-01")]


# --- On the pages -----------------------------------------------------------------------------------------------------


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@freeze_time(APRIL_20)
def test_the_page_of_a_contract_shows_its_running_period(world: World, finance: Client) -> None:
    deal = agreed(world)
    before = checksums()
    path = reverse("admin:contracts_contract_change", args=[deal.contract.pk])
    text = text_of(finance.get(path))
    assert "Confirmed so far Ticket 30 60.00 Total 60.00" in text and "Ticket 5 10.00" in text
    assert "Expected, with what is provisional Total 70.00" in text and "Versions of the terms" in text
    assert checksums() == before
    engineer = Client()
    user = User.objects.create_user("eng", is_staff=True)
    user.groups.add(Group.objects.get(name="engineer"))
    engineer.force_login(user)
    assert "Confirmed so far" not in text_of(engineer.get(path))


@freeze_time(APRIL_20)
def test_an_amendment_is_previewed_before_it_is_saved(world: World, finance: Client) -> None:
    deal = agreed(world)
    path = reverse("admin:contracts_contract_amend_this", args=[deal.contract.pk])
    sent = fields_of(page_of(finance.get(path)))
    moment = {"effective_at_0": "2026-03-01", "effective_at_1": "00:00:00"}
    changed = {**sent, **moment, "prices-0-unit_price": "1.50"}
    before = checksums()
    text = text_of(finance.post(path, {**changed, "_preview": "1"}))
    assert (
        "The period that began on 1 March 2026 comes to 10.00 USD less: it was invoiced: a credit note"
        " that the next billing run issues" in text
    )
    assert "Ticket 30 60.00 45.00 -15.00" in text and "Ticket 5 10.00 7.50 -2.50" in text
    assert "Total 60.00 45.00 -15.00" in text
    # While one types, what does not take long.
    live = text_of(finance.post(path, {**changed, "_live": "1"}))
    assert "Press Preview for what it makes of the running period" in live and "Ticket 30" not in live
    for one in (text, live):
        assert "2 (as entered), in force" in one and "price of ticket: per_unit 2 → per_unit 1.5" in one
    [row] = page_of(finance.post(path, {**changed, "_preview": "1"})).rows["prices"].meant
    assert (row.curve.said, row.curve.before_said) == ("1.50 USD", "2.00 USD")
    assert checksums() == before
    assert finance.post(path, changed).status_code == 302
    billing.run(now=at("2026-05-02"))
    assert money.major_text(CreditNote.objects.get().subtotal_minor, "USD") == "10.00"


@freeze_time(APRIL_20)
def test_an_amendment_of_a_contract_that_has_ended(world: World, finance: Client) -> None:
    deal = Deal(world, starts_at=at("2026-03-01"), ends_at=at("2026-04-01"), prices={"ticket": per_unit("2")})
    deal.settled("ticket", 20, at("2026-03-15"), met=at("2026-03-14"))
    billing.run(now=APRIL_2)
    shown = reverse("admin:contracts_contract_change", args=[deal.contract.pk])
    assert "Running period" not in text_of(finance.get(shown))
    path = reverse("admin:contracts_contract_amend_this", args=[deal.contract.pk])
    sent = {**fields_of(page_of(finance.get(path))), "effective_at_0": "2026-03-01", "effective_at_1": "00:00:00"}
    for price, words in (("1.50", "10.00 USD less"), ("2.25", "5.00 USD more")):
        text = text_of(finance.post(path, {**sent, "prices-0-unit_price": price, "_preview": "1"}))
        assert f"comes to {words}: it was invoiced, so a document of its own corrects it." in text
        assert "It has no running period now." in text


@freeze_time(APRIL_20)
def test_a_contract_that_begins_in_the_past_says_what_is_to_be_billed(world: World, finance: Client) -> None:
    customer = world.customer("late")
    for day in ("2026-03-10", "2026-04-10"):
        world.outcomes(customer, 4, at(day), met=at(day))
    card = {
        "customer": "late", "rate_card": "standard", "currency": "", "starts_at_0": "2026-03-01",
        "starts_at_1": "00:00:00", "billing_period": "monthly", "anchor_day": "1", "net_days": "30",
        "late_evidence": "reverse", "credit_notes": "automatic", "credits": "next_invoice", "zero_invoices": "issue",
        "collection_method": "send_invoice", "pass_on": "none",
    }  # fmt: skip
    path = reverse("admin:contracts_contract_add")
    before = checksums()
    text = text_of(finance.post(path, {**card, "_preview": "1"}))
    assert (
        "The period that began on 1 March 2026 comes to 8.00 USD more: it has ended and has no invoice yet:"
        " the next billing run makes it." in text
    )
    assert checksums() == before and not Contract.objects.exists()
    assert finance.post(path, card).status_code == 302
    billing.run(now=APRIL_20)
    assert [invoice.subtotal_minor for invoice in Invoice.objects.all()] == [800]


def test_what_cannot_be_worked_out_is_said(world: World, maria: User) -> None:
    """An amount beyond what can be booked parks a customer; the page on which that is mended opens."""
    deal = Deal(world, starts_at=at("2026-03-01"), prices={"ticket": per_unit("900000000000000")})
    deal.settled("ticket", 1, at("2026-04-15"), met=at("2026-04-14"), quantity=Decimal(10) ** 9)
    request = RequestFactory().get("/")
    request.user = maria
    found = look(request, deal.contract, APRIL_20)
    assert isinstance(found, str) and "cannot be worked out" in found
    assert "cannot be worked out" in running_period(found, None, None)
