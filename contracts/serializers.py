"""Shapes of what is handed in and answered, for the API, the files of `apply` and the OpenAPI document alike.

A serializer reads types and refuses unknown fields; what values mean is checked by the use cases. Those of prices and
rate cards stand in `price_serializers`, those of contracts in `contract_serializers`.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from access.fields import DecimalStringField, FlagField, PublicIdField, Rfc3339Field, TextField
from access.serializers import StrictSerializer
from access.strictjson import text_problem
from contracts import durations, fields
from contracts.customers import CustomerFields
from contracts.models import TestClock
from contracts.tax_rates import MAX_NOTE, TaxRateFields


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
    {"type": "object", "additionalProperties": {"type": "string"}, "examples": [{"resolved_ticket": "14 days"}]}
)
class WindowsField(serializers.Field[dict[str, int], Any, dict[str, str], Any]):
    """Settlement windows: a mapping of condition slugs to durations, text outside, seconds inside."""

    def to_internal_value(self, data: Any) -> dict[str, int]:
        if not isinstance(data, dict):
            raise serializers.ValidationError('Expected an object, such as {"resolved_ticket": "14 days"}.', "invalid")
        errors: dict[str, Any] = {}
        windows: dict[str, int] = {}
        for slug, text in data.items():
            problem = text_problem(slug)
            if problem is not None:
                errors[slug] = [serializers.ErrorDetail(problem[1], problem[0])]
                continue
            try:
                windows[slug] = DurationField().to_internal_value(text)
            except serializers.ValidationError as error:
                errors[slug] = error.detail
        if errors:
            raise serializers.ValidationError(errors)
        return windows

    def to_representation(self, value: dict[str, int]) -> dict[str, str]:
        return {slug: durations.text_of(seconds) for slug, seconds in value.items()}


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 1},
        "examples": [{"resolved_ticket": 2}],
    }
)
class PinsField(serializers.Field[dict[str, int], Any, dict[str, int], Any]):
    """Pinned versions: a mapping of condition slugs to version numbers."""

    def to_internal_value(self, data: Any) -> dict[str, int]:
        if not isinstance(data, dict):
            raise serializers.ValidationError('Expected an object, such as {"resolved_ticket": 2}.', "invalid")
        errors: dict[str, Any] = {}
        for slug, number in data.items():
            problem = text_problem(slug)
            if problem is not None:
                errors[slug] = [serializers.ErrorDetail(problem[1], problem[0])]
            elif not isinstance(number, int) or isinstance(number, bool) or number < 1:
                errors[slug] = [serializers.ErrorDetail("Expected the number of a version: 1, 2, 3 …", "invalid")]
        if errors:
            raise serializers.ValidationError(errors)
        return data

    def to_representation(self, value: dict[str, int]) -> dict[str, int]:
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
    test_clock = PublicIdField(
        TestClock.PREFIX,
        required=False,
        help_text="A test clock for the customer to live by, given at its creation; it never changes.",
    )
    address = TextField(
        required=False,
        max_length=fields.MAX_ADDRESS,
        allow_blank=True,
        help_text="As printed on invoices, lines apart by a line feed.",
    )
    tax_id = TextField(
        required=False,
        max_length=fields.MAX_TAX_ID,
        allow_blank=True,
        help_text="VAT number or the like, printed on invoices.",
    )
    locale = TextField(
        required=False,
        max_length=fields.MAX_LOCALE,
        help_text="Language and formats of what is sent: `en`, `de`, `de-CH`, `fr`, `ja` … Left out: en.",
    )
    tax_rates = serializers.ListField(
        child=TextField(max_length=fields.MAX_TAX_RATE_KEY),
        required=False,
        help_text="Keys of the taxes on invoices issued from now on: all on top of prices, or all contained in them.",
    )

    def fields_of(self) -> CustomerFields:
        data = dict(self.validated_data)
        return CustomerFields(**{**data, "tax_rates": tuple(data.get("tax_rates", ()))})


class TaxRateRequest(StrictSerializer):
    """A tax rate, without its key."""

    name = TextField(max_length=fields.MAX_NAME, help_text="What the customer reads, such as VAT.")
    percent = DecimalStringField(help_text="0 to 100; 19 means 19 %.")
    inclusive = FlagField(required=False, help_text="Whether prices contain the tax. Left out: it comes on top.")
    reverse_charge = FlagField(
        required=False, help_text="Whether the recipient owes the tax: 0 %, with the note that the law asks for."
    )
    note = TextField(required=False, max_length=MAX_NOTE, allow_blank=True, help_text="Printed on the invoice.")

    def fields_of(self) -> TaxRateFields:
        return TaxRateFields(**self.validated_data)


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
    customers = serializers.ListField(
        child=TextField(max_length=255),
        required=False,
        max_length=1000,
        help_text="Keys of the customers that the condition is for, and nobody else. Left out: for a new slug all of"
        " them, else as it is. Of a limited condition customers are added, from then on, and never taken off.",
    )


# --- Answered ---------------------------------------------------------------------------------------------------------


class CustomerSerializer(serializers.Serializer[Any]):
    """Whom the seller bills."""

    key = serializers.CharField(help_text="The seller's own name for the customer; events refer to it.")
    name = serializers.CharField()
    currency = serializers.CharField()
    time_zone = serializers.CharField()
    email = serializers.CharField()
    address = serializers.CharField()
    tax_id = serializers.CharField()
    locale = serializers.CharField()
    tax_rates = serializers.ListField(child=serializers.CharField(), help_text="Keys, in order.")
    test = serializers.BooleanField(help_text="Whether it lives by a test clock.")
    test_clock = PublicIdField(TestClock.PREFIX, allow_null=True)
    created_at = Rfc3339Field()


class TaxRateSerializer(serializers.Serializer[Any]):
    """A tax that invoices may carry."""

    key = serializers.CharField()
    name = serializers.CharField()
    percent = DecimalStringField()
    inclusive = serializers.BooleanField()
    reverse_charge = serializers.BooleanField()
    note = serializers.CharField()
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
    customers = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Whom alone the condition is for; null: everybody."
    )


class ConditionSerializer(ConditionSummarySerializer):
    """A condition with all of its versions, oldest first."""

    versions = ConditionVersionSerializer(many=True)


class ConditionAnswerSerializer(ConditionSerializer):
    """The condition as the text that was sent says it, and what the checker warns of in it."""

    warnings = DiagnosticSerializer(many=True)
