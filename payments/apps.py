from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = "Stripe"

    def ready(self) -> None:
        from invoicing.queries import INVOICE_DETAILS
        from payments.collecting import FAILURES, OBSTACLES
        from payments.dunning import charge_failed, keeps_from_charging
        from payments.paying import payments_json

        INVOICE_DETAILS.append(payments_json)
        FAILURES.append(charge_failed)
        OBSTACLES.append(keeps_from_charging)
