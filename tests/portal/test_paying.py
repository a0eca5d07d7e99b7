"""An open invoice has a button that leads to where it is paid, and says why a payment failed."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail as outbox
from django.test import Client

from contracts.models import Customer
from invoicing.models import Invoice
from invoicing.payment import mark_paid, mark_uncollectible
from payments import letters
from payments.models import Dunning, DunningMail, StripeInvoice
from payments.paying import is_safe
from portal import links
from portal.messages import PORTAL
from portal.models import PortalLink
from tests.portal.shop import Shop

PAGE = "https://invoice.stripe.com/i/acct_1/test_x?s=ap&a=b"


@pytest.fixture
def seen(shop: Shop) -> StripeInvoice:
    """How Acme's invoice stands at Stripe."""
    invoice = Invoice.objects.filter(customer__key="acme").latest("period_start")
    return StripeInvoice.objects.create(
        invoice=invoice, account="acct_1", livemode=False, stripe_id="in_1", status="open",
        collection_method="charge_automatically", total=2850, amount_due=2850, amount_remaining=2850, hosted_url=PAGE,
        seen_at=shop.now,
    )  # fmt: skip


def page_of(shop: Shop, client: Client) -> str:
    return client.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/").content.decode()


@pytest.mark.parametrize("locale", ["en", "de-CH", "fr", "ja"])
def test_the_button(shop: Shop, enter: Callable[..., Client], seen: StripeInvoice, locale: str) -> None:
    Customer.objects.filter(key="acme").update(locale=locale)
    page = page_of(shop, enter("acme"))
    assert f'href="{PAGE.replace("&", "&amp;")}" rel="external noreferrer">{PORTAL.text(locale, "pay")}</a>' in page
    # Globex has none at Stripe, so its page has none.
    other = enter("globex").get(f"/portal/invoices/{shop.ids['globex']['invoice']}/").content.decode()
    assert "stripe.com" not in other


@pytest.mark.parametrize("status", ["draft", "paid", "void", "deleted"])
def test_nothing_to_pay_there(shop: Shop, acme: Client, seen: StripeInvoice, status: str) -> None:
    StripeInvoice.objects.update(status=status)
    assert "stripe.com" not in page_of(shop, acme)


def test_nothing_to_pay_here(shop: Shop, acme: Client, seen: StripeInvoice) -> None:
    mark_uncollectible(seen.invoice_id, now=shop.now)
    assert "stripe.com" in page_of(shop, acme), "it is still owed"
    StripeInvoice.objects.update(last_failure="Your card was declined.", last_failure_code="generic_decline")
    mark_paid(seen.invoice_id, now=shop.now)
    page = page_of(shop, acme)
    assert "stripe.com" not in page and PORTAL.text("en", "payment_failed") not in page


@pytest.mark.parametrize(
    ("url", "environment", "safe"),
    [
        ("https://invoice.stripe.com/i/x", "production", True),
        ("http://invoice.stripe.com/i/x", "development", False),
        ("http://127.0.0.1:1234/i/x", "development", True),
        ("http://[::1]:1234/i/x", "development", True),
        ("http://localhost/i/x", "development", True),
        ("http://127.0.0.1:1234/i/x", "production", False),
        ("http://127.0.0.1.evil.example/x", "development", False),
        ("javascript:alert(1)", "development", False),
        ("https:///x", "development", False),
        ("http://[::1", "development", False),
        ("data:text/html,x", "development", False),
        ("//evil.example", "development", False),
        ("", "development", False),
    ],
)  # fmt: skip
def test_where_it_may_lead(
    shop: Shop, acme: Client, seen: StripeInvoice, settings: Any, url: str, environment: str, safe: bool
) -> None:
    settings.ENVIRONMENT = environment
    assert is_safe(url) == safe
    StripeInvoice.objects.update(hosted_url=url)
    assert ('class="pay"' in page_of(shop, acme)) == safe


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("insufficient_funds", "Your account or card did not have enough funds."),
        ("stolen_card", "Your means of payment was declined."),
        ("expired_card", "Your card has expired."),
        ("authentication_required", "Your bank asks that you confirm the payment yourself."),
        ("no_payment_method", "There is no means of payment on file that we can charge."),
        ("", "Your means of payment was declined."),
    ],
)
def test_why_a_payment_failed(shop: Shop, acme: Client, seen: StripeInvoice, code: str, said: str) -> None:
    assert PORTAL.text("en", "payment_failed") not in page_of(shop, acme)
    StripeInvoice.objects.update(last_failure="Stripe's own words.", last_failure_code=code)
    page = page_of(shop, acme)
    assert f"The last payment failed. {said}" in page
    assert "own words" not in page


def test_a_mail_has_a_link_into_the_portal(shop: Shop, seen: StripeInvoice, settings: Any) -> None:
    settings.PUBLIC_URL = "https://billing.example.com"
    dunning = Dunning.objects.create(invoice=seen.invoice, kind="reminder", next_at=shop.now, started_at=shop.now)
    mail = DunningMail.objects.create(
        dunning=dunning, step=1, letter="reminder", next_attempt_at=shop.now, created_at=shop.now
    )
    before = PortalLink.objects.count()
    written = letters.write(mail, now=shop.now)
    (_, page), (_, address) = written.links
    assert (page, PortalLink.objects.count()) == (PAGE, before + 1)
    assert links.opened(address.partition("key=")[2], now=shop.now).customer == seen.invoice.customer
    assert PortalLink.objects.filter(created_by=f"mail about invoice {seen.invoice.number}").count() == 1
    assert address in written.text and address not in written.kept
    # Without an address to reach it by there is none, rather than one that leads nowhere.
    settings.PUBLIC_URL = ""
    assert [address for _, address in letters.write(mail, now=shop.now).links] == [PAGE]
    assert outbox.outbox == []
