"""``/v1/webhook_endpoints`` and ``/v1/webhook_deliveries``."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody
from access.views import ApiView, path_id
from webhooks import endpoints, queries
from webhooks.models import Delivery, Endpoint
from webhooks.serializers import (
    DeliveryDetailSerializer,
    DeliveryQuery,
    DeliverySerializer,
    EndpointChange,
    EndpointRequest,
    EndpointSerializer,
    EndpointWithSecretSerializer,
    ResendAnswer,
    ResendRequest,
    RotateRequest,
)


def _shown(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    return queries.endpoint_json(queries.endpoints().get(pk=endpoint.pk)) | more


class EndpointList(ApiView):
    paginated = True

    @extend_schema(summary="List webhook endpoints", responses=list_of(EndpointSerializer), tags=["webhooks"])
    def get(self, request: Request) -> Response:
        """Newest first, each with its health."""
        return paginate(request, queries.endpoints(), serialize=queries.endpoint_json)

    @extend_schema(
        summary="Create a webhook endpoint",
        request=EndpointRequest,
        responses={201: EndpointWithSecretSerializer},
        tags=["webhooks"],
    )
    def post(self, request: Request) -> Response:
        """It is told of what happens from now on. The answer has the secret, this once."""
        body = EndpointRequest(data=request.data)
        body.is_valid(raise_exception=True)
        endpoint, secret = endpoints.create(**body.validated_data, now=timezone.now())
        return Response(_shown(endpoint, secret=secret), status=201)


class EndpointDetail(ApiView):
    @extend_schema(summary="Read a webhook endpoint", responses=EndpointSerializer, tags=["webhooks"])
    def get(self, request: Request, id: str) -> Response:
        """One endpoint with its health."""
        return Response(_shown(endpoints.found(path_id(Endpoint.PREFIX, id))))

    @extend_schema(
        summary="Change a webhook endpoint", request=EndpointChange, responses=EndpointSerializer, tags=["webhooks"]
    )
    def patch(self, request: Request, id: str) -> Response:
        """What is left out stays. A disabled endpoint is sent nothing; enabled again, it goes on where it stopped."""
        body = EndpointChange(data=request.data)
        body.is_valid(raise_exception=True)
        changed = endpoints.change(path_id(Endpoint.PREFIX, id), **body.validated_data, now=timezone.now())
        return Response(_shown(changed))

    @extend_schema(summary="Delete a webhook endpoint", responses={204: None}, tags=["webhooks"])
    def delete(self, request: Request, id: str) -> Response:
        """With its messages and their log. To pause it, set `enabled` to false instead."""
        endpoints.delete(path_id(Endpoint.PREFIX, id))
        return Response(status=204)


class EndpointRotate(ApiView):
    @extend_schema(
        summary="Rotate an endpoint's secret",
        request=RotateRequest,
        responses=EndpointWithSecretSerializer,
        tags=["webhooks"],
    )
    def post(self, request: Request, id: str) -> Response:
        """The answer has the new secret, this once. The old one signs as well until the overlap is over."""
        body = RotateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(hours=body.validated_data["overlap_hours"])
        endpoint, secret = endpoints.rotate_secret(path_id(Endpoint.PREFIX, id), overlap=overlap, now=timezone.now())
        return Response(_shown(endpoint, secret=secret))


class EndpointTest(ApiView):
    idempotency = "recorded"  # it waits for the receiver, and no transaction does

    @extend_schema(summary="Send a test message", request=NoBody, responses=DeliveryDetailSerializer, tags=["webhooks"])
    def post(self, request: Request, id: str) -> Response:
        """Sends a `test.ping` now, once, also to a disabled endpoint, and answers how it went. It changes nothing about
        the endpoint's health.
        """
        NoBody(data=request.data).is_valid(raise_exception=True)
        message = endpoints.ping(path_id(Endpoint.PREFIX, id), now=timezone.now())
        return Response(queries.delivery_detail_json(message))


class EndpointDeliveries(ApiView):
    query = {"GET": DeliveryQuery}
    paginated = True

    @extend_schema(summary="List what was sent", responses=list_of(DeliverySerializer), tags=["webhooks"])
    def get(self, request: Request, id: str) -> Response:
        """The endpoint's messages, newest first; they are kept for 30 days."""
        endpoint = endpoints.found(path_id(Endpoint.PREFIX, id))
        found = queries.deliveries(endpoint=endpoint, **self.params)
        return paginate(request, found, order=("-id",), serialize=queries.delivery_json)


class EndpointResend(ApiView):
    @extend_schema(summary="Send again what failed", request=ResendRequest, responses=ResendAnswer, tags=["webhooks"])
    def post(self, request: Request, id: str) -> Response:
        """Queues every message since then that was given up, and has those that wait for their next attempt tried
        now.
        """
        body = ResendRequest(data=request.data)
        body.is_valid(raise_exception=True)
        queued = endpoints.resend_since(path_id(Endpoint.PREFIX, id), **body.validated_data, now=timezone.now())
        return Response({"queued": queued})


class DeliveryDetail(ApiView):
    @extend_schema(summary="Read a message", responses=DeliveryDetailSerializer, tags=["webhooks"])
    def get(self, request: Request, id: str) -> Response:
        """What is sent, and every attempt with its answer."""
        return Response(queries.delivery_detail_json(_found(id)))


class DeliveryResend(ApiView):
    @extend_schema(summary="Send a message again", request=NoBody, responses=DeliverySerializer, tags=["webhooks"])
    def post(self, request: Request, id: str) -> Response:
        """Queues it under its `webhook-id`, whatever became of it. A disabled endpoint gets it when it is enabled."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        return Response(queries.delivery_json(endpoints.resend(_found(id), now=timezone.now())))


def _found(id: str) -> Delivery:
    message = queries.deliveries().filter(uid=path_id(Delivery.PREFIX, id)).first()
    if message is None:
        raise ApiError(404, "not_found", f"There is no message {id[:80]!r}; they are kept for 30 days.")
    return message
