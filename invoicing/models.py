"""What is owed: invoices, credit notes and their lines, which outcomes each line bills or takes back, where credit
went, number series, parked customers.

An invoice or credit note is a draft until it is issued; from then on its content never changes (database triggers stand
behind the code).
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

CONTENT_FORMAT = 3
"""What is frozen, in its newest form: with tax and the credit taken off. Format 2 had neither, format 1 usage lines
alone, each rounded by itself.
"""


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

    An interim invoice is one inside its period: usage that passed the contract's threshold, or what is due when a
    period begins. A one-off invoice has no contract, and items of its own instead of usage.

    ``ordinal`` counts the invoices of one period: interim ones first, then the period's own, then what is invoiced
    after the contract's last period was: outcomes that settle after the contract's end belong to that period, and no
    later invoice could carry them.

    ``subtotal_minor`` is the sum of the lines; ``total_minor`` is that with tax, of which ``taxes`` (`invoicing.taxes`)
    says how much and why. Taxes that prices contain are inside both.
    """

    class Kind(models.TextChoices):
        PERIOD = "period"
        INTERIM = "interim"
        ONE_OFF = "one_off", "One-off"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="invoices")
    contract = models.ForeignKey("contracts.Contract", null=True, on_delete=models.PROTECT, related_name="invoices")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PERIOD)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    number = models.CharField(max_length=64, null=True, blank=True, unique=True)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=64, help_text="Zone in which the period was cut and dates are printed.")
    period_start = models.DateTimeField(help_text="First instant of the period.")
    period_end = models.DateTimeField(help_text="First instant after the period.")
    ordinal = models.PositiveSmallIntegerField(default=1, help_text="Which invoice of this period it is.")
    parties = models.JSONField(default=dict, help_text="Seller and customer as printed, frozen at issue.")
    net_days = models.PositiveSmallIntegerField()
    memo = models.TextField(blank=True, help_text="A note to the customer, of a one-off invoice.")
    subtotal_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField(default=0)
    taxes = models.JSONField(default=list, blank=True, help_text="The rates used, each with what it came to.")
    credits = models.JSONField(
        default=list, blank=True, help_text="Credit taken off at issue: [{credit_note, number, amount_minor}]."
    )
    terms = models.JSONField(
        default=list, blank=True, help_text="The terms used, by period: what the amounts of the lines follow from."
    )
    content_format = models.PositiveSmallIntegerField(
        default=CONTENT_FORMAT, help_text="Which of an invoice's fields its hash is over, and how its lines are rated."
    )
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the frozen content, set at issue.")
    created_at = models.DateTimeField()
    refreshed_at = models.DateTimeField(help_text="When a draft's lines were last brought up to date.")
    issued_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    uncollectible_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-period_start", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="one_off", contract__isnull=True)
                | Q(kind__in=["period", "interim"], contract__isnull=False),
                name="invoice_kind_fits_its_contract",
            ),
            models.CheckConstraint(
                condition=Q(total_minor=F("subtotal_minor")) | Q(total_minor=F("subtotal_minor") + F("tax_minor")),
                name="invoice_total_is_lines_and_tax",
            ),
            models.CheckConstraint(
                condition=~Q(status="uncollectible") | Q(uncollectible_at__isnull=False),
                name="invoice_uncollectible_has_an_instant",
            ),
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
        indexes = [
            models.Index(fields=["customer", "-period_start"], name="invoice_by_customer"),
            # What the admin's list is sorted and narrowed by.
            models.Index(fields=["total_minor"], name="invoice_by_total"),
            models.Index(fields=["due_at"], name="invoice_by_due"),
            models.Index(fields=["status", "id"], name="invoice_by_status"),
            models.Index(fields=["id"], condition=Q(kind="one_off"), name="invoice_one_off"),
        ]

    def __str__(self) -> str:
        return self.number or "Draft"


class CreditNote(models.Model):
    """Money that goes back: what issued invoices say too much. Amounts are positive, in the currency's minor unit.

    An automatic one keeps billed = owed (docs/invoices.md): its lines are what the periods of one contract come to now,
    less what was billed, and ``terms`` are the terms used, as on an invoice. A goodwill note is written by hand, beside
    that. A draft waits for a person's approval; each billing run makes it anew. ``subtotal_minor`` is the sum of its
    lines, which are below zero, the other way round.
    """

    class Kind(models.TextChoices):
        AUTOMATIC = "automatic"
        GOODWILL = "goodwill"

    class Status(models.TextChoices):
        DRAFT = "draft"
        ISSUED = "issued"

    class Destination(models.TextChoices):
        NEXT_INVOICE = "next_invoice", "Next invoices"
        REFUND = "refund"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="credit_notes")
    contract = models.ForeignKey(
        "contracts.Contract", null=True, blank=True, on_delete=models.PROTECT, related_name="credit_notes"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    number = models.CharField(max_length=64, null=True, blank=True, unique=True)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=64)
    reason = models.TextField(help_text="Why, in words; the customer reads it.")
    destination = models.CharField(
        max_length=16,
        choices=Destination.choices,
        default=Destination.NEXT_INVOICE,
        help_text="Where credit goes that no open invoice takes.",
    )
    parties = models.JSONField(default=dict, help_text="Seller and customer as printed, frozen at issue.")
    terms = models.JSONField(default=list, blank=True, help_text="The terms used, by period.")
    taxes = models.JSONField(default=list, blank=True, help_text="The rates of the invoices, each with what goes back.")
    subtotal_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField(default=0)
    content_format = models.PositiveSmallIntegerField(default=CONTENT_FORMAT)
    content_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the frozen content, set at issue.")
    created_by = models.CharField(max_length=255, blank=True, help_text="Who wrote a goodwill note, or approved one.")
    created_at = models.DateTimeField()
    refreshed_at = models.DateTimeField()
    issued_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True, issued_at__isnull=True, content_hash="")
                | (Q(status="issued", number__isnull=False, issued_at__isnull=False) & ~Q(content_hash="")),
                name="credit_note_issued_has_number_and_hash",
            ),
            models.CheckConstraint(
                condition=Q(subtotal_minor__gte=0, tax_minor__gte=0, total_minor__gte=0),
                name="credit_note_is_not_below_zero",
            ),
            models.CheckConstraint(
                condition=Q(kind="goodwill") | Q(kind="automatic", contract__isnull=False),
                name="credit_note_automatic_has_a_contract",
            ),
            # The next run finds the one it makes anew.
            models.UniqueConstraint(
                fields=["contract"],
                condition=Q(status="draft", kind="automatic"),
                name="one_automatic_draft_per_contract",
            ),
        ]
        indexes = [models.Index(fields=["customer", "-id"], name="credit_note_by_customer")]

    def __str__(self) -> str:
        return self.number or "Draft credit note"


class CreditAllocation(models.Model):
    """So much of a credit note corrects this invoice: ``net_minor`` of its lines and ``tax_minor`` of its tax, which
    come to ``total_minor`` (taxes that prices contain are inside ``net_minor``). What remains of an invoice is never
    below zero.
    """

    credit_note = models.ForeignKey(CreditNote, on_delete=models.CASCADE, related_name="allocations")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="allocations")
    net_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField()

    class Meta:
        ordering = ["credit_note", "id"]
        constraints = [
            models.UniqueConstraint(fields=["credit_note", "invoice"], name="credit_allocation_once"),
            models.CheckConstraint(
                condition=Q(net_minor__gte=0, tax_minor__gte=0, total_minor__gte=0),
                name="credit_allocation_is_not_below_zero",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credit_note} to {self.invoice}"


class CreditApplication(models.Model):
    """Where the credit of a note went: taken off an invoice, or paid back (without one). ``live`` falls when the
    invoice is voided, or when what was paid back did not arrive: the credit is free again.
    """

    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="applications")
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="applications")
    amount_minor = models.BigIntegerField()
    reference = models.CharField(max_length=255, blank=True, help_text="Of a refund: how it was paid.")
    made_by = models.CharField(max_length=255, blank=True)
    live = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["credit_note", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="credit_application_is_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.credit_note} to {self.invoice or 'refund'}"


class InvoiceLine(models.Model):
    """One line in words: *15 x Support ticket resolved*, *Discount 10 %*, *Base fee, March 2026*.

    Usage has one line per (condition, price, dimension values) and period; ``price`` and ``contract_version`` are the
    terms used, rows that never change. The other kinds follow from the terms of the period. Lines name their period:
    those of an earlier one carry what its invoices did not, those of the next one are fees in advance.

    A line stands on an invoice or on a credit note. Wherever it stands, amount, quantity and outcomes are what it adds
    to the period; what it takes back is below zero. So the lines of a period on all documents come to the period.

    ``details`` are what the arithmetic needs beside the columns (docs/invoices.md), amounts as text in major units.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"
        FEE = "fee"
        DISCOUNT = "discount"
        MAXIMUM = "maximum"
        MINIMUM = "minimum"
        CAP = "cap"
        COMMITMENT = "commitment"
        DRAWDOWN = "drawdown", "Drawdown"
        TRUE_UP = "true_up", "True-up"
        ITEM = "item"
        GOODWILL = "goodwill"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.CASCADE, related_name="lines")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.USAGE)
    condition = models.ForeignKey("contracts.Condition", null=True, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey("contracts.Price", null=True, on_delete=models.PROTECT, related_name="+")
    contract_version = models.ForeignKey(
        "contracts.ContractVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    period_start = models.DateTimeField(help_text="The period it belongs to; the invoice's own unless late or early.")
    period_end = models.DateTimeField()
    title = models.TextField()
    sentence = models.TextField(blank=True, help_text="What the condition says, in plain English.")
    dimensions = models.JSONField(default=dict, blank=True)
    quantity = models.DecimalField(max_digits=72, decimal_places=34, null=True)
    unit_price = models.DecimalField(max_digits=30, decimal_places=12, null=True)
    amount_minor = models.BigIntegerField()
    steps = models.JSONField(
        default=list, help_text="The arithmetic: [{quantity, unit_price, amount, kind}], exact decimals as text."
    )
    details = models.JSONField(default=dict, blank=True)
    outcome_count = models.IntegerField(default=0)
    voided_count = models.PositiveIntegerField(
        default=0, help_text="Outcomes voided inside their window in this period: shown, not charged."
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position"),
            models.UniqueConstraint(fields=["credit_note", "position"], name="credit_note_line_position"),
            models.CheckConstraint(
                condition=Q(invoice__isnull=False, credit_note__isnull=True)
                | Q(invoice__isnull=True, credit_note__isnull=False),
                name="invoice_line_is_on_one_document",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind="usage",
                    condition__isnull=False,
                    price__isnull=False,
                    contract_version__isnull=False,
                    quantity__isnull=False,
                )
                | Q(
                    kind="maximum",
                    condition__isnull=False,
                    price__isnull=False,
                    outcome_count=0,
                    voided_count=0,
                )
                | Q(
                    kind__in=[
                        *("fee", "discount", "minimum", "cap", "commitment", "drawdown", "true_up"),
                        *("item", "goodwill"),
                    ],
                    condition__isnull=True,
                    price__isnull=True,
                    outcome_count=0,
                    voided_count=0,
                ),
                name="invoice_line_fits_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return self.title if self.quantity is None else f"{self.quantity.normalize():f} x {self.title}"

    @property
    def document(self) -> Invoice | CreditNote:
        """What it stands on."""
        found = self.invoice or self.credit_note
        assert found is not None
        return found


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


class LineReversal(models.Model):
    """Which outcome a line takes back: one that an earlier document billed, and that no longer holds. ``live`` falls
    when the invoice is voided: the outcome is to be taken back again.
    """

    line = models.ForeignKey(InvoiceLine, on_delete=models.CASCADE, related_name="taken_back", db_index=False)
    outcome = models.ForeignKey(
        "outcomes.Outcome", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="taken_back"
    )
    live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["outcome"], condition=Q(live=True), name="outcome_taken_back_once"),
            models.UniqueConstraint(fields=["line", "outcome"], name="line_reversal_once"),
        ]


class BillingClock(models.Model):
    """When a contract is to be looked at again although nothing settled: one with fees, a minimum or a commitment may
    owe something for a period in which nothing did, and a price that was changed backwards corrects what is invoiced.

    Written by billing runs: every period that ended before ``due_at`` (None: every one there is) has its invoice or
    needed none, and what is invoiced was corrected, by the terms of the contract's first ``versions`` versions and the
    first ``card_versions`` of its rate cards. With a further one, or without a row, the next run looks again.
    ``waiting`` are the starts of periods whose corrections by such terms wait for the next invoice.
    """

    contract = models.OneToOneField(
        "contracts.Contract", primary_key=True, on_delete=models.CASCADE, related_name="billing_clock"
    )
    due_at = models.DateTimeField(null=True)
    versions = models.PositiveIntegerField()
    card_versions = models.PositiveIntegerField(default=0)
    waiting = ArrayField(models.DateTimeField(), default=list, blank=True)

    def __str__(self) -> str:
        return f"{self.contract}: {self.due_at or 'done'}"


class ParkedCustomer(models.Model):
    """A customer whose billing failed, with the reason; the run went on. The next success ends it."""

    customer = models.OneToOneField("contracts.Customer", on_delete=models.CASCADE, related_name="parked")
    reason = models.TextField()
    since = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.customer}: {self.reason}"
