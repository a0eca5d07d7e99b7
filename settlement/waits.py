"""What settlement knows of an outcome that waits although its instant has come: for `outcomes.explaining`."""

from collections.abc import Iterator
from datetime import datetime

from contracts.terms import grace_by_customer
from outcomes.explaining import Wait
from outcomes.models import Outcome, State
from outcomes.narrative import moment, span
from settlement.disputes import disputed
from settlement.queries import holds_over
from settlement.watermark import own_watermarks, paused_customers, watermarks


def outcome_waits(outcome: Outcome, now: datetime) -> Iterator[Wait]:
    """What keeps the clock from an open or provisional outcome: an import, a hold, a contract's grace, events that
    wait; and a dispute, which will keep it off invoices. (Of a confirmed one, invoicing tells.)
    """
    if outcome.state not in (State.OPEN, State.PROVISIONAL) or outcome.due_at is None:
        return
    if outcome.customer_id in paused_customers():
        yield Wait("import", "An import of the customer's history is open: nothing settles until it is closed.")
    for hold in holds_over(outcome):
        yield Wait(
            "hold", f"There is a hold on its {hold.target}: the clock books nothing of it until that is released."
        )
    if disputed([outcome.id]):
        yield Wait("dispute", "It is disputed: it is not billed until that is decided.")
    grace = grace_by_customer([outcome.customer_id]).get(outcome.customer_id, 0)
    if grace:
        yield Wait(
            "grace", f"By the contract, settlement waits {span(grace * 1_000_000)} longer for events that come late."
        )
    customer, clocked = outcome.customer_id, outcome.customer.test_clock_id is not None
    mark = own_watermarks(now, [customer])[customer] if clocked else watermarks(now)[outcome.partition]
    if outcome.due_at <= now and mark < outcome.due_at:
        yield Wait("evaluation", f"Accepted events from {moment(mark)} on wait for evaluation; they are seen first.")
