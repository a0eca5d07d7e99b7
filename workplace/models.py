"""Figures of the front page, as they were worked out last: some cost seconds, and nobody waits for a page that long.
And the filters that staff keep for their lists.
"""

from django.conf import settings
from django.db import models


class Figures(models.Model):
    """One set of figures. ``data`` is what the front page shows of it (`workplace.figures`, `workplace.revenue`)."""

    class Kind(models.TextChoices):
        OPERATIONS = "operations"
        REVENUE = "revenue"
        AUDIT = "audit"

    kind = models.CharField(max_length=16, primary_key=True, choices=Kind.choices)
    made_at = models.DateTimeField(help_text="By the wall clock; what they tell is as of then.")
    milliseconds = models.PositiveIntegerField(help_text="How long it took.")
    data = models.JSONField()

    def __str__(self) -> str:
        return f"{self.kind} of {self.made_at}"


class SavedFilter(models.Model):
    """Filters, search and order of one list of the admin under a name, for the person who saved them or for all."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters")
    model = models.CharField(max_length=100, help_text="Whose list: `app.model`.")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, help_text="What stands behind the list's address, without its `?`.")
    shared = models.BooleanField(default=False, help_text="Others who see the list see it, too.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["user", "model", "name"], name="saved_filter_name")]
        indexes = [models.Index(fields=["model"], condition=models.Q(shared=True), name="saved_filter_shared")]

    def __str__(self) -> str:
        return self.name
