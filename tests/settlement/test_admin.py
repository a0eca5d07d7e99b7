"""Holds and disputes in the admin: lists, pages that ask, and that only a POST with a reason acts."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from access.ids import encode
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from settlement.disputes import raise_dispute
from settlement.holds import Target, place
from settlement.models import Dispute, Hold
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
NOW = START + timedelta(days=20)
XSS = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def world() -> Any:
    with freeze_time(NOW):
        factories.customer()
        factories.condition(TICKET)
        send(
            [{"id": ticket, "type": "closed", "customer": "acme", "time": START, "data": {"ticket": ticket}}
             for ticket in ("one", "two")],
            now=NOW,
        )  # fmt: skip
        evaluate_waiting(NOW)
        settle_due(NOW)
        yield


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def reader() -> Client:
    """Somebody who may look at everything."""
    user = get_user_model().objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def outcome(ticket: str = "one") -> Outcome:
    return Outcome.objects.get(subject__key=ticket)


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:settlement_{name}", args=args)


def asked(client: Client, address: str, **form: str) -> Any:
    """GET shows the page and does nothing; without what is needed POST asks again; then it acts. The messages."""
    before = list(Hold.objects.values()) + list(Dispute.objects.values())
    page = client.get(address)
    assert page.status_code == 200 and b"csrfmiddlewaretoken" in page.content
    if form:
        again = client.post(address, dict.fromkeys(form, " "))
        if again.status_code == 200:
            assert b"this is needed" in again.content or b"exactly one" in again.content
    assert list(Hold.objects.values()) + list(Dispute.objects.values()) == before
    done = client.post(address, form, follow=True)
    assert done.status_code == 200
    return done


def act(name: str, row: Any) -> str:
    """The address of an action on one row."""
    return url(f"{row._meta.model_name}_{name}", row.pk)


# --- holds ------------------------------------------------------------------------------------------------------------


def test_a_hold_is_placed_from_its_outcome_and_released(admin: Client) -> None:
    back = reverse("admin:outcomes_outcome_change", args=[outcome().pk])
    page = admin.get(back)
    address = f"{url('hold_place')}?outcome={outcome().pk}"
    assert address in page.content.decode()
    done = asked(admin, address, reason=XSS)
    assert done.redirect_chain[-1][0] == back
    hold = Hold.objects.get()
    assert (hold.outcome, hold.reason, hold.placed_by, hold.placed_at) == (outcome(), XSS, "root", NOW)
    assert XSS not in done.content.decode() and url("hold_change", hold.pk) in done.content.decode()
    refused = admin.post(address, {"reason": "again"})
    assert refused.status_code == 200 and b"There is a hold on this outcome already" in refused.content
    released = admin.post(act("release_this", hold), {"note": "all clear"}, follow=True)
    assert released.status_code == 200
    hold.refresh_from_db()
    assert (hold.released_by, hold.released_at, hold.note) == ("root", NOW, "all clear")
    assert b"was released by root before" in admin.post(act("release_this", hold), {"note": ""}).content


@pytest.mark.parametrize(
    ("form", "kind"), [({"customer": "acme"}, "customer"), ({"condition": "solved"}, "condition"), ({}, "outcome")]
)
def test_a_hold_is_placed_on_what_is_named(admin: Client, form: dict[str, str], kind: str) -> None:
    form = form or {"outcome": encode("out", outcome().pk)}
    asked(admin, url("hold_place"), **form, reason="r")
    assert Hold.objects.get().target == kind


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "Name exactly one"),
        ({"customer": "acme", "condition": "solved"}, "Name exactly one"),
        ({"customer": "nobody"}, "There is no customer"),
        ({"condition": "nothing"}, "There is no condition"),
        ({"outcome": "nothing"}, "There is no such outcome"),
    ],
)
def test_what_cannot_be_held_is_said_on_the_page(admin: Client, form: dict[str, str], said: str) -> None:
    page = admin.post(url("hold_place"), form | {"reason": "r"})
    assert page.status_code == 200 and said in page.content.decode()
    assert not Hold.objects.exists()


@pytest.mark.parametrize("query", ["outcome=x", "customer=acme&condition=solved",
                                   "outcome=00000000-0000-0000-0000-000000000000"])  # fmt: skip
def test_addresses_that_name_nothing(admin: Client, query: str) -> None:
    assert admin.get(f"{url('hold_place')}?{query}").status_code == 404


def test_the_list_of_holds_is_filtered_and_searched(admin: Client) -> None:
    placed = [
        place(target, reason=f"reason {n}", by="Ann", now=NOW)
        for n, target in enumerate((Target(customer="acme"), Target(condition="solved"), Target(outcome=outcome().pk)))
    ]
    admin.post(act("release_this", placed[0]), {"note": ""})

    def found(query: str) -> set[str]:
        page = admin.get(f"{url('hold_changelist')}?{query}")
        assert page.status_code == 200
        return {row.target for row in page.context["cl"].result_list}

    assert found("") == {"condition", "outcome"}
    assert found("status=released") == {"customer"}
    assert found("status=all") == {"customer", "condition", "outcome"}
    assert found("status=all&on=condition") == {"condition"}
    assert found("status=all&q=reason+0") == {"customer"}
    assert found("q=one") == {"outcome"}


# --- disputes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "status", "state"),
    [("uphold_this", "upheld", "reversed"), ("reject_this", "rejected", "confirmed"),
     ("withdraw_this", "withdrawn", "confirmed")],
)  # fmt: skip
def test_a_dispute_is_raised_from_its_outcome_and_ends(admin: Client, step: str, status: str, state: str) -> None:
    back = reverse("admin:outcomes_outcome_change", args=[outcome().pk])
    address = f"{url('dispute_raise')}?outcome={outcome().pk}"
    assert address in admin.get(back).content.decode()
    done = asked(admin, address, reason=XSS)
    assert done.redirect_chain[-1][0] == back and XSS not in done.content.decode()
    dispute = Dispute.objects.get()
    assert (dispute.outcome, dispute.status, dispute.raised_by, dispute.raised_at) == (outcome(), "raised", "root", NOW)
    assert b"is disputed already" in admin.post(address, {"reason": "again"}).content
    page = admin.get(act(step, dispute))
    assert page.status_code == 200 and XSS not in page.content.decode()
    if step != "withdraw_this":
        assert b"this is needed" in admin.post(act(step, dispute), {"note": " "}).content
    dispute.refresh_from_db()
    assert dispute.status == "raised"
    ended = admin.post(act(step, dispute), {"note": "looked into it"}, follow=True)
    assert ended.status_code == 200
    dispute.refresh_from_db()
    assert (dispute.status, dispute.resolved_by, dispute.note) == (status, "root", "looked into it")
    assert outcome().state == state
    assert f"is {status} already, by root" in admin.post(act(step, dispute), {"note": "n"}).content.decode()
    assert dispute.note in admin.get(url("dispute_change", dispute.pk)).content.decode()
    assert (address in admin.get(back).content.decode()) == (state == "confirmed")


def test_the_list_of_disputes_is_filtered_and_searched(admin: Client) -> None:
    first = raise_dispute(outcome("one").pk, reason="never", by="Ann", now=NOW)
    raise_dispute(outcome("two").pk, reason="twice", by="Ann", now=NOW)
    admin.post(act("reject_this", first), {"note": "n"})

    def found(query: str) -> set[str]:
        page = admin.get(f"{url('dispute_changelist')}?{query}")
        assert page.status_code == 200
        return {row.outcome.subject.key for row in page.context["cl"].result_list}

    assert found("") == {"one", "two"}
    assert found("status__exact=raised") == {"two"}
    assert found("q=never") == {"one"}
    assert found("q=acme") == {"one", "two"}


# --- who may --------------------------------------------------------------------------------------------------------


def test_nothing_can_be_added_changed_or_deleted(admin: Client) -> None:
    rows: list[Any] = [
        place(Target(customer="acme"), reason="r", by="Ann", now=NOW),
        raise_dispute(outcome().pk, reason="r", by="Ann", now=NOW),
    ]
    for row in rows:
        name = row._meta.model_name
        before = type(row).objects.filter(pk=row.pk).values().get()
        assert admin.get(url(f"{name}_change", row.pk)).status_code == 200
        for response in (
            admin.get(url(f"{name}_add")),
            admin.post(url(f"{name}_change", row.pk), {"reason": "another", "status": "upheld"}),
            admin.post(url(f"{name}_delete", row.pk), {"post": "yes"}),
        ):
            assert response.status_code == 403
        assert type(row).objects.filter(pk=row.pk).values().get() == before


def test_who_may_only_look_cannot_act(reader: Client) -> None:
    hold = place(Target(customer="acme"), reason="r", by="Ann", now=NOW)
    dispute = raise_dispute(outcome().pk, reason="r", by="Ann", now=NOW)
    before = (list(Hold.objects.values()), list(Dispute.objects.values()))
    for address in (
        url("hold_place"),
        f"{url('dispute_raise')}?outcome={outcome('two').pk}",
        act("release_this", hold),
        *(act(step, dispute) for step in ("uphold_this", "reject_this", "withdraw_this")),
    ):
        assert reader.get(address).status_code == 403
        assert reader.post(address, {"reason": "r", "note": "n", "customer": "acme"}).status_code == 403
    assert reader.get(url("hold_changelist")).status_code == reader.get(url("dispute_changelist")).status_code == 200
    assert (list(Hold.objects.values()), list(Dispute.objects.values())) == before


def test_acting_needs_the_forms_own_token(world: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    assert client.post(url("hold_place"), {"customer": "acme", "reason": "r"}).status_code == 403
    assert not Hold.objects.exists()
