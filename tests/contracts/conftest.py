"""A client with a key, and the few things most tests stand on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from access import keys
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import Customer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAMPLES = Path(__file__).resolve().parents[2] / "samples"

TICKET = """
outcome resolved_ticket "Ticket resolved"
per ticket_id
bill when ticket.closed
settle after 72 hours
dimension priority = latest priority of ticket.closed
dimension kind = "verified" if ticket.rated else "assumed"
"""


@pytest.fixture
def ticket(db: None) -> str:
    """The slug of a condition with the dimensions priority (any text) and kind (verified, assumed)."""
    create_condition_version(TICKET, effective_from=None, now=NOW)
    return "resolved_ticket"


@pytest.fixture
def acme(db: None) -> Customer:
    return put_customer("acme", CustomerFields("USD", "Acme"), now=NOW).value


class Call:
    """``call("PUT", "/v1/customers/acme", {...})`` → (status, body)."""

    def __init__(self, key: str | None) -> None:
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = Client()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = "" if body is None else json.dumps(body)
        response = self.client.generic(method, path, data, content_type="application/json", headers=sent)
        return response.status_code, json.loads(response.content)


@pytest.fixture
def call_as(db: None) -> Callable[..., Call]:
    def make(*scopes: str) -> Call:
        _, text = keys.create("test", list(scopes), now=datetime.now(UTC), live=True, expires_at=None)
        return Call(text)

    return make


@pytest.fixture
def call(call_as: Callable[..., Call]) -> Call:
    return call_as("write")
