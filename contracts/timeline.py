"""A contract's versions in the order in which they were made, and what a further one makes of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from access.errors import Detail
from access.times import format_rfc3339
from contracts.agreed import VersionFields, changed, comparable, from_start
from contracts.domain.periods import Cadence, Segment, scheduled_period
from contracts.domain.rating import ARREARS, CommitmentInput


@dataclass(frozen=True)
class Amendment:
    """From ``effective_at`` on, what ``changes`` names (fields of `VersionFields`) is as it says. ``ends_at`` is the
    contract's end from now on; None changes nothing.
    """

    effective_at: datetime
    changes: Mapping[str, Any] = field(default_factory=dict)
    ends_at: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """A version: its terms, the contract's end once it was made, the place of the request that asked for it, and the
    amendment that did.
    """

    effective_at: datetime
    terms: VersionFields
    ends_at: datetime | None
    place: str = ""
    made_by: Amendment | None = None


def begin(
    first: VersionFields, starts_at: datetime, ends_at: datetime | None, phases: Sequence[Amendment] = ()
) -> list[Entry]:
    """The versions with which a contract is agreed: the first, and one for each phase. A phase says what differs from
    the one before it, and is a trial only where it says so; one that begins with the contract is its first version.
    """
    entries = [Entry(starts_at, first, ends_at)]
    for index, phase in enumerate(phases):
        place = f"phases[{index}]"
        changes = {"trial": False, **phase.changes}
        if index == 0 and phase.effective_at == starts_at:
            entries[0] = Entry(starts_at, replace(first, **changes), ends_at, place)
        else:
            terms = from_start(changed(entries[-1].terms, changes), phase.effective_at)
            entries.append(Entry(phase.effective_at, terms, ends_at, place))
    # Commitments of the whole begin where charging does.
    charging = next((one.effective_at for one in entries if not one.terms.trial), starts_at)
    entries[0] = replace(entries[0], terms=from_start(entries[0].terms, charging))
    return entries


def amended(entries: Sequence[Entry], amendment: Amendment, place: str = "") -> Entry | None:
    """The version that an amendment makes: the terms in force at its start with what it changes; None where it changes
    nothing.
    """
    before = in_force(entries, amendment.effective_at)
    terms = from_start(changed(before.terms, amendment.changes), amendment.effective_at)
    ends_at = entries[-1].ends_at if amendment.ends_at is None else amendment.ends_at
    same = comparable(terms) == comparable(replace(before.terms, commitments=()))
    if same and ends_at == entries[-1].ends_at:
        return None
    return Entry(amendment.effective_at, terms, ends_at, place, amendment)


def in_force(entries: Sequence[Entry], moment: datetime) -> Entry:
    """The version with the latest start at or before ``moment``, of two the later made; before the first, the first."""
    started = [entry for entry in entries if entry.effective_at <= moment]
    # Of equals `max` takes the first, so the later made come first.
    return max(reversed(started), key=lambda entry: entry.effective_at, default=entries[0])


def until(entries: Sequence[Entry], entry: Entry) -> datetime | None:
    """When the next version takes over from ``entry``; else the contract's end."""
    later = [other.effective_at for other in entries if other.effective_at > entry.effective_at]
    return min(later, default=entries[-1].ends_at)


# --- Checked ----------------------------------------------------------------------------------------------------------


def phase_problems(entries: Sequence[Entry], starts_at: datetime, ends_at: datetime | None) -> list[Detail]:
    """Phases that begin outside the contract or out of turn."""
    problems = []
    for before, entry in pairwise(entries):
        place = f"{entry.place}.starts_at"
        if entry.effective_at <= before.effective_at:
            message = f"Phases stand in order: this one starts after {format_rfc3339(before.effective_at)}."
            problems.append(Detail(place, message, "phases_out_of_order"))
        elif ends_at is not None and entry.effective_at >= ends_at:
            message = f"The contract ends at {format_rfc3339(ends_at)}: a phase starts before that."
            problems.append(Detail(place, message, "outside_contract"))
    return problems


def span_problems(
    start: datetime, end: datetime | None, amendment: Amendment, now: datetime | None = None
) -> list[Detail]:
    """Why an amendment does not fit a contract that runs from ``start`` to ``end``; ``now`` where it is made to one
    that ran already.
    """
    problems = []
    if amendment.effective_at < start or (end is not None and amendment.effective_at >= end):
        span = "on" if end is None else f"until {format_rfc3339(end)}"
        message = f"The contract runs from {format_rfc3339(start)} {span}: an amendment takes effect in that span."
        problems.append(Detail("effective_at", message, "outside_contract"))
    new_end = amendment.ends_at
    if new_end is None or new_end == end:
        return problems
    if end is not None and new_end > end:
        message = (
            f"The contract ends at {format_rfc3339(end)}, and an amendment can only bring that forward: agree a"
            " contract that follows it."
        )
        problems.append(Detail("ends_at", message, "ends_at_later"))
    elif new_end <= max(amendment.effective_at, start):
        message = f"The end comes after effective_at ({format_rfc3339(amendment.effective_at)})."
        problems.append(Detail("ends_at", message, "ends_before_start"))
    elif now is not None and new_end < now:
        message = f"What was met already keeps its contract: let it end at {format_rfc3339(now)} or later."
        problems.append(Detail("ends_at", message, "backdated"))
    return problems


def commitment_problems(entries: Sequence[Entry], entry: Entry) -> list[Detail]:
    """Commitments of a version that lie outside the contract, have no end to be trued up at, or do not begin and end
    where billing periods do.
    """
    starts_at, ends_at = entries[0].effective_at, entries[-1].ends_at
    problems: list[Detail] = []
    for index, one in enumerate(entry.terms.commitments):
        place = f"commitments[{index}]"
        begins = one.starts_at or entry.effective_at
        if begins < starts_at or (ends_at is not None and begins >= ends_at):
            message = "A commitment begins while the contract runs."
            problems.append(Detail(f"{place}.starts_at", message, "outside_contract"))
        elif one.ends_at is not None and ends_at is not None and one.ends_at > ends_at:
            message = f"The contract ends at {format_rfc3339(ends_at)}, and so does a commitment at the latest."
            problems.append(Detail(f"{place}.ends_at", message, "outside_contract"))
        elif one.payment == ARREARS and one.ends_at is None and ends_at is None:
            message = "What is missing is charged at the end, and neither the commitment nor the contract has one."
            problems.append(Detail(f"{place}.ends_at", message, "required"))
        else:
            problems += _cut_problems(place, one, entries)
    return problems


def passing_on_problems(entries: Sequence[Entry], entry: Entry) -> list[Detail]:
    """A version that passes outcomes on while a commitment runs, whichever of the two was agreed first: nothing of
    what is met would draw on it. One that says both is refused with its other terms.
    """
    listed = sorted(entries, key=lambda one: one.effective_at)
    problems: list[Detail] = []
    for other in listed:
        if other is entry:
            continue
        if entry.terms.passes_on and any(_meet(one, other, entry, entries) for one in other.terms.commitments):
            message = (
                "The contract has a commitment that runs then, and what another system invoices draws on none: pass"
                " outcomes on by a contract that follows this one."
            )
            return [Detail("pass_on", message, "not_used")]
        if other.terms.passes_on and not entry.terms.passes_on:
            problems += [
                Detail(
                    f"commitments[{index}]",
                    f"From {format_rfc3339(other.effective_at)} on another system invoices what is confirmed, which"
                    " draws on no commitment: let it end before.",
                    "not_used",
                )
                for index, one in enumerate(entry.terms.commitments)
                if _meet(one, entry, other, entries)
            ]
    return problems


def _meet(one: CommitmentInput, of: Entry, passing: Entry, entries: Sequence[Entry]) -> bool:
    """Whether a commitment ``of`` one version runs while another is in force, for more than nothing."""
    if in_force(entries, passing.effective_at) is not passing:
        return False
    begins, end = one.starts_at or of.effective_at, until(entries, passing)
    ends_at = one.ends_at or entries[-1].ends_at
    return (end is None or begins < end) and (ends_at is None or ends_at > passing.effective_at)


def _cut_problems(place: str, one: CommitmentInput, entries: Sequence[Entry]) -> list[Detail]:
    starts_at, ends_at = entries[0].effective_at, entries[-1].ends_at
    in_turn = sorted(entries, key=lambda entry: entry.effective_at)
    segments = [
        Segment(entry.effective_at, Cadence(terms.billing_period, terms.anchor_day, terms.time_zone))
        for entry in in_turn
        for terms in (entry.terms,)
    ]
    known = {entry.effective_at for entry in entries} | {ends_at}
    problems = []
    for name, moment in (("starts_at", one.starts_at), ("ends_at", one.ends_at)):
        if moment is None or moment in known:
            continue
        period = scheduled_period(moment, segments=segments, starts_at=starts_at, ends_at=ends_at)
        if period.start != moment:
            near = f"{format_rfc3339(period.start)} or {format_rfc3339(period.end)}"
            message = f"A commitment begins and ends with a billing period: {near}."
            problems.append(Detail(f"{place}.{name}", message, "not_a_period"))
    return problems


def segments_hold(entries: Iterable[Entry], problems: Iterable[Detail]) -> bool:
    """Whether periods can be worked out at all: nothing is wrong with what cuts them."""
    cutting = {"billing_period", "anchor_day", "time_zone", "starts_at", "ends_at"}
    return not any(problem.path.rpartition(".")[2] in cutting for problem in problems)
