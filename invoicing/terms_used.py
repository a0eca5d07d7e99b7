"""The terms that a period is rated under: those of the contract as it stands, and what documents record of them.

Contract versions never change, so their ids and days are enough to rate a document again, whatever is agreed later.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, Self, cast
from uuid import UUID

from django.db import connection

from access.times import format_rfc3339, parse_rfc3339
from contracts.domain import money, rating
from contracts.domain.periods import Period
from contracts.domain.rating import Commitment, Line, Share
from contracts.period_terms import period_terms, share_of
from contracts.terms import Agreement
from invoicing.models import Invoice
from invoicing.selection import Grid

Id = tuple[str, int]
"""A fee's or commitment's id as `contracts.terms` makes it: what it is, and the row's."""


@dataclass(frozen=True)
class TermsUsed:
    """What decides a period's lines beside its charges.

    ``shares`` are (contract version, its days, days of the full period); ``first``, ``last`` and ``drawn`` as
    `rating.rate_period` takes them; ``billed_on`` the documents with lines of the period that stood when it was rated;
    ``versions`` and ``card_versions`` how many the contract and its rate cards had then, ``lines`` how many lines the
    document has by this entry (None: not recorded). With ``advance`` only the period's fees in advance are meant;
    ``so_far`` is an account inside the period, without what only the whole of it knows: minimum, fees in arrears, and
    what is missing of a commitment; one that ``closes`` the period is its first full account, after which whatever
    moves it is a correction.
    """

    period: Period
    shares: tuple[tuple[int, int, int], ...] = ()
    commitments: tuple[Id, ...] = ()
    first: frozenset[Id] = frozenset()
    last: frozenset[Id] = frozenset()
    drawn: Mapping[Id, int] = field(default_factory=dict)
    billed_on: tuple[UUID, ...] = ()
    advance: bool = False
    closes: bool = False
    so_far: bool = False
    versions: int | None = None
    card_versions: int | None = None
    lines: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "period_start": format_rfc3339(self.period.start),
            "period_end": format_rfc3339(self.period.end),
            "shares": [{"version": version, "days": days, "of_days": of} for version, days, of in self.shares],
            "commitments": [list(one) for one in self.commitments],
            "first": [list(one) for one in sorted(self.first)],
            "last": [list(one) for one in sorted(self.last)],
            "drawn": [[*one, minor] for one, minor in sorted(self.drawn.items())],
            "billed_on": [str(one) for one in self.billed_on],
            "advance": self.advance,
            "closes": self.closes,
            "so_far": self.so_far,
            "versions": self.versions,
            "card_versions": self.card_versions,
            "lines": self.lines,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            Period(parse_rfc3339(stored["period_start"]), parse_rfc3339(stored["period_end"])),
            tuple((one["version"], one["days"], one["of_days"]) for one in stored["shares"]),
            tuple((kind, row) for kind, row in stored["commitments"]),
            frozenset((kind, row) for kind, row in stored["first"]),
            frozenset((kind, row) for kind, row in stored["last"]),
            {(kind, row): minor for kind, row, minor in stored["drawn"]},
            tuple(UUID(one) for one in stored["billed_on"]),
            stored["advance"],
            stored.get("closes", False),
            stored.get("so_far", False),
            stored.get("versions"),
            stored.get("card_versions"),
            stored.get("lines"),
        )

    def shares_of(self, agreement: Agreement) -> list[Share]:
        """The shares with everything that their versions say; ``so_far`` without minimum and fees in arrears."""
        versions = {version.id: version for version in agreement.versions}
        found = [share_of(versions[version], days, of_days) for version, days, of_days in self.shares]
        return [_so_far(share) for share in found] if self.so_far else found

    def commitments_of(self, agreement: Agreement) -> list[Commitment]:
        """The commitments themselves, in their order."""
        spans = [span for version in agreement.versions for span in version.commitments]
        found: dict[Hashable, Commitment] = {span.commitment.id: span.commitment for span in spans}
        return [found[one] for one in self.commitments]


def _so_far(share: Share) -> Share:
    in_advance = tuple(fee for fee in share.fees if fee.timing == rating.ADVANCE)
    return replace(share, minimum=None, fees=in_advance)


def agreed_now(grid: Grid, period: Period, priced_by: Collection[int] = ()) -> TermsUsed:
    """The terms of a period as the contract stands today. Nothing counts as drawn yet."""
    agreement = grid.agreement
    found = period_terms(agreement, period, priced_by)
    return TermsUsed(
        period,
        tuple((cast(int, share.version), share.days, share.of_days) for share in found.shares),
        cast(tuple[Id, ...], tuple(commitment.id for commitment in found.commitments)),
        cast(frozenset[Id], found.first),
        cast(frozenset[Id], found.last),
        versions=len(agreement.versions),
        card_versions=grid.card_versions,
    )


class Drawing:
    """What the commitments of a contract were drawn before each of its periods. Periods are asked for in order; what is
    worked out of one takes the place of what documents say of it. One query where there are commitments, else none.

    What was drawn is never stored, it is summed; so a change in one period is carried through the later ones.
    """

    def __init__(self, agreement: Agreement, but: Invoice | None = None) -> None:
        self._agreement = agreement
        self._drawn: dict[Hashable, int] = {}
        self._waiting: list[tuple[Period, list[_Counted]]] = []
        if any(version.commitments for version in agreement.versions):
            self._waiting = _counted(agreement, but)

    def before(self, used: TermsUsed) -> TermsUsed:
        """The terms of a period with what earlier ones drew."""
        if not used.commitments:
            return used
        while self._waiting and self._waiting[0][0].start < used.period.start:
            self._count(*self._waiting.pop(0))
        return replace(used, drawn={one: self._drawn.get(one, 0) for one in used.commitments})

    def comes_to(self, used: TermsUsed, lines: Iterable[Line]) -> None:
        """Note what a period comes to, whatever documents say of it."""
        if not used.commitments:
            return
        self._waiting = [one for one in self._waiting if one[0].start > used.period.start]
        rows: list[_Counted] = []
        for line in lines:
            counts = line.kind in _COUNTING or (line.fee is not None and line.fee.counts)
            if counts:
                commitment = None if line.commitment is None else line.commitment.id
                rows.append((commitment, line.amount_minor))
        self._count(used.period, rows)

    def _count(self, period: Period, rows: Iterable["_Counted"]) -> None:
        rest = 0
        for commitment, minor in rows:
            # Drawdowns are negative: what they took is no longer there for a commitment in arrears.
            rest += minor
            if commitment is not None:
                self._drawn[commitment] = self._drawn.get(commitment, 0) - minor
        for one in period_terms(self._agreement, period).commitments:
            if one.payment == rating.ARREARS:
                amount = money.to_minor(one.amount, self._agreement.currency)
                counted = min(max(rest, 0), amount - self._drawn.get(one.id, 0))
                self._drawn[one.id] = self._drawn.get(one.id, 0) + counted
                rest -= counted


_Counted = tuple[Hashable | None, int]
"""(the commitment that a drawdown is from, or None, minor units)."""

_COUNTING = (rating.USAGE, rating.DISCOUNT, rating.MAXIMUM, rating.MINIMUM, rating.CAP, rating.DRAWDOWN)
# What stands on documents by period: what counts towards commitments, and what was drawn from each.
_COUNTED = """
SELECT l.period_start, l.period_end, (l.details ->> 'commitment_id')::bigint, sum(l.amount_minor)
FROM (SELECT l.* FROM invoicing_invoice i JOIN invoicing_invoiceline l ON l.invoice_id = i.id
      WHERE i.contract_id = %(contract)s AND i.status <> 'void' AND i.id IS DISTINCT FROM %(without)s::uuid
      UNION ALL
      SELECT l.* FROM invoicing_creditnote n JOIN invoicing_invoiceline l ON l.credit_note_id = n.id
      WHERE n.contract_id = %(contract)s) l
WHERE l.kind IN ('usage', 'discount', 'maximum', 'minimum', 'cap', 'drawdown')
   OR (l.kind = 'fee' AND l.details -> 'counts' = 'true')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def _counted(agreement: Agreement, but: Invoice | None) -> list[tuple[Period, list[_Counted]]]:
    without = None if but is None else but.id
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, {"contract": agreement.id, "without": without})
        rows = cursor.fetchall()
    return [
        (
            Period(start, end),
            [(None if row is None else ("commitment", row), int(minor)) for _, _, row, minor in of_period],
        )
        for (start, end), of_period in groupby(rows, key=itemgetter(0, 1))
    ]
