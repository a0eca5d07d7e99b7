"""Webhooks on their way from the local Stripe to ours, through Django's test client, at the tests' time."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from freezegun import freeze_time

# Loaded before the clock is stopped: models of requests are made of the real classes of times.
import billing_project.urls  # noqa: F401
from payments import events
from payments.models import StripeEvent
from tests.payments.conftest import Stripe

SECRET = "whsec_ours"
URL = "https://holdfast.example/stripe/webhooks"


class Hooks:
    """`deliver()` sends what is queued there; `work()` works what came."""

    def __init__(self, stripe: Stripe) -> None:
        self.stripe = stripe
        self.client = Client()
        self.endpoint = stripe.server.dashboard().add_endpoint(URL, SECRET)["id"]

    def deliver(self, **switches: Any) -> list[int | None]:
        """The statuses of the answers."""
        # The server signs by its own clock, which goes on by itself.
        # The server goes by its own clock.
        with freeze_time(self.now(), ignore=["tests.stripe_server"]):
            answers = self.stripe.server.deliver(post=self._post, **switches)
        self.refused = [answer.body for answer in answers if not answer.taken]
        return [answer.status for answer in answers]

    def now(self) -> datetime:
        """The server's time, which goes on by itself, and by `Stripe.pass_time`."""
        return datetime.fromtimestamp(self.stripe.server.clock.now(), UTC)

    def work(self) -> int:
        return events.work_due(self.now())

    def through(self, **switches: Any) -> int:
        """Deliver, and work."""
        self.deliver(**switches)
        return self.work()

    def statuses(self) -> dict[str, str]:
        return dict(StripeEvent.objects.order_by("id").values_list("type", "status"))

    def _post(self, url: str, payload: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        answer = self.client.post(
            urlsplit(url).path,
            payload,
            content_type=headers["Content-Type"],
            headers={"Stripe-Signature": headers["Stripe-Signature"]},
        )
        return answer.status_code, answer.content


@pytest.fixture
def hooks(stripe: Stripe, settings: Any) -> Hooks:
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    return Hooks(stripe)
