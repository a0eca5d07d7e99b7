"""What the last closed periods would have come to by other prices of a rate card."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from contracts.domain import rating
from contracts.models import RateCard, RateCardVersion
from contracts.prices import PriceFields
from invoicing import billing
from simulation import jobs
from simulation.models import Simulation
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, per_unit
from tests.invoicing.deals import reverse as take_back
from tests.workbench.tables import checksums
from tests.workbench.world import real_world
from workbench import prices
from workbench.prices import last_periods, month_before

pytestmark = pytest.mark.django_db
APRIL_2 = at("2026-04-02")


def by(unit_price: str, **more: Any) -> tuple[PriceFields, ...]:
    return (PriceFields("resolved_ticket", Decimal(unit_price), **more),)


def told(unit_price: str = "1.50", *, now: Any = APRIL_2) -> list[tuple[str, int, int]]:
    """(customer, billed, tried) in minor units."""
    found = last_periods("standard", "USD", by(unit_price), now)
    return [(row.customer.key, row.billed_minor, row.tried_minor) for row in found.rows]


@pytest.fixture
def world(db: None) -> World:
    return real_world()


@pytest.fixture
def billed(world: World) -> World:
    """March of acme: 30 at 2.00; of beta: 10 at 2.00 and 4 at 0.75, less 10 %, at least 24.00."""
    acme, beta = Deal(world, "acme"), Deal(world, "beta", discount_percent="10", minimum="24")
    for deal, high, low in ((acme, 30, 0), (beta, 10, 4)):
        deal.settled("resolved_ticket", high, at("2026-03-10"), priority="high")
        deal.settled("resolved_ticket", low, at("2026-03-11"), priority="low")
        deal.settled("resolved_ticket", 7, at("2026-02-10"), priority="high")
    billing.run(now=APRIL_2)
    assert (acme.totals()[-1], beta.totals()[-1]) == ("60.00", "24.00")
    return world


def test_the_last_period_by_other_prices(billed: World) -> None:
    # acme: 30 x 1.50; beta: 14 x 1.50 = 21.00 less 2.10, so the minimum holds.
    assert told("1.50") == [("acme", 6000, 4500), ("beta", 2400, 2400)]
    # beta: 14 x 3.00 = 42.00 less 4.20.
    assert told("3") == [("acme", 6000, 9000), ("beta", 2400, 3780)]


def test_the_card_as_it_is_changes_nothing(billed: World) -> None:
    same = (*by("2.00", match={"priority": "high"}), *by("0.75", match={"priority": "low"}))
    found = last_periods("standard", "USD", same, APRIL_2)
    assert len(found.rows) == 2 and not any(row.difference_minor for row in found.rows)


def test_it_is_what_a_version_in_force_would_have_billed(world: World) -> None:
    """The same month billed for good, by tiers, an allowance and a maximum."""
    tiers = tuple(rating.TierInput(*one) for one in ((Decimal(10), Decimal(3)), (None, Decimal("0.5"))))
    new = PriceFields(
        "resolved_ticket", model="graduated", tiers=tiers, included=Decimal(2), period_maximum=Decimal(40)
    )
    Deal(world, "acme").settled("resolved_ticket", 25, at("2026-03-10"), priority="high")
    billing.run(now=APRIL_2)
    [row] = last_periods("standard", "USD", [new], APRIL_2).rows
    tiers_stored = [{"up_to": "10", "unit_price": "3"}, {"up_to": None, "unit_price": "0.5"}]
    fields = {"model": "graduated", "tiers": tiers_stored, "included": Decimal(2), "period_maximum": Decimal(40)}
    other = Deal(world, "other", prices={"resolved_ticket": fields})
    other.settled("resolved_ticket", 25, at("2026-03-10"), priority="high")
    billing.run(now=APRIL_2)
    assert row.tried_minor == other.invoice().subtotal_minor == 3650


def test_an_override_and_another_card_stand(billed: World) -> None:
    Deal(billed, "own", prices={"resolved_ticket": per_unit("5")}).settled("resolved_ticket", 2, at("2026-03-10"))
    elsewhere = billed.customer("elsewhere")
    contract = billed.contract(elsewhere, rate_card=RateCard.objects.create(key="other", created_at=APRIL_2))
    billing.run(now=APRIL_2)
    assert ("own", 1000, 1000) in told("9")
    assert contract.customer.key not in {key for key, _, _ in told("9")}


def test_what_was_taken_back_since_counts_no_more(billed: World) -> None:
    take_back("resolved_ticket", 5, customer__key="acme", dimensions__priority="high", settled_at=at("2026-03-10"))
    assert told("1.50")[0] == ("acme", 6000, 3750)


def test_commitments_are_drawn_in_turn(world: World) -> None:
    deal = Deal(world, commitments=[{"amount": Decimal(20), "payment": "advance", "ends_at": at("2026-07-01")}])
    deal.settled("resolved_ticket", 6, at("2026-02-10"), priority="high")
    deal.settled("resolved_ticket", 10, at("2026-03-10"), priority="high")
    billing.run(now=APRIL_2)
    # February drew 12.00, so March draws 8.00 of 20.00; by 1.00 each February draws 6.00, and March its 10.00.
    assert told("1")[0] == ("acme", 1200, 0)


def test_so_much_is_looked_at_and_no_more(billed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "MOST_OUTCOMES", 30)
    found = last_periods("standard", "USD", by("1"), APRIL_2)
    # acme has the larger bill, and its 30 outcomes are enough.
    assert ([row.customer.key for row in found.rows], found.customers, found.left_out) == (["acme"], 2, 1)
    monkeypatch.setattr(prices, "MOST_CUSTOMERS", 1)
    found = last_periods("standard", "USD", by("1"), APRIL_2)
    assert (len(found.rows), found.customers, found.left_out) == (1, 2, 1)


def test_the_month_before() -> None:
    assert month_before(at("2026-03-31T10:00")) == (at("2026-02-01"), at("2026-03-01"))
    assert month_before(at("2026-01-01")) == (at("2025-12-01"), at("2026-01-01"))


# --- On the page ------------------------------------------------------------------------------------------------------

ADD = "admin:contracts_ratecard_add"
INPUTS = {
    "key": "standard", "currency": "USD", "effective_from_0": "", "effective_from_1": "",
    "prices-0-condition": "resolved_ticket", "prices-0-model": "per_unit", "prices-0-unit_price": "1.50",
}  # fmt: skip


def client(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    found = Client()
    found.force_login(user)
    return found


def test_preview_tells_and_stores_nothing(billed: World) -> None:
    finance = client("finance")
    before = checksums()
    text = " ".join(finance.post(reverse(ADD), {**INPUTS, "_preview": "1"}).content.decode().split())
    assert "<b>69.00 USD</b> instead of 84.00 USD: <b>-15.00 USD</b>" in text
    assert re.search(r"acme</a></th>.*?60\.00.*?45\.00.*?-15\.00.*?beta</a>", text)
    assert checksums() == before


def test_while_it_is_edited_the_page_answers_in_parts(billed: World) -> None:
    finance = client("finance")
    before = checksums()
    text = finance.post(reverse(ADD), {**INPUTS, "_preview": "1", "_live": "1"}).content.decode()
    assert 'data-slot="curve-prices-0"' in text and 'data-slot="preview"' in text and "<html" not in text
    assert "acme" not in text  # bills are only asked for by the button
    wrong = finance.post(reverse(ADD), {**INPUTS, "currency": "EUR", "_live": "1"}).content.decode()
    assert "is in USD and stays so" in wrong and "<canvas" in wrong
    half = finance.post(reverse(ADD), {**INPUTS, "prices-0-unit_price": "", "_live": "1"}).content.decode()
    assert "<canvas" not in half and "does not hold yet" in half
    assert checksums() == before
    assert client("viewer").post(reverse(ADD), {**INPUTS, "_live": "1"}).status_code == 403


def test_last_month_is_simulated_for_everybody(billed: World) -> None:
    finance = client("finance")
    path = reverse("workbench_prices_simulate")
    assert finance.get(path).status_code == 405
    wrong = finance.post(path, {**INPUTS, "prices-0-unit_price": "-1"})
    assert wrong.status_code == 200 and "not negative" in wrong.content.decode() and not Simulation.objects.exists()
    versions = RateCardVersion.objects.count()
    made = finance.post(path, INPUTS)
    found = Simulation.objects.get()
    assert made.url == reverse("admin:simulation_simulation_change", args=[found.pk])
    [noted] = LogEntry.objects.all()
    assert (noted.object_id, str(noted.user)) == (str(found.pk), "finance") and "standard" in noted.change_message
    assert found.asked_by == "finance" and RateCardVersion.objects.count() == versions
    asked = jobs.decoded(found.asked)
    assert asked["rate_card"] == {
        "key": "standard", "currency": "USD",
        "prices": [{"condition": "resolved_ticket", "model": "per_unit", "unit_price": "1.50"}],
    }  # fmt: skip
    for role in ("viewer", "engineer", "approver"):
        assert client(role).post(path, INPUTS).status_code == 403


def test_the_page_of_a_card_draws_each_version_beside_the_one_before(billed: World) -> None:
    finance = client("finance")
    card = RateCard.objects.get(key="standard")
    assert finance.post(reverse(ADD), INPUTS).status_code == 302
    path = reverse("admin:contracts_ratecard_change", args=[card.pk])
    first = finance.get(path, {"shown": "1"}).context["curves"]
    assert [(one.label, one.compared) for one in first] == [
        ('price of resolved_ticket where priority is "high"', False),
        ('price of resolved_ticket where priority is "low"', False),
    ]
    shown = finance.get(path)
    assert [(one.label, one.said) for one in shown.context["curves"]] == [("price of resolved_ticket", "1.50 USD")]
    assert "?shown=1" in shown.content.decode()
