"""System checks of the settings for Stripe."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security)
def check_webhook_secrets(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn where there is a key and no webhook can be verified: what happens at Stripe is then noticed late."""
    secrets = [secret.strip() for secret in settings.STRIPE_WEBHOOK_SECRETS if secret.strip()]
    if (settings.STRIPE_KEY or settings.STRIPE_TEST_KEY) and not secrets:
        return [
            Warning(
                "HOLDFAST_STRIPE_WEBHOOK_SECRETS is not set: Stripe's webhooks are refused, and a payment is seen up "
                "to half an hour late.",
                hint="Make an endpoint at Stripe and set its signing secret (docs/stripe.md).",
                id="payments.W001",
            )
        ]
    if any(not secret.startswith("whsec_") for secret in secrets):
        return [
            Warning(
                "HOLDFAST_STRIPE_WEBHOOK_SECRETS holds what is no signing secret of Stripe's: they begin with whsec_.",
                hint="It is shown in Stripe's dashboard beside the endpoint; API keys do not belong here.",
                id="payments.W002",
            )
        ]
    return []
