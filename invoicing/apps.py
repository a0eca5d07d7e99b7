from django.apps import AppConfig


class InvoicingConfig(AppConfig):
    name = "invoicing"
    verbose_name = "Invoices"

    def ready(self) -> None:
        from invoicing.queries import outcome_billing
        from outcomes.queries import OUTCOME_DETAILS

        OUTCOME_DETAILS.append(outcome_billing)
