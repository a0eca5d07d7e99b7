"""Tables of access: who may call, and which answers were given."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access import ids
from access.permissions import SCOPES


class ApiKey(models.Model):
    """One key of one calling program. Everything but `revoked_at` and `last_used_at` is fixed when it is made.

    Several are valid at once, so a caller rotates by making a second, switching over and revoking the first.
    """

    PREFIX = "key"

    id = models.UUIDField(primary_key=True, editable=False)
    name = models.CharField(max_length=100, help_text="What uses the key, so that one knows what a revocation stops.")
    live = models.BooleanField(default=True, help_text="hf_live_… rather than hf_test_…")
    display = models.CharField(max_length=16, help_text="How the key begins, to tell keys apart.")
    digest = models.BinaryField(max_length=32, unique=True, help_text="HMAC-SHA256 of the key under the pepper.")
    scopes = ArrayField(models.CharField(max_length=20, choices=[(scope, scope) for scope in SCOPES]))
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="Written at most once a minute.")

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="api_key_scopes_known",
                condition=Q(scopes__len__gte=1, scopes__contained_by=list(SCOPES)),
                violation_error_message=f"Name at least one scope; known are: {', '.join(SCOPES)}.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.display}…)"

    @property
    def public_id(self) -> str:
        return ids.encode(self.PREFIX, self.id)

    def state(self) -> str:
        """active, expired or revoked, as of now; for people."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "active"

    def clean(self) -> None:
        if self.expires_at is not None and self.expires_at <= self.created_at:
            raise ValidationError({"expires_at": "A key must expire after it is made."})


class IdempotencyRecord(models.Model):
    """The first answer to a POST under an Idempotency-Key: written once, with what the POST did, then only read.

    A request that is still running has no row: it holds an advisory lock instead, which the database drops with the
    connection, so a crash blocks nobody. Rows older than a day are swept.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=512)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32, help_text="SHA-256 of the canonical body and the query string.")
    response_status = models.PositiveSmallIntegerField()
    response_headers = models.JSONField(default=dict)
    response_body = models.BinaryField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["api_key", "key", "method", "path"], name="idempotency_record_first_answer_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.key}"


class StaffGroup(Group):
    """No table of its own: where the permissions stand that are finer than seeing and changing the rows of one model
    (`access.roles` says who has them).
    """

    class Meta:
        proxy = True
        default_permissions = ()
        permissions = [
            ("issue_invoices", "Issue invoices"),
            ("settle_invoices", "Mark invoices as paid or uncollectible"),
            ("void_invoices", "Void invoices"),
            ("give_goodwill", "Give goodwill"),
            ("approve_credit_notes", "Approve and discard credit notes"),
            ("note_refunds", "Note refunds"),
            ("decide_disputes", "Decide disputes"),
            ("skip_operations", "Give up Stripe operations"),
        ]


class StaffSession(AbstractBaseSession):
    """A session, and whose: so that all of a person's can be ended (`access.sessions`)."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")

    class Meta(AbstractBaseSession.Meta):
        abstract = False


class Guesses(models.Model):
    """Wrong passwords for one account or from one address (`access.guesses`). Swept a day after the last."""

    key = models.CharField(primary_key=True, max_length=64, help_text="HMAC of the name or of the network.")
    wrong = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(db_index=True)
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.key[:8]}…: {self.wrong}"


class TrailEntry(models.Model):
    """Where a line of the audit trail came from, and its place in the chain: the database adds it with the line, and
    refuses to change it (`access.trail`). ``digest`` is the SHA-256 of the entry before, this one, and the line.
    """

    seq = models.BigIntegerField(primary_key=True)
    line = models.OneToOneField("admin.LogEntry", on_delete=models.PROTECT, related_name="entry")
    noted_at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True)
    user_agent = models.TextField()
    digest = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return str(self.seq)
