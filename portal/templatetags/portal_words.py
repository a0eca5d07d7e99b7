"""Tags that speak in the words of the page (`portal.words.Words`, ``words`` in the context). All of it is escaped."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from portal.words import Words

register = template.Library()


def _words(context: Any) -> Words:
    words: Words = context["words"]
    return words


@register.simple_tag(takes_context=True)
def say(context: Any, key: str, **values: Any) -> str:
    """A text of the portal."""
    return _words(context).say(key, **values)


@register.simple_tag(takes_context=True)
def document(context: Any, key: str, **values: Any) -> str:
    """A text of invoices and credit notes."""
    return _words(context).document(key, **values)


@register.simple_tag(takes_context=True)
def money(context: Any, amount_minor: int, currency: str) -> str:
    return _words(context).money(amount_minor, currency)


@register.simple_tag(takes_context=True)
def number(context: Any, value: Decimal | int) -> str:
    return _words(context).number(value)


@register.simple_tag(takes_context=True)
def day(context: Any, instant: datetime, time_zone: str = "") -> str:
    return _words(context).day(instant, time_zone)


@register.simple_tag(takes_context=True)
def moment(context: Any, instant: datetime) -> str:
    return _words(context).moment(instant)


@register.simple_tag(takes_context=True)
def period(context: Any, start: datetime, end: datetime, time_zone: str = "") -> str:
    return _words(context).period(start, end, time_zone)


@register.simple_tag(takes_context=True)
def english(context: Any) -> SafeString:
    """The attribute of what is in English, where the page is not."""
    return mark_safe("" if _words(context).english else ' lang="en"')  # noqa: S308 - a constant
