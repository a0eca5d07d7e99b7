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
        from contracts.pins import PIN_GUARDS
        from contracts.windows import WINDOW_GUARDS
        from outcomes.backdating import evaluated_within, met_within
        from outcomes.event_types import seen_types
        from outcomes.news import INBOX, JOURNAL
        from webhooks.feeds import FEEDS

        SEEN_EVENTS.append(seen_types)
        WINDOW_GUARDS.append(met_within)
        PIN_GUARDS.append(evaluated_within)
        FEEDS.extend([JOURNAL, INBOX])
        post_migrate.connect(_first_months, sender=self)


def _first_months(using: str, **_: Any) -> None:
    """A new installation has this month's partition before its first event."""
    from outcomes.months import ensure_months

    if using == "default" and "outcomes_event" in connections[using].introspection.table_names():
        ensure_months(timezone.now())
