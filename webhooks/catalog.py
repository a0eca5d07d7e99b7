"""What can be told: the names of all messages. A name is here before anything sends it, so that nobody has to subscribe
anew when its source comes.
"""

from collections.abc import Iterable
from typing import Final

ALL: Final = "*"
TEST: Final = "test.ping"
ENDPOINT_DISABLED: Final = "endpoint.disabled"

TYPES: Final = {
    "outcome.provisional": "The condition is met; the settlement window runs.",
    "outcome.confirmed": "The outcome is final and billable.",
    "outcome.voided": "It was taken back inside its window, or late events show that it never was.",
    "outcome.missed": "The attempt ran out without the condition being met.",
    "outcome.reversed": "It was taken back after it had been confirmed.",
    "event.rejected": "An event could not be used and lies in the inbox with the reason.",
    "invoice.issued": "An invoice got its number and is frozen.",
    "invoice.paid": "An invoice was paid in full.",
    "invoice.payment_failed": "A payment of an invoice failed.",
    "credit_note.issued": "A credit note got its number and is frozen.",
    "dispute.raised": "An outcome or a line is disputed.",
    "dispute.resolved": "A dispute was decided.",
    "sync.mismatch": "Ours and another system's totals differ.",
    ENDPOINT_DISABLED: "Another endpoint was disabled because it is gone or kept failing.",
}


def chosen(events: Iterable[str]) -> frozenset[str]:
    """The names that a subscription to these takes in; ``*`` is all, also those to come."""
    names = frozenset(events)
    return frozenset(TYPES) if ALL in names else names
