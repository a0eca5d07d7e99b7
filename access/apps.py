"""Registers what access adds to Django: logging, system checks, OpenAPI extensions."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "access"
    verbose_name = "API access"

    def ready(self) -> None:
        from access import checks, logs, openapi  # noqa: F401 - checks and openapi register themselves

        logs.configure_structlog()
