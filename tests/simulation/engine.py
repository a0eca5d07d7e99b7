"""The real code on real PostgreSQL, driven through a world step by step, and compared with what should be.

Only the broker is replaced: wake-ups are the world's steps. A process that dies raises at a statement or a commit; its
connection is dropped and what it remembered forgotten, and the next step is another process.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from access.errors import ApiError
from access.invariants import Scope, check
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import Condition, Contract, ContractVersion, Customer, RateCard
from outcomes import backfill, event_types, imports, inbox, intake, late
from outcomes.audit import INVARIANTS
from outcomes.decisions import NotPossible, complete, take_back
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.intake import accept
from outcomes.wire import read_events
from settlement import sweep
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.conftest import as_new

from .language import DAY, Fact
from .model import Attempt, Decision, Story, Version
from .world import MINUTE, START, Crash, Event, Step, Terms, World

# Past every window, patience and told time.
END = START + 500 * DAY
TWIN = "-twin"
SECOND = timedelta(seconds=1)
MAX_AGE, MAX_AHEAD = 35 * DAY, 5 * MINUTE

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode

Net = tuple[Any, ...]


class Violation(AssertionError):
    """The engine did what it must not."""


class Died(BaseException):
    """The process is killed here. No `except Exception` sees it."""


@dataclass
class Told:
    """An event that is accepted: ``number`` among the world's, and the step in which that happened."""

    fact: Fact
    number: int
    step: int


@dataclass
class Kept:
    """An item of the inbox that was refused, with the place in which it was received."""

    number: int
    reason: str
    order: tuple[int, ...]
    received_at: datetime
    imported: bool


class Engine:
    """One world on the way. ``trace`` tells every step; ``sometimes`` counts what is rare."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trace: list[str] = []
        self.sometimes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.told: dict[tuple[str, str], Told] = {}
        self.kept: dict[int, Kept] = {}
        self.customers: set[str] = set()
        self.versions: dict[str, list[Version]] = {}
        self.decisions: dict[tuple[str, str, str], list[Decision]] = {}
        self.unanswered: list[tuple[int, ...]] = []
        self.sending: tuple[Sequence[int], datetime, bool] = ((), START, False)
        self.import_id: UUID | None = None
        self.imported: set[str] = set()  # customers that the open import touches
        self.confirmed_in: dict[UUID, int] = {}
        self.waiting: dict[int, datetime] = {}  # before a sweep: partition -> the earliest event that waits
        self.crash: Crash | None = None
        self.step = 0
        self.received = 0
        self.journal = 0
        self.inbox_id = 0
        self.decided = 0
        self.settled_last = START
        self.outcomes = 0

    # --- the two phases ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Violation, or whatever the engine raises."""
        random.seed(self.world.seed)  # what evaluation draws for itself
        with _simulated(self.world.portions):
            for edition in self.world.editions[: self.world.initial]:
                self._make_version(edition.condition, edition.effective_from, START)
            for key in self.world.terms:
                if key not in self.world.strangers:
                    self._create_customer(key, START)
            for step in self.world.steps:
                if step.do in ACTIONS:
                    self.take(step)
            self.heal()
            self.compare(self.expected())
            self.replay()

    def take(self, step: Step) -> None:
        self.step += 1
        became = ""
        self.crash = step.crash
        try:
            became = ACTIONS[step.do](self, step) or ""
        except Died as death:
            _next_process()
            became = f"died {death}"
            self.faults["crashes"] += 1
            kind = str(death).split(":")[0]
            self.sometimes[f"crash of {step.do.removesuffix('_import')} {kind}"] += 1
            self.crash = None  # what is done about it, another process does
            AFTER_DEATH.get(step.do, lambda engine, step: None)(self, step)
        self.crash = None
        self.trace.append(f"{self.step:3} {step.at.isoformat()} {step.do} {step.what or ''} {became}".rstrip())
        self.observe(step)

    def heal(self) -> None:
        """No more faults: all is sent again, known, closed; then the clock runs past every window. It must come to
        rest in a few rounds, and then stay as it is.
        """
        self.step += 1
        now = max([START, *(step.at for step in self.world.steps)]) + MINUTE
        for key in self.world.strangers:
            if key not in self.customers:
                self._create_customer(key, now)
        if self.import_id is not None:
            self.close_import(Step("close_import", now))
        self.send(Step("send", now))
        self.retry_inbox(Step("retry_inbox", now))
        evaluate_waiting(now)
        self.settle(Step("settle", now))
        self.observe(Step("heal", now))
        # The next that is due, at its very instant.
        due = _rows(
            "SELECT o.due_at, c.key FROM outcomes_outcome o JOIN contracts_customer c ON c.id = o.customer_id"
            " WHERE o.state = 'provisional'"
        )
        if instants := [at + self.world.terms[key].grace for at, key in due]:
            now = max(now, min(instants))
            self.settle(Step("settle", now))
            self.observe(Step("settle", now))
        rounds = 0
        while evaluate_waiting(END) + settle_due(END).total():
            rounds += 1
            self.require(rounds < 5, "it does not come to rest")
        self.observe(Step("heal", END))
        if _one("SELECT count(*) FROM outcomes_pending"):
            evaluate_batch(END)  # raises what evaluate_waiting only logs
        left = _one("SELECT count(*) FROM outcomes_outcome WHERE due_at IS NOT NULL")
        self.require(not left, f"{left} outcomes are still due at the end of time")
        self.require(not backfill.unfinished(), "a condition has not heard all of its past")
        self._audit(END, warnings=True)
        before = _image()
        evaluate_waiting(END)
        settle_due(END)
        backfill.advance(END)
        self.require(_image() == before, "the jobs run once more changed something")

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(what)

    # --- what people and clients do ----------------------------------------------------------------------------------

    def make_version(self, step: Step) -> str:
        edition = self.world.editions[step.what[0]]
        return self._make_version(edition.condition, edition.effective_from, step.at)

    def _make_version(self, condition: Any, effective_from: datetime | None, now: datetime) -> str:
        known = self.versions.setdefault(condition.slug, [])
        start = effective_from if not known else effective_from or now
        taken = known and (any(one.effective_from == start for one in known) or start < now)  # type: ignore[operator]
        try:
            with dying(self.crash):
                change = create_condition_version(str(condition), effective_from=effective_from, now=now)
        except ApiError as refusal:
            self.require(bool(taken), f"the condition was refused: {refusal} {refusal.details}\n{condition}")
            return "refused"
        if change.value.number > len(known):
            self.require(not taken, "a version that starts in the past, or when another does, was made")
            number = change.value.number
            self.require(number == len(known) + 1, f"version {number} after {len(known)}")
            if known and any(one.effective_from and start and one.effective_from > start for one in known):
                self.sometimes["a version that starts before one made earlier"] += 1
            if self.step and not known and self.told:
                self.sometimes["a new condition hears of the past"] += 1
            known.append(Version(number, condition, start))
        return str(change.kind)

    def create_customer(self, step: Step) -> str:
        if step.what[0] not in self.customers:
            self._create_customer(step.what[0], step.at)
        return ""

    def _create_customer(self, key: str, now: datetime) -> None:
        """With a contract by the week, so that another date often means another period."""
        with dying(self.crash):
            put_customer(key, CustomerFields(currency="USD"), now=now)
        self.customers.add(key)
        row = Customer.objects.get(key=key)
        card, _ = RateCard.objects.get_or_create(key="standard", defaults={"created_at": START})
        contract, _ = Contract.objects.get_or_create(
            customer=row, currency="USD", defaults={"starts_at": START - 60 * DAY, "created_at": now}
        )
        terms = self.world.terms.get(key) or Terms(windows=self.world.terms[key.removesuffix(TWIN)].windows)
        windows = {str(Condition.objects.get(slug=slug).pk): span // SECOND for slug, span in terms.windows}
        ContractVersion.objects.get_or_create(
            contract=contract, number=1,
            defaults={"effective_at": contract.starts_at, "rate_card": card, "billing_period": "weekly",
                      "settlement_grace_seconds": terms.grace // SECOND, "settlement_windows": windows,
                      "late_evidence": terms.late, "created_at": now},
        )  # fmt: skip

    def send(self, step: Step, *, imported: bool = False) -> str:
        self.unanswered.append(step.what)
        while len(self.unanswered) > 1:
            self._send(self.unanswered[0], step.at)
            self.unanswered.pop(0)
        answers = self._send(step.what, step.at, imported=imported)
        self.unanswered.pop()
        return answers

    def send_import(self, step: Step) -> str:
        return self.send(step, imported=self.import_id is not None)

    def _send(self, numbers: Sequence[int], now: datetime, *, imported: bool = False) -> str:
        """A client's request: every answer is foretold."""
        self.received += 1
        self.sending = (numbers, now, imported)
        foretold, claims, refused = self._foretell(numbers, now, imported)
        items = read_events([_encode(_body(self.world.events[number])) for number in numbers])
        with dying(self.crash):
            results = accept(items, now=now, import_id=self.import_id if imported else None)
        found = [result.code or result.status for result in results]
        self.require(found == foretold, f"answers {found}, foretold {foretold} to {numbers}")
        for number, told in claims.items():
            self._note_told(number, told, imported)
        self._sync_inbox(numbers, now, imported, refused)
        self.faults["duplicates"] += foretold.count("duplicate")
        self.faults["refused"] += len(refused)
        return ",".join(found)

    def after_send(self, step: Step) -> None:
        """The client has no answer, and sends again later. What was stored is what it would have been."""
        numbers, now, imported = self.sending
        _, claims, _ = self._foretell(numbers, now, imported)
        stored = 0
        for number, told in claims.items():
            event = self.world.events[number]
            if _one(
                "SELECT count(*) FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id "
                "WHERE c.key = %s AND e.event_id = %s", event.customer, event.id
            ):  # fmt: skip
                stored += 1
                self._note_told(number, told, imported)
        self.require(stored in (0, len(claims)), f"of {claims} only {stored} were stored")
        self._sync_inbox(numbers, now, imported, None)
        if stored:
            self.sometimes["stored, and the answer lost"] += 1

    def _foretell(
        self, numbers: Sequence[int], now: datetime, imported: bool
    ) -> tuple[list[str], dict[int, Told], list[tuple[int, str]]]:
        """What is answered to each, which become accepted, and which are refused and why."""
        answers, claims, refused = [], {}, []
        claimed = {key: told.number for key, told in self.told.items()}
        for place, number in enumerate(numbers):
            event = self.world.events[number]
            time, key = event.time or now, (event.customer, event.id)
            if event.customer not in self.customers:
                answer = "unknown_customer"
            elif time > now + MAX_AHEAD:
                answer = "in_future"
            elif time < now - MAX_AGE and not imported:
                answer = "too_old"
            elif key not in claimed:
                claimed[key], answer = number, "accepted"
                claims[number] = self._told(number, (self.received, place), time)
            else:
                answer = "duplicate" if _same(event, self.world.events[claimed[key]]) else "id_conflict"
            answers.append(answer)
            if answer not in ("accepted", "duplicate"):
                refused.append((number, answer))
            self.sometimes[f"answered {answer}"] += 1
            if time > now and answer == "accepted":
                self.sometimes["an event ahead of our clock"] += 1
            if answer == "accepted" and imported and time < now - MAX_AGE:
                self.sometimes["an event of any age within an import"] += 1
        return answers, claims, refused

    def _told(self, number: int, order: tuple[int, ...], time: datetime) -> Told:
        event = self.world.events[number]
        return Told(Fact(order, event.id, event.type, time, event.data), number, self.step)

    def _note_told(self, number: int, told: Told, imported: bool) -> None:
        event = self.world.events[number]
        self.told[event.customer, event.id] = told
        if imported:
            self.imported.add(event.customer)

    def _sync_inbox(
        self, numbers: Sequence[int], now: datetime, imported: bool, refused: list[tuple[int, str]] | None
    ) -> None:
        """What was put into the inbox: what waits there already is not kept twice."""
        rows = _rows(
            "SELECT id, customer_key, event_id, reason, body FROM outcomes_inboxitem "
            "WHERE id > %s AND event_seq IS NULL ORDER BY id", self.inbox_id
        )  # fmt: skip
        waiting = {(kept.number, kept.reason) for kept in self.kept.values()}
        fresh = []
        for item, customer, event_id, reason, body in rows:
            self.inbox_id = item
            place, number = next(
                (place, number)
                for place, number in enumerate(numbers)
                if (event := self.world.events[number]) and (event.customer, event.id) == (customer, event_id)
                and _encode(_body(event)).decode() == body
            )  # fmt: skip
            self.kept[item] = Kept(number, reason, (self.received, place), now, imported)
            fresh.append((number, reason))
        if refused is not None:
            wanted = set(refused) - waiting
            self.require(len(fresh) == len(wanted) and set(fresh) == wanted, f"kept {fresh}, to be kept {wanted}")

    def retry_inbox(self, step: Step) -> str:
        with dying(self.crash):
            tally = inbox.retry(inbox.waiting(), now=step.at)
        self._sync_retried(step, died=False)
        return ",".join(f"{name} {count}" for name, count in sorted(tally.items()))

    def _sync_retried(self, step: Step, *, died: bool = True) -> None:
        """What can be accepted now, is; with the place and the time of when it was received."""
        rows = {item: became for item, *became in _rows("SELECT id, status, reason FROM outcomes_inboxitem")}
        # Those of one import are accepted together: of two under one id, the first need not be the one received first.
        order = sorted(self.kept.items(), key=lambda entry: (rows[entry[0]][0] != "resolved", entry[1].order))
        for item, kept in order:
            status, reason = rows[item]
            event = self.world.events[kept.number]
            key, time = (event.customer, event.id), event.time or kept.received_at
            fits = (
                event.customer in self.customers
                and time <= step.at + MAX_AHEAD
                and (kept.imported or time >= kept.received_at - MAX_AGE)
            )
            if status == "resolved":
                self.require(fits, f"the inbox accepted {event}")
                if key not in self.told:
                    self._note_told(kept.number, self._told(kept.number, kept.order, time), kept.imported)
                    self.sometimes[f"accepted from the inbox: {kept.reason}"] += 1
                    if event.time is None:
                        self.sometimes["an event without time, accepted from the inbox"] += 1
                del self.kept[item]
            else:
                if not died and fits:
                    other = self.told.get(key)
                    conflicts = other is not None and not _same(event, self.world.events[other.number])
                    self.require(conflicts, f"the inbox did not accept {event}: {reason}")
                if not fits:
                    self.sometimes["a retry in vain"] += 1
                kept.reason = reason

    def open_import(self, step: Step) -> str:
        self.import_id = imports.open_import(now=step.at).id
        return ""

    def close_import(self, step: Step) -> str:
        if self.import_id is not None:
            with dying(self.crash):
                imports.close_import(self.import_id, now=step.at)
            self.import_id = None
            self.imported = set()
        return ""

    def decide(self, step: Step) -> str:
        """A person takes an outcome back, or completes what is unknown of it."""
        rows = _rows(
            "SELECT o.id, o.review FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id"
            " JOIN contracts_customer c ON c.id = s.customer_id JOIN contracts_condition k ON k.id = s.condition_id"
            " WHERE o.state IN ('provisional', 'confirmed') ORDER BY c.key, k.slug, s.key, o.ordinal"
        )
        if not rows:
            return "nothing to decide"
        outcome, review = rows[step.what[0] % len(rows)]
        figures = {name: Decimal(7) for name in ("quantity", "amount") if f"{name}_unknown" in review}
        what: dict[str, Any] = {"now": step.at, "actor": "pat", "reason": "asked for"}
        try:
            with dying(self.crash):
                if figures and step.what[0] % 3:
                    complete(outcome, **figures, **what)
                else:
                    take_back(outcome, **what)
        except NotPossible as refusal:
            self.sometimes["a decision that came too late"] += 1
            return f"refused: {refusal}"
        self.after_decide(step)
        return f"{outcome}"

    def after_decide(self, step: Step, twin: str = "") -> None:
        """What was decided is what is stored."""
        rows = _rows(
            'SELECT d.id, c.key, k.slug, s.key, d.at, met.event_id, d.quantity, d.amount FROM outcomes_decision d'
            " JOIN outcomes_subject s ON s.id = d.subject_id JOIN contracts_customer c ON c.id = s.customer_id"
            " JOIN contracts_condition k ON k.id = s.condition_id JOIN outcomes_event met ON met.seq = d.met_by_seq"
            " WHERE d.id > %s ORDER BY d.id", self.decided
        )  # fmt: skip
        for pk, customer, slug, key, at, met_by, quantity, amount in rows:
            self.require(at >= step.at, f"decided at {step.at}, and in force from {at}")
            self.decided = pk
            fact = self.told[customer.removesuffix(TWIN), met_by].fact
            figures = [None if number is None else Fraction(number) for number in (quantity, amount)]
            self.decisions.setdefault((customer, slug, key), []).append(Decision(at, pk, fact, *figures))

    def judge_late(self, step: Step) -> str:
        """A person accepts late evidence that a contract left out, or leaves it out for good."""
        rows = _rows(
            "SELECT l.id FROM outcomes_lateevidence l JOIN outcomes_subject s ON s.id = l.subject_id"
            " WHERE l.status = 'waiting' ORDER BY s.id, l.event_seq"
        )
        if not rows:
            return "nothing to judge"
        [found] = rows[step.what[0] % len(rows)]
        with dying(self.crash):
            (late.accept if step.what[0] % 2 else late.ignore)(found, now=step.at, actor="pat", note="seen")
        self.sometimes["late evidence accepted" if step.what[0] % 2 else "late evidence ignored"] += 1
        return str(found)

    # --- what workers do ---------------------------------------------------------------------------------------------

    def evaluate(self, step: Step) -> str:
        size = step.what[0]
        with dying(self.crash):
            if not size:
                return f"{evaluate_waiting(step.at)} events"
            done = evaluate_batch(step.at, size=size)
        self.sometimes["a subject replayed"] += done.replayed
        return f"{done.events} events"

    def settle(self, step: Step) -> str:
        self.waiting = dict(_rows("SELECT partition, min(time) FROM outcomes_pending GROUP BY partition"))
        if step.at - self.settled_last > DAY:
            self.faults["sweeper held back"] += 1
        self.settled_last = step.at
        with dying(self.crash):
            booked = settle_due(step.at)
        graces = _encode({key: terms.grace // SECOND for key, terms in self.world.terms.items()}).decode()
        for state, due, waits in _rows(
            "SELECT o.state, o.due_at, min(p.time) FROM outcomes_outcome o JOIN outcomes_pending p USING (partition)"
            " WHERE o.due_at <= %s GROUP BY o.id HAVING min(p.time) <= o.due_at", step.at
        ):  # fmt: skip
            self.sometimes[
                f"an event that waits holds what is {state} and due" + " at the same instant" * (due == waits)
            ] += 1
        left = _rows(_LEFT_DUE, {"now": step.at, "graces": graces})
        self.require(not left, f"the sweep left {left}")
        return ",".join(f"{state} {count}" for state, count in sorted(booked.items()))

    def paused(self) -> list[str]:
        """Customers of whom an open import has brought something."""
        return sorted(self.imported) if self.import_id is not None else []

    def audit(self, step: Step) -> str:
        self._audit(max(one.at for one in self.world.steps[: self.step]))
        return ""

    def _audit(self, now: datetime, *, warnings: bool = False) -> None:
        for result in check([*INVARIANTS, *SETTLED], Scope(now=now, sample=None)):
            found = [result.error] if result.error else list(result.findings.violation_rows)
            found += list(result.findings.warning_rows) if warnings else []
            self.require(not found, f"audit, {result.invariant.name}: {found}")

    # --- what is seen after each step --------------------------------------------------------------------------------

    def observe(self, step: Step) -> None:
        """Of what the step booked: nothing that waits is overtaken, no import, no grace is passed over."""
        rows = _rows(
            "SELECT j.id, j.outcome_id, c.key, j.from_state, j.to_state, j.cause, j.clause, e.event_id, j.effective_at,"
            " o.partition FROM outcomes_journal j JOIN outcomes_outcome o ON o.id = j.outcome_id"
            " JOIN contracts_customer c ON c.id = o.customer_id LEFT JOIN outcomes_event e ON e.seq = j.event_seq"
            " WHERE j.id > %s ORDER BY j.id", self.journal
        )  # fmt: skip
        # A person's decision lets the clock reach it first: what is taken back may be confirmed in between, for nobody.
        decided = {row[1] for row in rows if row[5] == "person"}
        for pk, outcome, customer, before, after, cause, _, event_id, at, partition in rows:
            self.journal = pk
            if customer.endswith(TWIN):
                continue
            self.sometimes[
                f"{before or 'nothing'} to {after} by {cause}" + (" (restated)" if before == after else "")
            ] += 1
            if (before, after) == ("provisional", "confirmed"):
                self.confirmed_in[outcome] = self.step
                if step.do == "settle":
                    waits = self.waiting.get(partition, at)
                    self.require(
                        at <= waits, f"{outcome} was confirmed, final at {at}, past an event of {waits} that waits"
                    )
                grace = self.world.terms[customer].grace
                self.require(
                    at + grace <= step.at or outcome in decided,
                    f"{outcome} was confirmed at {step.at}, within the grace after {at}",
                )
                self.require(
                    customer not in self.paused() or outcome in decided,
                    f"{outcome} of {customer} was confirmed while an import that touches it was open",
                )
                if step.at - at > 2 * DAY:
                    self.sometimes["confirmed days after it was due"] += 1
            if cause == "late" and event_id is not None and before == "confirmed" and after == "reversed":
                told = self.told.get((customer, event_id))
                if told is not None:
                    self.require(
                        told.step >= self.confirmed_in[outcome],
                        f"{outcome} was confirmed in step {self.confirmed_in[outcome]}, past event {event_id} that was "
                        f"accepted in step {told.step}",
                    )
        if step.do in ("evaluate", "heal"):
            queued = _rows(
                "SELECT queue->0->>1, queue->1->>1 FROM outcomes_outcome WHERE jsonb_array_length(queue) > 1"
            )
            for first, second in queued:
                self.sometimes[f"{first} and then {second} computed before either was booked"] += 1

    # --- the comparison ----------------------------------------------------------------------------------------------

    def subjects(self, left_out: set[tuple[str, str, str, str]]) -> dict[tuple[str, str, str], list[Fact]]:
        """Every subject with its facts, but for those left out: (customer, condition, key)."""
        found: dict[tuple[str, str, str], list[Fact]] = {}
        for (customer, event_id), told in self.told.items():
            for slug, versions in self.versions.items():
                key = versions[0].condition.key(told.fact.data)
                if key is None or (customer, slug, key, event_id) in left_out:
                    continue
                if any(version.condition.mentions(told.fact.type) for version in versions):
                    found.setdefault((customer, slug, key), []).append(told.fact)
        return found

    def left_out(self) -> set[tuple[str, str, str, str]]:
        """Late evidence that does not count: only where the contract says so, and only against what was confirmed."""
        rows = _rows(
            "SELECT c.key, k.slug, s.key, e.event_id, l.policy, l.status, l.outcome_id FROM outcomes_lateevidence l"
            " JOIN outcomes_subject s ON s.id = l.subject_id JOIN contracts_customer c ON c.id = s.customer_id"
            " JOIN contracts_condition k ON k.id = s.condition_id JOIN outcomes_event e ON e.seq = l.event_seq"
        )
        for customer, _, _, event_id, policy, status, outcome in rows:
            self.sometimes["late evidence left out"] += 1
            self.require(policy == self.world.terms[customer].late, f"{event_id} was left out: {policy}")
            self.require(policy == "review" or status == "ignored", f"{event_id} is {status}: {policy}")
            told = self.told[customer, event_id]
            self.require(
                told.step >= self.confirmed_in.get(outcome, self.step + 1),
                f"{event_id} was left out and is not late",
            )
        return {row[:4] for row in rows if row[5] != "accepted"}

    def expected(self, twin: str = "") -> Counter[Net]:
        """What should stand; of the twins by what was decided of them, and nothing is left out."""
        net: Counter[Net] = Counter()
        for (customer, slug, key), facts in self.subjects(set() if twin else self.left_out()).items():
            story = Story(self.versions[slug], dict(self.world.terms[customer].windows).get(slug))
            attempts = story.tell(facts, self.decisions.get((customer + twin, slug, key), ()), END)
            net.update((customer, slug, key, *_of_attempt(attempt)) for attempt in attempts)
            if not twin:
                self.sometimes += story.seen
        self.outcomes += net.total()
        return net

    def compare(self, expected: Counter[Net], twin: str = "") -> None:
        """What stands is what should. What was reversed stays, also where later evidence says it never was."""
        stored = Counter(
            (customer, event_id, kind, time, _canonical(data))
            for customer, event_id, kind, time, data in _rows(
                "SELECT c.key, e.event_id, e.type, e.time, e.data::text FROM outcomes_event e "
                "JOIN contracts_customer c ON c.id = e.customer_id WHERE (c.key LIKE %s) = %s", f"%{TWIN}", bool(twin)
            )
        )  # fmt: skip
        sent = Counter(
            (customer + twin, told.fact.id, told.fact.type, told.fact.time, _canonical(_encode(told.fact.data)))
            for (customer, _), told in self.told.items()
        )
        self.require(stored == sent, f"events stored and not sent {stored - sent}, sent and not stored {sent - stored}")
        found = _net(twin)
        unwanted = {row: n for row, n in (found - expected).items() if row[3] != "reversed"}
        missing = dict(expected - found)
        if unwanted or missing:
            raise Violation(
                f"{twin or 'booked'} differs from the model:\n"
                + "".join(f"  is      {_told(row)}\n" for row in unwanted)
                + "".join(f"  should  {_told(row)}\n" for row in missing)
            )

    def replay(self) -> None:
        """The same events in order to a twin of each customer give the same, decisions between them."""
        for key in sorted(self.customers):
            self._create_customer(key + TWIN, START)
        facts = sorted(
            ((told.fact, customer) for (customer, _), told in self.told.items()),
            key=lambda entry: (entry[0].time, entry[0].order),
        )
        decisions = sorted(
            ((decision, subject) for subject, decided in self.decisions.items() for decision in decided),
            key=lambda entry: (entry[0].at, entry[0].order),
        )
        for decision, subject in [*decisions, (None, None)]:
            now = decision.at if decision else END
            told = [entry for entry in facts if entry[0].time < now]
            facts = facts[len(told) :]
            self._tell_twins(told, now)
            if decision is not None and subject is not None:
                self._decide_of_twin(decision, subject)
        self.compare(self.expected(TWIN), TWIN)
        self.require(
            not _one("SELECT count(*) FROM outcomes_outcome o JOIN contracts_customer c ON c.id = o.customer_id "
                     "WHERE c.key LIKE %s AND o.state = 'superseded'", f"%{TWIN}"),
            "in order, and something was superseded",
        )  # fmt: skip

    def _tell_twins(self, facts: list[tuple[Fact, str]], now: datetime) -> None:
        import_id = imports.open_import(now=now).id
        bodies = [
            _encode({"id": fact.id, "type": fact.type, "customer": key + TWIN, "time": fact.time, "data": fact.data})
            for fact, key in facts
        ]
        results = accept(read_events(bodies), now=now, import_id=import_id)
        self.require({result.status for result in results} <= {"accepted"}, f"the twins: {results}")
        imports.close_import(import_id, now=now)
        evaluate_waiting(now)
        settle_due(now)

    def _decide_of_twin(self, decision: Decision, subject: tuple[str, str, str]) -> None:
        """The outcome met by the same event, where there is one now."""
        rows = _rows(
            "SELECT o.id FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id"
            " JOIN contracts_customer c ON c.id = s.customer_id JOIN contracts_condition k ON k.id = s.condition_id"
            " JOIN outcomes_event met ON met.seq = o.met_by_seq"
            " WHERE c.key = %s AND k.slug = %s AND s.key = %s AND met.event_id = %s"
            " AND o.state IN ('provisional', 'confirmed')", subject[0] + TWIN, *subject[1:], decision.met_by.id
        )  # fmt: skip
        for [outcome] in rows:
            what: dict[str, Any] = {"now": decision.at, "actor": "pat", "reason": "asked for"}
            try:
                if decision.takes_back:
                    take_back(outcome, **what)
                else:
                    figures = {"quantity": decision.quantity, "amount": decision.amount}
                    complete(outcome, **{name: n and Decimal(int(n)) for name, n in figures.items()}, **what)
            except NotPossible:
                continue
            self.sometimes["a decision of a twin"] += 1
            self.after_decide(Step("decide", decision.at))


# What a sweep at `now` must not leave behind: due, and nothing waits, pauses or is unheard that holds it.
_LEFT_DUE = """
SELECT c.key, o.id, o.state, o.due_at FROM outcomes_outcome o JOIN contracts_customer c ON c.id = o.customer_id
WHERE (o.state = 'provisional' OR o.queue IS NOT NULL)
  AND NOT EXISTS (SELECT FROM outcomes_importcustomer t JOIN outcomes_import i ON i.id = t.batch_import_id
                  WHERE t.customer_id = o.customer_id AND i.closed_at IS NULL)
  AND o.due_at + coalesce((%(graces)s::jsonb->>c.key)::int, 0) * interval '1 second' <= %(now)s
  AND NOT EXISTS (SELECT FROM outcomes_pending p WHERE p.partition = o.partition AND p.time <=
                  o.due_at + coalesce((%(graces)s::jsonb->>c.key)::int, 0) * interval '1 second')
  AND NOT EXISTS (SELECT FROM contracts_conditionversion v LEFT JOIN outcomes_backfill b ON b.version_id = v.id
                  WHERE v.condition_id = o.condition_id AND b.done_at IS NULL)
"""

Action = Callable[[Engine, Step], str | None]
ACTIONS: dict[str, Action] = {
    "send": Engine.send,
    "send_import": Engine.send_import,
    "evaluate": Engine.evaluate,
    "settle": Engine.settle,
    "retry_inbox": Engine.retry_inbox,
    "open_import": Engine.open_import,
    "close_import": Engine.close_import,
    "create_customer": Engine.create_customer,
    "make_version": Engine.make_version,
    "audit": Engine.audit,
    "decide": Engine.decide,
    "judge_late": Engine.judge_late,
}
# A person whose action died sees that and does it again; a client sends again later; a worker is started again.
AFTER_DEATH: dict[str, Callable[[Engine, Step], Any]] = {
    "send": Engine.after_send,
    "send_import": Engine.after_send,
    "retry_inbox": Engine._sync_retried,
    "close_import": Engine.close_import,
    "create_customer": lambda engine, step: engine._create_customer(step.what[0], step.at),
    "make_version": Engine.make_version,
    "decide": Engine.after_decide,
}


# --- the world around the code ----------------------------------------------------------------------------------------


@contextmanager
def _simulated(portions: tuple[int, int]) -> Iterator[None]:
    """No broker: waking is a step of the world. Batches of sizes of its own."""
    kept = intake.ring_soon, sweep.BATCH, backfill.PORTION
    intake.ring_soon = lambda: None
    sweep.BATCH, backfill.PORTION = portions
    try:
        yield
    finally:
        intake.ring_soon, sweep.BATCH, backfill.PORTION = kept


@contextmanager
def dying(crash: Crash | None) -> Iterator[None]:
    """Die at the statement or commit that ``crash`` says."""
    if crash is None:
        yield
        return
    with dying_at(crash.statement, after=crash.after):
        yield


@contextmanager
def dying_at(number: int, *, after: bool, counts: Callable[[str], bool] = lambda _: True) -> Iterator[None]:
    """Die just before, or just after, the statement or commit with that number, of those statements that ``counts``
    says of their SQL.
    """
    count = 0

    def counted(run: Callable[[], Any], what: str) -> Any:
        nonlocal count
        count += 1
        here = count == number
        if here and not after:
            raise Died(f"before {what}")
        result = run()
        if here:
            raise Died(f"after {what}")
        return result

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not counts(sql):
            return execute(sql, params, many, context)
        return counted(lambda: execute(sql, params, many, context), f"a statement: {' '.join(sql.split())[:60]}")

    commit = connection._commit

    def committed() -> None:
        try:
            counted(commit, "commit")
        except Died:
            connection.connection.close()
            connection.closed_in_transaction = True
            raise

    connection._commit = committed
    try:
        with connection.execute_wrapper(statement):
            yield
    finally:
        del connection._commit


def _next_process() -> None:
    """What the connection was in the middle of is undone, and what the process remembered is gone."""
    as_new()
    event_types.forget()
    backfill._planned.clear()


def _rows(query: str, *parameters: Any) -> list[tuple]:
    """``parameters`` in their order, or one mapping of names."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters[0] if parameters and isinstance(parameters[0], dict) else parameters or None)
        return cursor.fetchall()


def _one(query: str, *parameters: Any) -> Any:
    return _rows(query, *parameters)[0][0]


def _image() -> tuple:
    """Everything that jobs may change."""
    return tuple(
        _one(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
        for table in ("outcomes_outcome", "outcomes_journal", "outcomes_subject", "outcomes_subject_event",
                      "outcomes_pending", "outcomes_inboxitem", "outcomes_event", "outcomes_backfill")
    )  # fmt: skip


def _body(event: Event) -> dict[str, Any]:
    body = {"id": event.id, "type": event.type, "customer": event.customer, "data": event.data}
    return body | ({} if event.time is None else {"time": event.time})


def _same(event: Event, other: Event) -> bool:
    return (event.type, event.time, _canonical(_encode(event.data))) == (
        other.type, other.time, _canonical(_encode(other.data)),
    )  # fmt: skip


def _canonical(data: str | bytes) -> str:
    """JSON whose notation makes no difference: keys in order, numbers as fractions."""
    found = _decode(data)
    return repr(
        sorted((key, Fraction(value) if isinstance(value, int | Decimal) else value) for key, value in found.items())
    )


# --- what stands, in one form -----------------------------------------------------------------------------------------


def _of_attempt(attempt: Attempt) -> Net:
    """state, met by, met at, settled at, ended by, ended at, version, quantity, amount, dimensions, flags."""
    met = attempt.met_by if attempt.state != "missed" else None
    settled = attempt.state in ("confirmed", "reversed")
    return (
        attempt.state, met and met.id, met and met.time, attempt.settled_at, attempt.ended_by, attempt.ended_at,
        attempt.version.number, attempt.quantity if settled else None, attempt.amount if settled else None,
        tuple(sorted(attempt.dimensions.items())) if settled else (), tuple(sorted(attempt.review)),
    )  # fmt: skip


def _net(twin: str) -> Counter[Net]:
    """What stands of the customers, or of their twins, apart from beliefs that were withdrawn."""
    rows = _rows(
        "SELECT regexp_replace(c.key, %s, ''), k.slug, s.key, o.state, met.event_id, o.met_at, o.settled_at,"
        " ended.event_id, o.ended_at, v.number, o.quantity, o.amount, o.dimensions::text, o.review"
        " FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id"
        " JOIN contracts_customer c ON c.id = o.customer_id JOIN contracts_condition k ON k.id = o.condition_id"
        " JOIN contracts_conditionversion v ON v.id = o.version_id"
        " LEFT JOIN outcomes_event met ON met.seq = o.met_by_seq"
        " LEFT JOIN outcomes_event ended ON ended.seq = o.ended_by_seq"
        " WHERE o.state <> 'superseded' AND (c.key LIKE %s) = %s",
        f"{TWIN}$", f"%{TWIN}", bool(twin),
    )  # fmt: skip
    return Counter(
        (
            *row[:10],
            *(None if number is None else Fraction(number) for number in row[10:12]),
            tuple(sorted(msgspec.json.decode(row[12]).items())),
            tuple(sorted(row[13])),
        )
        for row in rows
    )


def _told(row: Net) -> str:
    return " ".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in row)


__all__ = ["ACTIONS", "Died", "Engine", "Violation"]
