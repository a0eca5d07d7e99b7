"""Worlds that failed once, made small, as `run.artefact` prints them; and the names that they are written in."""

import datetime
from decimal import Decimal

from .language import (
    After,
    AtLeast,
    Compare,
    Condition,
    Count,
    Dimension,
    Has,
    Not,
    Pattern,
    Points,
    Present,
    Settle,
    Value,
    Within,
)
from .world import Crash, Edition, Event, Step, Terms, World

__all__ = [
    "WORLDS", "After", "AtLeast", "Compare", "Condition", "Count", "Crash", "Decimal", "Dimension", "Edition", "Event",
    "Has", "Not", "Pattern", "Points", "Present", "Settle", "Step", "Terms", "Value", "Within", "World", "datetime",
]  # fmt: skip

WORLDS: dict[str, World] = {
    "a version that was made later and starts earlier": World(
        seed=6,
        initial=1,
        editions=(
            Edition(
                condition=Condition(
                    slug="one",
                    bill=AtLeast(
                        number=1,
                        nodes=(Has(pattern=Pattern(name="closed")), Has(pattern=Pattern(name="paid"))),
                    ),
                ),
                effective_from=datetime.datetime(2026, 1, 7, 0, 0, tzinfo=datetime.UTC),
            ),
            Edition(
                condition=Condition(
                    slug="one",
                    bill=AtLeast(
                        number=2,
                        nodes=(
                            Points(
                                weights=(
                                    (2, Has(pattern=Pattern(name="closed"))),
                                    (1, Has(pattern=Pattern(name="paid"))),
                                    (-2, Has(pattern=Pattern(name="escalated"))),
                                ),
                                needed=2,
                            ),
                            Compare(
                                value=Value(reading="average", path="units", pattern=Pattern(name="closed")),
                                relation="<=",
                                wanted=Decimal("1.5"),
                            ),
                        ),
                    ),
                ),
                effective_from=datetime.datetime(2026, 1, 10, 11, 0, tzinfo=datetime.UTC),
            ),
            Edition(
                condition=Condition(
                    slug="one",
                    bill=AtLeast(
                        number=2,
                        nodes=(
                            Compare(
                                value=Value(reading="total", path="units", pattern=Pattern(name="closed")),
                                relation=">",
                                wanted=2,
                            ),
                            Within(
                                pattern=Pattern(name="reopened"),
                                span=datetime.timedelta(seconds=10800),
                                reference=Pattern(name="closed"),
                                no=True,
                            ),
                        ),
                    ),
                ),
                effective_from=datetime.datetime(2026, 1, 10, 13, 0, tzinfo=datetime.UTC),
            ),
        ),
        terms={"acme": Terms()},
        events=(
            Event(
                customer="acme",
                id="19",
                type="closed",
                time=datetime.datetime(2026, 1, 15, 1, 30, 0, 1, tzinfo=datetime.UTC),
                data={"ticket": "B", "priority": "P", "units": 1},
            ),
        ),
        steps=(
            Step(
                do="make_version",
                at=datetime.datetime(2026, 1, 10, 8, 0, tzinfo=datetime.UTC),
                what=(2,),
            ),
            Step(
                do="make_version",
                at=datetime.datetime(2026, 1, 10, 10, 0, tzinfo=datetime.UTC),
                what=(1,),
            ),
            Step(
                do="send_import",
                at=datetime.datetime(2026, 1, 15, 1, 25, tzinfo=datetime.UTC),
                what=(0,),
            ),
        ),
        portions=(10000, 5),
    ),
}
