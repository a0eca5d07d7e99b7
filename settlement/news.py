"""What is told of disputes: their entries, read for news. A message shows the dispute as it stood after its entry."""

from collections.abc import Collection
from typing import Any

from settlement.disputes import public_id
from settlement.domain import disputes as states
from settlement.models import Dispute, DisputeEntry
from settlement.queries import all_disputes, dispute_json
from webhooks.feeds import Feed
from webhooks.publish import News

RAISED = "dispute.raised"
RESOLVED = "dispute.resolved"


def dispute_news(after: int, until: int, types: Collection[str]) -> list[News]:
    """Messages of the entries with ``after < id <= until``."""
    entries = [
        entry
        for entry in DisputeEntry.objects.filter(id__gt=after, id__lte=until).order_by("id")
        if _type(entry) in types
    ]
    found = all_disputes().in_bulk({entry.dispute_id for entry in entries})
    return [
        News(_type(entry), public_id(dispute := found[entry.dispute_id]), entry.at, _as_of(entry, dispute))
        for entry in entries
    ]


def _type(entry: DisputeEntry) -> str:
    return RAISED if entry.status == states.RAISED else RESOLVED


def _as_of(entry: DisputeEntry, dispute: Dispute) -> dict[str, Any]:
    shown = dispute_json(dispute) | {"status": entry.status}
    return shown | _UNDECIDED if entry.status == states.RAISED else shown


_UNDECIDED = {"resolved_by": None, "resolved_at": None, "note": None}

DISPUTES = Feed("settlement.disputes", "settlement_disputeentry", frozenset({RAISED, RESOLVED}), dispute_news)
