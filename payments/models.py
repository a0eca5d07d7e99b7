"""What Stripe knows of our documents: which account they are synced with, what is still to be done there, every call
with its result, and what was last seen of each object.

Amounts are integers as Stripe's API has them (`payments.units`), which are our minor units but for a few currencies.
"""

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from access import ids


class Connection(models.Model):
    """The account that one audience's documents are synced with. Without a row nothing is noted down for it; with one,
    what is issued is noted in the transaction that issues it (triggers in `migrations/0002_noted.py`).
    """

    class Audience(models.TextChoices):
        LIVE = "live", "Customers"
        TEST = "test", "Test customers"

    audience = models.CharField(max_length=8, primary_key=True, choices=Audience.choices)
    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    connected_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.get_audience_display()}: {self.account} ({'live' if self.livemode else 'test'} mode)"


class Lane(models.Model):
    """The operations of one customer, which are worked one at a time and in order. ``token`` is of who holds the lease;
    whoever's token is gone does nothing more.
    """

    customer = models.OneToOneField("contracts.Customer", primary_key=True, on_delete=models.CASCADE, related_name="+")
    token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)


class StripeCustomer(models.Model):
    """A customer's object in one account and mode. ``sent`` is what it was last told, so that changes are seen."""

    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="stripe_customers")
    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    stripe_id = models.CharField(max_length=255)
    sent = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "account", "livemode"], name="stripe_customer_once"),
            models.UniqueConstraint(fields=["stripe_id"], name="stripe_customer_id_once"),
        ]

    def __str__(self) -> str:
        return self.stripe_id


class Operation(models.Model):
    """One thing to make so at Stripe. ``id`` is the order within a customer; ``uid`` is part of every idempotency key.

    It waits, and is tried again, until it is done; parked, it waits for a person, and its customer's later operations
    wait behind it. A person may have it tried again, or skip it.
    """

    PREFIX = "sop"

    class Kind(models.TextChoices):
        CUSTOMER = "customer", "Make the customer known"
        INVOICE = "invoice", "Issue the invoice"
        CREDIT_NOTE = "credit_note", "Issue the credit note"
        REFUND = "refund", "Credit was paid back by hand"
        CHARGE = "charge", "Charge the customer"
        PAID = "paid", "Mark the invoice as paid"
        UNCOLLECTIBLE = "uncollectible", "Mark the invoice as uncollectible"
        VOID = "void", "Void the invoice"

    class Status(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        PARKED = "parked"
        SKIPPED = "skipped"

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="stripe_operations")
    invoice = models.ForeignKey(
        "invoicing.Invoice", null=True, on_delete=models.PROTECT, related_name="stripe_operations"
    )
    credit_note = models.ForeignKey(
        "invoicing.CreditNote", null=True, on_delete=models.PROTECT, related_name="stripe_operations"
    )
    application = models.ForeignKey(
        "invoicing.CreditApplication", null=True, on_delete=models.PROTECT, related_name="stripe_operations"
    )
    number = models.PositiveSmallIntegerField(default=1, help_text="Of a charge: which one of its invoice.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0, help_text="Since it was noted, or last tried again by hand.")
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="Empty: at once.")
    reason = models.TextField(blank=True, help_text="Why it waits, is parked or was skipped.")
    code = models.CharField(max_length=64, blank=True, help_text="The reason for machines.")
    account = models.CharField(max_length=255, blank=True, help_text="Whose it is, from the first attempt on.")
    livemode = models.BooleanField(null=True)
    decided_by = models.CharField(max_length=255, blank=True, help_text="Who had it tried again or skipped it.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Nothing is made so twice, whoever notes it.
            models.UniqueConstraint(
                fields=["kind", "customer", "invoice", "credit_note", "application", "number"],
                nulls_distinct=False,
                name="stripe_operation_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "parked"], finished_at__isnull=True)
                | Q(status__in=["done", "skipped"], finished_at__isnull=False),
                name="stripe_operation_is_open_or_finished",
            ),
            models.CheckConstraint(
                condition=Q(kind="customer", invoice__isnull=True, credit_note__isnull=True, application__isnull=True)
                | Q(kind="credit_note", invoice__isnull=True, credit_note__isnull=False, application__isnull=True)
                | Q(kind="refund", invoice__isnull=True, credit_note__isnull=False, application__isnull=False)
                | Q(
                    kind__in=["invoice", "charge", "paid", "uncollectible", "void"],
                    invoice__isnull=False,
                    credit_note__isnull=True,
                    application__isnull=True,
                ),
                name="stripe_operation_fits_its_kind",
            ),
        ]
        indexes = [
            # The first open one of each customer, at the cost of what is open.
            models.Index(
                fields=["customer", "id"], condition=Q(status__in=["waiting", "parked"]), name="stripe_op_open"
            ),
            # The admin's list of what was given up.
            models.Index(fields=["id"], condition=Q(status="skipped"), name="stripe_op_skipped"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.invoice or self.credit_note or self.customer}"

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.uid)


class Step(models.Model):
    """One call of an operation that changes something at Stripe. Stored before the call is made, with the key and the
    parameters of every attempt; the result is stored before the next step begins.

    A step without a result may have happened. It is sent again under its key as long as Stripe keeps keys; then, or
    where the key answers with a failure it has stored (``stale``), Stripe is asked whether it happened, and only if not
    a further ``epoch`` with a key of its own begins.
    """

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=64)
    epoch = models.PositiveIntegerField(default=1)
    key = models.CharField(max_length=255, unique=True, help_text="Idempotency key.")
    request = models.JSONField(default=dict)
    begun_at = models.DateTimeField()
    stale = models.BooleanField(default=False)
    dropped = models.BooleanField(default=False, help_text="What it made is gone: it is made again.")
    result = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["operation", "name", "epoch"], name="stripe_step_once")]

    def __str__(self) -> str:
        return self.key


class StripeInvoice(models.Model):
    """What was last seen of an invoice at Stripe. ``mismatch`` says what differs from ours, or is empty.

    ``carried`` is what Stripe put on the customer's balance, because it is too little to be charged: the next invoice
    there collects it. ``taken`` is so much of earlier ones that this one collects.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAID = "paid"
        UNCOLLECTIBLE = "uncollectible"
        VOID = "void"
        DELETED = "deleted"

    invoice = models.OneToOneField(
        "invoicing.Invoice", primary_key=True, on_delete=models.PROTECT, related_name="stripe"
    )
    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    stripe_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=16, choices=Status.choices)
    collection_method = models.CharField(max_length=32)
    total = models.BigIntegerField(default=0)
    tax = models.BigIntegerField(default=0, help_text="What Stripe Tax added; 0 where tax is ours.")
    amount_due = models.BigIntegerField(default=0)
    amount_paid = models.BigIntegerField(default=0)
    amount_remaining = models.BigIntegerField(default=0)
    carried = models.BigIntegerField(default=0)
    taken = models.BigIntegerField(default=0)
    hosted_url = models.TextField(blank=True, help_text="Where the customer pays it.")
    pdf_url = models.TextField(blank=True)
    attempt_count = models.PositiveIntegerField(default=0, help_text="How often a payment was tried.")
    last_failure = models.TextField(blank=True, help_text="Why the last payment that was tried failed.")
    failed_charges = models.JSONField(default=list, help_text="Charges that failed and were told of, by their ids.")
    last_failure_code = models.CharField(max_length=64, blank=True, help_text="Stripe's decline code, or its like.")
    mismatch = models.TextField(blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Those whose state may change at Stripe without us.
            models.Index(
                fields=["seen_at"],
                condition=Q(status__in=["draft", "open", "uncollectible"]),
                name="stripe_invoice_open",
            ),
            models.Index(fields=["invoice"], condition=~Q(mismatch=""), name="stripe_invoice_mismatch"),
        ]

    def __str__(self) -> str:
        return self.stripe_id


class StripeCredit(models.Model):
    """How one part of a credit note, what it corrects of one invoice, stands at Stripe: as a credit note there, or,
    where there is no invoice to correct, as a transaction of the customer's balance, or not at all.

    ``amount`` is ``before_payment`` + ``to_balance`` + ``refunded`` + ``outside``: what fell off an open invoice, what
    the customer's next invoices are less by, what was paid back, and what Stripe has no part in.
    """

    allocation = models.OneToOneField(
        "invoicing.CreditAllocation", primary_key=True, on_delete=models.PROTECT, related_name="stripe"
    )
    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    stripe_id = models.CharField(
        max_length=255, null=True, blank=True, unique=True, help_text="cn_… or cbtxn_…; empty: nothing there."
    )
    amount = models.BigIntegerField()
    before_payment = models.BigIntegerField(default=0)
    to_balance = models.BigIntegerField(default=0)
    refunded = models.BigIntegerField(default=0)
    outside = models.BigIntegerField(default=0)
    refund_id = models.CharField(max_length=255, blank=True)
    refund_status = models.CharField(max_length=32, blank=True, help_text="As Stripe says it: succeeded, failed, …")
    advice = models.TextField(blank=True, help_text="What finance has to know of it, or to do.")
    mismatch = models.TextField(blank=True, help_text="What is not as here, and the way out.")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    amount=models.F("before_payment")
                    + models.F("to_balance")
                    + models.F("refunded")
                    + models.F("outside")
                ),
                name="stripe_credit_goes_somewhere",
            ),
        ]
        indexes = [
            models.Index(fields=["refund_id"], condition=~Q(refund_id=""), name="stripe_credit_refund"),
            models.Index(fields=["allocation"], condition=~Q(mismatch=""), name="stripe_credit_mismatch"),
        ]

    def __str__(self) -> str:
        return self.stripe_id or "nothing at Stripe"


class Dunning(models.Model):
    """What is done about one unpaid invoice, step by step, until it is paid or given up. ``step`` counts the steps that
    were made; ``next_at`` is when the next one, or the end, is due. While it is paused that time stands still: it is
    put off by as long as the pause was.
    """

    class Kind(models.TextChoices):
        CHARGE = "charge", "A charge failed"
        REMINDER = "reminder", "It is overdue"

    class Pause(models.TextChoices):
        DISPUTE = "dispute", "Something on the invoice is disputed"
        HOLD = "hold", "A hold covers something on the invoice"
        NO_EMAIL = "no_email", "The customer has no e-mail address"
        MAILS_OFF = "mails_off", "No mails are sent"
        MAIL_FAILED = "mail_failed", "A mail could not be delivered"
        PERSON = "person", "A person paused it"

    class End(models.TextChoices):
        PAID = "paid", "It was paid"
        VOID = "void", "It was voided"
        UNCOLLECTIBLE = "uncollectible", "It was marked as uncollectible"
        NOTHING_DUE = "nothing_due", "Nothing is due any more"
        GIVEN_UP = "given_up", "Given up: nothing came of it"
        LEFT = "left", "Nothing came of it, and it was left as it is"
        STOPPED = "stopped", "A person stopped it"

    id = models.BigAutoField(primary_key=True)
    invoice = models.OneToOneField("invoicing.Invoice", on_delete=models.PROTECT, related_name="dunning")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    step = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    paused_because = models.CharField(max_length=16, choices=Pause.choices, blank=True)
    paused_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=16, choices=End.choices, blank=True)
    ended_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True, help_text="What the person said who paused or stopped it.")
    decided_by = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, ended_because="", next_at__isnull=False)
                | (Q(ended_at__isnull=False, next_at__isnull=True, paused_because="") & ~Q(ended_because="")),
                name="dunning_goes_on_or_is_ended",
            ),
            models.CheckConstraint(
                condition=Q(paused_because="", paused_at__isnull=True)
                | (Q(paused_at__isnull=False) & ~Q(paused_because="")),
                name="dunning_pause_has_a_reason",
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(ended_at__isnull=True), name="dunning_open")]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.get_kind_display()}"

    @property
    def status(self) -> str:
        """running, paused or ended."""
        return "ended" if self.ended_at else "paused" if self.paused_at else "running"


class DunningMail(models.Model):
    """One mail of a dunning, written down in the transaction that decides it. What it says is worked out when it is
    sent, and kept then: by that time the customer may owe less.
    """

    class Letter(models.TextChoices):
        FAILED = "failed", "A charge failed, and is tried again"
        FAILED_LAST = "failed_last", "A charge failed, and is not tried again"
        OTHER_MEANS = "other_means", "Another means of payment is needed"
        REMINDER = "reminder", "First reminder"
        REMINDER_AGAIN = "reminder_again", "Further reminder"
        REMINDER_LAST = "reminder_last", "Last reminder"

    class Status(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"
        DROPPED = "dropped", "No longer called for"

    id = models.BigAutoField(primary_key=True)
    dunning = models.ForeignKey(Dunning, on_delete=models.PROTECT, related_name="mails")
    step = models.PositiveSmallIntegerField()
    letter = models.CharField(max_length=16, choices=Letter.choices)
    code = models.CharField(max_length=64, blank=True, help_text="Why the charge failed.")
    retry_at = models.DateTimeField(null=True, help_text="When the charge is tried again.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    reason = models.TextField(blank=True, help_text="Why it waits, failed or was dropped.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    sent_to = models.TextField(blank=True)
    message_id = models.TextField(blank=True)
    subject = models.TextField(blank=True)
    body = models.TextField(
        blank=True, help_text="Without the link into the portal, which is told to its reader alone."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["dunning", "step"], name="dunning_mail_once"),
            models.CheckConstraint(
                condition=Q(status="waiting", finished_at__isnull=True)
                | (~Q(status="waiting") & Q(finished_at__isnull=False)),
                name="dunning_mail_waits_or_is_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], condition=Q(status="waiting"), name="dunning_mail_due")
        ]

    def __str__(self) -> str:
        return self.subject or self.get_letter_display()


class StripeEvent(models.Model):
    """A webhook of Stripe's, stored once by its id and worked later. Only its object's id counts: what the object says
    now is read from Stripe, so neither order nor age matters.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        IGNORED = "ignored", "Not about an object of ours"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    api_version = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=255, blank=True)
    payload = models.JSONField()
    occurred_at = models.DateTimeField(help_text="When Stripe says it happened.")
    received_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    reason = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["account", "event_id"], name="stripe_event_once")]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], condition=Q(status="waiting"), name="stripe_event_due"),
            # The admin's list: searched by these, and what failed, which is little.
            models.Index(fields=["event_id"], name="stripe_event_by_id"),
            models.Index(fields=["object_id"], name="stripe_event_by_object"),
            models.Index(fields=["type"], name="stripe_event_by_type"),
            models.Index(fields=["id"], condition=Q(status="failed"), name="stripe_event_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Reconciliation(models.Model):
    """One comparison of all that is synced with an account, in both directions (`payments.reconciliation`). While it
    runs ``touched_at`` goes on; one that stands still was cut off.
    """

    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    begun_at = models.DateTimeField()
    touched_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    compared = models.JSONField(default=dict, help_text="How many of each kind were looked at.")
    findings_new = models.PositiveIntegerField(default=0)
    findings_open = models.PositiveIntegerField(default=0)
    findings_mended = models.PositiveIntegerField(default=0)
    adopted = models.PositiveIntegerField(default=0, help_text="What was found at Stripe and is known here again.")
    failure = models.TextField(blank=True, help_text="Why it did not come to its end.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.account} {self.begun_at:%Y-%m-%d %H:%M}"


class Finding(models.Model):
    """One thing that a reconciliation found to differ. It stays open, and is not told again, until a later one no
    longer finds it.
    """

    class Kind(models.TextChoices):
        MISSING = "missing", "Missing at Stripe"
        UNKNOWN = "unknown", "Unknown here"
        ADOPTED = "adopted", "Known here again"
        SEVERAL = "several", "More than one at Stripe"
        DRAFT = "draft", "A stray draft at Stripe"
        CURRENCY = "currency", "Another currency"
        TOTAL = "total", "Another total"
        STATUS = "status", "Another status"
        REMAINING = "remaining", "Another amount to pay"
        PAID = "paid", "Another amount paid"
        REFUNDED = "refunded", "Refunded at Stripe"
        EDITED = "edited", "Changed at Stripe"
        BALANCE = "balance", "Another balance"
        DELETED = "deleted", "The customer was deleted"
        WAITS = "waits", "Not made so for a day"

    account = models.CharField(max_length=255)
    livemode = models.BooleanField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    about = models.CharField(max_length=600, help_text="Our id and Stripe's: what tells findings of one kind apart.")
    customer = models.ForeignKey("contracts.Customer", null=True, on_delete=models.CASCADE, related_name="+")
    document = models.CharField(max_length=64, blank=True, help_text="Public id of our invoice, note or operation.")
    number = models.CharField(max_length=255, blank=True)
    stripe_id = models.CharField(max_length=255, blank=True)
    what = models.TextField()
    way_out = models.TextField()
    first = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="first_found")
    last = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="findings")
    found_at = models.DateTimeField()
    mended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "livemode", "kind", "about"],
                condition=Q(mended_at=None),
                name="stripe_finding_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.about}"


class TaxLookup(models.Model):
    """What Stripe Tax last said of one customer: the rates, which are the customer's now, or why there are none."""

    customer = models.OneToOneField(
        "contracts.Customer", primary_key=True, on_delete=models.CASCADE, related_name="tax_lookup"
    )
    known = models.BooleanField(default=False, help_text="Whether it ever said; what it said last holds on.")
    rates = models.JSONField(default=list, blank=True, help_text="Keys of the rates.")
    reason = models.TextField(blank=True, help_text="Why it could not say.")
    looked_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["next_at"], name="tax_lookup_due")]

    def __str__(self) -> str:
        return f"{self.customer}: {', '.join(self.rates) or self.reason or 'no tax'}"
