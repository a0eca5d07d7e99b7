"""Every example of docs/language.md is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conditions_dsl import check, format, parse
from conditions_dsl.words import KEYWORDS

from . import stories

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


def examples():
    """(condition, story) of each `events` block, with the `outcome` block before it."""
    condition, found = None, []
    for kind, body in re.findall(r"```(outcome|events)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "outcome":
            condition = body if body.startswith("outcome ") else f'outcome example "Example"\nper id\n{body}'
        else:
            found.append((condition, body))
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda n: EXAMPLES[n][1].split("\n")[0][:60])
def test_example(number):
    condition, story = EXAMPLES[number]
    stories.check(condition, story)
    assert not [d for d in check(condition) if d.severity == "error"]
    assert parse(format(parse(condition))) == parse(condition)


def test_each_condition_has_a_story():
    assert len({condition for condition, _ in EXAMPLES}) == len(re.findall(r"```outcome\n", PAGE))
    assert len(EXAMPLES) >= 45


def test_each_keyword_stands_in_an_example():
    text = " ".join(re.findall(r"```outcome\n(.*?)```", PAGE, re.DOTALL))
    used = set(re.findall(r"[a-z]+", re.sub(r'"[^"]*"', "", text)))
    prose = set(re.findall(r"`([^`]+)`", PAGE))
    missing = {word for word in KEYWORDS - used if not any(re.search(rf"\b{word}\b", p) for p in prose)}
    assert missing == set()
