from django.apps import AppConfig


class HandoverConfig(AppConfig):
    name = "handover"
    verbose_name = "Handing over"

    def ready(self) -> None:
        from handover.queries import outcome_waits
        from outcomes.explaining import OUTCOME_WAITS

        OUTCOME_WAITS.append(outcome_waits)
