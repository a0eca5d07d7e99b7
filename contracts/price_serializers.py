"""Shapes of prices and rate cards, as handed in and as answered."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from access.fields import ChoiceTextField, DecimalStringField, Rfc3339Field, TextField
from access.serializers import StrictSerializer
from access.strictjson import text_problem
from contracts.domain import rating
from contracts.domain.rating import TierInput
from contracts.prices import DEFAULT_MODEL, MAX_POOL_NAME, PriceFields
from contracts.rate_cards import RateCardFields


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "examples": [{"priority": "high"}],
    }
)
class MatchField(serializers.Field[dict[str, str], Any, dict[str, str], Any]):
    """Dimension values: a mapping of names to text, numbers or true and false (which outcomes carry as text)."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            raise serializers.ValidationError('Expected an object, such as {"priority": "high"}.', "invalid")
        errors: dict[str, Any] = {}
        values: dict[str, str] = {}
        for name, value in data.items():
            try:
                values[name] = rating.dimension_text(value)
                problem = text_problem(name) or text_problem(values[name])
                if problem is not None:
                    errors[name] = [serializers.ErrorDetail(problem[1], problem[0])]
            except TypeError as error:
                errors[name] = [serializers.ErrorDetail(f"{str(error).capitalize()}.", "invalid")]
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        return value


# --- Taken ------------------------------------------------------------------------------------------------------------


class TierRequest(StrictSerializer):
    """One tier of a graduated or volume price, or of a percentage."""

    up_to = DecimalStringField(
        required=False,
        allow_null=True,
        help_text="Its upper edge, which belongs to it: units, of a percentage an amount. Null on the last tier alone.",
    )
    unit_price = DecimalStringField(required=False, help_text="Of each unit.")
    flat_fee = DecimalStringField(required=False, help_text="Once a period in which the tier is reached.")
    percent = DecimalStringField(required=False, help_text="Of a percentage: 25 means 25 %.")


class PriceRequest(StrictSerializer):
    """One price of one condition. Amounts are in major units of the currency, 12 decimals at most; a field that the
    model has no use for is refused.
    """

    condition = TextField(max_length=128, help_text="Slug of an existing condition.")
    model = ChoiceTextField(
        choices=list(rating.MODELS), required=False, default=DEFAULT_MODEL, help_text="How the amount is worked out."
    )
    unit_price = DecimalStringField(required=False, help_text="per_unit: of each billable unit. package: of a package.")
    tiers = TierRequest(many=True, required=False, help_text="graduated, volume, percentage; edges ascend.")
    package_size = DecimalStringField(required=False, help_text="package: units in one; a begun one counts.")
    percent = DecimalStringField(required=False, help_text="percentage: of the outcome's amount; 25 means 25 %.")
    minimum = DecimalStringField(required=False, help_text="percentage: each outcome costs at least so much.")
    maximum = DecimalStringField(required=False, help_text="percentage: each outcome costs at most so much.")
    included = DecimalStringField(required=False, help_text="Units a period at no charge.")
    pool = TextField(
        required=False, max_length=MAX_POOL_NAME, help_text="Name of the contract's pooled allowance it draws on."
    )
    period_maximum = DecimalStringField(required=False, help_text="The price comes to at most so much a period.")
    match = MatchField(
        required=False, default=dict, help_text="Dimension values the price is for; the most specific price wins."
    )


class RateCardRequest(StrictSerializer):
    """The prices of a rate card in one currency, and from when on they hold."""

    currency = TextField(max_length=3, help_text="ISO 4217; the same in all versions of the card.")
    prices = PriceRequest(many=True, help_text="At least one; two that could fit equally well are refused.")
    effective_from = Rfc3339Field(
        required=False,
        allow_null=True,
        help_text="Outcomes met at or after this moment have these prices. Left out: for a new card all, for a later"
        " version those from now on.",
    )

    def fields_of(self) -> RateCardFields:
        data = self.validated_data
        return RateCardFields(data["currency"], prices_of(data["prices"]), data.get("effective_from"))


def prices_of(entries: list[dict[str, Any]]) -> tuple[PriceFields, ...]:
    """Prices as the use cases take them, of validated data."""
    return tuple(
        PriceFields(**{**entry, "tiers": tuple(TierInput(**tier) for tier in entry["tiers"])})
        if "tiers" in entry
        else PriceFields(**entry)
        for entry in entries
    )


# --- Answered ---------------------------------------------------------------------------------------------------------


class TierSerializer(serializers.Serializer[Any]):
    """One tier."""

    up_to = DecimalStringField(allow_null=True)
    unit_price = DecimalStringField(required=False)
    flat_fee = DecimalStringField(required=False)
    percent = DecimalStringField(required=False)


class PriceSerializer(serializers.Serializer[Any]):
    """One price of one condition: the fields it was given."""

    condition = serializers.CharField()
    model = serializers.ChoiceField(choices=list(rating.MODELS))
    unit_price = DecimalStringField(required=False)
    tiers = TierSerializer(many=True, required=False)
    package_size = DecimalStringField(required=False)
    percent = DecimalStringField(required=False)
    minimum = DecimalStringField(required=False)
    maximum = DecimalStringField(required=False)
    included = DecimalStringField(required=False)
    pool = serializers.CharField(required=False)
    period_maximum = DecimalStringField(required=False)
    match = serializers.DictField(child=serializers.CharField())


class RateCardVersionSerializer(serializers.Serializer[Any]):
    """One immutable state of a rate card."""

    version = serializers.IntegerField()
    prices = PriceSerializer(many=True)
    effective_from = Rfc3339Field(allow_null=True, help_text="Null: from the beginning of time.")
    created_at = Rfc3339Field()


class RateCardSummarySerializer(RateCardVersionSerializer):
    """A rate card as its version in force says it (where none is yet: the one that comes first)."""

    key = serializers.CharField()
    currency = serializers.CharField()


class RateCardSerializer(RateCardSummarySerializer):
    """A rate card with all of its versions, oldest first."""

    versions = RateCardVersionSerializer(many=True)
