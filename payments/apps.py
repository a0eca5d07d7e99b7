from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = "Stripe"

    def ready(self) -> None:
        from invoicing import taxes
        from invoicing.queries import CREDIT_NOTE_DETAILS, INVOICE_DETAILS
        from payments import advice, checks, mirror, tax  # noqa: F401 -- checks register themselves
        from payments.collecting import FAILURES, OBSTACLES
        from payments.dunning import charge_failed, keeps_from_charging
        from payments.paying import payments_json
        from payments.queries import credit_note_details, invoice_details

        INVOICE_DETAILS.extend([invoice_details, payments_json])
        CREDIT_NOTE_DETAILS.append(credit_note_details)
        FAILURES.append(charge_failed)
        OBSTACLES.append(keeps_from_charging)
        mirror.CHANGES.append(advice.paid_after_all)
        taxes.UNKNOWN.append(tax.unknown)
