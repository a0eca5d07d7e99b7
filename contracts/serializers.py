"""Shapes of what is handed in and answered, for the API, the files of `apply` and the OpenAPI document alike.

A serializer reads types and refuses unknown fields; what values mean is checked by the use cases.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from access.fields import ChoiceTextField, DecimalStringField, PublicIdField, Rfc3339Field, TextField, WholeNumberField
from access.serializers import StrictSerializer
from access.strictjson import text_problem
from contracts import agreements, durations
from contracts.agreements import ContractFields
from contracts.customers import CustomerFields
from contracts.domain import rating
from contracts.domain.periods import BILLING_PERIODS
from contracts.prices import DEFAULT_MODEL, PriceFields
from contracts.rate_cards import RateCardFields


@extend_schema_field({"type": "string", "examples": ["12 hours"]})
class DurationField(serializers.Field[int, Any, str, Any]):
    """A duration in the notation of conditions: text outside, seconds inside."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str):
            raise serializers.ValidationError('Expected a duration as text, such as "12 hours".', "invalid_duration")
        try:
            return durations.seconds_of(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error), "invalid_duration") from error

    def to_representation(self, value: int) -> str:
        return durations.text_of(value)


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


class CustomerRequest(StrictSerializer):
    """A customer, without its key."""

    name = TextField(required=False, max_length=255, allow_blank=True, help_text="Left out, it is the key.")
    currency = TextField(max_length=3, help_text="ISO 4217; what the customer's contracts default to.")
    time_zone = TextField(
        required=False, max_length=64, help_text="IANA name; what the customer's contracts default to. Left out: UTC."
    )
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)

    def fields_of(self) -> CustomerFields:
        return CustomerFields(**self.validated_data)


class ConditionTextRequest(StrictSerializer):
    """The text of a condition."""

    text = TextField(allow_blank=True, help_text="In the condition language.")


class ConditionRequest(ConditionTextRequest):
    """The text of a condition, and from when on it holds."""

    effective_from = Rfc3339Field(
        required=False,
        allow_null=True,
        help_text="Attempts that begin at or after this moment follow the text. Left out: for a new slug all attempts,"
        " for a later version those from now on. A later version may not start in the past.",
    )


class PriceRequest(StrictSerializer):
    """One price of one condition."""

    condition = TextField(max_length=128, help_text="Slug of an existing condition.")
    model = ChoiceTextField(
        choices=list(rating.MODELS), required=False, default=DEFAULT_MODEL, help_text="How the amount is worked out."
    )
    unit_price = DecimalStringField(help_text="Per billable unit, in major units of the currency; 12 decimals at most.")
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


class TermsRequest(StrictSerializer):
    """What a contract says, without whom and from when."""

    rate_card = TextField(max_length=128, help_text="Key of an existing rate card.")
    currency = TextField(
        required=False, max_length=3, help_text="ISO 4217, the rate card's. Left out: the customer's currency."
    )
    ends_at = Rfc3339Field(required=False, allow_null=True, help_text="Left out: without an end.")
    billing_period = ChoiceTextField(choices=list(BILLING_PERIODS), required=False)
    anchor_day = WholeNumberField(
        required=False,
        min_value=1,
        max_value=31,
        help_text="Day on which periods begin: 1 to 31 (the last day where a month is shorter); weekly 1 (Monday) to 7."
        " Left out: 1.",
    )
    time_zone = TextField(
        required=False, max_length=64, help_text="IANA name; periods are cut at its midnight. Left out: the customer's."
    )
    net_days = WholeNumberField(
        required=False,
        min_value=0,
        max_value=agreements.MAX_NET_DAYS,
        help_text="Days from issue until an invoice is due. Left out: 30.",
    )
    settlement_grace = DurationField(
        required=False, help_text="Settlement waits this much longer for events that are delivered late: `12 hours`."
    )
    prices = PriceRequest(
        many=True, required=False, help_text="Prices of this contract alone; each beats the rate card where it fits."
    )


class ContractRequest(TermsRequest):
    """A contract."""

    customer = TextField(max_length=255, help_text="Key of an existing customer.")
    starts_at = Rfc3339Field()

    def fields_of(self) -> ContractFields:
        data = dict(self.validated_data)
        if "settlement_grace" in data:
            data["settlement_grace_seconds"] = data.pop("settlement_grace")
        data["prices"] = prices_of(data.get("prices", []))
        return ContractFields(**data)


def prices_of(entries: list[dict[str, Any]]) -> tuple[PriceFields, ...]:
    return tuple(PriceFields(**entry) for entry in entries)


# --- Answered ---------------------------------------------------------------------------------------------------------


class CustomerSerializer(serializers.Serializer[Any]):
    """Whom the seller bills."""

    key = serializers.CharField(help_text="The seller's own name for the customer; events refer to it.")
    name = serializers.CharField()
    currency = serializers.CharField()
    time_zone = serializers.CharField()
    email = serializers.CharField()
    created_at = Rfc3339Field()


class DiagnosticSerializer(serializers.Serializer[Any]):
    """One finding in the text of a condition."""

    severity = serializers.ChoiceField(choices=["error", "warning"])
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    message = serializers.CharField()
    fix = serializers.CharField(required=False, help_text="The whole text, mended; where there is one.")


class CheckSerializer(serializers.Serializer[Any]):
    """What a text says, or why it says nothing."""

    ok = serializers.BooleanField()
    diagnostics = DiagnosticSerializer(many=True)
    canonical = serializers.CharField(allow_null=True, help_text="The text in canonical form; null where it is none.")
    description = serializers.CharField(allow_null=True, help_text="The same in plain English.")


class ConditionVersionSerializer(serializers.Serializer[Any]):
    """One immutable text of a condition."""

    version = serializers.IntegerField()
    title = serializers.CharField(help_text="What the invoice line says.")
    text = serializers.CharField(help_text="As its author wrote it.")
    canonical = serializers.CharField(help_text="What the engine runs.")
    description = serializers.CharField(help_text="The same in plain English.")
    effective_from = Rfc3339Field(allow_null=True, help_text="Null: from the beginning of time.")
    created_at = Rfc3339Field()


class ConditionSummarySerializer(ConditionVersionSerializer):
    """A condition as its version in force says it (where none is yet: the one that comes first)."""

    slug = serializers.CharField()


class ConditionSerializer(ConditionSummarySerializer):
    """A condition with all of its versions, oldest first."""

    versions = ConditionVersionSerializer(many=True)


class ConditionAnswerSerializer(ConditionSerializer):
    """The condition as the text that was sent says it, and what the checker warns of in it."""

    warnings = DiagnosticSerializer(many=True)


class PriceSerializer(serializers.Serializer[Any]):
    """One price of one condition."""

    condition = serializers.CharField()
    model = serializers.ChoiceField(choices=list(rating.MODELS))
    unit_price = DecimalStringField()
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


class ContractSerializer(serializers.Serializer[Any]):
    """A contract with the terms of its latest version."""

    id = PublicIdField(agreements.ID_PREFIX)
    customer = serializers.CharField()
    currency = serializers.CharField()
    starts_at = Rfc3339Field()
    ends_at = Rfc3339Field(allow_null=True)
    version = serializers.IntegerField()
    rate_card = serializers.CharField()
    billing_period = serializers.ChoiceField(choices=list(BILLING_PERIODS))
    anchor_day = serializers.IntegerField()
    time_zone = serializers.CharField()
    net_days = serializers.IntegerField()
    settlement_grace = serializers.CharField(help_text="A duration: `0 seconds`, `12 hours`.")
    prices = PriceSerializer(many=True)
    created_at = Rfc3339Field()
