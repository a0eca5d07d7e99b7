"""How a use case of this app says no: one `access.errors.ApiError` that names every place at fault at once.

The API answers it as it is; `apply` turns its paths into lines of the file.
"""

from collections.abc import Iterable

from access import error_codes
from access.errors import ApiError, Detail, summary

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
        "unknown_rate_card": "No rate card of this key exists: create it first with PUT /v1/rate_cards/{key}.",
        "duplicate_price": "Two prices fit an outcome equally well; which of them counts would be chance.",
        "customer_exists": "A customer of this key exists already.",
        "condition_unchanged": "The condition in force says this already.",
        "overlapping_contract": "The customer has another contract in that span; a customer's never overlap.",
        "contract_already_exists": "The customer has a contract with this start, of other terms; those never change.",
        "ends_before_start": "A contract ends after it starts.",
        "invalid_anchor_day": "`anchor_day` is 1 to 31, and for weekly periods 1 (Monday) to 7.",
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
