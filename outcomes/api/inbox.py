"""``/v1/inbox`` and ``/v1/imports``."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.fields import ChoiceTextField, FlagField, TextField, WholeNumberField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody, QuerySerializer, StrictSerializer
from access.views import ApiView, path_id
from outcomes import imports, inbox
from outcomes.models import Import, InboxItem
from outcomes.queries import IMPORT_PREFIX, import_json, inbox_json


class InboxQuery(QuerySerializer):
    reason = ChoiceTextField(InboxItem.Reason.choices, required=False)
    status = ChoiceTextField(InboxItem.Status.choices, required=False, default=InboxItem.Status.WAITING)
    customer = TextField(required=False)


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
    body = serializers.CharField(help_text="The event as sent.")


class RetryRequest(StrictSerializer):
    """Which items: `ids`, or those of one `reason`, or `all`."""

    ids = serializers.ListField(child=WholeNumberField(), required=False, allow_empty=False, max_length=1000)
    reason = ChoiceTextField(InboxItem.Reason.choices, required=False)
    all = FlagField(required=False)

    def validate(self, attrs: dict) -> dict:
        if len(attrs) != 1 or attrs.get("all") is False:
            raise serializers.ValidationError("Say which items, in one way: `ids`, `reason`, or `all`: true.")
        return attrs


class RetryAnswer(serializers.Serializer):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()


class InboxList(ApiView):
    query = {"GET": InboxQuery}
    paginated = True

    @extend_schema(summary="List the inbox", responses=list_of(InboxItemSerializer), tags=["events"])
    def get(self, request: Request) -> Response:
        """Events that could not be used, each with its reason, newest first."""
        names = {"customer": "customer_key"}
        items = InboxItem.objects.filter(**{names.get(name, name): value for name, value in self.params.items()})
        return paginate(request, items, order=("-id",), serialize=inbox_json)


class InboxRetry(ApiView):
    @extend_schema(summary="Retry from the inbox", request=RetryRequest, responses=RetryAnswer, tags=["events"])
    def post(self, request: Request) -> Response:
        """Try waiting items again, once their cause is mended."""
        body = RetryRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data
        tally = inbox.retry(inbox.waiting(ids=wanted.get("ids"), reason=wanted.get("reason")), now=timezone.now())
        return Response(
            {"accepted": tally["accepted"], "duplicates": tally["duplicate"], "rejected": tally["rejected"]}
        )


class ImportRequest(StrictSerializer):
    name = TextField(required=False, default="", max_length=255, allow_blank=True)


class ImportSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(["open", "closed"])
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    customers = serializers.IntegerField(help_text="Customers whose settlement it holds while it is open.")


class ImportList(ApiView):
    paginated = True

    @extend_schema(summary="List imports", responses=list_of(ImportSerializer), tags=["events"])
    def get(self, request: Request) -> Response:
        return paginate(request, Import.objects.all(), order=("-id",), serialize=import_json)

    @extend_schema(summary="Open an import", request=ImportRequest, responses={201: ImportSerializer}, tags=["events"])
    def post(self, request: Request) -> Response:
        """Events sent with the header `Import: ID` may be of any age; the customers they touch do not settle until the
        import is closed.
        """
        body = ImportRequest(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(import_json(imports.open_import(**body.validated_data, now=timezone.now())), status=201)


class ImportClose(ApiView):
    @extend_schema(summary="Close an import", request=NoBody, responses=ImportSerializer, tags=["events"])
    def post(self, request: Request, import_id: str) -> Response:
        """Settlement of its customers goes on. Closing a closed import changes nothing."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        try:
            return Response(import_json(imports.close_import(path_id(IMPORT_PREFIX, import_id), now=timezone.now())))
        except Import.DoesNotExist:
            raise ApiError(404, "not_found", f"There is no import {import_id[:80]!r}.") from None
