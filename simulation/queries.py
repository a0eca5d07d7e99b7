"""Reads of simulations, for the API and the admin."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from access.times import format_rfc3339
from simulation.models import Shadow, Simulation

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def simulation_json(found: Simulation) -> dict[str, Any]:
    """A simulation of `jobs.with_progress`, without its result."""
    return {
        "id": found.public_id,
        "status": found.status,
        "available_actions": _actions(found),
        "asked": _decode(found.asked),
        "asked_by": found.asked_by,
        "now": format_rfc3339(found.now),
        "created_at": format_rfc3339(found.created_at),
        "finished_at": _moment(found.finished_at),
        "progress": {"events": found.events, "replayed": getattr(found, "replayed", None) or 0},
        "error": found.error or None,
    }


def _actions(found: Simulation) -> list[str]:
    if not found.ended:
        return ["cancel"]
    return ["delete"] if found.shadow_id is None else []


def shadow_json(found: Shadow) -> dict[str, Any]:
    """A shadow with its running totals, null before its first look is done."""
    totals = found.totals or dict.fromkeys(("before", "after", "difference"))
    return {
        "id": found.public_id,
        "name": found.name,
        "status": found.status,
        "available_actions": ["stop"] if found.status == Shadow.Status.RUNNING else ["delete"],
        "asked": _decode(found.asked),
        "made_by": found.made_by,
        "created_at": format_rfc3339(found.created_at),
        "looked_at": _moment(found.looked_at),
        "next_look_at": _moment(found.next_look_at),
        "stopped_at": _moment(found.stopped_at),
        "error": found.error or None,
        **{name: totals[name] for name in ("before", "after", "difference")},
    }


def days_json(found: Shadow) -> list[dict[str, Any]]:
    """The totals since the shadow's start as the last look of each day (UTC) found them, in order."""
    return [
        {"day": one.day.isoformat(), "looked_at": format_rfc3339(one.looked_at), **one.totals}
        for one in found.days.order_by("day")
    ]


def _moment(instant: datetime | None) -> str | None:
    return None if instant is None else format_rfc3339(instant)
