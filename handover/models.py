"""What is handed over to other systems, which invoice it; and how far we have looked for it."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from access import ids


class Target(models.TextChoices):
    """Who invoices it: the words of a contract's `pass_on`."""

    STRIPE_METER_EVENTS = "stripe_meter_events", "Stripe meter events"
    LAGO_EVENTS = "lago_events", "Lago events"


class Handover(models.Model):
    """One outcome to be told to another system, or taken back there.

    It waits, and is tried again, for ever. Parked, it waits for a person; dropped, there was nothing to tell.
    ``sent`` is what it is told, the same at every attempt. ``uncertain_since`` is when the first attempt began of which
    nobody knows whether it arrived; null as long as nothing can have.
    """

    PREFIX = "hov"

    class Kind(models.TextChoices):
        USAGE = "usage", "The outcome"
        REVERSAL = "reversal", "Its reversal"

    class Status(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        PARKED = "parked"
        DROPPED = "dropped"

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, editable=False, default=uuid.uuid4)
    outcome = models.ForeignKey(
        "outcomes.Outcome", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="handovers"
    )
    customer = models.ForeignKey(
        "contracts.Customer", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    contract = models.ForeignKey(
        "contracts.Contract", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    target = models.CharField(max_length=32, choices=Target.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    tries = models.PositiveIntegerField(default=0, help_text="Failed attempts since a person had it tried again.")
    next_attempt_at = models.DateTimeField()
    leased_by = models.UUIDField(null=True, editable=False, help_text="Who is at it; whoever is not writes nothing.")
    uncertain_since = models.DateTimeField(null=True)
    sent = models.JSONField(default=dict, encoder=DjangoJSONEncoder, help_text="What the other system is told.")
    code = models.CharField(
        max_length=64, blank=True, help_text="Why it waits, is parked or was dropped; for machines."
    )
    reason = models.TextField(blank=True)
    account = models.CharField(max_length=255, blank=True, help_text="The account at Stripe that was told.")
    decided_by = models.TextField(blank=True, help_text="Who had it tried again, or dismissed it.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "hand-over"
        constraints = [
            models.UniqueConstraint(fields=["outcome", "kind"], name="handed_over_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["usage", "reversal"], target__in=Target.values), name="handover_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "parked"], finished_at__isnull=True)
                | Q(status__in=["done", "dropped"], finished_at__isnull=False, leased_by__isnull=True),
                name="handover_is_open_or_finished",
            ),
        ]
        indexes = [
            models.Index(
                fields=["target", "next_attempt_at", "id"], condition=Q(status="waiting"), name="handover_due"
            ),
            models.Index(fields=["status", "id"], name="handover_by_status"),
            models.Index(fields=["customer", "id"], name="handover_by_customer"),
            # Searched for in the admin; what is well has none.
            models.Index(fields=["code"], condition=~Q(code=""), name="handover_by_code"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.get_target_display()}"

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.uid)


class Receiver(models.Model):
    """How a target fares: left alone until ``resume_at`` after it failed so many times in a row."""

    target = models.CharField(max_length=32, primary_key=True, choices=Target.choices)
    failures = models.PositiveIntegerField(default=0)
    resume_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)


class Reading(models.Model):
    """How far the outcomes' journal is read (`webhooks.feeds.advance`); one row, from the first contract on that passes
    outcomes on.
    """

    position = models.BigIntegerField()
    gap_end = models.BigIntegerField(null=True)
    gap_writers = ArrayField(models.TextField(), default=list)


class Covered(models.Model):
    """A contract version that passes outcomes on. What was confirmed before it was made is looked up once, when all
    ``writers`` have ended: transactions of before, whose outcomes nobody sees yet.
    """

    version = models.OneToOneField("contracts.ContractVersion", on_delete=models.DO_NOTHING, db_constraint=False)
    writers = ArrayField(models.TextField(), default=list)
    looked_up_at = models.DateTimeField(null=True)
