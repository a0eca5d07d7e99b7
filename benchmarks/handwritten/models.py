"""One table: an event, once for each customer and id."""

from django.db import models


class Event(models.Model):
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    customer = models.CharField(max_length=255)
    time = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "event_id"], name="event_once")]

    def __str__(self) -> str:
        return self.event_id
