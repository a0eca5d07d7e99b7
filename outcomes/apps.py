from django.apps import AppConfig


class OutcomesConfig(AppConfig):
    name = "outcomes"
    verbose_name = "Events and outcomes"

    def ready(self) -> None:
        from contracts.condition_text import SEEN_EVENTS
        from outcomes.event_types import seen_types

        SEEN_EVENTS.append(seen_types)
