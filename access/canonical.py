"""One text per JSON value, so that two bodies that say the same have the same fingerprint.

Keys are sorted, numbers are written in one way (``1.0`` and ``1`` are equal), strings are left as they are: Unicode
forms and case matter. ``true`` and ``1`` differ, and so do ``"1"`` and ``1``.
"""

import hashlib
import json
from decimal import Decimal
from typing import Any


def canonical(value: Any) -> str:
    """The canonical text of a value as `access.strictjson.loads` answers it."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, int | Decimal):
        return _number(value)
    raise TypeError(f"{type(value).__name__} has no canonical JSON text")


def fingerprint(value: Any, *context: str) -> bytes:
    """32 bytes that stand for the value and, if given, the texts that go with it (a query string)."""
    return hashlib.sha256(canonical([*context, value]).encode()).digest()


def _number(value: int | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    # Both parts are bounded by the limits of access.strictjson, so the plain notation stays short.
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
