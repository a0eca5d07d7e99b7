"""Registers what access adds to Django: logging, system checks, OpenAPI extensions, the groups of the roles."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from access import roles


class AccessConfig(AppConfig):
    name = "access"
    verbose_name = "API access"

    def ready(self) -> None:
        from access import checks, logs, openapi  # noqa: F401 - checks and openapi register themselves

        logs.configure_structlog()
        # After Django's own, which makes the permissions: its app is ready before this one.
        post_migrate.connect(roles.sync, dispatch_uid="access.roles")
