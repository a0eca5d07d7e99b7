"""The pages under /portal/, and paths under /v1/."""

from django.urls import path

from portal import api, views

app_name = "portal"

api_patterns = [
    # `path`, since the seller's own keys may contain a slash.
    path("customers/<path:key>/portal_links", api.LinkList.as_view()),
    path("customers/<path:key>/portal_links/<str:link_id>/revoke", api.LinkRevoke.as_view()),
]

urlpatterns = [
    path("enter", views.enter, name="enter"),
    path("leave", views.Leave.as_view(), name="leave"),
    path("", views.Overview.as_view(), name="overview"),
    path("invoices/", views.Documents.as_view(), name="documents"),
    path("invoices/<str:id>/", views.InvoicePage.as_view(), name="invoice"),
    path("invoices/<str:id>/pdf", views.InvoicePdf.as_view(), name="invoice_pdf"),
    path("invoices/<str:id>/csv", views.InvoiceCsv.as_view(), name="invoice_csv"),
    path("invoices/<str:id>/evidence", views.InvoiceEvidence.as_view(), name="invoice_evidence"),
    path("credit_notes/<str:id>/", views.CreditNotePage.as_view(), name="credit_note"),
    path("credit_notes/<str:id>/pdf", views.CreditNotePdf.as_view(), name="credit_note_pdf"),
    path("credit_notes/<str:id>/csv", views.CreditNoteCsv.as_view(), name="credit_note_csv"),
    path("credit_notes/<str:id>/evidence", views.CreditNoteEvidence.as_view(), name="credit_note_evidence"),
    path("verifier", views.Verifier.as_view(), name="verifier"),
    path("lines/<str:id>/", views.LinePage.as_view(), name="line"),
    path("lines/<str:id>/dispute", views.LineDispute.as_view(), name="line_dispute"),
    path("outcomes/", views.Outcomes.as_view(), name="outcomes"),
    path("outcomes/<str:id>/", views.OutcomePage.as_view(), name="outcome"),
    path("outcomes/<str:id>/dispute", views.OutcomeDispute.as_view(), name="outcome_dispute"),
    path("<path:rest>", views.Nowhere.as_view(), name="nowhere"),
]
