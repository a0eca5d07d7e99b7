"""What the running billing periods come to, and what the ones before came to: by the code that bills.

A customer's periods are its contract's own, so this is no calendar month: it is what the next invoices will say. Test
customers do not count.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef

from access.errors import ApiError
from contracts.domain import money
from contracts.models import Customer
from invoicing.preview import preview
from invoicing.queries import NO_CONTRACT, NOT_PRICED, REVIEW, Held, held_back
from outcomes.models import Outcome, State
from settlement.queries import DISPUTE, HOLD

# What stands on documents, drafts too, of each contract's running period, and of the one before. A correction counts in
# the period that it corrects.
_BILLED = """
WITH lines AS (
    SELECT i.contract_id, i.currency, l.period_start, l.period_end, l.amount_minor
    FROM invoicing_invoice i JOIN invoicing_invoiceline l ON l.invoice_id = i.id
    WHERE i.status <> 'void' AND i.contract_id IS NOT NULL
    UNION ALL
    SELECT n.contract_id, n.currency, l.period_start, l.period_end, l.amount_minor
    FROM invoicing_creditnote n JOIN invoicing_invoiceline l ON l.credit_note_id = n.id
    WHERE n.contract_id IS NOT NULL AND l.kind <> 'goodwill'
), ended AS (
    SELECT contract_id, max(period_end) AS period_end FROM lines WHERE period_end <= %(now)s GROUP BY 1
)
SELECT l.currency,
       coalesce(sum(l.amount_minor) FILTER (WHERE l.period_start <= %(now)s AND l.period_end > %(now)s), 0),
       coalesce(sum(l.amount_minor) FILTER (WHERE l.period_end = e.period_end AND e.period_end > %(recent)s), 0)
FROM lines l
JOIN contracts_contract k ON k.id = l.contract_id
JOIN contracts_customer c ON c.id = k.customer_id AND c.test_clock_id IS NULL
LEFT JOIN ended e ON e.contract_id = l.contract_id
GROUP BY 1
"""


# A contract that ended long ago has no period before the running one.
A_YEAR = timedelta(days=366)


def revenue(now: datetime) -> dict[str, Any]:
    """By currency, in major units: ``invoiced`` of the running periods already, ``confirmed`` and not invoiced yet,
    ``provisional``, ``to_credit`` (what the next run gives back, below zero), and ``last``: what the periods before
    came to, net of credit notes. ``customers`` is how many have a running period. ``leaking``: outcomes that are
    confirmed and that no invoice will have as things stand, by reason, with the customers that have most of them.
    """
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with connection.cursor() as cursor:
        cursor.execute(_BILLED, {"now": now, "recent": now - A_YEAR})
        for currency, running, last in cursor.fetchall():
            sums[currency]["invoiced"] += int(running)
            sums[currency]["last"] += int(last)
    customers, held = 0, held_back(_without_contract())
    for pk, key in _customers():
        try:
            found = preview(key, now=now)
        except ApiError:  # no contract at this time
            held += held_back([pk])
            continue
        held += found.held
        customers += 1
        of = sums[found.agreement.currency]
        of["confirmed"] += found.confirmed.total_minor
        of["provisional"] += found.provisional.total_minor
        of["to_credit"] += found.to_credit.total_minor
    names = ("invoiced", "confirmed", "provisional", "to_credit", "last")
    return {
        "customers": customers,
        "currencies": [
            {"currency": currency} | {name: money.major_text(of[name], currency) for name in names}
            for currency, of in sorted(sums.items(), key=lambda one: -sum(abs(value) for value in one[1].values()))
            if any(of.values())
        ],
        "leaking": _leaking(held),
    }


def _customers() -> Iterable[tuple[int, str]]:
    found = Customer.objects.filter(test_clock=None, contracts__isnull=False)
    return found.order_by("pk").distinct().values_list("pk", "key").iterator(chunk_size=1000)


def _without_contract() -> list[int]:
    """Customers that never had a contract, and have outcomes all the same."""
    confirmed = Outcome.objects.filter(customer=OuterRef("pk"), state=State.CONFIRMED)
    found = Customer.objects.filter(Exists(confirmed), test_clock=None, contracts__isnull=True)
    return list(found.order_by("pk").values_list("pk", flat=True))


# Others wait for their invoice, or are not to have one.
LEAKING = (NO_CONTRACT, NOT_PRICED, REVIEW, DISPUTE, HOLD)
MOST_CUSTOMERS = 10


def _leaking(held: Iterable[Held]) -> list[dict[str, Any]]:
    by_reason: dict[str, Counter[int]] = {reason: Counter() for reason in LEAKING}
    for one in held:
        if one.reason in by_reason:
            by_reason[one.reason][one.customer_id] += one.outcomes
    most = {reason: counts.most_common(MOST_CUSTOMERS) for reason, counts in by_reason.items() if counts}
    names = dict(
        Customer.objects.filter(pk__in={pk for top in most.values() for pk, _ in top}).values_list("pk", "name")
    )
    return [
        {
            "reason": reason,
            "outcomes": by_reason[reason].total(),
            "customers": len(by_reason[reason]),
            "most": [{"id": pk, "name": names[pk], "outcomes": outcomes} for pk, outcomes in top],
        }
        for reason, top in most.items()
    ]
