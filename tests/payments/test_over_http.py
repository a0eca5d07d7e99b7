"""Webhooks over a real socket, from the local Stripe to our application, and what Celery calls."""

import http.client
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.conf import settings as project
from django.core.wsgi import get_wsgi_application
from django.db import connections

from contracts.models import Customer
from payments import events, receiving, tasks
from payments.models import Reconciliation, StripeEvent, StripeInvoice
from tests.payments.conftest import Stripe
from tests.payments.test_events import opened, status

SECRET = "whsec_ours"


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(stripe: Stripe, settings: Any) -> Iterator[int]:
    """Our application on a port."""
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    application = get_wsgi_application()

    def answer(environ: Any, start_response: Any) -> Any:
        try:
            yield from application(environ, start_response)
        finally:
            connections.close_all()

    with make_server("127.0.0.1", 0, answer, handler_class=_Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_celery_calls(stripe: Stripe, acme: Customer, served: int) -> None:
    """From a payment at Stripe over HTTP to a paid invoice here, and all others of our tasks."""
    (paid, stripe_id), (silent, other) = opened(stripe, acme, "10.00", "20.00")
    stripe.server.dashboard().add_endpoint(f"http://127.0.0.1:{served}/stripe/webhooks", SECRET)
    stripe.server.dashboard().pay(stripe_id)
    answers = stripe.server.deliver(duplicate=3, reorder=1)
    assert {answer.status for answer in answers} == {200} and len(answers) > 10
    tasks.work_events()
    assert (status(paid), StripeEvent.objects.filter(status="waiting").count()) == ("paid", 0)
    # A webhook that was lost.
    stripe.server.dashboard().pay(other)
    stripe.server.deliver(drop=1.0)
    StripeInvoice.objects.filter(stripe_id=other).update(seen_at="2026-01-01T00:00:00Z")
    tasks.look()
    assert status(silent) == "paid"
    tasks.reconcile()
    assert Reconciliation.objects.get().findings_open == 0
    StripeEvent.objects.update(finished_at="2026-01-01T00:00:00Z")
    tasks.sweep_events()
    assert not StripeEvent.objects.exists()


def test_that_it_is_called() -> None:
    scheduled = {entry["task"]: entry["schedule"] for entry in project.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled[tasks.work_events.name] <= 5
    # Unseen for fifteen minutes, and found at the next run.
    assert scheduled[tasks.look.name] <= 900
    assert {tasks.reconcile.name, tasks.sweep_events.name} <= scheduled.keys()
    assert tasks.reconcile.soft_time_limit > 3600
    assert events.RUN_SECONDS < project.CELERY_TASK_SOFT_TIME_LIMIT


def test_an_announced_body_that_is_too_large_is_not_read(stripe: Stripe, served: int) -> None:
    """The answer is there before the body."""
    connection = http.client.HTTPConnection("127.0.0.1", served, timeout=10)
    connection.putrequest("POST", "/stripe/webhooks")
    connection.putheader("Content-Length", str(10 * 1024 * 1024))
    connection.putheader("Stripe-Signature", "t=1,v1=00")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"body_too_large" in answer.read()) == (413, True)
    connection.close()


def test_a_body_that_ends_early(stripe: Stripe, served: int) -> None:
    """Less comes than was announced: it is no body that was signed."""
    connection = http.client.HTTPConnection("127.0.0.1", served, timeout=10)
    connection.putrequest("POST", "/stripe/webhooks")
    connection.putheader("Content-Length", str(receiving.MAX_BYTES))
    connection.endheaders(b"{}")
    assert connection.sock is not None
    connection.sock.shutdown(1)
    assert connection.getresponse().status == 400
    connection.close()
    assert not StripeEvent.objects.exists()
