"""The terms of one billing period of a contract, as `rating.rate_period` takes them: each version's share by local
calendar days, the commitments that run in it, and what begins and ends with it.
"""

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime

from contracts.domain.periods import Period, cadence_at, full_period_of, local_days
from contracts.domain.rating import ONE_OFF, Commitment, Fee, Share
from contracts.terms import Agreement, CommitmentSpan, Version


@dataclass(frozen=True)
class PeriodTerms:
    """``first`` are the commitments and one-off fees that begin in the period, ``last`` the commitments that end in
    it.
    """

    shares: tuple[Share, ...]
    commitments: tuple[Commitment, ...]
    first: frozenset[Hashable]
    last: frozenset[Hashable]


def period_terms(agreement: Agreement, period: Period, priced_by: Collection[int] = ()) -> PeriodTerms:
    """Everything about a period of the contract. ``priced_by`` are ids of versions under which something was met that
    belongs to the period: those that were in force earlier have a share of 0 days.
    """
    running = list(_running(agreement, period))
    first = {span.commitment.id for span in running if period.start <= _start(agreement, span) < period.end}
    first |= {fee.id for fee in _one_off_fees(agreement, period)}
    ends = {span.commitment.id: _end(agreement, span) for span in running}
    last = {key for key, end in ends.items() if end is not None and end <= period.end}
    commitments = tuple(span.commitment for span in running)
    return PeriodTerms(shares(agreement, period, priced_by), commitments, frozenset(first), frozenset(last))


def shares(agreement: Agreement, period: Period, priced_by: Collection[int] = ()) -> tuple[Share, ...]:
    """Each contract version's part of the period, in the order in which they are in force."""
    zone, full = _zone(agreement, period), _full(agreement, period)
    of_days = local_days(full.start, full.end, zone)
    found = []
    for start, end, version in agreement.spans():
        begin, until = max(start, period.start), period.end if end is None else min(end, period.end)
        if begin < until:
            found.append(share_of(version, local_days(begin, until, zone), of_days))
        elif version.id in priced_by:
            found.append(share_of(version, 0, of_days))
    return tuple(found)


def share_of(version: Version, days: int, of_days: int) -> Share:
    """A version's terms with its days of a period."""
    return Share(
        version.id,
        days,
        of_days,
        discount_percent=version.discount_percent,
        discount_amount=version.discount_amount,
        minimum=version.minimum,
        cap=version.cap,
        fees=version.fees,
        pools=version.pools,
        trial=version.trial,
    )


def _running(agreement: Agreement, period: Period) -> Iterator[CommitmentSpan]:
    """The commitments that run in the period, those that begin earlier first."""
    every = [span for version in agreement.versions for span in version.commitments]
    for span in sorted(every, key=lambda span: (span.starts_at, span.commitment.id)):
        end = _end(agreement, span)
        if _start(agreement, span) < period.end and (end is None or period.start < end):
            yield span


def _start(agreement: Agreement, span: CommitmentSpan) -> datetime:
    return max(span.starts_at, agreement.starts_at)


def _end(agreement: Agreement, span: CommitmentSpan) -> datetime | None:
    """A commitment ends with its contract at the latest, also where an amendment brought that forward."""
    return min((end for end in (span.ends_at, agreement.ends_at) if end is not None), default=None)


def _one_off_fees(agreement: Agreement, period: Period) -> Iterator[Fee]:
    """The one-off fees that are charged in the period: each name once in a contract, with the first version that has
    it, is no trial and is in force for a day at least.
    """
    zone = _zone(agreement, period)
    charged: set[str] = set()
    for start, end, version in agreement.spans():
        if start >= period.end:
            return
        if version.trial or (end is not None and local_days(start, end, zone) == 0):
            continue
        for fee in version.fees:
            if fee.kind == ONE_OFF and fee.name not in charged:
                charged.add(fee.name)
                if period.start <= start:
                    yield fee


def _zone(agreement: Agreement, period: Period) -> str:
    """The zone in which the period's days are counted."""
    return cadence_at(
        period.start, segments=agreement.segments(), starts_at=agreement.starts_at, ends_at=agreement.ends_at
    ).time_zone


def _full(agreement: Agreement, period: Period) -> Period:
    return full_period_of(
        period, segments=agreement.segments(), starts_at=agreement.starts_at, ends_at=agreement.ends_at
    )
