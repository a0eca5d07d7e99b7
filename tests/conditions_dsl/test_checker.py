"""What the checker warns of, and what it leaves in peace."""

from __future__ import annotations

import pytest

from conditions_dsl import check, from_json, logic, parse, to_json

HEAD = 'outcome x "X"\nper id\n'

WARNED = [
    # (text, line, column, words of the message)
    ("bill when a and no a", 3, 11, "no outcome would ever be billed. `a` and `no a` exclude each other."),
    ("bill when a and b and not b", 3, 11, "`b` and `not b` exclude each other."),
    ("bill when a or (b and no b)", 3, 17, "This part can never be true. `b` and `no b` exclude each other."),
    ("bill when at least 3 a and at most 2 a", 3, 11, "exclude each other"),
    ("bill when at least 1 a and number of a is 0", 3, 11, "exclude each other"),
    ("bill when a and no a ever", 3, 11, "`a` and `no a ever` exclude each other."),
    ("bill when a after b and no b", 3, 11, "exclude each other"),
    ("bill when a after b and no a after b", 3, 11, "exclude each other"),
    ("bill when latest s of a > 3 and latest s of a < 3", 3, 11, "exclude each other"),
    ('bill when latest s of a is "x" and latest s of a is "y"', 3, 11, "exclude each other"),
    ('bill when latest s of a is "x" and latest s of a > 3', 3, 11, "exclude each other"),
    ("bill when latest s of a is 5 and latest s of a is not 5.0", 3, 11, "exclude each other"),
    ("bill when latest s of a is missing and latest s of a >= 0", 3, 11, "exclude each other"),
    ('bill when a and latest s of b in ("x", "y") and latest s of b not in ("y", "x")', 3, 11, "exclude each other"),
    ("bill when latest s of a < true", 3, 11, "no outcome would ever be billed"),
    ("bill when fewer than 0 a", 3, 11, "no outcome would ever be billed"),
    ("bill when average s of a is true", 3, 11, "no outcome would ever be billed"),
    ("bill when at least 3 of (a, b)", 3, 11, "no outcome would ever be billed"),
    ("bill when all of (a, no a)", 3, 11, "no outcome would ever be billed"),
    ("bill when points (3 if a, 1 if b) > 4", 3, 11, "no outcome would ever be billed"),
    ("bill when a where (p is 1 and p is 2)", 3, 11, "No event can pass this filter. `p is 1` and `p is 2` exclude"),
    ("bill when a where p > true", 3, 11, "No event can pass this filter."),
    ("bill when a\nvoid when b and no b", 4, 11, "This can never be true, so the clause can never matter."),
    ("bill when a\nrepeat when b and no b", 4, 13, "the clause can never matter"),
    ("bill when a\nsettle early when b and no b", 4, 19, "the clause can never matter"),
    ("bill when a\nvoid when b\ncredit within 1 day when b and no b", 5, 26, "the clause can never matter"),
    ('bill when a\ndimension d = "x" if b and no b else "y"', 4, 22, "the choice can never be taken"),
    ('bill when a\ndimension d = "x" if b or no b else "y" if b else "z"', 4, 44, "The choice before is always taken"),
    ("bill when a and b and a", 3, 23, "`a` stands here twice"),
    ("bill when a\nvoid when no b", 4, 11, "the first event after the outcome was met would void it"),
    ("bill when a\nvoid when b\ncredit within 1 day when no b", 5, 26, "would give the charge back"),
    ("bill when a\nsettle early when fewer than 2 b", 4, 19, "every outcome would settle as soon as it is met"),
    ("bill when a\nrepeat when latest p of b is missing", 4, 13, "any next event would open the subject again"),
    ("bill when a\nsettle immediately\nvoid when b", 5, 11, "its window contains no event"),
    ("bill when a\nsettle after 0 hours\nvoid when b", 5, 11, "its window contains no event"),
    ("bill when a\nsettle immediately\nsettle early when b", 5, 19, "`settle early` can never matter"),
    ("bill when a\ncredit within 1 day when b", 4, 1, "There is a `credit` and no `void when`"),
    ("bill when a\nrepeat when a", 4, 13, "only every second one would bill"),
    ("bill when a.b and c\nrepeat when at least 1 a.*", 4, 24, "only every second one would bill"),
    ("bill when a.*\nrepeat when a.b", 4, 13, "only every second one would bill"),
    ("bill when latest p of a > 1\nrepeat when b or not no a", 4, 25, "only every second one would bill"),
    ("bill when a\nsettle at total t of a", 4, 11, "a number is no time"),
    ("bill when a\nquantity 0", 4, 1, "billed with a quantity of 0"),
    ("bill when a\nsettle after 5 days of silence, at most 1 day", 4, 41, "it alone would settle the outcome"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), WARNED)
def test_warning(text, line, column, words):
    found = check(HEAD + text)
    assert [d.severity for d in found] == ["warning"]
    assert (found[0].line, found[0].column) == (line, column)
    assert words in found[0].message


@pytest.mark.parametrize(
    "text",
    [
        "bill when a and no b",
        "bill when latest s of a > 3 and latest s of a < 3.0000000001",
        "bill when a and at least 1 a",
        'bill when latest s of a >= "a" and latest s of a < "b"',
        'bill when latest s of a contains "x" and latest s of a contains "y"',
        'bill when latest s of a starts with "x" and latest s of a is not "x"',
        "bill when latest s of a is not 1 and latest s of a is not 2 and a",
        "bill when a\nrepeat when b",
        "bill when a where p is 1\nrepeat when a where p is 2",
        "bill when no a and b\nrepeat when a",
        "bill when a\nsettle immediately\ncredit within 1 day when b",
        "bill when a\nvoid when b\ncredit within 1 day when b",
        'bill when a\ndimension d = "x" if b else "y" if c else "z"',
        "bill when a and b ever",
        "bill when a after b and b after a",
        "bill when points (3 if a, 1 if b) >= 4",
        "bill when at least 2 of (a, b)",
        "bill when a.b\nrepeat when a.c",
        "bill when number of a > 1 and number of b < 1",
        "bill when (a or b) and (no a or no b)",
        "bill when a where (p is 1 or p is 2)",
    ],
)
def test_nothing_to_warn_of(text):
    assert check(HEAD + text) == []


KNOWN = ["ticket.closed", "ticket.escalated", "csat.rated"]


def test_an_event_never_seen_with_the_nearest_name():
    text = HEAD + 'bill when tickt.closed and no "ticket.esclated" and no job/* and no ticket.* and no zzz'
    found = check(text, KNOWN)
    assert [d.message for d in found] == [
        "No event `tickt.closed` has ever been seen. Is `ticket.closed` meant?",
        "No event `ticket.esclated` has ever been seen. Is `ticket.escalated` meant?",
        "No event `job/*` has ever been seen.",
        "No event `zzz` has ever been seen.",
    ]
    assert found[0].fix == text.replace("tickt.closed", "ticket.closed", 1)
    assert found[0].column == 11


def test_a_quoted_name_is_mended_whole():
    text = HEAD + 'bill when "Tickt closed"'
    (found,) = check(text, ["Ticket closed"])
    assert found.fix == HEAD + 'bill when "Ticket closed"'


def test_known_events_are_not_warned_of():
    assert (
        check(
            HEAD + "bill when ticket.closed and no ticket.esc* and latest s of csat.* > 1".replace("esc*", "escalated"),
            KNOWN,
        )
        == []
    )
    assert [d.message for d in check(HEAD + "bill when tickets.*", KNOWN)] == [
        "No event that matches `tickets.*` has ever been seen; the nearest is `ticket.closed`."
    ]


def test_a_condition_without_a_text_is_told_of_by_its_canonical_text():
    parsed = parse(HEAD + "bill when a and\n\n\n no a")
    (built,) = check(from_json(to_json(parsed)))
    assert (built.line, built.column) == (4, 11)
    (from_text,) = check(parsed)
    assert (from_text.line, from_text.column) == (3, 11)


def test_errors_come_alone():
    assert [d.severity for d in check("outcome")] == ["error"]


@pytest.mark.parametrize(
    ("condition", "never", "always"),
    [
        ("a or no a", False, True),
        ("a and no a", True, False),
        ("not (a and no a)", False, True),
        ("any of (a, no a)", False, False),
        ("none of (a and no a)", False, True),
        ("none of (b or no b, a)", True, False),
        ("at least 0 of (a)", False, True),
        ("points (1 if a) >= 0", False, True),
        ("points (1 if a) < 0", True, False),
        ("number of a >= 0", False, True),
        ("at least 0 a", False, True),
        ("latest p of a is present or latest p of a is missing", False, True),
        ("latest p of a < 3 or latest p of a >= 3", False, False),
        ("latest p of a in (1, 2) and latest p of a > 2", True, False),
        ("a or not a after b", False, True),
        ("a after b or no a after b", False, True),
        ("not not a", False, False),
    ],
)
def test_what_is_proven(condition, never, always):
    node = parse(HEAD + f"bill when go and ({condition})").bill.members[1]
    assert logic.never(node) is never
    assert logic.always(node) is always
