"""``/v1/rate_cards``"""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.views import ApiView
from contracts.price_serializers import RateCardRequest, RateCardSerializer, RateCardSummarySerializer
from contracts.queries import rate_card_json, rate_card_summary_json, rate_cards
from contracts.rate_cards import put_rate_card


class RateCardList(ApiView):
    paginated = True

    @extend_schema(summary="List rate cards", responses=list_of(RateCardSummarySerializer), tags=["rate cards"])
    def get(self, request: Request) -> Response:
        """Rate cards as their versions in force say them, newest first."""
        now = timezone.now()
        return paginate(request, rate_cards(), serialize=lambda row: rate_card_summary_json(row, now))


class RateCardDetail(ApiView):
    @extend_schema(summary="Read a rate card", responses=RateCardSerializer, tags=["rate cards"])
    def get(self, request: Request, key: str) -> Response:
        """One rate card with all of its versions."""
        card = rate_cards().filter(key=key).first()
        if card is None:
            raise ApiError(404, "not_found", f'There is no rate card "{key[:80]}".')
        return Response(rate_card_json(card, timezone.now()))

    @extend_schema(
        summary="Create a rate card, or a new version of one",
        request=RateCardRequest,
        responses={200: RateCardSerializer, 201: RateCardSerializer},
        tags=["rate cards"],
    )
    def put(self, request: Request, key: str) -> Response:
        """Prices that are in force already make no version (200); others make one (201)."""
        body = RateCardRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        change = put_rate_card(key, body.fields_of(), now=now)
        card = rate_cards().get(pk=change.value.rate_card_id)
        shown = next(version for version in card.versions.all() if version.pk == change.value.pk)
        return Response(rate_card_json(card, now, shown=shown), status=201 if change.wrote else 200)
