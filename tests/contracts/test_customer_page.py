"""A customer's page in the admin: everything about them, each part for who may list its rows, at a bounded cost."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contracts.models import Customer
from invoicing import billing, customer_sections
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice, ParkedCustomer
from outcomes import customer_sections as outcome_sections
from outcomes.models import Event, InboxItem, Journal, Outcome
from outcomes.sequence import MONTH_FACTOR, month_number
from payments.models import Operation, StripeCustomer
from portal import links
from settlement import disputes, holds
from tests.invoicing.conftest import World, make_world, world
from tests.project.test_roles import client_of

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db

NAMES = [
    "contract", "running", "outcomes", "invoices", "credit", "disputes", "late", "holds", "stripe", "portal", "events",
    "journal",
]  # fmt: skip


@pytest.fixture
def now() -> datetime:
    """In the middle of a month, so that a period is running with something before it."""
    return timezone.now()


@pytest.fixture
def acme(world: World, now: datetime) -> Customer:
    """Has an issued invoice, goodwill on it, a dispute, a hold, a portal link, and outcomes in the running period."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = world.customer(email="ap@acme.example", address="1 Road\nTown", tax_id="DE1", locale="de-CH")
    world.contract(found, overrides={"high": "3.00"}, discount_percent=Decimal(10))
    world.outcomes(found, 10, first - timedelta(days=2))
    billing.run(now=first + timedelta(seconds=1))
    invoice = Invoice.objects.get()
    goodwill(Goodwill(invoice.pk, "Sorry for the wait", Decimal(5)), by="maria", now=first + timedelta(seconds=3))
    world.outcomes(found, 3, first + timedelta(seconds=1), met=first)
    world.outcome(found, now + timedelta(days=1), state="provisional", met=first)
    return found


@pytest.fixture
def busy(acme: Customer, world: World, now: datetime) -> Customer:
    """The same with what waits for people."""
    outcome = Outcome.objects.filter(state="confirmed").order_by("id")[0]
    disputes.raise_dispute(outcome.pk, reason="It was spam", by="otto", now=now)
    holds.place(holds.Target(customer="acme"), reason="A new owner", by="otto", now=now)
    ParkedCustomer.objects.create(customer=acme, reason="No price for it", since=now)
    links.create("acme", by="otto", now=now)
    StripeCustomer.objects.create(customer=acme, account="acct_1", livemode=False, stripe_id="cus_9", created_at=now)
    Operation.objects.create(customer=acme, kind="customer", status="parked", reason="No address", created_at=now)
    Journal.objects.create(
        outcome=outcome, from_state="provisional", to_state="confirmed", cause="clock", clause="settle",
        effective_at=now, recorded_at=now,
    )  # fmt: skip
    InboxItem.objects.create(
        seq=1,
        reason="invalid",
        message="No time",
        event_id="e-9",
        customer_key="acme",
        type="x",
        body="{}",
        received_at=now,
    )
    world_event(acme, 7, "e-7", now)
    return acme


def world_event(customer: Customer, number: int, event_id: str, now: datetime) -> None:
    Event.objects.create(
        seq=month_number(now) * MONTH_FACTOR + number, customer=customer, event_id=event_id, type="ticket.solved",
        time=now, received_at=now, data={},
    )  # fmt: skip


def shown(client: Client, customer: Customer) -> dict[str, str]:
    """The text of each section, by its name."""
    answer = client.get(f"/admin/contracts/customer/{customer.pk}/change/")
    assert answer.status_code == 200
    found = {}
    for name, html in re.findall(r'<section id="([a-z]+)".*?>(.*?)</section>', answer.content.decode(), re.DOTALL):
        found[name] = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    return found


def test_everything_about_a_customer(busy: Customer) -> None:
    found = shown(client_of("owner"), busy)
    assert set(found) == {*NAMES, "parked", "trail"}
    assert "No price for it" in found["parked"]
    assert "standard , version 1" in found["contract"] and "3.00 USD" in found["contract"]
    assert "discount: 10 %" in found["contract"] and "none: those in force" in found["contract"]
    assert "On no invoice 3 confirmed outcomes: a hold covers it" in found["running"]
    assert "resolved_ticket" in found["outcomes"] and "Confirmed" in found["outcomes"]
    assert "USD 27.00 USD 22.00" in found["invoices"], "the goodwill came off what is due"
    assert "Sorry for the wait" in found["credit"] and "Credit balance none" in found["credit"]
    assert "It was spam" in found["disputes"] and "A new owner" in found["holds"]
    assert "cus_9" in found["stripe"] and "No address" in found["stripe"]
    assert "active" in found["portal"] and "Revoke" in found["portal"]
    assert "e-7" in found["events"] and "1 in the inbox" in found["events"]
    assert "provisional → confirmed" in found["journal"]


def test_links_lead_to_narrowed_lists(busy: Customer) -> None:
    client = client_of("owner")
    html = client.get(f"/admin/contracts/customer/{busy.pk}/change/").content.decode()
    body = html[html.index('id="contract"') :]
    addresses = {one.replace("&amp;", "&") for one in re.findall(r'href="(/admin/[^"#]+)"', body)}
    assert len(addresses) > 20
    for address in addresses:
        assert client.get(address).status_code == 200, address
    [narrowed] = [one for one in addresses if "state__exact=provisional" in one]
    assert client.get(narrowed).context_data["cl"].queryset.count() == 1


@pytest.mark.parametrize(
    ("role", "hidden"),
    [
        ("viewer", {"trail"}),
        ("finance", {"trail"}),
        ("approver", set()),
        ("engineer", {"trail", "running", "invoices", "credit", "parked", "portal"}),
    ],
)
def test_each_part_is_for_who_lists_its_rows(role: str, hidden: set[str], busy: Customer) -> None:
    found = shown(client_of(role), busy)
    assert set(found) == {*NAMES, "parked", "trail"} - hidden
    assert ("Revoke" in found.get("portal", "")) == (role == "finance")
    assert ("Hold all of its outcomes" in found["holds"]) == (role in ("finance", "approver"))
    assert ("Amend it" in found["contract"]) == (role == "finance")
    assert "Differs from ours" not in found["stripe"] or role != "engineer"


def test_who_sees_the_customer_alone_sees_nothing_else(busy: Customer) -> None:
    user = User.objects.create_user("nosy", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_customer"))
    client = Client()
    client.force_login(user)
    assert shown(client, busy) == {}


def queries_of(client: Client, customer: Customer) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        shown(client, customer)
    return len(captured)


@pytest.mark.parametrize("role", ["owner", "engineer"])
def test_the_number_of_queries_does_not_grow(role: str, busy: Customer, world: World, now: datetime) -> None:
    client = client_of(role)
    shown(client, busy)
    before = queries_of(client, busy)
    assert before <= 75
    for number in range(12):
        outcome = world.outcome(busy, now - timedelta(days=1))
        disputes.raise_dispute(outcome.pk, reason="No", by="otto", now=now)
        holds.place(holds.Target(outcome=outcome.pk), reason="Wait", by="otto", now=now)
        links.create("acme", by="otto", now=now)
        world_event(busy, 100 + number, f"more-{number}", now)
        LogEntry.objects.log_actions(
            User.objects.get(username=role).pk, [busy], 2, change_message="Looked", single_object=True
        )
    assert queries_of(client, busy) <= before + 1


def test_many_outcomes_are_counted_so_far_and_their_period_asked_for(
    acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customer_sections, "AT_ONCE", 10)
    monkeypatch.setattr(outcome_sections, "MOST", 10)
    client = client_of("viewer")
    found = shown(client, acme)
    assert "more than 10 outcomes" in found["running"] and "USD" not in found["running"]
    assert "Counted among the newest 10" in found["outcomes"]
    page = client.get("/admin/invoicing/invoice/running/acme/").content.decode()
    assert "USD 8.10" in page and "USD 2.70" in page


def test_the_running_period_line_by_line(acme: Customer) -> None:
    client = client_of("viewer")
    running = shown(client, acme)["running"]
    assert "Confirmed USD 8.10 Provisional USD 2.70 Expected USD 10.80" in running
    page = re.sub(
        r"\s+", " ", re.sub("<[^>]+>", " ", client.get("/admin/invoicing/invoice/running/acme/").content.decode())
    )
    assert "As it stands" in page and "priority: high" in page and "USD 9.00" in page
    assert client.get("/admin/invoicing/invoice/running/nobody/").status_code == 404
    assert client_of("engineer").get("/admin/invoicing/invoice/running/acme/").status_code == 403


def test_a_customer_with_nothing(world: World) -> None:
    found = shown(client_of("owner"), world.customer("new"))
    assert "No contract is in force" in found["contract"]
    assert "has no contract at this time" in found["running"]
    assert set(found) == {*NAMES, "trail"}


def test_what_was_written_by_strangers_is_text(world: World) -> None:
    evil = world.customer("<script>alert(1)</script>", name="<b>x</b>")
    html = client_of("owner").get(f"/admin/contracts/customer/{evil.pk}/change/").content.decode()
    assert "<script>alert(1)" not in html and "<b>x</b>" not in html


def test_a_link_is_made_for_the_customer_that_the_address_names(busy: Customer) -> None:
    html = client_of("finance").get("/admin/portal/portallink/make/?customer=acme").content.decode()
    assert 'value="acme"' in html
