"""``/v1/inbox``: events that could not be used."""

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes
from access.authentication import caller
from access.errors import ApiError
from access.fields import ChoiceTextField, FlagField, PublicIdField, Rfc3339Field, TextField, WholeNumberField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody, QuerySerializer, StrictSerializer
from access.times import format_rfc3339
from access.views import ApiView
from outcomes import inbox
from outcomes.models import InboxItem
from outcomes.queries import IMPORT_PREFIX, inbox_items, inbox_json

error_codes.register(
    {"not_waiting": "The inbox item was resolved or dismissed before: there is nothing left to do with it."}
)


class InboxQuery(QuerySerializer):
    """The filters of the list and of the summary; ``received_to`` is exclusive."""

    reason = ChoiceTextField(InboxItem.Reason.choices, required=False)
    status = ChoiceTextField(InboxItem.Status.choices, required=False, default=InboxItem.Status.WAITING)
    customer = TextField(required=False)
    type = TextField(required=False)
    event_id = TextField(required=False)
    received_from = Rfc3339Field(required=False)
    received_to = Rfc3339Field(required=False)

    def get_fields(self) -> dict[str, Any]:
        # `import` is a word of Python's own.
        return {**super().get_fields(), "import": PublicIdField(IMPORT_PREFIX, required=False)}


class InboxItemSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    customer = serializers.CharField(allow_null=True)
    event_id = serializers.CharField(allow_null=True)
    type = serializers.CharField(allow_null=True)
    reason = serializers.ChoiceField(InboxItem.Reason.choices)
    message = serializers.CharField()
    status = serializers.ChoiceField(InboxItem.Status.choices)
    attempts = serializers.IntegerField()
    received_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_null=True, help_text="Why it was dismissed.")
    handled_by = serializers.CharField(allow_null=True, help_text="Who retried or dismissed it last.")
    body = serializers.CharField(help_text="The event as sent.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "import": serializers.CharField(allow_null=True)}


class ReasonCountSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(InboxItem.Reason.choices)
    count = serializers.IntegerField()
    oldest_received_at = serializers.DateTimeField()


class InboxSummarySerializer(serializers.Serializer):
    status = serializers.ChoiceField(InboxItem.Status.choices)
    count = serializers.IntegerField()
    oldest_received_at = serializers.DateTimeField(allow_null=True)
    by_reason = ReasonCountSerializer(many=True)


class Selection(StrictSerializer):
    """Which of the waiting items: `ids`, or those of a `reason`, of an `import` or of both, or `all`."""

    ids = serializers.ListField(child=WholeNumberField(), required=False, allow_empty=False, max_length=1000)
    reason = ChoiceTextField(InboxItem.Reason.choices, required=False)
    all = FlagField(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "import": PublicIdField(IMPORT_PREFIX, required=False)}

    def validate(self, attrs: dict) -> dict:
        ways = {"ids": "ids" in attrs, "all": attrs.get("all", False), "some": "reason" in attrs or "import" in attrs}
        if sum(ways.values()) != 1 or attrs.get("all") is False:
            raise serializers.ValidationError(
                "Say which items, in one way: `ids`, `reason` or `import` or both, or `all`: true."
            )
        return attrs


class RetryRequest(Selection):
    after = WholeNumberField(
        required=False, default=0, min_value=0, help_text="Go on behind this item: `after` of the answer before."
    )


class InboxDismissRequest(Selection):
    note = TextField(max_length=1000, help_text="Why nothing will come of them.")


class InboxNoteRequest(StrictSerializer):
    note = TextField(max_length=1000, help_text="Why nothing will come of it.")


class RetryAnswer(serializers.Serializer):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    remaining = serializers.IntegerField(help_text="How many were left for the next request.")
    after = serializers.IntegerField(allow_null=True, help_text="What the next request sends as `after`.")


class DismissAnswer(serializers.Serializer):
    dismissed = serializers.IntegerField()
    remaining = serializers.IntegerField(help_text="How many were left for the next request.")


class InboxList(ApiView):
    query = {"GET": InboxQuery}
    paginated = True

    @extend_schema(summary="List the inbox", responses=list_of(InboxItemSerializer), tags=["events"])
    def get(self, request: Request) -> Response:
        """Events that could not be used, each with its reason, newest first; those that wait, unless `status` says
        otherwise.
        """
        return paginate(request, inbox_items(**self.params), order=("-id",), serialize=inbox_json)


class InboxSummary(ApiView):
    query = {"GET": InboxQuery}

    @extend_schema(summary="Count the inbox", responses=InboxSummarySerializer, tags=["events"])
    def get(self, request: Request) -> Response:
        """How many items there are by reason, and since when; takes the filters of the list. Counting those that wait
        costs what waits; counting resolved or dismissed ones reads them all.
        """
        reasons = inbox.summary(inbox_items(**self.params))
        return Response(
            {
                "status": self.params["status"],
                "count": sum(entry.count for entry in reasons),
                "oldest_received_at": min((entry.oldest_received_at for entry in reasons), default=None),
                "by_reason": [asdict(entry) for entry in reasons],
            }
        )


class InboxDetail(ApiView):
    @extend_schema(summary="Read an inbox item", responses=InboxItemSerializer, tags=["events"])
    def get(self, request: Request, item_id: str) -> Response:
        return Response(inbox_json(_find(item_id)))


class InboxRetry(ApiView):
    @extend_schema(summary="Retry from the inbox", request=RetryRequest, responses=RetryAnswer, tags=["events"])
    def post(self, request: Request) -> Response:
        """Try waiting items again, once their cause is mended: up to 5,000 a request, the oldest first. While
        `remaining` is not 0, send the request again with the `after` that was answered.
        """
        wanted = _read(RetryRequest, request)
        done = inbox.retry_some(
            _selected(wanted), now=timezone.now(), by=caller(request), after=wanted["after"], limit=inbox.AT_ONCE
        )
        return Response(
            {
                "accepted": done.tally["accepted"],
                "duplicates": done.tally["duplicate"],
                "rejected": done.tally["rejected"],
                "remaining": done.remaining,
                "after": done.after,
            }
        )


class InboxDismiss(ApiView):
    @extend_schema(
        summary="Dismiss from the inbox", request=InboxDismissRequest, responses=DismissAnswer, tags=["events"]
    )
    def post(self, request: Request) -> Response:
        """Say that nothing will come of waiting items, and why: up to 5,000 a request. They stay readable. While
        `remaining` is not 0, send the request again.
        """
        wanted = _read(InboxDismissRequest, request)
        items = _selected(wanted)
        count = inbox.dismiss(items, now=timezone.now(), note=wanted["note"], by=caller(request), limit=inbox.AT_ONCE)
        return Response({"dismissed": count, "remaining": items.count()})


class InboxItemRetry(ApiView):
    @extend_schema(
        summary="Retry one inbox item", request=NoBody, responses={200: InboxItemSerializer}, tags=["events"]
    )
    def post(self, request: Request, item_id: str) -> Response:
        """`status` of the answer tells whether it was taken; if not, `reason` and `message` say why."""
        _read(NoBody, request)
        item = _find(item_id)
        done = inbox.retry_some(inbox.waiting(ids=[item.id]), now=timezone.now(), by=caller(request))
        return _handled(item, done.tally.total())


class InboxItemDismiss(ApiView):
    @extend_schema(
        summary="Dismiss one inbox item",
        request=InboxNoteRequest,
        responses={200: InboxItemSerializer},
        tags=["events"],
    )
    def post(self, request: Request, item_id: str) -> Response:
        """Say that nothing will come of it, and why; it stays readable."""
        note = _read(InboxNoteRequest, request)["note"]
        item = _find(item_id)
        return _handled(
            item, inbox.dismiss(inbox.waiting(ids=[item.id]), now=timezone.now(), note=note, by=caller(request))
        )


def _read(kind: type[StrictSerializer], request: Request) -> dict[str, Any]:
    body = kind(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _selected(wanted: dict[str, Any]) -> QuerySet[InboxItem]:
    return inbox.waiting(ids=wanted.get("ids"), reason=wanted.get("reason"), import_id=wanted.get("import"))


def _find(item_id: str) -> InboxItem:
    known = item_id.isascii() and item_id.isdigit() and int(item_id[:20]) < 2**63
    item = InboxItem.objects.filter(id=int(item_id)).first() if known else None
    if item is None:
        raise ApiError(404, "not_found", f"There is no inbox item {item_id[:80]!r}.")
    return item


def _handled(item: InboxItem, count: int) -> Response:
    """The item as it stands now, unless nothing was done with it since it did not wait any more."""
    item.refresh_from_db()
    if not count:
        since = f" since {format_rfc3339(item.resolved_at)}" if item.resolved_at else ""
        raise ApiError(409, "not_waiting", f"The inbox item {item.id} is {item.status}{since}.")
    return Response(inbox_json(item))
