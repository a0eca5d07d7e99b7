"""What a key, a currency and a time zone may be: one rule each, asked by every use case that takes one."""

import re

from access.errors import Detail
from access.serializers import nearest
from contracts.domain import money, periods

MAX_CUSTOMER_KEY = 255
MAX_RATE_CARD_KEY = 128

_RATE_CARD_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
# Names of the IANA database that mean "whatever this machine is set to", or no place at all.
_NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})


def customer_key_problem(path: str, key: str) -> Detail | None:
    """A seller's key is nearly free text; what is refused could not be told apart by eye or be put into a URL."""
    if not key or len(key) > MAX_CUSTOMER_KEY:
        return Detail(path, f"A key has 1 to {MAX_CUSTOMER_KEY} characters.", "invalid_key")
    if key != key.strip():
        return Detail(path, "A key neither begins nor ends with a blank.", "invalid_key")
    if not key.isprintable():
        return Detail(path, "A key has no control characters, line breaks or invisible characters.", "invalid_key")
    if key in (".", ".."):
        return Detail(path, f'"{key}" cannot stand in a URL; choose another key.', "invalid_key")
    return None


def rate_card_key_problem(path: str, key: str) -> Detail | None:
    """A rate card's key is also the name of its file."""
    if len(key) > MAX_RATE_CARD_KEY or not _RATE_CARD_KEY.fullmatch(key):
        return Detail(
            path,
            f"The key of a rate card has 1 to {MAX_RATE_CARD_KEY} letters, digits, dots, hyphens and underscores, and"
            " begins with a letter or digit.",
            "invalid_key",
        )
    return None


def currency_problem(path: str, currency: str) -> Detail | None:
    if currency in money.EXPONENTS:
        return None
    hint = f" Write it in capitals: {currency.upper()}." if currency.upper() in money.EXPONENTS else ""
    return Detail(path, f'"{currency}" is no ISO 4217 code that Holdfast knows.{hint}', "unknown_currency")


def time_zone_problem(path: str, name: str) -> Detail | None:
    known = periods.zone_names() - _NO_ZONES
    if name in known:
        return None
    close = nearest(name, known)
    hint = f" Did you mean {close}?" if close else " Write a name such as Europe/Berlin, or UTC."
    return Detail(path, f'"{name}" is no time zone of the IANA database.{hint}', "unknown_time_zone")
