"""When contracts are looked at although nothing settled: those that may owe something by themselves (fees, a minimum, a
commitment), and those whose terms changed backwards.

No outcome calls for them, and their periods cannot be cut in SQL; so each contract that is billed has a clock
(`BillingClock`), and a run over thousands of them for which there is nothing to do is one look at a table.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection

from contracts.terms import Agreement, Terms
from invoicing.models import BillingClock

ALWAYS = datetime.min.replace(tzinfo=UTC)
"""Before all periods."""

# Contracts that are to be looked at: a period may have ended, or they have terms that nobody looked at. By customer.
TO_BE_LOOKED_AT = """
    SELECT DISTINCT c.customer_id
    FROM (SELECT v.contract_id, count(*) AS versions,
                 bool_or(v.minimum IS NOT NULL
                         OR EXISTS (SELECT FROM contracts_fee f WHERE f.contract_version_id = v.id)
                         OR EXISTS (SELECT FROM contracts_commitment m WHERE m.contract_version_id = v.id)) AS owes
          FROM contracts_contractversion v GROUP BY v.contract_id) v
    JOIN contracts_contract c ON c.id = v.contract_id
    LEFT JOIN invoicing_billingclock t ON t.contract_id = v.contract_id
    LEFT JOIN (SELECT named.contract_id, count(*) AS versions
               FROM (SELECT DISTINCT contract_id, rate_card_id FROM contracts_contractversion) named
               JOIN contracts_ratecardversion r ON r.rate_card_id = named.rate_card_id
               GROUP BY named.contract_id) cards ON cards.contract_id = v.contract_id
    WHERE c.starts_at <= %(now)s
      AND CASE WHEN t.contract_id IS NULL
               THEN v.owes OR EXISTS (SELECT FROM invoicing_invoice i
                                      WHERE i.contract_id = c.id AND i.status NOT IN ('draft', 'void'))
               ELSE t.versions <> v.versions OR t.card_versions <> coalesce(cards.versions, 0) OR t.due_at <= %(now)s
          END
"""


def owes_by_itself(agreement: Agreement) -> bool:
    """Whether the contract may owe something for a period in which nothing settled."""
    return any(version.minimum is not None or version.fees or version.commitments for version in agreement.versions)


def to_be_looked_at(now: datetime) -> list[int]:
    """Ids of the customers with such a contract. One query."""
    with connection.cursor() as cursor:
        cursor.execute(TO_BE_LOOKED_AT, {"now": now})
        return [row[0] for row in cursor.fetchall()]


@dataclass(frozen=True)
class Changed:
    """What nobody looked at yet: periods that end after ``since`` may come to something else by terms that are new
    (None: there are none). ``waiting`` are the starts of those that were looked at, and whose corrections wait for the
    next invoice.
    """

    since: datetime | None
    waiting: frozenset[datetime] = frozenset()


def clocks_of(agreements: Iterable[Agreement]) -> dict[UUID, BillingClock]:
    """The clocks of these contracts, by contract. One query."""
    return BillingClock.objects.in_bulk([agreement.id for agreement in agreements])


def changed(agreed: Terms, agreement: Agreement, clock: BillingClock | None) -> Changed:
    """What is new in a contract's terms since it was billed last, by its clock."""
    if clock is None:
        return Changed(ALWAYS)
    starts = [version.effective_at for version in agreement.versions if version.number > clock.versions]
    known = tuple(version for version in agreement.versions if version.number <= clock.versions)
    if known:
        cards = agreed.card_versions(replace(agreement, versions=known))
        starts += [one.effective_from or ALWAYS for one in cards[clock.card_versions :]]
    return Changed(min(starts, default=None), frozenset(clock.waiting))


def wind(agreed: Terms, agreements: Iterable[Agreement], now: datetime) -> None:
    """Note that these contracts are billed as far as they can be: until the running period ends. One query or none."""
    _write([_clock(agreed, agreement, now) for agreement in agreements if agreement.starts_at <= now], waiting=False)


def wind_with(agreed: Terms, agreement: Agreement, now: datetime, waiting: Collection[datetime]) -> None:
    """The same, with the starts of the periods whose corrections wait for the next invoice."""
    clock = _clock(agreed, agreement, now)
    clock.waiting = sorted(waiting)
    _write([clock], waiting=True)


def _clock(agreed: Terms, agreement: Agreement, now: datetime) -> BillingClock:
    due_at = agreement.period_of(now).end if owes_by_itself(agreement) and agreement.covers(now) else None
    return BillingClock(
        contract_id=agreement.id,
        due_at=due_at,
        versions=len(agreement.versions),
        card_versions=len(agreed.card_versions(agreement)),
    )


def _write(clocks: list[BillingClock], *, waiting: bool) -> None:
    fields = ["due_at", "versions", "card_versions", *(["waiting"] if waiting else [])]
    BillingClock.objects.bulk_create(clocks, update_conflicts=True, unique_fields=["contract"], update_fields=fields)


def stop(contract_id: UUID) -> None:
    """Have the next run look at a contract, and at all of its periods."""
    BillingClock.objects.filter(contract=contract_id).delete()
