"""Which document's terms are the last account of a period."""

from datetime import timedelta
from uuid import UUID

import pytest

from invoicing.billed import Billed, last_accounts
from invoicing.models import CreditNote, Invoice, InvoiceLine
from invoicing.terms_used import TermsUsed
from tests.invoicing.documents import APRIL, MARCH

FIRST, OWN, NOTE = (UUID(int=number) for number in (1, 2, 3))


def account(*billed_on: UUID) -> list[dict[str, object]]:
    return [TermsUsed(MARCH, billed_on=billed_on).to_json()]


def documents(*, note_days: int) -> tuple[list[Invoice | CreditNote], Billed]:
    """An interim invoice, the period's own, and the draft of a note that were made 0, 1 and so many days after it."""
    made: list[Invoice | CreditNote] = [
        Invoice(id=FIRST, terms=account(), refreshed_at=APRIL.start),
        Invoice(id=OWN, terms=account(FIRST, NOTE), refreshed_at=APRIL.start + timedelta(days=1)),
        CreditNote(id=NOTE, terms=account(FIRST, OWN), refreshed_at=APRIL.start + timedelta(days=note_days)),
    ]
    lines = [InvoiceLine(invoice_id=FIRST), InvoiceLine(invoice_id=OWN), InvoiceLine(credit_note_id=NOTE)]
    return made, Billed({MARCH.start: lines}, frozenset())


@pytest.mark.parametrize(("note_days", "last"), [(2, NOTE), (0, OWN)])
def test_of_two_that_name_each_other_the_last_one_counts(note_days: int, last: UUID) -> None:
    made, billed = documents(note_days=note_days)
    assert [document.id for _, document in last_accounts(made, billed)] == [last]


def test_one_that_does_not_know_of_all_is_none() -> None:
    made, billed = documents(note_days=2)
    made[1].terms, made[2].terms = account(NOTE), account(OWN)
    assert list(last_accounts(made, billed)) == []
