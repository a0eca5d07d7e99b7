"""``/v1/imports``: history, loaded while settlement waits."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.fields import ChoiceTextField, TextField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody, QuerySerializer, StrictSerializer
from access.views import ApiView, path_id
from outcomes import imports
from outcomes.models import Import
from outcomes.queries import IMPORT_PREFIX, find_import, import_json


class ImportQuery(QuerySerializer):
    status = ChoiceTextField([("open", "open"), ("closed", "closed")], required=False)


class ImportRequest(StrictSerializer):
    name = TextField(required=False, default="", max_length=255, allow_blank=True)


class ImportSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(["open", "closed"])
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    accepted = serializers.IntegerField(help_text="Events accepted so far.")
    duplicates = serializers.IntegerField(help_text="Events that were known already.")
    rejected = serializers.IntegerField(help_text="Events refused and not accepted by a retry since.")
    waiting = serializers.IntegerField(help_text="Its events that wait in the inbox: `/v1/inbox?import=ID`.")
    customers = serializers.IntegerField(help_text="Customers that it touches.")
    settlement_paused = serializers.BooleanField(help_text="Whether these customers' settlement waits for its close.")


class ClosedImportSerializer(ImportSerializer):
    notice = serializers.CharField(allow_null=True, help_text="What is left to do.")


class ImportList(ApiView):
    query = {"GET": ImportQuery}
    paginated = True

    @extend_schema(summary="List imports", responses=list_of(ImportSerializer), tags=["events"])
    def get(self, request: Request) -> Response:
        """Newest first."""
        found = imports.with_progress(Import.objects.all())
        if "status" in self.params:
            found = found.filter(closed_at__isnull=self.params["status"] == "open")
        return paginate(request, found, order=("-id",), serialize=import_json)

    @extend_schema(summary="Open an import", request=ImportRequest, responses={201: ImportSerializer}, tags=["events"])
    def post(self, request: Request) -> Response:
        """Events sent with the header `Import: ID` may be of any age; the customers they touch do not settle until the
        import is closed.
        """
        body = ImportRequest(data=request.data)
        body.is_valid(raise_exception=True)
        opened = imports.open_import(**body.validated_data, now=timezone.now())
        return Response(import_json(find_import(opened.id)), status=201)


class ImportDetail(ApiView):
    @extend_schema(summary="Read an import", responses=ImportSerializer, tags=["events"])
    def get(self, request: Request, import_id: str) -> Response:
        """How far it is: `accepted`, `duplicates` and `rejected` add up to the events sent so far."""
        try:
            return Response(import_json(find_import(path_id(IMPORT_PREFIX, import_id))))
        except Import.DoesNotExist:
            raise _unknown(import_id) from None


class ImportClose(ApiView):
    @extend_schema(summary="Close an import", request=NoBody, responses=ClosedImportSerializer, tags=["events"])
    def post(self, request: Request, import_id: str) -> Response:
        """Settlement of its customers goes on. Closing a closed import changes nothing. `notice` tells of its events
        that still wait in the inbox.
        """
        NoBody(data=request.data).is_valid(raise_exception=True)
        try:
            closed = imports.close_import(path_id(IMPORT_PREFIX, import_id), now=timezone.now())
        except Import.DoesNotExist:
            raise _unknown(import_id) from None
        found = find_import(closed.id)
        return Response(import_json(found) | {"notice": imports.left_waiting(found.waiting)})


def _unknown(import_id: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no import {import_id[:80]!r}.")
