"""An outcome's page in the admin: its life as a picture and as a list, why it is what it is, the events behind it."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from freezegun import freeze_time

from invoicing import billing
from invoicing.models import Invoice
from outcomes import admin, timeline
from outcomes.models import Outcome
from settlement import disputes, holds
from tests.invoicing.conftest import World, make_world, world
from tests.outcomes.test_explaining import NOW, play
from tests.project.test_roles import client_of

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db


def page_of(client: Client, outcome: Outcome) -> str:
    answer = client.get(f"/admin/outcomes/outcome/{outcome.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def listed(html: str) -> list[str]:
    """What the list of the timeline says, a line for each."""
    [items] = re.findall(r'<ol aria-label="Timeline".*?</ol>', html, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", one).split()) for one in re.findall("<li.*?</li>", items, re.DOTALL)]


@freeze_time(NOW, tick=True)
def test_a_life_from_its_events() -> None:
    outcome = play(("opened", 0), ("closed", 2), ("reopened", 3))
    html = page_of(client_of("viewer"), outcome)
    lines = listed(html)
    assert [line.split(maxsplit=3)[3].split(" :")[0] for line in lines if line[0].isdigit() and line[1] == " "] == [
        "Begins", "Provisional", "Void"
    ], lines  # fmt: skip
    assert any("Settlement window" in line for line in lines)
    # The picture has a bar for each state that lasted, and says nothing that the list does not.
    assert len(re.findall('<rect x="\\d+" y="22"', html)) == 2 and '<svg aria-hidden="true"' in html
    # Why, in words and clause by clause, with links to the events; and what the events say.
    assert "Clause by clause" in html and "It ended" not in html
    assert html.count("<summary") >= 3 and "/admin/outcomes/event/" in html


def test_a_long_history_is_explained_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "READ_AT_ONCE", 1)
    monkeypatch.setattr(admin, "EVENTS_SHOWN", 1)
    outcome = play(("closed", 0), ("thanked", 2), ("reopened", 3))
    html = page_of(client_of("viewer"), outcome)
    assert "more than 1 events: Explain, above" in html and "Clause by clause" not in html
    assert "There are more: read them" in html


def test_holds_disputes_and_documents_stand_on_it(world: World) -> None:
    now = timezone.now()
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    acme = world.customer()
    world.contract(acme)
    outcome = world.outcome(acme, first - timedelta(days=2))
    billing.run(now=first)
    invoice = Invoice.objects.get()
    held = holds.place(holds.Target(outcome=outcome.pk), reason="A look first", by="otto", now=now)
    holds.release(held.pk, note="", by="otto", now=now)
    dispute = disputes.raise_dispute(outcome.pk, reason="It was spam", by="acme", now=now)
    finance = client_of("finance")
    said = listed(page_of(finance, outcome))
    assert any(f"invoice {invoice} , line 1" in line and "USD 2.00 for 1 outcome" in line for line in said), said
    assert any("Held with its outcome" in line and "A look first" in line for line in said)
    assert any("Dispute, raised" in line and "until now" in line for line in said)
    disputes.resolve(dispute.pk, "rejected", note="We read it", by="maria", now=now)
    said = listed(page_of(finance, outcome))
    assert any("Dispute rejected" in line and "maria: We read it" in line for line in said)
    # Who sees no invoices is not told of any.
    assert not any("Billed" in line or "USD" in line for line in listed(page_of(client_of("engineer"), outcome)))


def test_one_that_is_on_no_invoice_says_why(world: World) -> None:
    outcome = world.outcome(world.customer(), timezone.now() - timedelta(days=1))
    assert any("On no invoice" in line for line in listed(page_of(client_of("viewer"), outcome)))


def test_a_picture_of_nothing_but_a_beginning(world: World) -> None:
    now = timezone.now()
    outcome = world.outcome(world.customer(), now, state="open", met=now)
    drawn = timeline.picture(timeline.life_of(Outcome.objects.get(pk=outcome.pk), client_user()), now)
    assert drawn["list"] and drawn["width"] > 0 and all(bar["width"] > 0 for bar in drawn["bars"])


def client_user() -> object:
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()
