"""``/v1/contracts``"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.fields import FlagField, TextField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import QuerySerializer
from access.views import ApiView, path_id
from contracts.agreements import ID_PREFIX, create_contract
from contracts.amendments import amend_contract, preview
from contracts.changes import Change
from contracts.contract_serializers import (
    AmendmentRequest,
    ContractPreviewSerializer,
    ContractRequest,
    ContractSerializer,
    ContractSummarySerializer,
)
from contracts.models import Contract, Customer
from contracts.queries import contract_json, contract_summary_json, contracts, differences_json

EITHER = {201: ContractSerializer, 200: ContractPreviewSerializer}


class ContractFilter(QuerySerializer):
    """What `GET /v1/contracts` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    rate_card = TextField(required=False, help_text="Key of a rate card.")


class PreviewQuery(QuerySerializer):
    """Whether to do it or to show it."""

    preview = FlagField(required=False, default=False, help_text="true: nothing is stored, and shown what would be.")


class ContractList(ApiView):
    paginated = True
    query = {"GET": ContractFilter, "POST": PreviewQuery}

    @extend_schema(summary="List contracts", responses=list_of(ContractSummarySerializer), tags=["contracts"])
    def get(self, request: Request) -> Response:
        """Contracts with the terms of their versions in force, newest first."""
        now = timezone.now()
        return paginate(request, contracts(**self.params), serialize=lambda row: contract_summary_json(row, now))

    @extend_schema(summary="Agree a contract", request=ContractRequest, responses=EITHER, tags=["contracts"])
    def post(self, request: Request) -> Response:
        """Contracts of one customer do not overlap in time: 409 names the other one. Send an Idempotency-Key to repeat
        the request safely. With `preview=true` nothing is stored, and 200 shows what would be.
        """
        body = ContractRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now, given = timezone.now(), body.fields_of()
        if self.params["preview"]:
            customer = Customer.objects.filter(key=given.customer).values_list("pk", flat=True).first()
            return _preview(customer or 0, lambda: create_contract(given, now=now), now)
        change = create_contract(given, now=now)
        return Response(_shown(change.value, now), status=201)


class ContractDetail(ApiView):
    @extend_schema(summary="Read a contract", responses=ContractSerializer, tags=["contracts"])
    def get(self, request: Request, id: str) -> Response:
        """One contract with the terms of its version in force, and with all versions."""
        return Response(contract_json(_found(id), timezone.now()))


class ContractAmend(ApiView):
    query = {"POST": PreviewQuery}

    @extend_schema(
        summary="Amend a contract",
        request=AmendmentRequest,
        responses={**EITHER, 200: ContractSerializer},
        tags=["contracts"],
    )
    def post(self, request: Request, id: str) -> Response:
        """A further version from `effective_at` on, never an edit: the terms in force then, with what is given here. It
        holds until the next version starts that is agreed already. 201; where nothing changes, 200 and no version.
        With `preview=true` nothing is stored, and 200 shows what would change (`contract`, `differences`, `periods`).
        """
        contract = _found(id)
        body = AmendmentRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now, given = timezone.now(), body.fields_of()
        if self.params["preview"]:
            return _preview(contract.customer_id, lambda: amend_contract(contract.pk, given, now=now), now)
        change = amend_contract(contract.pk, given, now=now)
        return Response(_shown(contract, now), status=201 if change.wrote else 200)


def _found(id: str) -> Contract:
    contract = contracts().filter(pk=path_id(ID_PREFIX, id)).first()
    if contract is None:
        raise ApiError(404, "not_found", f"There is no contract {id[:80]}.")
    return contract


def _shown(contract: Contract, now: datetime) -> dict[str, Any]:
    return contract_json(contracts().get(pk=contract.pk), now)


def _preview(customer_id: int, change: Callable[[], Change[Contract]], now: datetime) -> Response:
    found = preview(customer_id, change, lambda contract: _shown(contract, now), now=now)
    differences = differences_json(found.differences)
    return Response({"contract": found.shown, "differences": differences, "periods": found.periods})
