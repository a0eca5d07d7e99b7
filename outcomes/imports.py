"""Imports: history is loaded while the settlement of the customers it touches waits."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from access.ids import uuid7
from outcomes.models import Import


def open_import(*, name: str = "", now: datetime) -> Import:
    """A new, open import."""
    return Import.objects.create(id=uuid7(now), name=name, created_at=now)


def close_import(import_id: UUID, *, now: datetime) -> Import:
    """Close it; settlement of its customers goes on from here. Closing a closed one changes nothing.

    Locks the import's row, so it waits for batches that are just being stored. Raises Import.DoesNotExist.
    """
    with transaction.atomic():
        found = Import.objects.select_for_update().get(id=import_id)
        if found.closed_at is None:
            found.closed_at = now
            found.save(update_fields=["closed_at"])
    return found
