"""Explanations of stored outcomes: every state, by the API and in the admin, over the gallery's stories too."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from freezegun import freeze_time

from conditions_dsl import parse
from contracts.agreements import ContractFields, create_contract
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from outcomes import decisions, explaining, imports
from outcomes.archive import archive_month
from outcomes.domain.instants import from_us
from outcomes.evaluation import evaluate_waiting
from outcomes.intake import accept
from outcomes.models import Outcome
from outcomes.months import ensure_months
from outcomes.sequence import month_number
from outcomes.wire import read_events
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.conditions_dsl import stories, test_gallery
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_lifecycle import AT, REPEATING, SILENCE, TICKET

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = START + 20 * DAY
PARTED = """
outcome solved "Ticket solved"
per ticket
bill when closed where by is "agent" and no escalated and latest score of rated >= 4
void when reopened
void when refunded
credit within 10 hours when reopened
settle after 5 hours
settle early when thanked
quantity total units of closed
dimension grade = "gold" if latest score of rated > 4 else "plain"
"""


def play(*story: tuple[Any, ...], text: str = TICKET, now: datetime = NOW, ticket: str = "T") -> Outcome:
    """(type, hours after START, data?) ..., sent at once; the latest outcome of the ticket as it stands at ``now``."""
    if not Outcome.objects.exists() and not explaining.StoredEvent.objects.exists():
        factories.customer()
        factories.condition(text)
    tell(*story, now=now, ticket=ticket)
    return Outcome.objects.filter(subject__key=ticket).order_by("ordinal")[0]


def tell(*story: tuple[Any, ...], now: datetime = NOW, ticket: str = "T") -> None:
    batch = [
        {"id": f"{kind}@{hours}", "type": kind, "customer": "acme", "time": START + hours * HOUR,
         "data": {"ticket": ticket, "units": 2, "priority": "high", **(more[0] if more else {})}}
        for kind, hours, *more in story
    ]  # fmt: skip
    results = factories.send(batch, now=now)
    assert {result.status for result in results} == {"accepted"}, results
    evaluate_waiting(now)
    settle_due(now)


def read(api: Api, outcome: Outcome, now: datetime = NOW) -> dict[str, Any]:
    with freeze_time(now):
        answer = api.get(f"/v1/outcomes/{explaining.outcome_json(outcome, {})['id']}/explain")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    assert found["agrees"] is True
    return found


def clauses(found: dict[str, Any]) -> dict[str, Any]:
    return {clause["clause"]: clause["verdict"] for clause in found["clauses"]}


# --- each state -------------------------------------------------------------------------------------------------------


def test_the_whole_answer_of_a_confirmed_outcome(api: Api) -> None:
    outcome = play(("closed", 10), ("reopened", 90))
    found = read(api, outcome)
    assert found["summary"] == (
        "“Ticket solved” for ticket T (acme). On 1 January 2026, 10:00 UTC, event closed@10 (closed) met the "
        "condition: closed has happened and no escalated has happened. The window of 5 hours ended on 1 January 2026, "
        "15:00 UTC without reopened, so it was confirmed and became final. It stands as confirmed, with quantity 2, "
        "priority high. It is not invoiced yet: the customer had no contract when it was met."
    )
    assert found["condition"] == {
        "slug": "solved", "version": 1, "effective_from": None, "title": "Ticket solved", "text": TICKET,
        "description": "",
    }  # fmt: skip
    assert (found["outcome"]["state"], found["outcome"]["subject"]) == ("confirmed", "T")
    assert [(wait["reason"], wait["until"]) for wait in found["waits_for"]] == [("no_contract", None)]
    assert found["late_evidence"] is None
    assert found["events"] == [{"id": "closed@10", "type": "closed", "time": "2026-01-01T10:00:00Z"}]
    assert [(entry["to"], entry["event"]) for entry in found["journal"]] == [
        ("open", "closed@10"), ("provisional", "closed@10"), ("confirmed", None),
    ]  # fmt: skip
    bill, void, credit, settle, expire, quantity, dimension = found["clauses"]
    assert bill == {
        "clause": "bill",
        "text": "bill when closed and no escalated",
        "default": False,
        "verdict": True,
        "value": None,
        "until": None,
        "asked_of": {"events": 1, "from": "2026-01-01T10:00:00Z", "to": "2026-01-01T10:00:00Z"},
        "tree": {
            "text": "closed and no escalated",
            "kind": "and",
            "verdict": True,
            "events": ["closed@10"],
            "event_count": 1,
            "parts": [
                {"text": "closed", "kind": "seen", "verdict": True, "events": ["closed@10"], "event_count": 1},
                {"text": "no escalated", "kind": "seen", "verdict": True, "events": [], "event_count": 0},
            ],
        },
    }
    # It was never asked: nothing came in the window, and what came after the credit's end does not count.
    assert (void["verdict"], void["tree"], void["asked_of"]["events"]) == (None, None, 0)
    assert (credit["verdict"], credit["until"]) == (None, "2026-01-02T01:00:00Z")
    assert (settle["text"], settle["verdict"], settle["until"]) == (
        "settle after 5 hours",
        True,
        "2026-01-01T15:00:00Z",
    )
    assert (expire["text"], expire["verdict"]) == ("expire after 50 hours of silence", None)
    assert (quantity["value"], quantity["tree"]["value"], quantity["tree"]["events"]) == ("2", "2", ["closed@10"])
    assert (dimension["clause"], dimension["value"], dimension["tree"]["value"]) == (
        "dimension priority",
        "high",
        '"high"',
    )


def test_a_provisional_outcome_says_until_when_it_waits(api: Api) -> None:
    outcome = play(("escalated", 0), now=START)
    tell(("closed", 1), now=START + HOUR)
    found = read(api, outcome, now=START + HOUR)
    assert found["outcome"]["state"] == "open"
    assert [wait["message"] for wait in found["waits_for"]] == [
        "It is met once this holds: no escalated.",
        "It ends as missed on 3 January 2026, 03:00 UTC if nothing more comes.",
    ]
    assert clauses(found) == {
        "bill": False, "void": None, "credit": None, "settle": None, "expire": False, "quantity": None,
        "dimension priority": None,
    }  # fmt: skip
    assert "It began on 1 January 2026, 00:00 UTC with event escalated@0 (escalated)." in found["summary"]
    met = play(("closed", 2), now=START + 3 * HOUR, ticket="other")
    found = read(api, met, now=START + 3 * HOUR)
    assert [(wait["reason"], wait["until"]) for wait in found["waits_for"]] == [("window", "2026-01-01T07:00:00Z")]
    assert found["clauses"][0]["verdict"] is True
    assert "It becomes final on 1 January 2026, 07:00 UTC, unless an event changes it." in found["summary"]


def test_a_void_outcome_is_explained_by_what_it_had_when_it_ended(api: Api) -> None:
    """`bill when` as it stood before the event that voided it; what came later belongs to the next attempt."""
    text = TICKET.replace("no escalated", "no reopened")
    outcome = play(("closed", 0), ("reopened", 2), ("escalated", 3), ("closed", 4), text=text)
    found = read(api, outcome)
    assert found["outcome"]["state"] == "void"
    assert {name: clauses(found)[name] for name in ("bill", "void", "credit", "settle")} == {
        "bill": True, "void": True, "credit": None, "settle": False,
    }  # fmt: skip
    void = found["clauses"][1]
    assert (void["tree"]["events"], void["asked_of"]["events"]) == (["reopened@2"], 1)
    assert (
        "On 1 January 2026, 02:00 UTC, before it was final (it was to be final on 1 January 2026, 05:00 UTC), event "
        "reopened@2 (reopened) made it void: reopened has happened. Nothing is charged for it." in found["summary"]
    )


def test_a_reversed_outcome_names_the_credit_clause(api: Api) -> None:
    outcome = play(("closed", 0), ("reopened", 7))
    found = read(api, outcome)
    assert (clauses(found)["credit"], clauses(found)["void"]) == (True, None)
    credit = found["clauses"][2]
    assert (credit["tree"]["events"], credit["until"]) == (["reopened@7"], "2026-01-01T15:00:00Z")
    assert (
        "On 1 January 2026, 07:00 UTC, event reopened@7 (reopened) gave the charge back, because after it was final "
        "reopened has happened." in found["summary"]
    )


def test_a_missed_outcome(api: Api) -> None:
    found = read(api, play(("escalated", 0), ("closed", 1)))
    assert (clauses(found)["bill"], clauses(found)["expire"]) == (False, True)
    assert (
        "Nothing further came for 2 days 2 hours while the condition did not hold, so on 3 January 2026, 03:00 UTC it "
        "ended as missed. Nothing is charged for it." in found["summary"]
    )


def test_a_lapse_is_told(api: Api) -> None:
    found = read(api, play(("closed", 0), ("escalated", 1)))
    assert "event escalated@1 (escalated) undid that: the condition no longer held." in found["summary"]


def test_silence_tells_which_event_was_the_last(api: Api) -> None:
    found = read(api, play(("closed", 0), ("closed", 3), text=SILENCE))
    assert "After event closed@3 (closed) nothing more happened for 5 hours, so on" in found["summary"]
    busy = read(api, play(*[("closed", 10 + n) for n in range(0, 16, 4)], ticket="busy"))
    assert "12 hours after it was met the longest window ended, so on 1 January 2026, 22:00 UTC" in busy["summary"]


def test_settle_at_tells_the_time_it_read(api: Api) -> None:
    found = read(api, play(("booked", 0, {"check_in": "2026-01-02T10:00:00Z"}), text=AT))
    settle = next(clause for clause in found["clauses"] if clause["clause"] == "settle")
    assert (settle["value"], settle["until"]) == ('"2026-01-02T10:00:00Z"', "2026-01-02T12:00:00Z")
    assert "2 hours after the time given by the latest check_in of booked came on 2 January 2026" in found["summary"]
    waiting = play(("booked", 1), ticket="waiting")
    found = read(api, waiting)
    assert [wait["reason"] for wait in found["waits_for"]] == ["settle_time"]
    settle_due(START + 200 * DAY)
    found = read(api, waiting, now=START + 200 * DAY)
    assert "No usable time came from the latest check_in of booked for 180 days" in found["summary"]
    assert clauses(found)["settle"] is False


def test_settle_early_several_voids_and_values(api: Api) -> None:
    story = [("closed", 0, {"by": "agent"}), ("closed", 1, {"by": "agent", "units": 0.1}),
             ("rated", 2, {"score": 5}), ("thanked", 3)]  # fmt: skip
    found = read(api, play(*story, text=PARTED))
    assert [c["text"] for c in found["clauses"] if c["clause"] == "void"] == [
        "void when reopened",
        "void when refunded",
    ]
    assert clauses(found)["settle early"] is True
    assert "It became final at once on 1 January 2026, 03:00 UTC, because thanked has happened." in found["summary"]
    by_name = {clause["clause"]: clause for clause in found["clauses"]}
    assert by_name["quantity"]["value"] == by_name["quantity"]["tree"]["value"] == "2.1"
    grade = by_name["dimension grade"]
    assert (grade["value"], grade["tree"]["value"], grade["tree"]["parts"][0]["label"]) == ("gold", '"gold"', "gold")
    rated = by_name["bill"]["tree"]["parts"][2]
    assert (rated["value"], rated["events"]) == ("5", ["rated@2"])


def test_credit_watches_only_until_the_next_outcome_is_final(api: Api) -> None:
    first = play(("closed", 0), ("reopened.later", 6), ("closed", 7), ("reopened", 13), text=REPEATING)
    second = Outcome.objects.get(ordinal=2)
    assert (first.state, second.state) == ("confirmed", "reversed")
    found = read(api, first)
    assert (clauses(found)["repeat"], clauses(found)["credit"]) == (True, False)
    assert read(api, second)["clauses"][2]["verdict"] is True


# --- what was undone --------------------------------------------------------------------------------------------------


def test_late_evidence_shows_what_was_known_and_what_it_changed(api: Api) -> None:
    outcome = play(("closed", 0))
    tell(("reopened", 1), now=NOW + HOUR)
    found = read(api, outcome, now=NOW + HOUR)
    assert found["outcome"]["state"] == "reversed"
    assert (clauses(found)["bill"], clauses(found)["void"], clauses(found)["settle"]) == (True, None, True)
    assert found["late_evidence"]["effect"] == "with it, the outcome is void by event reopened@1 (reopened)"
    [successor] = found["late_evidence"]["replaced_by"]
    assert api.get(f"/v1/outcomes/{successor}").json()["state"] == "void"
    assert (
        "On 21 January 2026, 01:00 UTC, late evidence took the charge back: with it, the outcome is void by event "
        "reopened@1 (reopened). It is event reopened@1 (reopened), which happened on 1 January 2026, 01:00 UTC and "
        "arrived on 21 January 2026, 01:00 UTC." in found["summary"]
    )


def test_late_evidence_that_changes_the_worth(api: Api) -> None:
    text = PARTED.replace(' where by is "agent" and no escalated and latest score of rated >= 4', "")
    outcome = play(("closed", 0), text=text)
    tell(("closed", 1), now=NOW + HOUR)
    found = read(api, outcome, now=NOW + HOUR)
    assert found["late_evidence"]["effect"] == (
        "with it, the outcome is worth quantity 4, grade plain instead of quantity 2, grade plain"
    )
    [quantity] = [clause for clause in found["clauses"] if clause["clause"] == "quantity"]
    assert (quantity["value"], quantity["tree"]["value"]) == ("2", "2")


def test_a_superseded_attempt(api: Api) -> None:
    """Late events show that an attempt in its window should not exist: the one before it never ended."""
    now = START + 3 * HOUR
    play(("closed", 0), ("reopened", 1), ("closed", 2), now=now)
    second = Outcome.objects.get(ordinal=2)
    assert second.state == "provisional"
    tell(("escalated", 0.5), now=now)
    second.refresh_from_db()
    assert second.state == "superseded"
    found = read(api, second, now=now)
    assert clauses(found)["bill"] is True
    assert "showed that things had been otherwise, and this attempt was withdrawn." in found["summary"]


@pytest.mark.parametrize(("hours", "state", "said"), [
    (2, "void", "Ada took it back before it was final, with the reason: “Paid by mistake”. Nothing is charged for it."),
    (20, "reversed", "Ada took the charge back, with the reason: “Paid by mistake”."),
])  # fmt: skip
def test_a_persons_decision_is_told_with_actor_and_reason(api: Api, hours: int, state: str, said: str) -> None:
    now = START + hours * HOUR
    outcome = play(("closed", 0), now=now)
    decisions.take_back(outcome.id, now=now + HOUR, actor="Ada", reason="Paid by mistake")
    found = read(api, outcome, now=now + HOUR)
    assert found["outcome"]["state"] == state
    assert said in found["summary"]
    assert (clauses(found)["bill"], clauses(found)["void"], clauses(found)["credit"]) == (True, None, None)


def test_a_figure_that_a_person_gave(api: Api) -> None:
    outcome = play(("closed", 0, {"units": "many"}))
    found = read(api, outcome)
    assert "Its quantity is unknown: a person must set it before it is billed." in found["summary"]
    decisions.complete(outcome.id, quantity=Decimal(3), now=NOW + HOUR, actor="Ada", reason="Counted by hand")
    found = read(api, outcome, now=NOW + HOUR)
    [quantity] = [clause for clause in found["clauses"] if clause["clause"] == "quantity"]
    assert (quantity["value"], quantity["tree"]["value"]) == ("3", '"many"')
    assert "Ada gave what its events do not tell, with the reason: “Counted by hand”." in found["summary"]


# --- what it waits for ------------------------------------------------------------------------------------------------


def test_an_open_import_and_events_that_wait(api: Api) -> None:
    now = START + 2 * HOUR
    outcome = play(("closed", 1), now=now)
    held = imports.open_import(name="history", now=now)
    event = {"id": "x", "type": "other", "customer": "acme", "time": START, "data": {}}
    factories.send([event], now=now, import_id=held.id)
    found = read(api, outcome, now=NOW)
    assert {wait["reason"] for wait in found["waits_for"]} == {"window", "import", "evaluation"}
    assert "That instant has passed: settlement books it next." in found["summary"]


@pytest.mark.parametrize(("policy", "said"), [
    ("review", "A person must accept or leave out an event of 1 January 2026, 01:00 UTC, which arrived late"),
    ("ignore", "Left out, as the contract says, is an event of 1 January 2026, 01:00 UTC, which arrived late"),
])  # fmt: skip
def test_late_evidence_that_was_left_out(api: Api, policy: str, said: str) -> None:
    outcome = play(("closed", 0))
    terms = ContractFields(customer="acme", rate_card="standard", starts_at=START - DAY, late_evidence=policy)
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=START)
    create_contract(terms, now=START)
    tell(("reopened", 1), now=NOW + HOUR)
    found = read(api, outcome, now=NOW + HOUR)
    assert (found["outcome"]["state"], found["late_evidence"]) == ("confirmed", None)
    assert said in found["summary"]
    assert ("late_evidence" in {wait["reason"] for wait in found["waits_for"]}) is (policy == "review")


def test_higher_apps_add_sentences(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = play(("closed", 0))
    waits = [lambda row, now: [explaining.Wait("hold", f"{row.subject.key} is held."), explaining.Wait("", "A note.")]]
    monkeypatch.setattr(explaining, "OUTCOME_WAITS", waits)
    found = read(api, outcome)
    assert found["waits_for"] == [{"reason": "hold", "message": "T is held.", "until": None}]
    assert found["summary"].endswith("T is held. A note.")


# --- the gallery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", test_gallery.NAMES)
def test_every_story_of_the_gallery(name: str, settings: Any) -> None:
    """Each a customer of its own; the end of each story is as it is told, and its explanation agrees with it."""
    settings.MAX_EVENT_AGE_DAYS = 10_000
    text = test_gallery.text(name)
    keys = parse(text).keys
    factories.condition(text)
    end = from_us(stories.START) + 400 * DAY
    ensure_months(end)
    batch, expected = [], {}
    for number, story in enumerate(test_gallery.STORIES[name].values()):
        events, results = stories.read(story, keys[0][0].segments)
        factories.customer(f"c{number}")
        for event in events:
            for path in [alternatives[0] for alternatives in keys[1:]]:
                event.data.setdefault(path.segments[0], "K")
            batch.append(
                {
                    "id": event.id,
                    "type": event.type,
                    "customer": f"c{number}",
                    "time": from_us(event.time),
                    "data": event.data,
                }
            )
        expected[f"c{number}"] = [stories.RESULT.fullmatch(line)[1] for line in results if line != "-> nothing"]
    encode = msgspec.json.Encoder(decimal_format="number").encode
    assert {r.status for r in accept(read_events([encode(event) for event in batch]), now=end)} == {"accepted"}
    evaluate_waiting(end)
    settle_due(end)
    found: dict[str, list[str]] = {key: [] for key in expected}
    for outcome in Outcome.objects.order_by("customer", "ordinal"):
        told = explaining.explain_outcome(outcome, now=end)
        assert told.agrees
        assert told.summary.startswith(f"“{told.outcome.version.title}” for ")
        assert explaining.explanation_json(told)["clauses"][0]["verdict"] is (outcome.met_at is not None)
        found[outcome.customer.key].append(outcome.state)
    assert found == expected


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_archived_history_is_said_with_the_way_out(api: Api, tmp_path: Path) -> None:
    april = datetime(2026, 4, 10, tzinfo=START.tzinfo)
    ensure_months(START)
    ensure_months(april)
    outcome = play(("closed", 0))
    archive_month(month_number(START), tmp_path, now=april)
    path = f"/v1/outcomes/{explaining.outcome_json(outcome, {})['id']}/explain"
    error = check_envelope(api.get(path), 409, "history_archived")
    assert "Restore 2026-01 (manage.py restore_events)" in error["message"]
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    page = client.get(reverse("admin:outcomes_outcome_explain_this", args=[outcome.pk]), follow=True)
    assert "restore 2026-01" in str(*page.context["messages"])


def test_a_history_that_is_too_long(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = play(("closed", 0), ("closed", 1))
    monkeypatch.setattr(explaining, "MOST_EVENTS", 1)
    path = f"/v1/outcomes/{explaining.outcome_json(outcome, {})['id']}/explain"
    check_envelope(api.get(path), 409, "history_too_long")


def test_who_may_ask(make_key: Any) -> None:
    outcome = play(("closed", 0))
    path = f"/v1/outcomes/{explaining.outcome_json(outcome, {})['id']}/explain"
    assert Api(make_key("read")).get(path).status_code == 200
    check_envelope(Api(make_key("events:write")).get(path), 403, "missing_scope")
    check_envelope(Api(None).get(path), 401, "missing_api_key")
    check_envelope(Api(make_key("read")).get("/v1/outcomes/out_00000000000000000000000000/explain"), 404, "not_found")
    check_envelope(Api(make_key("read")).post(path, {}), 405, "method_not_allowed")


def test_the_description_says_what_is_answered(api: Api) -> None:
    """Every key of an answer stands in the OpenAPI document, and nothing else does."""
    found = read(api, play(("closed", 0), ("reopened", 7)))
    document = api.get("/v1/openapi.json").json()
    schemas = document["components"]["schemas"]

    def fields(name: str) -> set[str]:
        return set(schemas[name]["properties"])

    reference = document["paths"]["/v1/outcomes/{outcome_id}/explain"]["get"]["responses"]["200"]
    assert reference["content"]["application/json"]["schema"]["$ref"].endswith("/Explanation")
    assert fields("Explanation") == set(found)
    assert fields("Clause") == set(found["clauses"][0])
    assert fields("AskedOf") == set(found["clauses"][0]["asked_of"])
    assert fields("ExplainedVersion") == set(found["condition"])
    assert fields("Wait") == set(explaining.Wait._fields)


# --- the admin --------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def page_of(outcome: Outcome) -> str:
    return reverse("admin:outcomes_outcome_explain_this", args=[outcome.pk])


def test_the_page_shows_words_timeline_clauses_and_events(admin: Client) -> None:
    outcome = play(("closed", 0), ("rated", 1, {"priority": "<script>alert(1)</script>"}), ("reopened", 7))
    detail = admin.get(reverse("admin:outcomes_outcome_change", args=[outcome.pk])).content.decode()
    assert page_of(outcome) in detail
    page = admin.get(page_of(outcome))
    text = page.content.decode()
    assert page.status_code == 200
    for shown in (
        "gave the charge back", "confirmed → reversed", "credit within 10 hours when reopened",
        "until 2026-01-01 15:00:00", "2026-01-01 07:00:00", "no escalated", "closed@0", "reopened@7",
    ):  # fmt: skip
        assert shown in text, shown
    for event in explaining.StoredEvent.objects.filter(type__in=("closed", "reopened")):
        assert reverse("admin:outcomes_event_change", args=[event.pk]) in text
    assert "<script>alert" not in text


def test_every_state_has_its_page(admin: Client) -> None:
    play(("closed", 0), ticket="confirmed")
    for ticket, story in {
        "void": [("closed", 0), ("reopened", 1)], "missed": [("escalated", 0)], "open": [("escalated", 470)],
        "provisional": [("closed", 479)], "reversed": [("closed", 0), ("reopened", 7)],
    }.items():  # fmt: skip
        batch = [{"id": f"{ticket}/{kind}", "type": kind, "customer": "acme", "time": START + hours * HOUR,
                  "data": {"ticket": ticket, "units": 1}} for kind, hours in story]  # fmt: skip
        factories.send(batch, now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    assert Outcome.objects.values("state").distinct().count() == 6
    for outcome in Outcome.objects.all():
        assert admin.get(page_of(outcome)).status_code == 200


def test_the_page_asks_for_the_permission_to_see_outcomes() -> None:
    outcome = play(("closed", 0))
    user = get_user_model().objects.create(username="staff", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get(page_of(outcome)).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_outcome"))
    client.force_login(user)  # a session ends with what it rests on
    assert client.get(page_of(outcome)).status_code == 200
    assert client.get(reverse("admin:outcomes_outcome_explain_this", args=["0" * 32])).status_code == 404
