"""What the market sells today, each condition with event stories and the expected charges."""

from __future__ import annotations

from pathlib import Path

import pytest

import conditions_dsl
from conditions_dsl import check, compile, describe, format, from_json, parse, to_json

from . import stories

GALLERY = Path(conditions_dsl.__file__).parent / "gallery"
NAMES = sorted(path.stem for path in GALLERY.glob("*.outcome"))


def text(name):
    return (GALLERY / f"{name}.outcome").read_text(encoding="utf-8")


STORIES = {
    "support_resolution": {
        "the customer says so": """
            day 0, 09:00  conversation.opened {"channel": "mail"}
            day 0, 09:05  answer.sent {"by": "agent"}
            day 0, 10:00  customer.confirmed
            -> confirmed on day 0, 10:00; resolution = confirmed; channel = mail""",
        "taken as resolved after 24 hours of silence": """
            day 0, 09:05  answer.sent {"by": "agent"}
            -> confirmed on day 1, 09:05; resolution = assumed; channel = missing""",
        "an answer by a person is not ours": """
            day 0, 09:05  answer.sent {"by": "person"}
            -> missed""",
        "the customer asks again in the window": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 0, 12:00  customer.message
            day 0, 12:05  answer.sent {"by": "agent"}
            -> confirmed on day 1, 12:05; resolution = assumed""",
        "the customer asks again and gets no answer": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 0, 12:00  customer.message
            -> missed""",
        "reopened in the window, answered once more": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 0, 12:00  conversation.reopened
            day 0, 13:00  answer.sent {"by": "agent"}
            -> void on day 0, 12:00
            -> confirmed on day 1, 13:00""",
        "handed over to a person": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 0, 12:00  conversation.handed_over
            -> void on day 0, 12:00""",
        "deducted when the customer returns, in a later billing period": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 40, 08:00  conversation.reopened
            -> reversed on day 40, 08:00; resolution = assumed""",
        "and charged again for the new answer": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 40, 08:00  conversation.reopened
            day 40, 09:00  answer.sent {"by": "agent"}
            -> reversed on day 40, 08:00
            -> confirmed on day 41, 09:00""",
        "60 days later it is too late": """
            day 0, 09:05  answer.sent {"by": "agent"}
            day 61, 09:05  conversation.reopened
            -> confirmed on day 1, 09:05""",
        "a chatty conversation ends after 14 days": """
            day 0, 00:00  answer.sent {"by": "agent"}
            """
        + "\n".join(f"day {n // 24}, {n % 24:02}:00  conversation.opened" for n in range(20, 400, 20))
        + """
            -> confirmed on day 14, 00:00""",
    },
    "automated_resolution": {
        "72 hours of inactivity": """
            day 0, 09:00  assistant.replied
            -> confirmed on day 3, 09:00""",
        "a message and another reply start the 72 hours anew": """
            day 0, 09:00  assistant.replied
            day 2, 09:00  customer.message
            day 2, 09:01  assistant.replied
            -> confirmed on day 5, 09:01""",
        "a person joins": """
            day 0, 09:00  assistant.replied
            day 1, 09:00  agent.joined
            -> void on day 1, 09:00""",
        "a bad rating": """
            day 0, 09:00  assistant.replied
            day 1, 09:00  survey.answered {"rating": 2}
            -> missed""",
        "a bad rating made good": """
            day 0, 09:00  assistant.replied
            day 1, 09:00  survey.answered {"rating": 2}
            day 2, 09:00  survey.answered {"rating": 5.0}
            -> confirmed on day 5, 09:00""",
    },
    "merged_pull_request": {
        "merged and closed both arrive and bill once": """
            day 0, 09:00  pull_request.merged {"changed_lines": 20}
            day 0, 09:00  pull_request.closed {"merged": true}
            -> confirmed on day 2, 09:00; size = normal""",
        "closed unmerged": """
            day 0, 09:00  pull_request.closed {"merged": false}
            -> missed""",
        "closed tells of it long after": """
            day 0, 09:00  pull_request.merged {"changed_lines": 2000}
            day 9, 09:00  pull_request.closed {"merged": true}
            -> confirmed on day 2, 09:00; size = large""",
        "reverted within 48 hours": """
            day 0, 09:00  pull_request.merged
            day 2, 08:59  pull_request.reverted
            -> void on day 2, 08:59""",
        "reverted after 48 hours": """
            day 0, 09:00  pull_request.merged
            day 2, 09:00  pull_request.reverted
            -> confirmed on day 2, 09:00""",
    },
    "resolved_incident": {
        "stays away for 12 hours": """
            day 0, 09:00  incident.resolved {"resolved_by": "autopilot", "severity": 2}
            -> confirmed on day 0, 21:00; severity = 2""",
        "comes back and is resolved again": """
            day 0, 09:00  incident.resolved {"resolved_by": "autopilot"}
            day 0, 15:00  incident.recurred
            day 0, 16:00  incident.resolved {"resolved_by": "autopilot"}
            -> void on day 0, 15:00
            -> confirmed on day 1, 04:00""",
        "a person resolved it": """
            day 0, 09:00  incident.resolved {"resolved_by": "person"}
            -> missed""",
    },
    "recovered_payment": {
        "recovered after a reminder": """
            day 0, 09:00  payment.failed
            day 1, 09:00  reminder.sent
            day 5, 09:00  payment.succeeded {"amount": 80.40, "method": "card"}
            -> confirmed on day 8, 09:00; amount 80.4; method = card""",
        "never failed": """
            day 1, 09:00  reminder.sent
            day 5, 09:00  payment.succeeded {"amount": 80.40}
            -> missed""",
        "recovered long after the reminder": """
            day 0, 09:00  payment.failed
            day 1, 09:00  reminder.sent
            day 40, 09:00  payment.succeeded {"amount": 80.40}
            -> missed""",
        "charged back within 60 days": """
            day 0, 09:00  payment.failed
            day 1, 09:00  reminder.sent
            day 5, 09:00  payment.succeeded {"amount": 80}
            day 67, 09:00  payment.charged_back
            -> reversed on day 67, 09:00; amount 80""",
        "charged back later": """
            day 0, 09:00  payment.failed
            day 1, 09:00  reminder.sent
            day 5, 09:00  payment.succeeded {"amount": 80}
            day 68, 09:00  payment.charged_back
            -> confirmed on day 8, 09:00""",
        "an amount that nobody wrote waits for a person": """
            day 0, 09:00  payment.failed
            day 1, 09:00  reminder.sent
            day 5, 09:00  payment.succeeded {"amount": "80"}
            -> confirmed on day 8, 09:00; amount unknown; review amount_unknown""",
    },
    "held_meeting": {
        "booked and held": """
            day 0, 09:00  meeting.booked {"source": "assistant", "attendees": [{"title": "CFO"}]}
            day 4, 09:00  meeting.held {"duration_minutes": 30}
            -> confirmed on day 9, 09:00""",
        "with the wrong person": """
            day 0, 09:00  meeting.booked {"source": "assistant", "attendees": [{"title": "Intern"}]}
            day 4, 09:00  meeting.held {"duration_minutes": 30}
            -> missed""",
        "a title that is not known is not the wrong one": """
            day 0, 09:00  meeting.booked {"source": "assistant", "attendees": []}
            day 4, 09:00  meeting.held {"duration_minutes": 15.0}
            -> confirmed on day 9, 09:00""",
        "too short": """
            day 0, 09:00  meeting.booked {"source": "assistant"}
            day 4, 09:00  meeting.held {"duration_minutes": 14.9}
            -> missed""",
        "accepted early": """
            day 0, 09:00  meeting.booked {"source": "assistant"}
            day 4, 09:00  meeting.held {"duration_minutes": 30}
            day 5, 09:00  meeting.accepted
            -> confirmed on day 5, 09:00""",
        "a no-show is booked again": """
            day 0, 09:00  meeting.booked {"source": "assistant"}
            day 4, 09:00  meeting.no_show
            day 5, 09:00  meeting.booked {"source": "assistant"}
            day 9, 09:00  meeting.held {"duration_minutes": 30}
            -> confirmed on day 14, 09:00""",
    },
    "hire_stays": {
        "stays 90 days from the first day at work": """
            day 0, 09:00  hire.started {"first_day": "2026-03-11T00:00:00Z", "yearly_salary": 60000, "level": 3}
            -> confirmed on day 100, 00:00; amount 60000; level = 3""",
        "leaves before": """
            day 0, 09:00  hire.started {"first_day": "2026-03-11T00:00:00Z", "yearly_salary": 60000}
            day 99, 23:59  hire.left
            -> void on day 99, 23:59""",
        "leaves after": """
            day 0, 09:00  hire.started {"first_day": "2026-03-11T00:00:00Z", "yearly_salary": 60000}
            day 100, 00:00  hire.left
            -> confirmed on day 100, 00:00""",
        "the first day is put off": """
            day 0, 09:00  hire.started {"first_day": "2026-03-11T00:00:00Z", "yearly_salary": 60000}
            day 9, 09:00  hire.started {"first_day": "2026-03-21T00:00:00Z", "yearly_salary": 61000}
            -> confirmed on day 110, 00:00; amount 61000""",
        "no first day is ever told": """
            day 0, 09:00  hire.started {"yearly_salary": 60000}
            -> void on day 180, 09:00""",
    },
    "signed_document": {
        "both parties sign": """
            day 0, 09:00  document.signed {"party": "buyer"}
            day 1, 09:00  document.signed {"party": "seller"}
            -> confirmed on day 2, 09:00; completion = signatures""",
        "one party signs twice": """
            day 0, 09:00  document.signed {"party": "buyer"}
            day 1, 09:00  document.signed {"party": "buyer"}
            -> missed""",
        "an administrator completes it": """
            day 0, 09:00  document.signed {"party": "buyer"}
            day 1, 09:00  document.overridden {"role": "administrator"}
            -> confirmed on day 2, 09:00; completion = override""",
        "revoked": """
            day 0, 09:00  document.overridden {"role": "admin"}
            day 0, 10:00  document.revoked
            -> void on day 0, 10:00""",
    },
    "hotel_booking": {
        "settles 1 day after check-in": """
            day 0, 09:00  booking.created {"check_in": "2026-03-20T15:00:00+01:00", "nights": 3, "total": 300.30}
            -> confirmed on day 20, 14:00; quantity 3; amount 300.3""",
        "cancelled": """
            day 0, 09:00  booking.created {"check_in": "2026-03-20T15:00:00+01:00", "nights": 3, "total": 300}
            day 19, 14:00  booking.cancelled
            -> void on day 19, 14:00""",
        "a no-show is told the next morning": """
            day 0, 09:00  booking.created {"check_in": "2026-03-20T15:00:00+01:00", "nights": 3, "total": 300}
            day 20, 08:00  booking.no_show
            -> void on day 20, 08:00""",
        "moved to another week": """
            day 0, 09:00  booking.created {"check_in": "2026-03-20T15:00:00Z", "nights": 3, "total": 300}
            day 9, 09:00  booking.moved {"check_in": "2026-03-27T15:00:00Z"}
            -> confirmed on day 27, 15:00; quantity 3""",
        "no nights are known": """
            day 0, 09:00  booking.created {"check_in": "2026-03-20T15:00:00Z", "total": 300}
            -> confirmed on day 20, 15:00; quantity unknown; review quantity_unknown""",
    },
    "kept_sale": {
        "kept, in two parcels": """
            day 0, 09:00  order.delivered {"units": 2, "shop": "north"}
            day 2, 09:00  order.delivered {"units": 3, "shop": "south"}
            -> confirmed on day 30, 09:00; quantity 5; shop = north""",
        "returned within 30 days": """
            day 0, 09:00  order.delivered {"units": 2}
            day 30, 08:59  order.returned
            -> void on day 30, 08:59""",
        "returned in part only": """
            day 0, 09:00  order.delivered {"units": 2}
            day 20, 09:00  order.returned {"complete": false}
            -> confirmed on day 30, 09:00; quantity 2""",
        "returned after 30 days": """
            day 0, 09:00  order.delivered {"units": 2}
            day 30, 09:00  order.returned
            -> confirmed on day 30, 09:00; quantity 2""",
    },
    "qualified_lead": {
        "scores, was spoken to, and is accepted": """
            day 0, 09:00  demo.requested
            day 0, 10:00  lead.enriched {"employees": 80, "country": "DE", "email": "a@b.de"}
            day 1, 09:00  call.held {"minutes": 20}
            day 1, 10:00  meeting.held
            day 1, 11:00  lead.scored {"score": 0.9}
            day 2, 09:00  lead.accepted
            -> confirmed on day 2, 09:00; quantity 1; grade = B; country = DE""",
        "an unsubscription of long ago still counts": """
            day 0, 08:00  lead.unsubscribed
            day 0, 09:00  demo.requested
            day 0, 10:00  lead.enriched {"employees": 80, "country": "DE", "email": "a@b.de"}
            day 1, 09:00  call.held {"minutes": 20}
            day 1, 10:00  meeting.held
            day 1, 11:00  lead.scored {"score": 0.9}
            -> missed""",
        "a new campaign may qualify it again": """
            day 0, 09:00  demo.requested
            day 0, 10:00  lead.enriched {"employees": 80, "country": "DE", "email": "a@b.de"}
            day 1, 09:00  call.held {"minutes": 20}
            day 1, 10:00  meeting.held
            day 1, 11:00  lead.scored {"score": 0.99}
            day 40, 09:00  campaign.started
            day 41, 09:00  demo.requested
            day 41, 10:00  lead.enriched {"employees": 80, "country": "FR", "email": "a@b.de"}
            day 42, 09:00  call.held {"minutes": 20}
            day 42, 10:00  meeting.held
            day 42, 11:00  lead.scored {"score": 0.8}
            -> confirmed on day 6, 11:00; grade = A; country = DE
            -> confirmed on day 47, 11:00; grade = C; country = FR""",
        "rejected as fraud after settlement": """
            day 0, 09:00  demo.requested
            day 0, 10:00  lead.enriched {"employees": 80, "country": "DE", "email": "a@b.de"}
            day 1, 09:00  call.held {"minutes": 20}
            day 1, 10:00  meeting.held
            day 1, 11:00  lead.scored {"score": 0.99}
            day 20, 09:00  lead.rejected {"reason": "fraud"}
            -> reversed on day 20, 09:00""",
    },
}


@pytest.mark.parametrize(
    ("name", "title"), [(name, title) for name, told in STORIES.items() for title in told], ids=lambda text: text
)
def test_story(name, title):
    stories.check(text(name), STORIES[name][title])


def test_each_condition_has_its_stories():
    assert sorted(STORIES) == NAMES
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_each_condition_is_sound(name):
    condition = parse(text(name))
    assert check(condition) == []
    assert condition.slug == name
    assert parse(format(condition)) == condition
    assert format(parse(format(condition))) == format(condition)
    assert from_json(to_json(condition)) == condition
    assert compile(condition).title in describe(condition)
