from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = "Stripe"

    def ready(self) -> None:
        from payments import credit_notes, mirror

        mirror.CHANGES.append(credit_notes.paid_after_all)
