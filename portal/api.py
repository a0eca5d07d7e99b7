"""``/v1/customers/{key}/portal_links``: made, listed and revoked."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import caller
from access.fields import Rfc3339Field
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody, StrictSerializer
from access.views import ApiView, path_id
from contracts.models import Customer
from contracts.serializers import DurationField
from portal import links
from portal.models import PortalLink


class LinkRequest(StrictSerializer):
    expires_in = DurationField(
        required=False,
        default=links.DEFAULT_SPAN,
        help_text="How long it is valid, such as `30 days` (the default): 1 minute to 366 days.",
    )


class LinkSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    customer = serializers.CharField()
    status = serializers.ChoiceField(["active", "expired", "revoked"])
    created_at = Rfc3339Field()
    created_by = serializers.CharField()
    expires_at = Rfc3339Field()
    revoked_at = Rfc3339Field(allow_null=True)
    revoked_by = serializers.CharField(allow_null=True)
    last_used_at = Rfc3339Field(allow_null=True)


class NewLinkSerializer(LinkSerializer):
    url = serializers.CharField(help_text="What the customer opens. It is told this once.")


def link_json(link: PortalLink) -> dict[str, Any]:
    """A link as the API shows it: what opens it is not among it."""
    return {
        "id": link.public_id,
        "customer": link.customer.key,
        "status": links.state(link, now=timezone.now()),
        "created_at": link.created_at,
        "created_by": link.created_by,
        "expires_at": link.expires_at,
        "revoked_at": link.revoked_at,
        "revoked_by": link.revoked_by or None,
        "last_used_at": link.last_used_at,
    }


class LinkList(ApiView):
    paginated = True

    @extend_schema(summary="List a customer's portal links", responses=list_of(LinkSerializer), tags=["portal"])
    def get(self, request: Request, key: str) -> Response:
        """Newest first, those that have ended too."""
        if not Customer.objects.filter(key=key).exists():
            raise links.no_customer(key)
        found = PortalLink.objects.filter(customer__key=key).select_related("customer")
        return paginate(request, found, order=("-id",), serialize=link_json)

    @extend_schema(
        summary="Make a portal link",
        request=LinkRequest,
        responses={201: NewLinkSerializer},
        tags=["portal"],
    )
    def post(self, request: Request, key: str) -> Response:
        """A link by which the customer sees its running period, invoices and the evidence behind them, and can dispute
        outcomes. Whoever has the `url` is let in, until it expires or is revoked. 404 without the customer.
        """
        body = LinkRequest(data=request.data)
        body.is_valid(raise_exception=True)
        link, token = links.create(key, **body.validated_data, by=caller(request), now=timezone.now())
        return Response(link_json(link) | {"url": links.url_of(token, request._request)}, status=201)


class LinkRevoke(ApiView):
    @extend_schema(summary="Revoke a portal link", request=NoBody, responses=LinkSerializer, tags=["portal"])
    def post(self, request: Request, key: str, link_id: str) -> Response:
        """Ends it at once, also for who is in by it; of one that was revoked before, nothing changes."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        wanted = path_id(PortalLink.PREFIX, link_id)
        return Response(link_json(links.revoke(wanted, customer_key=key, by=caller(request), now=timezone.now())))
