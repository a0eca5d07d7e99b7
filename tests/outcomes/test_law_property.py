"""The law as a property: whatever the conditions and the events, the result depends on what happened.

A failing example is made small by hypothesis. LAW_EXAMPLES=2000 for a long night.
"""

import os
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conditions_dsl
from tests.conditions_dsl import strategies
from tests.outcomes import law

EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "12"))
SLUGS = ("one", "two")
WINDOWS = st.dictionaries(st.sampled_from(SLUGS), st.sampled_from([0, 3_600, 100_000, 180 * 86_400]))
# Of some customers the versions of the contract, the second from the middle of the events on.
CONTRACTS = st.dictionaries(
    st.sampled_from(("acme", "globex")),
    st.tuples(WINDOWS, WINDOWS).map(lambda pair: [(None, pair[0]), (law.START + timedelta(hours=30), pair[1])]),
)
CUSTOMERS = st.fixed_dictionaries({key: st.sampled_from([0, 0, 3600, 200_000]) for key in ("acme", "globex")})


# Made once: see `tests/conditions_dsl/strategies.py`.
ONE_OR_TWO, FORMS = st.integers(1, 2), strategies.forms()
HOUR = st.integers(0, 90).map(lambda n: law.START + timedelta(hours=n))
LIMITS = st.dictionaries(
    st.sampled_from(SLUGS),
    st.fixed_dictionaries({"acme": st.none()}, optional={"globex": st.none() | HOUR}),
    max_size=1,
)
PINS = st.dictionaries(
    st.sampled_from(["acme", "globex"]),
    st.lists(st.tuples(HOUR, st.dictionaries(st.sampled_from(SLUGS), ONE_OR_TWO)), max_size=2),
    max_size=2,
)
STEPS = st.lists(st.sampled_from([0, 0, 60, 3_600, 18_000, 86_400]), min_size=1, max_size=14)
CUSTOMER, TICKET = st.sampled_from(["acme", "acme", "globex"]), st.sampled_from("AAB")


@st.composite
def conditions(draw: Any) -> list[tuple[str, Any]]:
    """One or two conditions over the same subjects, each in up to two versions."""
    found = []
    for slug in SLUGS[: draw(ONE_OR_TWO)]:
        for start in [None, law.START + timedelta(hours=40)][: draw(ONE_OR_TWO)]:
            form = draw(FORMS) | {"outcome": slug, "per": [["ticket"]]}
            found.append((conditions_dsl.format(conditions_dsl.from_json(form)), start))
    return found


@st.composite
def own_terms(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who is limited to what, and who has which version pinned, for conditions that may have two."""
    return draw(LIMITS), draw(PINS)


@st.composite
def events(draw: Any) -> list[dict[str, Any]]:
    """Events of two customers about two tickets, ties of time among them, over some days."""
    clock, found = law.START, []
    for n, step in enumerate(draw(STEPS)):
        clock += timedelta(seconds=step)
        found.append(
            {
                "id": f"e{n}",
                "type": draw(strategies.event_types),
                "customer": draw(CUSTOMER),
                "time": clock,
                "data": draw(strategies.data_of) | {"ticket": draw(TICKET)},
            }
        )
    return found


@pytest.mark.django_db
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(conditions(), CUSTOMERS, events(), CONTRACTS, own_terms(), st.randoms(use_true_random=False))
def test_any_arrival_gives_the_in_order_outcomes(
    settings: Any,
    texts: Any,
    customers: dict[str, int],
    sent: list[dict[str, Any]],
    windows: Any,
    own: Any,
    chance: Any,
) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    versions = Counter(text.split()[1] for text, _ in texts)
    limits, pins = own
    pins = {
        key: [
            (at, {slug: n for slug, n in pinned.items() if n <= versions[slug]})
            for at, pinned in sorted(spans, key=lambda span: span[0])
        ]
        for key, spans in pins.items()
    }
    with transaction.atomic():
        law.play(law.Story(texts, customers, sent, windows, limits, pins), chance)
        transaction.set_rollback(True)
