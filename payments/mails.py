"""Send the mails that are written down. Any number of these may run at once.

A mail is reserved (a lease), sent, and noted as sent. A process that dies in between leaves one that is sent again when
the lease is over, under the same Message-ID: it may come twice, and is never lost. A server that cannot be reached puts
nothing off: all mails wait, and the next run tries again.
"""

import smtplib
import time
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import get_connection
from django.core.validators import validate_email
from django.db import transaction

from access.times import going_on
from contracts.clocks import is_test
from invoicing import credit
from invoicing.contested import contested
from invoicing.models import Status
from payments import dunning, letters
from payments.models import DunningMail

log = structlog.get_logger(__name__)

WAITING, SENT, FAILED, DROPPED = (
    DunningMail.Status.WAITING,
    DunningMail.Status.SENT,
    DunningMail.Status.FAILED,
    DunningMail.Status.DROPPED,
)

# Longer than a conversation with the mail server may take, whose every answer has `EMAIL_TIMEOUT` seconds.
LEASE: Final = timedelta(minutes=10)
# Further mails are begun for so long.
RUN_SECONDS: Final = 60.0
# Pauses after the first, second … failed attempt; then the mail has failed.
PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1440, 1440))
# While its dunning stands still a mail is looked at again after so long.
LOOK_AGAIN: Final = timedelta(hours=1)


def send_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Send what is due; the number of mails sent. Without a mail server nothing is."""
    started = time.monotonic()
    clock = going_on(now)

    if not settings.DUNNING_MAILS or not _due(now).exists():
        return 0
    connection = get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as error:
        log.warning("mail_server_unreachable", error=str(error))
        return 0
    sent = 0
    try:
        while time.monotonic() - started < seconds and (mail := _reserve(clock())) is not None:
            try:
                sent += _send(mail, connection, clock)
            except smtplib.SMTPServerDisconnected as error:
                _put_off(mail, f"The mail server hung up: {error}", clock())
                break
    finally:
        connection.close()
    return sent


def _due(now: datetime) -> Any:
    return DunningMail.objects.filter(status=WAITING, next_attempt_at__lte=now).order_by("next_attempt_at", "id")


@transaction.atomic
def _reserve(now: datetime) -> DunningMail | None:
    """The next mail that is due, which is nobody else's for the length of the lease."""
    mail: DunningMail | None = _due(now).select_for_update(skip_locked=True, of=("self",)).first()
    if mail is not None:
        mail.next_attempt_at = now + LEASE
        mail.save(update_fields=["next_attempt_at"])
    return mail


def _send(mail: DunningMail, connection: Any, clock: Any) -> bool:
    """Send one, if it is still called for; whether it was sent. Raises SMTPServerDisconnected."""
    mail = DunningMail.objects.select_related("dunning__invoice__customer").get(pk=mail.pk)
    if (why := _no_longer(mail)) is not None:
        _finish(mail, DROPPED, why, clock())
        return False
    kept_by = contested([mail.dunning.invoice_id]).get(mail.dunning.invoice_id, mail.dunning.paused_because)
    if kept_by:
        mail.reason = dunning.Pause(kept_by).label
        mail.next_attempt_at = clock() + LOOK_AGAIN
        mail.save(update_fields=["reason", "next_attempt_at"])
        return False
    try:
        validate_email(mail.dunning.invoice.customer.email)
    except ValidationError:
        _finish(mail, FAILED, f"{mail.dunning.invoice.customer.email!r} is no address.", clock())
        return False
    try:
        written = letters.write(mail, now=clock())
        message = letters.message(mail, written)
        message.connection = connection
        message.send()
    except smtplib.SMTPServerDisconnected:
        raise
    except (smtplib.SMTPException, OSError) as error:
        if _is_final(error):
            _finish(mail, FAILED, f"The mail server refused it: {_said(error)}", clock())
        else:
            _put_off(mail, f"The mail server: {_said(error)}", clock())
        return False
    except Exception as error:
        log.exception("mail_failed", mail=mail.pk)
        _put_off(mail, f"{type(error).__name__}: {error}", clock())
        return False
    mail.sent_to, mail.message_id = mail.dunning.invoice.customer.email, letters.message_id(mail)
    mail.subject, mail.body = written.subject, written.kept
    _finish(mail, SENT, "", clock())
    return True


def _no_longer(mail: DunningMail) -> str | None:
    """Why the mail is no longer called for; None where it is."""
    invoice = mail.dunning.invoice
    if is_test(invoice.customer):
        return "Test customers get no mails."
    if mail.dunning.ended_at is not None:
        return mail.dunning.get_ended_because_display()
    if invoice.status != Status.ISSUED or credit.due_minor(invoice) <= 0:
        return "Nothing is due on the invoice any more."
    return None


@transaction.atomic
def _finish(mail: DunningMail, status: str, reason: str, now: datetime) -> None:
    mail.status, mail.reason, mail.finished_at = status, reason, now
    mail.attempts += status != DROPPED
    mail.save()
    if status == SENT:
        dunning.mail_sent(mail, now)
    elif status == FAILED:
        dunning.mail_failed(mail, now)
        log.warning("mail_failed", invoice=mail.dunning.invoice.number, reason=reason)


def _put_off(mail: DunningMail, reason: str, now: datetime) -> None:
    """Try again later, or, after many attempts, not."""
    if mail.attempts >= len(PAUSES):
        mail = DunningMail.objects.select_related("dunning__invoice__customer").get(pk=mail.pk)
        _finish(mail, FAILED, f"After {mail.attempts + 1} attempts. {reason}", now)
        return
    mail.next_attempt_at = now + PAUSES[mail.attempts]
    mail.attempts += 1
    mail.reason = reason
    mail.save(update_fields=["next_attempt_at", "attempts", "reason"])


def _is_final(error: Exception) -> bool:
    """Whether this mail will never be taken: its receiver or its content is refused for good. A refused sender or
    login is the configuration's fault, and mended.
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(500 <= code < 600 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and 500 <= error.smtp_code < 600


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = [f"{code} {answer!s}" for code, answer in error.recipients.values()]
        return "; ".join(answers)[:500]
    return str(error)[:500]
