"""Fields and serializers: what is taken, what is refused under which code, and where."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from access.errors import flatten
from access.fields import DecimalStringField, Rfc3339Field
from access.renderers import dumps
from access.times import format_rfc3339, parse_rfc3339
from tests.access.endpoints import OrderSerializer


def problems(**data: Any) -> list[tuple[str, str]]:
    serializer = OrderSerializer(data={"name": "n", **data})
    serializer.is_valid()
    return [(detail.path, detail.code) for detail in flatten(serializer.errors)]


# --- Decimals ---------------------------------------------------------------------------------------------------------

DECIMALS = [
    ("12.50", "12.50"),
    ("0", "0"),
    ("-3.1", "-3.1"),
    ("0.000000000001", "0.000000000001"),
    ("9" * 28, "9" * 28),
    (12, "12"),
    (Decimal("1.10"), "1.10"),
    (Decimal("1E+2"), "100"),
]


@pytest.mark.parametrize(("given_", "rendered"), DECIMALS)
def test_decimals_are_exact(given_: Any, rendered: str) -> None:
    field = DecimalStringField()
    value = field.to_internal_value(given_)
    assert isinstance(value, Decimal)
    assert field.to_representation(value) == rendered


NO_DECIMALS = [
    ("1_000", "invalid"),
    ("١٢", "invalid"),
    ("１２", "invalid"),
    ("1e5", "invalid"),
    ("1e1000000", "invalid"),
    ("NaN", "invalid"),
    ("sNaN", "invalid"),
    ("Infinity", "invalid"),
    ("-inf", "invalid"),
    ("", "invalid"),
    (" 1", "invalid"),
    ("1\n", "invalid"),
    ("+1", "invalid"),
    (".5", "invalid"),
    ("5.", "invalid"),
    ("01", "invalid"),
    ("0x1", "invalid"),
    ("1,5", "invalid"),
    ("9" * 5000, "invalid"),
    (True, "invalid"),
    ([1], "invalid"),
    ({}, "invalid"),
    (0.1, "float"),
    ("-0", "negative_zero"),
    ("-0.00", "negative_zero"),
    ("9" * 29, "max_digits"),
    (Decimal("1e28"), "max_digits"),
    (Decimal("NaN"), "invalid"),
    (Decimal("Infinity"), "invalid"),
    ("0.0000000000001", "max_decimal_places"),
]


@pytest.mark.parametrize(("given_", "code"), NO_DECIMALS)
def test_what_merely_looks_like_a_decimal(given_: Any, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DecimalStringField().to_internal_value(given_)
    assert [detail.code for detail in flatten(caught.value.detail)] == [code]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15))
def test_decimals_survive_the_way_through(number: Decimal) -> None:
    field = DecimalStringField()
    if number.is_zero():
        number = abs(number)
    assert field.to_internal_value(field.to_representation(number)) == number


# --- Times ------------------------------------------------------------------------------------------------------------

TIMES = [
    ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
    ("2026-03-01t10:00:00z", "2026-03-01T10:00:00Z"),
    ("2026-03-01T10:00:00.5Z", "2026-03-01T10:00:00.500000Z"),
    ("2026-03-01T10:00:00.123456Z", "2026-03-01T10:00:00.123456Z"),
    ("2026-03-01T10:00:00.123456000Z", "2026-03-01T10:00:00.123456Z"),
    ("2026-03-01T10:00:00.000Z", "2026-03-01T10:00:00Z"),
    ("2026-03-01T00:30:00+14:00", "2026-02-28T10:30:00Z"),
    ("2026-03-01T10:00:00-00:00", "2026-03-01T10:00:00Z"),
    ("2024-02-29T23:59:59-05:30", "2024-03-01T05:29:59Z"),
]


@pytest.mark.parametrize(("text", "rendered"), TIMES)
def test_times_are_utc_inside(text: str, rendered: str) -> None:
    field = Rfc3339Field()
    value = field.to_internal_value(text)
    assert value.tzinfo is UTC
    assert field.to_representation(value) == rendered


NO_TIMES = [
    ("2026-03-01T10:00:00", "naive"),
    ("2026-06-30T23:59:60Z", "leap_second"),
    ("2026-03-01T10:00:00.1234567Z", "too_precise"),
    ("0001-01-01T00:00:00Z", "out_of_range"),
    ("0001-01-01T00:00:00+14:00", "out_of_range"),
    ("9999-12-31T23:59:59-14:00", "out_of_range"),
    ("1969-12-31T23:59:59Z", "out_of_range"),
    ("2200-01-01T00:00:00Z", "out_of_range"),
    ("2026-02-29T00:00:00Z", "invalid"),
    ("2026-13-01T00:00:00Z", "invalid"),
    ("2026-03-01T24:00:00Z", "invalid"),
    ("2026-03-01T10:00:61Z", "invalid"),
    ("2026-03-01T10:00:00+24:00", "invalid"),
    ("2026-03-01T10:00:00+10:60", "invalid"),
    ("2026-03-01 10:00:00Z", "invalid"),
    ("2026-03-01", "invalid"),
    ("2026-W09-7T10:00:00Z", "invalid"),
    ("20260301T100000Z", "invalid"),
    ("٢٠٢٦-03-01T10:00:00Z", "invalid"),
    ("2026-03-01T10:00:00Z\n", "invalid"),
    ("", "invalid"),
    (1772359200, "invalid"),
    (True, "invalid"),
]


@pytest.mark.parametrize(("text", "code"), NO_TIMES)
def test_what_is_no_moment(text: Any, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rfc3339Field().to_internal_value(text)
    assert [detail.code for detail in flatten(caught.value.detail)] == [code]


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)), st.integers(-1439, 1439))
def test_times_survive_the_way_through(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_rfc3339(format_rfc3339(moment)) == moment
    assert parse_rfc3339(moment.isoformat()) == moment


def test_naive_times_never_leave() -> None:
    with pytest.raises(ValueError, match="naive"):
        format_rfc3339(datetime(2026, 1, 1))


# --- Serializers ------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"nmae": "x"}, [("nmae", "unknown_field")]),
    ({"created_at": "2026-01-01T00:00:00Z"}, [("created_at", "read_only")]),
    ({"name": None}, [("name", "null")]),
    ({"name": 5}, [("name", "invalid")]),
    ({"name": True}, [("name", "invalid")]),
    ({"name": ""}, [("name", "blank")]),
    ({"name": "x" * 21}, [("name", "max_length")]),
    ({"active": "true"}, [("active", "invalid")]),
    ({"active": 1}, [("active", "invalid")]),
    ({"active": None}, [("active", "null")]),
    ({"model": "tiered"}, [("model", "invalid_choice")]),
    ({"model": 1}, [("model", "invalid_choice")]),
    ({"customer": "cus_x"}, [("customer", "invalid")]),
    ({"customer": 7}, [("customer", "invalid")]),
    ({"prices": {}}, [("prices", "not_a_list")]),
    ({"prices": [1]}, [("prices[0]", "invalid")]),
    ({"prices": [{"unit_price": "1"}, {"unit_price": "-1"}]}, [("prices[1].unit_price", "min_value")]),
    ({"prices": [{}]}, [("prices[0].unit_price", "required")]),
    ({"prices": [{"unit_price": "1", "up_to": "5"}]}, [("prices[0].up_to", "invalid")]),
    ({"prices": [{"unit_price": "1", "up_to": Decimal("5.0")}]}, [("prices[0].up_to", "invalid")]),
    ({"prices": [{"unit_price": "1", "up_to": 2**63}]}, [("prices[0].up_to", "max_value")]),
    ({"prices": [{"unit_price": "1", "unit prize": "1"}]}, [('prices[0]["unit prize"]', "unknown_field")]),
]


@pytest.mark.parametrize(("data", "expected"), REFUSED)
def test_refused_with_its_path(data: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert problems(**data) == expected


def test_everything_wrong_is_named_at_once() -> None:
    found = problems(nmae="x", amount="1_0", at="2026-01-01T00:00:00", prices=[{"unit_price": "x"}])
    assert sorted(found) == [
        ("amount", "invalid"),
        ("at", "naive"),
        ("nmae", "unknown_field"),
        ("prices[0].unit_price", "invalid"),
    ]


def test_unknown_fields_name_the_nearest() -> None:
    serializer = OrderSerializer(data={"name": "n", "prcies": []})
    assert not serializer.is_valid()
    assert "Did you mean prices?" in str(serializer.errors["prcies"][0])


@pytest.mark.parametrize("data", [[], "x", 5, None, True])
def test_only_objects_are_objects(data: Any) -> None:
    serializer = OrderSerializer(data=data)
    assert not serializer.is_valid()


def test_null_is_taken_where_it_means_something() -> None:
    assert problems(prices=[{"unit_price": "1", "up_to": None}]) == []


def test_text_is_kept_as_sent() -> None:
    serializer = OrderSerializer(data={"name": "  e\u0301 \u202e "})
    assert serializer.is_valid(), serializer.errors
    assert serializer.validated_data["name"] == "  e\u0301 \u202e "


# --- Answers ----------------------------------------------------------------------------------------------------------


def test_answers_are_exact_and_readable() -> None:
    moment = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    value = {
        "a": Decimal("1E+2"),
        "b": Decimal("0.10"),
        "c": moment,
        "d": moment.replace(microsecond=5),
        "é": "😀\u2028",
    }
    assert dumps(value).decode() == (
        '{"a":"100","b":"0.10","c":"2026-03-01T10:00:00Z","d":"2026-03-01T10:00:00.000005Z","é":"😀\u2028"}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_nan_leaves(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps({"a": value})


def test_unknown_types_are_a_mistake_of_ours() -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        dumps(rows())
