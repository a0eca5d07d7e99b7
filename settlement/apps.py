from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"
    verbose_name = "Settlement"

    def ready(self) -> None:
        from outcomes.explaining import OUTCOME_WAITS
        from outcomes.queries import OUTCOME_DETAILS
        from settlement.news import DISPUTES
        from settlement.queries import outcome_obstacles
        from settlement.waits import outcome_waits
        from webhooks.feeds import FEEDS

        OUTCOME_WAITS.append(outcome_waits)
        OUTCOME_DETAILS.append(outcome_obstacles)
        FEEDS.append(DISPUTES)
