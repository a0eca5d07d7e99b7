"""``/v1/events``: the way in. Answers 202 once everything is durable."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes, ids
from access.errors import ApiError, Detail, InvalidInput
from access.fields import TextField
from access.parsers import refuse
from access.serializers import QuerySerializer
from access.strictjson import StrictJSONError
from access.views import ApiView
from outcomes.api.inbox import InboxItemSerializer
from outcomes.api.late_evidence import LateEvidenceSerializer
from outcomes.api.outcomes import OutcomeSerializer
from outcomes.api.parsers import (
    BatchParser,
    CloudBatchParser,
    CloudEventParser,
    EventParser,
    LinesParser,
    body_of,
    detail_of,
)
from outcomes.cloudevents import HEADER_PREFIX, read_cloud_event, source_of, structured
from outcomes.intake import ACCEPTED, REJECTED, ImportClosed, Result, accept
from outcomes.models import EventIdentity, InboxItem
from outcomes.queries import IMPORT_PREFIX, archived_json, event_fate, event_json, find_event, inbox_json
from outcomes.together import accept_one
from outcomes.wire import (
    EVENT_FIELDS,
    Incoming,
    Refused,
    problem_of,
    read_array,
    read_batch,
    read_event,
    read_events,
    read_lines,
)

error_codes.register(
    {
        "id_conflict": "An event with this id and other content was accepted before; send the new fact under a new id.",
        "too_old": "The event's `time` is too long ago: send history within an import.",
        "in_future": "The event's `time` is ahead of our clock: check the sender's, and send the event again.",
        "event_too_large": "An event has at most 256 KiB: send less in its `data`.",
        "too_many_events": "A batch holds 5,000 events at most: send several.",
        "import_closed": "The import that the header `Import` names is not open: open one by POST /v1/imports.",
    }
)

IMPORT = OpenApiParameter("Import", str, OpenApiParameter.HEADER, description="The open import the events belong to.")

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


class CloudEventSerializer(serializers.Serializer):
    """One event as a CloudEvent 1.0; extension attributes are refused, but for those of
    `HOLDFAST_CLOUDEVENTS_IGNORED`.
    """

    specversion = serializers.ChoiceField(["1.0"])
    id = serializers.CharField(max_length=255, help_text="Yours; unique per customer and source for ever.")
    type = serializers.CharField(max_length=255)
    subject = serializers.CharField(max_length=255, help_text="The customer's key.")
    time = serializers.DateTimeField(required=False, help_text="When it happened, RFC 3339 with a zone; left out: now.")
    datacontenttype = serializers.CharField(required=False, help_text="JSON, where it is given.")

    def get_fields(self) -> dict[str, Any]:
        # Names of the serializer's own, as above.
        return {
            **super().get_fields(),
            "source": serializers.CharField(max_length=255, help_text="Who sends it; part of the identity."),
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
    status = serializers.ChoiceField(["pending", "evaluated", "inbox", "archived"])
    archived_month = serializers.CharField(required=False, help_text="The month of receipt to restore, as 2026-03.")
    inbox = InboxItemSerializer(allow_null=True)
    outcomes = OutcomeSerializer(many=True)
    late_evidence = LateEvidenceSerializer(many=True, help_text="Conditions that leave it out of their facts.")
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
    """An event's id is unique within its customer and, of CloudEvents, its source."""

    customer = TextField()

    def get_fields(self) -> dict[str, Any]:
        # `source` is a name of the serializer's own, so it cannot be declared as an attribute.
        return {**super().get_fields(), "source": TextField(required=False, default="", help_text="Of a CloudEvent.")}


_CLOUD_REQUESTS = {
    CloudEventParser.media_type: CloudEventSerializer,
    CloudBatchParser.media_type: CloudEventSerializer(many=True),
}


class EventList(ApiView):
    """Events carry an identity of their own, and a repetition is answered `duplicate`: no Idempotency-Key is needed."""

    scopes = {"POST": "events:write"}
    idempotency = "off"
    parser_classes = [EventParser, CloudEventParser, CloudBatchParser]

    @extend_schema(
        summary="Send one event",
        request={EventParser.media_type: EventSerializer, **_CLOUD_REQUESTS},
        responses={
            202: PolymorphicProxySerializer(
                component_name="EventAnswer",
                serializers=[ResultSerializer, BatchResultSerializer],
                resource_type_field_name=None,
            )
        },
        parameters=[IMPORT],
        tags=["events"],
    )
    def post(self, request: Request) -> Response:
        """Durable before the answer. What is refused with 400 or 413 was no event, and nothing is kept of it; what is
        refused otherwise lies in the inbox, and its id stays free. Also taken: a CloudEvent, in structured or binary
        mode (`ce-*` headers), and a list of them, which is answered like a batch.
        """
        if _media_type(request) == CloudBatchParser.media_type:
            return _many(request, _cloud_batch(request))
        return _one(request, _cloud_event(request) or read_event(body_of(request)))


class EventDetail(ApiView):
    query = {"GET": EventQuery}

    @extend_schema(summary="What became of an event", responses=EventFateSerializer, tags=["events"])
    def get(self, request: Request, event_id: str) -> Response:
        """The event with its fate: `pending`, `evaluated` (with the outcomes it went into), `inbox` (with the reason),
        or `archived` (its content lies in a file).
        """
        customer, source = self.params["customer"], self.params["source"]
        event = find_event(customer, event_id, source)
        if isinstance(event, EventIdentity):
            return Response(archived_json(event, customer))
        if event is not None:
            return Response(event_json(event) | event_fate(event))
        items = InboxItem.objects.filter(customer_key=customer, event_id=event_id).order_by("-id")
        item = next((item for item in items.iterator() if source_of(item.body) == source), None)
        if item is None:
            of = f" of the source {source[:80]!r}" if source else ""
            raise ApiError(404, "not_found", f"Customer {customer[:80]!r} has no event {event_id[:80]!r}{of}.")
        fate = {"id": event_id, "customer": customer, "status": "inbox", "inbox": inbox_json(item), "outcomes": []}
        fate["late_evidence"] = []
        return Response(fate | {"source": source} if source else fate)


class EventBatch(EventDetail):
    scopes = {"POST": "events:write"}
    idempotency = "off"
    parser_classes = [BatchParser, LinesParser, CloudEventParser, CloudBatchParser]

    @extend_schema(
        summary="Send many events",
        request={BatchParser.media_type: BatchSerializer, LinesParser.media_type: EventSerializer, **_CLOUD_REQUESTS},
        responses={202: BatchResultSerializer},
        parameters=[IMPORT],
        tags=["events"],
    )
    def post(self, request: Request) -> Response:
        """Up to 5,000 events and 8 MiB, as `{"events": [...]}`, one event a line, or a list of CloudEvents. One bad
        event never costs its neighbours; `results` lists what was not newly accepted.
        """
        kind = _media_type(request)
        if kind == CloudBatchParser.media_type:
            return _many(request, _cloud_batch(request))
        event = _cloud_event(request)
        if event is not None:
            return _many(request, [event])
        split = read_lines if kind == LinesParser.media_type else read_batch
        return _many(request, read_events(_cut(split, body_of(request))))

    @extend_schema(exclude=True)
    def get(self, request: Request, event_id: str = "batch") -> Response:
        """What became of the event whose id is `batch`."""
        return super().get(request, event_id)


def _media_type(request: Request) -> str:
    return (request.content_type or "").partition(";")[0].strip().lower()


def _cloud_event(request: Request) -> Incoming | Refused | None:
    """The CloudEvent in structured or binary mode; None where the body is in a form of our own."""
    kind = _media_type(request)
    if kind == CloudEventParser.media_type:
        return read_cloud_event(body_of(request))
    if kind not in ("", EventParser.media_type) or not any(name.startswith(HEADER_PREFIX) for name in request.META):
        return None
    body = request.data if isinstance(request.data, bytes) else b""
    # Looked at alone: what is no JSON here might be some when it is written among the attributes.
    problem = problem_of(body) if body else None
    if problem is not None:
        raise refuse(problem)
    try:
        return read_cloud_event(structured(request.META, request.content_type or "", body))
    except StrictJSONError as error:
        raise refuse(error) from None


def _cloud_batch(request: Request) -> list[Incoming | Refused]:
    return read_events(_cut(read_array, body_of(request)), read_cloud_event)


def _cut(split: Callable[[bytes], list[bytes]], body: bytes) -> list[bytes]:
    try:
        return split(body)
    except StrictJSONError as error:
        raise refuse(error) from None


def _one(request: Request, item: Incoming | Refused) -> Response:
    if isinstance(item, Refused) and item.problem is not None and item.unreadable:
        raise refuse(item.problem)
    [result] = _accept(request, [item])
    return Response(answer_one(item, result), status=202)


def answer_one(item: Incoming | Refused, result: Result) -> dict[str, Any]:
    """The answer to a single event. Raises ApiError where it was rejected."""
    if result.status != REJECTED:
        return {"id": result.id, "status": result.status}
    if isinstance(item, Refused):
        problem = item.problem
        if problem is None:
            raise InvalidInput([detail_of(item.message, {"": EVENT_FIELDS})])
        raise InvalidInput([Detail(problem.path, problem.message, problem.code)])
    place = _PLACES.get(result.code, "")
    if place == "customer" and item.source:
        place = "subject"
    status = 409 if result.code == "id_conflict" else 422
    raise ApiError(status, result.code, result.message, details=[Detail(place, result.message, result.code)])


def _many(request: Request, items: list[Incoming | Refused]) -> Response:
    return Response(answer_many(_accept(request, items) if items else []), status=202)


def answer_many(results: Sequence[Result]) -> dict[str, Any]:
    """The answer to a batch: counts, and what was not newly accepted."""
    notable = [(index, result) for index, result in enumerate(results) if result.status != ACCEPTED]
    rejected = sum(result.status == REJECTED for _, result in notable)
    return {
        "accepted": len(results) - len(notable),
        "duplicates": len(notable) - rejected,
        "rejected": rejected,
        "results": [_item(index, result) for index, result in notable],
    }


def _accept(request: Request, items: list[Incoming | Refused]) -> list[Result]:
    import_id = _import_id(request)
    if len(items) == 1 and import_id is None:
        return [accept_one(items[0], now=timezone.now())]
    try:
        return accept(items, now=timezone.now(), import_id=import_id)
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
