"""Objects as the classes of the installed `stripe` package declare them: made complete, and checked field by field.

A field the class declares as not optional is always there and never null. An optional one is there and null where the
description calls it nullable; the package does not tell that from "may be missing", so what is only sent on request or
in other cases stands in `LEFT_OUT`. An enumeration takes its declared values only.
"""

import inspect
import typing
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

from stripe import ListObject, StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import UntypedStripeObject

# Optional fields that an ordinary answer does not have: neither have Stripe's own sample objects (samples.json, the
# names in fixtures3.json of stripe/openapi). Code that reads one without asking fails here.
LEFT_OUT = {
    "account": {"deleted", "external_accounts", "individual", "company", "groups", "capabilities", "controller"},
    "balance": {"connect_reserved", "instant_available", "issuing", "refund_and_dispute_prefunding"},
    "charge": {"refunds", "level3", "presentment_details", "authorization_code", "radar_options", "transfer"},
    "customer": {
        "deleted", "sources", "subscriptions", "tax", "tax_ids", "cash_balance", "invoice_credit_balance",
        "business_name", "individual_name", "customer_account",
    },
    "event": {"account", "context"},
    "invoice": {
        "deleted", "payments", "confirmation_secret", "threshold_reason", "amount_paid_off_stripe", "status_details",
    },
    "invoiceitem": {"deleted", "frozen_fields", "invoicing_rules", "proration_details"},
    "payment_intent": {
        "allowed_payment_method_types", "hooks", "payment_details", "payment_record", "presentment_details",
    },
    "refund": {
        "next_action", "presentment_details", "instructions_email", "description", "failure_balance_transaction",
        "failure_reason", "pending_reason",
    },
    "webhook_endpoint": {"deleted", "secret"},
}  # fmt: skip
# Left out of an ordinary answer but there on `expand` (https://docs.stripe.com/api/expanding_objects#includable).
INCLUDABLE = {"invoice": {"payments", "amount_paid_off_stripe"}, "customer": {"invoice_credit_balance"}}


@cache
def class_of(kind: str) -> Any:
    """The package's class of an `object` value such as "invoice"."""
    module, name = OBJECT_CLASSES[kind]
    return getattr(import_module(module), name)


@cache
def fields_of(class_: Any) -> dict[str, Any]:
    declared = inspect.get_annotations(class_)
    return {
        name: type_
        for name, type_ in declared.items()
        if not name.startswith("_") and typing.get_origin(type_) is not ClassVar
    }


def is_optional(type_: Any) -> bool:
    return type(None) in typing.get_args(type_)


@cache
def _blank(kind: str) -> dict[str, Any]:
    declared = fields_of(class_of(kind))
    nullable = [name for name, type_ in declared.items() if is_optional(type_) and name not in LEFT_OUT.get(kind, ())]
    return {**dict.fromkeys(nullable), "object": kind}


def new(kind: str, **fields: Any) -> dict[str, Any]:
    """A whole object: `fields`, and null for every other nullable one. An unknown name is a TypeError."""
    if unknown := fields.keys() - fields_of(class_of(kind)).keys():
        raise TypeError(f"{kind} has no {sorted(unknown)}")
    return {**_blank(kind), **fields}


def part(kind: str, name: str, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """A nested object of `kind`, such as a customer's address: what was given, and null for the rest of its fields."""
    if not given:
        return None
    class_ = next(type_ for type_ in _inner(fields_of(class_of(kind))[name]) if isinstance(type_, type))
    empty = {name: None for name, type_ in fields_of(class_).items() if is_optional(type_)}
    return {**empty, **{name: value if value != "" else None for name, value in given.items()}}


def is_expandable(kind: str, name: str) -> bool:
    return any(isinstance(choice, typing.ForwardRef) for choice in _inner(fields_of(class_of(kind)).get(name)))


def _inner(type_: Any) -> Iterator[Any]:
    yield type_
    for argument in typing.get_args(type_):
        yield from _inner(argument)


def violations(value: Any, type_: Any = None, at: str = "") -> list[str]:
    """What of `value` is not as its class declares it, one text each; `value` names its class by `object` if no type is
    given.
    """
    if isinstance(value, dict) and value.get("deleted") is True:
        return [] if set(value) == {"id", "object", "deleted"} else [f"{at}: a deleted object has more fields"]
    kind = value.get("object") if isinstance(value, dict) else None
    if kind in ("list", "search_result"):
        page = {"object", "data", "has_more", "url"} | ({"next_page"} if kind == "search_result" else set())
        wrong = [] if set(value) == page else [f"{at}: fields {sorted(value)}"]
        return wrong + [text for n, item in enumerate(value["data"]) for text in violations(item, None, f"{at}[{n}]")]
    if isinstance(kind, str) and kind in OBJECT_CLASSES:
        return _object(value, class_of(kind), at or kind)
    return _typed(value, type_, at)


def _object(value: dict[str, Any], class_: Any, at: str) -> list[str]:
    declared = fields_of(class_)
    found = [f"{at}.{name}: not declared" for name in value.keys() - declared.keys()]
    for name, type_ in declared.items():
        if name in value:
            found += violations(value[name], type_, f"{at}.{name}") if value[name] is not None else []
            if value[name] is None and not is_optional(type_):
                found.append(f"{at}.{name}: null")
        elif not is_optional(type_):
            found.append(f"{at}.{name}: missing")
    return found


def _typed(value: Any, type_: Any, at: str) -> list[str]:
    if type_ is None:
        return [f"{at}: an object of no known class"]
    choices = [choice for choice in _choices(type_) if choice is not type(None)]
    literals = [literal for choice in choices for literal in _literals(choice)]
    if literals:
        return [] if value in literals else [f"{at}: {value!r} is none of the declared values"]
    if not any(_fits(value, choice) for choice in choices):
        return [f"{at}: {value!r} is no {type_}"]
    found: list[str] = []
    for choice in choices:
        if isinstance(value, list) and typing.get_origin(choice) is list:
            (inner,) = typing.get_args(choice)
            found += [text for n, item in enumerate(value) for text in violations(item, inner, f"{at}[{n}]")]
        elif isinstance(value, dict) and isinstance(choice, type) and issubclass(choice, StripeObject):
            found += _object(value, choice, at)
    return found


def _choices(type_: Any) -> Iterator[Any]:
    if typing.get_origin(type_) is typing.Union:
        for choice in typing.get_args(type_):
            yield from _choices(choice)
    else:
        yield type_


def _literals(type_: Any) -> tuple[Any, ...]:
    return typing.get_args(type_) if typing.get_origin(type_) is typing.Literal else ()


def _fits(value: Any, choice: Any) -> bool:
    origin = typing.get_origin(choice) or choice
    if origin is bool:
        return isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin in (str, Decimal):
        return isinstance(value, str)
    if origin is list:
        return isinstance(value, list)
    if origin is UntypedStripeObject:
        return isinstance(value, dict)
    if origin is ListObject or isinstance(origin, typing.ForwardRef):
        return False  # a dict with a known `object` never comes here
    return isinstance(origin, type) and issubclass(origin, StripeObject) and isinstance(value, dict)
