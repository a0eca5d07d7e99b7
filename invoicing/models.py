"""What is owed: invoices and their lines, which outcomes each line bills, number series, parked customers.

An invoice is a draft until it is issued; from then on its content never changes (database triggers stand behind the
code).
"""

import uuid

from django.db import models
from django.db.models import F, Q


class NumberSeries(models.Model):
    """A gapless run of document numbers; ``next_number`` is taken under a row lock in the transaction that issues."""

    key = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=32)
    next_number = models.PositiveBigIntegerField(default=1)

    class Meta:
        verbose_name_plural = "number series"

    def __str__(self) -> str:
        return f"{self.key}: {self.prefix}{self.next_number}"


class Status(models.TextChoices):
    """draft → issued → paid | uncollectible | void."""

    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class Invoice(models.Model):
    """What one customer owes for one period of one contract. Amounts are integers in the currency's minor unit.

    ``ordinal`` is 1, and 2, 3 ... for what is invoiced after the contract's last period was: outcomes that settle after
    the contract's end belong to that period, and no later invoice could carry them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="invoices")
    contract = models.ForeignKey("contracts.Contract", on_delete=models.PROTECT, related_name="invoices")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    number = models.CharField(max_length=64, null=True, blank=True, unique=True)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=64, help_text="Zone in which the period was cut and dates are printed.")
    period_start = models.DateTimeField(help_text="First instant of the period.")
    period_end = models.DateTimeField(help_text="First instant after the period.")
    ordinal = models.PositiveSmallIntegerField(default=1, help_text="Which invoice of this period it is.")
    parties = models.JSONField(default=dict, help_text="Seller and customer as printed, frozen at issue.")
    net_days = models.PositiveSmallIntegerField()
    total_minor = models.BigIntegerField(default=0)
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the frozen content, set at issue.")
    created_at = models.DateTimeField()
    refreshed_at = models.DateTimeField(help_text="When a draft's lines were last brought up to date.")
    issued_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-period_start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contract", "period_start", "ordinal"],
                condition=~Q(status="void"),
                name="one_invoice_per_contract_period",
            ),
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="invoice_period_order"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True, issued_at__isnull=True, content_hash="")
                | (~Q(status="draft") & Q(number__isnull=False, issued_at__isnull=False) & ~Q(content_hash="")),
                name="invoice_issued_has_number_and_hash",
            ),
            models.CheckConstraint(
                condition=Q(status="paid", paid_at__isnull=False) | ~Q(status="paid"),
                name="invoice_paid_has_an_instant",
            ),
            models.CheckConstraint(
                condition=Q(status="void", voided_at__isnull=False) | (~Q(status="void") & Q(voided_at__isnull=True)),
                name="invoice_void_has_an_instant",
            ),
        ]
        indexes = [models.Index(fields=["customer", "-period_start"], name="invoice_by_customer")]

    def __str__(self) -> str:
        return self.number or "Draft"


class InvoiceLine(models.Model):
    """One line in words: *15 x Support ticket resolved*. One per (condition, price, dimension values) and period:
    outcomes confirmed after their own period was invoiced stand on the next invoice, on lines that name that period.

    ``price`` and ``contract_version`` are the terms used; both are rows that never change.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    condition = models.ForeignKey("contracts.Condition", on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey("contracts.Price", on_delete=models.PROTECT, related_name="+")
    contract_version = models.ForeignKey("contracts.ContractVersion", on_delete=models.PROTECT, related_name="+")
    period_start = models.DateTimeField(help_text="The period these outcomes belong to; the invoice's own unless late.")
    period_end = models.DateTimeField()
    title = models.CharField(max_length=255)
    sentence = models.TextField(help_text="What the condition says, in plain English.")
    dimensions = models.JSONField(default=dict, blank=True)
    quantity = models.DecimalField(max_digits=72, decimal_places=34)
    unit_price = models.DecimalField(max_digits=30, decimal_places=12)
    amount_minor = models.BigIntegerField()
    steps = models.JSONField(
        default=list, help_text="The arithmetic: [{quantity, unit_price, amount}], exact decimals as text."
    )
    outcome_count = models.PositiveIntegerField()
    voided_count = models.PositiveIntegerField(
        default=0, help_text="Outcomes voided inside their window in this period: shown, not charged."
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position")]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} x {self.title}"


class LineOutcome(models.Model):
    """Which outcome a line bills. ``live`` falls when the invoice is voided: the outcome waits to be billed again."""

    # No indexes beside the two constraints: a line of a million outcomes is written in one statement. Ask for an
    # outcome's line with ``live=True``, which is what the index holds.
    line = models.ForeignKey(InvoiceLine, on_delete=models.CASCADE, related_name="billed", db_index=False)
    outcome = models.ForeignKey(
        "outcomes.Outcome", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="billed"
    )
    live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["outcome"], condition=Q(live=True), name="outcome_billed_once"),
            models.UniqueConstraint(fields=["line", "outcome"], name="line_outcome_once"),
        ]


class ParkedCustomer(models.Model):
    """A customer whose billing failed, with the reason; the run went on. The next success ends it."""

    customer = models.OneToOneField("contracts.Customer", on_delete=models.CASCADE, related_name="parked")
    reason = models.TextField()
    since = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.customer}: {self.reason}"
