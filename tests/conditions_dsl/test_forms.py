"""For each form of the language: events and verdicts, the traps of the page's section 4 among them."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from conditions_dsl import Event, compile, explain, parse

HEAD = 'outcome x "X"\nper id\n'


def ev(kind, at=None, /, **data):
    return kind, at, data


def events(listed):
    """Events one second apart unless `at` (seconds) is given; order of the list is the order of acceptance."""
    out = []
    for seq, (kind, at, data) in enumerate(listed):
        seconds = seq if at is None else at
        out.append(Event(f"e{seq}", kind, int(seconds * 1_000_000), seq, {"id": "T", **data}))
    return sorted(out, key=lambda event: (event.time, event.seq))


def verdict(condition, listed):
    """The verdict of `bill when`; a `go` event comes first, so that what is true of silence can be asked too."""
    program = compile(parse(f"{HEAD}bill when go and ({condition})"))
    attempt, history = program.new("attempt"), program.new("history")
    folded = [Event("go", "go", -1, -1, {"id": "T"}), *events(listed)]
    for event in folded:
        for scope, facts in (("attempt", attempt), ("history", history)):
            program.fold(scope, facts, event)
        attempt, history = msgspec.json.decode(msgspec.json.encode([attempt, history]))
    met = program.met(attempt, history)
    assert explain(program, folded)["verdict"] is met
    return met


A, B = ev("a"), ev("b")
NUMBERS = [ev("a", n=1), ev("a", n="2"), ev("a", n=True), ev("a", n=None), ev("a"), ev("a", n=2.5), ev("a", n=[3])]

OCCURRENCE = [
    ("a", [], False),
    ("a", [A], True),
    ("a", [B], False),
    ("no a", [], True),
    ("no a", [B], True),
    ("no a", [A], False),
    ("at least 2 a", [A], False),
    ("at least 2 a", [A, A], True),
    ("at least 0 a", [], True),
    ("at most 1 a", [], True),
    ("at most 1 a", [A], True),
    ("at most 1 a", [A, A], False),
    ("exactly 1 a", [], False),
    ("exactly 1 a", [A, B], True),
    ("exactly 1 a", [A, A], False),
    ("more than 1 a", [A], False),
    ("more than 1 a", [A, A], True),
    ("fewer than 1 a", [], True),
    ("fewer than 1 a", [A], False),
    ("at least 1 a where n is 1", [ev("a", n=2)], False),
    ("at least 1 a where n is 1", [ev("a", n=1)], True),
    ("not a", [], True),
    ("not a", [A], False),
    ("not not a", [A], True),
    ("not (a or b)", [B], False),
    ("a and b", [A], False),
    ("a and b", [A, B], True),
    ("a or b", [B], True),
    ("a or b", [], False),
    ("a or b and c", [A], True),
    ("(a or b) and c", [A], False),
    ("not a and b", [B], True),
    ("not a or b", [A, B], True),
]

ORDER = [
    ("a after b", [A, B], False),
    ("a after b", [B, A], True),
    ("a after b", [A], False),
    ("a after b", [B], False),
    ("a after b", [B, A, B], False),
    ("a after b", [B, A, B, A], True),
    ("no a after b", [B, A], False),
    ("no a after b", [], True),
    ("no a after b", [A], True),
    ("no a after b", [A, B], True),
    ("no a after b", [B, A, B], True),
    # Arrival is no order: the event that happened first was accepted second.
    ("a after b", [ev("a", 9), ev("b", 5)], True),
    ("a after b", [ev("b", 9), ev("a", 5)], False),
    # Of the same instant, the order of acceptance decides.
    ("a after b", [ev("b", 5), ev("a", 5)], True),
    ("a after b", [ev("a", 5), ev("b", 5)], False),
    # An event that is both did not come after itself.
    ("a after a", [A, A], False),
    ("t.* after t.x", [ev("t.x")], False),
    ("t.* after t.x", [ev("t.x"), ev("t.y")], True),
    ("t.x after t.*", [ev("t.y"), ev("t.x")], False),
    ("a where n is 1 after a where n is 2", [ev("a", n=2), ev("a", n=1)], True),
    ("a where n is 1 after a where n is 2", [ev("a", n=1), ev("a", n=2)], False),
    ("a within 10 seconds of b", [ev("b", 0), ev("a", 10)], True),
    ("a within 10 seconds of b", [ev("b", 0), ev("a", 10.000001)], False),
    ("a within 10 seconds of b", [ev("a", 0), ev("b", 1)], False),
    ("a within 10 seconds of b", [ev("a", 1)], False),
    ("a within 10 seconds of b", [ev("b", 0), ev("b", 5), ev("a", 15)], True),
    # Only the most recent b counts, and once near is near for ever.
    ("a within 10 seconds of b", [ev("b", 0), ev("a", 5), ev("b", 6), ev("a", 99)], True),
    ("a within 0 seconds of b", [ev("b", 5), ev("a", 5)], True),
    ("a within 0 seconds of b", [ev("a", 5), ev("b", 5)], False),
    ("a within 10 seconds of a", [ev("a", 0)], False),
    ("a within 10 seconds of a", [ev("a", 0), ev("a", 9)], True),
    ("no a within 10 seconds of b", [ev("b", 0), ev("a", 5)], False),
    ("no a within 10 seconds of b", [], True),
    ("a within 1 day 1 hour of b", [ev("b", 0), ev("a", 90_000)], True),
    ("a ever", [A], True),
    ("a ever", [], False),
    ("no a ever", [], True),
    ("no a ever", [A], False),
    ("latest n of a is 2", [ev("a", 9, n=2), ev("a", 5, n=1)], True),
    ("first n of a is 1", [ev("a", 9, n=2), ev("a", 5, n=1)], True),
    ("latest n of a is 2", [ev("a", 5, n=1), ev("a", 5, n=2)], True),
    ("first n of a is 1", [ev("a", 5, n=1), ev("a", 5, n=2)], True),
]

NAMES = [
    ("ticket.closed", [ev("ticket.closed")], True),
    ("ticket.*", [ev("ticket.closed")], True),
    ("ticket.*", [ev("ticket.closed.again")], True),
    ("ticket.*", [ev("ticket")], False),
    ("ticket.*", [ev("ticket.")], False),
    ("ticket.*", [ev("ticketing.closed")], False),
    ("job/*", [ev("job/run")], True),
    ("job:*", [ev("job:run")], True),
    ('"ticket.*"', [ev("ticket.closed")], False),
    ('"ticket.*"', [ev("ticket.*")], True),
    ('"when"', [ev("when")], True),
    ('"Ticket closed!"', [ev("Ticket closed!")], True),
    ('"ticket.closed"', [ev("ticket.closed")], True),
    ("überweisung.erledigt", [ev("überweisung.erledigt")], True),
    ("a-b_c/d:e.f9", [ev("a-b_c/d:e.f9")], True),
    ("day", [ev("day")], True),
    ("Ticket.Closed", [ev("ticket.closed")], False),
]

PATHS = [
    ("a where b.c is 1", [ev("a", b={"c": 1})], True),
    ("a where b.c is 1", [ev("a", **{"b.c": 1})], False),
    ("a where `b.c` is 1", [ev("a", **{"b.c": 1})], True),
    ("a where b.c is 1", [ev("a", b=1)], False),
    ("a where b.c is missing", [ev("a", b="text")], True),
    ('a where items.0.sku is "x"', [ev("a", items=[{"sku": "x"}])], True),
    ("a where items.1 is 2", [ev("a", items=[1, 2])], True),
    ("a where items.2 is missing", [ev("a", items=[1, 2])], True),
    ("a where items.-1 is missing", [ev("a", items=[1, 2])], True),
    ("a where items.00 is missing", [ev("a", items=[1, 2])], True),
    ("a where items.0 is 1", [ev("a", items={"0": 1})], True),
    ("a where 0 is 1", [ev("a", **{"0": 1})], True),
    ("a where 2fa is true", [ev("a", **{"2fa": True})], True),
    ("a where `odd key`.x is 1", [ev("a", **{"odd key": {"x": 1}})], True),
    ("a where number is 1", [ev("a", number=1)], True),
    ("a where `not` is 1", [ev("a", **{"not": 1})], True),
    ("latest not of a is 1", [ev("a", **{"not": 1})], True),
    ("latest of of a is 1", [ev("a", of=1)], True),
    ("a where (is is 1 and of is 2)", [ev("a", **{"is": 1, "of": 2})], True),
    ("a where items.99999999999999999999 is missing", [ev("a", items=[1])], True),
]

COMPARISONS = [
    *[
        (f"latest n of a is {text}", [ev("a", n=value)], text != "6")
        for text in ("5", "5.0", "5e0", "0.5e1", "6")
        for value in (5, 5.0, Decimal("5.00"), Decimal("0.5E1"))
    ],
    ("latest n of a is 0.1", [ev("a", n=0.1)], True),
    ("latest n of a is 0.3", [ev("a", n=Decimal("0.3"))], True),
    ("total n of a is 0.3", [ev("a", n=0.1), ev("a", n=0.2)], True),
    ("latest n of a = 5", [ev("a", n=5)], True),
    ('latest n of a is "5"', [ev("a", n=5)], False),
    ("latest n of a is 5", [ev("a", n="5")], False),
    ("latest n of a is 1", [ev("a", n=True)], False),
    ("latest n of a is true", [ev("a", n=1)], False),
    ("latest n of a is true", [ev("a", n=True)], True),
    ("latest n of a is false", [ev("a", n=0)], False),
    ('latest n of a is "é"', [ev("a", n="e\u0301")], False),
    ('latest n of a is "\\u00e9"', [ev("a", n="é")], True),
    ("latest n of a is 5", [ev("a")], False),
    ("latest n of a is 5", [ev("a", n=None)], False),
    ("latest n of a is 5", [], False),
    ("latest n of a is not 5", [ev("a", n=5.0)], False),
    ("latest n of a is not 5", [ev("a", n="5")], True),
    ("latest n of a is not 5", [], True),
    ("latest n of a != 5", [ev("a", n=None)], True),
    ("latest n of a is not 5", [ev("a", n=[5])], True),
    ("latest n of a < 5", [ev("a", n=4)], True),
    ("latest n of a < 5", [ev("a", n="4")], False),
    ("latest n of a < 5", [], False),
    ("latest n of a <= 5", [ev("a", n=5.0)], True),
    ("latest n of a > 5", [ev("a", n=Decimal("5.00000000000000000001"))], True),
    ("latest n of a >= 5", [ev("a", n=None)], False),
    ("not latest n of a >= 5", [ev("a", n=None)], True),
    ("latest n of a > -1", [ev("a", n=False)], False),
    ("latest n of a < true", [ev("a", n=False)], False),
    ('latest n of a < "b"', [ev("a", n="a")], True),
    ('latest n of a < "a"', [ev("a", n="Z")], True),
    ('latest n of a > "a"', [ev("a", n=9)], False),
    ('latest n of a in ("x", 5, true)', [ev("a", n=5.0)], True),
    ('latest n of a in ("x", 5, true)', [ev("a", n=True)], True),
    ('latest n of a in ("x", 5)', [ev("a", n=True)], False),
    ("latest n of a in (1)", [ev("a", n=True)], False),
    ('latest n of a in ("x")', [], False),
    ('latest n of a not in ("x")', [], True),
    ('latest n of a not in ("x")', [ev("a", n="x")], False),
    ('latest n of a not in ("x")', [ev("a", n=["x"])], True),
    ('latest n of a contains "gen"', [ev("a", n="agent")], True),
    ('latest n of a contains "gen"', [ev("a", n=["gen"])], True),
    ('latest n of a contains "gen"', [ev("a", n=["agent"])], False),
    ('latest n of a contains ""', [ev("a", n="x")], True),
    ('latest n of a contains ""', [ev("a")], False),
    ("latest n of a contains 5", [ev("a", n=[1, 5.0])], True),
    ("latest n of a contains 5", [ev("a", n="5")], False),
    ("latest n of a contains 1", [ev("a", n=[True])], False),
    ('latest n of a contains "x"', [ev("a", n={"x": 1})], False),
    ('latest n of a starts with "ag"', [ev("a", n="agent")], True),
    ('latest n of a starts with "ag"', [ev("a", n=["agent"])], False),
    ('latest n of a ends with "NT"', [ev("a", n="agent")], False),
    ('latest n of a ends with "nt"', [ev("a", n="agent")], True),
    ('latest n of a starts with ""', [ev("a", n=5)], False),
    ("latest n of a is missing", [], True),
    ("latest n of a is missing", [ev("a", n=None)], True),
    ("latest n of a is missing", [ev("a", n=False)], False),
    ("latest n of a is present", [ev("a", n=[])], True),
    ("latest n of a is not missing", [ev("a", n=0)], True),
    ("latest n of a is not present", [ev("a", n=0)], False),
    ("latest n of a is missing", [ev("a", n=1), ev("a")], True),
    ("first n of a is missing", [ev("a"), ev("a", n=1)], True),
    ("first n of a is 1", [ev("a", n=1), ev("a", n=2)], True),
    # What is no number: 39 digits, an exponent beyond 30, not finite.
    ("latest n of a > 0", [ev("a", n=10**38)], False),
    ("latest n of a > 0", [ev("a", n=10**38 - 1)], True),
    ("latest n of a > 0", [ev("a", n=Decimal("1e31"))], False),
    ("latest n of a is 1e30", [ev("a", n=10**30)], True),
    ("latest n of a is not 5", [ev("a", n=Decimal("NaN"))], True),
    ("latest n of a > 0", [ev("a", n=float("inf"))], False),
    ("latest n of a is present", [ev("a", n=Decimal("1e1000000"))], True),
    (f"latest n of a is {'9' * 38}", [ev("a", n=int("9" * 38))], True),
    (f"latest n of a is {'9' * 38}", [ev("a", n=int("9" * 37 + "8"))], False),
]

VALUES = [
    ("total n of a is 3.5", NUMBERS, True),
    ("highest n of a is 2.5", NUMBERS, True),
    ("lowest n of a is 1", NUMBERS, True),
    ("average n of a is 1.75", NUMBERS, True),
    ("number of a is 7", NUMBERS, True),
    ("number of distinct n of a is 4", NUMBERS, True),
    ("total n of a is missing", [A], True),
    ("highest n of a is missing", [ev("a", n="9")], True),
    ("lowest n of a is missing", [], True),
    ("average n of a is missing", [ev("a", n=None)], True),
    ("number of a is missing", [], False),
    ("number of distinct n of a is missing", [], False),
    ("number of a is 0", [], True),
    ("number of distinct n of a = 0", [A], True),
    ("number of distinct n of a is 1", [ev("a", n=5), ev("a", n=5.0), ev("a", n=Decimal("5e0"))], True),
    ("number of distinct n of a is 3", [ev("a", n=1), ev("a", n="1"), ev("a", n=True), ev("a", n=1.0)], True),
    ("number of distinct n of a is 2", [ev("a", n="x" * 100), ev("a", n="x" * 101), ev("a", n="x" * 100)], True),
    # An average is compared exactly: a third is no decimal.
    ("average n of a > 0.333333333333", [ev("a", n=1), ev("a", n=0), ev("a", n=0)], True),
    ("average n of a is 0.333333333333", [ev("a", n=1), ev("a", n=0), ev("a", n=0)], False),
    ("average n of a < 0.333333333334", [ev("a", n=1), ev("a", n=0), ev("a", n=0)], True),
    ("average n of a in (1.5, 7)", [ev("a", n=1), ev("a", n=2)], True),
    ("average n of a not in (1.5)", [ev("a", n=1), ev("a", n=2)], False),
    ('average n of a is not "x"', [ev("a", n=1)], True),
    ("average n of a is not 1", [], True),
    ("total n of a is not 0", [], True),
    (f"total n of a is {'9' * 37}8", [ev("a", n=int("4" + "9" * 37)), ev("a", n=int("4" + "9" * 37))], True),
    ("total n of a > 0", [ev("a", n=Decimal("1e30")), ev("a", n=Decimal("1e-30")), ev("a", n=Decimal("-1e30"))], True),
    ("highest n of a where kind is 1 is 2", [ev("a", n=2, kind=1), ev("a", n=9, kind=2)], True),
    ('latest n of a where n is present is "x"', [ev("a", n="x"), A], True),
    ("number of a where n is present is 1", [ev("a", n="x"), A], True),
]

FILTERS = [
    ("a where not n is 1", [ev("a", n=2)], True),
    ("a where not n is 1", [ev("a", n=1)], False),
    ("a where not n is 1", [A], True),
    ("a where (n is 1 and m is 2)", [ev("a", n=1, m=2)], True),
    ("a where (n is 1 and m is 2)", [ev("a", n=1), ev("a", m=2)], False),
    ("a where n is 1 and b", [ev("a", n=1), B], True),
    ("a where n is 1 and b", [ev("a", n=1)], False),
    ("a where (n is 1 or m is 2)", [ev("a", m=2)], True),
    ("a where (n is 1 or not (m is 2 and k is 3))", [ev("a", m=2)], True),
    ("no a where n is 1", [ev("a", n=2)], True),
    ("no a where n is 1", [ev("a", n=1)], False),
    ("a where n is 1 or a where n is 2", [ev("a", n=2)], True),
    ("a where (n is 1)", [ev("a", n=1)], True),
]

GROUPS = [
    ("any of (a, b)", [B], True),
    ("any of (a, b)", [], False),
    ("all of (a, b)", [A], False),
    ("all of (a, b)", [A, B], True),
    ("none of (a, b)", [], True),
    ("none of (a, b)", [A], False),
    ("at least 2 of (a, b, c)", [A, B], True),
    ("at least 2 of (a, b, c)", [A, A], False),
    ("at least 0 of (a)", [], True),
    ("at least 3 of (a, b)", [A, B], False),
    ("any of (a)", [A], True),
    ("at least 1 of (a and b, no a)", [A, B], True),
    ("points (3 if a, 1 if b) >= 4", [A], False),
    ("points (3 if a, 1 if b) >= 4", [A, B], True),
    ("points (0.1 if a, 0.2 if b) is 0.3", [A, B], True),
    ("points (2 if a, -2 if b) = 0", [A, B], True),
    ("points (1 if a) != 1", [], True),
    ("points (1 if no a) > 0", [], True),
    ("points (2 if a) < 2", [A], False),
]


@pytest.mark.parametrize(
    ("condition", "listed", "expected"),
    OCCURRENCE + ORDER + NAMES + PATHS + COMPARISONS + VALUES + FILTERS + GROUPS,
)
def test_verdict(condition, listed, expected):
    assert verdict(condition, listed) is expected


@pytest.mark.parametrize(
    "pair",
    [
        ("latest n of a is 5", "latest n of a is not 5"),
        ("latest n of a = 5", "latest n of a != 5"),
        ('latest n of a in (5, "x")', 'latest n of a not in (5, "x")'),
        ("a after b", "no a after b"),
        ("a", "no a"),
        ("a ever", "no a ever"),
        ("latest n of a is missing", "latest n of a is not missing"),
        ("a within 1 second of b", "no a within 1 second of b"),
        ("average n of a is 5", "average n of a is not 5"),
        ("number of distinct n of a is 1", "number of distinct n of a is not 1"),
        ("any of (a, b)", "none of (a, b)"),
    ],
)
def test_exact_negations(pair):
    values = [5, 5.0, "5", "x", True, None, [5], {"x": 5}, 10**40, Decimal("NaN")]
    lists = [[], [A], [B], [A, B], [B, A], *([ev("a", n=value)] for value in values)]
    for listed in lists:
        assert verdict(pair[0], listed) is not verdict(pair[1], listed)


# ------------------------------------------------------------------------------------------------------ other clauses


def folded(clauses, listed, scope="attempt"):
    program = compile(parse(f"{HEAD}bill when a\n{clauses}"))
    facts = program.new(scope)
    for event in events(listed):
        program.fold(scope, facts, event)
    return program, msgspec.json.decode(msgspec.json.encode(facts))


@pytest.mark.parametrize(
    ("clause", "listed", "expected"),
    [
        ("", [], 1),
        ("quantity 2.50", [], Decimal("2.5")),
        ("quantity 0", [], 0),
        ("quantity latest n of a", [ev("a", n=3)], 3),
        ("quantity latest n of a", [ev("a", n=2.5)], Decimal("2.5")),
        ("quantity latest n of a", [], None),
        ("quantity latest n of a", [ev("a", n="3")], None),
        ("quantity latest n of a", [ev("a", n=-1)], None),
        ("quantity latest n of a", [ev("a", n=True)], None),
        ("quantity latest n of a", [ev("a", n=3), A], None),
        ("quantity latest n of a", [ev("a", n=10**38)], None),
        ("quantity latest n of a", [ev("a", n=0)], 0),
        ("quantity number of a", [], 0),
        ("quantity number of a", [A, A], 2),
        ("quantity total n of a", NUMBERS, Decimal("3.5")),
        ("quantity total n of a", [], None),
        ("quantity total n of a", [ev("a", n=-3), ev("a", n=1)], None),
        ("quantity average n of a", [ev("a", n=1), ev("a", n=1), ev("a", n=0)], Decimal("0.666666666667")),
        ("quantity number of distinct n of a", NUMBERS, 4),
        ("quantity number of distinct n of a", [], 0),
        ("quantity first n of a", [ev("a", n=7), A], 7),
        ("quantity first n of a", [A, ev("a", n=7)], None),
        ("quantity highest n of a", NUMBERS, Decimal("2.5")),
    ],
)
def test_quantity(clause, listed, expected):
    program, facts = folded(clause, listed)
    assert program.quantity(facts) == expected
    if clause.startswith("quantity "):
        program, facts = folded(clause.replace("quantity", "amount"), listed) if "of" in clause else (program, facts)
        assert (program.amount if program.has_amount else program.quantity)(facts) == expected


def test_no_amount():
    program, facts = folded("", [])
    assert program.amount(facts) is None
    assert not program.has_amount


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"),
        ("", ""),
        (5, "5"),
        (5.0, "5"),
        (Decimal("5.10"), "5.1"),
        (Decimal("1e3"), "1000"),
        (True, "true"),
        (False, "false"),
        (-0.0, "0"),
        (Decimal("1e-7"), "0.0000001"),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
        (10**38, None),
        ("é", "é"),
    ],
)
def test_texts_of_values_in_keys_and_dimensions(value, expected):
    program, facts = folded("dimension d = latest n of a", [ev("a", n=value)])
    assert program.dimensions(facts, []) == {"d": expected}
    assert program.subject({"id": value}) == expected


def test_graded_dimensions():
    clause = (
        'dimension grade = "A" if highest n of a > 9 else "B" if highest n of a > 5 else "C"\ndimension k = number of a'
    )
    for number, grade in ((10, "A"), (6, "B"), (1, "C")):
        program, facts = folded(clause, [ev("a", n=number)])
        assert program.dimensions(facts, []) == {"grade": grade, "k": "1"}


@pytest.mark.parametrize(
    ("per", "data", "expected"),
    [
        ("id", {}, None),
        ("id", {"id": ""}, ""),
        ("id or other", {"other": 7}, "7"),
        ("id or other", {"id": None, "other": 7}, "7"),
        ("id or other", {"id": "x", "other": 7}, "x"),
        ("order or order.id", {"order": {"id": 7}}, None),
        ("id, line", {"id": "x", "line": 1.0}, '["x", "1"]'),
        ("id, line", {"id": "x"}, None),
        ("id, line", {"id": 'é"', "line": True}, '["é\\"", "true"]'),
        ("id.0", {"id": ["x"]}, "x"),
        ("number", {"number": 5}, "5"),
        ("`number`", {"number": 5}, "5"),
        ("per", {"per": "p"}, "p"),
        ("not or x", {"x": 1}, "1"),
    ],
)
def test_subject(per, data, expected):
    assert compile(parse(f'outcome x "X"\nper {per}\nbill when a')).subject(data) == expected


def test_distinct_values_past_the_limit_are_flagged_and_never_billed():
    clause = "quantity {0}\ndimension d = {0}\nsettle early when {0} > 1000".format("number of distinct n of a")
    program, facts = folded(clause, [ev("a", n=n) for n in range(1_000)] * 2)
    assert program.quantity(facts) == 1_000
    assert program.flags(facts, []) == ()
    assert not program.early(facts, [])
    program.fold("attempt", facts, Event("e", "a", 0, 0, {"n": "one more"}))
    assert program.quantity(facts) is None
    assert program.dimensions(facts, []) == {"d": None}
    assert program.flags(facts, []) == ("distinct_overflow",)
    assert program.early(facts, [])
    assert len(msgspec.json.encode(facts)) < 100
    program.fold("attempt", facts, Event("e", "a", 0, 0, {"n": "and another"}))
    assert program.early(facts, [])


DAY = 86_400 * 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02T00:00:00Z", DAY),
        ("1970-01-02T00:00:00z", DAY),
        ("1970-01-02t00:00:00+00:00", DAY),
        ("1970-01-02 00:00:00Z", DAY),
        ("1970-01-02T02:00:00+02:00", DAY),
        ("1970-01-01T22:30:00-01:30", DAY),
        ("1970-01-02T00:00:00.5Z", DAY + 500_000),
        ("1970-01-02T00:00:00.1234567Z", DAY + 123_456),
        ("1970-01-01T23:59:60Z", DAY),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000_000),
        ("1975-01-01T00:00:00Z", 1_826 * DAY),
        ("1975-01-01T00:00:01Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("1970-01-02", None),
        ("1970-01-02T00:00:00", None),
        ("1970-02-30T00:00:00Z", None),
        ("1970-01-02T24:00:00Z", None),
        ("1970-01-02T00:00:61Z", None),
        ("1970-01-02T00:00Z", None),
        ("1970-01-02T00:00:00+0200", None),
        ("1970-01-02T00:00:00+24:00", None),
        (" 1970-01-02T00:00:00Z", None),
        ("1970-01-02T00:00:00Z\n", None),
        ("1970-1-2T00:00:00Z", None),
        ("\u0661970-01-02T00:00:00Z", None),
        (86_400, None),
        (None, None),
        (["1970-01-02T00:00:00Z"], None),
        ("1970-01-02T00:00:00." + "1" * 99 + "Z", None),
    ],
)
def test_settle_at(text, expected):
    program, facts = folded("settle at latest t of a", [ev("a", t=text)])
    assert program.settle_value(facts) == expected
    program, facts = folded("settle 2 days after latest t of a", [ev("a", t=text)])
    assert program.settle_value(facts) == (None if expected is None else expected + 2 * DAY)


def test_settle_at_reads_the_latest_or_the_first():
    listed = [ev("a", t="1970-01-02T00:00:00Z"), ev("a", t="1970-01-03T00:00:00Z")]
    assert (lambda p, f: p.settle_value(f))(*folded("settle at latest t of a", listed)) == 2 * DAY
    assert (lambda p, f: p.settle_value(f))(*folded("settle at first t of a", listed)) == DAY
    assert (lambda p, f: p.settle_value(f))(*folded("settle at latest t of a", [*listed, A])) is None
    assert (lambda p, f: p.settle_value(f))(*folded("settle at total t of a", listed)) is None
    assert (lambda p, f: p.settle_value(f))(*folded("settle after 1 day", listed)) is None


def test_five_years_from_a_29th_of_february():
    at = 68_169_600  # 1972-02-29T00:00:00Z
    for text, taken in (("1977-03-01T00:00:00Z", True), ("1977-03-01T00:00:01Z", False)):
        program, facts = folded("settle at latest t of a", [ev("a", at, t=text)])
        assert (program.settle_value(facts) is not None) is taken


@pytest.mark.parametrize(
    ("clause", "kind", "duration", "at_most"),
    [
        ("", "after", 3, 180),
        ("settle immediately", "immediately", 0, 180),
        ("settle after 0 hours", "immediately", 0, 180),
        ("settle after 0 days of silence", "immediately", 0, 180),
        ("settle after 2 days", "after", 2, 180),
        ("settle after 1 week of silence", "silence", 7, 180),
        ("settle after 1 day of silence, at most 24 hours", "silence", 1, 1),
        ("settle at latest t of a", "at", 0, 180),
        ("settle 48 hours after latest t of a", "at", 2, 180),
    ],
)
def test_settlements(clause, kind, duration, at_most):
    settle = compile(parse(f"{HEAD}bill when a\n{clause}")).settle
    assert (settle.kind, settle.duration, settle.at_most) == (kind, duration * DAY, at_most * DAY)


def test_what_a_program_tells_of_itself():
    program = compile(
        parse(
            'outcome resolved_ticket\nper id\nbill when a.* where x is 1\nvoid when "odd name"\nvoid when b ever\n'
            "credit within 3 days when c\ncredit within 1 week when d\nexpire after 1 day of silence\nrepeat when e"
        )
    )
    assert program.title == "Resolved ticket"
    assert [(n.text, n.wildcard) for n in program.names] == [
        ("a.", True),
        ("odd name", False),
        ("b", False),
        ("c", False),
        ("d", False),
        ("e", False),
    ]
    assert program.credits == (3 * DAY, 7 * DAY)
    assert program.expire == DAY
    assert (program.has_void, program.has_early, program.has_repeat, program.has_history) == (True, False, True, True)
    assert all(program.mentions(name) for name in ("a.b", "a.b.c", "odd name", "b", "c", "e"))
    assert not any(program.mentions(name) for name in ("a", "a.", "f", ""))
    assert [program.new(scope) for scope in ("attempt", "void", "after", "history")] == [
        [False],
        [False],
        [False, False, False],
        [False],
    ]
    after = program.new("after")
    program.fold("after", after, Event("1", "d", 0, 0, {}))
    assert [program.credited(index, after, [False]) for index in (0, 1)] == [False, True]
    assert not program.repeated(after, [False])
    assert program.voided([False], [True])


def test_a_scope_that_is_not_used_is_empty():
    program = compile(parse(f"{HEAD}bill when a"))
    for scope in ("void", "after", "history"):
        facts = program.new(scope)
        program.fold(scope, facts, Event("1", "a", 0, 0, {}))
        assert facts == []
    assert not program.voided([], [])
    assert not program.repeated([], [])
    assert not program.early([False], [])


def test_ever_looks_at_the_history_and_nothing_else():
    program = compile(parse(f"{HEAD}bill when a and no b ever\nvoid when c ever"))
    attempt, history = program.new("attempt"), program.new("history")
    program.fold("attempt", attempt, Event("1", "a", 0, 0, {}))
    program.fold("attempt", attempt, Event("2", "b", 0, 0, {}))
    assert program.met(attempt, history)
    program.fold("history", history, Event("2", "b", 0, 0, {}))
    assert not program.met(attempt, history)
    assert not program.voided([], history)
    program.fold("history", history, Event("3", "c", 0, 0, {}))
    assert program.voided([], history)


def test_ever_new_event_types_do_not_fill_the_memory():
    program = compile(parse(f"{HEAD}bill when a or t.*"))
    facts = program.new("attempt")
    for n in range(10_000):
        program.fold("attempt", facts, Event("1", f"t.{n}", 0, 0, {}))
    plans = program.fold.__closure__[0].cell_contents["attempt"]
    assert len(plans) <= 4_096
