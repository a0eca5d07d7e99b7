"""How the sync with Stripe stands, for people and for monitoring: per audience the account, what is open, and what is
wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, Case, Count, Exists, Min, OuterRef, Q, QuerySet, Value, When

from payments.client import is_live, key_for
from payments.connections import account_of, mode_of, no_key
from payments.errors import Later, Refused
from payments.models import Connection, Finding, Operation, StripeCredit, StripeEvent, StripeInvoice

Audience = Connection.Audience

# What waits for so long without an attempt has nobody to work it.
IDLE = timedelta(minutes=15)
# From so many attempts on a failure counts as something that is wrong.
MANY = 5


@dataclass(frozen=True)
class Standing:
    """One audience. ``key`` is the mode of its key, or None without one; ``oldest_at`` when the oldest open operation
    was noted; ``last_error`` why the newest one that failed is not done, parked ones first.
    """

    audience: str
    key: str | None
    connection: Connection | None
    waiting: int
    parked: int
    mismatches: int
    oldest_at: datetime | None
    last_error: Operation | None
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """All of it. ``problems`` are those that are of no audience alone."""

    audiences: list[Standing]
    webhook_secrets: int
    events_waiting: int
    events_failed: int
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(one.problems for one in self.audiences)

    @property
    def is_off(self) -> bool:
        """Whether there is neither a key nor a connection."""
        return all(one.key is None and one.connection is None for one in self.audiences)


def report(now: datetime, *, ask: bool = False) -> Report:
    """How everything stands. With ``ask`` Stripe is asked whose the keys are; without, nothing leaves the machine."""
    audiences = [of(audience, now, ask=ask) for audience in Audience.values]
    events = StripeEvent.objects.aggregate(
        waiting=Count("id", filter=Q(status=StripeEvent.Status.WAITING)),
        failed=Count("id", filter=Q(status=StripeEvent.Status.FAILED)),
    )
    secrets = len(settings.STRIPE_WEBHOOK_SECRETS)
    problems = []
    if not secrets and any(one.key and one.connection for one in audiences):
        problems.append(
            "No webhook secret is set: what is paid at Stripe is heard of late. Set HOLDFAST_STRIPE_WEBHOOK_SECRETS."
        )
    if events["failed"]:
        problems.append(f"{_count(events['failed'], 'event')} could not be worked: see the events in the admin.")
    if found := _findings(audiences):
        what = f"{found:,} difference{'' if found == 1 else 's'}"
        problems.append(f"The reconciliation found {what}: manage.py stripe_reconcile --last")
    return Report(audiences, secrets, events["waiting"], events["failed"], problems)


def _findings(audiences: Sequence[Standing]) -> int:
    """How many findings are open of the accounts that are connected."""
    accounts = {(one.connection.account, one.connection.livemode) for one in audiences if one.connection is not None}
    ours = [Q(account=account, livemode=livemode) for account, livemode in accounts]
    return Finding.objects.filter(reduce(or_, ours), mended_at=None).count() if ours else 0


def of_audience(audience: str, customer: str = "customer") -> Q:
    """Rows whose customer is one of the audience's."""
    return Q((f"{customer}__test_clock__isnull", audience == Audience.LIVE))


def of(audience: str, now: datetime, *, ask: bool = False) -> Standing:
    """How one audience stands; see `report`."""
    key = key_for(audience)
    connection = Connection.objects.filter(audience=audience).first()
    open_ones = Operation.objects.filter(of_audience(audience), status__in=("waiting", "parked"))
    figures = open_ones.aggregate(
        waiting=Count("id", filter=Q(status="waiting")),
        parked=Count("id", filter=Q(status="parked")),
        oldest_at=Min("created_at"),
    )
    mismatches = sum(
        model.objects.filter(of_audience(audience, customer)).exclude(mismatch="").count()
        for model, customer in ((StripeInvoice, "invoice__customer"), (StripeCredit, "allocation__invoice__customer"))
    )
    parked_first = Case(When(status="parked", then=Value(True)), default=Value(False), output_field=BooleanField())
    last_error = open_ones.exclude(reason="").order_by(parked_first.desc(), "-id").first()
    standing = Standing(
        audience,
        mode_of(is_live(key)) if key else None,
        connection,
        mismatches=mismatches,
        last_error=last_error,
        **figures,
    )
    standing.problems.extend(_problems(standing, open_ones, key, now, ask=ask))
    return standing


def _problems(standing: Standing, open_ones: QuerySet[Operation], key: str, now: datetime, *, ask: bool) -> list[str]:
    said = []
    connection = standing.connection
    if key and ask:
        said += _of_the_key(key, connection)
    elif connection is not None and not key:
        said.append(
            f"Connected, but nothing is sent. {no_key(standing.audience)} If none is meant to be: manage.py stripe "
            f"disconnect --{standing.audience}"
        )
    if standing.parked:
        said.append(f"{_count(standing.parked, 'operation')} parked: mend what the reason names, then retry or skip.")
    if standing.mismatches:
        said.append(f"{_count(standing.mismatches, 'document')} not the same at Stripe: see what differs of each.")
    failing = open_ones.filter(status="waiting", attempts__gte=MANY).order_by("id").first()
    if failing is not None:
        said.append(f"{failing.public_id} was tried {failing.attempts} times, and is tried again: {failing.reason}")
    if connection is not None and key and _idle(open_ones, now):
        said.append("Operations wait and nobody tries them: are the worker and beat running, or manage.py pump?")
    return said


def _of_the_key(key: str, connection: Connection | None) -> list[str]:
    try:
        account, livemode = account_of(key)
    except (Later, Refused) as problem:
        return [str(problem)]
    if connection is not None and (account, livemode) != (connection.account, connection.livemode):
        return [
            f"The key is of account {account} ({mode_of(livemode)}), and the connection is with another: nothing is "
            f"sent. Set that account's key again, or connect anew: manage.py stripe connect --{connection.audience}"
        ]
    return []


def _idle(open_ones: QuerySet[Operation], now: datetime) -> bool:
    """Whether the first open operation of a customer was never tried, though it was noted long ago."""
    ahead = Operation.objects.filter(
        customer=OuterRef("customer"), status__in=("waiting", "parked"), id__lt=OuterRef("id")
    )
    return (
        open_ones.filter(status="waiting", attempts=0, reason="", created_at__lt=now - IDLE)
        .exclude(Exists(ahead))
        .exists()
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'} {'is' if number == 1 else 'are'}"


def report_json(found: Report) -> dict[str, Any]:
    """As the API shows it. No key and no secret is in it."""
    return {
        "ok": found.ok,
        "problems": found.problems,
        "webhook_secrets": found.webhook_secrets,
        "events": {"waiting": found.events_waiting, "failed": found.events_failed},
        "audiences": [_standing_json(one) for one in found.audiences],
    }


def _standing_json(one: Standing) -> dict[str, Any]:
    connection, error = one.connection, one.last_error
    return {
        "audience": one.audience,
        "key": None if one.key is None else one.key.split()[0],
        "account": None if connection is None else connection.account,
        "mode": None if connection is None else mode_of(connection.livemode).split()[0],
        "connected_at": None if connection is None else connection.connected_at,
        "waiting": one.waiting,
        "parked": one.parked,
        "mismatches": one.mismatches,
        "oldest_at": one.oldest_at,
        "last_error": None
        if error is None
        else {"operation": error.public_id, "code": error.code, "message": error.reason},
        "problems": one.problems,
    }
