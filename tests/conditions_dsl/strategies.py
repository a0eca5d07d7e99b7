"""Generated conditions (in JSON form) and events, small enough to collide often.

What composites draw from is made once: hypothesis would look through it anew at each draw, which is most of the cost.
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from conditions_dsl import Event

from . import naive

# Few names, some of them often: events that match two terms of one condition are where the traps are.
NAMES = ["a", "a", "a", "t.x", "t.x", "t.y", "b", "t.x.z", "job/run", "odd name", "when", "t.*"]
PATHS = ["p", "q", "deep.n", "items.0.sku", "items.1", "number", "`odd key`.v", "tags", "2fa", "0"]
NUMBERS = ["0", "5", "-5", "5.5", "0.1", "0.3", "1000000", "12345678901234567890123456789012345678", "1e30"]
TEXTS = ["", "5", "agent", "Agent", "true", "é", "\U0001f600", 'quote " and \\', "a\nb", "ag", "2020-01-02T00:00:00Z"]
ORDERS = ["is", "is not", "<", "<=", ">", ">="]
DURATIONS = ["0 seconds", "1 second", "1 minute", "1 hour 1 minute", "1 day", "2 weeks"]

paths = st.sampled_from(PATHS)
literals = st.one_of(
    st.sampled_from(TEXTS).map(lambda text: {"text": text}),
    st.sampled_from(NUMBERS).map(lambda number: {"number": number}),
    st.booleans().map(lambda boolean: {"boolean": boolean}),
)


def tests_of(subject):
    """Tests of a path or a VALUE."""
    return st.one_of(
        st.builds(
            lambda s, o, c: {"kind": "compare", **s, "order": o, "literal": c},
            subject,
            st.sampled_from(ORDERS),
            literals,
        ),
        st.builds(
            lambda s, cs, no: {"kind": "in", **s, "literals": cs, "not": no},
            subject,
            st.lists(literals, min_size=1, max_size=3),
            st.booleans(),
        ),
        st.builds(lambda s, c: {"kind": "search", **s, "how": "contains", "literal": c}, subject, literals),
        st.builds(
            lambda s, how, text: {"kind": "search", **s, "how": how, "literal": {"text": text}},
            subject,
            st.sampled_from(["starts with", "ends with"]),
            st.sampled_from(TEXTS),
        ),
        st.builds(lambda s, p: {"kind": "presence", **s, "present": p}, subject, st.booleans()),
    )


def joined(leaves, most):
    """and/or/not over the leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(
                lambda kind, of: {"kind": kind, "of": of},
                st.sampled_from(["and", "or"]),
                st.lists(inner, min_size=2, max_size=3),
            ),
            inner.map(lambda of: {"kind": "not", "of": of}),
        ),
        max_leaves=most,
    )


filters = joined(tests_of(paths.map(lambda path: {"path": path})), 3)


one_in_four = st.integers(0, 3).map(lambda number: number == 0)
prefixes, names = st.sampled_from(["t.", "t.", "job/", "t.x."]), st.sampled_from(NAMES)
wheres = st.none() | st.none() | filters


@st.composite
def event_terms(draw):
    wildcard = draw(one_in_four)
    return {"name": draw(prefixes if wildcard else names), "wildcard": wildcard, "where": draw(wheres)}


events_of = event_terms()


readings = st.sampled_from(["latest", "first", "highest", "lowest", "total", "average", "number", "distinct"])


@st.composite
def values(draw):
    reading = draw(readings)
    return {"reading": reading, "path": None if reading == "number" else draw(paths), "event": draw(events_of)}


values_of = values()
wholes = st.integers(0, 3).map(str)
flags = st.booleans()
leaves = st.one_of(
    st.builds(lambda e, no, ever: {"kind": "seen", "event": e, "no": no, "ever": ever}, events_of, flags, flags),
    st.builds(
        lambda o, n, e: {"kind": "count", "order": o, "number": n, "event": e},
        st.sampled_from(["at least", "at most", "exactly", "more than", "fewer than"]),
        wholes,
        events_of,
    ),
    st.builds(lambda e, r, no: {"kind": "after", "event": e, "reference": r, "no": no}, events_of, events_of, flags),
    st.builds(
        lambda e, d, r, no: {"kind": "within", "event": e, "duration": d, "reference": r, "no": no},
        events_of,
        st.sampled_from(DURATIONS),
        events_of,
        flags,
    ),
    tests_of(values_of.map(lambda value: {"value": value})),
    tests_of(values_of.map(lambda value: {"value": value})),
    st.builds(
        lambda e, d, no: {"kind": "within", "event": e, "duration": d, "reference": {**e, "where": None}, "no": no},
        events_of,
        st.sampled_from(DURATIONS[:4]),
        flags,
    ),
)
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda kind, of: {"kind": kind, "of": of},
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
        inner.map(lambda of: {"kind": "not", "of": of}),
        st.builds(
            lambda group, n, of: {
                "kind": "group",
                "group": group,
                "number": n if group == "at least" else None,
                "of": of,
            },
            st.sampled_from(["any", "all", "none", "at least"]),
            wholes,
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(
            lambda ws, o, n: {"kind": "points", "weights": ws, "order": o, "number": n},
            st.lists(
                st.builds(lambda p, c: {"points": p, "if": c}, st.sampled_from(["1", "2", "-1", "0.1", "0.2"]), inner),
                min_size=1,
                max_size=3,
            ),
            st.sampled_from(ORDERS),
            st.sampled_from(["0", "1", "0.3", "2"]),
        ),
    ),
    max_leaves=5,
)

settles = st.one_of(
    st.none(),
    st.just({"kind": "immediately", "window": None, "at_most": None, "value": None}),
    st.builds(lambda w: {"kind": "after", "window": w, "at_most": None, "value": None}, st.sampled_from(DURATIONS[1:])),
    st.builds(
        lambda w, m: {"kind": "silence", "window": w, "at_most": m, "value": None},
        st.sampled_from(DURATIONS[1:]),
        st.none() | st.sampled_from(DURATIONS),
    ),
    st.builds(
        lambda w, v: {"kind": "at", "window": w, "at_most": None, "value": v},
        st.none() | st.sampled_from(DURATIONS),
        values_of,
    ),
)


@st.composite
def forms(draw):
    """A whole condition in JSON form, of which `bill when` is not true of silence."""
    bill = draw(nodes)
    if naive.holds(bill, [], []):
        guard = {"kind": "seen", "event": {"name": "a", "wildcard": False, "where": None}, "no": False, "ever": False}
        bill = {"kind": "and", "of": [guard, bill]}
    return {
        "outcome": draw(slugs),
        "title": draw(titles),
        "per": draw(keys),
        "bill_when": bill,
        "void_when": draw(few),
        "credit": [{"within": draw(durations), "when": node} for node in draw(few)],
        "settle": draw(settles),
        "settle_early_when": draw(perhaps),
        "expire_after": draw(perhaps_durations),
        "quantity": draw(quantities),
        "amount": draw(amounts),
        "dimensions": [{"name": name, **draw(dimension_values)} for name in draw(dimension_names)],
        "repeat_when": draw(perhaps),
    }


slugs = st.sampled_from(["x", "resolved_ticket", "per", "a-b_9"])
titles = st.none() | st.sampled_from(["Title", 'Süß "quoted"', "\U0001f600"])
keys = st.lists(st.lists(paths, min_size=1, max_size=2), min_size=1, max_size=2)
few, perhaps = st.lists(nodes, max_size=2), st.none() | nodes
durations = st.sampled_from(DURATIONS)
perhaps_durations = st.none() | durations
quantities = st.none() | st.sampled_from(["0", "2", "2.5"]).map(lambda n: {"number": n}) | values_of
amounts = st.none() | values_of
dimension_names = st.lists(st.sampled_from(["size", "number", "x-1", "per"]), max_size=3, unique=True)
dimension_values = st.one_of(
    values_of.map(lambda value: {"value": value}),
    st.builds(
        lambda choices, otherwise: {"choices": choices, "otherwise": otherwise},
        st.lists(
            st.builds(lambda text, node: {"text": text, "if": node}, st.sampled_from(TEXTS), nodes),
            min_size=1,
            max_size=2,
        ),
        st.sampled_from(TEXTS),
    ),
)

# ------------------------------------------------------------------------------------------------------------- events

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([5, 5.0, Decimal("5.0"), Decimal("5e0"), -5, 0, 0.1, Decimal("0.3"), 5.5, 10**6, 0.3]),
    st.sampled_from([10**38 - 1, 10**38, Decimal("1e30"), Decimal("1e31"), Decimal("1e-30"), float("1e300")]),
    st.sampled_from(TEXTS),
    st.sampled_from(["2020-06-01T12:00:00Z", "2020-06-01T12:00:00.25+02:00", "2020-06-01", "2099-01-01T00:00:00Z"]),
)
anything = st.one_of(
    scalars, scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from(["n", "sku", "0"]), scalars)
)


data_keys = st.lists(st.sampled_from(["p", "q", "number", "tags", "2fa", "0", "deep", "items", "odd key"]), unique=True)
items = st.lists(st.one_of(scalars, scalars.map(lambda v: {"sku": v})), max_size=3)


@st.composite
def data(draw):
    out = {}
    for key in draw(data_keys):
        if key == "deep":
            out[key] = {"n": draw(anything)}
        elif key == "items":
            out[key] = draw(items)
        elif key == "odd key":
            out[key] = {"v": draw(anything)}
        else:
            out[key] = draw(anything)
    return out


data_of = data()
event_types = st.sampled_from([*NAMES, "t.", "job/", "other"])
steps = {most: st.lists(st.sampled_from([0, 0, 1, 60, 3_600, 86_400]), max_size=most) for most in (3, 8)}


@st.composite
def event_lists(draw, most=8):
    """Events in order of (time, seq), ties of time among them."""
    clock, out = 1_580_000_000, []
    for seq, step in enumerate(draw(steps[most])):
        clock += step
        out.append(Event(f"e{seq}", draw(event_types), clock * 1_000_000, seq, draw(data_of)))
    return out
