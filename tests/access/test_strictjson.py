"""The structural checks of bodies, without HTTP: codes, paths, and that hostile bodies cost nothing."""

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.strictjson import Limits, StrictJSONError, check_depth, loads


def code_of(body: bytes, **options: object) -> tuple[str, str]:
    with pytest.raises(StrictJSONError) as caught:
        loads(body, **options)  # type: ignore[arg-type]
    return caught.value.code, caught.value.path


HOSTILE = [
    # F-24: depth
    (b"[" * 33 + b"]" * 33, "too_deep", ""),
    (b"[" * 5_000 + b"]" * 5_000, "too_deep", ""),
    (b"[" * 500_000, "too_deep", ""),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep", ""),
    (b'[{"a":' * 20 + b"1" + b"}]" * 20, "too_deep", ""),
    (b'["\\\\",' + b"[" * 33 + b"]" * 33 + b"]", "too_deep", ""),
    # F-25: text
    (b'{"a":"x\\u0000y"}', "nul_character", "a"),
    (b'{"x\\u0000y":1}', "nul_character", ""),
    (b'{"a":["x","\\ud800"]}', "lone_surrogate", "a[1]"),
    (b'{"a":"\\udc00\\ud800"}', "lone_surrogate", "a"),
    (b'{"\\udfff":1}', "lone_surrogate", ""),
    (b'{"a":"\xff"}', "invalid_utf8", ""),
    (b'{"a":"\xed\xa0\x80"}', "invalid_utf8", ""),
    (b'{"a":"\xc0\x80"}', "invalid_utf8", ""),
    (b'\xef\xbb\xbf{"a":1}', "byte_order_mark", ""),
    ('{"a":1}'.encode("utf-16"), "byte_order_mark", ""),
    ('{"a":1}'.encode("utf-16-le"), "malformed_json", ""),
    (b'{"a":"\n"}', "malformed_json", ""),
    (b'{"a":"\x00"}', "malformed_json", ""),
    # F-26: numbers
    (b'{"a":NaN}', "not_a_number", "a"),
    (b'{"a":[1,Infinity]}', "not_a_number", "a[1]"),
    (b'{"a":-Infinity}', "not_a_number", "a"),
    (b'{"a":1e400}', "number_out_of_range", "a"),
    (b'{"a":1e1000000}', "number_out_of_range", "a"),
    (b'{"a":1e-1000000}', "number_out_of_range", "a"),
    (b'{"a":1e99999999999999999999}', "number_out_of_range", "a"),
    (b'{"a":0e99999999999999999999}', "number_out_of_range", "a"),
    (b'{"a":1e16}', "number_out_of_range", "a"),
    (b'{"a":0.0000000000001}', "number_out_of_range", "a"),
    (b'{"a":' + b"9" * 29 + b"}", "number_too_long", "a"),
    (b'{"a":' + b"9" * 5_000 + b"}", "number_too_long", "a"),
    (b'{"a":' + b"9" * 500_000 + b"}", "number_too_long", "a"),
    (b'{"a":-0}', "negative_zero", "a"),
    (b'{"a":-0.00}', "negative_zero", "a"),
    (b'{"a":1_000}', "malformed_json", ""),
    ('{"a":١٢}'.encode(), "malformed_json", ""),
    (b'{"a":01}', "malformed_json", ""),
    (b'{"a":+1}', "malformed_json", ""),
    (b'{"a":.5}', "malformed_json", ""),
    (b'{"a":0x10}', "malformed_json", ""),
    # F-27: duplicates
    (b'{"amount":1,"amount":2}', "duplicate_key", "amount"),
    (b'{"a":{"b":[{"c":1,"d":2,"c":3}]}}', "duplicate_key", "a.b[0].c"),
    (b'{"a":1,"\\u0061":2}', "duplicate_key", "a"),
    (b'{"a\\u0000":1,"a\\u0000":2}', "nul_character", ""),
    # F-28: sizes
    (json.dumps({f"k{n}": 1 for n in range(257)}).encode(), "too_many_keys", ""),
    (json.dumps({"a": [1] * 1001}).encode(), "too_many_items", "a"),
    (json.dumps({"a": "x" * 8193}).encode(), "string_too_long", "a"),
    (json.dumps({"k" * 129: 1}).encode(), "key_too_long", ""),
    # syntax
    (b"", "empty_body", ""),
    (b"  \n", "empty_body", ""),
    (b"{", "malformed_json", ""),
    (b'{"a":1}}', "malformed_json", ""),
    (b'{"a":1} {"b":2}', "malformed_json", ""),
    (b"{'a':1}", "malformed_json", ""),
    (b'{"a":1,}', "malformed_json", ""),
    (b'// hello\n{"a":1}', "malformed_json", ""),
    (b'"' + b"\\" * 99_999, "malformed_json", ""),
    (b"]" * 99_999, "malformed_json", ""),
]


@pytest.mark.parametrize(("body", "code", "path"), HOSTILE)
def test_hostile(body: bytes, code: str, path: str) -> None:
    started = time.perf_counter()
    assert code_of(body) == (code, path)
    assert time.perf_counter() - started < 1


def test_limits_are_met_exactly() -> None:
    assert loads(b"[" * 32 + b"]" * 32)
    assert loads(json.dumps({f"k{n}": 1 for n in range(256)}).encode())
    assert loads(json.dumps({"a": [1] * 1000, "b": "x" * 8192, "k" * 128: 1}).encode())
    assert loads(b"9" * 28) == int("9" * 28)
    assert loads(b"1e15") == Decimal("1e15")
    assert loads(b"0.000000000001") == Decimal("1e-12")
    assert loads(b" " * (1024 * 1024 - 1) + b"1") == 1
    assert code_of(b" " * (1024 * 1024) + b"1") == ("body_too_large", "")


def test_limits_can_be_lifted_for_one_endpoint() -> None:
    body = json.dumps({"a": [1] * 2000, "b": "x" * 9000}).encode()
    limits = Limits(items=None, string_length=None)
    assert loads(body, limits=limits) == json.loads(body)


def test_numbers_are_exact() -> None:
    value = loads(b'{"a":0.1,"b":1.0,"c":10,"d":1E2,"e":-5.50,"f":0,"g":0.0}')
    assert {name: str(number) for name, number in value.items()} == {
        "a": "0.1",
        "b": "1.0",
        "c": "10",
        "d": "1E+2",
        "e": "-5.50",
        "f": "0",
        "g": "0.0",
    }
    assert not any(isinstance(number, float) for number in value.values())


def test_harmless_text_is_kept_verbatim() -> None:
    # F-25 control characters and bidi controls, F-29 names that mean something elsewhere
    text = "\u202e\x01\u2028é\U0001f600" + "e\u0301"
    data = {"__class__": text, "__proto__": {"tenant_id": 1}, "constructor": None}
    assert loads(json.dumps(data).encode()) == data
    assert loads(json.dumps(data, ensure_ascii=False).replace("\x01", "\\u0001").encode()) == data


def test_brackets_in_strings_are_no_depth() -> None:
    tricky = ["[" * 50, "{" * 50, '"' + "[" * 50, "\\", '\\"' + "{" * 50, "]" * 50]
    assert loads(json.dumps(tricky).encode()) == tricky


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(alphabet='[]{}"\\ab', max_size=8),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(alphabet='[]{}"\\ab', max_size=4), children, max_size=4)
    ),
    max_leaves=30,
)


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(json_values)
def test_depth_without_decoding_is_the_depth_after(value: object) -> None:
    body = json.dumps(value).encode()
    check_depth(body, depth(value))
    assert loads(body) == value
    if depth(value):
        with pytest.raises(StrictJSONError):
            check_depth(body, depth(value) - 1)


@given(st.binary(max_size=60) | st.text(alphabet='[]{}":,\\u0dn1 ', max_size=60).map(str.encode))
def test_no_bytes_crash_it(body: bytes) -> None:
    try:
        loads(body)
    except StrictJSONError as error:
        assert error.code
        assert error.message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000 + b"]" * 4_000_000,
        b"[" * 32 + b"[]," * 2_600_000,
        b'{"events":[' + b'{"data":{"a":"b\\\\"}},' * 350_000 + b"]}",
        b'"\\' * 4_000_000,
        b'["["],' * 1_100_000,
    ],
)
def test_depth_of_eight_megabytes_is_told_quickly(body: bytes) -> None:
    started = time.perf_counter()
    try:
        check_depth(body, 32)
    except StrictJSONError as error:
        assert error.code == "too_deep"
    assert time.perf_counter() - started < 3
