from django.apps import AppConfig


class InvoicingConfig(AppConfig):
    name = "invoicing"
    verbose_name = "Invoices"

    def ready(self) -> None:
        from contracts.amendments import PREVIEWS
        from invoicing.clocks import BILLING
        from invoicing.preview import before_and_after
        from invoicing.queries import outcome_billing, outcome_waits
        from outcomes.explaining import OUTCOME_WAITS
        from outcomes.queries import OUTCOME_DETAILS
        from settlement.clocks import PLAYS

        PREVIEWS.append(before_and_after)
        OUTCOME_DETAILS.append(outcome_billing)
        OUTCOME_WAITS.append(outcome_waits)
        PLAYS.append(BILLING)
