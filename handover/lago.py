"""Lago: events of usage (docs/handover.md). What is sent twice under one `transaction_id` and timestamp counts once.

A batch is taken whole or not at all. Which of its events are at fault stands in the answer by their place; where it
does not, each is sent by itself.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings

from access import ids
from conditions_dsl.words import plain
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from handover.models import Handover
from handover.results import OUT_OF_TIME, Done, Later, Refused, Result
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from webhooks.schedule import retry_after
from webhooks.sending import MAX_ANSWER, Answer, post

BATCH: Final = 100
"""Lago takes so many events in one request."""

REVERSED: Final = "-reversed"
_ALREADY: Final = "value_already_exist"
_FIGURES: Final = ("quantity", "amount")

Event = Mapping[str, Any]


# --- What is said -----------------------------------------------------------------------------------------------------


def event_of(handover: Handover, outcome: Outcome) -> dict[str, Any]:
    """The event of an outcome. It belongs to the period in which it settled, as on an invoice of ours."""
    assert outcome.settled_at is not None and outcome.quantity is not None
    properties = {
        (f"dimension_{name}" if name in _FIGURES else name): value
        for name, value in outcome.dimensions.items()
        if value is not None
    }
    properties["quantity"] = plain(outcome.quantity)
    if outcome.amount is not None:
        properties["amount"] = plain(outcome.amount)
    return {
        "transaction_id": ids.encode(OUTCOME_PREFIX, outcome.pk),
        "external_subscription_id": ids.encode(CONTRACT_PREFIX, handover.contract_id),
        "code": outcome.condition.slug,
        "timestamp": int(outcome.settled_at.timestamp()),
        "properties": properties,
    }


def reversal_of(sent: Event, now: datetime) -> dict[str, Any]:
    """The event that takes another back: the same with its figures below zero, dated now, because the period that it
    was in may be invoiced.
    """
    properties = dict(sent["properties"])
    for name in _FIGURES:
        if name in properties:
            properties[name] = plain(0 - Decimal(properties[name]))
    return {
        **sent,
        "transaction_id": f"{sent['transaction_id']}{REVERSED}",
        "timestamp": int(now.timestamp()),
        "properties": properties,
    }


# --- Told -------------------------------------------------------------------------------------------------------------


def is_configured() -> bool:
    """Whether there is a Lago to tell."""
    return bool(settings.LAGO_URL and settings.LAGO_KEY)


def send(events: Sequence[Event], now: datetime, in_time: Callable[[], bool] = lambda: True) -> list[Result]:
    """Tell Lago of these; what came of each. Whatever happens is a result. Touches no database. Of several that have to
    go one by one, those that are not ``in_time`` any more are left for later.
    """
    if len(events) == 1:
        return [_judge(_post("/api/v1/events", {"event": events[0]}), now)]
    answer = _post("/api/v1/events/batch", {"events": events})
    if answer.status in (400, 413, 422):
        faults = _faults_by_place(answer)
        if not faults or not all(0 <= place < len(events) for place in faults):
            return _one_by_one(events, now, in_time)
        results: dict[int, Result] = {
            place: Done("Lago had it already.") if _is_duplicate(told) else _refused(told)
            for place, told in faults.items()
        }
        rest = [place for place in range(len(events)) if place not in faults]
        if rest:
            results |= dict(zip(rest, send([events[place] for place in rest], now, in_time), strict=True))
        return [results[place] for place in range(len(events))]
    return [_judge(answer, now)] * len(events)


def _one_by_one(events: Sequence[Event], now: datetime, in_time: Callable[[], bool]) -> list[Result]:
    results: list[Result] = []
    for event in events:
        if not in_time():
            return results + [OUT_OF_TIME] * (len(events) - len(results))
        [result] = send([event], now)
        results.append(result)
        if isinstance(result, Later) and result.stops:
            untold = Later(result.code, result.reason, after=result.after)
            return results + [untold] * (len(events) - len(results))
    return results


def _post(path: str, body: Mapping[str, Any]) -> Answer:
    headers = {"Authorization": f"Bearer {settings.LAGO_KEY}", "User-Agent": "Holdfast-Handover/1"}
    return post(settings.LAGO_URL + path, json.dumps(body), headers, keep=MAX_ANSWER)


def _judge(answer: Answer, now: datetime) -> Result:
    """What an answer means for all that was asked."""
    status = answer.status
    if answer.accepted:
        return Done()
    if status is None:
        # An address that is refused was never connected to; of all else nobody knows.
        never = answer.error.startswith("Refused:")
        return Later("refused_address" if never else "no_answer", f"Lago: {answer.error}", uncertain=not never)
    if status in (401, 403):
        return Later("key_refused", f"Lago answered {status}: check HOLDFAST_LAGO_KEY.")
    if status == 404 or 300 <= status < 400:
        return Later("not_found", f"Lago answered {status}: check HOLDFAST_LAGO_URL, which /api/v1 stands behind.")
    if status == 429:
        after = retry_after(answer.retry_after, now=now) if answer.retry_after else None
        return Later("busy", "Lago answered 429: too many requests.", after=after)
    if status == 408 or status >= 500:
        after = retry_after(answer.retry_after, now=now) if answer.retry_after else None
        return Later("unavailable", f"Lago answered {status}.", uncertain=True, after=after)
    told = _details(answer)
    if status == 422 and _is_duplicate(told):
        return Done("Lago had it already.")
    return _refused(told or answer.body[:500] or f"it answered {status}")


def _refused(told: Any) -> Refused:
    said = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    return Refused(
        "refused",
        f"Lago refuses the event: {said[:1000]}. Mend it there (the metric's code, the subscription), and have it tried"
        " again.",
    )


def _details(answer: Answer) -> Any:
    """What Lago says is wrong: fields with lists of codes, in a batch by the place of the event."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return None
    return found.get("error_details") if isinstance(found, dict) else None


def _faults_by_place(answer: Answer) -> dict[int, Any]:
    told = _details(answer)
    if not isinstance(told, dict) or not all(str(place).isascii() and str(place).isdigit() for place in told):
        return {}
    return {int(place): fault for place, fault in told.items()}


def _is_duplicate(told: Any) -> bool:
    """Whether nothing else is wrong than that the event is there."""
    return isinstance(told, dict) and told == {"transaction_id": [_ALREADY]}
