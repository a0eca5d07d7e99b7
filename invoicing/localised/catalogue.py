"""Messages by key, in every language that has a catalogue."""

import string
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from invoicing.localised.formats import locale_of, number_text
from invoicing.localised.messages import de, en, fr, ja

Message = str | Mapping[str, str]
"""A text with {places}, or one for each plural form that its language has: {"one": …, "other": …}."""


class Catalogue:
    """The messages of one part of the product: for each language the same keys with the same places.

    Raises ValueError where a language lacks a key or has one that English has not: nothing is ever half translated.
    """

    def __init__(self, messages: Mapping[str, Mapping[str, Message]]) -> None:
        self._messages = messages
        english = messages["en"]
        for language, found in messages.items():
            if wrong := sorted(found.keys() ^ english.keys()):
                raise ValueError(f"the messages of {language} and en differ in {', '.join(wrong)}")
            for key, message in found.items():
                if places(message) != places(english[key]):
                    raise ValueError(f"the message {key} of {language} has other places than that of en")

    def text(self, locale: str, key: str, /, **values: str | int) -> str:
        """The message ``key`` in the locale's language. Texts are put in as they are, whole numbers as the locale
        writes them; the number ``count`` chooses the plural form. Raises KeyError for a key or a place without a value.
        """
        message = self._messages[language_of(locale)][key]
        if not isinstance(message, str):
            # Of the language and not of the locale, whose words may be English.
            form = locale_of(language_of(locale)).plural_form(Decimal(values["count"]))
            message = message.get(form, message["other"])
        return message.format_map(
            {name: number_text(value, locale) if isinstance(value, int) else value for name, value in values.items()}
        )

    def keys(self) -> set[str]:
        """Every key."""
        return set(self._messages["en"])


def places(message: Message) -> set[str]:
    """The names of a message's places; all plural forms together."""
    forms = [message] if isinstance(message, str) else message.values()
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


_MESSAGES: Final[dict[str, Mapping[str, Message]]] = {
    "en": en.MESSAGES,
    "de": de.MESSAGES,
    "fr": fr.MESSAGES,
    "ja": ja.MESSAGES,
}

LANGUAGES: Final = tuple(_MESSAGES)
"""The languages that have words of their own."""


def language_of(locale: str) -> str:
    """The language of the words in a locale: its own, or English."""
    language = locale_of(locale).language
    return language if language in LANGUAGES else "en"


_CATALOGUE: Final = Catalogue(_MESSAGES)
t = _CATALOGUE.text
"""``t(locale, key, **values)``: a message of invoices and credit notes (`Catalogue.text`)."""
