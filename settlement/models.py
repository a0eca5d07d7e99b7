"""What people put in the way of settlement and billing: holds and disputes. What settlement itself books stands in the
outcomes and their journal.
"""

import uuid
from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Q

from settlement.domain import disputes

TARGETS = ("customer", "condition", "outcome")
"""What a hold is on, exactly one of them."""


def _exactly_one(names: tuple[str, ...]) -> Q:
    return reduce(or_, (Q(**{f"{name}__isnull": name != chosen for name in names}) for chosen in names))


class Hold(models.Model):
    """A person's word that what it covers (all outcomes of a customer, all of a condition, or one) waits: the clock
    books nothing of it, and what is confirmed already is not billed, until the hold is released.

    ``journal_after`` and ``journal_until`` are the last ids drawn for the journal when it was placed and released: the
    rows between were written while it stood, whatever the clocks of the machines that wrote them said.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey("contracts.Customer", null=True, on_delete=models.PROTECT, related_name="holds")
    condition = models.ForeignKey("contracts.Condition", null=True, on_delete=models.PROTECT, related_name="holds")
    # No constraint in the database on the hot table's side: it would cost every update of an outcome. The audit looks.
    outcome = models.ForeignKey(
        "outcomes.Outcome", null=True, on_delete=models.PROTECT, db_constraint=False, related_name="holds"
    )
    reason = models.TextField()
    placed_by = models.TextField(help_text="Who placed it.")
    placed_at = models.DateTimeField()
    journal_after = models.BigIntegerField()
    released_by = models.TextField(blank=True, default="", help_text="Who released it.")
    released_at = models.DateTimeField(null=True, blank=True)
    journal_until = models.BigIntegerField(null=True)
    note = models.TextField(blank=True, default="", help_text="What was said when it was released.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=_exactly_one(TARGETS), name="hold_on_one_thing"),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(placed_by=""), name="hold_has_reason_and_placer"),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True, released_by="", journal_until__isnull=True, note="")
                | (Q(released_at__isnull=False, journal_until__isnull=False) & ~Q(released_by="")),
                name="hold_released_as_a_whole",
            ),
            # One of each is enough, and so is one look at each of these indexes to know what is held.
            *(
                models.UniqueConstraint(
                    fields=[name],
                    condition=Q(released_at__isnull=True, **{f"{name}__isnull": False}),
                    name=f"one_hold_per_{name}",
                )
                for name in TARGETS
            ),
        ]

    @property
    def target(self) -> str:
        """Which of `TARGETS` it is on."""
        return next(name for name in TARGETS if getattr(self, f"{name}_id") is not None)

    def __str__(self) -> str:
        return f"hold on {self.target} {getattr(self, self.target)}"


class Dispute(models.Model):
    """An outcome that somebody says should not be charged. While it is raised, the outcome is kept off invoices; it
    is decided once: ``upheld`` (the outcome is taken back), ``rejected`` or ``withdrawn`` (it is billable again). The
    projection of its entries.
    """

    class Status(models.TextChoices):
        RAISED = disputes.RAISED
        UPHELD = disputes.UPHELD
        REJECTED = disputes.REJECTED
        WITHDRAWN = disputes.WITHDRAWN

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    outcome = models.ForeignKey(
        "outcomes.Outcome", on_delete=models.PROTECT, db_constraint=False, related_name="disputes"
    )
    status = models.TextField(choices=Status.choices, default=Status.RAISED)
    reason = models.TextField()
    raised_by = models.TextField(help_text="Who raised it.")
    raised_at = models.DateTimeField()
    resolved_by = models.TextField(blank=True, default="", help_text="Who decided or withdrew it.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, default="", help_text="What was said when it was decided or withdrawn.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=disputes.STATUSES), name="dispute_status_known"),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(raised_by=""), name="dispute_has_reason_and_raiser"),
            models.CheckConstraint(
                condition=Q(status=disputes.RAISED, resolved_at__isnull=True, resolved_by="", note="")
                | (~Q(status=disputes.RAISED) & Q(resolved_at__isnull=False) & ~Q(resolved_by="")),
                name="dispute_resolved_as_a_whole",
            ),
            models.UniqueConstraint(
                fields=["outcome"], condition=Q(status=disputes.RAISED), name="one_raised_dispute_per_outcome"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} dispute"


class DisputeEntry(models.Model):
    """One change of a dispute, append-only (a database trigger refuses updates and deletes): raised, then decided once
    at most. The feed that webhooks read.
    """

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="entries")
    status = models.TextField(choices=Dispute.Status.choices)
    actor = models.TextField()
    note = models.TextField(blank=True, default="", help_text="The reason for raising it, the note of the decision.")
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "dispute entries"
        constraints = [
            models.CheckConstraint(condition=Q(status__in=disputes.STATUSES), name="dispute_entry_status_known"),
            models.UniqueConstraint(
                fields=["dispute"], condition=Q(status=disputes.RAISED), name="dispute_raised_once"
            ),
            models.UniqueConstraint(
                fields=["dispute"], condition=~Q(status=disputes.RAISED), name="dispute_resolved_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} by {self.actor}"
