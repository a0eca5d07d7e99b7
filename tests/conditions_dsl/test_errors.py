"""The table of broken texts is the test: line, column, caret, words and mended text, to the letter."""

from __future__ import annotations

import re

import pytest

from conditions_dsl import ConditionError, check, parse

from . import errors_page

ENTRIES = errors_page.entries()


def test_the_table_is_large():
    assert len(ENTRIES) >= 60
    assert len({title for title, _, _ in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(("title", "text", "message"), ENTRIES, ids=[title for title, _, _ in ENTRIES])
def test_what_is_told_of_a_slip(title, text, message):
    assert errors_page.told(text) == message
    (diagnostic, *_) = check(text)
    assert diagnostic.severity == "error"
    assert message.startswith(f"line {diagnostic.line}, column {diagnostic.column}: {diagnostic.message}")
    # The caret stands under the place.
    shown, caret = message.split("\n")[2:4]
    lines = text.split("\n")
    if len(lines[diagnostic.line - 1]) <= 160:
        assert shown.strip() == lines[diagnostic.line - 1].strip()
        assert caret.index("^") - 4 == diagnostic.column - 1
    if diagnostic.fix is not None:
        mended_further(text, diagnostic)


def mended_further(text, diagnostic):
    """The mended text is accepted, or is refused only further on."""
    assert diagnostic.fix != text
    try:
        parse(diagnostic.fix)
    except ConditionError as error:
        later = error.diagnostic
        assert (later.line, later.column) > (diagnostic.line, diagnostic.column)


def test_most_slips_are_mended():
    mended = sum("\nMended:\n" in message for _, _, message in ENTRIES)
    assert mended >= len(ENTRIES) * 0.65


def test_the_page_is_up_to_date():
    assert errors_page.PAGE.read_text(encoding="utf-8") == errors_page.page(), (
        "run .venv/bin/python -m tests.conditions_dsl.errors_page"
    )


def test_several_faults_are_told_at_once():
    found = check('outcome x "X"\nper id\nbill when a*\nsettle after 200 days\nexpire after 1 month of silence')
    assert [(d.line, d.severity) for d in found] == [(3, "error"), (4, "error"), (5, "error")]


def test_tabs_keep_the_caret_in_place():
    with pytest.raises(ConditionError) as caught:
        parse('outcome x "X"\nper id\n\tbill\twhen\ta AND b')
    assert "\n    \tbill\twhen\ta AND b\n    \t    \t    \t  ^" in str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_of_every_system(newline):
    with pytest.raises(ConditionError) as caught:
        parse(newline.join(['outcome x "X"', "per id", "bill when a AND b"]))
    assert caught.value.diagnostic.line == 3
    assert caught.value.diagnostic.column == 13
    assert not re.search(r"\r", str(caught.value))


def test_a_text_of_16_kib_and_one_byte_more():
    head = 'outcome x "X"\nper id\nbill when a #'
    assert parse(head + "x" * (16 * 1024 - len(head)))
    with pytest.raises(ConditionError, match="longer than 16 KiB"):
        parse(head + "x" * (16 * 1024 - len(head) + 1))
    with pytest.raises(ConditionError, match="longer than 16 KiB"):
        parse(head + "é" * (8 * 1024 - len(head) // 2 + 1))


def bill(condition):
    return f'outcome x "X"\nper id\nbill when {condition}'


@pytest.mark.parametrize(
    ("most", "one_more"),
    [
        (bill("(" * 32 + "a" + ")" * 32), bill("(" * 33 + "a" + ")" * 33)),
        (bill("a and " + "not " * 32 + "b"), bill("a and " + "not " * 33 + "b")),
        (bill("a where " + "(" * 32 + "p is 1" + ")" * 32), bill("a where " + "(" * 33 + "p is 1" + ")" * 33)),
        (bill("a and " + "any of (" * 32 + "b" + ")" * 32), bill("a and " + "any of (" * 33 + "b" + ")" * 33)),
    ],
)
def test_nesting_to_the_limit(most, one_more):
    parse(most)
    with pytest.raises(ConditionError, match="more than 32 deep"):
        parse(one_more)


def test_nodes_to_the_limit():
    parse(bill(" or ".join(f"a{n}" for n in range(255))))  # and the `or` itself
    parse(bill(" or ".join(f"a{n} where p is {n}" for n in range(127))))
    parse(bill("a where (" + " and ".join(f"p is {n}" for n in range(254)) + ")"))
    with pytest.raises(ConditionError, match="more than 256 nodes"):
        parse(bill("a where (" + " and ".join(f"p is {n}" for n in range(255)) + ")"))
    for over in (range(256), range(257)):
        with pytest.raises(ConditionError, match="more than 256 nodes"):
            parse(bill(" or ".join(f"a{n}" for n in over)))
    with pytest.raises(ConditionError, match="more than 256 nodes"):
        parse(bill(" or ".join(f"a{n}" for n in range(1000))))


@pytest.mark.parametrize(
    "window",
    [
        "settle after {}",
        "credit within {} when b",
        "expire after {} of silence",
        "settle after {} of silence",
        "settle after 1 day of silence, at most {}",
        "settle {} after latest t of a",
    ],
)
def test_windows_to_the_limit(window):
    text = bill("a\n")
    parse(text + window.format("180 days"))
    parse(text + window.format("179 days 24 hours"))
    with pytest.raises(ConditionError, match="at most 180 days"):
        parse(text + window.format("180 days 1 second"))


def test_numbers_to_the_limit():
    for number in ("9" * 38, "1e30", "1e-30", "-" + "9" * 38, "0." + "0" * 29 + "1", "9" * 38 + "e30"):
        parse(bill(f"latest n of a is {number}"))
    for number in ("9" * 39, "1e31", "1e-31", "1e999999999", "1e-999999999", "0." + "0" * 30 + "1", "9" * 5000):
        with pytest.raises(ConditionError, match="at most 38 digits"):
            parse(bill(f"latest n of a is {number}"))
