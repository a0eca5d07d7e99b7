"""Goodwill above a limit takes two people, however it is tried."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access import ids
from invoicing import billing
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.domain.second_person import limits_of
from invoicing.models import CreditNote, Invoice
from tests.invoicing.conftest import World
from tests.invoicing.notes import automatic, undo


@pytest.fixture
def issued(world: World, settings: Any) -> Invoice:
    """20.00; whoever gives more than 5.00 of it needs another."""
    settings.SECOND_PERSON_ABOVE = limits_of(["USD=5", "JPY=700"])
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 10, datetime(2026, 3, 10, tzinfo=UTC))
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    return Invoice.objects.get()


def signed_in(name: str, *roles: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client()
    client.force_login(user)
    return client


def give(client: Client, invoice: Invoice, amount: str) -> CreditNote:
    address = reverse("admin:invoicing_invoice_goodwill_this", args=[invoice.pk])
    assert "Above USD 5.00" in client.get(address).content.decode()
    assert client.post(address, {"amount": amount, "reason": "r"}).status_code == 302
    return CreditNote.objects.latest("id")


def approve(client: Client, note: CreditNote) -> str:
    answer = client.post(reverse("admin:invoicing_creditnote_approve_this", args=[note.pk]), {}, follow=True)
    note.refresh_from_db()
    return answer.content.decode()


def test_up_to_the_limit_one_gives_alone_and_small_notes_add_up(issued: Invoice) -> None:
    ann, ben = signed_in("ann", "owner"), signed_in("ben", "finance")
    assert give(ann, issued, "5.00").status == "issued"
    assert give(ann, issued, "0.01").status == "draft", "5.01 altogether"
    assert give(ben, issued, "4.99").status == "issued", "another has a limit of their own"


def test_above_it_another_person_approves(issued: Invoice) -> None:
    ann, ben, cem = signed_in("ann", "owner"), signed_in("ben", "finance"), signed_in("cem", "approver")
    note = give(ann, issued, "5.01")
    assert (note.status, note.created_by) == ("draft", "ann")
    assert "waits for another person" in ann.get("/admin/").content.decode()
    assert "somebody else than ann approves it" in approve(ann, note)
    assert note.status == "draft"
    assert ben.post(reverse("admin:invoicing_creditnote_approve_this", args=[note.pk])).status_code == 403
    approve(cem, note)
    assert (note.status, note.created_by, note.total_minor) == ("issued", "ann", 501)


def test_what_was_written_as_a_draft_takes_two_as_well(issued: Invoice) -> None:
    ann = signed_in("ann", "owner")
    drafts = [goodwill(Goodwill(issued.id, "r", Decimal(3), issue=False), now=timezone.now(), by="ann") for _ in "12"]
    approve(ann, drafts[0])
    assert drafts[0].status == "issued", "3.00 is below"
    assert "needs another&#x27;s approval" in approve(ann, drafts[1]), "6.00 is not"
    assert drafts[1].status == "draft"


def test_an_api_key_is_no_second_person(issued: Invoice, api: Any) -> None:
    body = {"invoice": ids.encode("inv", issued.id), "amount": "5.01", "reason": "r"}
    answer = api("POST", "/v1/credit_notes", json.dumps(body))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "second_person_needed")
    assert not CreditNote.objects.exists()
    for by in (None, "ann"):
        if by is None:
            note = CreditNote.objects.get(
                pk=ids.decode("cn", api("POST", "/v1/credit_notes", json.dumps(body | {"issue": False})).json()["id"])
            )
        else:
            note = goodwill(Goodwill(issued.id, "r", Decimal("5.01"), issue=False), now=timezone.now(), by=by)
        answer = api("POST", f"/v1/credit_notes/{ids.encode('cn', note.pk)}/issue", "{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "second_person_needed")
    small = api("POST", "/v1/credit_notes", json.dumps(body | {"amount": "5.00"}))
    assert small.json()["status"] == "issued"


def test_what_corrects_itself_and_other_currencies_have_no_limit(issued: Invoice, settings: Any) -> None:
    note = automatic(undo(4), now=datetime(2026, 4, 9, tzinfo=UTC), issue=False, reason="r")
    approve(signed_in("ann", "owner"), note)
    assert (note.status, note.total_minor) == ("issued", 800)
    settings.SECOND_PERSON_ABOVE = limits_of(["EUR=1"])
    assert goodwill(Goodwill(issued.id, "r", Decimal(9)), now=timezone.now(), by="ann").status == "issued"


def test_limits() -> None:
    assert limits_of([]) == {}
    assert limits_of(["USD=500", " EUR = 450.50", "JPY=0"]) == {"USD": 50000, "EUR": 45050, "JPY": 0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("500", '"500" begins with no currency'),
        ("usd=500", "begins with no currency"),
        ("USD", "ends with no amount"),
        ("USD=-1", "ends with no amount"),
        ("USD=1e3", "ends with no amount"),
        ("USD=0.001", "has more decimals than USD"),
        ("JPY=0.5", "has more decimals than JPY"),
        ("USD=1,USD=2", "USD is there twice"),
    ],
)
def test_limits_that_are_none(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        limits_of(given.split(","))


def test_the_setting_is_read_when_a_process_starts() -> None:
    def start(value: str) -> subprocess.CompletedProcess[str]:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")} | {
            "DJANGO_SETTINGS_MODULE": "billing_project.settings",
            # With servers named, reading the settings starts none.
            "DATABASE_URL": "postgres://unused@localhost/unused",
            "REDIS_URL": "redis://localhost/0",
            "HOLDFAST_HOME": str(project.HOME),
            "HOLDFAST_SECOND_PERSON_ABOVE": value,
        }
        read = "from django.conf import settings as s; print(s.SECOND_PERSON_ABOVE)"
        return subprocess.run(
            [sys.executable, "-c", read], env=environment, capture_output=True, text=True, cwd=project.BASE_DIR
        )

    assert start("USD=500,EUR=450").stdout.strip() == "{'USD': 50000, 'EUR': 45000}"
    assert start("").stdout.strip() == "{}"
    refused = start("USD")
    assert refused.returncode != 0 and "HOLDFAST_SECOND_PERSON_ABOVE: " in refused.stderr
