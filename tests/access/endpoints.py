"""Small endpoints on `ApiView`, to test what it does for the real ones; rows of ApiKey serve as things."""

import threading
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from access import keys
from access.errors import ApiError, Detail, InvalidInput
from access.fields import (
    ChoiceTextField,
    DecimalStringField,
    FlagField,
    PublicIdField,
    Rfc3339Field,
    TextField,
    WholeNumberField,
)
from access.models import ApiKey
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import QuerySerializer, StrictSerializer
from access.views import ApiView, path_id


class PriceSerializer(StrictSerializer):
    unit_price = DecimalStringField(min_value=0)
    up_to = WholeNumberField(required=False, allow_null=True)


class OrderSerializer(StrictSerializer):
    name = TextField(max_length=20)
    at = Rfc3339Field(required=False)
    amount = DecimalStringField(required=False)
    model = ChoiceTextField(choices=["per_unit", "graduated"], required=False)
    active = FlagField(required=False)
    customer = PublicIdField("cus", required=False)
    created_at = Rfc3339Field(read_only=True)
    prices = PriceSerializer(many=True, required=False)


class Orders(ApiView):
    """Reads an order and answers it as read."""

    @extend_schema(request=OrderSerializer, responses=OrderSerializer)
    def post(self, request: Request) -> Response:
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


class Raw(ApiView):
    """Answers the body as decoded."""

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        return Response({"data": request.data})


class ThingSerializer(StrictSerializer):
    name = TextField(max_length=100)
    then = ChoiceTextField(choices=["conflict", "invalid", "bug", "database"], required=False)


class ThingFilter(QuerySerializer):
    name = TextField(required=False)
    live = FlagField(required=False)
    least = WholeNumberField(required=False)
    tag = serializers.ListField(child=TextField(), required=False)


def thing_json(key: ApiKey) -> dict[str, Any]:
    return {"id": key.public_id, "name": key.name, "created_at": key.created_at}


# A test sets `hold` to stop a handler in the middle; the handler says by `entered` that it is there.
entered = threading.Event()
hold: threading.Event | None = None


def create_thing(request: Request) -> Response:
    serializer = ThingSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    name, then = serializer.validated_data["name"], serializer.validated_data.get("then")
    key, _ = keys.create(name, ["read"], now=timezone.now())
    if hold is not None:
        entered.set()
        assert hold.wait(10)
    if then == "conflict":
        raise ApiError(409, "already_there", "This thing is there already: take another name.")
    if then == "invalid":
        raise InvalidInput([Detail("name", "This name will not do.", "unfit")])
    if then == "bug":
        raise ZeroDivisionError("secret internals")
    if then == "database":
        raise OperationalError("the server closed the connection")
    return Response(thing_json(key), status=201, headers={"Location": f"/v1/things/{key.public_id}"})


class Things(ApiView):
    query = {"GET": ThingFilter}
    paginated = True

    @extend_schema(responses=list_of(ThingSerializer))
    def get(self, request: Request) -> Response:
        filters = {"name": self.params["name"]} if "name" in self.params else {}
        return paginate(request, ApiKey.objects.filter(**filters), serialize=thing_json)

    @extend_schema(request=ThingSerializer, responses=ThingSerializer)
    def post(self, request: Request) -> Response:
        return create_thing(request)


class RecordedThings(ApiView):
    idempotency = "recorded"

    @extend_schema(request=ThingSerializer, responses=ThingSerializer)
    def post(self, request: Request) -> Response:
        return create_thing(request)


class HotThings(ApiView):
    scopes = {"POST": "events:write"}
    idempotency = "off"

    @extend_schema(request=ThingSerializer, responses=ThingSerializer)
    def post(self, request: Request) -> Response:
        return create_thing(request)


class Thing(ApiView):
    @extend_schema(responses=ThingSerializer)
    def get(self, request: Request, thing_id: str) -> Response:
        key = ApiKey.objects.filter(id=path_id("key", thing_id)).first()
        if key is None:
            raise Http404
        return Response(thing_json(key))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, thing_id: str) -> Response:
        return Response(status=204)


class FailureSerializer(QuerySerializer):
    kind = TextField()


FAILURES: dict[str, Exception] = {
    "django403": DjangoPermissionDenied("internals"),
    "http404": Http404("internals"),
    "throttled": Throttled(wait=7),
    "big": RequestDataTooBig("internals"),
    "suspicious": SuspiciousOperation("internals"),
    "unreadable": UnreadablePostError("internals"),
    "operational": OperationalError("internals"),
    "interface": InterfaceError("internals"),
    "bug": KeyError("internals"),
}


class Failing(ApiView):
    query = {"GET": FailureSerializer}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        raise FAILURES[self.params["kind"]]
