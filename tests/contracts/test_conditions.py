from datetime import timedelta

import pytest

from access.errors import ApiError
from contracts.changes import Kind
from contracts.conditions import create_condition_version
from contracts.models import Condition, ConditionVersion
from tests.contracts.conftest import NOW, TICKET

pytestmark = pytest.mark.django_db

OTHER = TICKET.replace("72 hours", "48 hours")
DAY = timedelta(days=1)


def _codes(text: str, **kwargs: object) -> list[tuple[str, str]]:
    with pytest.raises(ApiError) as refusal:
        create_condition_version(text, **{"effective_from": None, "now": NOW, **kwargs})
    return [(detail.path, detail.code) for detail in refusal.value.details]


def test_first_version_is_from_the_beginning_of_time() -> None:
    change = create_condition_version(TICKET, effective_from=None, now=NOW)
    assert change.kind is Kind.CREATED
    version = change.value
    assert (version.number, version.effective_from, version.title) == (1, None, "Ticket resolved")
    assert version.text == TICKET
    assert version.canonical.startswith("outcome resolved_ticket")
    assert version.description


def test_first_version_may_be_dated_even_in_the_past() -> None:
    version = create_condition_version(TICKET, effective_from=NOW - 90 * DAY, now=NOW).value
    assert version.effective_from == NOW - 90 * DAY


def test_the_same_text_makes_no_version() -> None:
    first = create_condition_version(TICKET, effective_from=None, now=NOW).value
    commented = "# a comment\n" + TICKET.replace("\n", "\n\n")
    for text in (TICKET, commented):
        again = create_condition_version(text, effective_from=None, now=NOW + DAY)
        assert (again.kind, again.value) == (Kind.UNCHANGED, first)


def test_another_text_is_the_next_version_from_now_on() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    change = create_condition_version(OTHER, effective_from=None, now=NOW + DAY)
    assert change.kind is Kind.NEW_VERSION
    assert (change.value.number, change.value.effective_from) == (2, NOW + DAY)
    # And back again: what counts is what is in force, not what once was.
    back = create_condition_version(TICKET, effective_from=None, now=NOW + 2 * DAY)
    assert (back.kind, back.value.number) == (Kind.NEW_VERSION, 3)


def test_a_coming_version_leaves_the_present_one_in_force() -> None:
    first = create_condition_version(TICKET, effective_from=None, now=NOW).value
    coming = create_condition_version(OTHER, effective_from=NOW + 30 * DAY, now=NOW).value
    assert coming.number == 2
    assert create_condition_version(TICKET, effective_from=None, now=NOW + DAY).value == first
    # Sent again, with its date: known. Without it: the text is wanted now.
    assert create_condition_version(OTHER, effective_from=NOW + 30 * DAY, now=NOW + DAY).value == coming
    assert create_condition_version(OTHER, effective_from=None, now=NOW + DAY).value.number == 3


def test_a_later_version_never_starts_in_the_past() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    assert _codes(OTHER, effective_from=NOW - timedelta(microseconds=1)) == [("effective_from", "in_the_past")]
    assert ConditionVersion.objects.count() == 1


def test_two_versions_never_start_at_the_same_moment() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    create_condition_version(OTHER, effective_from=NOW + DAY, now=NOW)
    third = TICKET.replace("72 hours", "24 hours")
    assert _codes(third, effective_from=NOW + DAY) == [("effective_from", "version_start_taken")]


def test_per_never_changes() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    assert _codes(TICKET.replace("per ticket_id", "per ticket_id or issue.id")) == [("text", "key_changed")]


def test_a_text_that_is_no_condition_is_refused_with_its_place() -> None:
    with pytest.raises(ApiError) as refusal:
        create_condition_version(TICKET.replace("bill when", "bil when"), effective_from=None, now=NOW)
    error = refusal.value
    assert (error.status_code, error.code) == (422, "invalid_condition")
    assert "Line 4" in error.details[0].message
    assert not Condition.objects.exists()


@pytest.mark.parametrize("slug", ["check", "try", "x" * 129])
def test_slugs_that_have_no_place(slug: str) -> None:
    assert _codes(TICKET.replace("resolved_ticket", slug, 1)) == [("text", "invalid_condition")]
