"""The shape of a question, for the API, the command and the stored job alike."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from access.errors import Detail, InvalidInput, flatten
from access.fields import DecimalStringField, FlagField, Rfc3339Field, TextField
from access.serializers import StrictSerializer
from access.times import format_rfc3339
from contracts.condition_text import examine
from contracts.conditions import condition_error
from contracts.contract_serializers import DiscountRequest, FeeRequest, PoolsField, changes_of
from contracts.price_serializers import PriceRequest, prices_of
from contracts.refusals import raise_if_any
from contracts.serializers import WindowsField
from simulation.asked import Asked, Card

MAX_TEXT = 16 * 1024


class CardRequest(StrictSerializer):
    """Prices in the place of a rate card, as if they had always been in force."""

    key = TextField(
        required=False,
        max_length=128,
        help_text="Key of the rate card they stand in the place of. Left out: of every one in this currency.",
    )
    currency = TextField(max_length=3, help_text="ISO 4217.")
    prices = PriceRequest(many=True, help_text="At least one; two that could fit equally well are refused.")


class TermsRequest(StrictSerializer):
    """Terms in the place of those of every contract version; what is left out stays as agreed."""

    prices = PriceRequest(many=True, required=False, help_text="Each beats the rate card where it fits.")
    discount = DiscountRequest(required=False, allow_null=True)
    minimum = DecimalStringField(required=False, allow_null=True)
    cap = DecimalStringField(required=False, allow_null=True)
    fees = FeeRequest(many=True, required=False)
    pools = PoolsField(required=False, help_text="Pooled allowances: units a period, by name.")
    trial = FlagField(required=False, help_text="What is met is counted and shown, and nothing is charged.")
    settlement_windows = WindowsField(
        required=False, help_text="Other durations for `settle after`, by condition: `14 days`."
    )


class SimulationRequest(StrictSerializer):
    """What is to be tried. Without `condition`, `rate_card` and `contract` what is in force is computed again."""

    condition = TextField(
        required=False,
        max_length=MAX_TEXT,
        help_text="Text of a condition. It stands in the place of every version of its slug; of a new slug it is"
        " simulated beside the others.",
    )
    rate_card = CardRequest(required=False)
    contract = TermsRequest(required=False)
    customers = serializers.ListField(
        child=TextField(max_length=255), required=False, help_text="Keys of customers. Left out: all."
    )
    window_curve = TextField(
        required=False,
        max_length=128,
        help_text="Slug of a condition that settles after a duration: revenue by windows of 1 hour to 30 days.",
    )
    price_curve = TextField(
        required=False, max_length=128, help_text="Slug of a condition: revenue by prices of 50 % to 150 %."
    )

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's own.
        span = {
            "from": Rfc3339Field(help_text="Billing periods that end after it count, whole."),
            "to": Rfc3339Field(help_text="Billing periods that begin before it count, whole."),
        }
        return {**super().get_fields(), **span}

    def asked(self) -> Asked:
        """The question. ApiError where the text is no condition."""
        data = self.validated_data
        card, terms = data.get("rate_card"), data.get("contract", {})
        if "customers" in data and not data["customers"]:
            raise_if_any([Detail("customers", "Name at least one customer, or leave `customers` out.", "empty")])
        reading = None
        if "condition" in data:
            finding = examine(data["condition"])
            if finding.reading is None or not finding.ok:
                raise condition_error(finding.diagnostics, "condition")
            reading = finding.reading
        return Asked(
            start=data["from"],
            end=data["to"],
            condition=reading,
            rate_card=card and Card(card["currency"], prices_of(card["prices"]), card.get("key")),
            contract=changes_of(terms),
            customers=tuple(dict.fromkeys(data["customers"])) if "customers" in data else None,
            window_curve=data.get("window_curve"),
            price_curve=data.get("price_curve"),
        )


class ShadowRequest(SimulationRequest):
    """A draft to be looked at beside what is in force: at least one of `condition`, `rate_card` and `contract`."""

    name = TextField(max_length=128, help_text="Tells it from other shadows.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        start = Rfc3339Field(
            required=False,
            help_text="Billing periods that end after it count, whole. Not later than now; left out: now.",
        )
        return {name: one for name, one in fields.items() if name not in SPAN_AND_CURVES} | {"from": start}


SPAN_AND_CURVES = ("from", "to", "window_curve", "price_curve")


def read_shadow(given: Any, now: datetime) -> tuple[str, dict[str, Any]]:
    """The name of a shadow that a decoded JSON body asks for, and its question without an end. Raises ApiError (422)
    with every place at fault.
    """
    request = ShadowRequest(data=given)
    if not request.is_valid():
        raise InvalidInput(flatten(request.errors))
    problems = []
    if request.validated_data.get("from", now) > now:
        problems.append(Detail("from", "A shadow starts now or earlier: leave `from` out to start now.", "invalid"))
    if not given.keys() & {"condition", "rate_card", "contract"}:
        message = "Give what is to be tried: `condition`, `rate_card` or `contract`."
        problems.append(Detail("condition", message, "required"))
    raise_if_any(problems)
    asked = {"from": format_rfc3339(now)} | {name: value for name, value in given.items() if name != "name"}
    return request.validated_data["name"], asked


def read(given: Any) -> Asked:
    """The question that a decoded JSON body asks. Raises ApiError (422) with every place at fault."""
    request = SimulationRequest(data=given)
    if not request.is_valid():
        raise InvalidInput(flatten(request.errors))
    return request.asked()
