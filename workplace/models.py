"""Figures of the front page, as they were worked out last: some cost seconds, and nobody waits for a page that long."""

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
