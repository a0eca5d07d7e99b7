"""Links by which a customer comes in: of each only a digest of what it says is kept."""

from django.db import models
from django.db.models import F, Q

from access import ids


class PortalLink(models.Model):
    """One link into the portal, for one customer. It ends by itself, or when somebody revokes it.

    ``last_used_at`` is written at most once a minute. ``dispute_count`` is how many outcomes were disputed through it
    on ``dispute_day`` (UTC).
    """

    PREFIX = "pl"

    id = models.UUIDField(primary_key=True, editable=False)
    customer = models.ForeignKey("contracts.Customer", on_delete=models.PROTECT, related_name="portal_links")
    digest = models.BinaryField(max_length=32, unique=True, help_text="HMAC-SHA256 of the link's token.")
    created_at = models.DateTimeField()
    created_by = models.TextField(help_text="Who made it.")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.TextField(blank=True, default="")
    last_used_at = models.DateTimeField(null=True, blank=True)
    dispute_day = models.DateField(null=True, blank=True)
    dispute_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        verbose_name = "portal link"
        constraints = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("created_at")), name="portal_link_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_by="") | (Q(revoked_at__isnull=False) & ~Q(revoked_by="")),
                name="portal_link_revoked_as_a_whole",
            ),
        ]
        indexes = [models.Index(fields=["customer", "-id"], name="portal_link_by_customer")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """``pl_…``, as the API names it: opens nothing."""
        return ids.encode(self.PREFIX, self.id)
