"""``/v1/outcomes/{id}/reverse`` and ``/complete``: what a person decides of one outcome."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes
from access.authentication import caller
from access.errors import ApiError
from access.fields import DecimalStringField, TextField
from access.serializers import StrictSerializer
from access.views import ApiView
from outcomes import decisions
from outcomes.api.outcomes import OutcomeDetailSerializer, find_outcome
from outcomes.domain.lifecycle import LARGEST_VALUE
from outcomes.models import Outcome
from outcomes.queries import outcome_detail_json
from outcomes.store import PayloadMissing

error_codes.register(
    {
        "not_possible": "The outcome is in a state in which this cannot be decided; the message names it.",
        "history_archived": "A part of the subject's events is archived: restore the months named, then try again.",
    }
)


class ReverseRequest(StrictSerializer):
    reason = TextField(max_length=1000, help_text="Why; it stands in the journal.")


class CompleteRequest(StrictSerializer):
    quantity = DecimalStringField(required=False, min_value=0, max_value=LARGEST_VALUE - 1)
    amount = DecimalStringField(required=False, min_value=0, max_value=LARGEST_VALUE - 1)
    reason = TextField(max_length=1000, help_text="Where the figures come from; it stands in the journal.")

    def validate(self, attrs: dict) -> dict:
        if "quantity" not in attrs and "amount" not in attrs:
            raise serializers.ValidationError("Give `quantity`, or `amount`, or both.")
        return attrs


class OutcomeReverse(ApiView):
    @extend_schema(
        summary="Take an outcome back", request=ReverseRequest, responses={200: OutcomeDetailSerializer},
        tags=["outcomes"],
    )  # fmt: skip
    def post(self, request: Request, outcome_id: str) -> Response:
        """A provisional outcome becomes void, a confirmed one reversed, by a person's decision that no later event
        undoes. The next event may begin a new attempt on its subject. 409 `not_possible` in any other state.
        """
        return _decided(request, outcome_id, ReverseRequest, decisions.take_back)


class OutcomeComplete(ApiView):
    @extend_schema(
        summary="Complete an outcome", request=CompleteRequest, responses={200: OutcomeDetailSerializer},
        tags=["outcomes"],
    )  # fmt: skip
    def post(self, request: Request, outcome_id: str) -> Response:
        """Gives the quantity or the amount that the events of a provisional or confirmed outcome do not tell (`review`
        names them). What the events tell is never edited: 409 `not_possible`.
        """
        return _decided(request, outcome_id, CompleteRequest, decisions.complete)


def _decided(
    request: Request, outcome_id: str, kind: type[StrictSerializer], decide: Callable[..., Outcome]
) -> Response:
    found = find_outcome(outcome_id)
    body = kind(data=request.data)
    body.is_valid(raise_exception=True)
    given: dict[str, Any] = dict(body.validated_data)
    try:
        decide(found.id, now=timezone.now(), actor=caller(request), **given)
    except decisions.NotPossible as refusal:
        raise ApiError(409, "not_possible", refusal.why) from None
    except PayloadMissing as missing:
        raise history_archived(missing) from None
    return Response(outcome_detail_json(find_outcome(outcome_id)))


def history_archived(missing: PayloadMissing) -> ApiError:
    """The refusal of what needs events that are archived."""
    months = ", ".join(missing.months)
    return ApiError(
        409,
        "history_archived",
        f"A part of the subject's events is archived. Restore {months} (manage.py restore_events), then try again.",
    )
