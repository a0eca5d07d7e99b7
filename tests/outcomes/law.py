"""The law, played: the same events sent in any order, and to a twin of each customer in the order of their times.

`tests/outcomes/test_law_property.py` and `test_law_seeds.py` make the conditions and the events.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection

from access.invariants import Scope, check
from conditions_dsl import parse
from contracts.models import Condition, Contract, ContractVersion, Customer, RateCard
from outcomes import imports
from outcomes.audit import INVARIANTS
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.intake import accept
from outcomes.models import Outcome, Pending
from outcomes.wire import read_events
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.outcomes import factories

START = factories.START
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TWIN = "-in-order"
# Past every window, patience and time that an event can tell.
END = START + 9 * 366 * DAY

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Story:
    """What is played: condition texts with the instant from which each is in force, customers with their settlement
    grace in seconds, events as they are sent, and settlement windows: for a customer the versions of its contract, each
    with its start (None: that of the contract) and seconds by condition slug.

    ``limits`` names, by slug, the customers of conditions that are not for all, each with the instant from which it is
    among them; ``pins`` by customer the versions (by slug) that its contract pins, from instant to instant.
    """

    conditions: Sequence[tuple[str, datetime | None]]
    customers: dict[str, int]
    events: Sequence[dict[str, Any]]
    windows: Mapping[str, Sequence[tuple[datetime | None, Mapping[str, int]]]] = field(default_factory=dict)
    limits: Mapping[str, dict[str, datetime | None]] = field(default_factory=dict)
    pins: Mapping[str, Sequence[tuple[datetime, Mapping[str, int]]]] = field(default_factory=dict)


def play(story: Story, chance: random.Random) -> None:
    """Any order and in-order come to the same net outcomes, and the audit finds nothing on the way or in the end."""
    for key in story.customers:
        for name in (key, key + TWIN):
            factories.customer(name)
    for text, effective_from in story.conditions:
        limit = story.limits.get(parse(text).slug)
        named = limit and {name: since for key, since in limit.items() for name in (key, key + TWIN)}
        factories.condition(text, effective_from=effective_from, customers=named)
    for key, grace in story.customers.items():
        for name in (key, key + TWIN):
            _agree(name, grace, story.windows.get(key, ()), story.pins.get(key, ()))
    _in_any_order(story, chance)
    _in_order(chance)
    evaluate_waiting(END)
    settle_due(END)
    assert not Pending.objects.exists()
    audited(END)
    assert not Outcome.objects.filter(due_at__isnull=False).exists()
    here, there = net(twins=False), net(twins=True)
    # What was reversed stays reversed: it bills nothing, also where later evidence says it never was.
    assert {row: n for row, n in (here - there).items() if row[3] != "reversed"} == {}
    assert there - here == Counter()
    assert not Outcome.objects.filter(customer__key__endswith=TWIN, state="superseded").exists()


Spans = Sequence[tuple[datetime | None, Mapping[str, int]]]


def _agree(key: str, grace: int, windows: Spans, pins: Spans) -> None:
    """A contract by the week, so that a new date often means another period; a version for each change of its terms."""
    card, _ = RateCard.objects.get_or_create(key="standard", defaults={"created_at": START})
    contract = Contract.objects.create(
        customer=Customer.objects.get(key=key), currency="USD", starts_at=START - 30 * DAY, created_at=START
    )
    ids = dict(Condition.objects.values_list("slug", "id"))

    def at(spans: Spans, instant: datetime) -> dict[str, int]:
        begun = [own for start, own in spans if (start or contract.starts_at) <= instant]
        return {str(ids[slug]): value for slug, value in (begun[-1] if begun else {}).items() if slug in ids}

    starts = {contract.starts_at, *(start or contract.starts_at for start, _ in (*windows, *pins))}
    for number, start in enumerate(sorted(starts), start=1):
        ContractVersion.objects.create(
            contract=contract, number=number, effective_at=start, rate_card=card, billing_period="weekly",
            settlement_grace_seconds=grace, created_at=START,
            settlement_windows=at(windows, start), conditions=at(pins, start),
        )  # fmt: skip


def _in_any_order(story: Story, chance: random.Random) -> None:
    """Shuffled, 30 % sent twice, in batches, some within an import, evaluated and settled at any instant between."""
    unsent = [*story.events, *chance.sample(list(story.events), k=len(story.events) * 3 // 10)]
    chance.shuffle(unsent)
    now, opened = START, None
    while unsent:
        now += HOUR * chance.choice([0, 1, 6, 30])
        if opened is None and chance.random() < 0.1:
            opened = imports.open_import(now=now)
        elif opened is not None and chance.random() < 0.3:
            imports.close_import(opened.id, now=now)
            opened = None
        ready = [event for event in unsent if event["time"] <= now][: chance.randrange(1, 12)]
        if ready:
            _send(ready, now, import_id=opened and opened.id)
            unsent = [event for event in unsent if not any(event is sent for sent in ready)]
        if chance.random() < 0.6:
            evaluate_batch(now, size=chance.choice([1, 3, 100]))
        if chance.random() < 0.6:
            settle_due(now)
        if chance.random() < 0.02:
            audited(now)
    if opened is not None:
        imports.close_import(opened.id, now=now)
    evaluate_waiting(END)
    settle_due(END)


def _in_order(chance: random.Random) -> None:
    """The same events to the twins: a few at a time, in the order of their times, where equal in that of acceptance."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT e.event_id, e.type, c.key, e."time", e.data::text FROM outcomes_event e '
            'JOIN contracts_customer c ON c.id = e.customer_id ORDER BY e."time", e.seq'
        )
        rows = cursor.fetchall()
    while rows:
        batch, rows = rows[: (size := chance.randrange(1, 9))], rows[size:]
        events = [
            {"id": name, "type": kind, "customer": key + TWIN, "time": at, "data": msgspec.Raw(data.encode())}
            for name, kind, key, at, data in batch
        ]
        now = batch[-1][3]
        _send(events, now)
        if chance.random() < 0.7:
            evaluate_waiting(now)
        if chance.random() < 0.5:
            settle_due(now)


def _send(events: list[dict[str, Any]], now: datetime, **options: Any) -> None:
    results = accept(read_events([_encode(event) for event in events]), now=now, **options)
    assert {result.status for result in results} <= {"accepted", "duplicate"}, results


def audited(now: datetime) -> None:
    for result in check([*INVARIANTS, *SETTLED], Scope(now=now, sample=None)):
        found = (result.error, result.findings.violation_rows)
        assert found == ("", []), f"{result.invariant.name}: {found}"


def net(*, twins: bool) -> Counter[tuple[Any, ...]]:
    """What stands in the end, apart from beliefs that were withdrawn, by customer, condition, subject."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT regexp_replace(c.key, %s, ''), k.slug, s.key, o.state, met.event_id, o.met_at, o.settled_at,
                   ended.event_id, o.ended_at, v.number, o.quantity, o.amount, o.dimensions::text, o.review
            FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id
            JOIN contracts_customer c ON c.id = o.customer_id JOIN contracts_condition k ON k.id = o.condition_id
            JOIN contracts_conditionversion v ON v.id = o.version_id
            LEFT JOIN outcomes_event met ON met.seq = o.met_by_seq
            LEFT JOIN outcomes_event ended ON ended.seq = o.ended_by_seq
            WHERE o.state <> 'superseded' AND (c.key LIKE %s) = %s
              AND NOT EXISTS (SELECT FROM outcomes_journal j WHERE j.outcome_id = o.id AND j.from_state = 'confirmed'
                              AND j.to_state = 'reversed' AND j.cause = 'late')
            """,
            [TWIN, f"%{TWIN}", twins],
        )
        return Counter((*row[:-1], tuple(row[-1])) for row in cursor.fetchall())
