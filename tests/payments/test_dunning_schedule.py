"""When an unpaid invoice is seen to: tables of the schedule."""

from datetime import UTC, datetime, timedelta

import pytest

from payments.domain import dunning
from payments.domain.dunning import Plan

T = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
PLAN = Plan((3, 5, 7), 14)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        # Every step in time: on day 3, 5 and 7, and the end a fortnight later.
        ((3, 5, 7), [3, 5, 7, 21]),
        ((3, 7, 14), [3, 7, 14, 28]),
        ((0, 1), [0, 1, 15]),
        ((10,), [10, 24]),
    ],
)
def test_every_step_in_time(days: tuple[int, ...], expected: list[int]) -> None:
    plan, at = Plan(days, 14), dunning.first_at(Plan(days, 14), T)
    found = [at]
    for step in range(1, len(days) + 1):
        assert dunning.is_last(plan, step) == (step == len(days))
        at = dunning.next_at(plan, step, at)
        found.append(at)
    assert [(one - T).days for one in found] == expected


@pytest.mark.parametrize(
    ("step", "made_on_day", "next_on_day"),
    [(1, 3, 5), (1, 40, 42), (2, 5, 7), (2, 42, 44), (3, 7, 21), (3, 44, 58), (4, 44, 58)],
)
def test_what_was_late_pushes_on_what_follows(step: int, made_on_day: int, next_on_day: int) -> None:
    """A worker that was away for a month sends no three mails in a minute."""
    assert dunning.next_at(PLAN, step, T + timedelta(days=made_on_day)) == T + timedelta(days=next_on_day)


@pytest.mark.parametrize(
    ("texts", "found"),
    [(["3", "5", "7"], (3, 5, 7)), ([" 3", "5 "], (3, 5)), (["0"], (0,)), ([], ()), (["365"], (365,))],
)
def test_days_are_read(texts: list[str], found: tuple[int, ...]) -> None:
    assert dunning.days_of(texts) == found


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["3", "3"], "the days must rise, and 3 follows 3"),
        (["7", "5"], "the days must rise, and 5 follows 7"),
        (["x"], '"x" is no whole number of days from 0 to 365'),
        (["-1"], '"-1" is no whole number of days from 0 to 365'),
        (["1.5"], '"1.5" is no whole number of days from 0 to 365'),
        (["366"], '"366" is no whole number of days from 0 to 365'),
        (["٣"], '"٣" is no whole number of days from 0 to 365'),
        (["3", ""], '"" is no whole number of days from 0 to 365'),
    ],
)
def test_days_that_are_none(texts: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        dunning.days_of(texts)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("code", "charged_again", "other_means"),
    [
        ("", True, False),
        ("card_declined", True, False),
        ("generic_decline", True, False),
        ("insufficient_funds", True, False),
        ("expired_card", True, False),
        # Nothing to charge today; the customer may leave something there tomorrow.
        ("no_payment_method", True, True),
        ("stolen_card", False, True),
        ("lost_card", False, True),
        ("pickup_card", False, True),
        ("incorrect_number", False, True),
        ("transaction_not_allowed", False, True),
        ("revocation_of_authorization", False, True),
        ("revocation_of_all_authorizations", False, True),
        ("authentication_required", False, True),
        ("highest_risk_level", False, True),
        ("invoice_payment_intent_requires_action", False, True),
        ("do_not_try_again", False, True),
    ],
)
def test_what_may_be_charged_again(code: str, charged_again: bool, other_means: bool) -> None:
    assert (dunning.may_charge_again(code), dunning.needs_other_means(code)) == (charged_again, other_means)


def test_a_pause_is_as_long_as_it_was() -> None:
    assert dunning.paused_for(T, T + timedelta(days=2)) == timedelta(days=2)
    assert dunning.paused_for(T, T - timedelta(days=2)) == timedelta()
