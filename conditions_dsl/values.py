"""What a value in an event's data is to the language, and how it compares.

Three kinds of value exist: text, number, true/false. A comparison with anything else (missing, null, a list, an
object, a value of another kind) is false; `is not` and `not in` are exactly the negations of `is` and `in`. Numbers
are exact: an int or a Decimal as they came, a float as the decimal that JSON wrote (its shortest repr); beyond 38
digits or an exponent of ±30 it is not a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final, TypeAlias

from conditions_dsl import model as m
from conditions_dsl.words import plain, within_limits

Number: TypeAlias = int | Decimal
Tester: TypeAlias = Callable[[Any], bool]
Getter: TypeAlias = Callable[[Any], Any]

# Missing and an explicit null are one thing everywhere in the language.
MISSING: Final = None

# Wide enough that no sum, and no product of a literal and a count, of numbers within the limits is ever rounded.
EXACT: Final = Context(prec=200)
_LIMIT: Final = 10**38
_TWELVE: Final = Decimal("1e-12")


def number_of(value: Any) -> Number | None:
    """The exact number a decoded JSON value is, or None when it is none (true and false are none)."""
    kind = type(value)
    if kind is int:
        return value if -_LIMIT < value < _LIMIT else None
    if kind is float:
        value = Decimal(repr(value))
    elif kind is not Decimal:
        return None
    return value if within_limits(value) else None


def getter(path: m.Path) -> Getter:
    """Reads a path from an event's data: one key per segment of an object, one index per segment of a list."""
    segments = path.segments
    if len(segments) == 1:
        only = segments[0]
        return lambda data: data.get(only)
    steps = tuple((segment, _index(segment)) for segment in segments)

    def get(data: Any) -> Any:
        for key, index in steps:
            if data.__class__ is dict or isinstance(data, Mapping):
                data = data.get(key)
            elif index is not None and isinstance(data, list | tuple) and index < len(data):
                data = data[index]
            else:
                return MISSING
        return data

    return get


def _index(segment: str) -> int | None:
    # `00` is no index, and an index of a million digits must cost nothing.
    if segment.isascii() and segment.isdigit() and len(segment) <= 9 and (segment == "0" or segment[0] != "0"):
        return int(segment)
    return None


def compare(number: Number, order: m.Order, other: Number) -> bool:
    """Compares two numbers exactly."""
    match order:
        case "is":
            return number == other
        case "is not":
            return number != other
        case "<":
            return number < other
        case "<=":
            return number <= other
        case ">":
            return number > other
        case _:
            return number >= other


def _simple(constant: m.Constant) -> Any:
    """The literal as the fastest equal object: whole numbers as int."""
    if constant.kind == "number" and constant.value == int(constant.value):
        return int(constant.value)
    return constant.value


def equals(constant: m.Constant) -> Tester:
    """Whether a value is this literal: same kind, and equal."""
    wanted = _simple(constant)
    if constant.kind == "text":
        return lambda value: value.__class__ is str and value == wanted
    if constant.kind == "boolean":
        return lambda value: value is wanted

    def same_number(value: Any) -> bool:
        if value.__class__ is str or value is None:
            return False
        number = number_of(value)
        return number is not None and number == wanted

    return same_number


def _ordered(order: m.Order, constant: m.Constant) -> Tester:
    wanted = _simple(constant)
    if constant.kind == "boolean":
        return lambda value: False  # true and false have no order
    if constant.kind == "text":
        tests: dict[str, Tester] = {
            "<": lambda value: value.__class__ is str and value < wanted,
            "<=": lambda value: value.__class__ is str and value <= wanted,
            ">": lambda value: value.__class__ is str and value > wanted,
            ">=": lambda value: value.__class__ is str and value >= wanted,
        }
    else:
        tests = {
            "<": lambda value: (n := number_of(value)) is not None and n < wanted,
            "<=": lambda value: (n := number_of(value)) is not None and n <= wanted,
            ">": lambda value: (n := number_of(value)) is not None and n > wanted,
            ">=": lambda value: (n := number_of(value)) is not None and n >= wanted,
        }
    return tests[order]


def _one_of(constants: tuple[m.Constant, ...]) -> Tester:
    texts = frozenset(c.value for c in constants if c.kind == "text")
    numbers = frozenset(c.value for c in constants if c.kind == "number")
    booleans = frozenset(c.value for c in constants if c.kind == "boolean")

    def member(value: Any) -> bool:
        if value.__class__ is str:
            return value in texts
        if value.__class__ is bool:
            return value in booleans
        # Equal numbers hash alike, int and Decimal too.
        return bool(numbers) and (number := number_of(value)) is not None and number in numbers

    return member


def _searched(node: m.Search) -> Tester:
    constant, wanted = node.constant, str(node.constant.value)
    if node.how == "starts with":
        return lambda value: value.__class__ is str and value.startswith(wanted)
    if node.how == "ends with":
        return lambda value: value.__class__ is str and value.endswith(wanted)
    same, is_text = equals(constant), constant.kind == "text"

    def contains(value: Any) -> bool:
        if value.__class__ is str:
            return is_text and wanted in value
        return isinstance(value, list | tuple) and any(same(item) for item in value)

    return contains


def test_of(node: m.Test) -> Tester:
    """The test as a function of a value read from data (MISSING where there is none)."""
    match node:
        case m.Presence():
            return (lambda value: value is not None) if node.present else (lambda value: value is None)
        case m.OneOf():
            member = _one_of(node.constants)
            return (lambda value: not member(value)) if node.negated else member
        case m.Search():
            return _searched(node)
        case _:
            if node.order == "is":
                return equals(node.constant)
            if node.order == "is not":
                same = equals(node.constant)
                return lambda value: not same(value)
            return _ordered(node.order, node.constant)


def decimal_test(node: m.Test) -> Tester:
    """The test as a function of a computed number (a count, a total), to which no limit of digits applies."""
    match node:
        case m.Compare(constant=m.Constant(kind="number")):
            order, wanted = node.order, _simple(node.constant)
            return lambda number: (
                (number is not None and compare(number, order, wanted)) or (number is None and order == "is not")
            )
        case m.OneOf():
            numbers = frozenset(c.value for c in node.constants if c.kind == "number")
            negated = node.negated
            return lambda number: (number in numbers) is not negated
        case _:
            return test_of(node)


def average_test(node: m.Test) -> Callable[[Number, int], bool]:
    """The test as a function of (total, count), count above 0: compares the total with the literal times the count."""
    match node:
        case m.Compare(constant=m.Constant(kind="number", value=Decimal() as wanted)):
            order = node.order
            return lambda total, count: compare(total, order, EXACT.multiply(wanted, count))
        case m.OneOf():
            numbers = tuple(c.value for c in node.constants if isinstance(c.value, Decimal))
            negated = node.negated
            return lambda total, count: any(total == EXACT.multiply(n, count) for n in numbers) is not negated
        case _:
            # Presence, or a test of another kind than number: the size of the average plays no part.
            verdict = test_of(node)(0)
            return lambda total, count: verdict


def average(total: Number, count: int) -> Decimal:
    """The average to 12 decimals, as it is printed and billed."""
    exact = EXACT.divide(Decimal(total), Decimal(count))
    return exact.quantize(_TWELVE, ROUND_HALF_EVEN, EXACT)


def text_of(value: Any) -> str | None:
    """A text, a number (plain notation) or true/false as text: subject keys and dimensions. None for anything else."""
    if value.__class__ is str:
        return value
    if value.__class__ is bool:
        return "true" if value else "false"
    number = number_of(value)
    if number is None:
        return None
    return str(number) if number.__class__ is int else plain(Decimal(number))


# ------------------------------------------------------------------------------------------------------------- times

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FURTHEST_YEARS: Final = 5


def time_of(value: Any, event_time: int) -> int | None:
    """An RFC 3339 text with zone as microseconds since the epoch; None for anything else.

    More than 5 years after the event that said it is a slip of the pen, not a time. Digits past the microsecond are
    cut off.
    """
    if value.__class__ is not str or len(value) > 64 or not (found := _RFC3339.fullmatch(value)):
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    try:
        # RFC 3339 allows a leap second; it is the instant the next minute begins.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if second > 60:
        return None
    micros = (moment - _EPOCH) // timedelta(microseconds=1) + (m.SECOND if second == 60 else 0)
    micros += int((found[7] or "0")[:6].ljust(6, "0")) if second < 60 else 0
    if found[9]:
        hours, minutes = int(found[10]), int(found[11])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * m.UNITS["minute"]
        micros += -offset if found[9] == "+" else offset
    return None if micros > _years_later(event_time) else micros


def _years_later(event_time: int) -> int:
    try:
        start = _EPOCH + timedelta(microseconds=event_time)
        try:
            end = start.replace(year=start.year + _FURTHEST_YEARS)
        except ValueError:  # 29 February
            end = start.replace(year=start.year + _FURTHEST_YEARS, month=3, day=1)
    except (ValueError, OverflowError):
        return event_time + _FURTHEST_YEARS * 366 * m.DAY
    return (end - _EPOCH) // timedelta(microseconds=1)
