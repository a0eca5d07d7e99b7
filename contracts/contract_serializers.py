"""Shapes of contracts, their phases and amendments, as handed in and as answered."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from access.fields import (
    ChoiceTextField,
    DecimalStringField,
    FlagField,
    PublicIdField,
    Rfc3339Field,
    TextField,
    WholeNumberField,
)
from access.serializers import StrictSerializer
from access.strictjson import text_problem
from contracts import agreed
from contracts.agreements import ID_PREFIX, ContractFields
from contracts.domain import rating
from contracts.domain.periods import BILLING_PERIODS
from contracts.domain.rating import CommitmentInput, DiscountInput, FeeInput
from contracts.price_serializers import PriceRequest, PriceSerializer, prices_of
from contracts.serializers import DurationField, PinsField, WindowsField
from contracts.timeline import Amendment


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}, "examples": [{"tickets": "500"}]})
class PoolsField(serializers.Field[dict[str, Any], Any, dict[str, str], Any]):
    """Pooled allowances: a mapping of names to units a period."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError('Expected an object, such as {"tickets": 500}.', "invalid")
        errors: dict[str, Any] = {}
        pools: dict[str, Any] = {}
        for name, units in data.items():
            problem = text_problem(name)
            if problem is not None:
                errors[name] = [serializers.ErrorDetail(problem[1], problem[0])]
                continue
            try:
                pools[name] = DecimalStringField().to_internal_value(units)
            except serializers.ValidationError as error:
                errors[name] = error.detail
        if errors:
            raise serializers.ValidationError(errors)
        return pools

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        return value


# --- Taken ------------------------------------------------------------------------------------------------------------


class DiscountRequest(StrictSerializer):
    """Off what a period comes to: one of the two."""

    percent = DecimalStringField(required=False, help_text="10 means 10 %.")
    amount = DecimalStringField(required=False, help_text="Off a full period; less is off where less is charged.")


class FeeRequest(StrictSerializer):
    """A base fee, beside what is charged for outcomes."""

    name = TextField(max_length=agreed.MAX_FEE_NAME, help_text="What the customer reads on the line.")
    kind = ChoiceTextField(
        choices=list(rating.FEE_KINDS),
        help_text="recurring: of every full period, prorated by days. seats: the same for each seat. one_off: once.",
    )
    amount = DecimalStringField()
    seats = DecimalStringField(required=False, help_text="Of a fee by seats: how many.")
    timing = ChoiceTextField(
        choices=list(rating.TIMINGS),
        required=False,
        help_text="Whether it stands on the invoice before or after its period. Left out: arrears.",
    )
    counts = FlagField(required=False, help_text="Whether discount, minimum and cap take it in. Left out: no.")


class CommitmentRequest(StrictSerializer):
    """What the customer commits to over several billing periods."""

    amount = DecimalStringField()
    starts_at = Rfc3339Field(
        required=False, help_text="With a billing period. Left out: when the terms begin that charge."
    )
    ends_at = Rfc3339Field(required=False, allow_null=True, help_text="With a period. Left out: with the contract.")
    payment = ChoiceTextField(
        choices=list(rating.TIMINGS),
        help_text="advance: billed at once and drawn down by usage, the rest expires. arrears: what is missing at the"
        " end is charged then.",
    )


class VersionRequest(StrictSerializer):
    """Terms that can differ from version to version of a contract, in the currency of the contract."""

    rate_card = TextField(required=False, max_length=128, help_text="Key of an existing rate card.")
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
        max_value=agreed.MAX_NET_DAYS,
        help_text="Days from issue until an invoice is due. Left out: 30.",
    )
    settlement_grace = DurationField(
        required=False, help_text="Settlement waits this much longer for events that are delivered late: `12 hours`."
    )
    settlement_windows = WindowsField(
        required=False,
        help_text="Other durations for `settle after`, by condition: `14 days`. They hold for what is met while"
        " the contract is in force. Refused where a condition settles in another form, or outcomes were met already.",
    )
    late_evidence = ChoiceTextField(
        choices=agreed.CHOICES["late_evidence"].values,
        required=False,
        help_text="What follows when a late event would change a confirmed outcome. Left out: reverse.",
    )
    credit_notes = ChoiceTextField(
        choices=agreed.CHOICES["credit_notes"].values,
        required=False,
        help_text="Whether credit notes that correct what was invoiced are issued by themselves, or wait for approval."
        " Left out: automatic.",
    )
    credits = ChoiceTextField(
        choices=agreed.CHOICES["credits"].values,
        required=False,
        help_text="Where credit goes that no open invoice takes. Left out: next_invoice.",
    )
    zero_invoices = ChoiceTextField(
        choices=agreed.CHOICES["zero_invoices"].values,
        required=False,
        help_text="Whether an invoice that comes to zero is issued, or skipped and what it says carried to the next."
        " Left out: issue.",
    )
    progressive_threshold = DecimalStringField(
        required=False,
        allow_null=True,
        help_text="Unbilled usage of so much is invoiced inside the period. Left out: when the period has ended.",
    )
    collection_method = ChoiceTextField(
        choices=agreed.CHOICES["collection_method"].values,
        required=False,
        help_text="How Stripe collects what is invoiced: it sends the invoice, or charges the customer's payment"
        " method. Left out: send_invoice.",
    )
    pass_on = ChoiceTextField(
        choices=agreed.CHOICES["pass_on"].values,
        required=False,
        help_text="Whether confirmed outcomes are handed over to another system, which invoices them, instead of being"
        " invoiced here. With anything but none there are no terms of money. Left out: none.",
    )
    conditions = PinsField(
        required=False,
        help_text="Versions of conditions that are pinned: attempts of the customer that begin while the contract is in"
        " force take these, whatever is in force in general. Refused for what was evaluated by another already.",
    )
    prices = PriceRequest(
        many=True, required=False, help_text="Prices of this contract alone; each beats the rate card where it fits."
    )
    discount = DiscountRequest(required=False, allow_null=True, help_text="Taken before maximums, minimum and cap.")
    minimum = DecimalStringField(
        required=False, allow_null=True, help_text="A full period comes to at least so much; the difference is charged."
    )
    cap = DecimalStringField(
        required=False,
        allow_null=True,
        help_text="A full period comes to at most so much; what exceeds it is not charged.",
    )
    fees = FeeRequest(many=True, required=False)
    pools = PoolsField(required=False, help_text="Pooled allowances: units a period, by name. Prices name their pool.")
    commitments = CommitmentRequest(
        many=True, required=False, help_text="They stand beside those agreed before, and never change."
    )
    trial = FlagField(required=False, help_text="What is met is counted and shown, and nothing is charged.")

    def changes_of(self, *own: str) -> dict[str, Any]:
        """What was given of the version's fields, as `agreed.VersionFields` holds them; ``own`` are left aside."""
        return changes_of({name: value for name, value in self.validated_data.items() if name not in own})


class PhaseRequest(VersionRequest):
    """A further version that is agreed at once: what differs from the one before it, from a date on. It is a trial only
    where it says so.
    """

    starts_at = Rfc3339Field(help_text="After the phase before it; the contract's start is its first version.")


class TermsRequest(VersionRequest):
    """What a contract says, without whom and from when."""

    rate_card = TextField(max_length=128, help_text="Key of an existing rate card.")
    currency = TextField(
        required=False, max_length=3, help_text="ISO 4217, the rate card's. Left out: the customer's currency."
    )
    ends_at = Rfc3339Field(required=False, allow_null=True, help_text="Left out: without an end.")
    phases = PhaseRequest(
        many=True, required=False, help_text="Ramps and trials: further versions, each from its starts_at on."
    )


class ContractRequest(TermsRequest):
    """A contract."""

    customer = TextField(max_length=255, help_text="Key of an existing customer.")
    starts_at = Rfc3339Field()

    def fields_of(self) -> ContractFields:
        data = self.validated_data
        whole = {name: data[name] for name in ("customer", "starts_at", "ends_at", "currency") if name in data}
        phases = tuple(amendment_of(phase, "starts_at") for phase in data.get("phases", ()))
        return ContractFields(**whole, **self.changes_of(*whole, "phases", "amendments"), phases=phases)


class AmendmentRequest(VersionRequest):
    """What changes, and from when on. A field that is given replaces what stood there, as a whole; null takes
    discount, minimum, cap and progressive_threshold away.
    """

    effective_at = Rfc3339Field(
        help_text="In the contract's span. In the past for prices and other terms of money alone."
    )
    ends_at = Rfc3339Field(required=False, help_text="Sets the contract's end, or brings it forward.")

    def fields_of(self) -> Amendment:
        return amendment_of(self.validated_data, "effective_at")


class ContractFileRequest(ContractRequest):
    """A contract as a file tells it, with its history: what was agreed, and the amendments since."""

    amendments = AmendmentRequest(many=True, required=False)

    def amendments_of(self) -> tuple[Amendment, ...]:
        return tuple(amendment_of(one, "effective_at") for one in self.validated_data.get("amendments", ()))


def amendment_of(data: dict[str, Any], start: str) -> Amendment:
    """A phase or an amendment as the use cases take it, of validated data; ``start`` names its first moment."""
    terms = {name: value for name, value in data.items() if name not in (start, "ends_at")}
    return Amendment(data[start], changes_of(terms), data.get("ends_at"))


def changes_of(data: dict[str, Any]) -> dict[str, Any]:
    """Validated terms as `agreed.VersionFields` holds them."""
    changes = dict(data)
    if "settlement_grace" in changes:
        changes["settlement_grace_seconds"] = changes.pop("settlement_grace")
    if "prices" in changes:
        changes["prices"] = prices_of(changes["prices"])
    if changes.get("discount") is not None:
        changes["discount"] = DiscountInput(**changes["discount"])
    if "fees" in changes:
        changes["fees"] = tuple(FeeInput(**fee) for fee in changes["fees"])
    if "commitments" in changes:
        changes["commitments"] = tuple(CommitmentInput(**one) for one in changes["commitments"])
    return changes


# --- Answered ---------------------------------------------------------------------------------------------------------


class DiscountSerializer(serializers.Serializer[Any]):
    """Off what a period comes to: one of the two."""

    percent = DecimalStringField(required=False)
    amount = DecimalStringField(required=False)


class FeeSerializer(serializers.Serializer[Any]):
    """A base fee."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=list(rating.FEE_KINDS))
    amount = DecimalStringField()
    seats = DecimalStringField(required=False)
    timing = serializers.ChoiceField(choices=list(rating.TIMINGS), required=False)
    counts = serializers.BooleanField()


class CommitmentSerializer(serializers.Serializer[Any]):
    """A commitment over several billing periods."""

    amount = DecimalStringField()
    starts_at = Rfc3339Field()
    ends_at = Rfc3339Field(allow_null=True, help_text="Null: with the contract.")
    payment = serializers.ChoiceField(choices=list(rating.TIMINGS))


class VersionTermsSerializer(serializers.Serializer[Any]):
    """The terms of one version."""

    version = serializers.IntegerField()
    effective_at = Rfc3339Field(help_text="It holds until the next one starts; of two with one start the later made.")
    rate_card = serializers.CharField()
    billing_period = serializers.ChoiceField(choices=list(BILLING_PERIODS))
    anchor_day = serializers.IntegerField()
    time_zone = serializers.CharField()
    net_days = serializers.IntegerField()
    settlement_grace = serializers.CharField(help_text="A duration: `0 seconds`, `12 hours`.")
    settlement_windows = serializers.DictField(
        child=serializers.CharField(), help_text="Durations of the contract's own, by condition."
    )
    late_evidence = serializers.ChoiceField(choices=agreed.CHOICES["late_evidence"].values)
    credit_notes = serializers.ChoiceField(choices=agreed.CHOICES["credit_notes"].values)
    credits = serializers.ChoiceField(choices=agreed.CHOICES["credits"].values)
    zero_invoices = serializers.ChoiceField(choices=agreed.CHOICES["zero_invoices"].values)
    collection_method = serializers.ChoiceField(choices=agreed.CHOICES["collection_method"].values)
    pass_on = serializers.ChoiceField(choices=agreed.CHOICES["pass_on"].values)
    conditions = serializers.DictField(
        child=serializers.IntegerField(), help_text="Pinned versions of conditions, by slug."
    )
    prices = PriceSerializer(many=True)
    discount = DiscountSerializer(allow_null=True)
    minimum = DecimalStringField(allow_null=True)
    cap = DecimalStringField(allow_null=True)
    progressive_threshold = DecimalStringField(allow_null=True)
    fees = FeeSerializer(many=True)
    pools = serializers.DictField(child=serializers.CharField())
    commitments = CommitmentSerializer(many=True, help_text="Those agreed with this version.")
    trial = serializers.BooleanField()
    created_at = Rfc3339Field()


class ContractSummarySerializer(VersionTermsSerializer):
    """A contract with the terms of its version in force (before its start: of the first)."""

    id = PublicIdField(ID_PREFIX)
    customer = serializers.CharField()
    currency = serializers.CharField()
    starts_at = Rfc3339Field()
    ends_at = Rfc3339Field(allow_null=True)


class ContractSerializer(ContractSummarySerializer):
    """The same with all versions, in the order in which they were made."""

    versions = VersionTermsSerializer(many=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    """One term that changes; null where there is none."""

    name = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ContractPreviewSerializer(serializers.Serializer[Any]):
    """What a change would do. Nothing is stored."""

    contract = ContractSerializer(help_text="As it would be.")
    differences = DifferenceSerializer(many=True)
    periods = serializers.JSONField(
        allow_null=True, help_text="The running period and each invoiced one that comes out differently."
    )
