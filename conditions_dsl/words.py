"""The words of the language: which are reserved, and what a good name, path and number look like.

Shared by the builder, which reads them, and the printer, which must write what the builder reads back.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

KEYWORDS: Final = frozenset(
    """after all amount and any at average bill contains credit dimension distinct early else ends ever exactly expire
    false fewer first highest if immediately in is latest least lowest missing more most no none not number of or
    outcome per points present quantity repeat settle silence starts than total true void when where with
    within""".split()  # noqa: SIM905  (a list of one word a line would be longer and no clearer)
)

MAX_TEXT_BYTES: Final = 16 * 1024
MAX_NODES: Final = 256
MAX_NESTING: Final = 32
# A list of literals is no tree of nodes; this bounds what is left of a text's size after the limit on nodes.
MAX_TOKENS: Final = 2_048
MAX_DIGITS: Final = 38
MAX_EXPONENT: Final = 30
MAX_SLUG: Final = 100
MAX_TITLE: Final = 200

_SEGMENT = r"[\w-]+"
SLUG: Final = re.compile(r"[^\W\d_][\w-]*\Z")
DIMENSION: Final = re.compile(r"[\w-]+\Z")
EVENT_NAME: Final = re.compile(rf"[^\W\d_][\w-]*(?:[.:/]{_SEGMENT})*\Z")
EVENT_WILDCARD: Final = re.compile(rf"([^\W\d_][\w-]*(?:[.:/]{_SEGMENT})*[.:/])\*\Z")
PLAIN_SEGMENT: Final = re.compile(rf"{_SEGMENT}\Z")
PATH: Final = re.compile(rf"(?:{_SEGMENT}|`[^`\r\n]+`)(?:\.(?:{_SEGMENT}|`[^`\r\n]+`))*\Z")
PATH_SEGMENT: Final = re.compile(rf"`([^`\r\n]+)`|({_SEGMENT})")
# What JSON allows in a text but no database and no invoice does.
UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def is_keyword(word: str) -> bool:
    """Whether a bare word would be read as a keyword, or refused as one in the wrong case."""
    return word.lower() in KEYWORDS


def within_limits(number: Decimal) -> bool:
    """At most 38 digits and an exponent within ±30: what counts as a number, in texts and in data."""
    _, digits, exponent = number.as_tuple()
    return isinstance(exponent, int) and len(digits) <= MAX_DIGITS and -MAX_EXPONENT <= exponent <= MAX_EXPONENT


def plain(number: Decimal) -> str:
    """The number without exponent and without needless zeros: 5.0 -> '5', 1E+3 -> '1000', -0 -> '0'."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
