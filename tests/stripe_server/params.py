"""Requests against the parameter types of the installed `stripe` package, which are generated from Stripe's OpenAPI
description. A union that ends in `str` next to an enumeration is the package's door for later values, not the API's:
the enumeration alone is taken.
"""

import re
import sys
import types
import typing
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import stripe.params
import stripe.params.billing
import stripe.params.tax
from stripe import RequestOptions
from stripe._stripe_object import UntypedStripeObject

from tests.stripe_server.errors import StripeFailure, missing

_NAME = re.compile(r"^[^\[\]]+|\[([^\[\]]*)\]")
METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500  # https://docs.stripe.com/api/metadata
TEXT_LENGTH = 5000
# https://docs.stripe.com/changelog/2018-10-31: descriptions of line items and customers.
LINE_DESCRIPTION_LENGTH, CUSTOMER_DESCRIPTION_LENGTH = 500, 350


def decode(encoded: str) -> dict[str, Any]:
    """`a[b][0]=c` as `{"a": {"b": {"0": "c"}}}`; lists stay mappings of their indexes until their type is known."""
    form: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        parts = [match.group(1) if match.group(1) is not None else match.group(0) for match in _NAME.finditer(name)]
        here = form
        if not parts:
            raise StripeFailure(f"Invalid parameter name: {name!r}", param=name)
        for part in parts[:-1]:
            inner = here.setdefault(part or str(len(here)), {})
            if not isinstance(inner, dict):
                raise StripeFailure(f"Invalid object: {name}", param=name)
            here = inner
        here[parts[-1] or str(len(here))] = value
    return form


@cache
def type_named(name: str) -> Any:
    """`InvoiceCreateParams`, or `billing.MeterCreateParams`."""
    found: Any = stripe.params
    for part in name.split("."):
        found = getattr(found, part)
    return found


@cache
def _fields(type_: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The parameters of a TypedDict with their types, and which of them are required. Options of a request (a key, a
    retry) are declared by the package next to the parameters and are none.
    """
    module = vars(sys.modules[type_.__module__])
    names = {**vars(typing), "StripeContext": object, **module}
    hints = typing.get_type_hints(type_, globalns=names)
    if RequestOptions in getattr(type_, "__orig_bases__", ()):
        hints = {name: hint for name, hint in hints.items() if name not in RequestOptions.__annotations__}
    return hints, frozenset(type_.__required_keys__ & hints.keys())


def check(type_name: str, form: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their Python types; "" stays "" where it unsets. Raises the 400 Stripe answers."""
    return _object(type_named(type_name), form, "")


def _object(type_: Any, given: Any, at: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise StripeFailure("Invalid object", param=at)
    fields, required = _fields(type_)
    for name in given:
        if name not in fields:
            path = _inside(at, name)
            raise StripeFailure(f"Received unknown parameter: {path}", code="parameter_unknown", param=path)
    for name in sorted(required):
        if name not in given:
            raise missing(_inside(at, name))
    return {name: _value(fields[name], value, _inside(at, name), name in required) for name, value in given.items()}


def _inside(at: str, name: str) -> str:
    return f"{at}[{name}]" if at else name


def _choices(type_: Any) -> Iterator[Any]:
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        for choice in typing.get_args(type_):
            yield from _choices(choice)
    else:
        yield type_


def _value(type_: Any, given: Any, at: str, required: bool) -> Any:
    choices = list(_choices(type_))
    literals = [value for choice in choices if _is_literal(choice) for value in typing.get_args(choice)]
    if given == "":
        if "" in literals or (str in choices and not required and not [value for value in literals if value]):
            return ""
        if str in choices or literals:
            raise StripeFailure(
                f"You passed an empty string for '{at}'. We assume empty values are an attempt to unset a parameter; "
                f"however '{at}' cannot be unset.",
                code="parameter_invalid_empty",
                param=at,
            )
    values = [value for value in literals if value != ""]
    if values:
        choices = [choice for choice in choices if choice is not str]
    if isinstance(given, str) and given in values:
        return given
    others = [choice for choice in choices if not _is_literal(choice)]
    if isinstance(given, dict):
        for choice in others:
            if typing.get_origin(choice) is list:
                return _list(choice, given, at)
            if typing.get_origin(choice) is dict or typing.get_origin(choice) is UntypedStripeObject:
                return _mapping(given, at)
            if typing.is_typeddict(choice) or hasattr(choice, "__required_keys__"):
                return _object(choice, given, at)
        raise StripeFailure(f"Invalid string: {given}", param=at)
    for choice in others:
        if choice in _SCALARS:
            return _SCALARS[choice](given, at)
    if values:
        raise StripeFailure(f"Invalid {at}: must be one of {_either(values)}", param=at)
    raise StripeFailure(f"Invalid {'array' if typing.get_origin(others[0]) is list else 'object'}", param=at)


def _is_literal(type_: Any) -> bool:
    return typing.get_origin(type_) is typing.Literal


def _either(values: list[str]) -> str:
    return f"{', '.join(values[:-1])}, or {values[-1]}" if len(values) > 1 else str(values[0])


def _list(type_: Any, given: dict[str, Any], at: str) -> list[Any]:
    if not all(index.isdigit() for index in given):
        raise StripeFailure("Invalid array", param=at)
    (inner,) = typing.get_args(type_)
    return [_value(inner, given[index], f"{at}[{index}]", True) for index in sorted(given, key=int)]


def _mapping(given: dict[str, Any], at: str) -> dict[str, str]:
    """Metadata and its like: strings by strings. The limits on metadata hold for what `at` calls so."""
    for key, value in given.items():
        if not isinstance(value, str):
            raise StripeFailure(f"Invalid string: {value}", param=f"{at}[{key}]")
        if at.endswith(("metadata", "metadata]")):
            if len(key) > METADATA_KEY_LENGTH:
                raise StripeFailure(
                    f"Metadata keys can have up to {METADATA_KEY_LENGTH} characters: {key!r} has {len(key)}.", param=at
                )
            if len(value) > METADATA_VALUE_LENGTH:
                raise StripeFailure(
                    f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters, but you passed in a "
                    f"value that is {len(value)} characters. Invalid value: {value[:40]}…",
                    param=f"{at}[{key}]",
                )
    return given


def _string(given: str, at: str) -> str:
    check_length(given, TEXT_LENGTH, at)
    return given


def _integer(given: str, at: str) -> int:
    if not re.fullmatch(r"-?\d+", given):
        raise StripeFailure(f"Invalid integer: {given}", code="parameter_invalid_integer", param=at)
    return int(given)


def _boolean(given: str, at: str) -> bool:
    if given not in ("true", "false"):
        raise StripeFailure(f"Invalid boolean: {given}", param=at)
    return given == "true"


def _decimal(given: str, at: str) -> Decimal:
    try:
        number = Decimal(given)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise StripeFailure(f"Invalid decimal: {given}", param=at)
    if -number.as_tuple().exponent > 12:  # "with at most 12 decimal places"
        raise StripeFailure(f"Invalid decimal: {given}; must contain at maximum 12 decimal places.", param=at)
    return number


_SCALARS: dict[Any, Any] = {str: _string, int: _integer, bool: _boolean, Decimal: _decimal, float: _decimal}


def merged_metadata(before: dict[str, str], given: Any, param: str = "metadata") -> dict[str, str]:
    """Keys are added, an empty value unsets its key, and "" for the whole unsets all."""
    if given == "":
        return {}
    after = {key: value for key, value in {**before, **(given or {})}.items() if value != ""}
    if len(after) > METADATA_KEYS:
        raise StripeFailure(f"You can only have {METADATA_KEYS} metadata keys; you have {len(after)}.", param=param)
    return after


def check_length(text: Any, limit: int, param: str) -> None:
    if isinstance(text, str) and len(text) > limit:
        raise StripeFailure(f"Invalid string: {text[:10]}…{text[-5:]}; must be at most {limit} characters", param=param)
