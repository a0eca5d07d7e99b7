"""Public ids after the TypeID specification: ``prefix_`` and 26 characters that are a UUIDv7.

``out_01jb3z9k7qe8tv6d0n4r2m5xwa`` says what it names, sorts by the time it was made and is stored as a plain ``uuid``.
The text form is canonical: lower case, exactly 26 characters, one text per UUID, so that ids can be compared as text.
"""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
SUFFIX_LENGTH = 26

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_PREFIX_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")
_MAX_MILLISECONDS = (1 << 48) - 1


def uuid7(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562) for the aware moment `now`.

    The 12 bits after the version hold the microseconds within the millisecond (method 3 of the RFC), so that ids made
    in the same millisecond still sort by time; 62 bits are random.
    """
    if now.tzinfo is None:
        raise ValueError("uuid7 needs an aware datetime")
    milliseconds, microseconds = divmod((now - _EPOCH) // _MICROSECOND, 1000)
    if not 0 <= milliseconds <= _MAX_MILLISECONDS:
        raise ValueError("uuid7 needs a time from 1970 on")
    value = milliseconds << 80
    value |= 0x7 << 76
    value |= (microseconds * 4096 // 1000) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return UUID(int=value)


def encode(prefix: str, uuid: UUID) -> str:
    """The public text of `uuid`: ``encode("inv", u)`` is ``inv_01h…``."""
    _check_prefix(prefix)
    number = uuid.int
    characters = []
    for _ in range(SUFFIX_LENGTH):
        number, digit = divmod(number, 32)
        characters.append(ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(characters))}"


def decode(prefix: str, text: str) -> UUID:
    """The UUID of a public id with this prefix; ValueError, with a sentence fit for the caller, for anything else."""
    _check_prefix(prefix)
    head, separator, suffix = text.rpartition("_")
    if not separator or head != prefix:
        raise ValueError(f"expected an id that begins with {prefix}_")
    if len(suffix) != SUFFIX_LENGTH:
        raise ValueError(f"expected {SUFFIX_LENGTH} characters after {prefix}_")
    number = 0
    for character in suffix:
        digit = _VALUES.get(character)
        if digit is None:
            raise ValueError(f"an id has only the characters {ALPHABET} after {prefix}_")
        number = number * 32 + digit
    if number >> 128:
        raise ValueError(f"the first character after {prefix}_ must be 0 to 7")
    return UUID(int=number)


def _check_prefix(prefix: str) -> None:
    """TypeID's rule for prefixes; a wrong one is a mistake in our code, found by the first test that uses it."""
    if not 1 <= len(prefix) <= 63 or not _PREFIX_CHARACTERS.issuperset(prefix) or prefix[0] == "_" or prefix[-1] == "_":
        raise ValueError(f"{prefix!r} is no TypeID prefix")
