"""Whatever ends a billing run, or the issue or voiding of invoices, at whichever statement: done once more, it comes to
what it would have come to undisturbed.

A use case that can be stopped is a row of `PLAYS`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from access.invariants import Scope, check
from contracts.models import Customer
from invoicing import billing
from invoicing.audit import INVARIANTS
from invoicing.billing import RunReport
from invoicing.issue import issue
from invoicing.models import Invoice
from invoicing.void import void
from outcomes.models import Outcome
from tests.conftest import as_new
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.deals import Deal, at, per_unit, tier
from tests.invoicing.image import Image, Kept, image
from tests.simulation.engine import Died, dying
from tests.simulation.world import Crash
from webhooks.models import Endpoint

MARCH_1, APRIL_1, APRIL_2 = at("2026-03-01"), at("2026-04-01"), at("2026-04-02")
HUGE = "huge"


# --- What is stopped --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Play:
    """``act`` is stopped anywhere and done again, after ``build`` has committed what it finds. Once it is done there is
    nothing left for it to do.
    """

    name: str
    build: Callable[[World], None]
    act: Callable[[], Any]
    grace_hours: int = 0


def two(world: World) -> None:
    """acme: usage in tiers, what came late, fees in advance, a minimum, a commitment. beta: usage. Somebody listens to
    what becomes of invoices.
    """
    Endpoint.objects.create(url="https://example.com/hook", events=["*"], created_at=BEFORE)
    tiers = [tier("2", unit_price="9.5"), tier(None, unit_price="7.25", flat_fee="10")]
    with transaction.atomic():
        acme = Deal(
            world,
            "acme",
            starts_at=at("2026-02-01"),
            prices={"ticket": {"model": "graduated", "tiers": tiers}, "call": per_unit("1.5")},
            fees=[{"name": "Platform", "amount": "7", "timing": "advance"}],
            commitments=[{"amount": "60", "payment": "arrears", "ends_at": APRIL_1}],
            minimum="100",
        )
        beta = world.customer("beta")
        world.contract(beta)
    acme.settled("ticket", 3, at("2026-02-10"))
    billing.run(now=MARCH_1)
    acme.settled("ticket", 1, at("2026-02-20"))
    acme.settled("ticket", 2, at("2026-03-10"))
    acme.settled("call", 2, at("2026-03-11"))
    world.outcomes(beta, 2, at("2026-03-12"))


def three(world: World) -> None:
    """And one who is parked: more than an invoice can hold."""
    two(world)
    huge = world.customer(HUGE)
    world.contract(huge)
    world.outcome(huge, at("2026-03-13"), quantity=Decimal(10) ** 20)


def run() -> RunReport:
    return billing.run(now=APRIL_1)


def drafted(world: World) -> None:
    """Drafts in their grace, to which more has come since."""
    two(world)
    run()
    for customer in (one.customer for one in Invoice.objects.filter(status="draft").select_related("customer")):
        world.outcome(customer, at("2026-03-20"), priority="low")


def issue_all() -> None:
    for draft in Invoice.objects.filter(status="draft").order_by("customer_id"):
        issue(draft.pk, now=APRIL_1)


def issued(world: World) -> None:
    two(world)
    run()


def void_all() -> None:
    for invoice in Invoice.objects.filter(status="issued", period_end=APRIL_1).order_by("id"):
        void(invoice.pk, now=APRIL_2)


def voided(world: World) -> None:
    issued(world)
    void_all()


def undone(world: World) -> None:
    """Of each customer an outcome that was invoiced is reversed since."""
    issued(world)
    for key in ("acme", "beta"):
        first = Outcome.objects.filter(customer__key=key, settled_at__gte=MARCH_1).earliest("settled_at", "id")
        Outcome.objects.filter(pk=first.pk).update(state="reversed")


PLAYS = [
    Play("a billing run", three, run),
    Play("a billing run that fills drafts anew and issues them", drafted, lambda: billing.run(now=APRIL_2), 24),
    Play("a billing run after everything was voided", voided, lambda: billing.run(now=APRIL_2)),
    Play("a billing run that gives back", undone, lambda: billing.run(now=APRIL_2)),
    Play("issuing drafts", drafted, issue_all, grace_hours=24),
    Play("voiding invoices", issued, void_all),
]


@pytest.fixture(params=PLAYS, ids=[play.name for play in PLAYS])
def play(request: pytest.FixtureRequest, committed_world: World, settings: Any) -> Iterator["Stage"]:
    settings.INVOICE_GRACE_HOURS = request.param.grace_hours
    request.param.build(committed_world)
    with Kept() as kept:
        yield Stage(request.param, kept)


class Stage:
    """A play before it begins, and what it comes to undisturbed."""

    def __init__(self, play: Play, kept: Kept) -> None:
        self.act, self.kept = play.act, kept
        self.start = image()
        with struck() as self.statements:
            self.act()
        self.end, self.end_but_for_numbers = image(), image(numbers=False)
        assert self.end != self.start
        sound_but_for_the_huge()
        self.act()
        assert image() == self.end, "there was something left to do"

    def again(self) -> None:
        """As if nothing had happened yet, in a new process."""
        as_new()
        self.kept.put_back()

    def writes(self) -> list[int]:
        """Numbers of the statements that write and of the commits. Just before any other nothing is different from just
        after one of these.
        """
        return [n for n, text in enumerate(self.statements, 1) if re.search(r"\b(INSERT|UPDATE|DELETE|COMMIT)\b", text)]

    def some(self) -> list[int]:
        """The commits, and every fourth of the other statements that write."""
        writes = self.writes()
        return [n for at, n in enumerate(writes) if at % 4 == 0 or self.statements[n - 1] == "COMMIT"]


def sound_but_for_the_huge() -> None:
    """The audit finds nothing but that one customer is parked."""
    huge = set(Customer.objects.filter(key=HUGE).values_list("pk", flat=True))
    for result in check(INVARIANTS, Scope(now=APRIL_1 + timedelta(hours=12), sample=None)):
        assert (result.findings.violation_rows, result.error) == ([], "")
        assert {row["customer"] for row in result.findings.warning_rows} <= huge


# --- What stops it ----------------------------------------------------------------------------------------------------


@contextmanager
def struck(number: int = 0, strike: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
    """Notes statements and commits, as `dying` counts them; just before the one with that number, ``strike`` does what
    it does.
    """
    noted: list[str] = []
    commit = connection._commit

    def note(text: str) -> None:
        noted.append(text)
        if len(noted) == number:
            strike()

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        note(sql)
        return execute(sql, params, many, context)

    def committed() -> None:
        note("COMMIT")
        commit()

    connection._commit = committed
    try:
        with connection.execute_wrapper(statement):
            yield noted
    finally:
        del connection._commit


def killed(play: Stage, numbers: Iterable[int]) -> Iterator[str]:
    """Kills it before each of these statements and commits, and after each commit; where that was, each time. Just
    after a statement is just before the next.
    """
    for number in numbers:
        for after in (False, True) if play.statements[number - 1] == "COMMIT" else (False,):
            play.again()
            with pytest.raises(Died) as died, dying(Crash(number, after)):
                play.act()
            as_new()
            yield str(died.value)


def done_or_not(play: Stage, numbers: Iterable[int]) -> None:
    """Killed, whole transactions are there, or nothing of them; then everything comes to the same, numbers included."""
    left: list[Image] = []
    for where in killed(play, numbers):
        if (found := image()) not in left:
            left.append(found)
            play.act()
            assert image() == play.end, where
            sound_but_for_the_huge()
    assert left[0] == play.start and left[-1] == play.end
    assert len(left) == 1 + play.statements.count("COMMIT")


def refused() -> None:
    raise OperationalError("struck")


def cut_off() -> None:
    """The server ends this connection, as it does where it is stopped."""
    assert connection.connection is not None
    pid = connection.connection.info.backend_pid
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def undoes_its_own_transaction_and_no_other(play: Stage, strike: Callable[[], None], numbers: Iterable[int]) -> None:
    """In a billing run the customer is parked and the run goes on. Then, done again, everything comes to the same but
    for who came first.
    """
    left: list[Image] = []
    for number in numbers:
        play.again()
        report = None
        with suppress(OperationalError, InterfaceError), struck(number, strike):
            report = play.act()
        as_new()
        if isinstance(report, RunReport):
            assert len(report.parked) <= 2, "the one that is parked anyway, and one more"
        if (found := image(numbers=False)) not in left:
            left.append(found)
            play.act()
            assert image(numbers=False) == play.end_but_for_numbers, play.statements[number - 1]
            sound_but_for_the_huge()
    assert len(left) > 1 or not isinstance(report, RunReport)


def test_wherever_it_is_stopped_it_is_done_or_not_and_done_again_comes_to_the_same(
    play: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A billing run at every statement; other plays, whose transactions are undone as a whole like its own, around
    their commits and at some of what they write.
    """
    writes, whole = play.writes(), play.act is PLAYS[0].act
    done_or_not(play, range(1, len(play.statements) + 1) if whole else play.some())
    undoes_its_own_transaction_and_no_other(play, refused, writes if whole else writes[::6])
    undoes_its_own_transaction_and_no_other(play, cut_off, writes[:: 4 if whole else -(-len(writes) // 3)])
