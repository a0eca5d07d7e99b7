"""Paths under /v1/."""

from django.urls import path

from invoicing import api

urlpatterns = [
    path("invoices", api.InvoiceList.as_view()),
    path("invoices/preview", api.InvoicePreview.as_view()),
    path("invoices/<str:id>", api.InvoiceDetail.as_view()),
    path("invoices/<str:id>/pdf", api.InvoicePdf.as_view()),
    path("invoices/<str:id>/lines/<str:line_id>/outcomes", api.LineOutcomes.as_view()),
    path("invoices/<str:id>/issue", api.InvoiceIssue.as_view()),
    path("invoices/<str:id>/void", api.InvoiceVoid.as_view()),
    path("invoices/<str:id>/mark_paid", api.InvoiceMarkPaid.as_view()),
]
