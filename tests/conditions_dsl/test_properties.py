"""Properties of generated conditions and events: the library against an evaluator that shares no code with it."""

from __future__ import annotations

import json
import os
from fractions import Fraction

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conditions_dsl import compile, describe, explain, format, from_json, from_witn, parse, to_json
from conditions_dsl.errors import ConditionError
from conditions_dsl.witn import OPERATORS

from . import naive, strategies

SCOPES = ("attempt", "void", "after", "history")
# DSL_EXAMPLES=20000 for a long night.
EXAMPLES = int(os.environ.get("DSL_EXAMPLES", "80"))


def many(share=1.0):
    return settings(
        max_examples=max(10, int(EXAMPLES * share)),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def fraction(number):
    return None if number is None else Fraction(number)


@many()
@given(strategies.forms())
def test_text_and_form_round_trips(form):
    condition = from_json(form)
    text = format(condition)
    assert parse(text) == condition
    assert format(parse(text)) == text
    assert to_json(condition) == json.loads(json.dumps(to_json(condition)))
    assert from_json(to_json(condition)) == condition
    assert describe(condition) == describe(parse(text))


@many(1.5)
@given(strategies.forms(), strategies.event_lists(), strategies.event_lists(most=3), st.data())
def test_fold_is_the_naive_evaluation_at_every_event(form, events, earlier, data):
    program = compile(from_json(form))
    history_events = [event._replace(time=event.time - 10**15) for event in earlier]
    facts = {scope: program.new(scope) for scope in SCOPES}
    for event in history_events:
        program.fold("history", facts["history"], event)
    resumed_at = data.draw(st.integers(0, len(events)))
    for n in range(len(events) + 1):
        if n:
            for scope in SCOPES:
                program.fold(scope, facts[scope], events[n - 1])
        if n == resumed_at:
            facts = msgspec.json.decode(msgspec.json.encode(facts))
        agree(program, form, facts, events[:n], history_events + events[:n])


def agree(program, form, facts, events, history):
    attempt, void, after, ever = (facts[scope] for scope in SCOPES)

    def verdict(node):
        return naive.holds(node, events, history)

    met = program.met(attempt, ever)
    assert met is verdict(form["bill_when"])
    assert program.voided(void, ever) is any(verdict(node) for node in form["void_when"])
    for index, credit in enumerate(form["credit"]):
        assert program.credited(index, after, ever) is verdict(credit["when"])
    assert program.repeated(after, ever) is (form["repeat_when"] is not None and verdict(form["repeat_when"]))
    early = form["settle_early_when"]
    assert program.early(attempt, ever) is (early is not None and verdict(early))
    if form["settle"] and form["settle"]["kind"] == "at":
        assert program.settle_value(attempt) == naive.settles(form["settle"], events)
    quantity = form["quantity"]
    if quantity is None or "number" in quantity:
        assert program.quantity(attempt) == Fraction(quantity["number"] if quantity else 1)
    else:
        assert fraction(program.quantity(attempt)) == naive.billable(quantity, events)
    if form["amount"]:
        assert fraction(program.amount(attempt)) == naive.billable(form["amount"], events)
    assert program.dimensions(attempt, ever) == {
        d["name"]: naive.dimension(d, events, history) for d in form["dimensions"]
    }
    for event in events:
        assert program.subject(event.data) == naive.subject(form, event.data)
        assert program.mentions(event.type) is any(naive.is_named(x, event.type) for x in naive.mentioned(form))
    if not program.has_history:
        tree = explain(program, reversed(events))
        assert tree["verdict"] is met
        json.dumps(tree)


@many(0.3)
@given(strategies.forms(), strategies.event_lists())
def test_facts_stay_small_and_plain(form, events):
    program = compile(from_json(form))
    for scope in SCOPES:
        facts = program.new(scope)
        size = len(facts)
        for event in events:
            program.fold(scope, facts, event)
        assert len(facts) == size
        assert msgspec.json.decode(msgspec.json.encode(facts)) == facts
        assert program.new(scope) == compile(from_json(form)).new(scope)


# --------------------------------------------------------------------------------------------------------------- witn


def flat(leaves, events):
    """A flat list's verdict, straight from its definition."""
    for leaf in leaves:
        matching = [event for event in events if event.type == leaf["fact"]]
        operator, wanted = leaf["operator"], leaf.get("value")
        properties = matching[-1].data.get("properties") if matching else None
        value = properties.get("value") if isinstance(properties, dict) else None
        number = naive.exact(value)
        plain = operator.removeprefix("not ")
        if plain == "seen":
            holds = bool(matching)
        elif plain.startswith("count_"):
            count = len(matching)
            holds = {
                "gte": count >= wanted,
                "lte": count <= wanted,
                "gt": count > wanted,
                "lt": count < wanted,
                "eq": count == wanted,
            }[plain.removeprefix("count_")]
        elif plain == "match":
            kinds = (naive.kind_of(naive.MISSING if value is None else value), naive.kind_of(wanted))
            holds = kinds[0] == kinds[1]
        else:
            limit = naive.exact(wanted)
            holds = (
                number is not None
                and {
                    "gte": number >= limit,
                    "lte": number <= limit,
                    "gt": number > limit,
                    "lt": number < limit,
                }[plain]
            )
        if holds is operator.startswith("not "):
            return False
    return True


@st.composite
def leaf_lists(draw):
    leaves = []
    for operator in draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=4)):
        leaf = {"fact": draw(st.sampled_from(["a", "b", "odd name"])), "operator": operator}
        if operator.startswith("count_"):
            leaf["value"] = draw(st.integers(0, 3))
        elif operator == "match":
            leaf["value"] = draw(st.sampled_from([5, 5.0, "agent", True, 0.1]))
        elif "seen" not in operator:
            leaf["value"] = draw(st.sampled_from([5, 5.5, 0.1, -5]))
        leaves.append(leaf)
    return leaves


@many()
@given(leaf_lists(), strategies.event_lists(), st.lists(strategies.anything, min_size=8, max_size=8))
def test_an_import_gives_the_verdicts_of_its_flat_list(leaves, events, found):
    events = [
        event._replace(data={"properties": {"value": value}}) for event, value in zip(events, found, strict=False)
    ]
    try:
        program = compile(from_witn(leaves))
    except ConditionError as refused:
        assert "before anything has happened" in str(refused)
        assert flat(leaves, [])
        return
    assert not flat(leaves, [])
    facts = program.new("attempt")
    for n, event in enumerate(events, 1):
        program.fold("attempt", facts, event)
        assert program.met(facts, []) is flat(leaves, events[:n])
