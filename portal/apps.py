from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Customer portal"

    def ready(self) -> None:
        from payments.letters import PORTAL
        from portal import checks  # noqa: F401  (registers its own)
        from portal.links import for_mail

        PORTAL.append(for_mail)
