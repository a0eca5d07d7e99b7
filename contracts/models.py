"""What was agreed: customers, conditions and their versions, rate cards and their versions, contracts and theirs.

Versions are rows that never change: what has been billed can always be recomputed from them.
"""

import uuid

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import Func, Q

PARTITIONS = 64
"""Units of parallel work; a customer's partition is fixed for ever (contracts.partitions)."""


class Customer(models.Model):
    """Whom the seller bills. ``key`` is the seller's own name for it and never changes: events refer to it."""

    key = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=255)
    currency = models.CharField(max_length=3, help_text="ISO 4217 code that contracts of this customer default to.")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Zone in which billing periods are cut.")
    email = models.EmailField(blank=True)
    partition = models.SmallIntegerField(editable=False, help_text="hash(key) % 64: the unit of parallel evaluation.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(partition__gte=0) & Q(partition__lt=PARTITIONS), name="customer_partition_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class Condition(models.Model):
    """A billable outcome's slug. What it says stands in its versions; ``per`` is the same in all of them."""

    slug = models.CharField(max_length=128, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


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
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["contract", "number"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "number"], name="contract_version_number"),
            models.CheckConstraint(condition=Q(anchor_day__gte=1) & Q(anchor_day__lte=31), name="contract_anchor_day"),
        ]

    def __str__(self) -> str:
        return f"{self.contract} v{self.number}"


class Price(models.Model):
    """One price of one condition: on a rate card version (for everybody on that card), or on a contract version, where
    it overrides the card for that customer. The most specific ``match`` wins; an override beats the card.
    """

    class Model(models.TextChoices):
        PER_UNIT = "per_unit"

    rate_card_version = models.ForeignKey(
        RateCardVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="prices"
    )
    contract_version = models.ForeignKey(
        ContractVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="prices"
    )
    condition = models.ForeignKey(Condition, on_delete=models.PROTECT, related_name="prices")
    model = models.CharField(max_length=16, choices=Model.choices)
    unit_price = models.DecimalField(max_digits=30, decimal_places=12, help_text="Major units per billable unit.")
    match = models.JSONField(default=dict, blank=True, help_text="Dimension values this price is for; {} fits all.")

    class Meta:
        ordering = ["condition", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_card_version__isnull=False, contract_version__isnull=True)
                | Q(rate_card_version__isnull=True, contract_version__isnull=False),
                name="price_has_one_home",
            ),
            # NaN sorts above every number in PostgreSQL, so the upper bound refuses it too.
            models.CheckConstraint(
                condition=Q(unit_price__gte=0) & Q(unit_price__lt=10**15), name="price_is_a_sane_amount"
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
        return f"{self.condition.slug} {self.match or ''} {self.unit_price.normalize():f}"
