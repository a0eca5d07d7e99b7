"""docs/api.md is true: its examples are run, in order, against the real endpoints; its table names every code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from access.error_codes import GENERAL
from tests.access.conftest import Api

TEXT = (Path(settings.BASE_DIR) / "docs" / "api.md").read_text()
EXAMPLE = re.compile(
    r"```http\n(?P<request>.*?)```\n\n```json (?P<status>\d+)(?P<headers>[^\n]*)\n(?P<body>.*?)```", re.S
)


def matches(expected: Any, found: Any) -> bool:
    """`…` in a text stands for anything, the member "…" for further members."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return False
        open_ended = "…" in expected
        named = {name: value for name, value in expected.items() if name != "…"}
        complete = open_ended or set(named) == set(found)
        return complete and all(name in found and matches(value, found[name]) for name, value in named.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(matches, expected, found))
    if isinstance(expected, str) and "…" in expected:
        return bool(re.fullmatch(".*".join(map(re.escape, expected.split("…"))), str(found), re.S))
    return bool(expected == found)


@pytest.mark.django_db
def test_the_examples(api: Api) -> None:
    examples = list(EXAMPLE.finditer(TEXT))
    assert len(examples) == TEXT.count("```http")
    for example in examples:
        head, _, body = example["request"].partition("\n\n")
        (first, *lines) = head.strip().split("\n")
        method, path = first.split(" ")
        headers = {name.replace("-", "_"): value for name, value in (line.split(": ") for line in lines)}
        response = api(method, path, body.strip().encode() or None, **headers)
        assert response.status_code == int(example["status"]), (first, response.content)
        expected = json.loads(example["body"])
        assert matches(expected, json.loads(response.content)), (first, response.content)
        for header in filter(None, [example["headers"].strip()]):
            name, value = header.split(": ")
            assert response[name] == value


def test_the_table_of_codes() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.*) \|$", TEXT, re.M)
    assert {code: text for _, code, text in rows} == GENERAL


def test_what_is_said_of_numbers() -> None:
    from access import idempotency, keys, pagination, strictjson, times

    assert f"within {keys.CACHE_SECONDS:.0f} seconds" in TEXT
    assert f"from 1 to {pagination.MAX_LIMIT}" in TEXT
    assert (idempotency.KEPT.days, strictjson.MAX_BYTES, strictjson.MAX_DEPTH) == (1, 1 << 20, 32)
    assert f"{times.MIN_YEAR} to {times.MAX_YEAR}" in TEXT
