from django.apps import AppConfig


class BillingProjectConfig(AppConfig):
    name = "billing_project"
    verbose_name = "Holdfast"

    def ready(self) -> None:
        # Here and not in the package's __init__, which the pure core would drag in with every import.
        from billing_project import celery  # noqa: F401
