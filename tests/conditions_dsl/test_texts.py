"""Reading, canonical text, plain English, JSON form, imports and explanations."""

from __future__ import annotations

import ast
import json
from decimal import Decimal
from pathlib import Path

import pytest

import conditions_dsl
from conditions_dsl import (
    ConditionError,
    Event,
    check,
    compile,
    describe,
    explain,
    format,
    from_json,
    from_witn,
    parse,
    to_json,
)
from conditions_dsl.model import Condition, EventName, EventTerm, Seen
from conditions_dsl.model import Path as DataPath
from conditions_dsl.parser import grammar
from conditions_dsl.words import KEYWORDS

HEAD = 'outcome x "X"\nper id\n'


def bill(condition):
    return parse(f"{HEAD}bill when go\nvoid when {condition}").voids[0]


def canonical(condition):
    return format(parse(f"{HEAD}bill when go\nvoid when {condition}")).split("void when ")[1].rstrip("\n")


def test_the_words_are_those_of_the_grammar():
    found = {t.pattern.value for t in grammar().terminals if t.pattern.type == "str" and t.pattern.value.isalpha()}
    assert found == KEYWORDS


def test_the_grammar_is_strict_and_lalr():
    assert grammar().options.parser == "lalr"
    assert grammar().options.strict


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("a and b and c", "a and (b and c)"),
        ("a where p is 1", "a where (p is 1)"),
        ("a", "(((a)))"),
        ('"a"', "a"),
        ("latest p of a = 5.0", "latest p of a is 5"),
        ("latest p of a != 5", "latest p of a is not 5e0"),
        ("latest `p`.q of a is 1", "latest p.q of a is 1"),
        ('latest p of a is "\\u0041"', 'latest p of a is "A"'),
        ("latest p of a is not missing", "latest p of a is present"),
        ("a # a comment\nand b # another", "a and b"),
        ("at least 2.0 a", "at least 2 a"),
        ("a within 1 day of b", "a\n\n\twithin 1 days of\u00a0b"),
    ],
)
def test_two_ways_of_writing_one_thing(written, same):
    if written != "a and b and c":
        assert bill(written) == bill(same)
    else:
        assert canonical(same) == "a and (b and c)"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("a or b and c", "a or (b and c)"),
        ("not (a or b)", "not (a or b)"),
        ("not a or b", "not a or b"),
        ("((a) and ((b)))", "a and b"),
        ("a where (p is 1)", "a where p is 1"),
        ("a where p = 1 and b", "a where p is 1 and b"),
        ("latest number of a is 1", "latest `number` of a is 1"),
        ('"first" and "ticket.closed" and "a b"', '"first" and ticket.closed and "a b"'),
        ("latest p of a is 1e3", "latest p of a is 1000"),
        ("latest p of a is 0.50", "latest p of a is 0.5"),
        ("latest p of a is -0", "latest p of a is 0"),
        ("a within 1 days 24 hour of b", "a within 1 day 24 hours of b"),
        ('latest p of a is "é\\n\\"\\\\"', 'latest p of a is "é\\n\\"\\\\"'),
        (f"latest p of a is {'9' * 38}e30", f"latest p of a is {'9' * 38}e30"),
        ("a and latest p of b is not present", "a and latest p of b is missing"),
        ("points (1.0 if a) = 1", "points (1 if a) is 1"),
        ('latest p of a not in ("x",1,true)', 'latest p of a not in ("x", 1, true)'),
        ("a where not not p is 1", "a where not not p is 1"),
        ("a where (not (p is 1 or q is 2))", "a where not (p is 1 or q is 2)"),
        ("latest a.`b c`.0 of x is 1", "latest a.`b c`.0 of x is 1"),
    ],
)
def test_canonical_text(written, printed):
    assert canonical(written) == printed
    assert canonical(printed) == printed


def test_clauses_in_any_order_have_one_canonical_text():
    clauses = [
        "per id",
        "bill when a",
        "void when b",
        "void when c",
        "credit within 1 week when d",
        "settle after 1 day of silence, at most 2 days",
        "settle early when e",
        "expire after 3 days of silence",
        "repeat when f",
        "quantity 2",
        "amount latest n of a",
        'dimension p = "x" if a else "y"',
        "dimension q = latest q of a",
    ]
    text = 'outcome x "X"\n' + "\n".join(clauses)
    turned = 'outcome x "X"\n' + "\n".join(reversed(clauses)).replace(
        "void when c\nvoid when b", "void when b\nvoid when c"
    )
    swapped = turned.replace(clauses[12] + "\n" + clauses[11], clauses[11] + "\n" + clauses[12])
    assert format(parse(swapped)) == format(parse(text))
    assert [line for line in format(parse(text)).split("\n") if line] == [text.split("\n")[0], *clauses]


def test_long_conditions_break_at_their_joints():
    text = format(
        parse(
            HEAD
            + "bill when "
            + " and ".join(f"(a{n} or b{n})" for n in range(12))
            + " and at least 1 of ("
            + ", ".join(f"c{n} where code is {n}" for n in range(8))
            + ")"
        )
    )
    assert max(len(line) for line in text.split("\n")) <= 100
    assert format(parse(text)) == text


@pytest.mark.parametrize("keyword", sorted(KEYWORDS))
def test_a_keyword_as_path_event_slug_and_dimension(keyword):
    condition = parse(
        f'outcome {keyword}\nper {keyword} or {keyword}.x\nbill when "{keyword}" and latest {keyword} of a is 1\n'
        f'void when "{keyword}" where `{keyword}` is 1\ndimension {keyword} = latest `{keyword}` of a'
    )
    assert condition.slug == keyword
    assert condition.keys[0][0] == DataPath((keyword,))
    assert parse(format(condition)) == condition
    with pytest.raises(ConditionError):
        parse(f"{HEAD}bill when {keyword}")
    with pytest.raises(ConditionError):
        parse(f"{HEAD}bill when go and {keyword.upper()}")


def test_a_name_may_be_built_by_hand_and_prints_so_that_it_reads_back():
    for name in ("when", "WHEN", "a b", "t.*", "*", "5", 'q"', "a.", "", "é"):
        term = EventTerm(EventName(name))
        condition = Condition("x", None, ((DataPath(("id",)),),), Seen(term))
        if name:
            assert parse(format(condition)) == condition
        else:
            with pytest.raises(ConditionError):
                parse(format(condition))


def test_a_condition_built_by_hand_that_is_true_of_silence_does_not_compile():
    condition = Condition("x", None, ((DataPath(("id",)),),), Seen(EventTerm(EventName("a")), no=True))
    with pytest.raises(ConditionError, match="before anything has happened"):
        compile(condition)


@pytest.mark.parametrize(
    ("slug", "title", "said"),
    [("a_b-c", None, "A b c"), ("x", "Süß", "Süß"), ("resolved_ticket", None, "Resolved ticket")],
)
def test_title(slug, title, said):
    text = f"outcome {slug} " + (json.dumps(title) if title else "") + "\nper id\nbill when a"
    assert compile(parse(text)).title == said


# ------------------------------------------------------------------------------------------------------------ English


def test_the_example_in_english():
    text = (
        'outcome resolved_ticket "Support ticket resolved"\nper ticket_id\n'
        'bill when ticket.closed where closed_by is "agent"\n'
        "and no ticket.escalated and (latest score of csat.rated is missing or latest score of csat.rated >= 4)\n"
        "void when ticket.reopened\ncredit within 30 days when ticket.reopened\nsettle after 72 hours\n"
        "dimension priority = latest priority of ticket.closed"
    )
    assert describe(parse(text)).split(". ") == [
        "“Support ticket resolved” is charged at most once for each ticket_id, when ticket.closed "
        "(where closed_by is “agent”) has happened and no ticket.escalated has happened and "
        "(either the latest score of csat.rated is not known or the latest score of csat.rated is at least 4)",
        "It is not charged after all when, before it is final, ticket.reopened has happened",
        "The charge is given back when, within 30 days after it became final, ticket.reopened has happened",
        "The charge becomes final 72 hours after this is reached",
        "Its priority is the latest priority of ticket.closed.",
    ]


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("", "The charge becomes final 72 hours after this is reached."),
        ("settle immediately", "The charge is final at once."),
        (
            "settle after 1 day of silence",
            "final when nothing more has happened for 1 day, and at the latest 180 days after this is reached.",
        ),
        ("settle at latest t of a", "The charge becomes final at the time given by the latest t of a."),
        (
            "settle 2 days after first t of a",
            "The charge becomes final 2 days after the time given by the first t of a.",
        ),
        ("settle early when b ever", "It becomes final at once when b has happened at any time."),
        (
            "expire after 1 week of silence",
            "If nothing happens for 1 week while this does not hold, nothing is charged.",
        ),
        ("repeat when b", "It can be charged again for the same id once, after it became final, b has happened."),
        ("quantity 1", "It counts 1 unit."),
        (
            "quantity number of distinct `x y` of a",
            "It counts as many units as the number of different x y values of a.",
        ),
        ("amount highest n of a.*", "Its worth, for prices in percent, is the highest n of all a.*."),
        (
            'dimension a_b = "x" if at least 2 b else "y"',
            "Its a b is “x” if b has happened at least 2 times, otherwise “y”.",
        ),
        (
            "void when exactly 1 b or b within 1 hour of c",
            "either b has happened exactly once or b came within 1 hour of c.",
        ),
        ("void when no b within 1 hour of c and b", "no b came within 1 hour of c and b has happened"),
        ("void when b after c", "the latest b came after the latest c"),
        ("void when b and no b after c", "no b came after the latest c"),
        ("void when not b and c", "it is not so that b has happened and c has happened"),
        ("void when any of (b, c)", "at least one of these holds: (b has happened; c has happened)"),
        ("void when none of (b) and c", "none of these holds"),
        ("void when points (2 if b) >= 2", "the sum of points (2 if b has happened) is at least 2"),
        ("void when at least 2 of (b, c)", "at least 2 of these holds"),
        ('void when latest p of b in ("x", 1.50, true)', "the latest p of b is “x”, 1.5 or true"),
        ('void when latest p of b not in ("x") and b', "is not “x”"),
        (
            'void when latest p of b contains "x" and latest p of b is present',
            "contains “x” and the latest p of b is known",
        ),
        (
            "void when all of (b) and number of b < 3",
            "every one of these holds: (b has happened) and the number of b is less than 3",
        ),
    ],
)
def test_english(clause, said):
    assert said in describe(parse(f"{HEAD}bill when a\n{clause}"))


# ----------------------------------------------------------------------------------------------------- JSON and imports


def test_json_form():
    form = to_json(
        parse(HEAD + 'bill when a.* where p is 0.1\nvoid when latest q of b in ("x", true)\nsettle after 72 hours')
    )
    assert form["bill_when"] == {
        "kind": "seen",
        "no": False,
        "ever": False,
        "event": {
            "name": "a.",
            "wildcard": True,
            "where": {"kind": "compare", "path": "p", "order": "is", "literal": {"number": "0.1"}},
        },
    }
    assert form["void_when"][0]["literals"] == [{"text": "x"}, {"boolean": True}]
    assert form["settle"] == {"kind": "after", "window": "72 hours", "at_most": None, "value": None}
    assert from_json(json.loads(json.dumps(form))) == from_json(form)


def test_a_form_may_leave_out_what_a_text_may():
    form = {"outcome": "x", "per": [["id"]], "bill_when": {"kind": "seen", "event": {"name": "a"}}}
    assert from_json(form) == parse("outcome x per id bill when a")
    zero = {**form, "settle": {"kind": "after", "window": "0 hours"}}
    assert from_json(zero) == parse("outcome x per id bill when a settle immediately")


def test_a_misshapen_form_is_told_its_place():
    form = {
        "outcome": "x",
        "per": [["id"]],
        "bill_when": {"kind": "and", "of": [{"kind": "seen", "event": {"name": 5}}, {}]},
    }
    with pytest.raises(
        ConditionError, match=r"`form\.bill_when\.of\[0\]\.event\.name` is missing or not of the right type"
    ):
        from_json(form)


def test_a_form_is_held_to_what_a_text_is():
    form = {"outcome": "x", "per": [["id"]], "bill_when": {"kind": "seen", "no": True, "event": {"name": "a"}}}
    with pytest.raises(ConditionError, match="before anything has happened"):
        from_json(form)


def test_import_of_all_16_operators():
    leaves = [
        {"fact": "agent_replied", "operator": "seen"},
        {"fact": "escalated", "operator": "not seen"},
        *({"fact": "x", "operator": f"count_{name}", "value": 2} for name in ("gte", "lte", "gt", "lt", "eq")),
        {"fact": "plan", "operator": "match", "value": "pro"},
        *({"fact": "csat", "operator": name, "value": 3.5} for name in ("gte", "lte", "gt", "lt")),
        *({"fact": "csat", "operator": f"not {name}", "value": 3.5} for name in ("gte", "lte", "gt", "lt")),
    ]
    assert len(leaves) == 16
    text = format(from_witn(leaves, slug="support", title="Support", per="ticket.id"))
    assert text == (
        'outcome support "Support"\nper ticket.id\n\n'
        "bill when agent_replied\n      and no escalated\n      and at least 2 x\n"
        "      and at most 2 x\n      and more than 2 x\n      and fewer than 2 x\n      and exactly 2 x\n"
        '      and latest properties.value of plan is "pro"\n      and latest properties.value of csat >= 3.5\n'
        "      and latest properties.value of csat <= 3.5\n      and latest properties.value of csat > 3.5\n"
        "      and latest properties.value of csat < 3.5\n      and not latest properties.value of csat >= 3.5\n"
        "      and not latest properties.value of csat <= 3.5\n      and not latest properties.value of csat > 3.5\n"
        "      and not latest properties.value of csat < 3.5\nsettle after 72 hours of silence\n"
    )
    assert "exclude each other" in check(parse(text))[0].message


# -------------------------------------------------------------------------------------------------------- explanations


def test_explanation():
    program = compile(
        parse(
            HEAD
            + "bill when a and no b and (latest p of c is missing or latest p of c >= 4) "
            + "and at least 1 of (a after d, e ever)\n"
        )
    )
    listed = [
        Event("e1", "d", 1, 1, {}),
        Event("e2", "a", 2, 2, {}),
        Event("e3", "c", 3, 3, {"p": Decimal("4.50")}),
        Event("late", "b", 99, 4, {}),
    ]
    tree = explain(program, reversed(listed), now=50)
    assert (tree["kind"], tree["verdict"], tree["events"]) == ("and", True, ["e2", "e3", "e1"])
    seen, absent, rated, group = tree["parts"]
    assert seen == {"text": "a", "kind": "seen", "verdict": True, "events": ["e2"], "event_count": 1}
    assert absent == {"text": "no b", "kind": "seen", "verdict": True, "events": [], "event_count": 0}
    assert rated["parts"][1] == {
        "text": "latest p of c >= 4",
        "kind": "test",
        "verdict": True,
        "value": "4.5",
        "events": ["e3"],
        "event_count": 1,
    }
    assert rated["events"] == ["e3"]
    assert (group["kind"], group["value"]) == ("at least of", "1")
    assert group["parts"][0]["events"] == ["e1", "e2"]
    tree = explain(program, listed)
    assert (tree["verdict"], tree["events"]) == (False, ["late"])


def test_explanation_of_ever_looks_at_the_history():
    program = compile(parse(HEAD + "bill when a and no b ever"))
    attempt = [Event("e2", "a", 2, 2, {})]
    history = [Event("e1", "b", 1, 1, {}), *attempt]
    assert explain(program, attempt)["verdict"] is True
    assert explain(program, attempt, history=history)["verdict"] is False
    assert explain(program, attempt, history=history)["events"] == ["e1"]


@pytest.mark.parametrize(
    ("condition", "value", "shown"),
    [
        ("latest p of a is 1", "x", '"x"'),
        ("latest p of a is 1", True, "true"),
        ("latest p of a is 1", None, "missing"),
        ("latest p of a is 1", [1, 2], "a list of 2"),
        ("latest p of a is 1", {"x": 1}, "an object"),
        ("latest p of a is 1", 2.0, "2.0"),
        ("average p of a is 1", 2, "2"),
        ("total p of a is 1", Decimal("2.50"), "2.5"),
        ("number of distinct p of a is 1", 2, "1"),
        ("highest p of a is 1", "x", "missing"),
        ("number of a is 5", 1, "1"),
    ],
)
def test_value_seen(condition, value, shown):
    program = compile(parse(f"{HEAD}bill when {condition}"))
    assert explain(program, [Event("e", "a", 0, 0, {"p": value})])["value"] == shown


def test_an_explanation_names_the_latest_50_of_many_events():
    program = compile(parse(f"{HEAD}bill when total n of a >= 10"))
    tree = explain(program, [Event(f"e{n}", "a", n, n, {"n": 1}) for n in range(500)])
    assert tree["event_count"] == 500
    assert tree["events"] == [f"e{n}" for n in range(450, 500)]
    assert tree["value"] == "500"


# ---------------------------------------------------------------------------------------------------------- the library


def test_the_library_is_pure():
    """It imports the standard library, lark, msgspec and itself, and reads no clock."""
    allowed = {
        "__future__",
        "ast",
        "collections",
        "conditions_dsl",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "lark",
        "math",
        "msgspec",
        "pathlib",
        "re",
        "typing",
    }
    for file in Path(conditions_dsl.__file__).parent.glob("*.py"):
        source = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert {name.split(".")[0] for name in names} <= allowed, (file, names)
        assert not any(word in source for word in ("now()", "time.time", "utcnow", "today()", "environ")), file
        assert source.count("\n") < 500, file
