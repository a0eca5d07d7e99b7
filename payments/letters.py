"""A mail about an unpaid invoice, from what is so when it is sent: plain text and the same as simple HTML, in the
customer's language, with the invoice attached.
"""

from collections.abc import Callable
from datetime import datetime
from email.utils import parseaddr
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from invoicing import credit, pdf
from invoicing.localised import date_text, language_of, money_text
from invoicing.models import Invoice
from invoicing.refusals import public_id
from payments.letters_text import reason_text, t
from payments.models import DunningMail
from payments.paying import pay_url

Letter = DunningMail.Letter

PORTAL: list[Callable[[Invoice, datetime], str]] = []
"""Makes a link to where the customer sees its invoices, or an empty text. The first that has one counts."""

CHARGES: Final = (Letter.FAILED, Letter.FAILED_LAST, Letter.OTHER_MEANS)


class Written(NamedTuple):
    """What a mail says: ``facts`` and ``links`` are pairs of a label and a value or an address."""

    locale: str
    subject: str
    greeting: str
    paragraphs: list[str]
    facts: list[tuple[str, str]]
    links: list[tuple[str, str]]
    closing: str
    sender: list[str]
    portal: str

    @property
    def text(self) -> str:
        return self._text(self.links)

    @property
    def kept(self) -> str:
        """The text as it is kept: a link into the portal lets whoever has it in, and is told to nobody but the reader
        of the mail.
        """
        return self._text([(label, "…" if address == self.portal else address) for label, address in self.links])

    def _text(self, addresses: list[tuple[str, str]]) -> str:
        facts, links = (
            "\n".join(t(self.locale, "fact", label=label, value=value) for label, value in pairs)
            for pairs in (self.facts, addresses)
        )
        parts = [self.greeting, *self.paragraphs, facts, links, self.closing, "\n".join(self.sender)]
        return "\n\n".join(part for part in parts if part) + "\n"

    @property
    def html(self) -> str:
        """The same, escaped; no image, no style sheet, nothing that tells anybody that it was read."""
        return render_to_string("payments/letter.html", self._asdict() | {"language": language_of(self.locale)})


def write(mail: DunningMail, *, now: datetime) -> Written:
    """The mail as it is now. Makes a link into the portal, where there is one."""
    invoice = mail.dunning.invoice
    customer = invoice.customer
    locale = customer.locale
    due_day = "" if invoice.due_at is None else date_text(invoice.due_at, locale, invoice.time_zone)
    facts = [
        (t(locale, "fact.invoice"), invoice.number or ""),
        (t(locale, "fact.due"), money_text(credit.due_minor(invoice), invoice.currency, locale)),
        (t(locale, "fact.date"), due_day),
    ]
    portal = next((address for link in PORTAL if (address := link(invoice, now))), "")
    links = [(t(locale, "pay"), pay_url(invoice)), (t(locale, "portal"), portal)]
    seller = settings.SELLER
    return Written(
        locale=locale,
        subject=one_line(t(locale, f"{mail.letter}.subject", number=invoice.number or "")),
        greeting=t(locale, "greeting", name=one_line(customer.name or customer.key)),
        paragraphs=list(_paragraphs(mail, locale, invoice.time_zone, now)),
        facts=[fact for fact in facts if fact[1]],
        links=[link for link in links if link[1]],
        closing=t(locale, "crossed"),
        portal=portal,
        sender=[
            line for line in map(one_line, (seller["name"], *seller["address"].splitlines(), seller["email"])) if line
        ],
    )


def _paragraphs(mail: DunningMail, locale: str, time_zone: str, now: datetime) -> tuple[str, str]:
    if mail.letter not in CHARGES:
        return t(locale, f"{mail.letter}.text"), t(locale, "please_pay")
    failed = t(locale, "failed.text", reason=reason_text(locale, mail.code))
    if mail.letter != Letter.FAILED:
        return failed, t(locale, f"{mail.letter}.next")
    if mail.retry_at is None or mail.retry_at <= now:
        # It left so late that the day it would name is over.
        return failed, t(locale, "please_pay")
    return failed, t(locale, "failed.next", day=date_text(mail.retry_at, locale, time_zone))


def message(mail: DunningMail, written: Written) -> EmailMultiAlternatives:
    """The mail to be sent. Its Message-ID follows from what it is about, so that one sent twice can be known by it."""
    invoice = mail.dunning.invoice
    headers: dict[str, Any] = {
        "Message-ID": message_id(mail),
        # RFC 3834: nobody's automatic answer is wanted.
        "Auto-Submitted": "auto-generated",
        "Content-Language": language_of(written.locale),
    }
    made = EmailMultiAlternatives(
        subject=written.subject,
        body=written.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[invoice.customer.email],
        reply_to=[settings.SELLER["email"]] if settings.SELLER["email"] else None,
        headers=headers,
    )
    made.attach_alternative(written.html, "text/html")
    made.attach(pdf.filename(invoice), pdf.render(invoice), "application/pdf")
    return made


def message_id(mail: DunningMail) -> str:
    """``<inv_….2@example.com>``: the invoice and the step, at the sender's domain."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{public_id(mail.dunning.invoice)}.{mail.step}@{domain}>"


def one_line(text: str) -> str:
    """A text that is to stand in a header or a line: whatever breaks lines is a blank."""
    return " ".join("".join(" " if not character.isprintable() else character for character in text).split())
