"""The words of one customer's pages: the portal's texts and those of the documents, numbers, money and times, all as
its locale has them.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from babel.dates import format_timedelta

from contracts.domain.periods import Period, zone
from invoicing import localised
from invoicing.localised import LANGUAGES, language_of
from invoicing.localised.formats import locale_of
from portal.messages import PORTAL


def asked_for(accept_language: str) -> str:
    """The locale of who is not known, from what the browser asks for: the first whose words we have."""
    for part in accept_language[:200].split(","):
        tag = part.partition(";")[0].strip()
        if tag.partition("-")[0].lower() in LANGUAGES:
            return tag
    return "en"


class Words:
    """``time_zone`` is the one in which times are told; the days of a document are told in its own. Any text may name
    the ``seller``.
    """

    def __init__(self, locale: str, time_zone: str, seller: str) -> None:
        self.locale = locale
        self.time_zone = time_zone
        self.seller = seller

    @property
    def tag(self) -> str:
        """For the attribute ``lang`` of the page: the language of the words."""
        return language_of(self.locale)

    @property
    def english(self) -> bool:
        """Whether what Holdfast says in English alone is in the page's own language."""
        return self.tag == "en"

    def say(self, key: str, **values: str | int) -> str:
        """A text of the portal; ``count`` is the number by which it chooses its form."""
        return PORTAL.text(self.locale, key, seller=self.seller, **values)

    def document(self, key: str, **values: str | int) -> str:
        """A text of invoices and credit notes."""
        return localised.t(self.locale, key, **values)

    # --- Numbers ------------------------------------------------------------------------------------------------------

    def number(self, value: Decimal | int) -> str:
        return localised.number_text(value, self.locale)

    def percent(self, value: Decimal) -> str:
        return localised.percent_text(value, self.locale)

    def money(self, amount_minor: int, currency: str) -> str:
        return localised.money_text(amount_minor, currency, self.locale)

    # --- Times --------------------------------------------------------------------------------------------------------

    def day(self, instant: datetime, time_zone: str = "") -> str:
        return localised.date_text(instant, self.locale, time_zone or self.time_zone)

    def moment(self, instant: datetime) -> str:
        return localised.moment_text(instant, self.locale, self.time_zone)

    def period(self, start: datetime, end: datetime, time_zone: str = "") -> str:
        return localised.period_text(Period(start, end), self.locale, time_zone or self.time_zone)

    def until(self, instant: datetime, now: datetime) -> str:
        """How long it is from ``now``: in 3 days."""
        if instant <= now:
            return self.say("due_now")
        words = locale_of(self.tag)
        return format_timedelta(instant - now, granularity="minute", add_direction=True, locale=words)

    def midnights(self, after: datetime, count: int) -> Iterator[datetime]:
        """The beginnings of so many days that follow an instant, in UTC."""
        here = zone(self.time_zone)
        today: date = after.astimezone(here).date()
        for days in range(1, count + 1):
            yield datetime.combine(today + timedelta(days=days), datetime.min.time(), here).astimezone(UTC)
