from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = "Stripe"

    def ready(self) -> None:
        from invoicing.queries import CREDIT_NOTE_DETAILS, INVOICE_DETAILS
        from payments import checks  # noqa: F401 -- registers
        from payments.queries import credit_note_details, invoice_details

        INVOICE_DETAILS.append(invoice_details)
        CREDIT_NOTE_DETAILS.append(credit_note_details)
