"""What waits about outcomes: disputes, late evidence, and what their events do not tell."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse

from access.asking import Asked
from access.errors import ApiError
from contracts import terms
from contracts.clocks import now_of
from contracts.domain import rating
from contracts.terms import Terms
from invoicing import texts
from invoicing.domain import lifecycle
from invoicing.drafts import payment_terms
from invoicing.models import InvoiceLine
from invoicing.queries import billed_on
from outcomes import decisions, late
from outcomes.admin_decisions import figure_of
from outcomes.domain.lifecycle import AMOUNT_UNKNOWN, PROVISIONAL, QUANTITY_UNKNOWN
from outcomes.explain_page import page_context
from outcomes.explaining import HistoryTooLong, explain_outcome
from outcomes.models import Event, LateEvidence, Outcome
from outcomes.queries import plain
from outcomes.store import PayloadMissing
from settlement import disputes
from settlement.domain import disputes as states
from settlement.models import Dispute
from settlement.queries import all_disputes
from workplace.queue import WHY, Decision, Entry, Evidence, Kind, when
from workplace.queue_money import Effect, of_bills

_MISSING: Final = {QUANTITY_UNKNOWN: "quantity", AMOUNT_UNKNOWN: "amount"}
# What stands in `Outcome.review`, beside the two figures.
_OTHER: Final = {"distinct_overflow": "it counts more different values than are counted exactly"}


class _OfOutcomes(Kind):
    """Items that are about one outcome, and move what its customer is billed."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (
        ApiError, ValueError, decisions.NotPossible, late.Decided, PayloadMissing,
    )  # fmt: skip

    def outcome(self, row: Any) -> Outcome:
        found: Outcome = row.outcome
        return found

    def sentence(self, row: Any) -> str:
        raise NotImplementedError

    def began(self, row: Any) -> datetime:
        raise NotImplementedError

    def prepare(self, rows: Sequence[Any]) -> None:
        """Look up what the sentences need of rows beside themselves."""

    def entries(self, rows: Sequence[Any], now: datetime) -> list[Entry]:
        self.prepare(rows)
        agreed = terms.load({self.outcome(row).customer_id for row in rows})
        billed = billed_on(self.outcome(row).pk for row in rows)
        found = []
        for row in rows:
            outcome = self.outcome(row)
            worth = alone(agreed, outcome)
            found.append(
                Entry(
                    self.slug,
                    str(row.pk),
                    outcome.customer,
                    f"{outcome.version.title}: {outcome.subject.key}",
                    self.sentence(row),
                    self.began(row),
                    _deadline(agreed, outcome, billed.get(outcome.pk), now_of(outcome.customer, now)),
                    *(worth or (None, "")),
                )
            )
        return found

    def evidence(self, row: Any, now: datetime) -> Evidence:
        outcome = self.outcome(row)
        facts = [
            ("Customer", outcome.customer, _admin("contracts_customer", outcome.customer_id)),
            ("Outcome", f"{outcome.condition.slug}: {outcome.subject.key}", _admin("outcomes_outcome", outcome.pk)),
            ("State", outcome.state, ""),
            ("Quantity", plain(outcome.quantity) or "unknown", ""),
            *([("Amount", plain(outcome.amount), "")] if outcome.amount is not None else []),
            *self.facts(row),
        ]
        try:
            explained = page_context(explain_outcome(outcome, now=now))
        except HistoryTooLong:
            return Evidence(facts, unread="Its subject has more events than are read for an explanation.")
        except PayloadMissing:
            return Evidence(facts, unread="A part of its events is archived: load them again to have it explained.")
        return Evidence(facts, explained=explained)

    def facts(self, row: Any) -> Iterable[tuple[str, Any, str]]:
        return ()

    def moves(self, rows: Sequence[Any], decide: Callable[[], None], now: datetime) -> Effect:
        return of_bills({self.outcome(row).customer_id for row in rows}, decide, now=now)

    def group(self, row: Any) -> str:
        return self.outcome(row).condition.slug

    def _decision(self, name: str, verb: str, permission: str, consequence: str, act: Any, *inputs: Asked) -> Decision:
        return Decision(name, verb, permission, consequence, act, self.moves, (*inputs, WHY))


def _admin(model: str, pk: Any) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


# --- What it is worth, and until when ---------------------------------------------------------------------------------


def alone(agreed: Terms, outcome: Outcome) -> tuple[int, str] | None:
    """What an outcome would come to all by itself, at its price: (minor units, currency). Allowances, tiers that are
    reached together, minimum, cap and commitment are left aside. None where its figures, its contract or its price are
    missing.
    """
    if outcome.quantity is None or outcome.review or outcome.met_at is None:
        return None
    agreement = agreed.agreement_at(outcome.customer_id, outcome.met_at)
    if agreement is None:
        return None
    dimensions = rating.dimensions_of(outcome.dimensions)
    price = rating.choose(agreed.stretch_at(agreement, outcome.met_at).prices, outcome.condition_id, dimensions)
    if price is None or (price.model == rating.PERCENTAGE and outcome.amount is None):
        return None
    price = replace(price, included=rating.ZERO, pool="")
    value = max(outcome.amount or Decimal(0), Decimal(0))
    usage = rating.Usage(outcome.condition_id, dimensions, outcome.quantity, 1, value=value)
    charge = rating.Charge(price, usage)
    if rating.needs_order(price):
        settled = rating.Settled(price, dimensions, outcome.quantity, value)
        charged = rating.percentage_of(price, [settled])
        charge = replace(charge, usage=replace(usage, charged=charged[rating.part_of(charge)]))
    lines = rating.rate_lines([charge], agreement.currency)
    return sum(line.amount_minor for line in lines), agreement.currency


def _deadline(agreed: Terms, outcome: Outcome, billed: InvoiceLine | None, now: datetime) -> str:
    """When it goes on by itself: its window ends, or its period does; or where it is ``billed`` already."""
    if billed is not None:
        return f"on {billed.document}" if billed.document.status == lifecycle.DRAFT else f"invoiced, {billed.document}"
    if outcome.state == PROVISIONAL:
        return "" if outcome.settles_at is None else f"becomes final {when(outcome.settles_at)}"
    if outcome.met_at is None or outcome.settled_at is None:
        return ""
    agreement = agreed.agreement_at(outcome.customer_id, outcome.met_at)
    if agreement is None:
        return "no contract when it was met"
    end = agreement.period_of(max(outcome.settled_at, agreement.starts_at)).end
    zone = payment_terms(agreement, end).cadence.time_zone
    if end > now:
        return f"its period is invoiced from {_day(end, zone)} on"
    return f"its period ended on {_day(end - datetime.resolution, zone)}"


def _day(instant: datetime, time_zone: str) -> str:
    day = texts.local_date(instant, time_zone)
    return f"{day.day} {day:%b %Y}"


# --- Disputes ---------------------------------------------------------------------------------------------------------


class Disputes(_OfOutcomes):
    slug = "dispute"
    label = "Disputes"
    model = "settlement_dispute"
    waits = Q(status=states.RAISED)
    since = F("raised_at")
    customer = "outcome__customer"
    empty = "No dispute waits for a decision."

    def rows(self) -> QuerySet[Any]:
        return all_disputes().select_related(
            "outcome__customer__test_clock", "outcome__condition", "outcome__subject", "outcome__version"
        )

    def sentence(self, row: Dispute) -> str:
        return f"{row.raised_by} says that it should not be charged: {row.reason}"

    def began(self, row: Dispute) -> datetime:
        return row.raised_at

    def facts(self, row: Dispute) -> Iterable[tuple[str, Any, str]]:
        yield "Raised by", f"{row.raised_by}, {when(row.raised_at)}", _admin("settlement_dispute", row.pk)
        yield "Because", row.reason, ""

    def decisions(self, row: Dispute) -> Sequence[Decision]:
        return (
            self._decision(
                "uphold", "Uphold", "access.decide_disputes",
                "The outcome is taken back: void inside its settlement window, reversed after it.",
                partial(self._resolve, states.UPHELD),
            ),
            self._decision(
                "reject", "Reject", "access.decide_disputes", "The outcome is billable again.",
                partial(self._resolve, states.REJECTED),
            ),
            self._decision(
                "withdraw", "Withdraw", "settlement.change_dispute",
                "Nobody decides it any more; the outcome is billable again.", self._withdraw,
            ),
        )  # fmt: skip

    def _resolve(self, status: str, row: Dispute, given: dict[str, str], by: str, now: datetime) -> Dispute:
        return disputes.resolve(row.pk, status, note=given["reason"], by=by, now=now)

    def _withdraw(self, row: Dispute, given: dict[str, str], by: str, now: datetime) -> Dispute:
        return disputes.withdraw(row.pk, note=given["reason"], by=by, now=now)

    def became(self, pk: str) -> str:
        row = Dispute.objects.filter(pk=pk).first()
        if row is None or row.status == states.RAISED:
            return super().became(pk)
        at = when(row.resolved_at or row.raised_at)
        return f"It does not wait any more: it was {row.status} by {row.resolved_by}, {at}."


# --- Late evidence ----------------------------------------------------------------------------------------------------


class Late(_OfOutcomes):
    slug = "late"
    label = "Late evidence"
    model = "outcomes_lateevidence"
    waits = Q(status=LateEvidence.Status.WAITING)
    since = F("created_at")
    customer = "outcome__customer"
    empty = "No late evidence waits."

    def rows(self) -> QuerySet[Any]:
        return LateEvidence.objects.select_related(
            "outcome__customer__test_clock", "outcome__condition", "outcome__subject", "outcome__version"
        )

    def prepare(self, rows: Sequence[Any]) -> None:
        events = Event.objects.filter(seq__in=[row.event_seq for row in rows]).in_bulk(field_name="seq")
        for row in rows:
            row.event = events.get(row.event_seq)

    def sentence(self, row: Any) -> str:
        what = f"{row.event.type} {row.event.event_id}" if row.event is not None else "An archived event"
        return f"{what} of {when(row.time)} came when it was confirmed already, and speaks against it."

    def began(self, row: LateEvidence) -> datetime:
        return row.created_at

    def facts(self, row: Any) -> Iterable[tuple[str, Any, str]]:
        self.prepare([row])
        link = "" if row.event is None else _admin("outcomes_event", row.event.seq)
        yield "Late event", self.sentence(row), link
        if row.event is not None:
            yield "Its data", json.dumps(row.event.data, ensure_ascii=False), ""
            yield "It was received", when(row.event.received_at), ""

    def decisions(self, row: LateEvidence) -> Sequence[Decision]:
        permission = "outcomes.change_lateevidence"
        return (
            self._decision(
                "accept", "Accept", permission, "The event counts, and what follows from it is booked.", self._accept
            ),
            self._decision(
                "ignore", "Ignore", permission, "The event never counts: what is booked stands.", self._ignore
            ),
        )

    def _accept(self, row: LateEvidence, given: dict[str, str], by: str, now: datetime) -> LateEvidence:
        return late.accept(row.pk, now=now, actor=by, note=given["reason"])

    def _ignore(self, row: LateEvidence, given: dict[str, str], by: str, now: datetime) -> LateEvidence:
        return late.ignore(row.pk, now=now, actor=by, note=given["reason"])

    def became(self, pk: str) -> str:
        row = LateEvidence.objects.filter(pk=pk).first()
        return super().became(pk) if row is None else f"It does not wait any more. {late.Decided(row)}"


# --- What events do not tell ------------------------------------------------------------------------------------------


class Incomplete(_OfOutcomes):
    slug = "incomplete"
    label = "To complete"
    model = "outcomes_outcome"
    # As the index `outcome_to_complete` has it.
    waits = ~Q(review=[]) & Q(state__in=decisions.DECIDABLE)
    since = Coalesce(F("settled_at"), F("met_at"))
    empty = "Every outcome has what its price asks for."

    def rows(self) -> QuerySet[Any]:
        return Outcome.objects.select_related("customer__test_clock", "condition", "subject", "version")

    def outcome(self, row: Outcome) -> Outcome:
        return row

    def sentence(self, row: Outcome) -> str:
        missing = [f"its {_MISSING[flag]} is unknown" for flag in row.review if flag in _MISSING]
        missing += [_OTHER.get(flag, flag) for flag in row.review if flag not in _MISSING]
        said = " and ".join(missing)
        return f"{said[:1].upper()}{said[1:]}: it is not billed until a person decides."

    def began(self, row: Outcome) -> datetime:
        return row.settled_at or row.met_at or row.first_time

    def decisions(self, row: Outcome) -> Sequence[Decision]:
        permission = "outcomes.change_outcome"
        missing = [_MISSING[flag] for flag in row.review if flag in _MISSING]
        found = []
        if missing:
            inputs = [
                Asked(name, f"The {name}", "A decimal number, such as 12.50.", required=False) for name in missing
            ]
            consequence = "What its events do not tell is given here; what they tell is never edited."
            act = partial(self._complete, missing)
            found.append(self._decision("complete", "Complete", permission, consequence, act, *inputs))
        consequence = "It becomes void or is reversed, and is never billed. No later event undoes this."
        found.append(self._decision("take_back", "Take back", permission, consequence, self._take_back))
        return found

    def _complete(self, missing: Sequence[str], row: Outcome, given: dict[str, str], by: str, now: datetime) -> Outcome:
        figures = {name: figure_of(given[name]) for name in missing if given[name]}
        if not figures:
            raise ValueError("Give a figure.")
        return decisions.complete(row.pk, **figures, now=now, actor=by, reason=given["reason"])

    def _take_back(self, row: Outcome, given: dict[str, str], by: str, now: datetime) -> Outcome:
        return decisions.take_back(row.pk, now=now, actor=by, reason=given["reason"])

    def became(self, pk: str) -> str:
        row = Outcome.objects.filter(pk=pk).first()
        if row is None:
            return super().became(pk)
        last = row.journal.exclude(actor="").order_by("id").last()
        who = "" if last is None else f", by {last.actor}: {last.reason}"
        quantity = plain(row.quantity)
        return f"It does not wait any more: it is {row.state}{f' with quantity {quantity}' if quantity else ''}{who}"
