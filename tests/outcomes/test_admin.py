"""The admin over events and outcomes: every page opens, the actions work, nothing can be edited."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from contracts.models import Contract, ContractVersion, Customer, RateCard
from outcomes import imports, inbox
from outcomes.evaluation import evaluate_waiting
from outcomes.models import ArchivedMonth, Backfill, Event, Import, InboxItem, Journal, LateEvidence, Outcome
from outcomes.queries import events_of
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import AT, TICKET

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOW = START + timedelta(days=20)
MODELS = (Outcome, Event, InboxItem, Import, Backfill, ArchivedMonth)


@pytest.fixture
def world() -> Import:
    """Outcomes in every state, events of all sorts, an inbox with three reasons, one import open and one closed."""
    factories.customer()
    for text in (TICKET, AT):
        factories.condition(text)
    story = [
        ("closed", 0, "confirmed"),
        ("closed", 0, "void"),
        ("reopened", 1, "void"),
        ("closed", 0, "reversed"),
        ("reopened", 7, "reversed"),
        ("escalated", 0, "missed"),
        ("escalated", 470, "open"),
        ("booked", 1, "flagged"),
    ]
    batch = [
        {"id": f"<b>{kind}</b>/{ticket}", "type": kind, "customer": "acme", "time": START + hours * HOUR,
         "data": {"ticket": ticket, "units": 1, "priority": "<script>", "list": [1.5, None, {"deep": "ü"}]}}
        for kind, hours, ticket in story
    ]  # fmt: skip
    batch += [
        {"id": "keyless", "type": "closed", "customer": "acme", "time": START},
        {"id": "lost", "type": "closed", "customer": "globex", "time": START},
        {"id": "bad", "type": "closed", "customer": "acme", "time": "soon"},
    ]
    send(batch, now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    ArchivedMonth.objects.create(month="2025-12", path="/x", events=3, sha256="0" * 64, archived_at=NOW)
    imports.close_import(imports.open_import(name="first", now=NOW).id, now=NOW)
    return imports.open_import(now=NOW)


@pytest.fixture
def admin(world: Import) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:outcomes_{model._meta.model_name}_{page}", args=args)


def act(client: Client, model: Any, action: str, rows: Any, **more: str) -> list[str]:
    """Choose an action for rows of a list; the messages that follow."""
    form = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    response = client.post(url(model, "changelist"), form, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("model", MODELS)
def test_lists_and_details_open_for_every_row(admin: Client, model: Any) -> None:
    page = admin.get(url(model, "changelist"))
    assert page.status_code == 200
    assert page.context["cl"].result_count == model.objects.count() > 0
    assert b"<script>alert" not in page.content
    for row in model.objects.all():
        detail = admin.get(url(model, "change", row.pk))
        assert detail.status_code == 200
        assert b"<b>closed</b>" not in detail.content


def test_an_event_tells_what_became_of_it(admin: Client) -> None:
    send([{"id": "odd", "type": "unheard", "customer": "acme", "time": START}], now=NOW)
    page = admin.get(url(Event, "change", Event.objects.get(event_id="odd").pk))
    assert "It waits to be evaluated." in page.content.decode()
    evaluate_waiting(NOW)
    page = admin.get(url(Event, "change", Event.objects.get(event_id="odd").pk))
    assert "no condition for this customer hears of unheard" in page.content.decode()
    row = Outcome.objects.filter(state="confirmed").first()
    assert row is not None
    event = events_of(row)[0]
    text = admin.get(url(Event, "change", event.pk)).content.decode()
    assert url(Outcome, "change", row.pk) in text and row.subject.key in text
    keyless = InboxItem.objects.get(event_id="keyless")
    assert url(InboxItem, "change", keyless.pk) in admin.get(url(Event, "change", keyless.event_seq)).content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_nothing_can_be_added_changed_or_deleted(admin: Client, model: Any) -> None:
    row = model.objects.first()
    before = model.objects.filter(pk=row.pk).values().get()
    assert admin.get(url(model, "add")).status_code == 403
    assert admin.post(url(model, "add"), {}).status_code == 403
    assert admin.post(url(model, "change", row.pk), {"state": "void", "status": "resolved"}).status_code == 403
    assert admin.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin.get(url(model, "changelist")).content.decode()
    assert model.objects.filter(pk=row.pk).values().get() == before


def test_the_journal_cannot_be_edited_through_its_outcome(admin: Client) -> None:
    outcome = Outcome.objects.get(state="reversed")
    entries = list(Journal.objects.values_list())
    form = {"journal-TOTAL_FORMS": "1", "journal-INITIAL_FORMS": "0", "journal-0-to_state": "void"}
    assert admin.post(url(Outcome, "change", outcome.pk), form).status_code == 403
    assert list(Journal.objects.values_list()) == entries


def test_an_outcome_shows_its_worth_its_journal_and_its_events(admin: Client) -> None:
    outcome = Outcome.objects.get(state="reversed")
    page = admin.get(url(Outcome, "change", outcome.pk)).content.decode()
    for shown in ("credit", "settle", "&lt;b&gt;closed&lt;/b&gt;/reversed", "&lt;b&gt;reopened&lt;/b&gt;/reversed"):
        assert shown in page
    for event in Event.objects.filter(data__ticket="reversed"):
        assert url(Event, "change", event.pk) in page


@pytest.mark.parametrize("state", ["open", "provisional", "confirmed", "reversed", "void", "missed"])
def test_lists_are_filtered_and_searched(admin: Client, state: str) -> None:
    page = admin.get(url(Outcome, "changelist"), {"state__exact": state})
    assert {row.state for row in page.context["cl"].result_list} == {state}
    ticket = "flagged" if state == "provisional" else state
    found = admin.get(url(Outcome, "changelist"), {"q": ticket}).context["cl"].result_list
    assert [row.subject.key for row in found] == [ticket]
    assert admin.get(url(Event, "changelist"), {"q": "keyless"}).context["cl"].result_count == 1
    assert admin.get(url(InboxItem, "changelist"), {"reason__exact": "invalid"}).context["cl"].result_count == 1


@freeze_time(NOW)
def test_retry_and_dismiss(admin: Client) -> None:
    factories.customer("globex")
    lost, bad = InboxItem.objects.get(event_id="lost"), InboxItem.objects.get(event_id="bad")
    assert act(admin, InboxItem, "retry_chosen", [lost, bad]) == ["Retried: 1 accepted, 1 rejected."]
    assert Event.objects.filter(event_id="lost").exists()
    bad.refresh_from_db()
    assert (bad.attempts, bad.handled_by) == (1, "root")
    assert act(admin, InboxItem, "dismiss_chosen", [lost, bad], note="a test") == [
        "Dismissed 1; they stay readable here."
    ]
    bad.refresh_from_db()
    assert (bad.status, bad.note, bad.handled_by) == ("dismissed", "a test", "root")
    assert act(admin, InboxItem, "retry_chosen", [lost, bad]) == ["Retried: none of them waited."]


def test_dismissing_chosen_items_asks_why_first(admin: Client) -> None:
    bad = InboxItem.objects.get(event_id="bad")
    form = {"action": "dismiss_chosen", "_selected_action": [bad.pk], "note": "  "}
    page = admin.post(url(InboxItem, "changelist"), form)
    text = page.content.decode()
    assert "Dismiss 1 event?" in text
    assert f'name="_selected_action" value="{bad.pk}"' in text
    assert 'name="action" value="dismiss_chosen"' in text
    bad.refresh_from_db()
    assert bad.status == "waiting"


def test_the_list_shows_what_waits_with_counts_by_reason(admin: Client) -> None:
    text = admin.get(url(InboxItem, "changelist")).content.decode()
    for reason in ("missing_key", "unknown_customer", "invalid"):
        assert f'href="{url(InboxItem, "changelist")}?reason__exact={reason}"' in text
        assert f'href="{url(InboxItem, "retry")}?reason={reason}"' in text
        assert inbox.WAY_OUT[reason].replace("'", "&#x27;") in text
    inbox.dismiss(inbox.waiting(reason="invalid"), now=NOW)
    page = admin.get(url(InboxItem, "changelist"))
    assert {item.reason for item in page.context["cl"].result_list} == {"missing_key", "unknown_customer"}
    assert "reason__exact=invalid&" not in page.content.decode()
    counts = {
        status: admin.get(url(InboxItem, "changelist"), {"status": status}).context["cl"].result_count
        for status in ("waiting", "dismissed", "resolved", "all")
    }
    assert counts == {"waiting": 2, "dismissed": 1, "resolved": 0, "all": 3}
    text = page.content.decode()
    assert "Key not found" in text and "MISSING_KEY" not in text.upper().replace("REASON=MISSING_KEY", "").replace(
        "EXACT=MISSING_KEY", ""
    )
    received = InboxItem.objects.latest("id").received_at
    assert f"{received:%Y-%m-%d %H:%M} UTC" in text
    inbox.dismiss(inbox.waiting(), now=NOW)
    text = admin.get(url(InboxItem, "changelist"), {"status": "resolved"}).content.decode()
    assert "Nothing waits" in text and "Nothing fits what the list is narrowed to" in text
    assert "no test clocks" in admin.get("/admin/contracts/testclock/").content.decode()


def test_an_item_shows_the_event_as_sent_and_what_to_do(admin: Client) -> None:
    send([{"id": "n", "type": "closed", "customer": "globex", "time": START, "data": {"n": 12345678901234567890.5}}],
         now=NOW)  # fmt: skip
    InboxItem.objects.filter(event_id="n").update(body='{"id":"n","data":{"n":0.10000000000000000000001,"t":"<b>"}}')
    item = InboxItem.objects.get(event_id="n")
    text = admin.get(url(InboxItem, "change", item.pk)).content.decode()
    assert "&quot;n&quot;: 0.10000000000000000000001" in text
    assert "&lt;b&gt;" in text
    assert inbox.WAY_OUT["unknown_customer"] in text
    InboxItem.objects.filter(pk=item.pk).update(body="{no json")
    assert "{no json" in admin.get(url(InboxItem, "change", item.pk)).content.decode()
    keyless = InboxItem.objects.get(event_id="keyless")
    assert url(Event, "change", keyless.event_seq) in admin.get(url(InboxItem, "change", keyless.pk)).content.decode()


@freeze_time(NOW)
def test_all_of_a_reason_is_retried_after_a_question_in_portions(admin: Client, monkeypatch: Any) -> None:
    lost = [{"id": f"l{n}", "type": "closed", "customer": "globex", "time": START} for n in range(4)]
    send(lost, now=NOW)
    factories.customer("globex")
    path = f"{url(InboxItem, 'retry')}?reason=unknown_customer"
    text = admin.get(path).content.decode()
    assert "Retry 5 events?" in text
    assert "5 × Unknown customer: Create the customer" in text
    assert not Event.objects.filter(customer__key="globex").exists()
    monkeypatch.setattr(inbox, "AT_ONCE", 3)
    response = admin.post(path)
    assert f"reason=unknown_customer&after={InboxItem.objects.get(event_id='l1').pk}" in response["Location"]
    page = admin.get(response["Location"])
    assert [str(message) for message in page.context["messages"]] == ["Retried: 3 accepted. 2 are left."]
    assert "Retry the remaining 2 events?" in page.content.decode()
    response = admin.post(response["Location"], follow=True)
    assert [str(message) for message in response.context["messages"]] == ["Retried: 2 accepted."]
    assert Event.objects.filter(customer__key="globex").count() == 5
    assert InboxItem.objects.filter(status="waiting").count() == 2


@freeze_time(NOW)
def test_all_is_dismissed_only_with_a_note(admin: Client) -> None:
    path = url(InboxItem, "dismiss")
    assert "Dismiss 3 events?" in admin.get(path).content.decode()
    assert "Dismiss 3 events?" in admin.post(path, {"note": ""}).content.decode()
    assert InboxItem.objects.filter(status="waiting").count() == 3
    response = admin.post(f"{path}?reason=invalid", {"note": "noise"}, follow=True)
    assert [str(message) for message in response.context["messages"]] == ["Dismissed 1; they stay readable here."]
    assert InboxItem.objects.filter(status="waiting").count() == 2


def test_one_item_is_retried_and_dismissed_from_its_page(admin: Client) -> None:
    lost = InboxItem.objects.get(event_id="lost")
    for verb in ("retry", "dismiss"):
        response = admin.get(reverse(f"admin:outcomes_inboxitem_{verb}_this", args=[lost.pk]))
        assert response["Location"] == f"{url(InboxItem, verb)}?id={lost.pk}"
        admin.post(response["Location"], {"note": "x"})
        lost.refresh_from_db()
    assert (lost.status, lost.attempts, lost.note) == ("dismissed", 1, "x")
    for wrong in ("?id=x", "?id=-1", f"?id={'9' * 30}", "?import=x", "?after=x"):
        assert admin.get(url(InboxItem, "retry") + wrong).status_code == 404


def test_an_import_shows_its_progress_and_links_to_what_was_not_taken(admin: Client, world: Import) -> None:
    old = {"type": "closed", "time": START - timedelta(days=300), "data": {"ticket": "T"}}
    batch = [old | {"id": "a", "customer": "acme"}, old | {"id": "b", "customer": "nobody"}]
    send(batch + batch[:1], now=NOW, import_id=world.id)
    link = f"{url(InboxItem, 'changelist')}?batch_import__id__exact={world.id}"
    for page in (admin.get(url(Import, "changelist")), admin.get(url(Import, "change", world.pk))):
        assert f'href="{link}"' in page.content.decode()
        assert "1 (settlement paused)" in page.content.decode()
    [row] = [row for row in admin.get(url(Import, "changelist")).context["cl"].result_list if row.id == world.id]
    assert (row.accepted, row.duplicates, row.rejected, row.waiting) == (1, 1, 1, 1)
    assert [item.event_id for item in admin.get(link).context["cl"].result_list] == ["b"]
    factories.customer("nobody")
    retry = f"{url(InboxItem, 'retry')}?import={world.id}"
    assert f'href="{retry}"' in admin.get(url(Import, "change", world.pk)).content.decode()
    assert admin.post(retry)["Location"] == url(Import, "change", world.pk)
    assert InboxItem.objects.get(event_id="b").status == "resolved"
    opened = admin.get(url(Import, "changelist"), {"closed_at__isempty": "1"}).context["cl"].result_list
    assert [row.id for row in opened] == [world.id]


@freeze_time(NOW)
def test_closing_an_import_asks_first_and_tells_what_is_left(admin: Client, world: Import) -> None:
    send([{"id": "b", "type": "closed", "customer": "nobody", "time": START}], now=NOW, import_id=world.id)
    path = reverse("admin:outcomes_import_close_this", args=[world.pk])
    text = admin.get(path).content.decode()
    assert "Settlement of its 0 customers goes on" in text
    assert "1 of its events wait in the inbox" in text
    world.refresh_from_db()
    assert world.closed_at is None
    response = admin.post(path, follow=True)
    assert "Closed:" in str(next(iter(response.context["messages"])))
    world.refresh_from_db()
    assert world.closed_at == NOW
    unknown = reverse("admin:outcomes_import_close_this", args=["00000000-0000-0000-0000-000000000000"])
    assert admin.get(unknown).status_code == 404


def test_who_may_only_look_cannot_act(world: Import) -> None:
    viewer = get_user_model().objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)
    for model in (InboxItem, Import):
        page = client.get(url(model, "changelist"))
        assert page.status_code == 200
        assert "Dismiss all" not in page.content.decode()
    for action in ("retry_chosen", "dismiss_chosen"):
        act(client, InboxItem, action, InboxItem.objects.all(), note="x")
    for verb in ("retry", "dismiss"):
        assert client.post(url(InboxItem, verb), {"note": "x"}).status_code == 403
    client.post(reverse("admin:outcomes_import_close_this", args=[world.pk]))
    assert set(InboxItem.objects.values_list("attempts", flat=True)) == {0}
    assert set(InboxItem.objects.values_list("status", flat=True)) == {"waiting"}
    assert Import.objects.filter(closed_at=None).count() == 1


# --- people's decisions -----------------------------------------------------------------------------------------------


def detail_action(model: Any, name: str, row: Any) -> str:
    return reverse(f"admin:outcomes_{model._meta.model_name}_{name}", args=[row.pk])


@freeze_time(NOW)
@pytest.mark.parametrize(("state", "after"), [("provisional", "void"), ("confirmed", "reversed")])
def test_an_outcome_is_taken_back_with_a_reason(admin: Client, state: str, after: str) -> None:
    outcome = Outcome.objects.get(state=state)
    page = detail_action(Outcome, "take_back_this", outcome)
    assert page in admin.get(url(Outcome, "change", outcome.pk)).content.decode()
    assert f"{outcome.subject.key}?" in admin.get(page).content.decode()
    asked = admin.post(page, {"reason": "  "})
    assert "Why: this is needed." in asked.content.decode()
    outcome.refresh_from_db()
    assert outcome.state == state  # neither the link nor a POST without a reason did it
    done = admin.post(page, {"reason": "agreed <with> the customer"}, follow=True)
    assert [str(message) for message in done.context["messages"]] == [f"Taken back: it is {after}."]
    last = Journal.objects.filter(outcome=outcome).latest("id")
    assert (last.to_state, last.actor, last.reason) == (after, "root", "agreed <with> the customer")
    assert f"The outcome is {after}" in admin.post(page, {"reason": "again"}).content.decode()


@freeze_time(NOW)
def test_a_missing_quantity_is_completed(admin: Client) -> None:
    send(
        [{"id": "n", "type": "closed", "customer": "acme", "time": NOW, "data": {"ticket": "many", "units": "many"}}],
        now=NOW,
    )
    evaluate_waiting(NOW)
    outcome = Outcome.objects.get(subject__key="many")
    page, of_outcome = detail_action(Outcome, "complete_this", outcome), url(Outcome, "change", outcome.pk)
    assert f'href="{page}"' in admin.get(of_outcome).content.decode()
    assert "The quantity" in admin.get(page).content.decode()
    for wrong, said in (("", "Give a figure."), ("many", "plain notation"), ("-1", "Must be 0 or more")):
        assert said in admin.post(page, {"quantity": wrong, "reason": "x"}).content.decode()
    admin.post(page, {"quantity": "2.5", "reason": "asked"})
    outcome.refresh_from_db()
    assert (outcome.quantity, outcome.review) == (Decimal("2.5"), [])
    assert "nothing to complete" in admin.get(page).content.decode()
    offered = admin.get(of_outcome).content.decode()
    assert f'href="{page}"' not in offered and "take_back_this" in offered
    admin.post(detail_action(Outcome, "take_back_this", outcome), {"reason": "it was none"})
    assert "take_back_this" not in admin.get(of_outcome).content.decode(), "nothing is left to take back"


@freeze_time(NOW)
@pytest.mark.parametrize(("verb", "state"), [("accept", "reversed"), ("ignore", "confirmed")])
def test_late_evidence_is_decided(admin: Client, verb: str, state: str) -> None:
    card = RateCard.objects.create(key="standard", created_at=START)
    contract = Contract.objects.create(
        customer=Customer.objects.get(), currency="USD", starts_at=START, created_at=START
    )
    ContractVersion.objects.create(
        contract=contract, number=1, effective_at=START, rate_card=card, late_evidence="review", created_at=START
    )
    outcome = Outcome.objects.get(state="confirmed")
    late = {"id": "late", "type": "reopened", "customer": "acme", "time": START + HOUR, "data": {"ticket": "confirmed"}}
    send([late], now=NOW)
    evaluate_waiting(NOW)
    found = LateEvidence.objects.get()
    assert admin.get(url(LateEvidence, "changelist")).context["cl"].result_count == 1
    detail = admin.get(url(LateEvidence, "change", found.pk)).content.decode()
    page = detail_action(LateEvidence, f"{verb}_this", found)
    assert page in detail
    assert "reopened late" in detail
    assert "confirmed" in admin.get(page).content.decode()
    admin.post(page, {"reason": "looked at it"})
    outcome.refresh_from_db()
    found.refresh_from_db()
    assert (outcome.state, found.decided_by, found.note) == (state, "root", "looked at it")
    assert "by root" in admin.post(page, {"reason": "again"}).content.decode()


def test_who_may_only_look_decides_nothing(admin: Client) -> None:
    user = get_user_model().objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    outcome = Outcome.objects.get(state="confirmed")
    for name in ("take_back_this", "complete_this"):
        page = detail_action(Outcome, name, outcome)
        assert page not in client.get(url(Outcome, "change", outcome.pk)).content.decode()
        assert client.post(page, {"reason": "x"}).status_code == 403
    assert not Journal.objects.filter(cause="person").exists()
