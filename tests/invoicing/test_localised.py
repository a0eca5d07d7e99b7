"""Words, numbers and dates of every locale; every text of ours is there in every language."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from babel.localedata import locale_identifiers

from contracts.domain import money, rating
from contracts.domain.periods import Period
from contracts.domain.rating import Line, Price, Step
from contracts.domain.rating.types import Commitment, Fee
from invoicing import breakdown, localised, wording
from invoicing.localised import catalogue
from invoicing.localised.lines import title_of
from invoicing.localised.reasons import said_again
from invoicing.models import InvoiceLine
from tests.invoicing.documents import MARCH, every_line, squeezed

INVOICING = Path(catalogue.__file__).parents[1]


# --- Numbers and money ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "usd", "jpy", "kwd", "price", "percent"),
    [
        ("en", "-US$12,345.67", "JP¥1,234,567", "KWD1,234.567", "0.000125", "7.7%"),
        ("en-US", "-$12,345.67", "¥1,234,567", "KWD1,234.567", "0.000125", "7.7%"),
        ("de", "-12.345,67 $", "1.234.567 ¥", "1.234,567 KWD", "0,000125", "7,7 %"),
        ("de-CH", "$-12’345.67", "¥1’234’567", "KWD1’234.567", "0.000125", "7.7%"),
        ("fr", "-12 345,67 $US", "1 234 567 JPY", "1 234,567 KWD", "0,000125", "7,7 %"),
        ("ja", "-$12,345.67", "￥1,234,567", "KWD1,234.567", "0.000125", "7.7%"),
        ("es", "-12.345,67 US$", "1.234.567 JPY", "1.234,567 KWD", "0,000125", "7,7 %"),
        ("en-IN", "-$12,345.67", "JP¥12,34,567", "KWD1,234.567", "0.000125", "7.7%"),
    ],
)
def test_money_and_numbers(locale: str, usd: str, jpy: str, kwd: str, price: str, percent: str) -> None:
    shown = [localised.money_text(-1234567, "USD", locale)]
    shown += [localised.money_text(1234567, currency, locale) for currency in ("JPY", "KWD")]
    shown += [localised.price_text(Decimal("0.000125"), "USD", locale)]
    shown += [localised.percent_text(Decimal("7.700"), locale)]
    assert [squeezed(text) for text in shown] == [squeezed(text) for text in (usd, jpy, kwd, price, percent)]


@pytest.mark.parametrize("locale", ["en", "de", "fr", "ja", "de-CH", "en-IN", "sv"])
def test_every_currency_keeps_all_its_digits(locale: str) -> None:
    for currency, exponent in money.EXPONENTS.items():
        for minor in (money.MAX_MINOR, -money.MAX_MINOR, 0, 1):
            for text in (localised.money_text(minor, currency, locale), localised.amount_text(minor, currency, locale)):
                # Symbols hold no digits of their own.
                assert int(re.sub(r"\D", "", text)) == abs(minor), (currency, text)
                assert len(re.sub(r"\D", "", text)) >= exponent + 1


def test_nothing_is_rounded() -> None:
    exact = Decimal("12345678901234567890123456789012345678.1234567890123456789012345678901234")
    assert localised.number_text(exact, "en").replace(",", "") == str(exact)
    assert localised.number_text(Decimal("1E+3"), "de") == "1.000"
    assert localised.number_text(Decimal("5.50"), "de") == "5,5"
    assert localised.price_text(Decimal("5.5"), "USD", "de") == "5,50"


# --- Dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "day", "within", "over", "across", "name"),
    [
        ("en", "1 March 2026", "1–31 March 2026", "15 March – 14 April 2026", "15 December 2025 – 14 January 2026",
         "March 2026"),
        ("en-US", "March 1, 2026", "March 1 – 31, 2026", "March 15 – April 14, 2026",
         "December 15, 2025 – January 14, 2026", "March 2026"),
        ("de", "1. März 2026", "1.–31. März 2026", "15. März – 14. April 2026", "15. Dezember 2025 – 14. Januar 2026",
         "März 2026"),
        ("fr", "1 mars 2026", "1–31 mars 2026", "15 mars – 14 avril 2026", "15 décembre 2025 – 14 janvier 2026",
         "mars 2026"),
        ("ja", "2026年3月1日", "2026年3月1日～31日", "2026年3月15日～4月14日", "2025年12月15日～2026年1月14日",
         "2026年3月"),
        ("es", "1 de marzo de 2026", "1–31 de marzo de 2026", "15 de marzo – 14 de abril de 2026",
         "15 de diciembre de 2025 – 14 de enero de 2026", "marzo de 2026"),
    ],
)  # fmt: skip
def test_dates(locale: str, day: str, within: str, over: str, across: str, name: str) -> None:
    def period(*ends: tuple[int, int, int]) -> Period:
        start, end = (datetime(*one, tzinfo=UTC) for one in ends)
        return Period(start, end)

    shown = [
        localised.date_text(date(2026, 3, 1), locale),
        localised.period_text(period((2026, 3, 1), (2026, 4, 1)), locale, "UTC"),
        localised.period_text(period((2026, 3, 15), (2026, 4, 15)), locale, "UTC"),
        localised.period_text(period((2025, 12, 15), (2026, 1, 15)), locale, "UTC"),
        localised.period_name(period((2026, 3, 1), (2026, 4, 1)), locale, "UTC"),
    ]
    assert [squeezed(text) for text in shown] == [squeezed(text) for text in (day, within, over, across, name)]
    single = period((2026, 3, 1), (2026, 3, 2))
    assert localised.period_text(single, locale, "UTC") == localised.period_name(single, locale, "UTC") == shown[0]


def test_days_are_those_of_the_zone() -> None:
    midnight = datetime(2026, 2, 28, 23, tzinfo=UTC)
    april = Period(midnight, datetime(2026, 3, 31, 22, tzinfo=UTC))
    assert localised.date_text(midnight, "en", "Europe/Berlin") == "1 March 2026"
    assert localised.period_name(april, "de", "Europe/Berlin") == "März 2026"
    year = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert localised.period_name(year, "ja", "UTC") == "2026年"
    assert localised.moment_text(midnight, "en", "Europe/Berlin") == "1 March 2026, 00:00 CET"


def test_every_locale_there_is_has_texts() -> None:
    """Whatever a customer's locale says: numbers, dates and words come out."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ends = [datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)]
    for locale in [*locale_identifiers()[::15], "", "xx", "nonsense", "en-XX", "de-", "zh-Hant-TW", "../etc/passwd"]:
        assert localised.money_text(5, "USD", locale) and localised.moment_text(start, locale, "UTC")
        assert all(localised.period_text(Period(start, end), locale, "UTC") for end in ends)
        assert localised.t(locale, "note.voided", count=2) and localised.language_of(locale) in localised.LANGUAGES


# --- Messages ---------------------------------------------------------------------------------------------------------


def test_the_languages_have_the_same_messages() -> None:
    with pytest.raises(ValueError, match=r"de and en differ in b"):
        localised.Catalogue({"en": {"a": "A"}, "de": {"a": "A", "b": "B"}})
    with pytest.raises(ValueError, match="message a of fr has other places"):
        localised.Catalogue({"en": {"a": "{x}"}, "fr": {"a": {"one": "{x}", "other": "{y}"}}})
    assert localised.LANGUAGES == ("en", "de", "fr", "ja")


@pytest.mark.parametrize("language", localised.LANGUAGES)
def test_every_message_comes_out_whole(language: str) -> None:
    ours = catalogue._CATALOGUE
    for key in sorted(ours.keys()):
        message = ours._messages[language][key]
        names = catalogue.places(message)
        for count in (0, 1, 2, 5, 1_000_000):
            values: dict[str, Any] = {name: count if name == "count" else f"<{name}>" for name in names}
            text = localised.t(language, key, **values)
            assert all(str(value) in text for name, value in values.items() if name != "count"), key
            assert "count" not in names or localised.number_text(count, language) in text, key
    assert localised.t("de", "note.taken_back", count=1) == "1 Ergebnis wurde zurückgenommen."
    # Nothing is one in French, and many in English.
    assert localised.t("fr", "note.taken_back", count=0) == "0 résultat a été repris."
    assert localised.t("en", "note.taken_back", count=0) == "0 were taken back."


@pytest.mark.parametrize("language", ["de", "fr", "ja"])
def test_messages_are_translated(language: str) -> None:
    """What is the same as in English is a name, a formula, or a word of both languages."""
    english, other = (catalogue._MESSAGES[one] for one in ("en", language))
    same = {key for key in english if english[key] == other[key] and re.search("[a-z]{3}", str(english[key]))}
    same -= {"line.fee", "step.units", "sum.credit", "colon", "mark.test"}
    same = {key for key in same if re.sub(r"{\w+}", "", str(english[key])).strip(" ×=()%:.")}
    assert same <= {"sum.total", "fact.note_date", "group.period", "page"}, same


def test_every_message_is_used() -> None:
    code = "".join(path.read_text() for path in INVOICING.rglob("*.py") if "messages" not in path.parts)
    composed = {"step.included", "step.pooled", "step.bounds"}
    unused = {
        key
        for key in catalogue._CATALOGUE.keys() - composed
        if f'"{key}"' not in code and f'"{re.sub("_(up_to|draft)$", "", key)}' not in code
    }
    assert unused == set()


# --- Titles of lines --------------------------------------------------------------------------------------------------

COMMITMENT = Commitment(("c", 1), Decimal("50000"), "advance")
OURS = [
    (Line(rating.FEE, 100, fee=Fee(("f", 1), "Seats, gold", "recurring", Decimal(1))), "Seats, gold、2026年3月"),
    (Line(rating.FEE, 100, fee=Fee(("f", 1), "Set-up", "one_off", Decimal(1))), "Set-up"),
    (Line(rating.DISCOUNT, -1, steps=(Step(Decimal(1), Decimal("7.5"), Decimal(1), "percent"),)), "値引き 7.5%"),
    (Line(rating.DISCOUNT, -1), "値引き"),
    (
        Line(rating.MAXIMUM, -1, price=Price(1, 1), facts={"maximum_minor": 1234567}),
        "Ticket: closed：上限額 12,345.67 の超過分、請求なし",
    ),
    (Line(rating.MAXIMUM, -1, price=Price(1, 2), facts={"maximum_minor": 5}), "料金：上限額 0.05 の超過分、請求なし"),
    (Line(rating.MINIMUM, 1, facts={"minimum_minor": 100000}), "最低利用額 1,000.00：差額"),
    (Line(rating.CAP, -1, facts={"cap_minor": 100000}), "利用限度額 1,000.00 の超過分、請求なし"),
    (Line(rating.COMMITMENT, 1, commitment=COMMITMENT), "利用確約額 50,000.00、前払い"),
    (
        Line(rating.DRAWDOWN, -1, commitment=COMMITMENT, facts={"left_minor": 1234560}),
        "利用確約額 50,000.00 から充当：残額 12,345.60",
    ),
    (Line(rating.TRUE_UP, 1, commitment=COMMITMENT), "利用確約額 50,000.00：差額"),
]


@pytest.mark.parametrize(("line", "japanese"), OURS, ids=lambda value: getattr(value, "kind", None))
def test_titles_that_are_ours_are_said_again(line: Line, japanese: str) -> None:
    """By the code that words them at issue: a wording that is not recognised any more fails here."""
    title = wording.title(line, MARCH, "UTC", "USD", {1: "Ticket: closed"})
    stored = InvoiceLine(kind=line.kind, title=title, period_start=MARCH.start, period_end=MARCH.end)
    assert title_of(stored, "USD", "ja", "UTC") == japanese
    assert squeezed(title_of(stored, "USD", "en", "UTC")) == squeezed(title)


def test_titles_that_are_not_ours_stay() -> None:
    for kind in ("usage", "item", "goodwill", "discount", "cap", "fee"):
        stored = InvoiceLine(kind=kind, title="Discount 10 % of what?", period_start=MARCH.start, period_end=MARCH.end)
        assert title_of(stored, "USD", "de", "UTC") == "Discount 10 % of what?"


@pytest.mark.parametrize("language", ["de", "fr", "ja"])
def test_the_reason_of_a_credit_note_is_said_again(language: str) -> None:
    """By the code that words it at issue, with one of each and with thousands."""
    causes = dict.fromkeys(("event", "late", "person", "dispute", "clock"), 1)
    told: list[dict[str, Any]] = [
        {"undone": 5, "causes": causes, "fresh": 1, "since": True, "moved": 1},
        {"undone": 1, "causes": {}, "fresh": 1200, "since": False, "moved": 1200},
        {"undone": 0, "causes": {}, "fresh": 0, "since": False, "moved": 0},
    ]
    for one in told:
        stored = wording.credit_reason("March 2026", **one)
        said = said_again(stored, [MARCH], language, "UTC")
        numbers = [int(re.sub(r"\D", "", number)) for number in re.findall(r"\d[\d., \u202f]*", said)]
        assert not re.search("outcome|invoice|March", said)
        assert numbers.count(1200) == [one["fresh"], one["moved"]].count(1200)
        assert said_again(stored, [MARCH], "en", "UTC") == stored
    assert said_again("By hand; so be it.", [MARCH], language, "UTC") == "By hand; so be it."


@pytest.mark.parametrize("language", ["de", "fr", "ja"])
def test_what_stands_under_a_line_is_translated(language: str) -> None:
    """No step and no note of any kind is left in English."""
    for english, other in zip(
        breakdown.of_lines(every_line(), "EUR"), breakdown.of_lines(every_line(), "EUR", language), strict=True
    ):
        assert len(english) == len(other)
        for one, said in zip(english, other, strict=True):
            assert said != one or not re.search("[a-z]", one)
