"""What a key, a name, a currency, a time zone and a locale may be: one rule each, asked by every use case that takes
one.
"""

import re
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.localedata import locale_identifiers

from access.errors import Detail
from access.serializers import nearest
from contracts.domain import money, periods

MAX_CUSTOMER_KEY = 255
MAX_RATE_CARD_KEY = 128
MAX_TAX_RATE_KEY = 64
MAX_NAME = 255
MAX_TAX_ID = 64
MAX_ADDRESS = 1000
MAX_LOCALE = 16

_PLAIN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
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
    return _plain_key_problem(path, key, "a rate card", MAX_RATE_CARD_KEY)


def tax_rate_key_problem(path: str, key: str) -> Detail | None:
    """Several keys of tax rates stand in one cell of a file, apart by blanks."""
    return _plain_key_problem(path, key, "a tax rate", MAX_TAX_RATE_KEY)


def _plain_key_problem(path: str, key: str, of: str, most: int) -> Detail | None:
    if len(key) > most or not _PLAIN_KEY.fullmatch(key):
        return Detail(
            path,
            f"The key of {of} has 1 to {most} letters, digits, dots, hyphens and underscores, and begins with a letter"
            " or digit.",
            "invalid_key",
        )
    return None


def name_problem(path: str, name: str) -> Detail | None:
    return _text_problem(path, name, "A name", MAX_NAME)


def tax_id_problem(path: str, tax_id: str) -> Detail | None:
    return _text_problem(path, tax_id, "A tax id", MAX_TAX_ID)


def _text_problem(path: str, text: str, what: str, most: int) -> Detail | None:
    if len(text) > most or not text.isprintable() or text != text.strip():
        message = f"{what} has at most {most} printable characters and no blank at either end."
        return Detail(path, message, "invalid")
    return None


def paragraph_problem(path: str, text: str, what: str, most: int) -> Detail | None:
    """Text of several lines; what would not be seen in print is refused."""
    if len(text) > most or not text.replace("\n", "").isprintable() or text != text.strip():
        message = (
            f"{what} has at most {most} printable characters, lines apart by a line feed, and no blank at either end."
        )
        return Detail(path, message, "invalid")
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


_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", re.ASCII)


@lru_cache(maxsize=1024)
def locale_of(tag: str) -> str | None:
    """A tag of a language, and perhaps a script and a country, as it is stored: `DE_ch` is ``de-CH``, `zh-TW`
    ``zh-Hant-TW``. None where nothing is known of it.
    """
    if len(tag) > MAX_LOCALE or not _LOCALE.fullmatch(tag) or tag.lower().startswith("und"):
        return None
    try:
        found = str(Locale.parse(tag.replace("-", "_"))).replace("_", "-")
    except (ValueError, UnknownLocaleError):
        return None
    return found if len(found) <= MAX_LOCALE else None


def locale_problem(path: str, tag: str) -> Detail | None:
    if locale_of(tag) is not None:
        return None
    close = nearest(tag, (one.replace("_", "-") for one in locale_identifiers()))
    hint = f" Did you mean {close}?" if close else " Write a tag such as en, de or de-CH."
    return Detail(path, f'"{tag}" is no language, or none of that country, that is known.{hint}', "unknown_locale")
