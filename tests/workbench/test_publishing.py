"""A text goes into force by the API's own function, from a date, with a reason, by who may add conditions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.models import Condition, ConditionVersion, Customer
from tests.outcomes import factories
from tests.workbench.shop import DAY, TEXT, TRIED, client_of, open_shop

pytestmark = pytest.mark.django_db

PUBLISH = "/admin/workbench/condition/publish/"
OWN = "outcome own\nper ticket\nbill when ticket.closed\n"


@pytest.fixture(autouse=True)
def _billed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is a transaction of its own, which these tests, inside one, cannot take: test_trying.py does."""
    monkeypatch.setattr("workbench.trying.AT_ONCE", 0)


@pytest.fixture
def condition() -> Condition:
    return open_shop(timezone.now())


@pytest.fixture
def engineer(condition: Condition) -> Client:
    return client_of("engineer")


def confirm(client: Client, text: str, **given: Any) -> Any:
    data = {"text": text.replace("\n", "\r\n"), "_confirm": "1", "reason": "Agreed with sales.", **given}
    return client.post(PUBLISH, data)


def errors(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.context["form"].errors)


def test_it_says_what_will_happen_and_writes_nothing_yet(condition: Condition, engineer: Client) -> None:
    now = timezone.now()
    create_condition_version(TEXT + "# later\nexpire after 9 days of silence\n", effective_from=now + 9 * DAY, now=now)
    shown = engineer.post(PUBLISH, {"text": TRIED}).content.decode()
    for words in (
        "Published, this becomes version 3 of solved, after version 1 of solved.",
        "What began before keeps the version it began under to its end",
        "Version 2 is agreed already and takes over from",
        "The charge becomes final 24 hours after this is reached.",
        "<del>72</del>",
    ):
        assert words in shown, words
    assert condition.versions.count() == 2


def test_whose_contracts_say_otherwise(condition: Condition, engineer: Client) -> None:
    for key, own in (
        ("hooli", {"conditions": {"solved": 1}}),
        ("initech", {"settlement_windows": {"solved": 1_209_600}}),
    ):
        factories.customer(key)
        terms = ContractFields(customer=key, starts_at=timezone.now(), rate_card="standard", currency="USD", **own)
        create_contract(terms, now=timezone.now())
    shown = engineer.post(PUBLISH, {"text": TRIED}).content.decode()
    assert "pin a version, which they keep whatever is published: hooli (version 1)." in shown
    assert "window of their own, which stays: initech (2 weeks)." in shown
    other = engineer.post(PUBLISH, {"text": TEXT.replace("settle after 72 hours", "settle immediately")})
    assert "does not heed, as it says `settle immediately`: initech (2 weeks)." in other.content.decode()


def test_from_a_date_with_a_reason(condition: Condition, engineer: Client) -> None:
    date = datetime(2190, 1, 1, 6, tzinfo=UTC)
    assert "reason" in errors(confirm(engineer, TRIED, reason=" "))
    answer = confirm(engineer, TRIED, effective_from_0="2190-01-01", effective_from_1="06:00:00")
    versions = reverse("workbench_condition_versions", args=[condition.pk])
    assert answer.status_code == 302 and answer.url == versions
    version = ConditionVersion.objects.get(number=2)
    assert (version.text, version.effective_from) == (TRIED, date)
    # As the API would have made it: that call finds nothing to do.
    assert not create_condition_version(TRIED, effective_from=date, now=timezone.now()).wrote
    [entry] = LogEntry.objects.all()
    noted = "Published version 2 (in force from 1 January 2190, 06:00 UTC): Agreed with sales."
    assert (entry.user.username, entry.object_id, entry.get_change_message()) == ("engineer", str(condition.pk), noted)
    shown = client_of("viewer").get(versions).content.decode()
    for words in (
        "by engineer",
        "Agreed with sales.",
        "from 1 January 2190, 06:00:00 UTC",
        "<del>72</del>",
        "<ins>24</ins>",
    ):
        assert words in shown, words
    assert "Version 1: Ticket solved (in force)" in shown and "the trail names nobody" in shown


def test_what_the_api_refuses_is_said_beside_the_field(condition: Condition, engineer: Client) -> None:
    past = confirm(engineer, TRIED, effective_from_0="2020-01-01", effective_from_1="00:00:00")
    assert "may not start in the past" in errors(past)
    assert list(past.context["form"].errors) == ["effective_from"]
    assert "says this already" in errors(confirm(engineer, TEXT + "# the same\n"))
    keys = confirm(engineer, TEXT.replace("per ticket", "per case"))
    assert "`per` cannot change" in errors(keys)
    broken = confirm(engineer, TEXT.replace("void", "viod"))
    assert broken.status_code == 200 and "Did you mean `void`" in broken.content.decode()
    assert "Enter a valid date" in errors(confirm(engineer, TRIED, effective_from_0="x", effective_from_1="y"))
    assert condition.versions.count() == 1 and not LogEntry.objects.exists()


def test_a_new_condition_for_named_customers(engineer: Client) -> None:
    acme, globex = Customer.objects.order_by("key")
    shown = engineer.post(PUBLISH, {"text": OWN}).content.decode()
    assert "events that have come already are read, too" in shown and "no rate card has a price for it" in shown
    assert confirm(engineer, OWN, customers=[acme.pk]).status_code == 302
    own = Condition.objects.get(slug="own")
    assert own.limited and own.versions.get().effective_from is None
    longer = OWN + "settle after 1 hour\n"
    assert "nobody is taken off" in errors(confirm(engineer, longer, customers=[globex.pk]))
    assert "It is for acme alone." in engineer.post(PUBLISH, {"text": longer}).content.decode()
    assert confirm(engineer, longer, customers=[acme.pk, globex.pk]).status_code == 302
    assert list(own.named.order_by("customer__key").values_list("customer__key", flat=True)) == ["acme", "globex"]
    page = engineer.get(reverse("admin:contracts_condition_change", args=[own.pk])).content.decode()
    assert "acme, globex (from 2" in page


@pytest.mark.parametrize("role", ["viewer", "finance", "approver", "staff"])
def test_who_may_not_publish(condition: Condition, role: str) -> None:
    assert confirm(client_of(role), TRIED).status_code == 403
    assert condition.versions.count() == 1


def test_a_link_publishes_nothing(engineer: Client, condition: Condition) -> None:
    assert engineer.get(PUBLISH, {"text": TRIED, "_confirm": "1", "reason": "x"}).status_code == 405
    assert condition.versions.count() == 1


def test_versions_are_chosen_to_be_compared(engineer: Client, condition: Condition) -> None:
    page = reverse("workbench_condition_versions", args=[condition.pk])
    assert "beside version" not in engineer.get(page).content.decode(), "there is but one"
    for hours in (24, 48):
        create_condition_version(
            TEXT.replace("72", str(hours)), effective_from=timezone.now() + hours * DAY, now=timezone.now()
        )
    last, chosen = engineer.get(page).content.decode(), engineer.get(page, {"old": "1", "new": "3"}).content.decode()
    assert "Version 2 beside version 3" in last and "<del>24</del>" in last
    assert "Version 1 beside version 3" in chosen and "<del>72</del>" in chosen and "<ins>48</ins>" in chosen
    assert engineer.get(page, {"old": "77", "new": "x"}).status_code == 200
    begun = engineer.get(reverse("workbench_condition", args=[condition.pk]), {"version": "3"}).content.decode()
    assert "settle after 48 hours" in begun
