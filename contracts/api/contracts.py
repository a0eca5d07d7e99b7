"""``/v1/contracts``"""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.fields import TextField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import QuerySerializer
from access.views import ApiView, path_id
from contracts.agreements import ID_PREFIX, create_contract
from contracts.queries import contract_json, contracts
from contracts.serializers import ContractRequest, ContractSerializer


class ContractFilter(QuerySerializer):
    """What `GET /v1/contracts` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    rate_card = TextField(required=False, help_text="Key of a rate card.")


class ContractList(ApiView):
    paginated = True
    query = {"GET": ContractFilter}

    @extend_schema(summary="List contracts", responses=list_of(ContractSerializer), tags=["contracts"])
    def get(self, request: Request) -> Response:
        """Contracts, newest first."""
        return paginate(request, contracts(**self.params), serialize=contract_json)

    @extend_schema(
        summary="Agree a contract", request=ContractRequest, responses={201: ContractSerializer}, tags=["contracts"]
    )
    def post(self, request: Request) -> Response:
        """Contracts of one customer do not overlap in time: 409 names the other one. Send an Idempotency-Key to repeat
        the request safely.
        """
        body = ContractRequest(data=request.data)
        body.is_valid(raise_exception=True)
        change = create_contract(body.fields_of(), now=timezone.now())
        return Response(contract_json(contracts().get(pk=change.value.pk)), status=201)


class ContractDetail(ApiView):
    @extend_schema(summary="Read a contract", responses=ContractSerializer, tags=["contracts"])
    def get(self, request: Request, id: str) -> Response:
        """One contract with the terms of its latest version."""
        contract = contracts().filter(pk=path_id(ID_PREFIX, id)).first()
        if contract is None:
            raise ApiError(404, "not_found", f"There is no contract {id[:80]}.")
        return Response(contract_json(contract))
