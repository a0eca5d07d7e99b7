"""Disputing through the portal: what is kept, what is refused, and that sending twice does nothing twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from freezegun import freeze_time

from access import ids
from invoicing.models import LineOutcome
from outcomes.models import Outcome
from portal import links
from portal.models import PortalLink
from settlement.disputes import raise_dispute, raise_disputes, resolve
from settlement.models import Dispute, DisputeEntry
from tests.portal.shop import Shop, outcome_of

REASON = "It was never resolved."


def path_of(outcome: Outcome) -> str:
    return f"/portal/outcomes/{ids.encode('out', outcome.pk)}/"


def send(client: Client, path: str, reason: str = REASON) -> Any:
    return client.post(f"{path}dispute", {"reason": reason})


def link_of(shop: Shop) -> PortalLink:
    return PortalLink.objects.get(digest=links.digest(shop.tokens["acme"]))


@pytest.mark.parametrize("ticket", ["acme-100", "acme-300"])
def test_an_outcome_is_disputed(shop: Shop, acme: Client, ticket: str) -> None:
    outcome = outcome_of(ticket)
    path = path_of(outcome)
    answer = send(acme, path, f"  {REASON} <b>\n")
    assert (answer.status_code, answer["Location"]) == (302, f"{path}#dispute")
    dispute = Dispute.objects.get(outcome=outcome.pk)
    assert (dispute.status, dispute.reason) == ("raised", f"{REASON} <b>")
    assert dispute.raised_by == f"customer via portal link {link_of(shop).public_id}"
    entry = DisputeEntry.objects.get(dispute=dispute)
    assert (entry.actor, entry.note) == (dispute.raised_by, dispute.reason)
    page = acme.get(path).content.decode()
    assert "This is disputed." in page and "By you, through this portal" in page and "&lt;b&gt;" in page
    assert "<form" not in page.partition("<footer")[0], "there is nothing more to send"
    assert (
        "1" in acme.get("/portal/").context["period"]["kept_off"][0]["why"] or acme.get("/portal/").status_code == 200
    )
    assert [row["subject"] for row in acme.get("/portal/outcomes/?show=disputed").context["rows"]] == [ticket]


def test_sending_twice_disputes_once(shop: Shop, acme: Client) -> None:
    path = path_of(outcome_of("acme-100"))
    answers = [send(acme, path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [302, 302, 302]
    assert Dispute.objects.count() == 1 and link_of(shop).dispute_count == 1


@pytest.mark.parametrize(
    ("reason", "said"),
    [("", "Write a reason"), (" \n ", "Write a reason"), ("x" * 1001, "too long"), ("a\x00b", "cannot be stored")],
)
def test_a_reason_is_needed(shop: Shop, acme: Client, reason: str, said: str) -> None:
    answer = send(acme, path_of(outcome_of("acme-100")), reason)
    page = answer.content.decode()
    assert answer.status_code == 422 and said in page and 'role="alert"' in page and 'aria-invalid="true"' in page
    assert not Dispute.objects.exists()


def test_what_was_written_is_not_lost(shop: Shop, acme: Client) -> None:
    assert "x" * 1001 in send(acme, path_of(outcome_of("acme-100")), "x" * 1001).content.decode()


def test_what_is_not_charged_cannot_be_disputed(shop: Shop, acme: Client) -> None:
    path = path_of(outcome_of("acme-200"))
    assert send(acme, path).status_code == 302
    assert not Dispute.objects.exists()
    assert "there is nothing to dispute" in acme.get(path).content.decode()


def test_a_decision_is_told_and_a_new_dispute_possible(shop: Shop, acme: Client) -> None:
    outcome = outcome_of("acme-100")
    send(acme, path_of(outcome))
    resolve(Dispute.objects.get().pk, "rejected", note="It was, see T-9.", by="maria", now=shop.now)
    page = acme.get(path_of(outcome)).content.decode()
    assert "The dispute was rejected." in page and "It was, see T-9." in page and "maria" not in page
    assert send(acme, path_of(outcome)).status_code == 302
    assert Dispute.objects.count() == 2


def test_people_are_not_named(shop: Shop, acme: Client) -> None:
    outcome = outcome_of("acme-100")
    send(acme, path_of(outcome))
    resolve(Dispute.objects.get().pk, "upheld", note="You are right.", by="maria", now=shop.now)
    page = acme.get(path_of(outcome)).content.decode()
    assert "The dispute was upheld." in page and "You are right." in page and "a person took the charge back" in page
    assert "maria" not in page


# --- A whole line -----------------------------------------------------------------------------------------------------


def line_outcomes(shop: Shop) -> set[UUID]:
    line = ids.decode("line", shop.ids["acme"]["line"])
    return set(LineOutcome.objects.filter(line=line).values_list("outcome_id", flat=True))


def test_a_line_is_disputed_as_a_whole(shop: Shop, acme: Client) -> None:
    wanted = line_outcomes(shop)
    first = min(wanted)
    raise_dispute(first, reason="before", by="maria", now=shop.now)
    path = f"/portal/lines/{shop.ids['acme']['line']}/"
    assert f"{len(wanted) - 1} outcomes of this line can be disputed" in acme.get(path).content.decode()
    answers = [send(acme, path) for _ in range(2)]
    assert [answer["Location"] for answer in answers] == [f"{path}#dispute"] * 2
    assert set(Dispute.objects.values_list("outcome_id", flat=True)) == wanted
    assert Dispute.objects.filter(reason=REASON).count() == len(wanted) - 1
    assert Dispute.objects.get(outcome=first).reason == "before"
    page = acme.get(path).content.decode()
    assert f"{len(wanted)} outcomes of this line are disputed." in page and "can be disputed" not in page
    assert send(acme, path, "").status_code == 422


def test_a_day_has_a_bound(shop: Shop, acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("portal.disputing", "portal.views", "portal.pages"):
        monkeypatch.setattr(f"{module}.MOST_A_DAY", 2)
    path = f"/portal/lines/{shop.ids['acme']['line']}/"
    assert "At most 2 are disputed at once" in acme.get(path).content.decode()
    assert send(acme, path).status_code == 302
    assert Dispute.objects.count() == 2 and link_of(shop).dispute_count == 2
    answer = send(acme, path)
    assert answer.status_code == 429 and "At most 2 outcomes can be disputed in a day" in answer.content.decode()
    assert send(acme, path_of(outcome_of("acme-300"))).status_code == 429
    first = Dispute.objects.order_by("id")[0].outcome
    assert send(acme, path_of(first)).status_code == 302, "what is disputed already needs no room"
    with freeze_time(shop.now + timedelta(days=1)):
        client = Client()
        client.get(shop.url("acme"))
        assert send(client, path).status_code == 302
    assert Dispute.objects.count() == 4 and link_of(shop).dispute_count == 2


def test_a_link_revoked_meanwhile_disputes_nothing(shop: Shop, acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the link and the dispute."""
    real = links.locked

    def revoked_just_now(link_id: UUID, **when: Any) -> PortalLink:
        links.revoke(link_id, by="maria", now=shop.now)
        return real(link_id, **when)

    monkeypatch.setattr(links, "locked", revoked_just_now)
    assert send(acme, path_of(outcome_of("acme-100"))).status_code == 410
    assert not Dispute.objects.exists()


def test_disputed_set_wise_like_one_by_one(shop: Shop, enter: Callable[..., Client]) -> None:
    """`raise_disputes` passes over what `raise_dispute` refuses: others' outcomes, other states, what is disputed."""
    customer = outcome_of("acme-100").customer_id
    wanted = [outcome_of(name).pk for name in ("acme-100", "acme-101", "acme-200", "acme-300", "globex-100")]
    raise_dispute(wanted[1], reason="before", by="maria", now=shop.now)
    told = {"reason": REASON, "by": "them", "now": shop.now}
    assert set(raise_disputes(customer, wanted, **told)) == {wanted[0], wanted[3]}
    assert raise_disputes(customer, wanted, **told) == []
    assert raise_disputes(customer, [], **told) == []
    rows = Dispute.objects.filter(raised_by="them")
    one = Dispute.objects.get(raised_by="maria")
    for row in rows:
        assert (row.status, row.raised_at, row.resolved_at, row.note) == (one.status, one.raised_at, None, "")
        assert list(row.entries.values_list("status", "actor", "note")) == [("raised", "them", REASON)]
