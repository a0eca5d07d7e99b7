"""What an outcome's timeline in the admin shows of money: where it is billed, and where it was taken back."""

from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoicing import texts
from invoicing.models import CreditNote, Invoice, InvoiceLine
from invoicing.queries import REASONS, billed_on, taken_back_on, unbilled_reasons
from outcomes.models import Outcome
from outcomes.timeline import OUTCOME_MARKS, Life, Mark


def documents(outcome: Outcome, user: Any) -> Life:
    """For who sees invoices: the line that bills it and the one that takes it back; or why it is on none."""
    life = Life()
    if not user.has_perm("invoicing.view_invoice"):
        return life
    billed, back = billed_on([outcome.pk]).get(outcome.pk), taken_back_on([outcome.pk]).get(outcome.pk)
    if billed is not None:
        life.marks.append(_mark(billed, "Billed"))
    elif (reason := unbilled_reasons([outcome.pk]).get(outcome.pk)) is not None:
        life.marks.append(Mark(timezone.now(), "On no invoice", REASONS[reason]))
    if back is not None:
        life.marks.append(_mark(back, "Given back"))
    return life


def _mark(line: InvoiceLine, verb: str) -> Mark:
    document = line.document
    at = document.issued_at or document.refreshed_at
    title = verb if document.issued_at else f"{verb}, on a draft"
    sign = 1 if line.credit_note_id is None else -1
    amount = texts.amount(sign * line.amount_minor, document.currency)
    count = sign * line.outcome_count
    told = format_html(
        "{}, line {}: {}, {} for {} outcome{}", _link(document), line.position, line.title, amount, f"{count:,}",
        "" if count == 1 else "s",
    )  # fmt: skip
    return Mark(at, title, told)


def _link(document: Invoice | CreditNote) -> SafeString:
    options = document._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[document.pk])
    name = f"{options.verbose_name} {document}"
    return format_html('<a class="text-primary-600 underline dark:text-primary-400" href="{}">{}</a>', address, name)


OUTCOME_MARKS.append(documents)
