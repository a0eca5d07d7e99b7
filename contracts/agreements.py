"""Use cases: agree a contract with a customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from access import ids
from access.errors import Detail
from access.times import format_rfc3339
from contracts import agreed, amendments, timeline
from contracts.agreed import GivenTerms, VersionFields, comparable, placed
from contracts.amendments import entries_of, latest_version
from contracts.changes import Change, Difference, Kind, differences_of
from contracts.models import Contract, Customer
from contracts.refusals import conflict, raise_if_any, refused
from contracts.timeline import Amendment, Entry

ID_PREFIX = "con"


@dataclass(frozen=True)
class ContractFields(GivenTerms):
    """The terms as they are handed in. A currency or time zone that is left out is the customer's. ``phases`` are
    further versions agreed at once, each with what differs from the one before.
    """

    customer: str
    rate_card: str
    starts_at: datetime
    ends_at: datetime | None = None
    currency: str | None = None
    time_zone: str | None = None
    phases: tuple[Amendment, ...] = ()

    def first_version(self, customer: Customer) -> VersionFields:
        """The terms from the start on."""
        terms = {name: getattr(self, name) for name in agreed.TERMS}
        return VersionFields(self.rate_card, self.time_zone or customer.time_zone, **terms)


@transaction.atomic
def create_contract(given: ContractFields, *, now: datetime) -> Change[Contract]:
    """A contract of these terms, as its first version and one for each phase.

    Locks the customer's row, so that two callers cannot both see the span free. Not safe to repeat blindly: the second
    call is refused as an overlap with the first one's contract; over HTTP an Idempotency-Key replays the first answer.
    Refused with everything that is wrong at once; an overlap (409) names the other contract. With settlement windows,
    evaluation of the customer's events waits until the transaction has ended (`refuse_backdated_windows`).
    """
    customer = lock_customer(given.customer)
    entries = _entries(given, customer, ())
    raise_if_any(_problems(given, customer, entries, now))
    _refuse_overlap(given, customer)
    change = _create(given, customer, entries, now)
    refuse_backdated_windows(change.value)
    return change


@transaction.atomic
def ensure_contract(
    given: ContractFields, amended: Sequence[Amendment] = (), *, now: datetime, guarded: bool = True
) -> Change[Contract]:
    """The customer's contract with this start: made where there is none, amended where ``amended`` goes on after the
    versions it has, unchanged where these are all.

    The same locks and refusals as `create_contract` and `amend_contract`; safe to repeat, and what files that are
    loaded again need. Terms that stand never change: where they differ the call is refused and names each difference.

    Who makes many contracts in one transaction says ``guarded=False`` and calls `refuse_backdated_windows` with those
    that were created in the end, so that evaluation does not wait for the whole of it.
    """
    customer = lock_customer(given.customer)
    existing = customer.contracts.filter(starts_at=given.starts_at).first()
    wanted = _entries(given, customer, amended)
    if existing is None:
        raise_if_any(_problems(given, customer, wanted, now))
        _refuse_overlap(given, customer)
        change = _create(given, customer, wanted, now)
        if guarded:
            refuse_backdated_windows(change.value)
        return change
    standing = entries_of(existing)
    raise_if_any(_problems(given, customer, wanted, now, [entry.terms for entry in standing]))
    existing.customer = customer
    _refuse_differences(existing, customer, given, wanted, standing)
    return _amend(existing, wanted, standing, now)


def refuse_backdated_windows(contract: Contract) -> None:
    """Refuse (409) a contract just made whose windows are for outcomes that were met before it was made, or whose pins
    are for events that were evaluated before. Locks the customer's partition until the transaction ends: call it last.
    """
    entries = entries_of(contract)
    for entry in entries:
        if timeline.in_force(entries, entry.effective_at) is entry:
            amendments.refuse_backdated(entries, entry, None, contract.customer)


def public_id(contract: Contract) -> str:
    """``con_…``, as the API names it."""
    return ids.encode(ID_PREFIX, contract.pk)


def terms_of(contract: Contract) -> dict[str, Any]:
    """The terms of a contract as flat values that compare: those of its latest version."""
    terms = agreed.stored(latest_version(contract))
    return {"ends_at": contract.ends_at, "currency": contract.currency, **comparable(terms)}


def lock_customer(key: str) -> Customer:
    """The customer, locked until the transaction ends: who changes its contracts waits here."""
    customer = Customer.objects.select_for_update(no_key=True).filter(key=key).first()
    if customer is None:
        raise refused("unknown_customer", f'There is no customer "{key}": create it first.', "customer")
    return customer


def _entries(given: ContractFields, customer: Customer, amended: Sequence[Amendment]) -> list[Entry]:
    """The versions that are asked for, in the order in which they are made; amendments that change nothing are none."""
    entries = timeline.begin(given.first_version(customer), given.starts_at, given.ends_at, given.phases)
    for index, amendment in enumerate(amended):
        entry = timeline.amended(entries, amendment, f"amendments[{index}]")
        if entry is not None:
            entries.append(entry)
    return entries


def _problems(
    given: ContractFields,
    customer: Customer,
    entries: Sequence[Entry],
    now: datetime,
    standing: Sequence[VersionFields] = (),
) -> list[Detail]:
    """Everything that is wrong with these versions, each with its place; what is wrong with one is not said again of
    those that build on it.
    """
    currency = given.currency or customer.currency
    problems = _span_problems(given)
    initial = [entry for entry in entries if entry.made_by is None]
    problems += timeline.phase_problems(initial, given.starts_at, given.ends_at)
    said: list[Detail] = []
    for index, entry in enumerate(entries):
        stands = standing[index] if index < len(standing) else None
        found = agreed.problems_of(entry.terms, customer, currency, entry.effective_at, agreed=stands, now=now)
        if entry.made_by is not None:
            found += timeline.span_problems(given.starts_at, entries[index - 1].ends_at, entry.made_by)
        if timeline.segments_hold(entries, [*problems, *found]):
            found += timeline.commitment_problems(entries, entry)
        found += timeline.passing_on_problems(entries, entry)
        problems += placed(found, entry.place, said) if entry.place and index else found
        said += found
    return problems


def _span_problems(given: ContractFields) -> list[Detail]:
    if given.ends_at is not None and given.ends_at <= given.starts_at:
        message = f"ends_at must be after starts_at ({format_rfc3339(given.starts_at)})."
        return [Detail("ends_at", message, "ends_before_start")]
    return []


def _refuse_differences(
    existing: Contract, customer: Customer, given: ContractFields, wanted: Sequence[Entry], standing: Sequence[Entry]
) -> None:
    """Refuse (409) where what stands says something else, or more, than what is asked for."""
    currency = given.currency or customer.currency
    listed = []
    for number, (stands, asked) in enumerate(zip(standing, wanted, strict=False), start=1):
        before = {"currency": existing.currency, **_said(stands)}
        after = {"currency": currency, **_said(asked)}
        if number == min(len(standing), len(wanted)):
            before["ends_at"], after["ends_at"] = stands.ends_at, asked.ends_at
        differences = differences_of(before, after)
        if differences:
            told = "; ".join(map(_difference_text, differences))
            listed.append(told if len(standing) == 1 else f"version {number}: {told}")
    listed += [
        f"version {number} from {format_rfc3339(entry.effective_at)} is not among those asked for"
        for number, entry in enumerate(standing[len(wanted) :], start=len(wanted) + 1)
    ]
    if listed:
        raise conflict(
            "contract_already_exists",
            f"Contract {public_id(existing)} of {customer.key} from {format_rfc3339(existing.starts_at)} stands with"
            f" other terms: {'; '.join(listed)}. Agreed terms are not edited: put them back as they were, and list what"
            " changes as a further amendment.",
        )


def _said(entry: Entry) -> dict[str, Any]:
    return {"effective_at": entry.effective_at, **comparable(entry.terms)}


def _amend(
    existing: Contract,
    wanted: Sequence[Entry],
    standing: list[Entry],
    now: datetime,
) -> Change[Contract]:
    """Write those of the versions asked for that the contract does not have yet."""
    differences: list[Difference] = []
    for entry in wanted[len(standing) :]:
        if entry.made_by is None:
            raise conflict(
                "contract_already_exists",
                f"Contract {public_id(existing)} stands without the phase from {format_rfc3339(entry.effective_at)}."
                " Phases are agreed with the contract: list it as an amendment.",
                entry.place,
            )
        change = amendments.add(existing, standing, entry.made_by, now, entry.place)
        differences += change.differences
        standing.append(entry)
    return Change(Kind.CHANGED, existing, tuple(differences)) if differences else Change(Kind.UNCHANGED, existing)


def _difference_text(difference: Difference) -> str:
    before, after = (
        format_rfc3339(value) if isinstance(value, datetime) else value
        for value in (difference.before, difference.after)
    )
    if after is None:
        return f"{difference.name} ({before}) is not among those asked for"
    return f"{difference.name} is {'not set' if before is None else before}, not {after}"


def _refuse_overlap(given: ContractFields, customer: Customer) -> None:
    other = _overlapping(given, customer)
    if other is not None:
        until = f"until {format_rfc3339(other.ends_at)}" if other.ends_at else "without an end"
        raise conflict(
            "overlapping_contract",
            f"{customer.key} has contract {public_id(other)} from {format_rfc3339(other.starts_at)} {until}, and"
            f" contracts of one customer do not overlap. {_way_out(other)}",
            "starts_at",
        )


def _overlapping(given: ContractFields, customer: Customer) -> Contract | None:
    for contract in customer.contracts.order_by("starts_at"):
        begins_before_end = given.ends_at is None or contract.starts_at < given.ends_at
        if begins_before_end and (contract.ends_at is None or given.starts_at < contract.ends_at):
            return contract
    return None


def _way_out(other: Contract) -> str:
    if other.ends_at is None:
        return f"Let this one end by {format_rfc3339(other.starts_at)}."
    return f"Let this one start at {format_rfc3339(other.ends_at)} or later, or end before the other starts."


def _create(given: ContractFields, customer: Customer, entries: Sequence[Entry], now: datetime) -> Change[Contract]:
    contract = Contract.objects.create(
        id=ids.uuid7(now),
        customer=customer,
        currency=given.currency or customer.currency,
        starts_at=given.starts_at,
        ends_at=entries[-1].ends_at,
        created_at=now,
    )
    for number, entry in enumerate(entries, start=1):
        agreed.write(contract, number, entry.effective_at, entry.terms, now)
    said = {"starts_at": given.starts_at, "ends_at": contract.ends_at, "currency": contract.currency}
    return Change(Kind.CREATED, contract, differences_of({}, {**said, **comparable(entries[0].terms)}))
