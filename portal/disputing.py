"""Use case: a customer disputes outcomes through its link."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final
from uuid import UUID

from django.db import transaction

from portal import links
from portal.scope import Scope
from settlement.disputes import disputed, raise_disputes

MOST_A_DAY: Final = 1000
"""So many outcomes can be disputed through one link in a day (UTC), and so at once: a person decides each of them."""


class LimitReached(Exception):
    """Nothing more can be disputed through the link today."""


@transaction.atomic
def dispute(scope: Scope, outcomes: Sequence[UUID], *, reason: str) -> int:
    """Dispute outcomes of the scope's customer, in the order given and as many as the link's day allows; how many.

    What is disputed already, or cannot be, is passed over: the same form sent twice changes nothing. Locks the link,
    then what `raise_disputes` does. Raises LimitReached where the day allows none, Unusable where the link has ended.
    """
    link = links.locked(scope.link.pk, now=scope.wall)
    standing = disputed(outcomes)
    wanted = [outcome for outcome in outcomes if outcome not in standing]
    today = scope.wall.astimezone(UTC).date()
    spent = link.dispute_count if link.dispute_day == today else 0
    allowed = wanted[: max(MOST_A_DAY - spent, 0)]
    if wanted and not allowed:
        raise LimitReached
    by = f"customer via portal link {link.public_id}"
    raised = raise_disputes(link.customer_id, allowed, reason=reason, by=by, now=scope.wall)
    if raised:
        link.dispute_day, link.dispute_count = today, spent + len(raised)
        link.save(update_fields=["dispute_day", "dispute_count"])
    return len(raised)


def by_customer(raised_by: str) -> bool:
    """Whether it was a customer who disputed, by one of its links."""
    return raised_by.startswith("customer via portal link ")
