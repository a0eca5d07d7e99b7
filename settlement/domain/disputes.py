"""The states of a dispute and what each allows, and the states of an outcome in which it may be disputed or a dispute
of it upheld. Pure.
"""

from typing import Final

RAISED: Final = "raised"
UPHELD: Final = "upheld"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
STATUSES: Final = (RAISED, UPHELD, REJECTED, WITHDRAWN)

DECISIONS: Final = (UPHELD, REJECTED)
"""What whoever resolves a dispute may say; whoever raised it may withdraw it."""

MOVES: Final = {RAISED: (UPHELD, REJECTED, WITHDRAWN), UPHELD: (), REJECTED: (), WITHDRAWN: ()}

DISPUTABLE: Final = ("provisional", "confirmed")
"""States of an outcome that is, or will be, charged: nothing else is there to dispute."""

ENDED: Final = ("void", "reversed", "missed", "superseded")
"""States that nothing leads out of: an outcome that came there by itself has nothing left to be taken back."""


def may_become(status: str, wanted: str) -> bool:
    """Whether a dispute in this status may be moved to the other."""
    return wanted in MOVES[status]
