"""The states of an invoice: draft → issued → paid | uncollectible | void, and what may be done in each."""

from typing import Final

DRAFT: Final = "draft"
ISSUED: Final = "issued"
PAID: Final = "paid"
UNCOLLECTIBLE: Final = "uncollectible"
VOID: Final = "void"

ISSUE: Final = "issue"
MARK_PAID: Final = "mark_paid"
MAKE_VOID: Final = "void"

ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    DRAFT: (ISSUE,),
    ISSUED: (MARK_PAID, MAKE_VOID),
    UNCOLLECTIBLE: (MARK_PAID, MAKE_VOID),
    PAID: (),
    VOID: (),
}
"""What a person may do with an invoice in each state. A paid invoice is corrected by a credit note, never voided."""


def allowed(status: str, action: str) -> bool:
    """Whether the action may be taken in this state."""
    return action in ACTIONS[status]
