"""``/v1/simulations/forecast``: what the running period of a customer is likely to come to."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.fields import Rfc3339Field, TextField
from access.serializers import ErrorEnvelopeSerializer, QuerySerializer
from access.views import ApiView
from simulation.forecast import ALL, CONDITION, CUSTOMER, forecast, forecast_json
from simulation.reading import snapshot


class ForecastQuery(QuerySerializer):
    """Whose running period to forecast."""

    customer = TextField(help_text="Key of a customer.")


class RateSerializer(serializers.Serializer[Any]):
    """Shares between 0 and 1, four decimals."""

    low = serializers.CharField()
    expected = serializers.CharField()
    high = serializers.CharField()


class AgeRateSerializer(serializers.Serializer[Any]):
    """Of the past outcomes still provisional when this much of their window was over, those that were confirmed."""

    window_percent = serializers.IntegerField()
    provisional = serializers.IntegerField()
    confirmed = serializers.IntegerField()
    rate = RateSerializer(allow_null=True, help_text="With its Wilson interval; null where no outcome came so far.")


class ForecastConditionSerializer(serializers.Serializer[Any]):
    """Provisional outcomes of one condition, and what became of such in the past."""

    condition = serializers.CharField()
    outcomes = serializers.IntegerField(help_text="Provisional now, and to settle inside the period.")
    provisional = serializers.CharField(help_text="What they charge if all are confirmed, before terms.")
    basis = serializers.ChoiceField(
        [CUSTOMER, CONDITION, ALL],
        allow_null=True,
        help_text="Whose past it is: this customer's of the condition, everybody's of it, everybody's of every one.",
    )
    past_outcomes = serializers.IntegerField(help_text="How many past outcomes the rate rests on.")
    past_confirmed = serializers.IntegerField()
    share = RateSerializer(allow_null=True, help_text="The share of them that is confirmed; null without a past.")
    by_age = AgeRateSerializer(many=True)


class ForecastSerializer(serializers.Serializer[Any]):
    """The running period: what is confirmed, and what is likely to come of what is provisional."""

    customer = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether the customer lives by a test clock.")
    currency = serializers.CharField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()
    now = Rfc3339Field()
    confirmed = serializers.CharField(help_text="As in the preview.")
    provisional = serializers.CharField(help_text="As in the preview: what is added if everything is confirmed.")
    if_all_confirmed = serializers.CharField(help_text="Both together: `expected_total` of the preview.")
    low = serializers.CharField()
    expected = serializers.CharField(allow_null=True, help_text="Null where no outcome was ever decided.")
    high = serializers.CharField()
    confidence = serializers.CharField(help_text="How often the amount lies between `low` and `high`, as a share.")
    conditions = ForecastConditionSerializer(many=True)


class ForecastDetail(ApiView):
    query = {"GET": ForecastQuery}

    @extend_schema(
        summary="Forecast the running period",
        responses={
            200: ForecastSerializer,
            404: OpenApiResponse(ErrorEnvelopeSerializer, description="No such customer, or none with a contract now."),
        },
        tags=["simulations"],
    )
    def get(self, request: Request) -> Response:
        """What is confirmed, and what provisional outcomes come to if they survive their settlement windows as past
        ones did, between two bounds. Nothing is foreseen that has not been met yet.
        """
        with snapshot():
            return Response(forecast_json(forecast(self.params["customer"], now=timezone.now())))
