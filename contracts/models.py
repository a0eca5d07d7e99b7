"""What was agreed: customers, conditions and their versions, rate cards and their versions, contracts and theirs.

Versions are rows that never change: what has been billed can always be recomputed from them.
"""

import uuid
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import Func, Q

from access import ids

PARTITIONS = 64
"""Units of parallel work; a customer's partition is fixed for ever (contracts.partitions)."""


class TestClock(models.Model):
    """A `now` that moves forward when told to, and never back (a database trigger). Everything about the customers
    attached to it runs by it instead of by the wall clock (`contracts.clocks`).
    """

    PREFIX = "clk"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255, blank=True)
    now = models.DateTimeField(help_text="What time it is for its customers.")
    created_at = models.DateTimeField(help_text="By the wall clock.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name or self.public_id

    @property
    def public_id(self) -> str:
        """``clk_…``, as the API names it."""
        return ids.encode(self.PREFIX, self.id)


def number_field(*, null: bool = True, help_text: str = "") -> "models.DecimalField[Any, Any]":
    """An exact decimal: a price, an amount in major units, units or a percentage."""
    return models.DecimalField(max_digits=30, decimal_places=12, null=null, blank=null, help_text=help_text)


def absent(field: str) -> Q:
    """The field says nothing."""
    return Q(**{f"{field}__isnull": True})


# NaN sorts above every number in PostgreSQL, so an upper bound refuses it too.
def not_negative(field: str, *, at_most: int | None = None) -> Q:
    """The field is a number from 0 on."""
    return Q(**{f"{field}__gte": 0}) & _bounded(field, at_most)


def above_zero(field: str, *, at_most: int | None = None) -> Q:
    """The field is a number above 0."""
    return Q(**{f"{field}__gt": 0}) & _bounded(field, at_most)


def _bounded(field: str, at_most: int | None) -> Q:
    return Q(**{f"{field}__lt": 10**15} if at_most is None else {f"{field}__lte": at_most})


def _fields_fit_model() -> Q:
    """What each price model needs, and has no use for."""
    allowance = Q(pool="") | Q(included__isnull=True)
    tiers, no_tiers = ~Q(tiers=[]), Q(tiers=[])
    per_outcome = absent("minimum") & absent("maximum")
    by_units = absent("percent") & per_outcome & allowance
    in_tiers = absent("unit_price") & absent("package_size") & tiers & by_units
    priced = Q(unit_price__isnull=False) & no_tiers & by_units
    nothing = absent("unit_price") & absent("package_size") & Q(pool="") & absent("included")
    return (
        (Q(model="per_unit") & absent("package_size") & priced)
        | (Q(model__in=["graduated", "volume"]) & in_tiers)
        | (Q(model="package") & Q(package_size__isnull=False) & priced)
        | (Q(model="percentage") & nothing & ((Q(percent__isnull=False) & no_tiers) | (absent("percent") & tiers)))
        | (Q(model="free") & nothing & absent("percent") & no_tiers & per_outcome & absent("period_maximum"))
    )


class TaxRate(models.Model):
    """A tax that invoices may carry, known by its key: a percentage on top of the lines, or contained in them.

    An invoice freezes what it used, so a rate that is changed holds for what is issued from then on. With
    ``reverse_charge`` the recipient owes the tax: 0 %, and the ``note`` that the law asks for.
    """

    key = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=255, help_text="What the customer reads, such as VAT.")
    percent = models.DecimalField(max_digits=15, decimal_places=12, help_text="19 means 19 %.")
    inclusive = models.BooleanField(default=False, help_text="Whether prices contain it.")
    reverse_charge = models.BooleanField(default=False)
    note = models.TextField(blank=True, help_text="Printed on the invoice.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(condition=not_negative("percent", at_most=100), name="tax_rate_is_sane"),
            models.CheckConstraint(
                condition=Q(reverse_charge=False) | (Q(percent=0, inclusive=False) & ~Q(note="")),
                name="tax_reverse_charge_has_a_note",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percent.normalize():f} %"


class Customer(models.Model):
    """Whom the seller bills. ``key`` is the seller's own name for it and never changes: events refer to it.

    ``test_clock`` makes it a test customer; it is given at creation and never changes (a database trigger).
    """

    key = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=255)
    currency = models.CharField(max_length=3, help_text="ISO 4217 code that contracts of this customer default to.")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Zone in which billing periods are cut.")
    email = models.EmailField(blank=True)
    address = models.TextField(blank=True, help_text="As printed on invoices, a line each.")
    tax_id = models.CharField(max_length=64, blank=True, help_text="VAT number or the like, printed on invoices.")
    locale = models.CharField(max_length=16, default="en", help_text="Language and formats of what is sent: en, de-CH.")
    tax_rates = models.ManyToManyField(TaxRate, blank=True, related_name="customers")
    partition = models.SmallIntegerField(editable=False, help_text="hash(key) % 64: the unit of parallel evaluation.")
    test_clock = models.ForeignKey(
        TestClock, null=True, blank=True, on_delete=models.PROTECT, related_name="customers", db_index=False
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        indexes = [
            models.Index(fields=["test_clock"], condition=Q(test_clock__isnull=False), name="customer_by_test_clock")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(partition__gte=0) & Q(partition__lt=PARTITIONS), name="customer_partition_range"
            ),
        ]

    def __str__(self) -> str:
        name = self.name or self.key
        return name if self.test_clock_id is None else f"{name} (test)"


class Condition(models.Model):
    """A billable outcome's slug. What it says stands in its versions; ``per`` is the same in all of them."""

    slug = models.CharField(max_length=128, unique=True)
    limited = models.BooleanField(
        default=False, help_text="For the customers that are named alone (ConditionCustomer)."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class ConditionCustomer(models.Model):
    """A customer that a limited condition is for: of its attempts, those that begin at or after ``since``.

    ``since`` is null for those named when the slug was made. Nobody is taken off.
    """

    condition = models.ForeignKey(Condition, on_delete=models.PROTECT, related_name="named")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["condition", "customer"]
        constraints = [models.UniqueConstraint(fields=["condition", "customer"], name="condition_names_customer_once")]

    def __str__(self) -> str:
        return f"{self.condition} for {self.customer}"


class ConditionVersion(models.Model):
    """One immutable text of a condition. In force for attempts that begin at or after ``effective_from``.

    ``effective_from`` is null on a first version that applies from the beginning of time.
    """

    condition = models.ForeignKey(Condition, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=255)
    text = models.TextField(help_text="As the author wrote it; comments kept.")
    canonical = models.TextField(help_text="The same in canonical form: what the engine runs.")
    description = models.TextField(help_text="Plain English; the sentence under the invoice line.")
    effective_from = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["condition", "number"]
        constraints = [
            models.UniqueConstraint(fields=["condition", "number"], name="condition_version_number"),
            models.UniqueConstraint(
                fields=["condition", "effective_from"], name="condition_version_start", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.condition.slug} v{self.number}"


class RateCard(models.Model):
    """A reusable price list, known by its key; the prices stand in its versions."""

    key = models.CharField(max_length=128, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class RateCardVersion(models.Model):
    """One immutable state of a rate card. ``effective_from`` is null where it applies from the beginning of time."""

    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    effective_from = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["rate_card", "number"]
        constraints = [
            models.UniqueConstraint(fields=["rate_card", "number"], name="rate_card_version_number"),
            models.UniqueConstraint(
                fields=["rate_card", "effective_from"], name="rate_card_version_start", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rate_card.key} v{self.number}"


class Contract(models.Model):
    """One customer's agreement over a span of time. Its terms stand in its versions; no two overlap per customer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="contracts")
    currency = models.CharField(max_length=3)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["customer", "starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=models.F("starts_at")),
                name="contract_ends_after_start",
            ),
            # Page 7, 1.7: the embedded server has no btree_gist; a range of one value compares by && instead of =.
            ExclusionConstraint(
                name="contracts_do_not_overlap",
                expressions=[
                    (
                        Func("customer", "customer", models.Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(
                            "starts_at",
                            "ends_at",
                            RangeBoundary(),
                            function="tstzrange",
                            output_field=DateTimeRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer} from {self.starts_at:%Y-%m-%d}"


class ContractVersion(models.Model):
    """Immutable terms of a contract from ``effective_at`` on; an amendment is a further row, never an edit."""

    class BillingPeriod(models.TextChoices):
        WEEKLY = "weekly"
        MONTHLY = "monthly"
        QUARTERLY = "quarterly"
        YEARLY = "yearly"

    class LateEvidence(models.TextChoices):
        REVERSE = "reverse", "Reverse the outcome"
        REVIEW = "review", "Let a person decide"
        IGNORE = "ignore", "Leave the outcome as it is"

    class CreditNotes(models.TextChoices):
        AUTOMATIC = "automatic", "Issued by themselves"
        APPROVAL = "approval", "Issued when a person approves them"

    class Credits(models.TextChoices):
        NEXT_INVOICE = "next_invoice", "Taken off the next invoices"
        REFUND = "refund", "Paid back"

    class ZeroInvoices(models.TextChoices):
        ISSUE = "issue", "Issued"
        SKIP = "skip", "Skipped: what they say is carried to the next invoice"

    class CollectionMethod(models.TextChoices):
        SEND_INVOICE = "send_invoice", "Sent: the customer pays it"
        CHARGE_AUTOMATICALLY = "charge_automatically", "Charged: taken from the payment method that Stripe has"

    class PassOn(models.TextChoices):
        NONE = "none", "No: invoiced here"
        STRIPE_METER_EVENTS = "stripe_meter_events", "To Stripe Billing, as meter events"
        LAGO_EVENTS = "lago_events", "To Lago, as events"

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_at = models.DateTimeField()
    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="+")
    billing_period = models.CharField(max_length=16, choices=BillingPeriod.choices, default=BillingPeriod.MONTHLY)
    anchor_day = models.PositiveSmallIntegerField(
        default=1, help_text="1-31; the 31st means the last day of shorter months. Weekly: 1 (Monday) to 7."
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    net_days = models.PositiveSmallIntegerField(default=30, help_text="Days from issue until an invoice is due.")
    settlement_grace_seconds = models.PositiveIntegerField(
        default=0, help_text="Settlement waits this much longer for producers that deliver late."
    )
    settlement_windows = models.JSONField(
        default=dict,
        blank=True,
        help_text="Condition id: seconds in the place of the DURATION of its `settle after`.",
    )
    conditions = models.JSONField(
        default=dict, blank=True, help_text="Condition id: number of the version that attempts of this customer take."
    )
    late_evidence = models.CharField(
        max_length=16,
        choices=LateEvidence.choices,
        default=LateEvidence.REVERSE,
        help_text="What follows when an event comes late and would change a confirmed outcome.",
    )
    discount_percent = number_field(help_text="Off what a period comes to: 10 means 10 %.")
    discount_amount = number_field(help_text="Off a full period, in major units.")
    minimum = number_field(help_text="A full period comes to at least so much, in major units.")
    cap = number_field(help_text="A full period comes to at most so much, in major units.")
    pools = models.JSONField(
        default=dict, blank=True, help_text="Pooled allowances: name -> units a period, as exact decimal text."
    )
    trial = models.BooleanField(default=False, help_text="What is met is counted and shown, and charged nothing.")
    credit_notes = models.CharField(
        max_length=16,
        choices=CreditNotes.choices,
        default=CreditNotes.AUTOMATIC,
        help_text="What becomes of the credit notes that corrections make.",
    )
    credits = models.CharField(
        max_length=16,
        choices=Credits.choices,
        default=Credits.NEXT_INVOICE,
        help_text="Where credit goes that no open invoice takes.",
    )
    zero_invoices = models.CharField(
        max_length=16, choices=ZeroInvoices.choices, default=ZeroInvoices.ISSUE, help_text="Invoices that come to zero."
    )
    progressive_threshold = number_field(
        help_text="Unbilled usage of so much, in major units, is invoiced inside the period."
    )
    collection_method = models.CharField(
        max_length=32,
        choices=CollectionMethod.choices,
        default=CollectionMethod.SEND_INVOICE,
        help_text="How Stripe collects what is invoiced.",
    )
    pass_on = models.CharField(
        max_length=32,
        choices=PassOn.choices,
        default=PassOn.NONE,
        help_text="Whether another system invoices what is confirmed.",
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["contract", "number"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "number"], name="contract_version_number"),
            models.CheckConstraint(condition=Q(anchor_day__gte=1) & Q(anchor_day__lte=31), name="contract_anchor_day"),
            models.CheckConstraint(
                condition=Q(late_evidence__in=["reverse", "review", "ignore"]), name="contract_late_evidence_known"
            ),
            models.CheckConstraint(
                condition=Q(credit_notes__in=["automatic", "approval"])
                & Q(credits__in=["next_invoice", "refund"])
                & Q(zero_invoices__in=["issue", "skip"])
                & (absent("progressive_threshold") | above_zero("progressive_threshold")),
                name="contract_invoicing_terms_known",
            ),
            models.CheckConstraint(
                condition=Q(collection_method__in=["send_invoice", "charge_automatically"]),
                name="contract_collection_method_known",
            ),
            models.CheckConstraint(
                condition=Q(pass_on="none")  # noqa: S106 -- no password
                | (
                    Q(pass_on__in=["stripe_meter_events", "lago_events"], pools={}, trial=False)
                    & absent("discount_percent")
                    & absent("discount_amount")
                    & absent("minimum")
                    & absent("cap")
                    & absent("progressive_threshold")
                ),
                name="contract_passes_on_all_or_nothing",
            ),
            models.CheckConstraint(
                condition=(absent("discount_percent") | absent("discount_amount"))
                & (absent("discount_percent") | above_zero("discount_percent", at_most=100))
                & (absent("discount_amount") | above_zero("discount_amount")),
                name="contract_discount_is_one_and_sane",
            ),
            models.CheckConstraint(
                condition=(absent("minimum") | above_zero("minimum")) & (absent("cap") | not_negative("cap")),
                name="contract_minimum_and_cap_are_sane",
            ),
            models.CheckConstraint(
                condition=absent("minimum") | absent("cap") | Q(minimum__lte=models.F("cap")),
                name="contract_minimum_is_not_above_cap",
            ),
            models.CheckConstraint(
                condition=Func("pools", function="contracts_pools_hold", output_field=models.BooleanField()),
                name="contract_pools_are_units_by_name",
            ),
        ]
        indexes = [
            # Every batch of events asks for the windows and pins of its customers, and few contracts have any.
            models.Index(
                fields=["contract"],
                condition=~Q(settlement_windows={}) | ~Q(conditions={}),
                name="contract_versions_with_own",
            ),
            # Every billing run asks which contracts pass outcomes on, and few do.
            models.Index(
                fields=["contract"],
                condition=~Q(pass_on="none"),  # noqa: S106 -- no password
                name="contract_versions_passing_on",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract} v{self.number}"


class Price(models.Model):
    """One price of one condition: on a rate card version (for everybody on that card), or on a contract version, where
    it overrides the card for that customer. The most specific ``match`` wins; an override beats the card.

    What its ``model`` needs is there and what it has no use for is null or empty. Amounts are in major units of the
    home's currency. ``tiers`` are ``[{"up_to": "100", "unit_price": "2.00", "flat_fee": "5"}, {"up_to": null, ...}]``,
    of a percentage ``percent`` in the place of both prices; exact decimals as text, edges ascending, the last open.
    """

    class Model(models.TextChoices):
        PER_UNIT = "per_unit", "Per unit"
        GRADUATED = "graduated", "Graduated: the units of each tier at its price"
        VOLUME = "volume", "Volume: all units at the price of the tier they reach"
        PACKAGE = "package", "Package"
        PERCENTAGE = "percentage", "Percentage of the outcome's amount"
        FREE = "free", "Free"

    rate_card_version = models.ForeignKey(
        RateCardVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="prices"
    )
    contract_version = models.ForeignKey(
        ContractVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="prices"
    )
    condition = models.ForeignKey(Condition, on_delete=models.PROTECT, related_name="prices")
    model = models.CharField(max_length=16, choices=Model.choices)
    unit_price = number_field(help_text="Per billable unit, or per package.")
    tiers = models.JSONField(default=list, blank=True)
    package_size = number_field(help_text="Units in a package.")
    percent = number_field(help_text="25 means 25 % of an outcome's amount.")
    minimum = number_field(help_text="Of a percentage: each outcome costs at least so much.")
    maximum = number_field(help_text="Of a percentage: each outcome costs at most so much.")
    included = number_field(help_text="Units a period at no charge.")
    pool = models.CharField(
        max_length=64, blank=True, default="", help_text="Name of the contract's pooled allowance it draws on."
    )
    period_maximum = number_field(help_text="The price comes to at most so much a period.")
    match = models.JSONField(default=dict, blank=True, help_text="Dimension values this price is for; {} fits all.")

    class Meta:
        ordering = ["condition", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_card_version__isnull=False, contract_version__isnull=True)
                | Q(rate_card_version__isnull=True, contract_version__isnull=False),
                name="price_has_one_home",
            ),
            models.CheckConstraint(
                condition=absent("unit_price") | not_negative("unit_price"), name="price_is_a_sane_amount"
            ),
            models.CheckConstraint(
                condition=(absent("package_size") | above_zero("package_size"))
                & (absent("percent") | not_negative("percent", at_most=1000))
                & (absent("minimum") | not_negative("minimum"))
                & (absent("maximum") | not_negative("maximum"))
                & (absent("minimum") | absent("maximum") | Q(minimum__lte=models.F("maximum")))
                & (absent("included") | not_negative("included"))
                & (absent("period_maximum") | not_negative("period_maximum")),
                name="price_has_sane_terms",
            ),
            models.CheckConstraint(condition=_fields_fit_model(), name="price_fields_fit_its_model"),
            models.CheckConstraint(
                condition=Func("tiers", "model", function="contracts_tiers_hold", output_field=models.BooleanField()),
                name="price_tiers_have_no_gap_and_no_overlap",
            ),
            models.UniqueConstraint(
                fields=["rate_card_version", "condition", "match"],
                condition=Q(rate_card_version__isnull=False),
                name="one_price_per_card_and_match",
            ),
            models.UniqueConstraint(
                fields=["contract_version", "condition", "match"],
                condition=Q(contract_version__isnull=False),
                name="one_price_per_contract_and_match",
            ),
        ]

    def __str__(self) -> str:
        amount = "" if self.unit_price is None else f" {self.unit_price.normalize():f}"
        return f"{self.condition.slug} {self.match or ''} {self.model}{amount}"


class Fee(models.Model):
    """A base fee of one contract version: recurring (per full period), by seats (per seat and full period), or one-off.

    A one-off fee is charged once in a contract, with the first version that is no trial and has a fee of its name.
    """

    class Kind(models.TextChoices):
        RECURRING = "recurring"
        ONE_OFF = "one_off", "One-off"
        SEATS = "seats"

    class Timing(models.TextChoices):
        ADVANCE = "advance", "In advance"
        ARREARS = "arrears", "In arrears"

    contract_version = models.ForeignKey(ContractVersion, on_delete=models.PROTECT, related_name="fees")
    name = models.CharField(max_length=255, help_text="What the customer reads on the line.")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    amount = number_field(null=False, help_text="In major units.")
    seats = number_field(help_text="How many seats are billed.")
    timing = models.CharField(max_length=16, choices=Timing.choices, default=Timing.ARREARS)
    counts = models.BooleanField(default=False, help_text="Counts towards discount, minimum and cap.")

    class Meta:
        ordering = ["contract_version", "id"]
        constraints = [
            models.UniqueConstraint(fields=["contract_version", "name"], name="fee_name_once_per_version"),
            models.CheckConstraint(
                condition=above_zero("amount") & (absent("seats") | not_negative("seats")), name="fee_is_a_sane_amount"
            ),
            models.CheckConstraint(
                condition=Q(kind="seats", seats__isnull=False)
                | Q(kind="recurring", seats__isnull=True)
                | Q(kind="one_off", seats__isnull=True, timing="arrears"),
                name="fee_fields_fit_its_kind",
            ),
            models.CheckConstraint(condition=Q(timing__in=["advance", "arrears"]), name="fee_timing_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Commitment(models.Model):
    """What a customer committed to over the billing periods of [starts_at, ends_at) of a contract; without an end, as
    long as the contract runs. Agreed with one contract version, and never changed by a later one.
    """

    contract_version = models.ForeignKey(ContractVersion, on_delete=models.PROTECT, related_name="commitments")
    amount = number_field(null=False, help_text="In major units.")
    payment = models.CharField(max_length=16, choices=Fee.Timing.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["contract_version", "id"]
        constraints = [
            models.CheckConstraint(condition=above_zero("amount"), name="commitment_is_a_sane_amount"),
            models.CheckConstraint(condition=Q(payment__in=["advance", "arrears"]), name="commitment_payment_known"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=models.F("starts_at")),
                name="commitment_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} from {self.starts_at:%Y-%m-%d}"
