"""Serializer fields that take what they say and nothing that merely looks like it.

DRF's own CharField takes 5 for "5" and trims, its IntegerField takes "5" and true, its DecimalField takes ``1_000`` and
Arabic digits, its DateTimeField takes naive times for the server's zone. These do not.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers

from access import ids
from access.strictjson import text_problem
from access.times import MAX_YEAR, MIN_YEAR, InvalidTime, format_rfc3339, parse_rfc3339

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_TEXT = 64


def _reads_query_string(field: "serializers.Field[Any, Any, Any, Any]") -> bool:
    """In a query string everything is text; see `access.serializers.QuerySerializer`."""
    return getattr(field.root, "reads_query_string", False)


class PublicIdField(serializers.Field[UUID, Any, str, Any]):
    """A public id with one prefix: ``cus_01h…`` outside, a UUID inside."""

    default_error_messages = {"invalid": "Expected an id of the form {prefix}_…: {reason}."}

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", prefix=self.prefix, reason="it is a string")
        try:
            return ids.decode(self.prefix, data)
        except ValueError as error:
            self.fail("invalid", prefix=self.prefix, reason=str(error))

    def to_representation(self, value: UUID) -> str:
        return ids.encode(self.prefix, value)


class DecimalStringField(serializers.Field[Decimal, Any, str, Any]):
    """An exact decimal: ``"12.50"`` or the JSON number 12.50 in, always plain notation as a string out.

    The text is checked by our own ASCII grammar before Decimal sees it, so that ``1_000``, ``1e1000000``, NaN, Arabic
    digits and ``-0`` never become numbers.
    """

    default_error_messages = {
        "invalid": 'Write a decimal number in plain notation, such as "12.50".',
        "float": "A binary float is not exact: hand over a Decimal or a string.",
        "negative_zero": "-0 is refused: send 0.",
        "max_digits": "At most {max_digits} digits.",
        "max_decimal_places": "At most {decimal_places} digits after the point.",
        "min_value": "Must be {min_value} or more.",
        "max_value": "Must be {max_value} or less.",
    }

    def __init__(
        self,
        *,
        max_digits: int = 28,
        decimal_places: int = 12,
        min_value: Decimal | int | None = None,
        max_value: Decimal | int | None = None,
        **kwargs: Any,
    ) -> None:
        self.max_digits = max_digits
        self.decimal_places = decimal_places
        self.min_value = min_value
        self.max_value = max_value
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        number = self._number(data)
        _, digits, exponent = number.as_tuple()
        if not isinstance(exponent, int):
            self.fail("invalid")
        # 1e15 from a JSON number has one digit and fifteen zeros that count as well.
        if len(digits) + max(exponent, 0) > self.max_digits or -exponent > self.max_digits:
            self.fail("max_digits", max_digits=self.max_digits)
        if -exponent > self.decimal_places:
            self.fail("max_decimal_places", decimal_places=self.decimal_places)
        if number.is_zero() and number.is_signed():
            self.fail("negative_zero")
        if self.min_value is not None and number < self.min_value:
            self.fail("min_value", min_value=self.min_value)
        if self.max_value is not None and number > self.max_value:
            self.fail("max_value", max_value=self.max_value)
        return Decimal(format(number, "f"))

    def _number(self, data: Any) -> Decimal:
        if isinstance(data, float):
            self.fail("float")
        if isinstance(data, bool):
            self.fail("invalid")
        if isinstance(data, int | Decimal):
            return Decimal(data)
        if not isinstance(data, str) or len(data) > _MAX_TEXT or not _DECIMAL.fullmatch(data):
            self.fail("invalid")
        return Decimal(data)

    def to_representation(self, value: Decimal | int) -> str:
        return format(Decimal(value), "f")


class Rfc3339Field(serializers.Field[datetime, Any, str, Any]):
    """A moment: RFC 3339 with an offset in, UTC inside, ``Z`` out."""

    default_error_messages = {"invalid": "Write an RFC 3339 time, such as 2026-03-01T10:00:00Z."}

    def __init__(self, *, min_year: int = MIN_YEAR, max_year: int = MAX_YEAR, **kwargs: Any) -> None:
        self.min_year = min_year
        self.max_year = max_year
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return parse_rfc3339(data, min_year=self.min_year, max_year=self.max_year)
        except InvalidTime as error:
            if _reads_query_string(self) and " " in data:
                raise serializers.ValidationError(f"{error} A + is written %2B in an address.", error.code) from error
            raise serializers.ValidationError(str(error), code=error.code) from error

    def to_representation(self, value: datetime) -> str:
        return format_rfc3339(value)


class TextField(serializers.CharField):
    """A string and only a string, kept as sent: nothing is trimmed or converted."""

    default_error_messages = {"invalid": "Expected a string."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        problem = text_problem(data)
        if problem is not None:
            raise serializers.ValidationError(problem[1], code=problem[0])
        return data


class WholeNumberField(serializers.IntegerField):
    """A JSON integer and only that (in a query string its digits); in the range of bigint unless told otherwise."""

    default_error_messages = {"invalid": "Expected a whole number."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", -(2**63))
        kwargs.setdefault("max_value", 2**63 - 1)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if _reads_query_string(self) and isinstance(data, str) and _WHOLE.fullmatch(data):
            return int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class FlagField(serializers.BooleanField):
    """JSON true or false and only these. In a query string the words ``true`` and ``false``."""

    default_error_messages = {"invalid": "Expected true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if _reads_query_string(self) and data in ("true", "false"):
            return bool(data == "true")
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class ChoiceTextField(serializers.ChoiceField):
    """One of the texts listed; a number that prints alike is refused, and the message lists what there is."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choice_strings_to_values:
            known = ", ".join(map(str, self.choice_strings_to_values))
            raise serializers.ValidationError(f"Expected one of: {known}.", code="invalid_choice")
        return self.choice_strings_to_values[data]
