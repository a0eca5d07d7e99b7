"""What a pack is made of, read a portion of subjects at a time: memory is that of a portion, however many outcomes."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from conditions_dsl import Event
from outcomes.domain.instants import to_us
from outcomes.wire import canonical, exact_number

PORTION = 1000

_decode_data = msgspec.json.Decoder(float_hook=exact_number).decode


@dataclass(frozen=True, slots=True)
class Voided:
    """A line that shows what of its condition was taken back inside its window in its period: outcomes met from
    ``starts_at`` to ``ends_at`` (the contract's) that ended from ``since`` to ``until``. None is no bound.
    """

    line: UUID
    condition: int
    starts_at: datetime
    ends_at: datetime | None
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose outcomes are meant: those that ``lines`` bill or take back, and those that are shown as ``voided``.
    ``live`` says that all of these documents stand, and so an index by outcome helps.
    """

    customer: int
    lines: tuple[UUID, ...]
    live: bool
    voided: tuple[Voided, ...] = ()

    def parameters(self) -> dict[str, Any]:
        names = ("line", "condition", "starts_at", "ends_at", "since", "until")
        shown = {f"v_{name}": [getattr(one, name) for one in self.voided] for name in names}
        return {"customer": self.customer, "lines": list(self.lines)} | shown


@dataclass(frozen=True, slots=True)
class Fact:
    """An event of a subject; without its payload where that is archived. ``left_out`` says why it does not count."""

    seq: int
    time: datetime
    id: str
    source: str
    sha256: str | None
    type: str = ""
    received_at: datetime | None = None
    data: dict[str, Any] | None = None
    batch_import: UUID | None = None
    left_out: str = ""

    def event(self) -> Event:
        return Event(self.id, self.type, to_us(self.time), self.seq, self.data or {})

    def data_json(self) -> msgspec.Raw:
        """The data as its hash was made over it."""
        return msgspec.Raw(canonical(self.data))


@dataclass(frozen=True, slots=True)
class Row:
    """An outcome as it is booked, with the lines that bill it and those that take it back."""

    id: UUID
    version: int
    version_number: int
    state: str
    met_by: int | None
    met_at: datetime
    settled_at: datetime | None
    ended_by: int | None
    ended_at: datetime | None
    quantity: Decimal | None
    amount: Decimal | None
    dimensions: dict[str, str | None]
    billed: list[UUID]
    taken_back: list[UUID]
    shown_on: list[UUID]
    journal: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Subject:
    """One subject with all its facts, in order, and those of its outcomes that are meant."""

    id: int
    condition: int
    slug: str
    key: str
    facts: list[Fact] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    accepted: dict[int, datetime] = field(default_factory=dict)
    """Late evidence by ``seq``, and when a person accepted it."""


# What was voided on the way to one of these lines, as `selection.voided` counts it.
_VOIDED = """outcomes_outcome o JOIN unnest(
    %(v_line)s::uuid[], %(v_condition)s::bigint[], %(v_starts_at)s::timestamptz[], %(v_ends_at)s::timestamptz[],
    %(v_since)s::timestamptz[], %(v_until)s::timestamptz[]
) AS v(line, condition, starts_at, ends_at, since, until) ON o.condition_id = v.condition
    AND o.met_at >= v.starts_at AND o.met_at < coalesce(v.ends_at, 'infinity')
    AND o.ended_at >= v.since AND o.ended_at < coalesce(v.until, 'infinity')
WHERE o.customer_id = %(customer)s AND o.state = 'void' AND cardinality(%(v_line)s::uuid[]) > 0"""

# In the order of code points, whatever the database sorts by: the verifier sees by it that no subject comes twice.
_SUBJECTS = f"""
SELECT s.id, s.condition_id, c.slug, s.key
FROM outcomes_subject s JOIN contracts_condition c ON c.id = s.condition_id
WHERE s.id IN (
    SELECT o.subject_id FROM invoicing_lineoutcome b JOIN outcomes_outcome o ON o.id = b.outcome_id
    WHERE b.line_id = ANY(%(lines)s)
    UNION
    SELECT o.subject_id FROM invoicing_linereversal r JOIN outcomes_outcome o ON o.id = r.outcome_id
    WHERE r.line_id = ANY(%(lines)s)
    UNION
    SELECT o.subject_id FROM {_VOIDED}
)
ORDER BY c.slug COLLATE "C", s.key COLLATE "C"
"""

_COLUMNS = """e.event_id, e.source, encode(i.fingerprint, 'hex'), e.type, e.received_at, e.data::text, e.batch_import_id
"""
_WITH_IDENTITY = """LEFT JOIN outcomes_event_identity i
    ON i.customer_id = e.customer_id AND i.event_id = e.event_id AND i.source = e.source"""

_FACTS = f"""
SELECT f.subject_id, f.seq, f."time", {_COLUMNS}
FROM outcomes_subject_event f LEFT JOIN outcomes_event e ON e.seq = f.seq {_WITH_IDENTITY}
WHERE f.subject_id = ANY(%s) ORDER BY f.subject_id, f."time", f.seq
"""

_ARCHIVED = """
SELECT seq, event_id, source, encode(fingerprint, 'hex') FROM outcomes_event_identity
WHERE customer_id = %s AND seq = ANY(%s)
"""

_LATE = f"""
SELECT l.subject_id, l.status, l.decided_at, l.event_seq, l."time", {_COLUMNS}
FROM outcomes_lateevidence l JOIN outcomes_subject s ON s.id = l.subject_id
LEFT JOIN outcomes_event e ON e.seq = l.event_seq {_WITH_IDENTITY}
WHERE s.customer_id = %s ORDER BY l.subject_id, l."time", l.event_seq
"""

_DECISIONS = """
SELECT subject_id, kind, at, met_at, met_by_seq, quantity, amount, actor, reason
FROM outcomes_decision WHERE subject_id = ANY(%s) ORDER BY subject_id, at
"""

# What a void invoice billed it has let go; only there the index of what is live is of no use.
_OUTCOMES = f"""
SELECT * FROM (
    SELECT o.subject_id, o.id, o.version_id, v.number, o.state, o.met_by_seq, o.met_at, o.settled_at, o.ended_by_seq,
           o.ended_at, o.quantity, o.amount, o.dimensions::text,
           ARRAY(SELECT b.line_id FROM invoicing_lineoutcome b
                 WHERE b.outcome_id = o.id AND b.line_id = ANY(%(lines)s) {{live}} ORDER BY b.line_id) AS billed,
           ARRAY(SELECT b.line_id FROM invoicing_linereversal b
                 WHERE b.outcome_id = o.id AND b.line_id = ANY(%(lines)s) {{live}} ORDER BY b.line_id) AS taken_back,
           ARRAY[]::uuid[] AS shown_on
    FROM outcomes_outcome o JOIN contracts_conditionversion v ON v.id = o.version_id
    WHERE o.subject_id = ANY(%(subjects)s)
) found
WHERE cardinality(billed) + cardinality(taken_back) > 0
UNION ALL
SELECT o.subject_id, o.id, o.version_id, n.number, o.state, o.met_by_seq, o.met_at, o.settled_at, o.ended_by_seq,
       o.ended_at, o.quantity, o.amount, o.dimensions::text, ARRAY[]::uuid[], ARRAY[]::uuid[], ARRAY[o.line]
FROM (SELECT o.*, v.line FROM {_VOIDED} AND o.subject_id = ANY(%(subjects)s)) o
JOIN contracts_conditionversion n ON n.id = o.version_id
ORDER BY 1, 16, 2
"""

_JOURNAL = """
SELECT outcome_id, from_state, to_state, cause, clause, event_seq, actor, reason, effective_at, recorded_at
FROM outcomes_journal WHERE outcome_id = ANY(%s) ORDER BY outcome_id, id
"""


def count_voided(scope: Scope) -> dict[UUID, int]:
    """By line, how many outcomes are voided today of what it shows. One query."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT v.line, count(*) FROM {_VOIDED} GROUP BY v.line", scope.parameters())
        return dict(cursor.fetchall())


def subjects(scope: Scope) -> Iterator[Subject]:
    """Every subject with an outcome on the lines, in order of (slug, key)."""
    late = _late(scope.customer)
    with connection.chunked_cursor() as cursor:
        cursor.execute(_SUBJECTS, scope.parameters())
        while rows := cursor.fetchmany(PORTION):
            portion = {row[0]: Subject(*row) for row in rows}
            _fill(scope, portion)
            for subject in portion.values():
                for status, decided_at, fact in late.get(subject.id, ()):
                    if status == "accepted":
                        subject.accepted[fact.seq] = decided_at
                    else:
                        subject.facts.append(fact)
                        subject.facts.sort(key=lambda one: (one.time, one.seq))
            yield from portion.values()


def _late(customer: int) -> dict[int, list[tuple[str, datetime, Fact]]]:
    """Late evidence of a customer by subject: (status, when it was decided, the event)."""
    found: dict[int, list[tuple[str, datetime, Fact]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [customer])
        for subject, status, decided_at, seq, time, *columns in cursor.fetchall():
            if columns[0] is not None:
                found[subject].append((status, decided_at, _fact(seq, time, columns, left_out=status)))
    return found


def _fact(seq: int, time: datetime, columns: Sequence[Any], left_out: str = "") -> Fact:
    event_id, source, sha256, type_, received_at, data, batch_import = columns
    return Fact(seq, time, event_id, source, sha256, type_, received_at, _decode_data(data), batch_import, left_out)


def _fill(scope: Scope, portion: dict[int, Subject]) -> None:
    """Read what belongs to these subjects, in five queries."""
    wanted = list(portion)
    with connection.cursor() as cursor:
        cursor.execute(_FACTS, [wanted])
        missing: list[tuple[int, int, datetime]] = []
        for subject, seq, time, *columns in cursor.fetchall():
            if columns[0] is None:
                missing.append((subject, seq, time))
            else:
                portion[subject].facts.append(_fact(seq, time, columns))
        if missing:
            _fill_archived(scope.customer, portion, missing)
        cursor.execute(_DECISIONS, [wanted])
        names = [column.name for column in cursor.description or ()]
        for row in cursor.fetchall():
            portion[row[0]].decisions.append(dict(zip(names, row, strict=True)))
        live = "AND b.live" if scope.live else ""
        cursor.execute(_OUTCOMES.format(live=live), scope.parameters() | {"subjects": wanted})
        rows: dict[UUID, Row] = {}
        for subject, *values in cursor.fetchall():
            values[11] = json.loads(values[11])
            row = Row(*values)
            portion[subject].outcomes.append(row)
            rows[row.id] = row
        _fill_journal(rows)


def _fill_archived(customer: int, portion: dict[int, Subject], missing: Collection[tuple[int, int, datetime]]) -> None:
    """Events of which only the identity and the hash are left."""
    with connection.cursor() as cursor:
        cursor.execute(_ARCHIVED, [customer, sorted({seq for _, seq, _ in missing})])
        identities = {seq: rest for seq, *rest in cursor.fetchall()}
    for subject, seq, time in missing:
        event_id, source, sha256 = identities.get(seq, ("", "", None))
        portion[subject].facts.append(Fact(seq, time, event_id, source, sha256))
        portion[subject].facts.sort(key=lambda one: (one.time, one.seq))


def _fill_journal(rows: dict[UUID, Row]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_JOURNAL, [list(rows)])
        names = [column.name for column in cursor.description or ()]
        for entry in cursor.fetchall():
            rows[entry[0]].journal.append(dict(zip(names, entry, strict=True)))
