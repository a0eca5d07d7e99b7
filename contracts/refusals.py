"""How a use case of this app says no: one `access.errors.ApiError` that names every place at fault at once.

The API answers it as it is; `apply` turns its paths into lines of the file.
"""

from collections.abc import Iterable

from access import error_codes
from access.errors import ApiError, Detail, summary
from contracts.domain import rating

error_codes.register(rating.CODES)
error_codes.register(
    {
        "invalid_condition": "The text of the condition has errors; `details` names line and column of each.",
        "key_changed": "`per` names what an outcome is about; it is the same in all versions: take a new slug.",
        "in_the_past": "A later version may not start in the past: leave `effective_from` out, or name a coming time.",
        "version_start_taken": "A version starts at that very moment already, and versions never change.",
        "invalid_key": "A key has printable characters, none of them a blank at either end.",
        "unknown_currency": "The currency is no ISO 4217 code that Holdfast knows.",
        "unknown_time_zone": "The time zone is none of the IANA database, such as `Europe/Berlin`.",
        "currency_mismatch": "A contract, its rate card and its prices are in one currency.",
        "unknown_condition": "No condition of this slug exists: create it first.",
        "unknown_dimension": "No version of the condition has this dimension, so the price would never be used.",
        "unknown_customer": "No customer of this key exists: create it first with PUT /v1/customers/{key}.",
        "unknown_test_clock": "No test clock of this id exists: create it first with POST /v1/test_clocks.",
        "test_clock_fixed": "A customer keeps the clock it was created with: create another customer.",
        "unknown_locale": "The locale is no tag of a language that is known, such as `en`, `de` or `de-CH`.",
        "unknown_tax_rate": "No tax rate of this key exists: create it first with PUT /v1/tax_rates/{key}.",
        "mixed_tax_rates": "Prices contain all taxes of a customer or none of them: choose rates of one kind.",
        "too_many_tax_rates": "A customer has at most 5 tax rates.",
        "tax_rate_exists": "A tax rate of this key exists already.",
        "unknown_rate_card": "No rate card of this key exists: create it first with PUT /v1/rate_cards/{key}.",
        "duplicate_price": "Two prices fit an outcome equally well; which of them counts would be chance.",
        "customer_exists": "A customer of this key exists already.",
        "condition_unchanged": "The condition in force says this already.",
        "rate_card_unchanged": "The rate card in force says this already.",
        "contract_unchanged": "The amendment changes nothing.",
        "overlapping_contract": "The customer has another contract in that span; a customer's never overlap.",
        "contract_already_exists": "The customer has a contract with this start, of other terms; those never change.",
        "ends_before_start": "A contract ends after it starts.",
        "ends_at_later": "An amendment can only bring the end of a contract forward: agree one that follows it.",
        "outside_contract": "Phases, amendments and commitments begin and end while their contract runs.",
        "phases_out_of_order": "Each phase starts after the one before it.",
        "not_a_period": "A commitment begins and ends where a billing period does.",
        "backdated": "Prices and other terms of money can be amended for the past; what decides on outcomes cannot,"
        " nor what becomes of invoices and credit.",
        "invalid_anchor_day": "`anchor_day` is 1 to 31, and for weekly periods 1 (Monday) to 7.",
        "window_not_overridable": "A contract can replace the DURATION of `settle after DURATION`, and no other form.",
        "window_backdated": "Outcomes were met in that span already, and a window is never changed under them: begin it"
        " later.",
        "unknown_version": "The condition has no version of this number.",
        "pin_before_version": "A version of a condition is pinned from its making, or from its own start, on.",
        "pin_backdated": "Events were evaluated in that span by another version of the condition: begin the pin later.",
        "not_for_customer": "The condition is limited to named customers, and this one is not among them.",
        "condition_not_limited": "The condition is for every customer and stays so.",
        "customer_left_out": "A customer that a condition is for is not taken off: name all of them.",
        "invalid_duration": "A duration is written as in conditions: `12 hours`, `1 day 12 hours`.",
    }
)


def refused(code: str, message: str, path: str = "") -> ApiError:
    """422: what was asked for cannot be, for a reason in one place."""
    return refusals([Detail(path, message, code)])


def refusals(details: Iterable[Detail]) -> ApiError:
    """422 for one or several places. A single reason lends its code to the whole."""
    listed = tuple(details)
    code = listed[0].code if len({detail.code for detail in listed}) == 1 else "invalid"
    return ApiError(422, code, summary(listed), details=listed)


def conflict(code: str, message: str, path: str = "") -> ApiError:
    """409: what was asked for is at odds with what is already there."""
    return ApiError(409, code, message, details=[Detail(path, message, code)])


def raise_if_any(problems: Iterable[Detail | None]) -> None:
    """Refuse with everything that is wrong at once; None entries are checks that passed."""
    found = [problem for problem in problems if problem is not None]
    if found:
        raise refusals(found)
