"""The server and the official package as its client. Whatever the server answers in a test is held against the classes
of the package, and its books against its objects when the test ends.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stripe import StripeClient
from stripe._http_client import RequestsClient

from tests.stripe_server import StripeServer
from tests.stripe_server.handling import Reply, Request
from tests.stripe_server.shapes import violations

Connect = Callable[..., Any]


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeServer]:
    wrong: list[str] = []
    with StripeServer() as server:
        serve = server.serve

        def checked(request: Request) -> Reply:
            reply = serve(request)
            if reply.answer.status == 200:
                found = violations(json.loads(reply.answer.body))
                wrong.extend(f"{request.method} {request.path}: {text}" for text in found)
            return reply

        monkeypatch.setattr(server, "serve", checked)
        yield server
        assert wrong == []
        assert server.books().check() == []


@pytest.fixture
def connect(stripe: StripeServer) -> Iterator[Connect]:
    """Make a client: `connect()`, or with another key or further options of `StripeClient`; `.v1` of it."""
    used: list[RequestsClient] = []

    def make(key: str | None = None, **options: Any) -> Any:
        http = RequestsClient(timeout=10)
        used.append(http)
        client = StripeClient(
            key or stripe.key, base_addresses={"api": stripe.url}, max_network_retries=0, http_client=http, **options
        )
        return client.v1

    yield make
    for http in used:
        http.close()


@pytest.fixture
def v1(connect: Connect) -> Any:
    return connect()


@pytest.fixture
def customer(v1: Any) -> str:
    return v1.customers.create({"name": "Acme", "email": "billing@acme.example"}).id


@pytest.fixture
def draft(v1: Any, customer: str) -> Callable[..., Any]:
    """`draft(1000, -200, currency="eur", …)`: a draft to be sent, with a line per amount."""

    def make(*amounts: int, **params: Any) -> Any:
        given = {"customer": customer, "collection_method": "send_invoice", "days_until_due": 14, **params}
        invoice = v1.invoices.create(given)
        if amounts:
            lines = [{"amount": amount, "description": f"Line {n}"} for n, amount in enumerate(amounts, 1)]
            invoice = v1.invoices.add_lines(invoice.id, {"lines": lines})
        return invoice

    return make


@pytest.fixture
def opened(v1: Any, draft: Callable[..., Any]) -> Callable[..., Any]:
    """As `draft`, and finalised."""
    return lambda *amounts, **params: v1.invoices.finalize_invoice(draft(*amounts, **params).id)


@pytest.fixture
def refused() -> Callable[..., Any]:
    """`refused(call, *arguments)`: the error's fields as answered, with its `status`."""
    from stripe import StripeError

    def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        with pytest.raises(StripeError) as caught:
            function(*arguments, **options)
        body = caught.value.json_body or {"error": {}}
        return {**body["error"], "status": caught.value.http_status, "headers": caught.value.headers}

    return call
