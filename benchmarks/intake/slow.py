"""The slow path: an event that is older than what is folded has its subject's whole history replayed."""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.intake.events import TOKEN, Sent, Stream, batches
from benchmarks.intake.home import Serving
from benchmarks.intake.load import Background, Load, closed_loop
from benchmarks.intake.measures import Figures, Meter, check, path_of

ROUNDS = 3
_TYPES = ("incident.new", "incident.active", "incident.resolved", "incident.active", "incident.resolved")


def replays(meter: Meter, serving: Serving, customers: list[str], history: int, subjects: int) -> Figures:
    """Evaluation alone, in one process, of late events: one a round for each of so many subjects with such a history.

    Intake of the events is not in the figure. ``serving`` must have no workers.
    """
    now, before = datetime.now(UTC), meter.newest()
    step = timedelta(days=1) / history

    def event(name: str, subject: int, at: datetime, type_: str) -> Sent:
        return _event(name, f"SLOW{subject}", customers[subject % len(customers)], at, type_)

    told = [
        event(f"{place}", subject, now - (history - place) * step, _TYPES[place % len(_TYPES)])
        for place in range(history)
        for subject in range(subjects)
    ]
    middle = now - timedelta(hours=12)
    late = [
        [event(f"late-{n}", subject, middle + timedelta(seconds=n), "incident.active") for subject in range(subjects)]
        for n in range(ROUNDS)
    ]
    streams = [batches(part, min(1000, len(part))) for part in (told, *late)]
    found = Background(partial(_send_and_evaluate, serving, streams, next(meter.numbers))).run()
    check("late events evaluated", found.events, ROUNDS * subjects)
    meter.check_evaluated(before, (history + ROUNDS) * subjects, subjects)
    return Figures(found.events, found.seconds, found.seconds)


def _send_and_evaluate(serving: Serving, streams: list[Stream], number: int) -> Load:
    """Send and evaluate one stream after the other, in this (forked) process; the evaluation of all but the first."""
    import django
    from django.utils import timezone

    django.setup()
    from outcomes.evaluation import evaluate_waiting

    whole = Load()
    for place, stream in enumerate(streams):
        sent = closed_loop(serving.connect(path_of(stream)), [stream], number, limits=[len(stream.bodies)])
        check("events accepted", sent.accepted, len(stream.events))
        begun = time.monotonic()
        evaluated = evaluate_waiting(timezone.now())
        if place > 0:
            whole.seconds += time.monotonic() - begun
            whole.events += evaluated
    return whole


def _event(name: str, incident: str, customer: str, at: datetime, type_: str) -> Sent:
    number = f"{incident}-{TOKEN.decode()}"
    told = {
        "id": f"{name}-{number}",
        "type": type_,
        "customer": customer,
        "time": at.isoformat(),
        "data": {"number": number, "priority": "3 - Moderate", "category": "Category 55", "state": "Active"},
    }
    return Sent(customer, number, json.dumps(told).encode())
