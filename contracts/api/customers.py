"""``/v1/customers``"""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.views import ApiView
from contracts.changes import Kind
from contracts.customers import put_customer
from contracts.queries import customer_json, customers
from contracts.serializers import CustomerRequest, CustomerSerializer


class CustomerList(ApiView):
    paginated = True

    @extend_schema(summary="List customers", responses=list_of(CustomerSerializer), tags=["customers"])
    def get(self, request: Request) -> Response:
        """Customers, newest first."""
        return paginate(request, customers(), serialize=customer_json)


class CustomerDetail(ApiView):
    @extend_schema(summary="Read a customer", responses=CustomerSerializer, tags=["customers"])
    def get(self, request: Request, key: str) -> Response:
        """One customer, by the seller's own key."""
        customer = customers().filter(key=key).first()
        if customer is None:
            raise ApiError(404, "not_found", f'There is no customer "{key[:80]}".')
        return Response(customer_json(customer))

    @extend_schema(
        summary="Create or replace a customer",
        request=CustomerRequest,
        responses={200: CustomerSerializer, 201: CustomerSerializer},
        tags=["customers"],
    )
    def put(self, request: Request, key: str) -> Response:
        """Creates the customer, or replaces all of it but its key: a field that is left out goes back to its default.
        The same request again changes nothing.
        """
        body = CustomerRequest(data=request.data)
        body.is_valid(raise_exception=True)
        change = put_customer(key, body.fields_of(), now=timezone.now())
        return Response(customer_json(change.value), status=201 if change.kind is Kind.CREATED else 200)
