"""Reads of simulations, for the API and the admin."""

from decimal import Decimal
from typing import Any

import msgspec

from access.times import format_rfc3339
from simulation.models import Simulation

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def simulation_json(found: Simulation) -> dict[str, Any]:
    """A simulation of `jobs.with_progress`, without its result."""
    return {
        "id": found.public_id,
        "status": found.status,
        "available_actions": [] if found.ended else ["cancel"],
        "asked": _decode(found.asked),
        "asked_by": found.asked_by,
        "now": format_rfc3339(found.now),
        "created_at": format_rfc3339(found.created_at),
        "finished_at": None if found.finished_at is None else format_rfc3339(found.finished_at),
        "progress": {"events": found.events, "replayed": getattr(found, "replayed", None) or 0},
        "error": found.error or None,
    }
