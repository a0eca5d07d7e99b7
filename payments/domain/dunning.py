"""When an unpaid invoice is seen to again, and when a failed charge may be repeated. Pure.

Days count from the beginning: from the charge that failed, or from the day the invoice fell due. They are kept as the
time from one step to the next, so what comes late pushes on what follows, and nothing is made up for in a burst.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

NO_METHOD: Final = "no_payment_method"
"""There is nothing to charge."""

DO_NOT_TRY_AGAIN: Final = "do_not_try_again"
"""The issuer's advice, whatever the decline code."""

NEVER_AGAIN: Final = frozenset(
    {
        "authentication_required", "highest_risk_level", "incorrect_number", "invoice_payment_intent_requires_action",
        "lost_card", "pickup_card", "revocation_of_all_authorizations", "revocation_of_authorization", "stolen_card",
        "transaction_not_allowed", DO_NOT_TRY_AGAIN,
    }
)  # fmt: skip
"""Codes after which a means of payment is not charged again: the decline codes that Stripe's own retries leave out, too
(docs.stripe.com/billing/revenue-recovery/smart-retries), and what only the customer can confirm. The networks fine
whoever goes on.
"""

LONGEST: Final = 365


class Plan(NamedTuple):
    """Days from the beginning to each step, and from the last step to the end."""

    days: tuple[int, ...]
    end_days: int


def days_of(texts: Iterable[str]) -> tuple[int, ...]:
    """Days from a setting; none is an empty plan. Raises ValueError, naming what is wrong."""
    days: list[int] = []
    for text in texts:
        if not text.strip().isascii() or not text.strip().isdigit() or int(text) > LONGEST:
            raise ValueError(f'"{text.strip()}" is no whole number of days from 0 to {LONGEST}')
        if days and int(text) <= days[-1]:
            raise ValueError(f"the days must rise, and {int(text)} follows {days[-1]}")
        days.append(int(text))
    return tuple(days)


def first_at(plan: Plan, began_at: datetime) -> datetime:
    """When the first step is due."""
    return began_at + timedelta(days=plan.days[0])


def next_at(plan: Plan, step: int, made_at: datetime) -> datetime:
    """When what follows step number ``step`` (from 1) is due, that having been made at an instant: the next step, or
    the end after the last.
    """
    if is_last(plan, step):
        return made_at + timedelta(days=plan.end_days)
    return made_at + timedelta(days=plan.days[step] - plan.days[step - 1])


def is_last(plan: Plan, step: int) -> bool:
    """Whether no step follows step number ``step``."""
    return step >= len(plan.days)


def may_charge_again(code: str) -> bool:
    """Whether what failed with this code may be charged again."""
    return code not in NEVER_AGAIN


def needs_other_means(code: str) -> bool:
    """Whether the customer has to name another means of payment, or to confirm this one."""
    return code in NEVER_AGAIN or code == NO_METHOD


def paused_for(paused_at: datetime, now: datetime) -> timedelta:
    """How much later everything is after a pause."""
    return max(now - paused_at, timedelta())
