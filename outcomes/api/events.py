"""``/v1/events``: the way in. Answers 202 once everything is durable."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes, ids
from access.errors import ApiError, Detail, InvalidInput
from access.fields import TextField
from access.serializers import QuerySerializer
from access.views import ApiView
from outcomes.api.inbox import InboxItemSerializer
from outcomes.api.outcomes import OutcomeSerializer
from outcomes.api.parsers import BatchParser, EventParser, LinesParser, body_of, detail_of, unreadable
from outcomes.intake import ACCEPTED, REJECTED, ImportClosed, Result, accept
from outcomes.models import InboxItem
from outcomes.queries import IMPORT_PREFIX, event_fate, event_json, find_event, inbox_json
from outcomes.wire import Incoming, Malformed, Refused, is_json, read_batch, read_event, read_events, read_lines

error_codes.register(
    {
        "id_conflict": "An event with this id and other content was accepted before; send the new fact under a new id.",
        "too_old": "The event's `time` is too long ago: send history within an import.",
        "in_future": "The event's `time` is ahead of our clock: check the sender's, and send the event again.",
        "too_many_events": "A batch holds 5,000 events at most: send several.",
        "import_closed": "The import that the header `Import` names is not open: open one by POST /v1/imports.",
    }
)

IMPORT = OpenApiParameter("Import", str, OpenApiParameter.HEADER, description="The open import the events belong to.")


_FIELDS = {"": ("id", "type", "customer", "time", "data")}
# Which field is wrong where the reason says it.
_PLACES = {"unknown_customer": "customer", "too_old": "time", "in_future": "time", "id_conflict": "id"}


class EventSerializer(serializers.Serializer):
    """One event as it is sent."""

    refuses_unknown = True

    id = serializers.CharField(max_length=255, help_text="Yours; unique per customer for ever.")
    type = serializers.CharField(max_length=255, help_text="Such as `ticket.closed`.")
    customer = serializers.CharField(max_length=255, help_text="The customer's key.")
    time = serializers.DateTimeField(required=False, help_text="When it happened, RFC 3339 with a zone; left out: now.")

    def get_fields(self) -> dict[str, Any]:
        # `data` is a name of the serializer's own, so it cannot be declared as an attribute.
        return {
            **super().get_fields(),
            "data": serializers.DictField(required=False, help_text="What conditions read."),
        }


class ResultSerializer(serializers.Serializer):
    id = serializers.CharField()
    status = serializers.ChoiceField(["accepted", "duplicate"])


class BatchSerializer(serializers.Serializer):
    refuses_unknown = True

    events = EventSerializer(many=True)


class BatchItemSerializer(serializers.Serializer):
    index = serializers.IntegerField()
    id = serializers.CharField()
    status = serializers.ChoiceField(["duplicate", "rejected"])
    code = serializers.CharField(required=False)
    message = serializers.CharField(required=False)


class BatchResultSerializer(serializers.Serializer):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = BatchItemSerializer(many=True, help_text="What was not newly accepted.")


class EventFateSerializer(serializers.Serializer):
    """An event and what became of it; of one that was not accepted only what can be told."""

    id = serializers.CharField()
    customer = serializers.CharField()
    status = serializers.ChoiceField(["pending", "evaluated", "inbox"])
    inbox = InboxItemSerializer(allow_null=True)
    outcomes = OutcomeSerializer(many=True)
    type = serializers.CharField(required=False)
    time = serializers.DateTimeField(required=False)
    received_at = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, Any]:
        # `data` and `source` are names of the serializer's own, so they cannot be declared as attributes.
        return {
            **super().get_fields(),
            "data": serializers.DictField(required=False),
            "source": serializers.CharField(required=False),
        }


class EventQuery(QuerySerializer):
    """An event's id is unique within its customer."""

    customer = TextField()


class EventList(ApiView):
    """Events carry an identity of their own, and a repetition is answered `duplicate`: no Idempotency-Key is needed."""

    scopes = {"POST": "events:write"}
    idempotency = "off"
    parser_classes = [EventParser]

    @extend_schema(
        summary="Send one event",
        request=EventSerializer,
        responses={202: ResultSerializer},
        parameters=[IMPORT],
        tags=["events"],
    )
    def post(self, request: Request) -> Response:
        """Durable before the answer. A rejected event lies in the inbox, and its id stays free."""
        body = body_of(request)
        if not is_json(body):
            raise unreadable(body)
        [result] = _accept(request, [read_event(body)])
        if result.status == REJECTED:
            if result.code == "invalid":
                raise InvalidInput([detail_of(result.message, _FIELDS)])
            status = 409 if result.code == "id_conflict" else 422
            detail = Detail(_PLACES.get(result.code, ""), result.message, result.code)
            raise ApiError(status, result.code, result.message, details=[detail])
        return Response({"id": result.id, "status": result.status}, status=202)


class EventBatch(ApiView):
    scopes = {"POST": "events:write"}
    idempotency = "off"
    parser_classes = [BatchParser, LinesParser]

    @extend_schema(
        summary="Send many events",
        request={"application/json": BatchSerializer, "application/x-ndjson": EventSerializer},
        responses={202: BatchResultSerializer},
        parameters=[IMPORT],
        tags=["events"],
    )
    def post(self, request: Request) -> Response:
        """Up to 5,000 events and 8 MiB, as `{"events": [...]}` or one event a line. One bad event never costs its
        neighbours; `results` lists what was not newly accepted.
        """
        body = body_of(request)
        lines = (request.content_type or "").startswith(LinesParser.media_type)
        try:
            raws = read_lines(body) if lines else read_batch(body)
        except Malformed as error:
            if error.code == "malformed_json":
                raise unreadable(body) from None
            status = 413 if error.code == "too_many_events" else 422
            raise ApiError(status, error.code, error.message) from None
        results = _accept(request, read_events(raws))
        notable = [(index, result) for index, result in enumerate(results) if result.status != ACCEPTED]
        rejected = sum(result.status == REJECTED for _, result in notable)
        return Response(
            {
                "accepted": len(results) - len(notable),
                "duplicates": len(notable) - rejected,
                "rejected": rejected,
                "results": [_item(index, result) for index, result in notable],
            },
            status=202,
        )


class EventDetail(ApiView):
    query = {"GET": EventQuery}

    @extend_schema(summary="What became of an event", responses=EventFateSerializer, tags=["events"])
    def get(self, request: Request, event_id: str) -> Response:
        """The event with its fate: `pending`, `evaluated` (with the outcomes it went into) or `inbox` (with the
        reason).
        """
        customer = self.params["customer"]
        event = find_event(customer, event_id)
        if event is not None:
            return Response(event_json(event) | event_fate(event))
        item = InboxItem.objects.filter(customer_key=customer, event_id=event_id).order_by("-id").first()
        if item is None:
            raise ApiError(404, "not_found", f"Customer {customer[:80]!r} has no event {event_id[:80]!r}.")
        return Response(
            {"id": event_id, "customer": customer, "status": "inbox", "inbox": inbox_json(item), "outcomes": []}
        )


def _accept(request: Request, items: list[Incoming | Refused]) -> list[Result]:
    try:
        return accept(items, now=timezone.now(), import_id=_import_id(request))
    except ImportClosed:
        raise ApiError(
            409, "import_closed", "The import that the header `Import` names is not open; open one by POST /v1/imports."
        ) from None


def _import_id(request: Request) -> UUID | None:
    header = request.headers.get("Import")
    if header is None:
        return None
    try:
        return ids.decode(IMPORT_PREFIX, header.strip())
    except ValueError as error:
        raise ApiError(400, "invalid_parameter", f"Header Import: {error}.") from None


def _item(index: int, result: Result) -> dict:
    item = {"index": index, "id": result.id, "status": result.status}
    if result.status == REJECTED:
        item |= {"code": result.code, "message": result.message}
    return item
