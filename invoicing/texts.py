"""How numbers and dates are written: plain notation for machines, and English for operators and for what is stored.
What a customer reads is written by `invoicing.localised`.
"""

from datetime import date, datetime, timedelta

from conditions_dsl.words import plain
from contracts.domain import money
from contracts.domain.periods import Period, zone
from contracts.prices import unit_price_text as unit_price

__all__ = ["Period", "amount", "grouped", "local_date", "named", "plain", "span", "unit_price"]


def grouped(text: str) -> str:
    """Thousands set apart: "1234567.50" as "1,234,567.50"."""
    sign = "-" if text.startswith("-") else ""
    whole, point, decimals = text.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}{point}{decimals}"


def amount(amount_minor: int, currency: str) -> str:
    """Money for people: "USD 1,234.50"."""
    return f"{currency} {grouped(money.major_text(amount_minor, currency))}"


def local_date(instant: datetime, time_zone: str) -> date:
    """The calendar day of an instant in a zone."""
    return instant.astimezone(zone(time_zone)).date()


def span(period: Period, time_zone: str) -> str:
    """A period by its first and last day: "1 – 31 March 2026"."""
    first = local_date(period.start, time_zone)
    # The end is the first instant after the period, so its last day is the one before.
    last = local_date(period.end - timedelta(microseconds=1), time_zone)
    if first == last:
        return _day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} – {_day(last)}"
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} – {_day(last)}"
    return f"{_day(first)} – {_day(last)}"


def named(period: Period, time_zone: str) -> str:
    """A whole calendar month or year by its name, "March 2026", any other period by its days."""
    first = local_date(period.start, time_zone)
    after = local_date(period.end, time_zone)
    if first.day == after.day == 1:
        months = (after.year - first.year) * 12 + after.month - first.month
        if months == 1:
            return f"{_MONTHS[first.month - 1]} {first.year}"
        if months == 12 and first.month == 1:
            return str(first.year)
    return span(period, time_zone)


# strftime would answer in the language of the machine's locale.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _day(value: date) -> str:
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"
