"""``/v1/tax_rates``"""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.views import ApiView
from contracts.changes import Kind
from contracts.models import TaxRate
from contracts.queries import tax_rate_json
from contracts.serializers import TaxRateRequest, TaxRateSerializer
from contracts.tax_rates import put_tax_rate


class TaxRateList(ApiView):
    paginated = True

    @extend_schema(summary="List tax rates", responses=list_of(TaxRateSerializer), tags=["tax rates"])
    def get(self, request: Request) -> Response:
        """Tax rates, newest first."""
        return paginate(request, TaxRate.objects.all(), serialize=tax_rate_json)


class TaxRateDetail(ApiView):
    @extend_schema(summary="Read a tax rate", responses=TaxRateSerializer, tags=["tax rates"])
    def get(self, request: Request, key: str) -> Response:
        """One tax rate, by its key."""
        rate = TaxRate.objects.filter(key=key).first()
        if rate is None:
            raise ApiError(404, "not_found", f'There is no tax rate "{key[:80]}".')
        return Response(tax_rate_json(rate))

    @extend_schema(
        summary="Create or replace a tax rate",
        request=TaxRateRequest,
        responses={200: TaxRateSerializer, 201: TaxRateSerializer},
        tags=["tax rates"],
    )
    def put(self, request: Request, key: str) -> Response:
        """Creates the tax rate, or replaces all of it but its key: a field that is left out goes back to its default.
        What is issued from then on takes the rate as it is then; what was issued keeps what it used. 409 where prices
        would contain some taxes of a customer and not others.
        """
        body = TaxRateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        change = put_tax_rate(key, body.fields_of(), now=timezone.now())
        return Response(tax_rate_json(change.value), status=201 if change.kind is Kind.CREATED else 200)
