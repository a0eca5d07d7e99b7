"""Paths under /v1/."""

from django.urls import path

from invoicing import api, credit_note_api, files_api, one_off_api
from invoicing.evidence import api as evidence

urlpatterns = [
    path("invoices", one_off_api.Invoices.as_view()),
    path("invoices/preview", api.InvoicePreview.as_view()),
    path("invoices/<str:id>", api.InvoiceDetail.as_view()),
    path("invoices/<str:id>/pdf", files_api.InvoicePdf.as_view()),
    path("invoices/<str:id>/csv", files_api.InvoiceCsv.as_view()),
    path("invoices/<str:id>/evidence", evidence.InvoiceEvidence.as_view()),
    path("invoices/<str:id>/lines/<str:line_id>/outcomes", api.LineOutcomes.as_view()),
    path("invoices/<str:id>/discard", one_off_api.InvoiceDiscard.as_view()),
    path("invoices/<str:id>/issue", api.InvoiceIssue.as_view()),
    path("invoices/<str:id>/void", api.InvoiceVoid.as_view()),
    path("invoices/<str:id>/mark_paid", api.InvoiceMarkPaid.as_view()),
    path("invoices/<str:id>/mark_uncollectible", api.InvoiceMarkUncollectible.as_view()),
    path("credit_notes", credit_note_api.CreditNoteList.as_view()),
    path("credit_notes/<str:id>", credit_note_api.CreditNoteDetail.as_view()),
    path("credit_notes/<str:id>/pdf", files_api.CreditNotePdf.as_view()),
    path("credit_notes/<str:id>/csv", files_api.CreditNoteCsv.as_view()),
    path("credit_notes/<str:id>/evidence", evidence.CreditNoteEvidence.as_view()),
    path("credit_notes/<str:id>/lines/<str:line_id>/outcomes", credit_note_api.CreditNoteOutcomes.as_view()),
    path("credit_notes/<str:id>/issue", credit_note_api.CreditNoteIssue.as_view()),
    path("credit_notes/<str:id>/refund", credit_note_api.CreditNoteRefund.as_view()),
    path("credit_notes/<str:id>/discard", credit_note_api.CreditNoteDiscard.as_view()),
    path("evidence/verifier", evidence.Verifier.as_view()),
]
