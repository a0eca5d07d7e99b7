"""The admin over events and outcomes: every page opens, the actions work, nothing can be edited."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from outcomes import imports
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, Import, InboxItem, Journal, Outcome
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import AT, TICKET

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOW = START + timedelta(days=20)
MODELS = (Outcome, Event, InboxItem, Import)


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
    imports.close_import(imports.open_import(name="first", now=NOW).id, now=NOW)
    return imports.open_import(now=NOW)


@pytest.fixture
def admin(world: Import) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:outcomes_{model._meta.model_name}_{page}", args=args)


def act(client: Client, model: Any, action: str, rows: Any) -> list[str]:
    """Choose an action for rows of a list; the messages that follow."""
    form = {"action": action, "_selected_action": [row.pk for row in rows]}
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


@pytest.mark.parametrize("model", MODELS)
def test_lists_ask_no_query_per_row(admin: Client, model: Any, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(12):
        admin.get(url(model, "changelist"))


@freeze_time(NOW)
def test_retry_and_dismiss(admin: Client) -> None:
    factories.customer("globex")
    lost, bad = InboxItem.objects.get(event_id="lost"), InboxItem.objects.get(event_id="bad")
    assert act(admin, InboxItem, "retry", [lost, bad]) == ["Retried: 1 accepted, 1 rejected."]
    assert Event.objects.filter(event_id="lost").exists()
    assert act(admin, InboxItem, "dismiss", [lost, bad]) == ["Dismissed 1; they stay readable here."]
    assert set(InboxItem.objects.filter(reason="invalid").values_list("status", flat=True)) == {"dismissed"}
    assert act(admin, InboxItem, "retry", [lost, bad]) == ["Retried: none of them waited."]


def test_close_an_import(admin: Client, world: Import) -> None:
    assert act(admin, Import, "close", [world]) == ["Imports closed: 1."]
    world.refresh_from_db()
    assert world.closed_at is not None


def test_who_may_only_look_cannot_act(world: Import) -> None:
    viewer = get_user_model().objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)
    for model, action in ((InboxItem, "dismiss"), (Import, "close")):
        assert client.get(url(model, "changelist")).status_code == 200
        act(client, model, action, model.objects.all())
    assert set(InboxItem.objects.values_list("status", flat=True)) == {"waiting"}
    assert Import.objects.filter(closed_at=None).count() == 1
