"""Compare everything that is synced with an account at Stripe (`comparison`), and keep what differs: what is new is
told once, what is no longer found is mended.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import stripe
import structlog
from django.db import transaction

from invoicing.refusals import public_id
from payments import mirror
from payments.client import client_of
from payments.comparing import Found
from payments.comparison import Comparison
from payments.connections import connection_of
from payments.errors import Later, Refused, meaning
from payments.models import Connection, Finding, Reconciliation, StripeInvoice
from webhooks.publish import publish

log = structlog.get_logger(__name__)

CUT_OFF_AFTER: Final = timedelta(minutes=15)
"""A run that noted nothing for so long is dead, and another may begin."""

Clock = Callable[[], datetime]


def reconcile(clock: Clock) -> list[Reconciliation]:
    """Compare each account that is connected; one run of each. Where a run is under way, none is begun.

    ``clock`` tells the time, which goes on meanwhile.
    """
    made = []
    for connection in Connection.objects.order_by("account", "livemode", "audience").distinct("account", "livemode"):
        run = _begin(connection, clock())
        if run is not None:
            _work(run, connection, clock)
            made.append(run)
    return made


@transaction.atomic
def _begin(connection: Connection, now: datetime) -> Reconciliation | None:
    # One at a time: whoever comes second waits here, and then sees the first one's row.
    Connection.objects.select_for_update().get(pk=connection.pk)
    account = {"account": connection.account, "livemode": connection.livemode}
    under_way = Reconciliation.objects.filter(ended_at=None, touched_at__gt=now - CUT_OFF_AFTER, **account)
    if under_way.exists():
        log.info("stripe_reconciliation_under_way", account=connection.account)
        return None
    Reconciliation.objects.filter(ended_at=None, **account).update(ended_at=now, failure="It was cut off.")
    return Reconciliation.objects.create(begun_at=now, touched_at=now, **account)


def _work(run: Reconciliation, connection: Connection, clock: Clock) -> None:
    try:
        _, key = connection_of(connection.audience)
        compared = Comparison(run, connection, client_of(key), clock)
        compared.all()
    except (Later, Refused, stripe.StripeError) as problem:
        told = meaning(problem) if isinstance(problem, stripe.StripeError) else problem
        run.failure = str(told)
        log.warning("stripe_reconciliation_failed", account=connection.account, reason=run.failure)
        run.ended_at = run.touched_at = clock()
        run.save()
        return
    _record(run, compared, clock())


# --- What is kept of it -----------------------------------------------------------------------------------------------


@transaction.atomic
def _record(run: Reconciliation, compared: Comparison, now: datetime) -> None:
    """Keep what was found: what is new is told, what is no longer found is mended."""
    account = compared.account
    open_ones = {(one.kind, one.about): one for one in Finding.objects.filter(mended_at=None, **account)}
    still: set[tuple[str, str]] = set()
    for found in compared.found:
        key = (str(found.kind), found.about)
        if key in still:
            continue
        still.add(key)
        known = open_ones.get(key)
        if known is None:
            _keep(found, run, now)
            _tell(found, now)
            run.findings_new += 1
        else:
            known.what, known.way_out, known.last = found.what, found.way_out, run
            known.save(update_fields=["what", "way_out", "last"])
    for found in compared.adopted:
        _keep(found, run, now, mended_at=now)
    mended = [one.pk for key, one in open_ones.items() if key not in still]
    Finding.objects.filter(pk__in=mended).update(mended_at=now, last=run)
    _clear(compared)
    run.findings_open, run.findings_mended, run.adopted = len(still), len(mended), len(compared.adopted)
    run.ended_at = run.touched_at = now
    run.save()
    log.info(
        "stripe_reconciled",
        account=run.account,
        compared=run.compared,
        new=run.findings_new,
        open=run.findings_open,
        mended=run.findings_mended,
    )


def _keep(found: Found, run: Reconciliation, now: datetime, mended_at: datetime | None = None) -> None:
    Finding.objects.create(
        account=run.account,
        livemode=run.livemode,
        kind=found.kind,
        about=found.about,
        customer=found.customer,
        document=found.document,
        number=found.number,
        stripe_id=found.stripe_id,
        what=found.what,
        way_out=found.way_out,
        first=run,
        last=run,
        found_at=now,
        mended_at=mended_at,
    )


def _tell(found: Found, now: datetime) -> None:
    """Queue the message, unless a webhook had the same invoice told of before."""
    told_before = StripeInvoice.objects.filter(stripe_id=found.stripe_id).exclude(mismatch="")
    if found.type == "invoice" and found.stripe_id and told_before.exists():
        return
    publish(
        mirror.MISMATCH,
        found.document or found.stripe_id,
        lambda: {
            "type": found.type,
            "id": found.document or None,
            "number": found.number or None,
            "customer": found.customer.key if found.customer is not None else None,
            "stripe_id": found.stripe_id or None,
            "reason": f"{found.what} {found.way_out}",
        },
        now=now,
    )


def _clear(compared: Comparison) -> None:
    """What differed of an invoice, and is not found any more, is mended."""
    differing = {found.document for found in compared.found}
    rows = StripeInvoice.objects.select_for_update(of=("self",)).select_related("invoice")
    for seen in rows.filter(**compared.account).exclude(mismatch=""):
        customer_id = seen.invoice.customer_id
        mended = public_id(seen.invoice) not in differing and customer_id not in compared.deleted
        if mended and not compared.busy([customer_id]):
            mirror.agrees(seen)
