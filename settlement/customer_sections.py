"""What a customer's page in the admin shows of what waits for a decision (`contracts.customer_page`)."""

from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse

from contracts.customer_page import NEWEST, Looking, Section, listed, moment, newest, page, register
from outcomes.models import LateEvidence
from outcomes.queries import late_evidence
from settlement.models import Dispute
from settlement.queries import all_disputes, all_holds


def _holds(looking: Looking) -> Section | None:
    if not looking.may("settlement.view_hold"):
        return None
    customer = looking.customer
    found = all_holds(active=True).filter(Q(customer=customer) | Q(outcome__customer=customer)).order_by("-id")
    rows, more = newest(found[: NEWEST + 1])
    links = []
    if looking.may("settlement.change_hold"):
        place = f"{reverse('admin:settlement_hold_place')}?{urlencode({'customer': customer.key})}"
        links.append(("Hold all of its outcomes", place))
    if more:
        links.append(("All holds", listed("settlement_hold", q=customer.key)))
    return Section(
        "holds",
        "Holds",
        heads=("On", "Why", "Placed (UTC)", "By"),
        rows=[
            (
                page(one, "the customer" if one.outcome is None else f"outcome {one.outcome.subject}"),
                one.reason,
                moment(one.placed_at),
                one.placed_by,
            )
            for one in rows
        ],
        nothing="Nothing of it is held, unless with its condition.",
        links=links,
    )


def _disputes(looking: Looking) -> Section | None:
    if not looking.may("settlement.view_dispute"):
        return None
    customer = looking.customer
    found = all_disputes(status=Dispute.Status.RAISED).filter(outcome__customer=customer).order_by("-id")
    rows, _ = newest(found[: NEWEST + 1])
    return Section(
        "disputes",
        "Disputes to decide",
        heads=("Outcome", "Why", "Raised (UTC)", "By"),
        rows=[
            (
                page(one, f"{one.outcome.condition.slug}: {one.outcome.subject}"),
                one.reason,
                moment(one.raised_at),
                one.raised_by,
            )
            for one in rows
        ],
        nothing="None waits.",
        links=[("All of its disputes", listed("settlement_dispute", q=customer.key))],
    )


def _late(looking: Looking) -> Section | None:
    if not looking.may("outcomes.view_lateevidence"):
        return None
    waiting = late_evidence(status=LateEvidence.Status.WAITING).filter(subject__customer=looking.customer)
    rows, more = newest(waiting.order_by("-id")[: NEWEST + 1])
    return Section(
        "late",
        "Late evidence to decide",
        heads=("Outcome", "Came (UTC)"),
        rows=[(page(one, f"{one.subject.condition.slug}: {one.subject}"), moment(one.created_at)) for one in rows],
        nothing="None waits.",
        links=[("All that waits", listed("outcomes_lateevidence", status__exact="waiting"))] if more else (),
    )


register(60, _disputes)
register(61, _late)
register(62, _holds)
