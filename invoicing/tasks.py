"""Wake-up calls for billing. What is due stands in the database: a lost or doubled message costs time, never money."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from invoicing import billing, pdf


@shared_task(name="invoicing.bill_due", ignore_result=True)
def bill_due() -> None:
    """Bill every period that has ended, then have the PDFs written."""
    report = billing.run(now=timezone.now())
    for invoice_id in report.issued:
        render_pdf.delay(str(invoice_id))


@shared_task(
    name="invoicing.render_pdf", ignore_result=True, autoretry_for=(OSError,), retry_backoff=True, max_retries=5
)
def render_pdf(invoice_id: str) -> None:
    """Write one invoice's PDF into the folder of invoices. Safe to repeat: the same invoice gives the same bytes."""
    pdf.store(UUID(invoice_id))
