"""What happened: events, the subjects they are about, the outcomes computed from them, the journal of every change.

The hot tables (event identity, event, pending, subject, subject event, outcome, journal) are written set-wise by
`intake`, `evaluation` and `settlement`; the models here are for reading and for the admin. They carry no foreign-key
constraints to each other where a check per row would cost the hot path; `manage.py audit` proves the references
instead.
"""

import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from contracts.models import ConditionCustomer, ConditionVersion


class ShownNumbers(json.JSONDecoder):
    """Event data for people to read: a number that a float would change is shown as text. What is computed from event
    data never passes here; `outcomes.store` reads exact decimals.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(parse_float=_shown, **options)


def _shown(text: str) -> float | str:
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text


class EventIdentity(models.Model):
    """The claim on an event's identity, unique for ever: it outlives the payload, which retention may archive.

    ``fingerprint`` is SHA-256 over the canonical content as sent, so that a retry is told from a conflict.
    """

    pk = models.CompositePrimaryKey("customer", "event_id", "source")
    customer = models.ForeignKey("contracts.Customer", on_delete=models.DO_NOTHING, db_constraint=False)
    event_id = models.TextField()
    source = models.TextField(default="", help_text="CloudEvents `source`; empty for events of our own API.")
    fingerprint = models.BinaryField(max_length=32)
    seq = models.BigIntegerField(help_text="The event's acceptance order; its row in the payload table.")

    class Meta:
        managed = False
        db_table = "outcomes_event_identity"


class Event(models.Model):
    """One accepted fact; immutable. ``seq`` is the acceptance order: (months since 2020) * 10^12 + a counter, so that
    the table is partitioned by month of receipt while ``seq`` alone stays its key (see migrations/0002).
    """

    seq = models.BigIntegerField(primary_key=True)
    customer = models.ForeignKey(
        "contracts.Customer", on_delete=models.DO_NOTHING, db_constraint=False, related_name="events"
    )
    event_id = models.TextField()
    source = models.TextField(default="")
    type = models.TextField()
    time = models.DateTimeField(help_text="When it happened.")
    received_at = models.DateTimeField(help_text="When we accepted it.")
    data = models.JSONField(default=dict, decoder=ShownNumbers)
    batch_import = models.ForeignKey(
        "outcomes.Import", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="events"
    )

    class Meta:
        managed = False
        db_table = "outcomes_event"
        ordering = ["-seq"]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class EventType(models.Model):
    """An event name that was seen at least once: what the checker of conditions holds the names in a text against."""

    name = models.TextField(primary_key=True)
    first_seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Pending(models.Model):
    """An accepted event that waits for evaluation. Written with the event, deleted with its results; the earliest
    ``time`` of a partition is its watermark, and an empty table means that everything accepted has been evaluated. Its
    key is the order of evaluation, so that the next batch and the watermark cost by what they read, not by what waits.
    """

    pk = models.CompositePrimaryKey("partition", "time", "seq")
    partition = models.SmallIntegerField()
    time = models.DateTimeField()
    seq = models.BigIntegerField()
    again = models.BooleanField(default=False, help_text="Evaluated before: subjects that know it leave it out.")

    class Meta:
        managed = False
        db_table = "outcomes_pending"


class Subject(models.Model):
    """What outcomes are about: (customer, condition, key value), with the fold state of its lifecycle.

    ``state`` is the JSON of `outcomes.domain.lifecycle.Fold`; ``last_time`` and ``last_seq`` name the newest event
    folded, or a later instant at which settlement closed an open attempt: what is older than that is late.
    """

    # No index for a foreign key alone: the unique key leads by customer, and nothing asks for less (every index here
    # is written by every batch).
    customer = models.ForeignKey(
        "contracts.Customer", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="subjects"
    )
    condition = models.ForeignKey(
        "contracts.Condition", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    key = models.TextField()
    state = models.TextField(default="")
    last_time = models.DateTimeField(null=True)
    last_seq = models.BigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "condition", "key"], name="subject_identity")]

    def __str__(self) -> str:
        return self.key


class SubjectEvent(models.Model):
    """One event among a subject's facts, in the order that counts: (time, seq). The evidence behind its outcomes."""

    pk = models.CompositePrimaryKey("subject", "time", "seq")
    subject = models.ForeignKey(
        Subject, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="facts"
    )
    time = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        db_table = "outcomes_subject_event"


class State(models.TextChoices):
    """The states of an outcome (docs/lifecycle.md)."""

    OPEN = "open"
    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    REVERSED = "reversed"
    VOID = "void"
    MISSED = "missed"
    SUPERSEDED = "superseded"


class Outcome(models.Model):
    """One attempt on one subject to reach a charge: the projection of its journal.

    ``quantity``, ``amount`` and ``dimensions`` are as the facts stand; they are final from ``settled_at`` on.
    ``due_at`` is the instant at which the clock alone changes the outcome next; ``queue`` holds changes already
    computed that wait for an earlier one to be booked (page 2, section 3: folding computes, settlement books).
    While it is open, ``last_time``, ``last_seq`` and ``due_at`` may be behind: they are written when its state changes.
    The truth is in the subject's state, and never earlier than ``due_at``.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(
        "contracts.Customer", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="outcomes"
    )
    condition = models.ForeignKey(
        "contracts.Condition", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    version = models.ForeignKey(
        "contracts.ConditionVersion", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False
    )
    subject = models.ForeignKey(
        Subject, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="outcomes"
    )
    partition = models.SmallIntegerField()
    ordinal = models.PositiveIntegerField(help_text="1 for the first attempt booked on the subject, and so on.")
    state = models.TextField(choices=State.choices)
    first_time = models.DateTimeField(help_text="Time of the event that began the attempt.")
    first_seq = models.BigIntegerField()
    last_time = models.DateTimeField(help_text="Time of the latest event among the attempt's facts.")
    last_seq = models.BigIntegerField()
    met_by_seq = models.BigIntegerField(null=True)
    met_at = models.DateTimeField(null=True)
    settles_at = models.DateTimeField(null=True, help_text="Planned end of the settlement window.")
    settled_at = models.DateTimeField(null=True, help_text="The instant from which it is final.")
    ended_by_seq = models.BigIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)
    quantity = models.DecimalField(max_digits=72, decimal_places=34, null=True)
    amount = models.DecimalField(max_digits=72, decimal_places=34, null=True)
    dimensions = models.JSONField(default=dict)
    review = ArrayField(models.TextField(), default=list, help_text="What a person must complete before it is billed.")
    due_at = models.DateTimeField(null=True)
    queue = models.JSONField(null=True)
    single = models.BooleanField(
        default=True, help_text="The condition has no `repeat when`: one confirmed outcome per subject at most."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["subject", "ordinal"], name="outcome_ordinal"),
            models.UniqueConstraint(
                fields=["subject"], condition=Q(state="confirmed", single=True), name="one_confirmed_per_subject"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="outcome_state_known"),
            models.CheckConstraint(
                condition=~Q(state="confirmed") | Q(settled_at__isnull=False), name="confirmed_has_an_instant"
            ),
        ]
        indexes = [
            # The sweep: what is due, in due order, at the cost of what is due and not of what is stored.
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="outcome_due"),
            # The sweep: of these the few with changes computed already, which it takes first.
            models.Index(fields=["due_at", "id"], condition=Q(queue__isnull=False), name="outcome_queued"),
            # A billing run: a customer's outcomes by settlement.
            models.Index(
                fields=["customer", "settled_at"], condition=Q(settled_at__isnull=False), name="outcome_settled"
            ),
            # A billing run: what was taken back after it was confirmed, little beside what was not.
            models.Index(fields=["customer"], condition=Q(state="reversed"), name="outcome_reversed"),
            # Lists by customer, newest first.
            models.Index(fields=["customer", "id"], name="outcome_by_customer"),
            # The admin's lists by state, of which some have a row in a hundred thousand; what is confirmed is no part.
            models.Index(
                fields=["state", "id"],
                condition=Q(state__in=["reversed", "void", "missed", "superseded"]),
                name="outcome_ended",
            ),
            # What a person has to complete: next to nothing, and written as rarely.
            models.Index(
                fields=["customer", "id"],
                condition=Q(state__in=["provisional", "confirmed"]) & ~Q(review=[]),
                name="outcome_to_complete",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} outcome"


class Journal(models.Model):
    """Every change of an outcome's state, once, append-only (a database trigger refuses updates and deletes)."""

    class Cause(models.TextChoices):
        EVENT = "event", "An event"
        CLOCK = "clock", "The clock"
        LATE = "late", "Late evidence"
        PERSON = "person", "A person"

    outcome = models.ForeignKey(
        Outcome, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="journal"
    )
    from_state = models.TextField(blank=True)
    to_state = models.TextField()
    cause = models.TextField(choices=Cause.choices)
    clause = models.TextField(blank=True, help_text="The clause that spoke: bill, void, settle, expire, credit ...")
    event_seq = models.BigIntegerField(null=True)
    actor = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    effective_at = models.DateTimeField(help_text="When it took effect.")
    recorded_at = models.DateTimeField(help_text="When it was written here.")

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["outcome", "id"], name="journal_by_outcome")]

    def __str__(self) -> str:
        return f"{self.from_state or 'begins'} → {self.to_state}"


class Decision(models.Model):
    """What a person decided of an outcome; append-only. Replays take it as an input, as they take events, and no event
    undoes it (`outcomes.domain.lifecycle.Decision` tells which attempt it is about).

    ``at`` is later than all that was folded of the subject when it was made. ``quantity`` and ``amount`` are what the
    facts did not tell; they belong to ``complete`` only.
    """

    class Kind(models.TextChoices):
        TAKE_BACK = "take_back", "Taken back"
        COMPLETE = "complete", "Completed"

    subject = models.ForeignKey(Subject, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    outcome = models.ForeignKey(Outcome, on_delete=models.DO_NOTHING, db_constraint=False, related_name="decisions")
    kind = models.TextField(choices=Kind.choices)
    at = models.DateTimeField(help_text="When it took effect.")
    met_at = models.DateTimeField(help_text="Time of the event that met the outcome.")
    met_by_seq = models.BigIntegerField()
    quantity = models.DecimalField(max_digits=72, decimal_places=34, null=True)
    amount = models.DecimalField(max_digits=72, decimal_places=34, null=True)
    actor = models.TextField()
    reason = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            # Two at one instant would have no order.
            models.UniqueConstraint(fields=["subject", "at"], name="one_decision_at_an_instant"),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(actor=""), name="decision_has_actor_and_reason"),
            models.CheckConstraint(
                condition=Q(kind="complete") | Q(quantity__isnull=True, amount__isnull=True),
                name="only_completion_has_figures",
            ),
            models.CheckConstraint(
                condition=Q(kind="take_back") | Q(quantity__isnull=False) | Q(amount__isnull=False),
                name="completion_has_a_figure",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {self.actor}"


class LateEvidence(models.Model):
    """An event that would have changed what is booked of a confirmed outcome, and that was left out of the condition's
    facts, because the contract in force when the outcome was met says `review` or `ignore`.

    It is no fact of its subject until a person accepts it; then it counts as any other.
    """

    class Policy(models.TextChoices):
        REVIEW = "review"
        IGNORE = "ignore"

    class Status(models.TextChoices):
        WAITING = "waiting"
        ACCEPTED = "accepted"
        IGNORED = "ignored"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.ForeignKey(
        Subject, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="late_evidence",
        related_query_name="lateevidence",
    )  # fmt: skip
    outcome = models.ForeignKey(
        Outcome, on_delete=models.DO_NOTHING, db_constraint=False, related_name="late_evidence",
        help_text="The confirmed outcome that it would have taken back.",
    )  # fmt: skip
    event_seq = models.BigIntegerField()
    time = models.DateTimeField(help_text="When the event happened.")
    policy = models.TextField(choices=Policy.choices, help_text="What the contract says.")
    status = models.TextField(choices=Status.choices)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.TextField(blank=True)
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "late evidence"
        constraints = [
            models.UniqueConstraint(fields=["event_seq", "subject"], name="left_out_once"),
            models.CheckConstraint(
                condition=Q(status="waiting", decided_at__isnull=True)
                | Q(status="accepted", decided_at__isnull=False)
                | Q(status="ignored"),
                name="late_evidence_decided",
            ),
            models.CheckConstraint(
                condition=Q(policy="review") | Q(status="ignored"), name="what_is_ignored_stays_ignored"
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(status="waiting"), name="late_evidence_waiting")]

    def __str__(self) -> str:
        return f"late evidence, {self.status}"


class PastRead(models.Model):
    """A reading of the payload table for events that were accepted too early: ``next_seq`` … ``until_seq`` is what is
    still to be looked through. While that lasts, the condition settles nothing.
    """

    types = ArrayField(models.TextField(), help_text="Event names to look for; empty: there is nothing to do.")
    since = models.DateTimeField(null=True, help_text="Events that happened earlier cannot matter to it.")
    next_seq = models.BigIntegerField()
    until_seq = models.BigIntegerField()
    events = models.BigIntegerField(default=0, help_text="Handed to evaluation so far.")
    created_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        ordering = ["-created_at"]

    @property
    def whose(self) -> "ConditionVersion | ConditionCustomer":
        """What it is for."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"history for {self.whose}"


class Backfill(PastRead):
    """Events accepted before a condition version was made, on their way to it: one row per version."""

    version = models.OneToOneField("contracts.ConditionVersion", primary_key=True, on_delete=models.CASCADE)

    @property
    def whose(self) -> "ConditionVersion":
        return self.version


class CustomerBackfill(PastRead):
    """Events of a customer that joined a limited condition, accepted before it did and on their way to the condition:
    one row for each that joined.
    """

    named = models.OneToOneField(
        "contracts.ConditionCustomer", primary_key=True, on_delete=models.CASCADE, related_name="backfill"
    )

    @property
    def whose(self) -> "ConditionCustomer":
        return self.named


class ArchivedMonth(models.Model):
    """A month of payloads (by receipt) that left the database for a file. Identities and facts stay, for ever."""

    month = models.CharField(primary_key=True, max_length=7, help_text="2026-03")
    path = models.TextField(help_text="The file it was written to.")
    events = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, help_text="Over the lines of the events in the file.")
    archived_at = models.DateTimeField()

    class Meta:
        ordering = ["-month"]

    def __str__(self) -> str:
        return self.month


class Import(models.Model):
    """A backfill of history: events of any age belong to it, and settlement of the customers it touches is paused
    until it is closed, so that January's reopening can be loaded after January's closing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    # Its progress, on rows of `outcomes.imports.with_progress`.
    accepted: int
    duplicates: int
    rejected: int
    waiting: int
    touched: int

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name or str(self.id)


class ImportTally(models.Model):
    """What became of one batch of an import; their sums are its progress. Rows are appended, never updated, so that no
    batch waits for another. A retry from the inbox moves from ``rejected`` to the others, so it may be negative.
    """

    batch_import = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="tallies")
    accepted = models.BigIntegerField()
    duplicates = models.BigIntegerField()
    rejected = models.BigIntegerField()


class ImportFile(models.Model):
    """A file that `manage.py import_events` loads, and how far it is: the next run with the same file and mapping goes
    on behind ``rows``. The fingerprints are SHA-256, in hexadecimal.
    """

    batch_import = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="files")
    path = models.TextField(help_text="Where it lay, absolute.")
    file_fingerprint = models.TextField()
    mapping_fingerprint = models.TextField()
    rows = models.BigIntegerField(default=0, help_text="Rows done: each is accepted, or lies in the inbox.")
    accepted = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    report_path = models.TextField(help_text="Where the rows that were not taken are listed.")
    report_bytes = models.BigIntegerField(default=0, help_text="Length of that list after ``rows``.")
    finished_at = models.DateTimeField(null=True, help_text="When the last row was done.")

    class Meta:
        indexes = [models.Index(fields=["path"], name="import_file_by_path")]


class ImportCustomer(models.Model):
    """A customer that an import touched."""

    batch_import = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="customers")
    customer = models.ForeignKey("contracts.Customer", on_delete=models.CASCADE, related_name="imports")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["batch_import", "customer"], name="import_customer_once")]


class InboxItem(models.Model):
    """An event that could not be used, kept with the reason until its cause is mended or a person dismisses it.

    Nothing is dropped in silence. ``event_seq`` is set where the event was accepted (no condition found its key); else
    ``body`` holds what was sent and ``seq`` the acceptance order it keeps when it is retried.
    """

    class Reason(models.TextChoices):
        UNKNOWN_CUSTOMER = "unknown_customer"
        MISSING_KEY = "missing_key"
        ARCHIVED = "archived"
        TOO_OLD = "too_old"
        IN_FUTURE = "in_future"
        INVALID = "invalid"
        ID_CONFLICT = "id_conflict"

    class Status(models.TextChoices):
        WAITING = "waiting"
        RESOLVED = "resolved"
        DISMISSED = "dismissed"

    seq = models.BigIntegerField()
    event_seq = models.BigIntegerField(null=True, blank=True)
    customer_key = models.TextField(blank=True)
    event_id = models.TextField(blank=True)
    type = models.TextField(blank=True)
    body = models.TextField(help_text="The event as sent, JSON.")
    reason = models.TextField(choices=Reason.choices)
    message = models.TextField()
    status = models.TextField(choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0, help_text="How often it was retried in vain.")
    received_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, help_text="Why it was dismissed.")
    handled_by = models.TextField(blank=True, help_text="Who retried or dismissed it last.")
    batch_import = models.ForeignKey(
        Import, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "inbox"
        indexes = [
            models.Index(fields=["status", "reason", "id"], name="inbox_by_reason"),
            models.Index(fields=["customer_key", "event_id"], name="inbox_by_event"),
            models.Index(fields=["event_id"], name="inbox_by_event_id"),
            models.Index(fields=["event_seq"], condition=Q(event_seq__isnull=False), name="inbox_by_event_seq"),
            models.Index(
                fields=["batch_import", "status"], condition=Q(batch_import__isnull=False), name="inbox_by_import"
            ),
            # Counting and retrying what waits costs what waits, however much was resolved.
            models.Index(
                fields=["reason", "id"], include=["received_at"], condition=Q(status="waiting"), name="inbox_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display().lower()}: {self.event_id or 'no id'}"
