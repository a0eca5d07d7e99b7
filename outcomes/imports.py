"""Imports: history is loaded while the settlement of the customers it touches waits."""

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from access.ids import uuid7
from outcomes.models import Import, ImportCustomer, ImportTally, InboxItem


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
            _sum_up(import_id)
    return found


def tally(import_id: UUID, *, accepted: int, duplicates: int, rejected: int) -> None:
    """Add what became of a batch. Takes no lock that another batch waits for."""
    ImportTally.objects.create(batch_import_id=import_id, accepted=accepted, duplicates=duplicates, rejected=rejected)


def _sum_up(import_id: UUID) -> None:
    """One tally in the place of one a batch."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH gone AS (
                DELETE FROM outcomes_importtally WHERE batch_import_id = %s RETURNING accepted, duplicates, rejected
            )
            INSERT INTO outcomes_importtally (batch_import_id, accepted, duplicates, rejected)
            SELECT %s, sum(accepted), sum(duplicates), sum(rejected) FROM gone HAVING count(*) > 0
            """,
            [import_id, import_id],
        )


def with_progress(imports: QuerySet[Import]) -> QuerySet[Import]:
    """Each with ``accepted``, ``duplicates`` and ``rejected`` (their sum is what was sent; of an import still being
    loaded: so far), ``waiting`` (its events that wait in the inbox) and ``touched`` (customers).
    """
    tallies = ImportTally.objects.filter(batch_import=OuterRef("pk")).order_by().values("batch_import")
    waiting = InboxItem.objects.filter(batch_import=OuterRef("pk"), status=InboxItem.Status.WAITING).order_by()
    customers = ImportCustomer.objects.filter(batch_import=OuterRef("pk")).order_by()
    progress: dict[str, Coalesce] = {
        name: Coalesce(Subquery(tallies.annotate(total=Sum(name)).values("total")), 0)
        for name in ("accepted", "duplicates", "rejected")
    }
    progress |= {"waiting": _count(waiting), "touched": _count(customers)}
    return imports.annotate(**progress)


def _count(rows: QuerySet) -> Coalesce:
    return Coalesce(Subquery(rows.values("batch_import").annotate(total=Count("pk")).values("total")), 0)


def left_waiting(count: int) -> str | None:
    """What is to be said at the close of an import of which ``count`` events wait in the inbox."""
    if not count:
        return None
    return (
        f"{count:,} of its events wait in the inbox and count for nothing until they are retried. They may be retried "
        "after the close, too; what is confirmed before is then corrected by reversals."
    )
