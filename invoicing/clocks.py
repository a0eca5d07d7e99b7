"""Billing as a play of test clocks (`settlement.clocks`): when a run may next find something to do, and that run."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from rest_framework import serializers

from access import ids
from contracts import terms
from contracts.models import Customer
from contracts.terms import Agreement
from invoicing import billing, interim
from invoicing.billing import CustomerResult, RunReport
from invoicing.models import Invoice, Status
from invoicing.refusals import INVOICE_PREFIX, NOTE_PREFIX
from invoicing.standing import owes_by_itself
from settlement.clocks import Play

# Customers for whom time alone may make something billable: an outcome that settles, one that waits for the end of its
# period, a draft in its grace, a correction that waits for the next invoice. (One that is given back waits for nothing:
# it is done where the clock stands.)
_STIRRING = """
SELECT c FROM unnest(%(customers)s::bigint[]) AS c
WHERE EXISTS (SELECT FROM outcomes_outcome o WHERE o.customer_id = c AND o.due_at IS NOT NULL)
   OR EXISTS (SELECT FROM outcomes_outcome o WHERE o.customer_id = c AND o.state = 'confirmed'
              AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live))
   OR EXISTS (SELECT FROM invoicing_invoice i
              WHERE i.customer_id = c AND i.status = 'draft' AND i.kind <> 'one_off')
   OR EXISTS (SELECT FROM outcomes_outcome o JOIN invoicing_lineoutcome b ON b.outcome_id = o.id AND b.live
              WHERE o.customer_id = c AND o.state = 'reversed'
                AND NOT EXISTS (SELECT FROM invoicing_linereversal r WHERE r.outcome_id = o.id AND r.live))
   OR EXISTS (SELECT FROM contracts_contract k JOIN invoicing_billingclock t ON t.contract_id = k.id
              WHERE k.customer_id = c AND t.waiting <> '{}')
"""

# What an ended period still waits for (invoicing.outstanding).
_LAST_DUE = """
SELECT max(o.due_at) FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state IN ('open', 'provisional') AND o.due_at < %(end)s
"""

# What settles next.
_NEXT_DUE = """
SELECT min(o.due_at) FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state IN ('open', 'provisional')
  AND o.due_at > %(now)s::timestamptz - %(grace)s::interval
"""

# What an ended contract still waits for.
_CLOSING = """
SELECT min(o.due_at), max(o.due_at) FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state = 'provisional' AND o.met_at < %(end)s
  AND o.due_at > %(now)s::timestamptz - %(grace)s::interval
"""


def next_instant(customers: Sequence[int], now: datetime) -> datetime | None:
    """When a billing run may next have something to do for these customers, if no further event comes. What is due at
    ``now`` has been settled and billed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STIRRING, {"customers": list(customers)})
        stirring = [customer for (customer,) in cursor.fetchall()]
    agreed = terms.load(customers)
    # Fees, a minimum or a commitment are owed although nothing stirs.
    stirring += [one for one in customers if any(map(owes_by_itself, agreed.agreements(one)))]
    graces = terms.grace_by_customer(stirring)
    instants = (
        instant
        for customer in dict.fromkeys(stirring)
        for agreement in agreed.agreements(customer)
        for instant in _instants(agreement, now, timedelta(seconds=graces[customer]))
    )
    return min((instant for instant in instants if instant > now), default=None)


def _instants(agreement: Agreement, now: datetime, grace: timedelta) -> Iterator[datetime]:
    """Instants at which the contract may next have something to bill; some may have passed."""
    yield from _inside(agreement, now, grace)
    if agreement.ends_at is None or now < agreement.ends_at:
        yield agreement.period_of(max(now, agreement.starts_at)).end
    for end in _ended(agreement, now, grace):
        yield end + _draft_grace()
        last_due = _dates(_LAST_DUE, customer=agreement.customer_id, end=end)[0]
        if last_due is not None:
            yield last_due + grace
    if agreement.ends_at is not None and agreement.ends_at <= now:
        # The last period's first invoice takes whatever has settled; the closing one comes when all of it has.
        first, last = _dates(_CLOSING, customer=agreement.customer_id, end=agreement.ends_at, now=now, grace=grace)
        next_due = last if _is_invoiced(agreement) else first
        if next_due is not None:
            yield next_due + grace


def _inside(agreement: Agreement, now: datetime, grace: timedelta) -> Iterator[datetime]:
    """Instants at which an interim invoice may be due: the contract begins, a threshold comes into force, or an outcome
    settles that may pass one.
    """
    if owes_by_itself(agreement):
        yield agreement.starts_at
    if interim.has_threshold(agreement):
        yield from (version.effective_at for version in agreement.versions)
        (next_due,) = _dates(_NEXT_DUE, customer=agreement.customer_id, now=now, grace=grace)
        if next_due is not None:
            yield next_due + grace


def _ended(agreement: Agreement, now: datetime, grace: timedelta) -> Iterator[datetime]:
    """Ends of the contract's periods up to ``now`` for which a grace has not run out, the latest first."""
    if agreement.ends_at is not None and agreement.ends_at <= now:
        end = agreement.ends_at
    else:
        end = agreement.period_of(max(now, agreement.starts_at)).start
    while end > agreement.starts_at and end <= now < end + max(grace, _draft_grace()):
        yield end
        end = agreement.period_of(end - datetime.resolution).start


def _draft_grace() -> timedelta:
    return timedelta(hours=settings.INVOICE_GRACE_HOURS)


def _dates(sql: str, **parameters: Any) -> tuple[datetime | None, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row: tuple[datetime | None, ...] = cursor.fetchone()
        return row


def _is_invoiced(agreement: Agreement) -> bool:
    """Whether the contract's last period has an issued invoice of its own."""
    own = Invoice.objects.filter(contract=agreement.id, kind=Invoice.Kind.PERIOD)
    found = own.filter(period_start=agreement.last_period().start)
    return found.exclude(status__in=[Status.DRAFT, Status.VOID]).exists()


# --- What was done ----------------------------------------------------------------------------------------------------


class HeldUpSerializer(serializers.Serializer[Any]):
    """A customer that a billing run left for later, and why."""

    customer = serializers.CharField()
    reason = serializers.CharField()


class BilledSerializer(serializers.Serializer[Any]):
    """What the billing runs on the way came to."""

    issued = serializers.ListField(child=serializers.CharField(), help_text="Ids of invoices, in order.")
    credited = serializers.ListField(child=serializers.CharField(), help_text="Ids of credit notes, in order.")
    drafted = serializers.ListField(child=serializers.CharField(), help_text="Ids of drafts in their grace.")
    waiting = HeldUpSerializer(many=True)
    parked = HeldUpSerializer(many=True)


def run(customers: Sequence[int], now: datetime, wall: datetime) -> RunReport:
    """Bill what ended up to the clock's now."""
    return billing.run_clocked(customers, now=now, wall=wall)


def tell(reports: Sequence[RunReport]) -> dict[str, Any]:
    """What several runs came to: invoices issued, drafts that are left, and who waits since the last of them."""
    issued = dict.fromkeys(invoice for report in reports for invoice in report.issued)
    drafted = dict.fromkeys(invoice for report in reports for invoice in report.drafted if invoice not in issued)
    last = reports[-1] if reports else RunReport(())
    return {
        "issued": [ids.encode(INVOICE_PREFIX, invoice) for invoice in issued],
        "credited": [ids.encode(NOTE_PREFIX, note) for report in reports for note in report.credited],
        "drafted": [ids.encode(INVOICE_PREFIX, invoice) for invoice in drafted],
        "waiting": _held_up(last.waiting),
        "parked": _held_up(last.parked),
    }


def _held_up(results: Sequence[CustomerResult]) -> list[dict[str, str]]:
    keys = dict(Customer.objects.filter(pk__in=[one.customer_id for one in results]).values_list("pk", "key"))
    return [{"customer": keys[one.customer_id], "reason": one.waiting or one.parked} for one in results]


BILLING = Play("invoices", next_instant, run, tell, BilledSerializer)
