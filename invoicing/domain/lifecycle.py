"""The states of documents and what may be done in each. Invoices: draft → issued → paid | uncollectible | void.
Credit notes: draft → issued.
"""

from datetime import datetime
from typing import Final

DRAFT: Final = "draft"
ISSUED: Final = "issued"
PAID: Final = "paid"
UNCOLLECTIBLE: Final = "uncollectible"
VOID: Final = "void"

OPEN: Final = (ISSUED, UNCOLLECTIBLE)
"""An invoice in these is still owed."""

ISSUE: Final = "issue"
MARK_PAID: Final = "mark_paid"
MARK_UNCOLLECTIBLE: Final = "mark_uncollectible"
MAKE_VOID: Final = "void"

_ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    DRAFT: (ISSUE,),
    ISSUED: (MARK_PAID, MARK_UNCOLLECTIBLE, MAKE_VOID),
    UNCOLLECTIBLE: (MARK_PAID, MAKE_VOID),
    PAID: (),
    VOID: (),
}

DISCARD: Final = "discard"
REFUND: Final = "refund"

GOODWILL: Final = "goodwill"


def invoice_actions(status: str, *, corrected: bool = False, one_off: bool = False) -> tuple[str, ...]:
    """What a person may do with an invoice. A paid one is corrected by a credit note, never voided; nor is one that is
    ``corrected`` already: by a credit note, or by another document that takes back what it bills. A one-off draft may
    also be discarded: no billing run makes it anew.
    """
    found = tuple(action for action in _ACTIONS[status] if not (corrected and action == MAKE_VOID))
    return (*found, DISCARD) if one_off and status == DRAFT else found


def note_actions(status: str, kind: str, remaining_minor: int) -> tuple[str, ...]:
    """What a person may do with a credit note, of whose credit so much is free. An automatic draft is not discarded:
    the next billing run would make it anew.
    """
    if status == DRAFT:
        return (ISSUE, DISCARD) if kind == GOODWILL else (ISSUE,)
    return (REFUND,) if remaining_minor > 0 else ()


def due_minor(status: str, total_minor: int, applied_minor: int) -> int:
    """What is still owed on an invoice, in minor units: its total less the credit taken off; nothing once it is paid or
    void.
    """
    return 0 if status in (PAID, VOID) else total_minor - applied_minor


def is_overdue(status: str, due_at: datetime | None, now: datetime) -> bool:
    """Whether an invoice should have been paid by now. One that is given up is not waited for."""
    return status == ISSUED and due_at is not None and due_at < now
