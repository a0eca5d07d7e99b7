from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils import timezone


class OutcomesConfig(AppConfig):
    name = "outcomes"
    verbose_name = "Events and outcomes"

    def ready(self) -> None:
        from contracts.condition_text import SEEN_EVENTS
        from outcomes.event_types import seen_types

        SEEN_EVENTS.append(seen_types)
        post_migrate.connect(_first_months, sender=self)


def _first_months(using: str, **_: Any) -> None:
    """A new installation has this month's partition before its first event."""
    from outcomes.months import ensure_months

    if using == "default" and "outcomes_event" in connections[using].introspection.table_names():
        ensure_months(timezone.now())
