"""What one person may give away alone: an amount by currency."""

import re
from collections.abc import Iterable
from decimal import Decimal

from contracts.domain import money


def limits_of(texts: Iterable[str]) -> dict[str, int]:
    """Amounts in minor units by currency, from ``USD=500``, ``EUR=450.50``. Raises ValueError, naming what is wrong."""
    found: dict[str, int] = {}
    for text in texts:
        currency, _, amount = (part.strip() for part in text.partition("="))
        if currency not in money.EXPONENTS:
            raise ValueError(f'"{text.strip()}" begins with no currency: write USD=500')
        if currency in found:
            raise ValueError(f"{currency} is there twice")
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,4})?", amount):
            raise ValueError(f'"{text.strip()}" ends with no amount: write {currency}=500')
        minor = money.to_minor(Decimal(amount), currency)
        if money.from_minor(minor, currency) != Decimal(amount):
            raise ValueError(f"{amount} has more decimals than {currency}")
        found[currency] = minor
    return found
