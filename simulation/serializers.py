"""The shape of a question, for the API, the command and the stored job alike."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import exceptions, serializers

from access.errors import Detail, InvalidInput, flatten
from access.fields import ChoiceTextField, DecimalStringField, FlagField, Rfc3339Field, TextField, WholeNumberField
from access.serializers import StrictSerializer
from access.times import format_rfc3339
from contracts.condition_text import examine_here
from contracts.conditions import condition_error
from contracts.contract_serializers import DiscountRequest, FeeRequest, PoolsField, changes_of
from contracts.domain.periods import BILLING_PERIODS
from contracts.models import ContractVersion
from contracts.price_serializers import PriceRequest, prices_of
from contracts.refusals import raise_if_any
from contracts.serializers import WindowsField
from simulation.asked import Asked, Card

MAX_TEXT = 16 * 1024

_ON_DOCUMENTS = "It decides on documents, not on what periods come to, which is what is simulated: leave it out."
NOT_TRIED = {
    "rate_card": "Prices in the place of a rate card's are given beside `contract`, as `rate_card`.",
    "conditions": "Another text of a condition is given beside `contract`, as `condition`; it replaces pinned ones.",
    "settlement_grace": "It delays what is booked and moves no outcome, so no amount would differ. What waiting longer"
    " could have caught is at most what came late and was left out: ask for `late_evidence: reverse`.",
    "commitments": "They are agreed once and never replaced: those agreed are drawn down here as they are. What a"
    " customer would owe at least, `minimum` tells period by period.",
    "pass_on": "What is passed on another system invoices: here it would come to nothing, whatever it is worth.",
    "net_days": _ON_DOCUMENTS,
    "credit_notes": _ON_DOCUMENTS,
    "credits": _ON_DOCUMENTS,
    "zero_invoices": _ON_DOCUMENTS,
    "progressive_threshold": _ON_DOCUMENTS,
    "collection_method": _ON_DOCUMENTS,
}
"""Terms of a contract that cannot be tried: why not, and what to do instead."""


class CardRequest(StrictSerializer):
    """Prices in the place of a rate card, as if they had always been in force."""

    key = TextField(
        required=False,
        max_length=128,
        help_text="Key of the rate card they stand in the place of. Left out: of every one in this currency.",
    )
    currency = TextField(max_length=3, help_text="ISO 4217.")
    prices = PriceRequest(many=True, help_text="At least one; two that could fit equally well are refused.")


class LateField(ChoiceTextField):
    """`reverse`; a policy that cannot be tried is refused with why."""

    def to_internal_value(self, data: Any) -> Any:
        if data in (ContractVersion.LateEvidence.REVIEW, ContractVersion.LateEvidence.IGNORE):
            message = (
                f"Which events `{data}` would have left out depends on what had been booked when each of them came, and"
                " bookings are not computed again. The other way round can be tried, `reverse`: what contracts left out"
                " counts then."
            )
            raise serializers.ValidationError(message, code="not_simulated")
        return super().to_internal_value(data)


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
    billing_period = ChoiceTextField(
        choices=list(BILLING_PERIODS),
        required=False,
        help_text="Amounts of a full period stay as they are: a minimum of 100 a month becomes one of 100 a quarter.",
    )
    anchor_day = WholeNumberField(required=False, min_value=1, max_value=31)
    time_zone = TextField(required=False, max_length=64, help_text="IANA name; periods are cut at its midnight.")
    late_evidence = LateField(
        choices=["reverse"],
        required=False,
        help_text="reverse: events that came late and that contracts left out take back what they contradict.",
    )

    def _refused_names(self, data: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: [exceptions.ErrorDetail(why, "not_simulated")] for name, why in NOT_TRIED.items() if name in data}
        return {**super()._refused_names(data), **told}


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
            finding = examine_here(data["condition"])
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
