"""Simulations in the admin: asked by a form, answered by a page; only a POST begins or cancels one."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from contracts.models import Condition
from simulation import jobs, shadows, tasks
from simulation.admin_pages import lines
from simulation.models import Shadow, Simulation
from tests.simulation_app.shop import DAY, HOUR, JANUARY, NOW, SPAN, TEXT, open_shop, say, settle

ADD = "admin:simulation_simulation_add"
FORM = {
    "start_0": "2026-01-01", "start_1": "00:00:00", "to_0": "2026-04-01", "to_1": "00:00:00",
    "condition": "", "window": "", "rate_card": "", "contract": "", "customers": "",
}  # fmt: skip


@pytest.fixture
def shop(committed: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme", "<b>globex</b>")
    say("closed", "A", JANUARY + DAY, priority="urgent")
    say("closed", "B", JANUARY + 2 * DAY, customer="<b>globex</b>")
    say("reopened", "B", JANUARY + 2 * DAY + 30 * HOUR, customer="<b>globex</b>")
    settle()
    begun: list[Any] = []
    monkeypatch.setattr(tasks, "begin", begun.append)
    return begun


def client_of(*permissions: str) -> Client:
    user = get_user_model().objects.create(username="ada", is_staff=True, is_superuser=not permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def done(found: Simulation) -> Simulation:
    for part in jobs.split(found.pk):
        jobs.work(part)
    return jobs.find(found.pk)


def test_asked_by_the_form_and_answered_by_the_page(shop: list[Any]) -> None:
    admin = client_of()
    solved = Condition.objects.get(slug="solved").pk
    assert list(admin.get(reverse(ADD)).context["adminform"].form.fields)[:3] == ["start", "to", "condition"]
    given = FORM | {
        "condition": TEXT.replace("24 hours", "36 hours").replace("\n", "\r\n"),
        "window_of": solved, "window": "48 hours", "window_curve": solved, "price_curve": solved,
        "rate_card": "currency: USD\nprices:\n  - condition: solved\n    unit_price: 12.5\n",
        "contract": "minimum: 5", "customers": "acme\r\n<b>globex</b>\r\n",
    }  # fmt: skip
    answer = admin.post(reverse(ADD), given)
    assert answer.status_code == 302, answer.context and answer.context["adminform"].form.errors
    [found] = Simulation.objects.all()
    assert shop == [found.pk] and found.asked_by == "ada"
    assert json.loads(found.asked) == {
        **SPAN, "condition": TEXT.replace("24 hours", "36 hours"), "customers": ["acme", "<b>globex</b>"],
        "contract": {"minimum": 5, "settlement_windows": {"solved": "48 hours"}},
        "rate_card": {"currency": "USD", "prices": [{"condition": "solved", "unit_price": 12.5}]},
        "window_curve": "solved", "price_curve": "solved",
    }  # fmt: skip
    page = reverse("admin:simulation_simulation_change", args=[found.pk])
    waiting = admin.get(page).content.decode()
    assert "Waiting, asked by ada" in waiting and "Cancel it" in waiting and "Download" not in waiting
    found = done(found)
    assert found.status == "done", found.error
    shown = admin.get(page).content.decode()
    for words in (
        *(
            "Revenue by month, USD: in force grey, tried violet",
            "Revenue by settlement window, USD",
            "Revenue by price",
            "Download as CSV",
            "In their window yet",
            "What was tried, and what was seen",
            "/admin/outcomes/event/?q=closed-B-",
        ),
        *("1 kept, 0 gained, 1 lost, of which 1 did not hold in force either", "(terms)", "&lt;b&gt;globex"),
    ):
        assert words in shown, words
    assert "<b>globex" not in shown and "Cancel it" not in shown
    assert shown.count('class="chart"') == 3
    csv = admin.get(reverse("admin:simulation_simulation_csv", args=[found.pk]))
    assert b"".join(csv.streaming_content).decode().startswith("\ufeffcustomer,month")
    assert b"Done" in admin.get(reverse("admin:simulation_simulation_changelist")).content


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"condition": "outcome x"}, "condition", "per KEY"),
        ({"rate_card": "currency: [", "window": ""}, "rate_card", "not YAML"),
        ({"contract": "- 1"}, "contract", "Expected names"),
        ({"contract": "net_days: 3"}, "contract", "net_days: It decides on documents"),
        ({"window": "2 days"}, "window", "takes both"),
        ({"customers": "nobody"}, "customers", "There is no customer"),
        ({"to_0": "2025-01-01"}, "to", "after `from`"),
    ],
)
def test_what_is_refused_stands_beside_its_field(shop: list[Any], wrong: Any, field: str, said: str) -> None:
    answer = client_of().post(reverse(ADD), FORM | wrong)
    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    assert said in str(errors), errors
    assert field in errors, errors
    assert not Simulation.objects.exists() and shop == []


def test_outcomes_of_all_currencies_are_told_once() -> None:
    side = {"outcomes": 3, "reversed": 1, "revenue": {"EUR": "1.00", "USD": "2.00"}}
    first, second = lines("acme", {"before": side, "after": side, "difference": side})
    assert (first["label"], first["counts"], first["currency"]) == ("acme", ["3", "3", "+3", "1", "1"], "EUR")
    assert (second["label"], second["counts"], second["currency"]) == ("", [""] * 5, "USD")


def test_cancelling_asks_first(shop: list[Any]) -> None:
    admin = client_of()
    found = jobs.create(SPAN, by="tests", now=NOW)
    ask = reverse("admin:simulation_simulation_cancel", args=[found.pk])
    assert b"Cancel the simulation?" in admin.get(ask).content
    assert jobs.find(found.pk).status == "waiting"
    assert admin.post(ask).status_code == 302
    assert jobs.find(found.pk).status == "cancelled"
    csv = reverse("admin:simulation_simulation_csv", args=[found.pk])
    assert admin.get(csv).status_code == 404
    remove = reverse("admin:simulation_simulation_remove", args=[found.pk])
    assert remove in admin.get(reverse("admin:simulation_simulation_change", args=[found.pk])).content.decode()
    assert b"Delete the simulation?" in admin.get(remove).content and Simulation.objects.exists()
    assert admin.post(remove).status_code == 302
    assert not Simulation.objects.exists()
    assert "Delete it." in str(
        LogEntry.objects.filter(object_id=str(found.pk)).values_list("change_message", flat=True)
    )


def test_who_may_only_look(shop: list[Any]) -> None:
    reader = client_of("view_simulation")
    found = jobs.create(SPAN, by="tests", now=NOW)
    assert reader.get(reverse("admin:simulation_simulation_change", args=[found.pk])).status_code == 200
    assert reader.post(reverse("admin:simulation_simulation_cancel", args=[found.pk])).status_code == 403
    assert reader.post(reverse(ADD), FORM).status_code == 403
    stranger = Client()
    assert stranger.get(reverse("admin:simulation_simulation_change", args=[found.pk])).status_code == 302


# --- Shadows ----------------------------------------------------------------------------------------------------------

BEGIN = "admin:simulation_shadow_add"
DRAFT = {
    "name": "<i>longer</i>", "start_0": "2026-01-01", "start_1": "00:00:00", "condition": "", "window": "",
    "rate_card": "", "contract": "", "customers": "",
}  # fmt: skip


def test_a_shadow_is_begun_by_the_form_and_shown_day_by_day(shop: list[Any]) -> None:
    admin = client_of()
    assert list(admin.get(reverse(BEGIN)).context["adminform"].form.fields)[:3] == ["name", "start", "condition"]
    solved = Condition.objects.get(slug="solved").pk
    answer = admin.post(
        reverse(BEGIN), DRAFT | {"window_of": solved, "window": "48 hours", "customers": "<b>globex</b>"}
    )
    assert answer.status_code == 302, answer.context and answer.context["adminform"].form.errors
    [found] = Shadow.objects.all()
    assert found.made_by == "ada" and json.loads(found.asked) == {
        "from": SPAN["from"],
        "contract": {"settlement_windows": {"solved": "48 hours"}},
        "customers": ["<b>globex</b>"],
    }
    page = reverse("admin:simulation_shadow_change", args=[found.pk])
    waiting = admin.get(page).content.decode()
    assert "Running, begun by ada" in waiting and "Nothing has been found yet" in waiting and "Stop it" in waiting
    say("closed", "C", JANUARY + 3 * DAY, customer="<b>globex</b>")
    for now in (JANUARY + 4 * DAY, JANUARY + 4 * DAY + HOUR, NOW):
        Shadow.objects.update(next_look_at=now)
        for simulation in shadows.look_due(now):
            done(Simulation.objects.get(pk=simulation))
        shadows.look_due(now)
    shown = admin.get(page).content.decode()
    for words in (
        "Running difference of outcomes, by day",
        "Running difference of revenue, by day, USD",
        "1 kept, 0 gained, 1 lost, of which 1 did not hold in force either",
        "&lt;b&gt;globex",
        "&lt;i&gt;longer",
        "of everything since the start",
    ):
        assert words in shown, words
    assert "<b>globex" not in shown and "<i>longer" not in shown
    # The chart has a point for each day on which it was looked at: -1 while the window in force alone was over.
    [outcomes, revenue] = admin.get(page).context["day_charts"]
    assert json.loads(outcomes["data"])["labels"] == ["2026-01-05", "2026-04-01"]
    assert json.loads(outcomes["data"])["datasets"][0]["data"] == ["-1", "0"]
    assert json.loads(revenue["data"])["datasets"][0]["data"] == ["-10.00", "0.00"]
    listed = admin.get(reverse("admin:simulation_shadow_changelist")).content.decode()
    assert "&lt;i&gt;longer" in listed and "0.00 USD" in listed
    assert b"sim_" not in admin.get(reverse("admin:simulation_simulation_changelist")).content, "looks are not listed"


def test_what_a_shadow_is_refused_for_stands_beside_its_field(shop: list[Any]) -> None:
    admin = client_of()
    given = DRAFT | {"contract": "minimum: 5"}
    for wrong, field, said in (
        ({"contract": ""}, "condition", "what is to be tried"),
        ({"name": ""}, "name", "required"),
        ({"start_0": "2190-01-01"}, "__all__", "now or earlier"),
    ):
        errors = admin.post(reverse(BEGIN), given | wrong).context["adminform"].form.errors
        assert field in errors and said in str(errors[field]), errors
    assert admin.post(reverse(BEGIN), given).status_code == 302
    errors = admin.post(reverse(BEGIN), given).context["adminform"].form.errors
    assert "already" in str(errors["name"])
    assert Shadow.objects.count() == 1


def test_stopping_asks_first_and_who_may_only_look_may_not(shop: list[Any]) -> None:
    admin = client_of()
    admin.post(reverse(BEGIN), DRAFT | {"contract": "minimum: 5"})
    [found] = Shadow.objects.all()
    ask = reverse("admin:simulation_shadow_stop", args=[found.pk])
    get_user_model().objects.update(username="admin")
    reader = client_of("view_shadow")
    page = reverse("admin:simulation_shadow_change", args=[found.pk])
    assert ask in admin.get(page).content.decode() and ask not in reader.get(page).content.decode()
    assert reader.post(ask).status_code == 403 and reader.post(reverse(BEGIN), DRAFT).status_code == 403
    assert Client().get(page).status_code == 302
    assert b"Stop the shadow?" in admin.get(ask).content
    assert shadows.find(found.pk).status == "running"
    assert admin.post(ask).status_code == 302
    assert shadows.find(found.pk).status == "stopped"
    assert ask not in admin.get(page).content.decode()
    remove = reverse("admin:simulation_shadow_remove", args=[found.pk])
    assert remove in admin.get(page).content.decode() and remove not in reader.get(page).content.decode()
    assert reader.post(remove).status_code == 403
    assert b"Delete the shadow?" in admin.get(remove).content and Shadow.objects.exists()
    assert admin.post(remove).status_code == 302 and not Shadow.objects.exists()
