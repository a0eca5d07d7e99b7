"""What a customer's page in the admin shows of the portal (`contracts.customer_page`)."""

from urllib.parse import urlencode

from django.urls import reverse

from contracts.customer_page import NEWEST, Looking, Section, link, listed, moment, newest, page, register
from portal import links
from portal.models import PortalLink


def _links(looking: Looking) -> Section | None:
    if not looking.may("portal.view_portallink"):
        return None
    customer = looking.customer
    found = PortalLink.objects.filter(customer=customer).select_related("customer__test_clock").order_by("-id")
    rows, more = newest(found[: NEWEST + 1])
    revokes, ways = looking.may("portal.change_portallink"), []
    if looking.may("portal.add_portallink"):
        ways.append(
            ("Make a link", f"{reverse('admin:portal_portallink_make')}?{urlencode({'customer': customer.key})}")
        )
    if more:
        ways.append(("All of its links", listed("portal_portallink", customer__id__exact=customer.pk)))

    def row(one: PortalLink) -> tuple[object, ...]:
        state = links.state(one, now=looking.wall)
        revoke = link(reverse("admin:portal_portallink_revoke_this", args=[one.pk]), "Revoke")
        return (
            page(one, one.public_id),
            state,
            one.created_by,
            moment(one.created_at),
            moment(one.expires_at),
            moment(one.last_used_at),
            revoke if revokes and state == "active" else "",
        )

    return Section(
        "portal",
        "Portal links",
        heads=("Link", "Status", "Made by", "Made (UTC)", "Expires (UTC)", "Last used (UTC)", ""),
        rows=[row(one) for one in rows],
        nothing="None was made.",
        links=ways,
    )


register(75, _links)
