"""Keys: the answer of the first execution is the answer."""

import threading
from typing import Any

import pytest
from stripe import StripeError

from tests.stripe_server import StripeServer

Refused = Any
KEY = {"idempotency_key": "hf:1"}


def test_the_same_request_is_answered_from_the_store(stripe: StripeServer, v1: Any) -> None:
    first = v1.customers.create({"name": "A"}, KEY)
    second = v1.customers.create({"name": "A"}, KEY)
    assert first.id == second.id
    assert "idempotent-replayed" not in {name.lower() for name in first.last_response.headers}
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert second.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert len(v1.customers.list().data) == 1
    assert v1.events.list().data[0].request.idempotency_key == "hf:1"


def test_another_request_with_the_key_is_refused(v1: Any, customer: str, refused: Refused) -> None:
    v1.customers.create({"name": "A"}, KEY)
    for call in (
        lambda: v1.customers.create({"name": "B"}, KEY),
        lambda: v1.customers.update(customer, {"name": "A"}, KEY),
    ):
        error = refused(call)
        assert (error["status"], error["type"]) == (400, "idempotency_error")


def test_keys_live_for_a_day(stripe: StripeServer, v1: Any) -> None:
    stripe.clock.set(1_800_000_000)
    first = v1.customers.create({"name": "A"}, KEY)
    stripe.clock.advance(seconds=86_399)
    assert v1.customers.create({"name": "A"}, KEY).id == first.id
    stripe.clock.advance(seconds=1)
    assert v1.customers.create({"name": "A"}, KEY).id != first.id


def test_errors_after_execution_began_are_stored(v1: Any, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    declined = {"payment_method": "pm_card_chargeDeclined"}
    assert refused(v1.invoices.pay, invoice.id, declined, KEY)["code"] == "card_declined"
    again = refused(v1.invoices.pay, invoice.id, declined, KEY)
    assert (again["code"], again["headers"]["Idempotent-Replayed"]) == ("card_declined", "true")
    assert v1.invoices.retrieve(invoice.id).attempt_count == 1


def test_errors_of_the_parameters_are_not(v1: Any, refused: Refused) -> None:
    assert refused(v1.invoices.create, {"collection_method": "x"}, KEY)["param"] == "collection_method"
    assert v1.customers.create({"name": "A"}, KEY).id


@pytest.mark.parametrize(
    ("fault", "status", "code", "done"),
    [("lock_timeout", 429, "lock_timeout", 0), ("error", 500, None, 0), ("error_after", 500, None, 1)],
)
def test_failures_are_replayed_until_another_key(
    stripe: StripeServer, v1: Any, refused: Refused, fault: str, status: int, code: str | None, done: int
) -> None:
    stripe.faults.next(fault, "customers.create")
    for replayed in (None, "true", "true"):
        error = refused(v1.customers.create, {"name": "A"}, KEY)
        assert (error["status"], error.get("code")) == (status, code)
        assert error["headers"].get("Idempotent-Replayed") == replayed
    assert len(v1.customers.list().data) == done
    assert v1.customers.create({"name": "A"}, {"idempotency_key": "hf:2"}).name == "A"


@pytest.mark.parametrize("fault", ["rate_limit", "conflict", "unavailable"])
def test_refusals_before_execution_are_not_stored(stripe: StripeServer, v1: Any, refused: Refused, fault: str) -> None:
    stripe.faults.next(fault)
    assert refused(v1.customers.create, {"name": "A"}, KEY)["status"] in (429, 409, 503)
    assert v1.customers.create({"name": "A"}, KEY).name == "A"


def test_while_the_first_runs_the_key_is_in_use(stripe: StripeServer, connect: Any, v1: Any, refused: Refused) -> None:
    stripe.faults.next("held", "customers.create")
    made: list[Any] = []
    first = threading.Thread(target=lambda: made.append(connect().customers.create({"name": "A"}, KEY)))
    first.start()
    assert stripe.faults.holding.acquire(timeout=10)
    error = refused(v1.customers.create, {"name": "A"}, KEY)
    assert (error["status"], error["code"]) == (409, "idempotency_key_in_use")
    assert v1.customers.list().data == []
    stripe.faults.release()
    first.join()
    assert v1.customers.create({"name": "A"}, KEY).id == made[0].id


def test_the_worlds_have_keys_of_their_own(stripe: StripeServer, connect: Any, v1: Any) -> None:
    ids = {client.customers.create({"name": "A"}, KEY).id for client in (v1, connect(stripe.live_key))}
    assert len(ids) == 2
    assert (
        v1.customers.create({"name": "A"}, KEY).id == connect("rk_test_other").customers.create({"name": "A"}, KEY).id
    )


def test_many_clients_at_once(stripe: StripeServer, connect: Any) -> None:
    """Each request runs whole: ten clients send the same twenty keys and make twenty customers, numbered apart."""

    def send(client: Any) -> None:
        for n in range(20):
            while True:
                try:
                    client.customers.create({"name": str(n), "email": "a@b.example"}, {"idempotency_key": f"hf:{n}"})
                    break
                except StripeError as error:
                    assert error.http_status == 409  # an APIError, whose `code` the package leaves empty

    threads = [threading.Thread(target=send, args=(connect(),)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = stripe.world().all("customer")
    assert sorted(int(customer["name"]) for customer in made) == list(range(20))
    assert len(stripe.log) >= 200 and len({customer["id"] for customer in made}) == 20
