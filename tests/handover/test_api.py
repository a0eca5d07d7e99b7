"""``/v1/handovers``, the admin and the command."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from access import ids
from access.invariants import Scope, check
from handover import work
from handover.audit import INVARIANTS
from handover.models import Handover, Reading
from handover.queries import outcome_waits
from handover.work import hand_over_due
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from tests.handover.conftest import NOW, World, confirmed
from tests.handover.conftest import reverse as take_back
from tests.handover.lago_server import LagoServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def outcomes(world: World, lago: LagoServer) -> list[Outcome]:
    """One handed over, one refused; and one of another customer, which Lago never hears of."""
    acme, beta = world.customer(), world.customer("beta")
    for one in (acme, beta):
        world.contract(one, pass_on="lago_events")
    found = [confirmed(world, acme), confirmed(world, acme), confirmed(world, beta, review=["quantity"])]
    bad = ids.encode(OUTCOME_PREFIX, found[1].pk)
    lago.refuse = lambda event: {"code": ["unknown"]} if event["transaction_id"] == bad else {}
    hand_over_due(NOW)
    return found


def test_list_filter_and_read(api: Any, outcomes: list[Outcome]) -> None:
    done, parked, waits = outcomes
    status, body = read(api, "")
    assert status == 200 and {one["status"] for one in body["data"]} == {"done", "parked", "waiting"}
    for query, expected in (
        ("status=parked", {parked}), ("status=done", {done}), ("customer=beta", {waits}),
        (f"outcome={ids.encode(OUTCOME_PREFIX, done.pk)}", {done}), ("target=stripe_meter_events", set()),
    ):  # fmt: skip
        found = {one["outcome"] for one in read(api, query)[1]["data"]}
        assert found == {ids.encode(OUTCOME_PREFIX, one.pk) for one in expected}, query
    first, second = read(api, "limit=2")[1], None
    second = read(api, f"limit=2&cursor={first['next_cursor']}")[1]
    assert [len(first["data"]), len(second["data"]), second["has_more"]] == [2, 1, False]
    assert read(api, "status=lost")[0] == 400
    row = Handover.objects.get(outcome=done)
    response = api.get(f"/v1/handovers/{row.public_id}")
    shown = response.json()
    assert shown == {
        "id": row.public_id, "outcome": ids.encode(OUTCOME_PREFIX, done.pk), "customer": "acme", "test": False,
        "contract": shown["contract"], "condition": "resolved_ticket", "kind": "usage", "target": "lago_events",
        "status": "done", "attempts": 1, "next_attempt_at": None, "code": None, "reason": None, "decided_by": None,
        "sent": shown["sent"], "created_at": shown["created_at"], "finished_at": shown["finished_at"],
    }  # fmt: skip
    assert shown["sent"]["transaction_id"] == shown["outcome"]
    assert api.get("/v1/handovers/hov_01jb3z9k7qe8tv6d0n4r2m5xwa").status_code == 404


def read(api: Any, query: str) -> tuple[int, Any]:
    response = api.get(f"/v1/handovers?{query}")
    return response.status_code, response.json()


def test_retry_and_dismiss(api: Any, outcomes: list[Outcome], lago: LagoServer) -> None:
    done, parked, _ = (Handover.objects.get(outcome=one) for one in outcomes)
    lago.refuse = lambda event: {}
    response = api.post(f"/v1/handovers/{parked.public_id}/retry", {})
    assert (response.status_code, response.json()["status"]) == (200, "waiting")
    parked.refresh_from_db()
    assert parked.decided_by.startswith("API key ")
    assert hand_over_due(parked.next_attempt_at).done == 1
    for verb, body in (("retry", {}), ("dismiss", {"reason": "x"})):
        response = api.post(f"/v1/handovers/{done.public_id}/{verb}", body)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "handover_finished")
    waits = Handover.objects.get(outcome=outcomes[2])
    assert api.post(f"/v1/handovers/{waits.public_id}/dismiss", {}).status_code == 422
    response = api.post(f"/v1/handovers/{waits.public_id}/dismiss", {"reason": "Billed on paper"})
    assert {name: response.json()[name] for name in ("status", "code", "reason")} == {
        "status": "dropped", "code": "dismissed", "reason": "Billed on paper",
    }  # fmt: skip


def test_while_it_is_being_sent_nobody_decides(outcomes: list[Outcome]) -> None:
    row = Handover.objects.get(outcome=outcomes[2])
    Handover.objects.filter(pk=row.pk).update(leased_by=row.uid, next_attempt_at=NOW + timedelta(minutes=5))
    with pytest.raises(work.ApiError, match="being sent"):
        work.retry(row.pk, now=NOW, by="me")


def test_an_outcome_tells_where_it_is_handed_over(outcomes: list[Outcome]) -> None:
    done, parked, waits = (outcome_waits(one, NOW) for one in outcomes)
    assert [(one.reason, one.message) for one in done] == [("", "It was handed over to Lago.")]
    assert parked[0].reason == "handover_parked" and "not handed over to Lago yet. Lago refuses" in parked[0].message
    assert waits[0].message.startswith("It is not handed over to Lago yet. A person must")


def test_in_the_admin(client: Client, outcomes: list[Outcome], lago: LagoServer) -> None:
    client.force_login(User.objects.create_superuser("root"))
    text = client.get(reverse("admin:handover_handover_changelist")).content.decode()
    assert "resolved_ticket: T-2" in text and "Lago refuses the event" in text
    row = Handover.objects.get(outcome=outcomes[1])
    page = client.get(reverse("admin:handover_handover_change", args=[row.pk])).content.decode()
    assert "transaction_id" in page and "Try again" in page
    lago.refuse = lambda event: {}
    address = reverse("admin:handover_handover_retry_this", args=[row.pk])
    assert "under the identifier it had" in client.get(address).content.decode()
    assert client.post(address).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.decided_by) == ("waiting", "root")
    address = reverse("admin:handover_handover_settle_this", args=[row.pk])
    assert "this is needed" in client.post(address, {"reason": " "}).content.decode()
    assert client.post(address, {"reason": "Seen there"}).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.code) == ("done", "dismissed")
    page = client.get(reverse("admin:handover_handover_change", args=[row.pk])).content.decode()
    assert "Try again" not in page
    for nonsense in ("x", "0", "1/y", "9" * 30):
        assert client.get(f"/admin/handover/handover/{nonsense}/change/").status_code in (302, 404)
        assert client.post(f"/admin/handover/handover/{nonsense}/retry-this/").status_code in (302, 404), nonsense


def test_the_command_tells_what_it_did(outcomes: list[Outcome]) -> None:
    out = StringIO()
    call_command("handover", stdout=out)
    assert "parked: 0." in out.getvalue() and "1 wait for a person" in out.getvalue()


def test_the_audit_finds_what_is_not_as_it_should_be(world: World, outcomes: list[Outcome]) -> None:
    def problems() -> list[str]:
        [result] = check(INVARIANTS, Scope(now=NOW, sample=None))
        assert result.error == ""
        return [row["problem"] for row in result.findings.violation_rows]

    assert problems() == []
    take_back(outcomes[0], NOW)
    Handover.objects.filter(outcome=outcomes[2]).delete()
    last = Reading.objects.get()
    last.position = 10**9
    last.save()
    assert sorted(problems()) == [
        "the outcome is to be handed over, and nobody has noted it",
        "the outcome was handed over and is reversed, and nobody has noted that",
    ]
