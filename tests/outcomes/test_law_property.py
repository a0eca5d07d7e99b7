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


@st.composite
def conditions(draw: Any) -> list[tuple[str, Any]]:
    """One or two conditions over the same subjects, each in up to two versions."""
    found = []
    for slug in SLUGS[: draw(st.integers(1, 2))]:
        for start in [None, law.START + timedelta(hours=40)][: draw(st.integers(1, 2))]:
            form = draw(strategies.forms()) | {"outcome": slug, "per": [["ticket"]]}
            found.append((conditions_dsl.format(conditions_dsl.from_json(form)), start))
    return found


@st.composite
def own_terms(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who is limited to what, and who has which version pinned, for conditions that may have two."""
    hour = st.integers(0, 90).map(lambda n: law.START + timedelta(hours=n))
    limit = st.fixed_dictionaries({"acme": st.none()}, optional={"globex": st.none() | hour})
    pins = st.lists(st.tuples(hour, st.dictionaries(st.sampled_from(SLUGS), st.integers(1, 2))), max_size=2)
    limits = draw(st.dictionaries(st.sampled_from(SLUGS), limit, max_size=1))
    return limits, draw(st.dictionaries(st.sampled_from(["acme", "globex"]), pins, max_size=2))


@st.composite
def events(draw: Any) -> list[dict[str, Any]]:
    """Events of two customers about two tickets, ties of time among them, over some days."""
    clock, found = law.START, []
    for n, step in enumerate(
        draw(st.lists(st.sampled_from([0, 0, 60, 3_600, 18_000, 86_400]), min_size=1, max_size=14))
    ):
        clock += timedelta(seconds=step)
        found.append(
            {
                "id": f"e{n}",
                "type": draw(st.sampled_from([*strategies.NAMES, "t.", "job/", "other"])),
                "customer": draw(st.sampled_from(["acme", "acme", "globex"])),
                "time": clock,
                "data": draw(strategies.data()) | {"ticket": draw(st.sampled_from("AAB"))},
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
