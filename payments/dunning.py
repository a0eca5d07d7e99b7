"""Unpaid invoices are seen to: a failed charge is repeated and an overdue invoice reminded of, by a schedule; then it
is given up. It stands still while something on the invoice is disputed or held, and ends by itself once nothing is due.

Of test customers there is none: charges and mails go by the wall clock, and theirs is another one.

Locks: the customer's row and the invoice, then the dunning; whoever holds a dunning takes none of the others.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from access import error_codes
from access.errors import ApiError
from contracts.clocks import is_test
from invoicing import credit
from invoicing.contested import contested
from invoicing.models import Invoice, Status
from invoicing.payment import mark_uncollectible
from invoicing.refusals import locked
from payments import collecting
from payments.domain import dunning as schedule
from payments.domain.dunning import Plan
from payments.models import Dunning, DunningMail, Operation, StripeInvoice

log = structlog.get_logger(__name__)

Kind, Pause, End, Letter = Dunning.Kind, Dunning.Pause, Dunning.End, DunningMail.Letter

AUTOMATIC: Final = (Pause.DISPUTE, Pause.HOLD, Pause.NO_EMAIL, Pause.MAILS_OFF)
"""Pauses that end by themselves when their reason is gone; the others end by a person."""

# A step for which something has to be waited is looked at again after so long.
PUT_OFF: Final = timedelta(hours=1)
# Invoices looked at together.
CHUNK: Final = 500

error_codes.register(
    {
        "dunning_ended": "The dunning of this invoice is over: there is nothing left to pause, resume or stop.",
        "dunning_paused": "The dunning is paused already: resume it first, or stop it.",
        "dunning_not_paused": "The dunning is not paused by a person or a mail: what paused it by itself also ends so.",
    }
)


def plan_of(kind: str) -> Plan:
    """The schedule of a kind, from the settings of today."""
    days = settings.DUNNING_RETRY_DAYS if kind == Kind.CHARGE else settings.DUNNING_REMINDER_DAYS
    return Plan(days, settings.DUNNING_END_DAYS[0])


# --- How it begins ----------------------------------------------------------------------------------------------------


def charge_failed(seen: StripeInvoice, reason: str, now: datetime) -> None:
    """A payment failed (`collecting.FAILURES`): of an invoice that is charged by itself a dunning begins, or its mail
    says that it failed again. On the page where customers pay they see for themselves.
    """
    invoice, plan = seen.invoice, plan_of(Kind.CHARGE)
    if seen.collection_method != collecting.CHARGE or is_test(invoice.customer) or not plan.days:
        return
    started = {"kind": Kind.CHARGE, "started_at": now, "next_at": schedule.first_at(plan, now)}
    Dunning.objects.get_or_create(invoice=invoice, defaults=started)
    dunning = Dunning.objects.select_for_update().get(invoice=invoice)
    if dunning.kind == Kind.CHARGE and dunning.ended_at is None:
        _write(dunning, _letter_of_failure(dunning, seen.last_failure_code), now, code=seen.last_failure_code)


def begin_reminders(now: datetime) -> int:
    """Begin with the invoices that have fallen due; how many. Only where mails are sent."""
    plan = plan_of(Kind.REMINDER)
    if not (settings.DUNNING_MAILS and plan.days):
        return 0
    begun = 0
    for invoice_id in _overdue(plan, now).values_list("pk", flat=True):
        with transaction.atomic():
            invoice = locked(invoice_id)
            if not _overdue(plan, now).filter(pk=invoice_id).exists() or credit.due_minor(invoice) <= 0:
                continue
            assert invoice.due_at is not None
            first = max(schedule.first_at(plan, invoice.due_at), now)
            Dunning.objects.create(invoice=invoice, kind=Kind.REMINDER, started_at=now, next_at=first)
            begun += 1
    return begun


def _overdue(plan: Plan, now: datetime) -> QuerySet[Invoice]:
    """Invoices of which the customer is to be reminded and is not yet. Not those that are charged by themselves, nor
    those that Stripe is still to send: nobody is reminded of what never came. Nor those that were overdue for longer
    than a whole schedule before anybody looked: reminders that are switched on surprise nobody with old debts.
    """
    unsent = Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice=OuterRef("pk"), finished_at=None)
    since = now - timedelta(days=plan.days[-1])
    return (
        Invoice.objects.filter(status=Status.ISSUED, due_at__lt=now, due_at__gte=since, dunning=None)
        .filter(customer__test_clock=None)
        .exclude(Q(customer__email="") | Q(stripe__collection_method=collecting.CHARGE) | Exists(unsent))
        .order_by("pk")
    )


# --- How it goes on ---------------------------------------------------------------------------------------------------


def see_to_unpaid(now: datetime) -> int:
    """Begin, pause, resume and end what is to be, and make the steps that are due; the number of invoices looked after.
    Safe to repeat and to run beside others. What goes wrong with one invoice is logged and costs no other anything.
    """
    done = begin_reminders(now)
    for dunning_id in _to_attend(now):
        try:
            done += attend(dunning_id, now)
        except Exception:
            log.exception("dunning_failed", dunning=dunning_id)
    return done


def _to_attend(now: datetime) -> Iterator[int]:
    """The open ones for which something has changed, or of which a step is due."""
    after = 0
    while chunk := list(_open().filter(pk__gt=after)[:CHUNK]):
        after = chunk[-1].pk
        due = credit.due_by_invoice(one.invoice_id for one in chunk)
        kept = contested(one.invoice_id for one in chunk)
        for one in chunk:
            obstacle = _obstacle(one, kept.get(one.invoice_id))
            changed = obstacle != one.paused_because and one.paused_because in ("", *AUTOMATIC)
            step = not one.paused_because and one.next_at is not None and one.next_at <= now
            if changed or step or _over(one.invoice, due[one.invoice_id]):
                yield one.pk


def _open() -> QuerySet[Dunning]:
    return Dunning.objects.filter(ended_at=None).select_related("invoice__customer").order_by("pk")


@transaction.atomic
def attend(dunning_id: int, now: datetime) -> bool:
    """Do what is to be done about one dunning now, under its invoice's lock; whether there was anything."""
    invoice = locked(Dunning.objects.values_list("invoice_id", flat=True).get(pk=dunning_id))
    dunning = Dunning.objects.select_for_update().get(pk=dunning_id)
    dunning.invoice = invoice
    if dunning.ended_at is not None:
        return False
    if over := _over(invoice, credit.due_minor(invoice)):
        _end(dunning, over, now)
        return True
    obstacle = _obstacle(dunning, contested([invoice.id]).get(invoice.id))
    if obstacle != dunning.paused_because and dunning.paused_because in ("", *AUTOMATIC):
        if dunning.paused_because and not obstacle:
            _go_on(dunning, now)
        else:
            _pause(dunning, obstacle, now)
    elif dunning.paused_because or dunning.next_at is None or dunning.next_at > now:
        return False
    else:
        _make_step(dunning, now)
    return True


def _over(invoice: Invoice, due_minor: int) -> str:
    """Why there is nothing left to press for; empty where there is."""
    ends = {Status.PAID: End.PAID, Status.VOID: End.VOID, Status.UNCOLLECTIBLE: End.UNCOLLECTIBLE}
    if (end := ends.get(Status(invoice.status))) is not None:
        return end
    return "" if due_minor > 0 else End.NOTHING_DUE


def _obstacle(dunning: Dunning, kept_by: str | None) -> str:
    """What it has to wait for; empty where for nothing."""
    if kept_by:
        return kept_by
    if dunning.kind == Kind.REMINDER and not settings.DUNNING_MAILS:
        return Pause.MAILS_OFF
    return Pause.NO_EMAIL if dunning.kind == Kind.REMINDER and not dunning.invoice.customer.email else ""


def _make_step(dunning: Dunning, now: datetime) -> None:
    """The next step, or the end. Nobody is given up who was not told, nor while a charge may still succeed."""
    plan, invoice = plan_of(dunning.kind), dunning.invoice
    unsent = dunning.kind == Kind.REMINDER and dunning.mails.filter(status=DunningMail.Status.WAITING).exists()
    charging = Operation.objects.filter(kind=Operation.Kind.CHARGE, invoice=invoice, finished_at=None).exists()
    if unsent or charging:
        dunning.next_at = now + PUT_OFF
        dunning.save(update_fields=["next_at"])
        return
    if not plan.days:
        # Switched off meanwhile: nobody is given up by that.
        _end(dunning, End.LEFT, now)
        return
    if schedule.is_last(plan, dunning.step):
        give_up = settings.DUNNING_END == "uncollectible"
        _end(dunning, End.GIVEN_UP if give_up else End.LEFT, now)
        if give_up:
            mark_uncollectible(invoice.id, now=now)
        return
    dunning.next_at = schedule.next_at(plan, dunning.step + 1, now)
    dunning.step += 1
    dunning.save(update_fields=["step", "next_at"])
    if dunning.kind == Kind.REMINDER:
        first, last = dunning.step == 1, schedule.is_last(plan, dunning.step)
        letter = Letter.REMINDER_LAST if last else Letter.REMINDER if first else Letter.REMINDER_AGAIN
        _write(dunning, letter, now)
        return
    code = StripeInvoice.objects.values_list("last_failure_code", flat=True).get(pk=invoice.pk)
    if schedule.may_charge_again(code):
        collecting.charge_again(invoice, now=now)
    else:
        _write(dunning, Letter.OTHER_MEANS, now, code=code)


def keeps_from_charging(charge: Operation, now: datetime) -> bool:
    """Whether a further charge that was asked for must not be made after all (`collecting.OBSTACLES`): something was
    disputed or held meanwhile, or a person paused or stopped the dunning that asked for it. Its step is made again.
    """
    assert charge.invoice_id is not None
    found = Dunning.objects.filter(invoice=charge.invoice_id).values_list("pk", flat=True).first()
    if found is None:
        return False
    with transaction.atomic():
        kept_by = contested([locked(charge.invoice_id).id]).get(charge.invoice_id)
        dunning = Dunning.objects.select_for_update().get(pk=found)
        since = dunning.ended_at or dunning.paused_at
        # What a person asked for after that is another matter.
        overtaken = since is not None and charge.created_at <= since
        kept = overtaken or (bool(kept_by) and dunning.ended_at is None)
        if kept and dunning.ended_at is None and (overtaken or since is None):
            dunning.step, dunning.next_at = max(dunning.step - 1, 0), dunning.paused_at or now
            if kept_by and dunning.paused_because in ("", *AUTOMATIC):
                dunning.paused_because, dunning.paused_at = kept_by, dunning.paused_at or now
            dunning.save(update_fields=["step", "next_at", "paused_because", "paused_at"])
        return kept


# --- Mails ------------------------------------------------------------------------------------------------------------


def _letter_of_failure(dunning: Dunning, code: str) -> str:
    if schedule.needs_other_means(code):
        return Letter.OTHER_MEANS
    return Letter.FAILED_LAST if schedule.is_last(plan_of(dunning.kind), dunning.step) else Letter.FAILED


def _write(dunning: Dunning, letter: str, now: datetime, *, code: str = "") -> None:
    """Have this step's mail sent, once; none without an address, or where no mails are sent."""
    if not (settings.DUNNING_MAILS and dunning.invoice.customer.email):
        return
    retry_at = dunning.next_at if letter == Letter.FAILED else None
    said = {"letter": letter, "code": code, "retry_at": retry_at, "created_at": now, "next_attempt_at": now}
    DunningMail.objects.get_or_create(dunning=dunning, step=dunning.step, defaults=said)


def mail_sent(mail: DunningMail, now: datetime) -> None:
    """A mail that left late leaves its reader as much time as any. In the caller's transaction."""
    dunning = Dunning.objects.select_for_update().get(pk=mail.dunning_id)
    late = now - mail.created_at > PUT_OFF
    if late and dunning.kind == Kind.REMINDER and dunning.next_at is not None:
        plan = plan_of(dunning.kind)
        dunning.next_at = max(dunning.next_at, schedule.next_at(plan, min(mail.step, len(plan.days)), now))
        dunning.save(update_fields=["next_at"])


def mail_failed(mail: DunningMail, now: datetime) -> None:
    """Reminders that do not arrive lead to no end: a person has to look. In the caller's transaction."""
    dunning = Dunning.objects.select_for_update().get(pk=mail.dunning_id)
    if dunning.kind == Kind.REMINDER and dunning.ended_at is None and dunning.paused_because in ("", *AUTOMATIC):
        _pause(dunning, Pause.MAIL_FAILED, now)


# --- Pausing and ending -----------------------------------------------------------------------------------------------


def _pause(dunning: Dunning, because: str, now: datetime) -> None:
    dunning.paused_because, dunning.paused_at = because, dunning.paused_at or now
    dunning.save(update_fields=["paused_because", "paused_at"])
    log.info("dunning_paused", invoice=dunning.invoice.number, because=because)


def _go_on(dunning: Dunning, now: datetime) -> None:
    assert dunning.paused_at is not None and dunning.next_at is not None
    dunning.next_at += schedule.paused_for(dunning.paused_at, now)
    dunning.paused_because, dunning.paused_at = "", None
    dunning.save(update_fields=["next_at", "paused_because", "paused_at"])
    log.info("dunning_resumed", invoice=dunning.invoice.number)


def _end(dunning: Dunning, because: str, now: datetime) -> None:
    dunning.next_at, dunning.paused_because, dunning.paused_at = None, "", None
    dunning.ended_because, dunning.ended_at = because, now
    dunning.save(update_fields=["next_at", "paused_because", "paused_at", "ended_because", "ended_at"])
    log.info("dunning_ended", invoice=dunning.invoice.number, because=because)


@transaction.atomic
def pause(dunning_id: int, *, reason: str, by: str, now: datetime) -> Dunning:
    """Let it stand still until a person resumes it. ApiError 409 where a person paused it, or it is over."""
    dunning = _locked(dunning_id)
    if dunning.paused_because in (Pause.PERSON, Pause.MAIL_FAILED):
        raise ApiError(409, "dunning_paused", "It is paused already: resume it first, or stop it.")
    _decided(dunning, reason, by)
    _pause(dunning, Pause.PERSON, now)
    return dunning


@transaction.atomic
def resume(dunning_id: int, *, reason: str, by: str, now: datetime) -> Dunning:
    """Let it go on where it stopped; a mail that could not be delivered is tried again. ApiError 409 where no person
    and no mail paused it.
    """
    dunning = _locked(dunning_id)
    if dunning.paused_because not in (Pause.PERSON, Pause.MAIL_FAILED):
        what = f"it waits because: {dunning.get_paused_because_display()}" if dunning.paused_because else "it goes on"
        raise ApiError(409, "dunning_not_paused", f"No person paused it; {what}.")
    if dunning.paused_because == Pause.MAIL_FAILED:
        dunning.mails.filter(step=dunning.step, status=DunningMail.Status.FAILED).update(
            status=DunningMail.Status.WAITING, attempts=0, next_attempt_at=now, finished_at=None
        )
    _decided(dunning, reason, by)
    _go_on(dunning, now)
    return dunning


@transaction.atomic
def stop(dunning_id: int, *, reason: str, by: str, now: datetime) -> Dunning:
    """End it for good; the invoice stays as it is. ApiError 409 where it is over."""
    dunning = _locked(dunning_id)
    _decided(dunning, reason, by)
    _end(dunning, End.STOPPED, now)
    return dunning


def _locked(dunning_id: int) -> Dunning:
    dunning = Dunning.objects.select_for_update(of=("self",)).select_related("invoice__customer").get(pk=dunning_id)
    if dunning.ended_at is not None:
        message = f"The dunning of invoice {dunning.invoice.number} is over: {dunning.get_ended_because_display()}."
        raise ApiError(409, "dunning_ended", message)
    return dunning


def _decided(dunning: Dunning, reason: str, by: str) -> None:
    dunning.reason, dunning.decided_by = reason, by
    dunning.save(update_fields=["reason", "decided_by"])
