"""Who is told, what is to be told and how that went."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from access import ids
from webhooks.catalog import chosen


class Endpoint(models.Model):
    """One address that is told of the events it names. Its row is locked by whoever changes it or its deliveries.

    A disabled endpoint is sent nothing and reads no feed: enabled again, it goes on where it stopped.
    """

    PREFIX = "whe"

    class Disabled(models.TextChoices):
        BY_HAND = "by_hand", "By hand"
        GONE = "gone", "It answered 410 Gone"
        FAILING = "failing", "It failed for days without one success"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.TextField(help_text="Normalised: an ASCII host, a path.")
    description = models.CharField(max_length=255, blank=True)
    events = ArrayField(models.TextField(), help_text="Names of messages, or * alone for all.")
    created_at = models.DateTimeField()
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=16, choices=Disabled.choices, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts since the last success.")
    failing_since = models.DateTimeField(null=True, blank=True, help_text="The first of these failures.")
    resume_at = models.DateTimeField(null=True, blank=True, help_text="Nothing is sent before.")
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(disabled_at__isnull=True, disabled_reason="")
                | (Q(disabled_at__isnull=False) & ~Q(disabled_reason="")),
                name="endpoint_disabled_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.id)

    @property
    def types(self) -> frozenset[str]:
        """The names of the messages it gets."""
        return chosen(self.events)

    @property
    def status(self) -> str:
        """enabled | failing (the last attempt failed) | disabled"""
        if self.disabled_at is not None:
            return "disabled"
        return "failing" if self.failures else "enabled"


class Secret(models.Model):
    """What an endpoint's secret is derived from (`webhooks.signing`). Several count while one replaces another."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    salt = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="No longer signs from then on.")


class Reading(models.Model):
    """How far an endpoint has read an append-only table (a feed, see `webhooks.feeds`).

    Up to ``position`` everything is read. ``gap_end``: ids up to here that were missing when a gap was last looked at;
    they never come once every transaction of ``gap_writers`` has ended.
    """

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="readings")
    feed = models.TextField()
    position = models.BigIntegerField()
    gap_end = models.BigIntegerField(null=True)
    gap_writers = ArrayField(models.TextField(), default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "feed"], name="reading_once")]


class Delivery(models.Model):
    """One message to one endpoint. ``id`` is the order of messages about the same thing; ``uid`` is its `webhook-id`,
    the same at every attempt. ``body`` is sent as it stands here.

    ``leased_until`` is set while an attempt runs. An attempt whose process died is due again when the lease is over,
    because ``next_attempt_at`` was moved there.
    """

    PREFIX = "msg"

    class Status(models.TextChoices):
        WAITING = "waiting"
        ACCEPTED = "accepted"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, editable=False)
    # Ends with its endpoint, by `webhooks.endpoints.delete`, and set-wise: Django's cascade would load every row.
    endpoint = models.ForeignKey(Endpoint, on_delete=models.DO_NOTHING, related_name="deliveries", db_index=False)
    type = models.TextField()
    about = models.TextField(help_text="Public id of what it tells of: out_…, inv_…; these stay in order.")
    body = models.TextField()
    created_at = models.DateTimeField()
    status = models.TextField(choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    tries = models.PositiveIntegerField(default=0, help_text="Attempts since it was queued, or queued again.")
    next_attempt_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(status="waiting", finished_at__isnull=True)
                | (~Q(status="waiting") & Q(finished_at__isnull=False, leased_until__isnull=True)),
                name="delivery_waits_or_is_finished",
            ),
        ]
        indexes = [
            # What is due, at the cost of what is due.
            models.Index(fields=["endpoint", "next_attempt_at", "id"], condition=Q(status="waiting"), name="hook_due"),
            models.Index(fields=["endpoint"], condition=Q(leased_until__isnull=False), name="hook_under_way"),
            # Is an earlier message about the same thing still waiting? And lists by what they are about.
            models.Index(fields=["endpoint", "about", "id"], name="hook_by_about"),
            # Lists of an endpoint, newest first.
            models.Index(fields=["endpoint", "id"], name="hook_by_endpoint"),
            # The admin's list of what failed: little beside what was accepted.
            models.Index(fields=["id"], condition=Q(status="failed"), name="hook_failed"),
            # Retention.
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="hook_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.uid)


class Attempt(models.Model):
    """One attempt to send. Written before it is made: a row without ``ms`` runs now, or its process died."""

    delivery = models.ForeignKey(Delivery, on_delete=models.DO_NOTHING, related_name="log")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    ms = models.PositiveIntegerField(null=True, help_text="How long it took.")
    status_code = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True, help_text="The first KiB of the answer.")
    error = models.TextField(blank=True, help_text="Why it does not count as accepted.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"attempt {self.number}"
