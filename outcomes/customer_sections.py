"""What a customer's page in the admin shows of outcomes and events (`contracts.customer_page`)."""

from datetime import timedelta
from typing import Any, Final

from django.db import connection

from contracts.customer_page import NEWEST, Looking, Section, counted, link, listed, moment, newest, page, register
from contracts.models import Condition
from outcomes.models import Event, InboxItem, Journal, Outcome, State

DAYS: Final = 30
INBOX: Final = 100
MOST: Final = 10_000
"""So many of a customer's newest outcomes, and of all newest events, are looked at."""

# Of the customer's newest outcomes by condition and state: how many began or were met of late, and how many there are.
_LATELY: Final = """
WITH newest AS (
    SELECT condition_id, state, coalesce(met_at, first_time) AS at FROM outcomes_outcome
    WHERE customer_id = %(customer)s ORDER BY id DESC LIMIT %(most)s
)
SELECT condition_id, state, count(*) FILTER (WHERE at >= %(since)s), count(*) FROM newest GROUP BY 1, 2
"""

_ACCEPTED_LAST: Final = """
SELECT seq FROM (SELECT seq, customer_id FROM outcomes_event ORDER BY seq DESC LIMIT %(most)s) last
WHERE customer_id = %(customer)s ORDER BY seq DESC LIMIT %(newest)s
"""


def _outcomes(looking: Looking) -> Section | None:
    if not looking.may("outcomes.view_outcome"):
        return None
    customer = looking.customer.pk
    with connection.cursor() as cursor:
        since = looking.now - timedelta(days=DAYS)
        cursor.execute(_LATELY, {"customer": customer, "since": since, "most": MOST + 1})
        found = cursor.fetchall()
    counts: dict[int, dict[str, int]] = {}
    for condition, state, lately, _ in found:
        if lately:
            counts.setdefault(condition, {})[state] = lately
    slugs = Condition.objects.in_bulk(list(counts))
    states = [state for state in State.values if any(state in by for by in counts.values())]

    def cell(condition: int, state: str) -> Any:
        count = counts[condition].get(state, 0)
        if not count:
            return "–"
        narrowed = {
            "customer__id__exact": customer,
            "condition__id__exact": condition,
            "state__exact": state,
        }
        return link(listed("outcomes_outcome", **narrowed), f"{count:,}")

    rows = [
        (slugs[condition].slug, *(cell(condition, state) for state in states))
        for condition in sorted(counts, key=lambda one: slugs[one].slug)
    ]
    looked = sum(all_ for _, _, _, all_ in found)
    return Section(
        "outcomes",
        f"Outcomes of the last {DAYS} days",
        heads=("Condition", *(state.capitalize() for state in states)),
        rows=rows,
        nothing=f"None began or was met in the last {DAYS} days.",
        note=f"Counted among the newest {MOST:,}: the customer has more." if looked > MOST else "",
        links=[("All outcomes", listed("outcomes_outcome", customer__id__exact=customer))],
    )


def _events(looking: Looking) -> Section | None:
    """The newest events: of all that were accepted last, and behind the customer's newest outcomes. No index finds a
    customer's events by time, and each batch of events would pay for one.
    """
    if not looking.may("outcomes.view_event"):
        return None
    customer = looking.customer
    behind = Outcome.objects.filter(customer=customer).order_by("-id").values_list("last_seq", flat=True)[:NEWEST]
    with connection.cursor() as cursor:
        cursor.execute(_ACCEPTED_LAST, {"customer": customer.pk, "most": MOST, "newest": NEWEST})
        lately = [seq for (seq,) in cursor.fetchall()]
    rows = Event.objects.filter(seq__in={*lately, *behind}).order_by("-seq")[:NEWEST]
    links = []
    if looking.may("outcomes.view_inboxitem"):
        waiting = InboxItem.objects.filter(customer_key=customer.key, status=InboxItem.Status.WAITING)
        count = len(waiting.order_by()[: INBOX + 1].values_list("pk", flat=True))
        if count:
            links = [(f"{counted(count, INBOX)} in the inbox", listed("outcomes_inboxitem", q=customer.key))]
    return Section(
        "events",
        "Newest events",
        heads=("Happened (UTC)", "Type", "Event", "Accepted (UTC)"),
        rows=[
            (moment(one.time), one.type, page(one, one.event_id), moment(one.received_at))
            for one in rows
            if one.customer_id == customer.pk
        ],
        nothing="None among those accepted last, and none behind an outcome.",
        links=links,
    )


def _journal(looking: Looking) -> Section | None:
    """The newest changes of the customer's newest outcomes."""
    if not looking.may("outcomes.view_outcome"):
        return None
    newest_ids = list(
        Outcome.objects.filter(customer=looking.customer).order_by("-id").values_list("pk", flat=True)[: NEWEST * 5]
    )
    found = Journal.objects.filter(outcome__in=newest_ids).select_related("outcome__subject", "outcome__condition")
    rows, _ = newest(found.order_by("-id")[:NEWEST])
    return Section(
        "journal",
        "Newest changes of its outcomes",
        heads=("Took effect (UTC)", "Outcome", "Change", "By", "Why"),
        rows=[
            (
                moment(one.effective_at),
                page(one.outcome, f"{one.outcome.condition.slug}: {one.outcome.subject.key}"),
                str(one),
                one.actor or one.get_cause_display(),
                one.reason or one.clause or "–",
            )
            for one in rows
        ],
        nothing="No outcome changed.",
    )


register(30, _outcomes)
register(80, _events)
register(90, _journal)
