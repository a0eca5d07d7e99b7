"""Which event names were ever seen, so that a slip in a condition's text can be told from a new name."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from outcomes.models import EventType

# Names this process knows to be stored: most batches bring none that is new.
_known: set[str] = set()


def note_types(names: Collection[str], now: datetime) -> None:
    """Remember these names, in the caller's transaction."""
    fresh = sorted(set(names) - _known)
    if fresh:
        EventType.objects.bulk_create(
            [EventType(name=name, first_seen_at=now) for name in fresh], ignore_conflicts=True
        )
        transaction.on_commit(lambda: _known.update(fresh))


def seen_types() -> frozenset[str]:
    """Every event name seen so far."""
    return frozenset(EventType.objects.values_list("name", flat=True))


def forget() -> None:
    """Start anew in this process, as a test does whose database is emptied."""
    _known.clear()
