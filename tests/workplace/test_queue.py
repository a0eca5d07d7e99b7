"""The review queue: what waits is listed for who may see it, a decision shows what it moves, to the cent, and does that
and no more.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.urls import get_resolver
from freezegun import freeze_time

from contracts.models import Customer
from handover.models import Handover
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditNote, Invoice, InvoiceLine, ParkedCustomer
from outcomes.models import Journal, Outcome
from payments.models import Finding, Operation, StripeCredit, StripeInvoice
from settlement import disputes
from settlement.models import Dispute
from tests.workplace.queue_seller import DAY, HOUR, Seller, bill, fill, make_seller
from workplace import queue_money
from workplace.queue import PAGE
from workplace.queue_views import KINDS

pytestmark = pytest.mark.django_db
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 3, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    assert get_resolver().url_patterns  # all modules are loaded: some read types of time, which a frozen clock changes
    with freeze_time(NOW):
        yield


@pytest.fixture
def seller() -> Seller:
    return make_seller(JANUARY)


def staff(role: str, name: str = "maria") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def maria() -> Client:
    return staff("finance")


def show(client: Client, address: str, decision: str, **given: str) -> Any:
    """The page that tells what a decision moves."""
    answer = client.post(address, {"decision": decision, "reason": "looked into it", **given})
    assert answer.status_code == 200
    return answer


def moves(page: Any) -> list[tuple[str, str, str, str]]:
    """(what, before, after, difference) of each line that a page shows."""
    effect = page.context["effect"]
    return [(one["what"], one["before"], one["after"], one["difference"]) for one in effect.shown]


def confirm(client: Client, page: Any, *, query: str = "", **given: str) -> Any:
    """Press the button of a page that shows what a decision moves."""
    shown = page.context["effect"].fingerprint
    decision = page.context["decision"].name
    data = {"decision": decision, "reason": "looked into it", "shown": shown, **given}
    return client.post(page.request["PATH_INFO"] + query, data, follow=True)


def said(page: Any) -> list[str]:
    return [str(one) for one in page.context["messages"]]


def checksum() -> dict[str, str]:
    """Of the rows of every table, but what a request itself leaves behind."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if table != "django_session":
                cursor.execute(
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{table}\" t"
                )
                found[table] = cursor.fetchone()[0]
    return found


# --- What is listed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def everything(seller: Seller) -> Seller:
    fill(seller)
    return seller


SEEN = {
    "dispute", "late", "incomplete", "note", "parked", "operation", "stripe_invoice", "stripe_credit", "finding",
    "handover",
}  # fmt: skip


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("viewer", SEEN),
        ("engineer", {"dispute", "late", "incomplete", "operation", "handover"}),
        ("owner", SEEN),
    ],
)
def test_each_kind_is_listed_for_who_may_see_it(everything: Seller, role: str, kinds: set[str]) -> None:
    client = staff(role)
    page = client.get("/admin/queue/")
    entries = page.context["entries"]
    assert {one.kind for one in entries} == kinds and len(entries) == len(kinds)
    assert [one.since for one in entries] == sorted(one.since for one in entries)
    assert page.context["tabs"][0][:2] == ("Everything", len(kinds))
    worth = {one.kind: one.worth for one in entries}
    assert ("USD 2.00" in page.content.decode()) == (role != "engineer")
    for entry in entries:
        alone = client.get("/admin/queue/", {"kind": entry.kind})
        assert [one.pk for one in alone.context["entries"]] == [entry.pk]
        if role not in ("owner", "engineer"):
            continue
        item = client.get(entry.url)
        assert item.status_code == 200 and entry.sentence in item.content.decode().replace("&#x27;", "'")
        assert item.context["evidence"].facts
    operation = client.get(next(one.url for one in entries if one.kind == "operation"))
    assert (("It comes to", "USD 6.00", "") in operation.context["evidence"].money) == (role != "engineer")
    assert ("6.00" in operation.content.decode()) == (role != "engineer")
    if role != "engineer":
        assert worth["dispute"] == worth["late"] == "USD 2.00" and worth["note"] == "USD 1.50"
        assert (worth["operation"], worth["incomplete"], worth["parked"]) == ("USD 6.00", "", "")


def test_nobody_without_a_role_sees_it() -> None:
    user = User.objects.create_user("new", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get("/admin/queue/").status_code == 403
    assert Client().get("/admin/queue/").status_code == 302


def test_who_may_not_decide_is_offered_nothing(everything: Seller) -> None:
    client = staff("viewer")
    dispute = Dispute.objects.get()
    address = f"/admin/queue/dispute/{dispute.pk}/"
    page = client.get(address)
    assert page.context["allowed"] == [] and "others decide it" in page.content.decode()
    assert client.post(address, {"decision": "uphold", "reason": "mine"}).status_code == 403
    # Finance decides disputes and approves no credit notes; an approver does both, and completes nothing.
    note = CreditNote.objects.get(status="draft")
    items = f"/admin/queue/dispute/{dispute.pk}/", f"/admin/queue/note/{note.pk}/"
    offered = {}
    for role in ("finance", "approver"):
        client = staff(role, role)
        offered[role] = [{one.name for one in client.get(item).context["allowed"]} for item in items]
    assert offered == {
        "finance": [{"uphold", "reject", "withdraw"}, set()],
        "approver": [{"uphold", "reject"}, {"approve", "discard"}],
    }


def test_by_customer_and_by_worth(everything: Seller, maria: Client) -> None:
    everything.agree("globex", "per_unit")
    for number, outcome in enumerate(everything.solve("globex", 2, JANUARY + 3 * DAY)):
        everything.dispute(outcome, now=FEBRUARY + (2 + number) * HOUR)
    Outcome.objects.filter(customer__key="globex", subject__key__endswith="02").update(quantity=7)
    page = maria.get("/admin/queue/", {"customer": "globex", "order": "dearest"})
    assert [one.worth for one in page.context["entries"]] == ["USD 14.00", "USD 2.00"]
    assert {one.customer.key for one in page.context["entries"]} == {"globex"}
    assert "All customers" in page.content.decode()
    page = maria.get("/admin/queue/", {"customer": "nobody"})
    assert "Nothing of this customer waits" in page.content.decode()


def test_a_page_costs_the_same_however_much_waits(seller: Seller, maria: Client,
                                                  django_assert_max_num_queries: Any) -> None:  # fmt: skip
    seller.agree("acme", "per_unit")
    outcomes = seller.solve("acme", PAGE + 5, JANUARY + DAY)
    for number, outcome in enumerate(outcomes):
        seller.dispute(outcome, f"number {number}", now=FEBRUARY + timedelta(minutes=number))
    with django_assert_max_num_queries(26):
        first = maria.get("/admin/queue/")
    assert [one.sentence[-9:] for one in first.context["entries"][:2]] == [" number 0", " number 1"]
    assert len(first.context["entries"]) == PAGE and first.context["after"] == "?page=2"
    second = maria.get("/admin/queue/?page=2")
    assert len(second.context["entries"]) == 5 and not second.context["after"]
    assert second.context["before"] == "?"


def test_nothing_waits(maria: Client) -> None:
    assert "Nothing waits for a person" in maria.get("/admin/queue/").content.decode()
    for kind in KINDS:
        page = maria.get("/admin/queue/", {"kind": kind.slug})
        assert kind.empty in page.content.decode()


# --- What a decision moves --------------------------------------------------------------------------------------------


def test_what_was_invoiced_comes_back_by_a_credit_note(seller: Seller, maria: Client) -> None:
    """Eleven tickets, ten at 2.00 and one at 1.00, are invoiced with 21.00: without one of them it is 20.00."""
    seller.agree("acme", "graduated")
    dispute = seller.dispute(seller.solve("acme", 11, JANUARY + DAY)[4], now=FEBRUARY - DAY)
    disputes.withdraw(dispute.pk, note="a slip", by="Ann", now=FEBRUARY - DAY)
    bill(FEBRUARY)
    assert Invoice.objects.get().total_minor == 2100
    dispute = seller.dispute(dispute.outcome, "it came back", now=FEBRUARY + HOUR)
    address = f"/admin/queue/dispute/{dispute.pk}/"
    page = show(maria, address, "uphold")
    # A dispute of what is invoiced changes nothing by itself; upheld, what is owed falls below what was billed.
    assert moves(page) == [
        ("to be given back by a credit note", "0.00", "-1.00", "-1.00"),
        ("all of the period, USD 21.00 of it invoiced", "21.00", "20.00", "-1.00"),
    ]
    assert page.context["effect"].sentences[0] == "USD 1.00 more is given back, by a credit note of the next run."
    done = confirm(maria, page, query="?kind=dispute")
    assert said(done) == ["Uphold: done. Nothing more of this kind waits."]
    dispute.refresh_from_db()
    assert (dispute.status, dispute.resolved_by, dispute.note) == ("upheld", "maria", "looked into it")
    assert Outcome.objects.get(pk=dispute.outcome_id).state == "reversed"
    noted = LogEntry.objects.get()
    assert (noted.object_id, noted.change_message) == (str(dispute.pk), "Uphold: looked into it")
    bill(NOW)
    assert CreditNote.objects.get().total_minor == 100


def test_a_tier_that_is_no_longer_reached_costs_more(seller: Seller, maria: Client) -> None:
    """Eleven at 1.00 each are 11.00, ten at 2.00 each are 20.00: what is taken back adds 9.00 to the next invoice."""
    seller.agree("acme", "volume")
    first = seller.solve("acme", 11, JANUARY + DAY)[0]
    bill(FEBRUARY)
    assert Invoice.objects.get().total_minor == 1100
    dispute = seller.dispute(first, now=FEBRUARY + HOUR)
    page = show(maria, f"/admin/queue/dispute/{dispute.pk}/", "uphold")
    assert moves(page) == [
        ("to be invoiced", "0.00", "9.00", "+9.00"),
        ("all of the period, USD 11.00 of it invoiced", "11.00", "20.00", "+9.00"),
    ]
    confirm(maria, page)
    bill(datetime(2026, 3, 1, tzinfo=UTC))
    correction = InvoiceLine.objects.filter(invoice__period_start=FEBRUARY, period_start=JANUARY)
    assert sum(line.amount_minor for line in correction) == 900


def test_what_is_not_invoiced_yet_is_added_by_rejecting(seller: Seller, maria: Client) -> None:
    """While it is disputed it is off the invoice. Rejected it is billed; upheld nothing moves any more."""
    seller.agree("acme", "graduated")
    outcomes = seller.solve("acme", 11, FEBRUARY + HOUR)
    dispute = seller.dispute(outcomes[0], now=FEBRUARY + DAY)
    address = f"/admin/queue/dispute/{dispute.pk}/"
    assert "its period is invoiced from 1 Mar 2026" in maria.get(address).content.decode()
    page = show(maria, address, "reject")
    assert moves(page) == [
        ("to be invoiced", "20.00", "21.00", "+1.00"), ("all of the period", "20.00", "21.00", "+1.00"),
    ]  # fmt: skip
    page = show(maria, address, "uphold")
    assert moves(page) == [] and page.context["effect"].sentences[0].startswith("It moves no money as things stand")


def test_a_minimum_takes_it_up(seller: Seller, maria: Client) -> None:
    seller.agree("acme", "per_unit", minimum=Decimal("50.00"))
    dispute = seller.dispute(seller.solve("acme", 3, JANUARY + DAY)[0], now=FEBRUARY - HOUR)
    page = show(maria, f"/admin/queue/dispute/{dispute.pk}/", "reject")
    assert moves(page) == []


def test_a_draft_counts_as_not_made(seller: Seller, maria: Client, settings: Any) -> None:
    """What stands on a draft in its grace moves the draft, as the next run makes it anew."""
    settings.INVOICE_GRACE_HOURS = 24 * 7
    seller.agree("acme", "graduated", late_evidence="review")
    first = seller.solve("acme", 11, JANUARY + DAY)[0]
    bill(FEBRUARY)
    assert Invoice.objects.get().status == "draft"
    late = seller.late("acme", first.subject.key, JANUARY + DAY + HOUR, now=FEBRUARY + HOUR)
    page = show(maria, f"/admin/queue/late/{late.pk}/", "accept")
    assert moves(page) == [
        ("to be invoiced", "21.00", "20.00", "-1.00"), ("all of the period", "21.00", "20.00", "-1.00"),
    ]  # fmt: skip
    assert Invoice.objects.get().total_minor == 2100
    assert moves(show(maria, f"/admin/queue/late/{late.pk}/", "ignore")) == []
    confirm(maria, page)
    late.refresh_from_db()
    assert (late.status, late.decided_by) == ("accepted", "maria")
    bill(NOW)
    assert Invoice.objects.get().total_minor == 2000


def test_a_missing_quantity_is_given(seller: Seller, maria: Client) -> None:
    """Eight confirmed, and one of unknown quantity in its window: with 4 it is 2 at 2.00 and 2 at 1.00."""
    seller.agree("acme", "graduated")
    seller.solve("acme", 8, NOW - DAY)
    seller.tell("acme", "closed", "unknown", NOW - HOUR, units=None)
    outcome = seller.outcome("unknown")
    address = f"/admin/queue/incomplete/{outcome.pk}/"
    page = maria.get(address)
    assert (
        "Its quantity is unknown" in page.content.decode()
        and "becomes final 3 Feb 2026, 13:00" in page.content.decode()
    )
    for given, problem in (
        ({}, "Give a figure."),
        ({"quantity": "-1"}, "Must be 0 or more."),
        ({"quantity": "x"}, ""),
    ):
        refused = show(maria, address, "complete", **given)
        assert refused.context["effect"] is None and problem in refused.context["problem"], given
    page = show(maria, address, "complete", quantity="4")
    assert moves(page) == [
        ("in the settlement window", "0.00", "6.00", "+6.00"),
        ("all of the period", "16.00", "22.00", "+6.00"),
    ]
    # The form keeps what was typed, for the second click.
    assert 'name="quantity" value="4"' in page.content.decode()
    confirm(maria, page, quantity="4")
    outcome.refresh_from_db()
    assert (outcome.quantity, outcome.review) == (4, [])
    assert LogEntry.objects.get().change_message == "Complete: looked into it"


def test_a_reason_is_asked_for(seller: Seller, maria: Client) -> None:
    seller.agree("acme", "per_unit")
    dispute = seller.dispute(seller.solve("acme", 1, JANUARY + DAY)[0], now=FEBRUARY)
    page = maria.post(f"/admin/queue/dispute/{dispute.pk}/", {"decision": "uphold", "reason": "  "})
    assert page.context["problem"] == "Why: this is needed." and page.context["effect"] is None


def test_a_credit_note_to_approve(seller: Seller) -> None:
    """What approving takes off the invoice it corrects; discarding leaves more to credit. Its writer does not approve
    what takes two.
    """
    otto = staff("approver", "otto")
    seller.agree("acme", "per_unit")
    seller.solve("acme", 3, JANUARY + DAY)
    bill(FEBRUARY)
    invoice = Invoice.objects.get()
    given = Goodwill(invoice.pk, "a slow answer", Decimal("1.50"), issue=False)
    note = goodwill(given, now=FEBRUARY + HOUR, by="maria")
    address = f"/admin/queue/note/{note.pk}/"
    assert moves(show(otto, address, "discard")) == [("left to credit", "4.50", "6.00", "+1.50")]
    page = show(otto, address, "approve")
    assert moves(page) == [("to be paid", "6.00", "4.50", "-1.50")]
    assert CreditNote.objects.get().number is None
    confirm(otto, page)
    note.refresh_from_db()
    assert (note.status, note.number) == ("issued", "CN-000001")


def test_a_second_person_is_asked_for(seller: Seller, settings: Any) -> None:
    settings.SECOND_PERSON_ABOVE = {"USD": 100}
    otto = staff("approver", "otto")
    seller.agree("acme", "per_unit")
    seller.solve("acme", 3, JANUARY + DAY)
    bill(FEBRUARY)
    given = Goodwill(Invoice.objects.get().pk, "a slow answer", Decimal("1.50"), issue=False)
    note = goodwill(given, now=FEBRUARY + HOUR, by="otto")
    page = show(otto, f"/admin/queue/note/{note.pk}/", "approve")
    assert page.context["effect"] is None and "somebody else than otto" in page.context["problem"]


def test_a_customer_whose_billing_failed(seller: Seller, maria: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it fails, that is said and there is nothing to confirm; mended, the invoice is shown and made."""
    seller.agree("acme", "per_unit")
    seller.solve("acme", 3, JANUARY + DAY)
    with monkeypatch.context() as broken:
        broken.setattr("contracts.domain.money.total", lambda *args: 1 / 0)
        bill(FEBRUARY)
        parked = ParkedCustomer.objects.get()
        address = f"/admin/queue/parked/{parked.pk}/"
        page = show(maria, address, "bill")
        assert page.context["effect"].sentences[0].startswith("It would fail again: ZeroDivisionError")
        assert "Confirm" not in page.content.decode()
        parked.refresh_from_db()
        assert parked.attempts == 1
    page = show(maria, address, "bill")
    assert moves(page) == [("an invoice is issued, with tax", "0.00", "6.00", "+6.00")]
    assert not Invoice.objects.exists()
    confirm(maria, page)
    assert (Invoice.objects.get().total_minor, ParkedCustomer.objects.exists()) == (600, False)


def test_two_sides_that_differ(everything: Seller, maria: Client) -> None:
    seen = StripeInvoice.objects.get()
    page = maria.get(f"/admin/queue/stripe_invoice/{seen.pk}/")
    assert ("Total", "USD 6.00", "USD 5.00") in page.context["evidence"].sides
    assert "Mend the side that is wrong" in page.content.decode()
    seen_to = StripeCredit.objects.get()
    page = maria.get(f"/admin/queue/stripe_credit/{seen_to.pk}/")
    assert ("Given back", "USD 0.50", "USD 0.50") in page.context["evidence"].sides
    confirm(maria, show(maria, f"/admin/queue/stripe_credit/{seen_to.pk}/", "seen_to"))
    seen_to.refresh_from_db()
    assert seen_to.advice == ""
    finding = Finding.objects.get(kind="total")
    assert "Credit it." in maria.get(f"/admin/queue/finding/{finding.pk}/").content.decode()
    operation = Operation.objects.get()
    page = show(maria, f"/admin/queue/operation/{operation.pk}/", "retry")
    assert page.context["effect"].sentences == ("It moves no money here. What it moves there shows once it is done.",)
    confirm(maria, page)
    operation.refresh_from_db()
    assert (operation.status, operation.decided_by) == ("waiting", "maria")


def test_a_hand_over_that_failed(everything: Seller) -> None:
    """Who runs the machinery decides it, and sees no money of it."""
    engineer, handover = staff("engineer"), Handover.objects.get()
    page = show(engineer, f"/admin/queue/handover/{handover.pk}/", "settle")
    assert "It moves no money here" in page.content.decode() and "USD" not in page.content.decode()
    confirm(engineer, page)
    handover.refresh_from_db()
    assert (handover.status, handover.reason, handover.decided_by) == ("done", "looked into it", "maria")
    gone = engineer.get(f"/admin/queue/handover/{handover.pk}/", follow=True)
    assert said(gone) == ["It is not parked any more: it is done, by maria."]


# --- Nothing is written by showing ------------------------------------------------------------------------------------


def test_showing_writes_nothing(everything: Seller, maria: Client) -> None:
    """Of any kind, by any decision: every table is as it was."""
    otto = staff("owner", "otto")
    places = [(one.kind, one.url) for one in otto.get("/admin/queue/").context["entries"]]
    before = checksum()
    looked = set()
    for kind, url in places:
        for decision in otto.get(url).context["allowed"]:
            page = show(otto, url, decision.name, quantity="3")
            assert page.context["effect"] is not None, (kind, decision.name, page.context["problem"])
            looked.add((kind, decision.name))
    assert len(looked) == 16
    assert checksum() == before


def test_nothing_is_rung_or_told_by_showing(
    everything: Seller, maria: Client, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    dispute = Dispute.objects.get()
    with django_capture_on_commit_callbacks() as callbacks:
        show(maria, f"/admin/queue/dispute/{dispute.pk}/", "uphold")
    assert callbacks == []


# --- Races ------------------------------------------------------------------------------------------------------------


def test_somebody_else_decided_in_between(seller: Seller, maria: Client) -> None:
    seller.agree("acme", "per_unit")
    first, second = seller.solve("acme", 2, JANUARY + DAY)
    dispute, other = seller.dispute(first, now=FEBRUARY), seller.dispute(second, now=FEBRUARY + HOUR)
    address = f"/admin/queue/dispute/{dispute.pk}/"
    page = show(maria, address, "uphold")
    disputes.resolve(dispute.pk, "rejected", note="all in order", by="otto", now=NOW)
    rows = Journal.objects.count()
    for answer in (confirm(maria, page), maria.get(address, follow=True)):
        assert said(answer) == ["It does not wait any more: it was rejected by otto, 3 Feb 2026, 09:00 UTC."]
        # The next one is offered.
        assert answer.redirect_chain[-1][0].startswith(f"/admin/queue/dispute/{other.pk}/")
    assert (Journal.objects.count(), LogEntry.objects.count()) == (rows, 0)
    assert Outcome.objects.get(pk=first.pk).state == "confirmed"


def test_a_second_click_does_nothing(seller: Seller, maria: Client) -> None:
    seller.agree("acme", "graduated")
    dispute = seller.dispute(seller.solve("acme", 11, JANUARY + DAY)[0], now=FEBRUARY)
    page = show(maria, f"/admin/queue/dispute/{dispute.pk}/", "uphold")
    confirm(maria, page)
    again = confirm(maria, page)
    assert said(again) == ["It does not wait any more: it was upheld by maria, 3 Feb 2026, 09:00 UTC."]
    assert LogEntry.objects.count() == 1


def test_other_figures_are_shown_and_asked_for_again(seller: Seller, maria: Client) -> None:
    """Between the two clicks a twelfth ticket is confirmed: what is taken back is worth 1.00 by now, not 2.00."""
    seller.agree("acme", "graduated")
    dispute = seller.dispute(seller.solve("acme", 10, NOW - DAY)[0], now=NOW)
    address = f"/admin/queue/dispute/{dispute.pk}/"
    page = show(maria, address, "reject")
    assert moves(page)[0][3] == "+2.00"
    seller.solve("acme", 2, NOW - 8 * HOUR)
    asked = confirm(maria, page)
    assert moves(asked)[0][3] == "+1.00" and "so nothing was done" in asked.content.decode()
    assert Dispute.objects.get().status == "raised"
    confirm(maria, asked)
    assert Dispute.objects.get().status == "rejected"


def test_what_comes_beside_it_asks_for_nothing(seller: Seller, maria: Client) -> None:
    """More was confirmed in between, and the difference is the same: it is done."""
    seller.agree("acme", "per_unit")
    dispute = seller.dispute(seller.solve("acme", 2, NOW - DAY)[0], now=NOW)
    page = show(maria, f"/admin/queue/dispute/{dispute.pk}/", "reject")
    seller.solve("acme", 3, NOW - 8 * HOUR)
    confirm(maria, page)
    assert Dispute.objects.get().status == "rejected"


@pytest.mark.parametrize(
    "address", ["dispute/1", "dispute/x'y", "operation/99999999999999999999", "finding/7", "note/0"]
)
def test_an_address_of_nothing(maria: Client, address: str) -> None:
    answer = maria.get(f"/admin/queue/{address}/", follow=True)
    assert answer.status_code == 200 and len(said(answer)) == 1


def test_who_was_away_proves_who_they_are_and_goes_on(seller: Seller) -> None:
    """By the first click; what was entered is not lost."""
    seller.agree("acme", "per_unit")
    dispute = seller.dispute(seller.solve("acme", 1, JANUARY + DAY)[0], now=FEBRUARY)
    maria, address = staff("finance"), f"/admin/queue/dispute/{dispute.pk}/"
    user = User.objects.get(username="maria")
    user.set_password("correct horse battery")
    user.save()
    maria.force_login(user)
    with freeze_time(NOW + timedelta(minutes=20)):
        asked = maria.post(address, {"decision": "uphold", "reason": "looked into it"})
        assert "access/proof.html" in [one.name for one in asked.templates]
        kept = dict(asked.context["kept"])
        page = maria.post(address, {**kept, "proof": "correct horse battery"})
        assert page.context["decision"].name == "uphold" and page.context["effect"].possible
        confirm(maria, page)
    assert Dispute.objects.get().status == "upheld"


# --- Several at once --------------------------------------------------------------------------------------------------


def test_several_are_decided_with_one_reason(seller: Seller, maria: Client) -> None:
    """Of two customers: what it moves is summed, and all is done or nothing."""
    chosen = []
    for key in ("acme", "globex"):
        seller.agree(key, "per_unit")
        chosen += [seller.dispute(one, now=FEBRUARY) for one in seller.solve(key, 3, JANUARY + DAY)[:2]]
    kept = seller.dispute(seller.outcome("acme-0102-03"), now=FEBRUARY)
    listed = maria.get("/admin/queue/?kind=dispute")
    assert listed.context["many"] and "Decide the chosen ones together" in listed.content.decode()
    address, items = "/admin/queue/dispute/several/", [str(one.pk) for one in chosen]
    page = maria.post(address, {"item": items})
    assert [one.name for one in page.context["allowed"]] == ["uphold", "reject", "withdraw"]
    page = maria.post(address, {"item": items, "decision": "reject", "reason": "all in order"})
    assert moves(page)[-1] == ("", "2.00", "10.00", "+8.00") and len(moves(page)) == 5
    data = {"item": items, "decision": "reject", "reason": "all in order", "shown": page.context["effect"].fingerprint}
    disputes.resolve(chosen[0].pk, "upheld", note="mine", by="otto", now=NOW)
    refused = maria.post(address, data, follow=True)
    assert "choose them again" in said(refused)[0] and Dispute.objects.filter(status="rejected").count() == 0
    page = maria.post(address, {**data, "item": items[1:], "shown": ""})
    done = maria.post(address, {**data, "item": items[1:], "shown": page.context["effect"].fingerprint}, follow=True)
    assert said(done) == ["Reject: 3 items. 1 more waits."]
    assert done.redirect_chain[-1][0].startswith(f"/admin/queue/dispute/{kept.pk}/")
    assert LogEntry.objects.filter(change_message="Reject: all in order").count() == 3


def test_several_of_nothing(maria: Client) -> None:
    for answer in (maria.get("/admin/queue/dispute/several/"), maria.post("/admin/queue/dispute/several/", {})):
        assert answer.status_code == 302 and answer.url == "/admin/queue/?kind=dispute"


def test_the_figures_of_a_customer_without_a_contract(seller: Seller) -> None:
    acme = Customer.objects.create(key="acme", name="Acme", currency="USD", partition=1, created_at=JANUARY)
    assert queue_money.periods_of(acme, NOW) == {}
