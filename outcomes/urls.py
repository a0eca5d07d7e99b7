from django.urls import path

from outcomes.api import events, inbox, outcomes, trial

urlpatterns = [
    path("conditions/try", trial.ConditionTry.as_view()),
    path("events", events.EventList.as_view()),
    path("events/batch", events.EventBatch.as_view()),
    path("events/<path:event_id>", events.EventDetail.as_view()),
    path("inbox", inbox.InboxList.as_view()),
    path("inbox/retry", inbox.InboxRetry.as_view()),
    path("imports", inbox.ImportList.as_view()),
    path("imports/<str:import_id>/close", inbox.ImportClose.as_view()),
    path("outcomes", outcomes.OutcomeList.as_view()),
    path("outcomes/<str:outcome_id>", outcomes.OutcomeDetail.as_view()),
    path("outcomes/<str:outcome_id>/events", outcomes.OutcomeEvents.as_view()),
]
