"""The law of simulation: computing what is in force again gives what is booked and billed, to the cent; the difference
of a question that changes nothing is zero.

Histories are those of the laws of `tests/outcomes` and `tests/invoicing`. `LAW_SEEDS=100` plays more of them.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.db import connection, transaction

from conditions_dsl import format, from_json, parse, to_json
from contracts import terms
from contracts.agreed import stored, write
from contracts.condition_text import examine
from contracts.domain.rating import DiscountInput, FeeInput
from contracts.models import Commitment, Customer, RateCard, RateCardVersion
from contracts.prices import PriceFields
from invoicing import billing
from outcomes.evaluation import evaluate_waiting
from outcomes.intake import accept
from outcomes.models import Outcome
from outcomes.wire import read_events
from settlement.sweep import settle_due
from simulation import results
from simulation.asked import Asked
from simulation.checking import check, customers_of
from simulation.engine import Difference, run
from simulation.reading import snapshot
from simulation.results import Row
from simulation.scenario import CADENCE
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.law import END, MONTHS, START, Story, billed
from tests.outcomes import factories, test_law_seeds
from tests.outcomes import law as outcomes_law

SEEDS = int(os.environ.get("LAW_SEEDS", "3"))
DAY = timedelta(days=1)


def simulate(asked: Asked, now: datetime) -> tuple[list[Row], results.Beside]:
    check(asked, now)
    with snapshot():
        found, beside = run(asked, customers_of(asked), now)
    told = results.Beside()
    told.add(found, beside)
    return list(results.rows_of(found, beside.slugs)), told


# --- Outcomes ---------------------------------------------------------------------------------------------------------


def booked(*, twins: bool) -> Counter[tuple[str, str, str]]:
    """Outcomes that stand or were given back, by customer, condition and state; beliefs that late evidence withdrew
    apart.
    """
    return Counter(
        {
            (customer, slug, state): n
            for (customer, slug, state), n in Counter(
                (row[0], row[1], row[3]) for row in outcomes_law.net(twins=twins).elements()
            ).items()
            if state in ("confirmed", "reversed")
        }
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_in_force_gives_what_is_booked(committed: None, seed: int, settings: Any) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    chance = Random(seed)
    story = story_of(seed)
    outcomes_law.play(story, chance)
    span = {"start": datetime(2025, 1, 1, tzinfo=BEFORE.tzinfo), "end": outcomes_law.END}
    span["start"] = span["end"].replace(year=span["end"].year - 10)
    rows, _ = simulate(Asked(**span), outcomes_law.END)
    computed: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        assert row.before == row.after
        if row.customer.endswith(outcomes_law.TWIN):
            computed[row.customer.removesuffix(outcomes_law.TWIN), row.condition, "confirmed"] += row.before.outcomes
            computed[row.customer.removesuffix(outcomes_law.TWIN), row.condition, "reversed"] += row.before.reversed
    assert +computed == booked(twins=True)
    here = Counter()
    for row in rows:
        if not row.customer.endswith(outcomes_law.TWIN):
            here[row.customer, row.condition] += row.before.outcomes
    there = Counter()
    for (customer, slug, state), n in booked(twins=False).items():
        there[customer, slug] += n if state == "confirmed" else 0
    assert +here == +there


def story_of(seed: int, texts: int = 1) -> outcomes_law.Story:
    """A story of the law's seeds, with at least so many texts of conditions."""
    chance = Random(seed)
    while len((found := test_law_seeds.story(chance)).conditions) < texts:
        pass
    return found


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_tried_gives_what_would_be_booked(committed: None, seed: int, settings: Any) -> None:
    """Another text for a condition's subjects, and then that text in truth, as a condition of its own."""
    settings.MAX_EVENT_AGE_DAYS = 10_000
    chance = Random(seed)
    story = story_of(seed, texts=2)
    played = replace(story, conditions=story.conditions[:1], windows={}, limits={}, pins={})
    outcomes_law.play(played, chance)
    slug = parse(played.conditions[0][0]).slug
    form = to_json(parse(story.conditions[-1][0])) | {"outcome": slug, "per": [["ticket"]]}
    end = outcomes_law.END
    span = {"start": end.replace(year=end.year - 10), "end": end}
    asked = Asked(**span, condition=examine(format(from_json(form))).reading)
    assert asked.condition is not None
    before, told = simulate(asked, end)
    factories.condition(format(from_json(form | {"outcome": "truly"})))
    evaluate_waiting(end)
    settle_due(end)
    computed = Counter({(row.customer, row.month): row.after.outcomes for row in before if row.condition == slug})
    reversed_ = Counter({(row.customer, row.month): row.after.reversed for row in before if row.condition == slug})
    truly = Outcome.objects.filter(condition__slug="truly")
    assert +computed == months(truly.filter(state="confirmed"))
    assert +reversed_ == months(truly.filter(state="reversed"))
    changes = told.differences.get(slug, Difference())  # where nothing mentions what it listens to
    gross = [
        sum(cell.outcomes + cell.reversed for cell in side) for side in zip(*(row[4:] for row in before), strict=True)
    ]
    if gross:
        gained, lost = changes.gained + changes.moved_in, changes.lost + changes.moved_out
        assert gross[1] - gross[0] == gained - lost
        assert changes.kept + changes.gained + changes.moved_in == gross[1]
    again, _ = simulate(replace(asked, condition=None), end)
    here = Counter({(row.customer, row.month): row.before.outcomes for row in again if row.condition == "truly"})
    assert here == Counter({(row.customer, row.month): row.after.outcomes for row in before if row.condition == slug})


def months(outcomes: Any) -> Counter[tuple[str, str]]:
    """By customer and the month in which the billing week begins."""
    found: Counter[tuple[str, str]] = Counter()
    agreed = terms.load(Customer.objects.values_list("id", flat=True))
    for one in outcomes.select_related("customer"):
        agreement = agreed.agreement_at(one.customer_id, one.met_at)
        start = one.settled_at if agreement is None else agreement.period_of(one.settled_at).start
        found[one.customer.key, f"{start:%Y-%m}"] += 1
    return found


# --- Money ------------------------------------------------------------------------------------------------------------

TEXT = """outcome {slug}
per ticket_id
bill when ticket.closed where kind is "{slug}"
credit within 180 days when ticket.undone
settle at latest settles of ticket.closed
quantity latest quantity of ticket.closed
amount latest amount of ticket.closed
dimension priority = latest priority of ticket.closed
"""
SLUGS = ("kind_0", "kind_1", "kind_2")


class Told(Story):
    """A story whose outcomes come of events."""

    def tell(self, month: str, now: datetime) -> None:
        made = self.settle(month)
        slugs = {pk: slug for slug, (pk, _) in self.versions.items()}
        send(
            [
                {
                    "id": f"closed-{-one.subject_id}",
                    "type": "ticket.closed",
                    "customer": self.deal.customer.key,
                    "time": one.met_at,
                    "data": {
                        "ticket_id": f"T{-one.subject_id}",
                        "kind": slugs[one.condition_id],
                        "settles": one.settled_at.isoformat(),
                        "quantity": one.quantity,
                        "amount": one.amount,
                        **one.dimensions,
                    },
                }
                for one in made
            ],
            now,
        )

    def undo(self, now: datetime) -> None:
        standing = self.deal.customer.outcomes.filter(state="confirmed").order_by("settled_at", "id")
        keys = list(standing.values_list("subject__key", flat=True))
        send(
            [
                {
                    "id": f"undone-{key}-{now:%m%d}",
                    "type": "ticket.undone",
                    "customer": self.deal.customer.key,
                    "time": now,
                    "data": {"ticket_id": key},
                }
                for key in self.chance.sample(keys, min(len(keys), self.chance.randint(1, 6)))
            ],
            now,
        )


def send(told: list[dict[str, Any]], now: datetime) -> None:
    encode = msgspec.json.Encoder(decimal_format="number").encode
    results = accept(read_events([encode(one) for one in told]), now=now) if told else []
    assert {one.status for one in results} <= {"accepted"}, results
    evaluate_waiting(now)
    settle_due(now)


def told_stories(seed: int, count: int) -> list[Told]:
    for slug in SLUGS:
        version = factories.condition(TEXT.format(slug=slug), made_at=BEFORE)
    card = RateCard.objects.create(key="standard", created_at=BEFORE)
    card_version = RateCardVersion.objects.create(rate_card=card, number=1, currency="USD", created_at=BEFORE)
    world = World(version.condition, version, card, card_version)
    # A contract version takes its prices within one transaction.
    with transaction.atomic():
        return [Told.begin(world, seed * count + number) for number in range(count)]  # type: ignore[misc]


def live(stories: Sequence[Told], settings: Any) -> datetime:
    """Four months befall them; when everything is billed."""
    settings.MAX_EVENT_AGE_DAYS = 10_000
    for month in MONTHS:
        for now in (at_day(month, 28), at_day(month, 28) + 4 * DAY):
            for story in stories:
                chance = story.chance
                story.tell(month, now)
                if chance.random() < 0.5:
                    story.undo(now)
                if chance.random() < 0.4:
                    with transaction.atomic():
                        story.amend(now)
                if chance.random() < 0.2:
                    story.void(now)
            assert billing.run(now=now).parked == ()
            for story in stories:
                story.approve(now)
    for days in (10, 20, 30):
        assert billing.run(now=END + days * DAY).parked == ()
        for story in stories:
            story.approve(END + days * DAY)
    return END + 31 * DAY


def at_day(month: str, day: int) -> datetime:
    return datetime(2026, int(month), day, tzinfo=BEFORE.tzinfo)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_in_force_gives_what_is_billed(committed: None, seed: int, settings: Any) -> None:
    stories = told_stories(seed, 4)
    now = live(stories, settings)
    rows, told = simulate(Asked(START, END), now)
    assert Outcome.objects.filter(state="confirmed").exists() and Outcome.objects.filter(state="reversed").exists()
    computed: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        assert row.before == row.after
        computed[row.customer, row.month] += row.before.amount_minor
    said = billed(stories)
    for story in stories:
        by_month = {f"{start:%Y-%m}": minor for start, minor in said[story.deal.contract.pk].items()}
        mine = {month: minor for (key, month), minor in computed.items() if key == story.deal.customer.key}
        assert {m: n for m, n in mine.items() if n} == {m: n for m, n in by_month.items() if n}, story.said
    assert told.events == counted("outcomes_event") * len(SLUGS)


OVERRIDES: list[dict[str, Any]] = [
    {"minimum": Decimal(25)},
    {"discount": DiscountInput(percent=Decimal("12.5")), "cap": Decimal(30)},
    {"prices": (PriceFields("kind_0", Decimal("0.335")), PriceFields("kind_1", Decimal(2), included=Decimal(3)))},
    {"prices": (PriceFields("kind_2", percent=Decimal("7.5"), model="percentage", minimum=Decimal(1)),)},
    {"fees": (FeeInput("Platform", "recurring", Decimal(7), timing="advance", counts=True),)},
    {"prices": (PriceFields("kind_0", Decimal(2), pool="free"), PriceFields("kind_1", Decimal(1), pool="free")),
     "pools": {"free": Decimal(9)}},
    {"trial": True},
    {"billing_period": "weekly", "anchor_day": 3},
    {"billing_period": "quarterly", "minimum": Decimal(40)},
    {"anchor_day": 17, "time_zone": "Asia/Tokyo"},
]  # fmt: skip


@pytest.mark.parametrize("given", OVERRIDES, ids=str)
def test_terms_that_are_tried_give_what_they_would_bill(committed: None, given: dict[str, Any], settings: Any) -> None:
    """Terms tried, and then agreed from the contract's start on, in truth: the same, by what is computed and billed."""
    stories = told_stories(7, 3)
    settings.MAX_EVENT_AGE_DAYS = 10_000
    for month in MONTHS:
        now = at_day(month, 28)
        for story in stories:
            story.tell(month, now)
            story.undo(now)
    now = END + 40 * DAY
    if set(CADENCE) & given.keys():
        # Beside commitments no other periods can be tried.
        bound = set(Commitment.objects.values_list("contract_version__contract__customer", flat=True))
        stories = [story for story in stories if story.deal.customer.pk not in bound]
        assert stories
    customers = tuple(story.deal.customer.key for story in stories)
    if "cap" in given or "minimum" in given:
        given = {"minimum": None, "cap": None, **given}
    tried, _ = simulate(Asked(START, END, contract=given, customers=customers), now)
    for story in stories:
        [version] = story.deal.contract.versions.all()
        with transaction.atomic():
            write(story.deal.contract, 2, START, replace(stored(version), commitments=(), **given), BEFORE)
    truly, _ = simulate(Asked(START, END, customers=customers), now)
    assert money_of(tried, "after") == money_of(truly, "before")
    assert money_of(tried, "after") != money_of(tried, "before")
    assert billing.run(now=now).parked == ()
    said = billed(stories)
    mine = money_of(tried, "after")
    for story in stories:
        billed_of: Counter[str] = Counter()
        for start, minor in said[story.deal.contract.pk].items():
            billed_of[f"{start.astimezone(ZoneInfo(given.get('time_zone', 'UTC'))):%Y-%m}"] += minor
        for month, minor in billed_of.items():
            assert mine.get((story.deal.customer.key, month), 0) == minor, month


def money_of(rows: Sequence[Row], side: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        found[row.customer, row.month] += getattr(row, side).amount_minor
    return {place: minor for place, minor in found.items() if minor}


def counted(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])
