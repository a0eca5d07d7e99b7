"""Numbers, money and dates as a locale writes them (CLDR, by babel). Exact: nothing is rounded and no float is met."""

import copy
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache

from babel import Locale, UnknownLocaleError
from babel import dates as babel_dates
from babel.numbers import NumberPattern

from conditions_dsl.words import plain
from contracts.domain import money
from contracts.domain.periods import Period, zone

# English as it is written outside of any one country.
_ENGLISH = "en_001"


@cache
def locale_of(locale: str) -> Locale:
    """The babel locale of a tag; of its language where only that is known, and English where nothing is."""
    parts = locale.replace("-", "_").split("_")
    while parts and parts != ["en"]:
        try:
            return Locale.parse("_".join(parts))
        except (UnknownLocaleError, ValueError):
            parts.pop()
    return Locale.parse(_ENGLISH)


def is_right_to_left(locale: str) -> bool:
    """Whether the locale's script runs from right to left; its words may be English all the same."""
    return locale_of(locale).text_direction == "rtl"


def number_text(number: Decimal | int, locale: str, *, decimals: int = 0) -> str:
    """A number with grouped digits and all its decimals, at least ``decimals`` of them: "1,234.5"."""
    exact = Decimal(number)
    places = max(decimals, len(plain(exact).partition(".")[2]))
    return _applied(locale_of(locale).decimal_formats[None], exact, locale, places)


def amount_text(amount_minor: int, currency: str, locale: str) -> str:
    """Money without its currency, which a head names: "1,234.50"."""
    return number_text(money.from_minor(amount_minor, currency), locale, decimals=money.exponent(currency))


def price_text(unit_price: Decimal, currency: str, locale: str) -> str:
    """A price without its currency: at least the decimals of the currency, more where the price has them."""
    return number_text(unit_price, locale, decimals=money.exponent(currency))


def money_text(amount_minor: int, currency: str, locale: str) -> str:
    """Money with its currency: "US$1,234.50", "1.234,50 €", "￥1,234"."""
    # The decimals are ours (ISO 4217): what CLDR has for some currencies is what people pay in, not what is booked.
    exact = money.from_minor(amount_minor, currency)
    pattern = locale_of(locale).currency_formats["standard"]
    return _applied(pattern, exact, locale, money.exponent(currency), currency)


def percent_text(percent: Decimal, locale: str) -> str:
    """19 as "19%", "19 %"; all its decimals."""
    part = percent.scaleb(-2, money.EXACT)
    places = len(plain(percent).partition(".")[2])
    return _applied(locale_of(locale).percent_formats[None], part, locale, places)


def _applied(pattern: NumberPattern, number: Decimal, locale: str, places: int, currency: str | None = None) -> str:
    exactly = copy.copy(pattern)
    exactly.frac_prec = (places, places)
    with localcontext(money.EXACT):
        return exactly.apply(number, locale_of(locale), currency=currency, currency_digits=False)


def date_text(day: date | datetime, locale: str, time_zone: str = "UTC") -> str:
    """A day in words: "1 March 2026". An instant is the day that it is in the zone."""
    return babel_dates.format_date(_local(day, time_zone), "long", locale=locale_of(locale))


def moment_text(instant: datetime, locale: str, time_zone: str) -> str:
    """An instant to the minute, with its zone: "1 March 2026, 14:05 UTC"."""
    local = instant.astimezone(zone(time_zone))
    time = babel_dates.format_skeleton("Hm", local, locale=locale_of(locale))
    both = str(babel_dates.get_datetime_format("medium", locale=locale_of(locale)))
    return both.format(f"{time} {local.tzname()}", date_text(local.date(), locale))


def period_text(period: Period, locale: str, time_zone: str) -> str:
    """A period by its first and last day: "1–31 March 2026"."""
    known = locale_of(locale)
    first = _local(period.start, time_zone)
    # The end is the first instant after the period, so its last day is the one before.
    last = _local(period.end - timedelta(microseconds=1), time_zone)
    if first == last:
        return date_text(first, locale)
    different = "y" if first.year != last.year else "M" if first.month != last.month else "d"
    formats = known.interval_formats
    # Most locales have intervals with short names of months only; the long ones stand in the same places.
    parts = formats.get("yMMMMd", formats["yMMMd"])[different]
    return "".join(
        babel_dates.format_date(day, part if "MMMM" in part else part.replace("MMM", "MMMM"), locale=known)
        for day, part in zip((first, last), parts, strict=True)
    )


def period_name(period: Period, locale: str, time_zone: str) -> str:
    """A whole calendar month or year by its name, "March 2026", any other period by its days."""
    first, after = _local(period.start, time_zone), _local(period.end, time_zone)
    if first.day == after.day == 1:
        months = (after.year - first.year) * 12 + after.month - first.month
        if months == 1:
            return babel_dates.format_skeleton("yMMMM", first, locale=locale_of(locale))
        if months == 12 and first.month == 1:
            return babel_dates.format_skeleton("y", first, locale=locale_of(locale))
    return period_text(period, locale, time_zone)


def _local(day: date | datetime, time_zone: str) -> date:
    return day.astimezone(zone(time_zone)).date() if isinstance(day, datetime) else day
