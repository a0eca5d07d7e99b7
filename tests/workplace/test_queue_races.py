"""Two people at one item of the queue, at the same moment; and one who is kept waiting."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from outcomes.models import Decision, Journal
from settlement.models import Dispute, DisputeEntry
from tests.workplace.queue_seller import DAY, bill, make_seller
from workplace import queue_money
from workplace.queue_views import BUSY

PEOPLE = ("maria", "otto", "vera", "nils")


@pytest.fixture
def dispute(committed: None) -> Dispute:
    """Of one of eleven tickets of last month, which are invoiced."""
    now = timezone.now()
    this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    seller = make_seller((this - DAY).replace(day=1))
    seller.agree("acme", "graduated")
    tickets = seller.solve("acme", 11, seller.month + DAY)
    bill(this)
    return seller.dispute(tickets[0], now=this + timedelta(minutes=1))


def client_of(name: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name="finance"))
    client = Client()
    client.force_login(user)
    return client


def test_of_many_who_confirm_at_once_one_decides(dispute: Dispute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_money, "LOCK_SECONDS", 60)
    address = f"/admin/queue/dispute/{dispute.pk}/"
    together = Barrier(len(PEOPLE))
    clients = {name: client_of(name) for name in PEOPLE}

    def decide(name: str) -> list[str]:
        data = {"decision": "uphold", "reason": f"{name} says so"}
        try:
            shown = clients[name].post(address, data).context["effect"].fingerprint
            together.wait(timeout=60)
            answer = clients[name].post(address, data | {"shown": shown}, follow=True)
            assert answer.status_code == 200
            return [str(one) for one in answer.context["messages"]] or [answer.context["problem"]]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        said = dict(zip(PEOPLE, pool.map(decide, PEOPLE), strict=True))
    dispute.refresh_from_db()
    assert dispute.status == "upheld"
    winner = dispute.resolved_by
    assert said[winner] == ["Uphold: done. Nothing more waits."]
    for name in set(PEOPLE) - {winner}:
        assert f"it was upheld by {winner}" in said[name][0], said
    assert DisputeEntry.objects.filter(status="upheld").count() == 1
    assert (Decision.objects.count(), LogEntry.objects.count()) == (1, 1)
    assert Journal.objects.filter(outcome=dispute.outcome_id, to_state="reversed").count() == 1


def test_a_page_does_not_wait_for_long(dispute: Dispute, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a billing run is at the customer, the page says so and nothing is done."""
    monkeypatch.setattr(queue_money, "LOCK_SECONDS", 1)
    maria, address = client_of("maria"), f"/admin/queue/dispute/{dispute.pk}/"
    data = {"decision": "uphold", "reason": "it came back"}
    shown = maria.post(address, data).context["effect"].fingerprint
    other: Any = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM contracts_customer FOR NO KEY UPDATE")
        for given in (data, data | {"shown": shown}):
            assert maria.post(address, given).context["problem"] == BUSY
    finally:
        other.rollback()
        other.close()
    assert Dispute.objects.get().status == "raised"
    assert maria.post(address, data | {"shown": shown}).status_code == 302
    assert Dispute.objects.get().status == "upheld"
