"""Words, numbers and dates for people, in the language and the formats of a locale. Pure.

A locale is what a customer has: "en", "de-CH", "ja". One that is not known counts as "en". Words are there in the
languages of `LANGUAGES`; any other locale has English words, with its own numbers and dates. Plain "en" means nobody's
in particular: "1 March 2026" and "US$5.00", which no country reads differently; "en-US" has its own.

Every text is plain text: whoever puts it into a page or a document escapes it.
"""

from invoicing.localised.catalogue import LANGUAGES, Catalogue, language_of, t
from invoicing.localised.formats import (
    amount_text,
    date_text,
    is_right_to_left,
    moment_text,
    money_text,
    number_text,
    percent_text,
    period_name,
    period_text,
    price_text,
)

__all__ = [
    "LANGUAGES", "Catalogue", "amount_text", "date_text", "is_right_to_left", "language_of", "moment_text",
    "money_text", "number_text", "percent_text", "period_name", "period_text", "price_text", "t",
]  # fmt: skip
