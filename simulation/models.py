"""What was asked, how far it is, and what came out: the only tables that a simulation writes."""

import uuid

from django.db import models
from django.db.models import Q

from access import ids


class Shadow(models.Model):
    """A draft that is looked at beside what is in force, on new events. ``asked`` is the question as JSON, without its
    end. ``totals`` are before, after and difference as of ``looked_at``, when the last look that was done began.

    ``next_look_at`` is when the next look is due: None while one runs, and once it is stopped.
    """

    PREFIX = "shd"

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        STOPPED = "stopped", "Stopped"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.TextField(unique=True)
    asked = models.TextField()
    status = models.TextField(choices=Status.choices, default=Status.RUNNING)
    made_by = models.TextField()
    created_at = models.DateTimeField()
    next_look_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    totals = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why the last look found nothing; empty where it did.")
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="running", stopped_at__isnull=True)
                | Q(status="stopped", stopped_at__isnull=False, next_look_at__isnull=True),
                name="simulation_shadow_stopped_at",
            ),
            models.CheckConstraint(
                condition=Q(looked_at__isnull=True, totals__isnull=True)
                | Q(looked_at__isnull=False, totals__isnull=False),
                name="simulation_shadow_totals_at",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.id)


class Day(models.Model):
    """The totals of a shadow as the last look of a day (UTC) found them: everything since its start, not of that day
    alone.
    """

    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    looked_at = models.DateTimeField()
    totals = models.JSONField()

    class Meta:
        db_table = "simulation_shadow_day"
        ordering = ["shadow", "day"]
        constraints = [models.UniqueConstraint(fields=["shadow", "day"], name="simulation_shadow_day_once")]

    def __str__(self) -> str:
        return f"{self.shadow_id} {self.day}"


class Simulation(models.Model):
    """One question and its answer. ``asked`` is the request's body as JSON; ``now`` the instant as of which everything
    is computed; ``result`` what `results.summary_json` tells, once it is done.

    It is worked on in parts, one for some customers each. Whoever finishes the last part sums them up.
    """

    PREFIX = "sim"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    asked = models.TextField()
    now = models.DateTimeField()
    status = models.TextField(choices=Status.choices, default=Status.WAITING)
    asked_by = models.TextField()
    events = models.BigIntegerField(null=True, help_text="Events to be replayed; unknown before it is split.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    shadow = models.ForeignKey(
        Shadow, null=True, blank=True, on_delete=models.CASCADE, related_name="looks", help_text="Whose look it is."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "running"], finished_at__isnull=True)
                | Q(status__in=["done", "failed", "cancelled"], finished_at__isnull=False),
                name="simulation_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(status="done", result__isnull=False) | (~Q(status="done") & Q(result__isnull=True)),
                name="simulation_done_has_result",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(finished_at__isnull=True), name="simulation_unfinished")
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.id)

    @property
    def ended(self) -> bool:
        return self.finished_at is not None


class Part(models.Model):
    """Some customers of a simulation. A worker that takes it writes ``token`` and goes on telling ``seen_at``; one that
    has not been heard of for a while has died, and another takes its part.
    """

    simulation = models.ForeignKey(Simulation, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    customers = models.JSONField(help_text="By id, as text, their keys.")
    events = models.BigIntegerField(help_text="To be replayed.")
    done = models.BigIntegerField(default=0, help_text="Replayed so far.")
    token = models.UUIDField(null=True)
    seen_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    beside = models.JSONField(null=True, help_text="What it tells beside its cells.")

    class Meta:
        ordering = ["simulation", "number"]
        constraints = [models.UniqueConstraint(fields=["simulation", "number"], name="simulation_part_once")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.simulation_id}"


class CellRow(models.Model):
    """One customer, month, condition and currency of a simulation (`results.Row`): every figure shown is a sum of them.
    Amounts are in minor units.
    """

    simulation = models.ForeignKey(Simulation, on_delete=models.CASCADE, related_name="cells", db_index=False)
    customer = models.TextField()
    month = models.CharField(max_length=7)
    condition = models.TextField(blank=True, help_text="A slug; empty: what terms add and take.")
    currency = models.CharField(max_length=3, blank=True, help_text="Empty: under no contract.")
    outcomes_before = models.BigIntegerField()
    reversed_before = models.BigIntegerField()
    unpriced_before = models.BigIntegerField()
    minor_before = models.BigIntegerField()
    outcomes_after = models.BigIntegerField()
    reversed_after = models.BigIntegerField()
    unpriced_after = models.BigIntegerField()
    minor_after = models.BigIntegerField()

    class Meta:
        db_table = "simulation_cell"
        constraints = [
            # Also how they are read: in order of customer.
            models.UniqueConstraint(
                fields=["simulation", "customer", "month", "condition", "currency"], name="simulation_cell_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.customer} {self.month} {self.condition}"
