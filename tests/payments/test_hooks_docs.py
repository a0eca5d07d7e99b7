"""docs/stripe.md says of webhooks and of the reconciliation what the code does."""

import re

from django.conf import settings

from access import error_codes
from payments import events, receiving, watching
from payments.client import VERSION
from payments.models import Finding, StripeEvent
from tests.payments.conftest import Stripe
from tests.project.running import ROOT

PAGE = (ROOT / "docs/stripe.md").read_text()
WEBHOOKS = PAGE[PAGE.index("## Webhooks") : PAGE.index("## Reconciliation")]
RECONCILIATION = PAGE[PAGE.index("## Reconciliation") :]


def rows(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head begins so."""
    body = text[text.index(f"\n| {head}") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in body]


def test_the_endpoint(stripe: Stripe) -> None:
    """Stripe takes it as the page says, and each of its events is about what is looked at here."""
    asked = {name: re.findall(r"`([^`]+)`", value) for name, value in rows(WEBHOOKS, "|")}
    [url], [version, *_] = asked["URL"], asked["API version"]
    listed = asked["events, of your own account"]
    assert version == VERSION
    made = stripe.v1.webhook_endpoints.create({"url": url, "api_version": version, "enabled_events": listed})
    assert made.api_version == VERSION
    kinds = {"invoice", "invoice_payment", "credit_note", "refund", "charge", "customer"}
    assert {name.split(".")[0] for name in listed} == kinds


def test_the_refusals() -> None:
    codes = [row[0].strip("`") for row in rows(WEBHOOKS, "`code`")]
    ours = {
        "webhook_not_configured", "invalid_signature", "signature_expired", "wrong_api_version", "wrong_mode",
        "wrong_account", "event_not_readable",
    }  # fmt: skip
    assert set(codes) == ours <= error_codes.CODES.keys()


def test_the_figures() -> None:
    assert f"{receiving.TOLERANCE.seconds} seconds" in WEBHOOKS
    assert f"{receiving.MAX_BYTES // 1024} kB" in WEBHOOKS
    assert f"kept for {events.KEPT.days} days" in WEBHOOKS
    assert events.GIVEN_UP_AFTER.days == 3 and "for three days" in WEBHOOKS
    assert f"not seen for {watching.UNSEEN_FOR.seconds // 60} minutes" in WEBHOOKS
    assert settings.CELERY_BEAT_SCHEDULE["look at what is open at Stripe"]["schedule"] == 300.0
    assert "`failed`" in WEBHOOKS and StripeEvent.Status.FAILED == "failed"
    nightly = settings.CELERY_BEAT_SCHEDULE["compare all with Stripe"]["schedule"]
    assert (nightly.hour, nightly.minute) == ({2}, {47}) and "02:47 UTC" in RECONCILIATION


def test_the_kinds_of_findings() -> None:
    assert [row[0].strip("`") for row in rows(RECONCILIATION, "`kind`")] == Finding.Kind.values
