"""The palette's search: what somebody types leads to the row, by an index, and only to rows that they may see."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from access import ids
from contracts.models import Customer
from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import Event, EventIdentity, Outcome
from portal import links
from tests.invoicing.conftest import World
from tests.project.test_roles import client_of
from workplace import search

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def acme(world: World) -> Customer:
    found = world.customer("acme-Berlin")
    world.contract(found)
    world.outcome(found, datetime(2026, 3, 15, tzinfo=UTC))
    billing.run(now=NOW)
    Event.objects.create(seq=75 * 10**12, customer=found, event_id="evt-1", type="a.b", time=NOW, received_at=NOW)
    EventIdentity.objects.create(pk=(found.pk, "evt-1", ""), fingerprint=b"x" * 32, seq=75 * 10**12)
    return found


def asked(client: Client, term: str) -> dict[str, str]:
    answer = client.get("/admin/search/", {"s": term, "extended": 1})
    assert answer.status_code == 200
    results = answer.context_data["results"] if answer.context_data else []
    return {one.title: str(one.link) for one in results}


def page(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def test_what_is_typed_leads_there(acme: Customer) -> None:
    viewer = client_of("viewer")
    invoice, outcome = Invoice.objects.get(), Outcome.objects.get()
    link, _ = links.create(acme.key, by="otto", now=NOW)
    for term, row in {
        str(invoice.number): invoice,
        str(invoice.number).lower()[:-1]: invoice,
        ids.encode("inv", invoice.pk): invoice,
        ids.encode("out", outcome.pk): outcome,
        link.public_id: link,
        "acme-Berlin": acme,
        " acme ": acme,
        outcome.subject.key: outcome,
        "evt-1": Event.objects.get(),
    }.items():
        assert page(row) in asked(viewer, term).values(), term
    Customer.objects.filter(pk=acme.pk).update(key="acme-Bonn")
    assert "acme-Bonn" in asked(viewer, "acme"), "kept of before"
    assert asked(viewer, "review q") == {"Review queue": reverse("admin_queue")}
    for nothing in ("nobody", "x" * 300, "inv_zzz", "out_01jb3z9k7qe8tv6d0n4r2m5xwa", "%%", "_%", "\x00acme"):
        assert asked(viewer, nothing) == {}, nothing


def test_only_what_somebody_may_see(acme: Customer) -> None:
    engineer = client_of("engineer")
    invoice = Invoice.objects.get()
    assert asked(engineer, str(invoice.number)) == {} == asked(engineer, ids.encode("inv", invoice.pk))
    assert asked(engineer, "acme-Berlin")
    nobody = client_of("staff")
    assert asked(nobody, "acme-Berlin") == {} == asked(nobody, Outcome.objects.get().subject.key)


def test_so_many_and_no_more(acme: Customer, world: World, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        world.customer(f"acme-{number}")
    viewer = client_of("viewer")
    asked(viewer, "warm")
    with django_assert_max_num_queries(20):
        assert len(asked(viewer, "acme")) == search.MOST


def test_a_look_that_takes_too_long_is_given_up(acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection

    def slowly(user: Any, term: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")
        yield from ()

    monkeypatch.setattr(search, "PATIENCE_MS", 50)
    monkeypatch.setattr(search, "_outcomes", slowly)
    found = asked(client_of("viewer"), "acme")
    assert found["Outcomes by subject"] == reverse("admin:outcomes_outcome_changelist")
    assert found["acme-Berlin"] == page(acme)
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
