"""What a log of the help desk comes to, recounted from what the language's page says and from nothing of the engine."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

WINDOW, PATIENCE = timedelta(hours=72), timedelta(days=180)
NOBODY = "?"

Totals = dict[str, dict[str, int]]


def recount(log: Iterable[dict[str, Any]]) -> Totals:
    """Outcomes of ``resolved_incident`` by state; the confirmed ones by priority and by the month they settled in: as
    `billing_project/demo/totals.yaml`. The log is in its order, and all windows are past.
    """
    incidents: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in log:
        if event["customer"] != NOBODY:
            incidents.setdefault((event["customer"], event["data"]["number"]), []).append(event)
    by_state, by_priority, by_month = Counter[str](), Counter[str](), Counter[str]()
    for events in incidents.values():
        begun, met, last, priority = False, None, None, ""
        for event in events:
            time, kind = datetime.fromisoformat(event["time"]), event["type"].removeprefix("incident.")
            if met is not None and time >= met + WINDOW:
                break  # confirmed before it: nothing further is begun
            if begun and met is None and last is not None and time >= last + PATIENCE:
                by_state["missed"] += 1
                begun = False
            if kind in ("resolved", "closed"):
                met = met or time
            elif kind != "unknown" and met is not None:
                by_state["void"] += 1
                begun, met = False, None
                continue  # what ends an attempt begins none
            begun, last, priority = True, time, event["data"]["priority"]
        if met is not None:
            by_state["confirmed"] += 1
            by_priority[priority] += 1
            by_month[f"{met + WINDOW:%Y-%m}"] += 1
        elif begun:
            by_state["missed"] += 1
    return {"by_state": dict(by_state), "by_priority": dict(by_priority), "by_month": dict(by_month)}
