"""What cannot be told from events alone: late evidence, decisions of people, windows and pins, archived months.

The pack records it, the verifier says what it takes as recorded, and counts all else.
"""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.models import Contract, ContractVersion, TaxRate
from invoicing import billing
from invoicing.evidence import verify_evidence as verifier
from invoicing.issue import freeze
from invoicing.models import Invoice
from outcomes import archive, late
from outcomes.decisions import complete, take_back
from outcomes.evaluation import evaluate_waiting
from outcomes.models import LateEvidence, Outcome
from outcomes.sequence import month_number
from settlement.sweep import settle_due
from tests.invoicing.deals import at
from tests.invoicing.evidence.packs import counted, packed, records, tampered
from tests.invoicing.evidence.plays import Play
from tests.invoicing.evidence.test_tampering import CONDITION
from tests.outcomes import factories

pytestmark = pytest.mark.django_db
FEBRUARY, MARCH = at("2026-02-01"), at("2026-03-01")
CLOSED = {"closed_by": "agent", "priority": "high", "units": 2}


def solved(play: Play, *tickets: str) -> None:
    for n, ticket in enumerate(tickets):
        play.tell("ticket.closed", at("2026-01-05T10:00") + timedelta(hours=n), ticket_id=ticket, **CLOSED)


def accepted(play: Play, number: int = 0) -> verifier.Recount:
    return counted(packed(play.invoices()[number]))


def test_what_was_given_back_after_it_was_billed() -> None:
    play = Play(CONDITION)
    solved(play, "T-1", "T-2")
    play.month(FEBRUARY)
    play.tell("ticket.reopened", at("2026-02-03"), ticket_id="T-1")
    assert set(Outcome.objects.values_list("state", flat=True)) == {"confirmed", "reversed"}
    found = accepted(play)
    assert (found.counts["recounted"], dict(found.recorded)) == (2, {})


def test_late_evidence_undoes_what_was_billed() -> None:
    """The invoice stands as it was counted then; the event that came late is named."""
    play = Play(CONDITION)
    solved(play, "T-1", "T-2", "T-3")
    play.month(FEBRUARY)
    # Reopened inside its window, as is told a month later; and one that was closed once more, with less units.
    play.tell("ticket.reopened", at("2026-01-06"), now=at("2026-02-05"), ticket_id="T-1")
    play.tell("ticket.closed", at("2026-01-06"), now=at("2026-02-06"), ticket_id="T-2", **CLOSED | {"units": 1})
    assert Outcome.objects.filter(state="reversed").count() == 2
    found = accepted(play)
    assert found.counts["recounted"] == 3
    assert found.recorded == {
        "which events came only after an outcome was confirmed": 2,
        "outcomes taken back by late evidence": 2,
    }


@pytest.mark.parametrize("policy", ["review", "ignore"])
def test_late_evidence_that_is_left_out(policy: str) -> None:
    play = Play(CONDITION, late_evidence=policy)
    solved(play, "T-1")
    play.month(FEBRUARY)
    play.tell("ticket.reopened", at("2026-01-06"), now=at("2026-02-05"), ticket_id="T-1")
    found = accepted(play)
    assert found.recorded == {"late events left out of the count, as the contract wants it": 1}
    if policy == "review":
        waiting = LateEvidence.objects.get()
        late.accept(waiting.id, now=at("2026-02-07"), actor="ops", note="it counts")
        assert Outcome.objects.filter(state="reversed").exists()
        assert accepted(play).recorded["outcomes taken back by late evidence"] == 1


def test_decisions_of_people() -> None:
    play = Play(CONDITION)
    solved(play, "T-1", "T-2")
    play.tell("ticket.closed", at("2026-01-06"), ticket_id="T-3", closed_by="agent", priority="high", units="many")
    settle_due(at("2026-01-20"))
    unknown = Outcome.objects.get(review__contains=["quantity_unknown"])
    complete(unknown.id, quantity=Decimal("2.5"), now=at("2026-01-21"), actor="ops", reason="counted by hand")
    play.month(FEBRUARY)
    billed = Outcome.objects.filter(subject__key="T-1").get()
    take_back(billed.id, now=at("2026-02-02"), actor="ops", reason="they paid for it elsewhere")
    found = accepted(play)
    assert found.counts["recounted"] == 3
    assert found.recorded == {"decisions of people, each with its reason": 2}
    assert found.own[0].quantity == Decimal("6.5")
    story = counted(packed(play.invoices()[0]), explain=_id(billed)).story
    assert "ops decided: take back: they paid for it elsewhere" in "\n".join(story)


def _id(outcome: Outcome) -> str:
    from access import ids

    return ids.encode("out", outcome.id)


def test_a_window_of_the_contract_and_a_pinned_version() -> None:
    play = Play(CONDITION, window=3600, pin=1)
    factories.condition(CONDITION.replace("72 hours", "20 days"), effective_from=at("2026-01-02"))
    solved(play, "T-1")
    settle_due(at("2026-01-06"))
    assert Outcome.objects.get().settled_at == at("2026-01-05T11:00")
    play.month(FEBRUARY)
    found = accepted(play)
    assert found.recorded == {"settlement windows and pinned versions that the contract agreed": 1}


def test_a_later_version_of_the_condition() -> None:
    play = Play(CONDITION)
    factories.condition(CONDITION.replace("72 hours", "96 hours"), effective_from=at("2026-01-05T10:30"))
    solved(play, "T-1", "T-2")
    play.month(FEBRUARY)
    found = accepted(play)
    assert (found.counts["recounted"], found.counts["condition"]) == (2, 2)


def test_a_subject_that_is_billed_again() -> None:
    play = Play(CONDITION + "\nrepeat when ticket.renewed")
    solved(play, "T-1")
    play.tell("ticket.renewed", at("2026-01-15"), ticket_id="T-1")
    play.tell("ticket.closed", at("2026-01-16"), ticket_id="T-1", **CLOSED)
    play.month(FEBRUARY)
    assert accepted(play).counts["recounted"] == 2


def test_late_outcomes_stand_on_the_next_invoice() -> None:
    """And the amounts of their period are worked out with the invoice before."""
    tiers = [{"up_to": "2", "unit_price": "5"}, {"up_to": None, "unit_price": "2"}]
    play = Play(CONDITION, price={"model": "graduated", "tiers": tiers})
    solved(play, "T-1")
    play.month(FEBRUARY)
    play.tell("ticket.closed", at("2026-01-20"), now=at("2026-02-05"), ticket_id="T-9", **CLOSED)
    play.tell("ticket.closed", at("2026-02-06"), ticket_id="T-10", **CLOSED)
    play.month(MARCH)
    second = accepted(play, 1)
    assert second.counts["recounted"] == 2
    assert second.counts["document_line"] == 1
    [line] = [line for line in second.own if line.body["period_start"] == "2026-01-01T00:00:00Z"]
    assert line.amount == 400


@pytest.mark.parametrize(
    ("currency", "price", "minor"), [("JPY", "0.5", 1), ("KWD", "0.0125", 25), ("USD", "0.005", 1)]
)
def test_currencies(currency: str, price: str, minor: int) -> None:
    play = Play(CONDITION, currency=currency, price={"model": "per_unit", "unit_price": Decimal(price)})
    solved(play, "T-1")
    play.month(FEBRUARY)
    found = accepted(play)
    assert found.last is not None
    assert found.last.body["total_minor"] == minor
    assert found.money.text(minor) in " ".join(verifier.report(found))


@pytest.mark.parametrize("inclusive", [False, True])
def test_taxes(inclusive: bool) -> None:
    play = Play(CONDITION, price={"model": "per_unit", "unit_price": Decimal("3.335")})
    for key, percent in (("city", "1.5"), ("vat", "19")):
        rate = TaxRate.objects.create(
            key=key, name=key, percent=Decimal(percent), inclusive=inclusive, created_at=factories.START
        )
        play.customer.tax_rates.add(rate)
    solved(play, "T-1")
    play.month(FEBRUARY)
    found = accepted(play)
    assert found.last is not None
    assert [one["amount_minor"] for one in found.last.body["taxes"]] == ([8, 105] if inclusive else [10, 127])


def test_archived_events_are_not_recounted(tmp_path: Path) -> None:
    play = Play(CONDITION)
    solved(play, "T-1")
    play.month(FEBRUARY)
    play.tell("ticket.closed", at("2026-02-06"), ticket_id="T-2", **CLOSED)
    play.month(MARCH)
    archive.archive_month(month_number(at("2026-01-01")), tmp_path, now=at("2026-06-01"))
    found = accepted(play)
    assert found.counts["recounted"] == 0
    assert found.recorded == {
        "events archived: not recounted": 1,
        "outcomes that rest on archived events: not recounted": 1,
    }
    assert accepted(play, 1).counts["recounted"] == 1


def test_an_event_that_two_conditions_count() -> None:
    play = Play(CONDITION)
    other = factories.condition(CONDITION.replace("resolved_ticket", "answered", 1).replace("72 hours", "1 hour"))
    price = ContractVersion.objects.get().prices.get()
    price.pk, price.condition = None, other.condition
    price.save(force_insert=True)
    solved(play, "T-1")
    play.month(FEBRUARY)
    assert accepted(play).counts["recounted"] == 2


def test_a_void_invoice_keeps_its_evidence() -> None:
    from invoicing.void import void

    play = Play(CONDITION)
    solved(play, "T-1")
    play.month(FEBRUARY)
    void(play.invoices()[0].id, now=FEBRUARY)
    billing.run(now=MARCH)
    assert [accepted(play, n).counts["recounted"] for n in (0, 1)] == [1, 1]


def test_a_condition_for_named_customers_from_some_day_on() -> None:
    play = Play(CONDITION, since=at("2026-01-05T10:30"))
    solved(play, "T-1", "T-2")
    evaluate_waiting(FEBRUARY)
    play.month(FEBRUARY)
    assert accepted(play).counts["recounted"] == 1


def test_a_contract_that_ends_takes_what_settles_later() -> None:
    play = Play(CONDITION)
    Contract.objects.update(ends_at=at("2026-01-06"))
    solved(play, "T-1")
    play.month(at("2026-01-10"))
    assert accepted(play).own[0].units == 2


def data_of(play: Play) -> list[Any]:
    return [body["data"] for kind, body in records(packed(play.invoices()[0])) if kind == "event"]


def test_numbers_and_texts_of_any_kind_keep_their_hash() -> None:
    play = Play(CONDITION)
    odd = {
        "a": Decimal("0.1000"), "b": Decimal("1e30"), "c": Decimal("-1.5e-25"), "d": 10**300, "e": "é\u2028\x7f\t\"\\/",
        "f": [None, True, {"z": 1, "ä": "😀", "a": -0}], "g": Decimal("123456789012345678901234567890.123456789"),
    }  # fmt: skip
    play.tell("ticket.closed", at("2026-01-05"), ticket_id="T-1", odd=odd, **CLOSED)
    play.month(FEBRUARY)
    assert accepted(play).counts["recounted"] == 1
    assert data_of(play)[0]["odd"]["c"] == Decimal("-1.5e-25")


def test_a_one_off_invoice_is_its_items() -> None:
    play = Play(CONDITION)
    invoice = Invoice.objects.create(
        customer=play.customer, kind="one_off", currency="USD", time_zone="UTC", net_days=14, period_start=FEBRUARY,
        period_end=MARCH, created_at=FEBRUARY, refreshed_at=FEBRUARY, subtotal_minor=1050, total_minor=1050,
    )  # fmt: skip
    for position, (quantity, unit_price, minor) in enumerate([("3", "2.50", 750), (None, None, 300)], 1):
        invoice.lines.create(
            position=position, kind="item", title="Workshop", period_start=FEBRUARY, period_end=MARCH,
            quantity=quantity, unit_price=unit_price, amount_minor=minor,
        )  # fmt: skip
    freeze(invoice, now=FEBRUARY, wall=FEBRUARY)
    found = counted(packed(invoice))
    assert (found.counts["line"], found.own[0].amount) == (2, 750)

    def raised(found: Any) -> None:
        next(body for kind, body in found if kind == "line")["amount_minor"] = 751

    assert "7.50 USD" in str(tampered(packed(invoice), raised))
