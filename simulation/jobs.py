"""Simulations as jobs: asked, split by customer, worked on by any number of workers, summed up by the last.

The work list is the table of parts; messages are wake-up calls. A part is taken by writing a token, and its result is
written in one transaction that asks for the token again: whatever is delivered twice, or goes on after another has
taken its part, counts once.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from access import ids
from access.errors import ApiError
from access.ids import uuid7
from contracts.domain import money
from simulation import reading, results
from simulation.checking import check, customers_of
from simulation.engine import events_by_customer, run
from simulation.models import CellRow, Part, Shadow, Simulation
from simulation.pricing import Cell
from simulation.serializers import read

log = structlog.get_logger(__name__)

EVENTS_A_PART = 500_000
FEWEST_A_PART = 20_000
"""Each part reads the terms."""
LEAST_PARTS, MOST_PARTS = 4, 24
"""How many parts there are at least, where there are events and customers enough, so that workers end together; and at
most, by and large: each looks through the table of events for those of its customers.
"""
CUSTOMERS_A_PART = 2_000
SILENCE = timedelta(minutes=1)
"""A worker that has told nothing for so long has died."""
TELL_SECONDS = 1.0
"""A worker that lives tells so often, whatever it is at."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Stopped(Exception):
    """The part is no longer this worker's: cancelled, or taken by another."""


def create(given: Any, *, by: str, now: datetime, of: Shadow | None = None) -> Simulation:
    """Note a question, checked, as a job that waits; ``of`` is the shadow whose look it is. ``given`` is the decoded
    body. Refused (422) where it makes no sense, with every place at fault.
    """
    check(read(given), now)
    return Simulation.objects.create(
        id=uuid7(now), asked=encoded(given), now=now, asked_by=by, created_at=now, shadow=of
    )


def encoded(given: Any) -> str:
    """A question as it is stored."""
    return _encode(given).decode()


def decoded(stored: str) -> Any:
    """A stored question as it came, with decimals."""
    return _decode(stored)


def find(pk: UUID) -> Simulation:
    """ApiError 404 where there is none."""
    found = with_progress().filter(pk=pk).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no simulation {ids.encode(Simulation.PREFIX, pk)}.")
    return found


def with_progress() -> QuerySet[Simulation]:
    """Simulations, each with ``replayed``: how many events so far."""
    return Simulation.objects.annotate(replayed=Sum("parts__done"))


def cancel(pk: UUID, *, now: datetime) -> Simulation:
    """End a simulation that is not done; workers let go of it within moments. ApiError 409 where it has ended, but for
    one that is cancelled: safe to repeat.
    """
    find(pk)
    ended = Simulation.objects.filter(pk=pk, finished_at__isnull=True)
    if not ended.update(status=Simulation.Status.CANCELLED, finished_at=now):
        found = find(pk)
        if found.status != Simulation.Status.CANCELLED:
            raise ApiError(409, "simulation_ended", f"The simulation is {found.status} already.")
    return find(pk)


def delete(pk: UUID) -> Simulation:
    """Delete a simulation that has ended, with its result; what it was. ApiError 409 where it has not, or where it is
    a look of a shadow, which goes with the shadow.
    """
    found = find(pk)
    if not found.ended:
        raise ApiError(409, "simulation_runs", f"The simulation is {found.status}: cancel it first.")
    if found.shadow is not None:
        raise ApiError(409, "look_of_a_shadow", f"It is a look of shadow {found.shadow.name}: delete that one.")
    Simulation.objects.filter(pk=pk, finished_at__isnull=False, shadow=None).delete()
    return found


def delete_old(now: datetime) -> int:
    """Delete what ended longer ago than HOLDFAST_SIMULATION_DAYS, one after the other; how many. Looks of shadows are
    the shadows' business.
    """
    if not settings.SIMULATION_DAYS:
        return 0
    old = Simulation.objects.filter(finished_at__lt=now - timedelta(days=settings.SIMULATION_DAYS), shadow=None)
    # Each in a transaction of its own: a result may be large.
    return sum(bool(old.filter(pk=pk).delete()[0]) for pk in old.order_by("id").values_list("id", flat=True))


# --- Split ------------------------------------------------------------------------------------------------------------


def split(pk: UUID) -> list[int]:
    """Cut a simulation that waits into parts: the ids of those that nobody has finished. Safe to repeat, and at once by
    several.
    """
    found = Simulation.objects.filter(pk=pk).first()
    if found is None:  # deleted since
        return []
    if found.status == Simulation.Status.WAITING:
        with reading.snapshot():
            asked = read(_decode(found.asked))
            customers = customers_of(asked)
            events = events_by_customer(asked, customers)
        parts = [
            Part(simulation=found, number=number, customers=some, events=sum(events.get(int(one), 0) for one in some))
            for number, some in enumerate(_shares(customers, events))
        ]
        with transaction.atomic():
            waiting = Simulation.objects.filter(pk=pk, status=Simulation.Status.WAITING)
            if waiting.update(status=Simulation.Status.RUNNING, events=sum(part.events for part in parts)):
                Part.objects.bulk_create(parts)
        finish(pk, now=timezone.now())  # of nobody
    return list(Part.objects.filter(simulation=pk, finished_at__isnull=True).values_list("id", flat=True))


def _shares(customers: dict[int, str], events: dict[int, int]) -> Iterator[dict[str, str]]:
    """By id, as text, the customers of each part. The largest come first: what is begun last is short, so that nobody
    waits long for the last worker.
    """
    total = sum(events.values())
    most = max(total // MOST_PARTS, min(EVENTS_A_PART, max(FEWEST_A_PART, total // LEAST_PARTS)))
    share: dict[str, str] = {}
    size = 0
    for customer in sorted(customers, key=lambda one: -events.get(one, 0)):
        more = events.get(customer, 0)
        if share and (size + more > most or len(share) >= CUSTOMERS_A_PART):
            yield share
            share, size = {}, 0
        share[str(customer)] = customers[customer]
        size += more
    if share:
        yield share


def unfinished(now: datetime) -> tuple[list[UUID], list[int]]:
    """What a message may have been lost for: simulations that are not split, and parts that nobody works on."""
    waiting = Simulation.objects.filter(status=Simulation.Status.WAITING)
    parts = Part.objects.filter(simulation__status=Simulation.Status.RUNNING, finished_at__isnull=True)
    parts = parts.filter(Q(token__isnull=True) | Q(seen_at__lt=now - SILENCE))
    return list(waiting.values_list("id", flat=True)), list(parts.values_list("id", flat=True))


def work_on_one(now: datetime) -> int:
    """For who works without a broker: split what waits, and replay one part that nobody works on; how many were."""
    simulations, parts = unfinished(now)
    for simulation in simulations:
        parts += split(simulation)
    return next((1 for part in parts if work(part)), 0)


# --- Work -------------------------------------------------------------------------------------------------------------


def work(part_id: int) -> bool:
    """Replay one part, unless it is done, another worker has it or its simulation has ended; whether it was.

    A failure ends the simulation, with its reason.
    """
    part = _take(part_id)
    if part is None:
        return False
    told = _Told(part)
    try:
        asked = read(_decode(part.simulation.asked))
        with told, reading.snapshot():
            customers = {int(customer): key for customer, key in part.customers.items()}
            found, beside = run(asked, customers, part.simulation.now, told)
        _keep(part, found, beside)
    except Stopped:
        return False
    except Exception as error:
        if told.lost:  # what it was waiting for was ended
            return False
        log.exception("simulation_failed", simulation=str(part.simulation_id), part=part.number)
        unfinished = Simulation.objects.filter(pk=part.simulation_id, finished_at__isnull=True)
        unfinished.update(
            status=Simulation.Status.FAILED, error=f"{type(error).__name__}: {error}"[:2000], finished_at=timezone.now()
        )
        return False
    finish(part.simulation_id, now=timezone.now())
    return True


@transaction.atomic
def _take(part_id: int) -> Part | None:
    """The part, with a token of ours; None where there is nothing to do. Locks its row: of those who come at once, one
    has it.
    """
    now = timezone.now()
    running = Part.objects.filter(pk=part_id, simulation__status=Simulation.Status.RUNNING, finished_at__isnull=True)
    part = running.select_for_update(of=("self",)).select_related("simulation").first()
    if part is None or (part.seen_at is not None and part.seen_at >= now - SILENCE):
        return None
    part.token, part.seen_at, part.done = uuid4(), now, 0
    part.save(update_fields=["token", "seen_at", "done"])
    return part


class _Told:
    """How far a part is, told by a thread and a connection of its own: that of the snapshot can neither write nor see
    what is new, and the worker may wait for PostgreSQL to sort, or be at prices, for longer than SILENCE.

    Where the part is no longer ours (`lost`) the statement that the worker waits for is ended, and the next call raises
    Stopped; so does entering.
    """

    def __init__(self, part: Part) -> None:
        self._part, self._done = part, 0
        self._over = Event()
        self._thread = Thread(target=self._tell, daemon=True)
        self.lost = False

    def __enter__(self) -> "_Told":
        if not self._ours():
            raise Stopped
        self._worker = connection.connection
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, events: int) -> None:
        self._done += events
        if self.lost:
            raise Stopped

    def _tell(self) -> None:
        try:
            while not self._over.wait(TELL_SECONDS):
                try:
                    self.lost = not self._ours()
                except Error as error:
                    # The worker finds out for itself whether the database is gone.
                    log.warning("simulation_not_told", error=str(error))
                    connection.close()
                if self.lost:
                    self._worker.cancel_safe()
                    return
        finally:
            connection.close()

    def _ours(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE simulation_part SET done = %s, seen_at = now() WHERE id = %s AND token = %s AND EXISTS "
                "(SELECT FROM simulation_simulation s WHERE s.id = simulation_id AND s.status = 'running')",
                [self._done, self._part.pk, self._part.token],
            )
            return bool(cursor.rowcount)


@transaction.atomic
def _keep(part: Part, found: list[Any], beside: Any) -> None:
    """The part's result, once. Raises Stopped where the part is no longer ours."""
    told = results.Beside()
    told.add(found, beside)
    running = Part.objects.filter(pk=part.pk, simulation__status=Simulation.Status.RUNNING, finished_at__isnull=True)
    mine = running.select_for_update(of=("self",)).filter(token=part.token).first()
    if mine is None:
        raise Stopped
    mine.done, mine.finished_at, mine.beside = mine.events, timezone.now(), told.to_json()
    mine.save(update_fields=["done", "finished_at", "beside"])
    CellRow.objects.bulk_create(
        (_stored(part.simulation_id, row) for row in results.rows_of(found, beside.slugs)), batch_size=2_000
    )


def _stored(simulation: UUID, row: results.Row) -> CellRow:
    figures = {
        f"{name}_{side}": value
        for side, cell in (("before", row.before), ("after", row.after))
        for name, value in zip(("outcomes", "reversed", "unpriced", "minor"), _figures(cell), strict=True)
    }
    return CellRow(
        simulation_id=simulation, customer=row.customer, month=row.month, condition=row.condition,
        currency=row.currency, **figures,
    )  # fmt: skip


def _figures(cell: Cell) -> tuple[int, int, int, int]:
    return cell.outcomes, cell.reversed, cell.unpriced, cell.amount_minor


# --- Sum up -----------------------------------------------------------------------------------------------------------


def finish(pk: UUID, *, now: datetime) -> bool:
    """Sum up a simulation whose parts are all done; whether it was. Locks the simulation: one of those who come at once
    does it.
    """
    with transaction.atomic():
        found = Simulation.objects.select_for_update().filter(pk=pk, status=Simulation.Status.RUNNING).first()
        if found is None or found.parts.filter(finished_at__isnull=True).exists():
            return False
        totals, beside = results.Totals(), results.Beside()
        totals.add(rows_of(found))
        for part in found.parts.order_by("number").iterator():
            assert part.beside is not None, "a part that is finished has told"
            beside.join(results.Beside.from_json(part.beside))
        found.result = results.summary_json(totals, beside)
        found.status, found.finished_at = Simulation.Status.DONE, now
        found.save(update_fields=["result", "status", "finished_at"])
    return True


def most_moved(found: Simulation, most: int) -> tuple[list[str], int]:
    """Keys of the customers whose revenue changes most, by what it changes in major units of whatever currency; and of
    how many they are.
    """
    exponents = sorted(money.EXPONENTS.items())
    with connection.cursor() as cursor:
        cursor.execute(_MOST_MOVED, [found.pk, *([one[n] for one in exponents] for n in (0, 1)), most])
        rows = cursor.fetchall()
    return [key for key, _ in rows], rows[0][1] if rows else 0


_MOST_MOVED = """
WITH moved AS (
    SELECT customer, currency, sum(minor_after - minor_before) AS minor FROM simulation_cell
    WHERE simulation_id = %s GROUP BY customer, currency
)
SELECT customer, count(*) OVER () FROM moved LEFT JOIN unnest(%s::text[], %s::int[]) e (currency, exponent)
USING (currency) GROUP BY customer
ORDER BY sum(abs(minor) / 10::numeric ^ coalesce(exponent, 2)) DESC, customer COLLATE "C" LIMIT %s
"""


def rows_of(found: Simulation, customers: list[str] | None = None) -> Iterator[results.Row]:
    """The cells of a simulation (of these customers alone), in order, by a cursor of the database."""
    cells = CellRow.objects.filter(simulation=found)
    if customers is not None:
        cells = cells.filter(customer__in=customers)
    for row in cells.order_by("customer", "month", "condition", "currency").iterator():
        yield results.Row(
            row.customer,
            row.month,
            row.condition,
            row.currency,
            Cell(row.outcomes_before, row.reversed_before, row.unpriced_before, row.minor_before),
            Cell(row.outcomes_after, row.reversed_after, row.unpriced_after, row.minor_after),
        )
