"""Take what is due, and decide what is to be said of it: in one transaction, before anything is sent.

Whoever takes a row notes who it is and until when (`next_attempt_at`), and from when on nobody can know whether it
arrived (`uncertain_since`); so a process that dies leaves rows that are due again, with the same to say.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import connection, transaction

from contracts.clocks import is_test
from contracts.models import Customer
from handover import lago, stripe_meters
from handover.models import Handover, Target
from handover.results import Refused
from outcomes.models import Outcome, State
from payments import customers
from payments.client import key_for
from payments.connections import audience_of, connection_of
from payments.errors import Later as NotNow
from payments.errors import Refused as NotAtAll
from payments.models import Connection
from settlement.queries import HOLD, kept_off_invoices

WAITING, DONE, PARKED, DROPPED = (
    Handover.Status.WAITING,
    Handover.Status.DONE,
    Handover.Status.PARKED,
    Handover.Status.DROPPED,
)
USAGE, REVERSAL = Handover.Kind.USAGE, Handover.Kind.REVERSAL

LEASE: Final = timedelta(minutes=5)
"""Longer than any attempt may take, by far."""

LOOK_AGAIN: Final = timedelta(minutes=2)
"""What waits for a person here is looked at again after so long."""

KNOWN_SOON: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Claimed:
    """One attempt to be made. ``again``: an earlier one may have arrived. ``key`` is Stripe's, empty for Lago."""

    id: int
    token: UUID
    customer_id: int
    sent: Mapping[str, Any]
    again: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not to be sent yet."""

    code: str
    reason: str
    pause: timedelta = LOOK_AGAIN


@dataclass(frozen=True, slots=True)
class Drop:
    """Not to be sent at all."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """To be sent; to Stripe to this account, by its key."""

    sent: Mapping[str, Any]
    key: str = ""
    account: str = ""


Decision = Wait | Drop | Refused | Send

NO_TEST_CUSTOMERS: Final = Drop("test_customer", "Test customers are handed over to no Lago.")
NO_TEST_KEY: Final = Drop(
    "test_customer", "There is no test key (HOLDFAST_STRIPE_TEST_KEY), and test customers never go by a live one."
)
CLOCK_AHEAD: Final = Drop(
    "test_customer", "The customer's test clock is ahead, and Stripe takes no meter event of the future."
)
TAKEN_BACK: Final = Drop("reversed", "It was reversed before it was handed over.")
NOTHING_THERE: Final = Drop("reversed", "What it would take back was not handed over.")
IN_REVIEW: Final = Wait("review", "A person must complete it first: its quantity, amount or time to settle is unknown.")
HELD: Final = Wait("hold", "A hold covers it, on itself, its customer or its condition.")
DISPUTED: Final = Wait("dispute", "It is disputed, and that is not decided yet.")
UNCERTAIN: Final = Refused(
    "uncertain",
    "For a day nobody could find out whether it arrived, and sent now it might count twice. Look at the meter's events"
    " of the customer at Stripe: if it is there, dismiss this as handed over; else have it tried again.",
)


USAGE_WAITS: Final = Wait("usage_waits", "What it takes back is not handed over yet.", KNOWN_SOON)
USAGE_PARKED: Final = Wait("usage_parked", "A person has to look at what it takes back first.")
BILLED_BY_HAND: Final = Refused(
    "by_hand", "What it takes back was billed there by hand: take it back there by hand, too; then dismiss this."
)


@dataclass
class _Facts:
    """What the decisions on some rows need, read at once."""

    outcomes: Mapping[UUID, Outcome]
    kept_off: Mapping[UUID, str]
    usage: Mapping[UUID, Handover]
    now: datetime
    connected: "Connections"


class Connections:
    """Stripe's accounts by audience, asked for once and outside any transaction."""

    def __init__(self, audiences: Iterable[str] = Connection.Audience.values) -> None:
        self._found: dict[str, tuple[Connection, str] | Wait] = {}
        for audience in audiences:
            try:
                self._found[audience] = connection_of(audience)
            except (NotNow, NotAtAll) as problem:
                self._found[audience] = Wait(problem.code, str(problem), timedelta(minutes=1))

    def of(self, customer: Customer) -> tuple[Connection, str] | Wait:
        """The account with its key that a customer goes by; why there is none."""
        return self._found[audience_of(customer)]


def claim(target: str, limit: int, now: datetime, connected: Connections) -> tuple[list[Claimed], int]:
    """Take what is due for a target, ``limit`` rows at most; the attempts to make, and how many rows were looked at.
    Rows that another is at are passed over.
    """
    with transaction.atomic():
        due = Handover.objects.select_for_update(skip_locked=True).filter(
            target=target, status=WAITING, next_attempt_at__lte=now
        )
        rows = list(due.order_by("next_attempt_at", "id")[:limit])
        facts = _facts(rows, now, connected)
        sent: list[tuple[Handover, Send]] = []
        others: dict[Wait | Drop | Refused, list[int]] = defaultdict(list)
        for row in rows:
            decision = _decide(row, facts)
            if isinstance(decision, Send):
                sent.append((row, decision))
            else:
                others[decision].append(row.pk)
        for other, ids in others.items():
            _settle(ids, other, now)
        return _begin(sent, now), len(rows)


_BEGIN = """
UPDATE handover_handover h
SET attempts = h.attempts + 1, leased_by = %(token)s, next_attempt_at = %(until)s,
    uncertain_since = coalesce(h.uncertain_since, %(now)s), sent = given.sent::jsonb, account = given.account
FROM unnest(%(ids)s::bigint[], %(sent)s::text[], %(accounts)s::text[]) AS given (id, sent, account)
WHERE h.id = given.id
"""


def _begin(sent: Sequence[tuple[Handover, Send]], now: datetime) -> list[Claimed]:
    """Note that these are being sent from now on, and what."""
    token = uuid4()
    if sent:
        with connection.cursor() as cursor:
            cursor.execute(
                _BEGIN,
                {
                    "token": token,
                    "now": now,
                    "until": now + LEASE,
                    "ids": [row.pk for row, _ in sent],
                    "sent": [json.dumps(decision.sent) for _, decision in sent],
                    "accounts": [decision.account for _, decision in sent],
                },
            )
    return [
        Claimed(row.pk, token, row.customer_id, decision.sent, row.uncertain_since is not None, decision.key)
        for row, decision in sent
    ]


def _settle(ids: Sequence[int], decision: Wait | Drop | Refused, now: datetime) -> None:
    rows = Handover.objects.filter(pk__in=ids)
    said: dict[str, Any] = {"code": decision.code, "reason": decision.reason, "leased_by": None}
    if isinstance(decision, Wait):
        rows.update(next_attempt_at=now + decision.pause, **said)
    elif isinstance(decision, Drop):
        rows.update(status=DROPPED, finished_at=now, **said)
    else:
        rows.update(status=PARKED, **said)


def _facts(rows: Iterable[Handover], now: datetime, connected: Connections) -> _Facts:
    wanted = {row.outcome_id for row in rows}
    usage = Handover.objects.filter(outcome__in=[row.outcome_id for row in rows if row.kind == REVERSAL], kind=USAGE)
    return _Facts(
        Outcome.objects.select_related("customer", "condition").in_bulk(wanted),
        kept_off_invoices(wanted),
        {one.outcome_id: one for one in usage},
        now,
        connected,
    )


# --- What is to become of a row ---------------------------------------------------------------------------------------


def _decide(row: Handover, facts: _Facts) -> Decision:
    outcome = facts.outcomes[row.outcome_id]
    if row.uncertain_since is not None:
        # It may be there already, so it is said again as it was, whatever has become of it since.
        return _again(row, outcome, facts)
    obstacle = _usage_obstacle(outcome, facts) if row.kind == USAGE else _reversal_obstacle(row, facts)
    if obstacle is not None:
        return obstacle
    return _to_lago(row, outcome, facts) if row.target == Target.LAGO_EVENTS else _to_stripe(row, outcome, facts)


def _again(row: Handover, outcome: Outcome, facts: _Facts) -> Decision:
    if row.target == Target.LAGO_EVENTS:
        return Send(row.sent)
    assert row.uncertain_since is not None
    if row.uncertain_since + stripe_meters.IDENTIFIER_LIFE <= facts.now:
        return UNCERTAIN
    connected = facts.connected.of(outcome.customer)
    if isinstance(connected, Wait):
        return connected
    connection, key = connected
    return _other_account(row.account) if row.account != connection.account else Send(row.sent, key, row.account)


def _other_account(account: str) -> Refused:
    return Refused(
        "other_account",
        f"Stripe account {account} was told of it, and another is connected now: see to it there by hand; then dismiss"
        " this.",
    )


def _usage_obstacle(outcome: Outcome, facts: _Facts) -> Wait | Drop | None:
    if outcome.state != State.CONFIRMED:
        return TAKEN_BACK
    if outcome.review or outcome.quantity is None:
        return IN_REVIEW
    why = facts.kept_off.get(outcome.pk)
    if why is None:
        return None
    return HELD if why == HOLD else DISPUTED


def _reversal_obstacle(row: Handover, facts: _Facts) -> Wait | Drop | Refused | None:
    usage = facts.usage[row.outcome_id]
    if usage.status == DONE:
        return None if usage.sent else BILLED_BY_HAND
    if usage.status == PARKED:
        # What was refused never arrived; only who finds it so still may drop it.
        parked = Handover.objects.filter(pk=usage.pk, status=PARKED, uncertain_since=None)
        if parked.update(
            status=DROPPED, code=TAKEN_BACK.code, reason=TAKEN_BACK.reason, finished_at=facts.now, leased_by=None
        ):
            return NOTHING_THERE
    if usage.status == DROPPED:
        return NOTHING_THERE
    return USAGE_WAITS if usage.status == WAITING else USAGE_PARKED


def _to_lago(row: Handover, outcome: Outcome, facts: _Facts) -> Decision:
    if is_test(outcome.customer):
        return NO_TEST_CUSTOMERS
    if row.kind == REVERSAL:
        return Send(lago.reversal_of(facts.usage[row.outcome_id].sent, facts.now))
    return Send(lago.event_of(row, outcome))


def _to_stripe(row: Handover, outcome: Outcome, facts: _Facts) -> Decision:
    if is_test(outcome.customer):
        if not key_for(audience_of(outcome.customer)):
            return NO_TEST_KEY
        assert outcome.settled_at is not None
        if row.kind == USAGE and outcome.settled_at > facts.now + stripe_meters.MOST_AHEAD:
            return CLOCK_AHEAD
    connected = facts.connected.of(outcome.customer)
    if isinstance(connected, Wait):
        return connected
    connection, key = connected
    if row.kind == REVERSAL:
        usage = facts.usage[row.outcome_id]
        if usage.account != connection.account:
            return _other_account(usage.account)
        return Send(stripe_meters.reversal_of(usage.sent, facts.now), key, connection.account)
    problem = stripe_meters.problem_of(outcome, facts.now)
    if problem is not None:
        return problem
    known = customers.stripe_id_of(outcome.customer, connection.account, connection.livemode)
    if known is None:
        customers.want(outcome.customer, now=facts.now)
        return Wait("customer_unknown", "The customer is not known to Stripe yet.", KNOWN_SOON)
    return Send(stripe_meters.event_of(outcome, known), key, connection.account)
