"""Prices and terms as the admin's pages say them."""

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from access.times import format_rfc3339
from contracts import agreed, pins, windows, wording
from contracts.models import ConditionVersion, ContractVersion, RateCardVersion
from contracts.prices import PriceFields, label, stored, unit_price_text


def prices_html(home: RateCardVersion | ContractVersion, currency: str) -> SafeString:
    """The prices of a version as lines: ``price of … : first 100 at 2.00 USD, then at 1.50 USD``."""
    return format_html_join(
        "",
        "<div>{}: <b>{}</b></div>",
        ((label(price), _said(price, currency)) for price in stored(home)),
    )


def money_html(version: ContractVersion) -> SafeString | str:
    """Discount, minimum, fees and the like."""
    return _named(wording.terms(agreed.stored(version), _shown_in(version))) or "none"


def own_windows_html(version: ContractVersion) -> SafeString | str:
    return _named(windows.texts(version).items()) or "none: the conditions'"


def pinned_html(version: ContractVersion) -> SafeString | str:
    named = ((slug, f"version {number}") for slug, number in pins.of_version(version).items())
    return _named(named) or "none: those in force"


def starts(version: ConditionVersion | RateCardVersion) -> str:
    if version.effective_from is None:
        return "from the beginning of time"
    return f"from {format_rfc3339(version.effective_from)}"


def _said(price: PriceFields, currency: str) -> str:
    return wording.price(price, lambda amount: f"{unit_price_text(amount, currency)} {currency}")


def _shown_in(version: ContractVersion) -> wording.Show:
    currency = version.contract.currency
    return lambda amount: f"{unit_price_text(amount, currency)} {currency}"


def _named(pairs: object) -> SafeString:
    return format_html_join("", "<div>{}: <b>{}</b></div>", pairs)  # type: ignore[arg-type]
