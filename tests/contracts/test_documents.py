from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.paths import child, item
from contracts import durations
from contracts.apply.documents import DocumentError, parse_path, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: 1.50", Decimal("1.50")),
        ("a: -0.1", Decimal("-0.1")),
        ("a: 12345678901234567890", Decimal("12345678901234567890")),
        ("a: '1'", "1"),
        ("a: !!str 1", "1"),
        ("a: 0123", "0123"),
        ("a: 1e5", "1e5"),
        ("a: 0x10", "0x10"),
        ("a: 1_000", "1_000"),
        ("a: .inf", ".inf"),
        ("a: 12:30", "12:30"),
        ("a: 2026-01-01", "2026-01-01"),
        ("a: NO", "NO"),
        ("a: yes", "yes"),
        ("a: true", True),
        ("a: ", None),
        ("a: ~", None),
        ("a: 3 - Moderate", "3 - Moderate"),
        ("a: [1, b]", [1, "b"]),
    ],
)
def test_values_mean_what_they_look_like(text: str, value: object) -> None:
    found = read_yaml(text).value["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2", 2),
        ("a: &x 1\nb: *x", 1),
        ("a: [1", 1),
        ("a:\n\t- 1", 2),
        ("? [a]\n: 1", 1),
        ("a: !thing 1", 1),
        ("a: 1\n---\nb: 1", 2),
        ("a: \x00", None),
        ("[" * 30 + "]" * 30, 1),
        ("[" * 5000, 1),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int | None) -> None:
    with pytest.raises(DocumentError) as error:
        read_yaml(text)
    assert error.value.line == line


def test_lines_of_places() -> None:
    document = read_yaml("prices:\n  - condition: a\n  - condition: b\n    match:\n      'a b': 1\n")
    assert document.line_of(parse_path('prices[1].match["a b"]')) == 5
    assert document.line_of(parse_path("prices[1].unit_price")) == 3
    assert document.line_of(parse_path("currency")) == 1


@given(st.lists(st.integers(0, 99) | st.text(min_size=1, max_size=8)))
def test_paths_are_read_as_access_writes_them(steps: list[int | str]) -> None:
    text = ""
    for step in steps:
        text = item(text, step) if isinstance(step, int) else child(text, step)
    assert parse_path(text) == tuple(steps)


@given(st.integers(0, 10**9))
def test_durations_come_back(seconds: int) -> None:
    assert durations.seconds_of(durations.text_of(seconds)) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("1 day 12 hours", 129_600), (" 5 minutes ", 300), ("0 seconds", 0)])
def test_durations(text: str, seconds: int) -> None:
    assert durations.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 months", "-1 day", "1.5 hours", "1 day,", "1day", "day", "\u0661 day"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        durations.seconds_of(text)
