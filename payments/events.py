"""Work the webhooks that Stripe sent: find what each is about, and read from Stripe how that stands now.

An event is no more than the hint that something changed: neither its order nor its age matters, and a second one about
the same thing finds what the first left. Any number of workers may run at once; one that dies leaves events that are
due again when its lease is over.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

import stripe
import structlog
from django.conf import settings
from django.db import connections, transaction
from django.db.models import F

from access.times import going_on
from payments import looking, mirror, tax
from payments.client import ask, client_of, plain
from payments.connections import audience_of, connection_of
from payments.credit_notes import refund_seen
from payments.errors import Later, Refused, meaning
from payments.models import Operation, StripeCredit, StripeCustomer, StripeEvent, StripeInvoice

log = structlog.get_logger(__name__)

WAITING, DONE, IGNORED, FAILED = (
    StripeEvent.Status.WAITING,
    StripeEvent.Status.DONE,
    StripeEvent.Status.IGNORED,
    StripeEvent.Status.FAILED,
)
OWED = (StripeInvoice.Status.DRAFT, StripeInvoice.Status.OPEN, StripeInvoice.Status.UNCOLLECTIBLE)

# At the same time, of one run.
PER_RUN = 4
# Events about one thing that are worked by one look at it.
TOGETHER = 100
# New ones are begun for so long; those under way are waited for.
RUN_SECONDS = 20.0
# Longer than working one may take, by far.
LEASE = timedelta(minutes=5)
# Pauses after the first, second … failed attempt; the last one again and again.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 6 * 3600))
GIVEN_UP_AFTER: Final = timedelta(days=3)
"""What the event told of is then seen by those who look without one (`watching`, `reconciliation`)."""

KEPT: Final = timedelta(days=30)
"""So long an event is kept after it was worked. Stripe sends an event again for three days by itself, and by hand for
thirty at most; and one that came later still would find that nothing is to be done.
"""

Clock = Callable[[], datetime]


def work_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Work until nothing is due or ``seconds`` are over; the number of events finished. ``now`` goes on meanwhile.

    Safe to repeat and to run beside others.
    """
    started = time.monotonic()
    clock = going_on(now)

    def run() -> int:
        done = 0
        try:
            while time.monotonic() - started < seconds and (events := reserve(clock())):
                done += work(events, clock)
            return done
        finally:
            connections.close_all()

    if not StripeEvent.objects.filter(status=WAITING, next_attempt_at__lte=now).exists():
        return 0
    with ThreadPoolExecutor(PER_RUN, thread_name_prefix="stripe-events") as pool:
        return sum(future.result() for future in [pool.submit(run) for _ in range(PER_RUN)])


@transaction.atomic
def reserve(now: datetime) -> list[StripeEvent]:
    """The next event that is due, with the others that are about the same thing, leased to the caller."""
    due = StripeEvent.objects.filter(status=WAITING, next_attempt_at__lte=now)
    due = due.select_for_update(skip_locked=True).order_by("next_attempt_at", "id")
    first = due.first()
    if first is None:
        return []
    events = [first]
    if first.object_id:
        same = due.filter(account=first.account, object_id=first.object_id).exclude(pk=first.pk)
        events += same[: TOGETHER - 1]
    StripeEvent.objects.filter(pk__in=[event.pk for event in events]).update(
        attempts=F("attempts") + 1, next_attempt_at=now + LEASE
    )
    for event in events:
        event.attempts += 1
    return events


def work(events: Sequence[StripeEvent], clock: Clock) -> int:
    """Make one attempt at reserved events about one thing; how many are finished by it."""
    try:
        ours = _look(events[0], {event.type for event in events}, clock)
    except Later as problem:
        return _put_off(events, problem, clock())
    except Refused as problem:
        return _put_off(events, problem, clock())
    except stripe.StripeError as error:
        return _put_off(events, meaning(error), clock())
    except Exception as error:
        # Ours to mend; what it is about is looked at without it meanwhile.
        log.exception("stripe_event_failed", event_id=events[0].event_id, type=events[0].type)
        return _put_off(events, Refused(f"{type(error).__name__}: {error}", code="error"), clock())
    return _finish(events, DONE if ours else IGNORED, "", clock())


def _finish(events: Sequence[StripeEvent], status: str, reason: str, now: datetime) -> int:
    # An attempt that was overtaken by another one, when its lease was over, changes nothing any more.
    waiting = StripeEvent.objects.filter(pk__in=[event.pk for event in events], status=WAITING)
    return waiting.update(status=status, reason=reason, finished_at=now)


def _put_off(events: Sequence[StripeEvent], problem: Later | Refused, now: datetime) -> int:
    done = 0
    for event in events:
        pause = PAUSES[min(event.attempts, len(PAUSES)) - 1]
        if isinstance(problem, Later) and problem.after is not None:
            pause = max(pause, problem.after)
        if event.received_at + GIVEN_UP_AFTER <= now:
            log.warning("stripe_event_given_up", event_id=event.event_id, type=event.type, reason=str(problem))
            done += _finish([event], FAILED, str(problem), now)
        else:
            waiting = StripeEvent.objects.filter(pk=event.pk, status=WAITING)
            waiting.update(next_attempt_at=now + pause, reason=str(problem))
    return done


@transaction.atomic
def retry(event_id: int, *, now: datetime) -> StripeEvent:
    """Work an event again at once, whatever came of it. Safe: it only looks."""
    event = StripeEvent.objects.select_for_update().get(pk=event_id)
    event.status, event.attempts, event.next_attempt_at = WAITING, 0, now
    event.received_at, event.finished_at = max(event.received_at, now - GIVEN_UP_AFTER / 2), None
    event.save(update_fields=["status", "attempts", "next_attempt_at", "received_at", "finished_at"])
    return event


def sweep(now: datetime) -> int:
    """Forget events that were finished long ago; how many. Safe at any time."""
    return StripeEvent.objects.filter(finished_at__lte=now - KEPT).delete()[0]


# --- What it is about -------------------------------------------------------------------------------------------------


def _look(event: StripeEvent, types: set[str], clock: Clock) -> bool:
    """Read, from Stripe, what events of these types about one object are about, and note it; False where it is nothing
    of ours.
    """
    about = event.payload
    kind = about.get("object")
    if kind == "invoice":
        return _invoice(event.object_id, about, types, clock)
    if kind in ("invoice_payment", "credit_note") and about.get("invoice"):
        return _invoice(about["invoice"], {}, types, clock)
    if kind == "refund":
        return _refund(event.object_id, clock)
    if kind == "charge" and any(".refund" in one for one in types):
        return _charge(about, clock)
    if kind == "customer" and "customer.deleted" in types:
        return _customer(event.object_id, clock)
    if kind == "customer" and "customer.updated" in types:
        return _taxes(event.object_id, clock)
    if kind == "tax_id" and about.get("customer"):
        return _taxes(about["customer"], clock)
    return False


def _seen(stripe_id: str) -> StripeInvoice | None:
    return StripeInvoice.objects.select_related("invoice__customer").filter(stripe_id=stripe_id).first()


def _invoice(stripe_id: str, about: dict[str, Any], types: set[str], clock: Clock) -> bool:
    seen = _seen(stripe_id)
    if seen is None:
        return _named(stripe_id, about, clock)
    connection, key = looking.client_for(seen)
    client = client_of(key)
    seen = looking.look(seen, connection, client, clock)
    if "invoice.payment_failed" in types:
        looking.note_failures(seen, client, clock)
    return True


def _named(stripe_id: str, about: dict[str, Any], clock: Clock) -> bool:
    """One that is not known here and bears the id of an invoice of ours. While that is being made so there, whoever
    does it reads it to the end; else it is one too many, or was made before a backup that was restored here.
    """
    ours = looking.invoice_bearing(about.get("metadata") or {})
    if ours is None:
        return False
    if Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice=ours, finished_at=None).exists():
        return True
    _, key = connection_of(audience_of(ours.customer))
    theirs = mirror.read(client_of(key), stripe_id)
    if theirs is None or theirs["status"] == StripeInvoice.Status.VOID:
        return True
    if looking.invoice_bearing(theirs.get("metadata") or {}) != ours:
        return False
    known = StripeInvoice.objects.filter(invoice=ours).first()
    if known is not None and known.stripe_id != stripe_id and known.status != StripeInvoice.Status.DELETED:
        looking.differs(
            known,
            f"Stripe has another invoice for it, {stripe_id}, beside {known.stripe_id}. Void that one there, or delete "
            "it if it is a draft.",
            now=clock(),
        )
        return True
    # Whether it is as ours, and can be taken for it, is compared by the reconciliation.
    raise Later(f"{stripe_id} bears the id of invoice {ours.number}, and is not known here yet.", code="not_known_yet")


def _refund(stripe_id: str, clock: Clock) -> bool:
    credit = StripeCredit.objects.select_related("allocation__invoice__customer").filter(refund_id=stripe_id).first()
    if credit is None:
        return False
    _, key = connection_of(audience_of(credit.allocation.invoice.customer))
    theirs = ask(lambda: client_of(key).v1.refunds.retrieve(stripe_id))
    return refund_seen(theirs, now=clock())


def _charge(about: dict[str, Any], clock: Clock) -> bool:
    """Money went back of a charge: ours, where it paid an invoice of ours."""
    known = StripeCustomer.objects.select_related("customer").filter(stripe_id=about.get("customer") or "").first()
    if known is None or not about.get("payment_intent"):
        return False
    _, key = connection_of(audience_of(known.customer))
    client = client_of(key)
    stripe_id = looking.invoice_of_intent(about["payment_intent"], client)
    seen = _seen(stripe_id) if stripe_id else None
    if seen is None:
        return False
    looking.note_refunds(seen, client, clock)
    return True


def _customer(stripe_id: str, clock: Clock) -> bool:
    """A customer was deleted: what they still owe there cannot be paid there any more."""
    known = StripeCustomer.objects.select_related("customer").filter(stripe_id=stripe_id).first()
    if known is None:
        return False
    connection, key = connection_of(audience_of(known.customer))
    client = client_of(key)
    if plain(ask(lambda: client.v1.customers.retrieve(stripe_id))).get("deleted"):
        owed = StripeInvoice.objects.select_related("invoice__customer").filter(
            invoice__customer=known.customer,
            account=known.account,
            livemode=known.livemode,
            status__in=OWED,
        )
        for seen in owed:
            # It may have been paid before.
            if looking.look(seen, connection, client, clock).status not in OWED:
                continue
            looking.differs(seen, customer_deleted(stripe_id), now=clock())
    return True


def _taxes(stripe_id: str, clock: Clock) -> bool:
    """Where a customer is, or a tax id, may have changed: where taxes are left to Stripe, it is asked again."""
    known = StripeCustomer.objects.filter(stripe_id=stripe_id).values_list("customer", flat=True)
    return bool(settings.STRIPE_TAX and tax.look_again(known, now=clock()))


def customer_deleted(stripe_id: str) -> str:
    """What to say of an invoice whose customer is no longer there."""
    return (
        f"Customer {stripe_id} was deleted at Stripe: the invoice cannot be paid there any more. Have it paid in "
        "another way and mark it as paid here, or void it and bill it anew."
    )
