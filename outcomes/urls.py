from django.urls import path

from outcomes.api import decisions, events, explain, imports, inbox, late_evidence, outcomes, trial

urlpatterns = [
    path("conditions/try", trial.ConditionTry.as_view()),
    path("events", events.EventList.as_view()),
    path("events/batch", events.EventBatch.as_view()),
    path("events/<path:event_id>", events.EventDetail.as_view()),
    path("inbox", inbox.InboxList.as_view()),
    path("inbox/summary", inbox.InboxSummary.as_view()),
    path("inbox/retry", inbox.InboxRetry.as_view()),
    path("inbox/dismiss", inbox.InboxDismiss.as_view()),
    path("inbox/<str:item_id>", inbox.InboxDetail.as_view()),
    path("inbox/<str:item_id>/retry", inbox.InboxItemRetry.as_view()),
    path("inbox/<str:item_id>/dismiss", inbox.InboxItemDismiss.as_view()),
    path("imports", imports.ImportList.as_view()),
    path("imports/<str:import_id>", imports.ImportDetail.as_view()),
    path("imports/<str:import_id>/close", imports.ImportClose.as_view()),
    path("outcomes", outcomes.OutcomeList.as_view()),
    path("outcomes/<str:outcome_id>", outcomes.OutcomeDetail.as_view()),
    path("outcomes/<str:outcome_id>/events", outcomes.OutcomeEvents.as_view()),
    path("outcomes/<str:outcome_id>/explain", explain.OutcomeExplain.as_view()),
    path("outcomes/<str:outcome_id>/reverse", decisions.OutcomeReverse.as_view()),
    path("outcomes/<str:outcome_id>/complete", decisions.OutcomeComplete.as_view()),
    path("late_evidence", late_evidence.LateEvidenceList.as_view()),
    path("late_evidence/<str:late_id>", late_evidence.LateEvidenceDetail.as_view()),
    path("late_evidence/<str:late_id>/accept", late_evidence.LateEvidenceAccept.as_view()),
    path("late_evidence/<str:late_id>/ignore", late_evidence.LateEvidenceIgnore.as_view()),
]
