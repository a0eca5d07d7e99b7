"""Where no webhook comes: read how the invoices that are open at Stripe stand, of each at least every half an hour.

Each row notes when its invoice was last seen, so a run that is cut off leaves the rest to the next one.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import stripe
import structlog
from django.db.models import Min, Q

from access.times import going_on
from payments import looking, mirror
from payments.client import ask, client_of, plain
from payments.errors import Later, Refused, meaning
from payments.models import Connection, Operation, StripeInvoice

log = structlog.get_logger(__name__)

UNSEEN_FOR: Final = timedelta(minutes=15)
"""An open invoice is looked at when it was not seen for so long; the task comes every five minutes."""

GIVEN_UP_UNSEEN_FOR: Final = timedelta(days=1)
"""The same of one that is uncollectible: it may still be paid, and nobody waits for it."""

RUN_SECONDS = 240.0
AT_A_TIME = 1000
# Of more than so many it is tried whether Stripe's lists, a hundred to a page, take fewer requests.
BY_LIST_FROM = 5
PAGE = 100
# Our clock and Stripe's may differ by so much.
SKEW = timedelta(hours=1)

Clock = Callable[[], datetime]


def look_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Look at what was not seen for long until nothing is due or ``seconds`` are over; how many were looked at.

    Safe to repeat and to run beside others. What cannot be read now is passed over: the next run comes to it.
    """
    started = time.monotonic()
    clock = going_on(now)

    looked = 0
    passed_over: set[Any] = set()
    while time.monotonic() - started < seconds:
        due = list(_due(now).exclude(pk__in=passed_over)[:AT_A_TIME])
        if not due:
            break
        for connection, client, rows in _by_client(due):
            looked += _look(connection, client, rows, clock, until=started + seconds)
        # What could not be read, for want of a key say.
        passed_over |= {row.pk for row in due} - _seen_since(due, now)
    return looked


def _due(now: datetime) -> Any:
    """The longest unseen first."""
    watched = Q(status__in=("draft", "open"), seen_at__lte=now - UNSEEN_FOR) | Q(
        status="uncollectible", seen_at__lte=now - GIVEN_UP_UNSEEN_FOR
    )
    return StripeInvoice.objects.filter(watched).select_related("invoice__customer").order_by("seen_at", "pk")


def _seen_since(rows: Iterable[StripeInvoice], now: datetime) -> set[Any]:
    pks = [row.pk for row in rows]
    return set(StripeInvoice.objects.filter(pk__in=pks, seen_at__gte=now).values_list("pk", flat=True))


def _by_client(rows: Sequence[StripeInvoice]) -> Iterable[tuple[Connection, Any, list[StripeInvoice]]]:
    """The rows of each key that we have, with its connection and client."""

    def account(row: StripeInvoice) -> tuple[str, bool, bool]:
        return row.account, row.livemode, row.invoice.customer.test_clock_id is not None

    for _, group in groupby(sorted(rows, key=account), key=account):
        of_one = list(group)
        try:
            connection, key = looking.client_for(of_one[0])
        except (Later, Refused) as problem:
            log.warning("stripe_not_looked_at", invoices=len(of_one), reason=str(problem))
            continue
        yield connection, client_of(key), of_one


def _look(connection: Connection, client: Any, rows: Sequence[StripeInvoice], clock: Clock, *, until: float) -> int:
    """How many were looked at. One that cannot be is logged, and costs the others nothing."""
    left = {row.stripe_id: row for row in rows}
    looked = 0
    if len(left) >= BY_LIST_FROM:
        try:
            looked += _by_list(connection, client, left, clock, until=until)
        except (Later, Refused, stripe.StripeError) as problem:
            log.warning("stripe_list_not_read", reason=str(problem))
    for row in list(left.values()):
        if time.monotonic() >= until:
            break
        try:
            looking.look(row, connection, client, clock)
            looked += 1
        except (Later, Refused, stripe.StripeError) as problem:
            told = meaning(problem) if isinstance(problem, stripe.StripeError) else problem
            log.warning("stripe_invoice_not_read", stripe_id=row.stripe_id, reason=str(told))
    return looked


def _by_list(connection: Connection, client: Any, left: dict[str, StripeInvoice], clock: Clock, *, until: float) -> int:
    """Note what Stripe's lists say of those still ``left`` and take them out of it; how many. A list is given up when
    the rest takes fewer requests one by one. What is in no list changed its status, and is read by its id.
    """
    looked = 0
    made = Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice__in=[row.pk for row in left.values()])
    first = made.aggregate(Min("created_at"))["created_at__min"]
    since = {} if first is None else {"created": {"gte": int((first - SKEW).timestamp())}}
    for status in sorted({row.status for row in left.values()}):
        pages, after = 0, ""
        while left and pages < len(left) and time.monotonic() < until:
            asked = {"status": status, "limit": PAGE, **since} | ({"starting_after": after} if after else {})
            page = ask(lambda asked=asked: client.v1.invoices.list(asked))  # type: ignore[misc]
            pages += 1
            for theirs in map(plain, page.data):
                row = left.pop(theirs["id"], None)
                if row is not None:
                    seen = mirror.note(row.invoice_id, connection, theirs, now=clock())
                    if seen.attempt_count > row.attempt_count:
                        looking.note_failures(seen, client, clock)
                    looked += 1
            if not page.data or not page.has_more:
                break
            after = page.data[-1].id
    return looked
