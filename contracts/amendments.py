"""Use case: amend a contract, by a further version and never an edit; and see beforehand what it would change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from access.errors import ApiError, Detail
from access.times import format_rfc3339
from contracts import agreed, pins, terms, timeline, windows
from contracts.agreed import comparable, placed
from contracts.changes import Change, Difference, Kind, differences_of
from contracts.clocks import now_of
from contracts.models import Contract, ContractVersion, Customer
from contracts.refusals import raise_if_any
from contracts.terms import Terms
from contracts.timeline import Amendment, Entry

# Who can tell what a change of terms means for bills: the app that makes invoices registers itself here when it loads.
# Called with a customer's id, its terms before and after, and now, in a transaction that is rolled back; answers, as
# JSON, the running period and every invoiced one that comes out differently, before and after.
PREVIEWS: list[Callable[[int, Terms, Terms, datetime], Any]] = []

# These decide what becomes an outcome, when it settles, where periods are cut, and what becomes of invoices and credit:
# never for what has passed.
NOT_BACKDATED = {
    "settlement_windows": "settlement_windows",
    "conditions": "conditions",
    "late_evidence": "late_evidence",
    "settlement_grace_seconds": "settlement_grace",
    "billing_period": "billing_period",
    "anchor_day": "anchor_day",
    "time_zone": "time_zone",
    "credit_notes": "credit_notes",
    "credits": "credits",
    "zero_invoices": "zero_invoices",
    "progressive_threshold": "progressive_threshold",
    "collection_method": "collection_method",
    "pass_on": "pass_on",
}


@dataclass(frozen=True)
class Preview:
    """What a change would do, of which nothing is stored. ``shown`` is what the caller made of the contract while it
    stood; ``periods`` are as the registered app tells them, None where there is none.
    """

    differences: tuple[Difference, ...]
    shown: Any
    periods: Any = None


@transaction.atomic
def amend_contract(contract_id: UUID, amendment: Amendment, *, now: datetime) -> Change[Contract]:
    """A further version of a contract: the terms in force at ``effective_at`` with what the amendment changes. It holds
    until the next version starts that is agreed already; of two with one start the later made wins.

    Locks the customer's row, so version numbers have no gaps. Where nothing changes nothing is written, so it may be
    repeated. Backdating is for prices and money alone; what decides on outcomes, their settlement, the cut of periods
    and what becomes of invoices and credit is refused for the past, each field with its place. With settlement windows,
    evaluation of the customer's events waits until the transaction has ended.
    """
    contract = Contract.objects.filter(pk=contract_id).first()
    if contract is None:
        raise ApiError(404, "not_found", "There is no such contract.")
    # First the customer, as for a new contract; what the contract says is read under that lock.
    contract.customer = Customer.objects.select_for_update(no_key=True).get(pk=contract.customer_id)
    contract.refresh_from_db(fields=["ends_at"])
    # What is past is judged by the customer's clock, where it has one.
    return add(contract, entries_of(contract), amendment, now_of(contract.customer, now))


def add(
    contract: Contract, entries: Sequence[Entry], amendment: Amendment, now: datetime, place: str = ""
) -> Change[Contract]:
    """Write an amendment to a contract of these versions, whose customer is locked."""
    found = timeline.span_problems(contract.starts_at, contract.ends_at, amendment, now)
    raise_if_any(placed(found, place) if place else found)
    entry = timeline.amended(entries, amendment, place)
    if entry is None:
        return Change(Kind.UNCHANGED, contract)
    before = timeline.in_force(entries, amendment.effective_at)
    problems = _backdating_problems(before, entry, now)
    problems += agreed.problems_of(
        entry.terms, contract.customer, contract.currency, entry.effective_at, agreed=before.terms, now=now
    )
    if timeline.segments_hold([entry], problems):
        problems += timeline.commitment_problems([*entries, entry], entry)
    problems += timeline.passing_on_problems([*entries, entry], entry)
    raise_if_any(placed(problems, place) if place else problems)
    number = len(entries) + 1
    agreed.write(contract, number, entry.effective_at, entry.terms, now)
    # What was committed to stands beside what the new version adds.
    agreed_before = {"ends_at": entries[-1].ends_at, **comparable(replace(before.terms, commitments=()))}
    differences = differences_of(agreed_before, {"ends_at": entry.ends_at, **comparable(entry.terms)})
    if entry.ends_at != contract.ends_at:
        contract.ends_at = entry.ends_at
        contract.save(update_fields=["ends_at"])
    refuse_backdated([*entries, entry], entry, before, contract.customer)
    return Change(Kind.CHANGED, contract, differences)


def refuse_backdated(entries: Sequence[Entry], entry: Entry, before: Entry | None, customer: Customer) -> None:
    """Refuse (409) a version just written whose windows are for outcomes that were met already, under others or none,
    or whose pins are for events that were evaluated by another version. Locks the customer's partition until the
    transaction ends: call it last.
    """
    end = timeline.until(entries, entry)
    pinned = {} if before is None else before.terms.conditions
    pins.refuse_backdated(customer, entry.terms.conditions, entry.effective_at, end, before=pinned)
    own, other = entry.terms.settlement_windows, {} if before is None else before.terms.settlement_windows
    differing = {slug: seconds for slug, seconds in {**other, **own}.items() if own.get(slug) != other.get(slug)}
    windows.refuse_backdated(customer, differing, entry.effective_at, end)


def entries_of(contract: Contract) -> list[Entry]:
    """The versions of a contract in the order in which they were made. Four queries."""
    listed = contract.versions.order_by("number").select_related("rate_card")
    rows = listed.prefetch_related("prices__condition", "fees", "commitments")
    return [Entry(row.effective_at, agreed.stored(row), contract.ends_at) for row in rows]


def preview(
    customer_id: int,
    change: Callable[[], Change[Contract]],
    show: Callable[[Contract], Any],
    *,
    now: datetime,
) -> Preview:
    """What ``change`` would do to a customer's contracts and bills. It runs the whole way, with its locks and refusals,
    and is rolled back.
    """
    with transaction.atomic():
        before = terms.load([customer_id])
        made = change()
        after = terms.load([customer_id])
        shown = show(made.value)
        periods = None
        own = now_of(Customer.objects.get(pk=customer_id), now)
        for registered in PREVIEWS:
            periods = registered(customer_id, before, after, own)
        transaction.set_rollback(True)
    return Preview(made.differences, shown, periods)


def latest_version(contract: Contract) -> ContractVersion:
    """The version made last."""
    return contract.versions.order_by("-number").select_related("rate_card")[0]


def _backdating_problems(before: Entry, entry: Entry, now: datetime) -> list[Detail]:
    if entry.effective_at >= now:
        return []
    return [
        Detail(
            path,
            f"{path} is never changed for what has passed, only prices and other terms of money are: let it take effect"
            f" at {format_rfc3339(now)} or later.",
            "backdated",
        )
        for name, path in NOT_BACKDATED.items()
        if getattr(entry.terms, name, None) != getattr(before.terms, name, None)
    ]
