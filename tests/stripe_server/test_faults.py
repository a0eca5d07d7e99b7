"""Each fault as a client sees it, and what it leaves behind."""

import http.client
import time
from contextlib import closing
from typing import Any

import pytest
from stripe import APIConnectionError, RateLimitError, StripeError

from tests.stripe_server import FAULTS, StripeServer

Refused = Any


@pytest.mark.parametrize(
    ("fault", "done"), [("timeout_before", 0), ("timeout_after", 1), ("reset", 1), ("truncated", 1)]
)
def test_a_lost_answer_tells_nothing_and_the_key_does(stripe: StripeServer, v1: Any, fault: str, done: int) -> None:
    stripe.faults.next(fault, "customers.create")
    key = {"idempotency_key": "hf:1"}
    with pytest.raises(APIConnectionError):
        v1.customers.create({"name": "A"}, key)
    assert len(v1.customers.list().data) == done
    again = v1.customers.create({"name": "A"}, key)
    assert (again.last_response.headers.get("Idempotent-Replayed") == "true") is bool(done)
    assert len(v1.customers.list().data) == 1
    assert stripe.faults.counts == {("customers.create", fault): 1}


@pytest.mark.parametrize(
    ("fault", "error"), [("reset", ConnectionResetError), ("truncated", http.client.IncompleteRead)]
)
def test_how_an_answer_breaks_off(stripe: StripeServer, fault: str, error: type[Exception]) -> None:
    stripe.faults.next(fault)
    with closing(http.client.HTTPConnection(stripe.url.removeprefix("http://"), timeout=5)) as connection:
        connection.request("GET", "/v1/account", headers={"Authorization": f"Bearer {stripe.key}"})
        with pytest.raises(error):
            connection.getresponse().read()


def test_a_slow_answer_is_an_answer(stripe: StripeServer, v1: Any) -> None:
    stripe.faults.slow_for = 0.2
    stripe.faults.next("slow")
    began = time.monotonic()
    assert v1.customers.create({"name": "A"}).name == "A"
    assert time.monotonic() - began >= 0.2


def test_the_global_limit_says_when_to_come_again(stripe: StripeServer, v1: Any, refused: Refused) -> None:
    stripe.faults.next("rate_limit")
    error = refused(v1.customers.list)
    assert (error["status"], error["code"], error["headers"]["Retry-After"]) == (429, "rate_limit", "1")
    assert error["headers"]["Stripe-Should-Retry"] == "true"


def test_a_named_route_alone_suffers(stripe: StripeServer, v1: Any, customer: str, refused: Refused) -> None:
    stripe.faults.next("unavailable", "invoices.create", times=2)
    v1.customers.retrieve(customer)
    for _ in range(2):
        assert refused(v1.invoices.create, {"customer": customer})["status"] == 503
    assert v1.invoices.create({"customer": customer}).status == "draft"
    with pytest.raises(ValueError, match="no such fault"):
        stripe.faults.next("earthquake")


def test_random_faults_are_those_of_the_seed(stripe: StripeServer, connect: Any) -> None:
    v1 = connect()

    def play(seed: int) -> list[str]:
        stripe.faults.at_random(0.3, seed)
        seen = []
        for n in range(60):
            try:
                v1.customers.create({"name": str(n)})
                seen.append("ok")
            except StripeError as error:
                seen.append(f"{type(error).__name__} {error.http_status}")
        stripe.faults.at_random(0)
        return seen

    plays = [play(7), play(7), play(8)]
    assert plays[0] == plays[1] != plays[2]
    failed = [sum(answer != "ok" for answer in seen) for seen in plays]
    assert all(8 < count < 30 for count in failed)
    assert stripe.faults.total == sum(failed)


def test_retrying_with_keys_through_every_fault_makes_one_of_each(stripe: StripeServer, connect: Any) -> None:
    """What an honest client has to do: the same key until an answer comes, another one only after a stored failure that
    left nothing.
    """
    stripe.faults.at_random(0.3, seed=3)
    v1 = connect()
    for n in range(40):
        epoch = 0
        for _ in range(50):
            try:
                v1.customers.create({"name": str(n)}, {"idempotency_key": f"{n}:{epoch}"})
                break
            except StripeError as error:
                replayed = (error.headers or {}).get("Idempotent-Replayed") == "true"
                if replayed and str(n) not in {customer["name"] for customer in stripe.world().all("customer")}:
                    epoch += 1
                elif replayed:
                    break
        else:
            pytest.fail("never made")
    names = [customer["name"] for customer in stripe.world().all("customer")]
    assert sorted(names, key=int) == [str(n) for n in range(40)]
    assert {fault for _, fault in stripe.faults.counts} <= set(FAULTS)


def test_the_limiter_counts_by_key(stripe: StripeServer, v1: Any, connect: Any) -> None:
    stripe.set_rate_limit(5)
    with pytest.raises(RateLimitError) as caught:
        for _ in range(200):
            v1.customers.list()
    assert caught.value.http_status == 429
    connect(stripe.live_key).customers.list()
    stripe.set_rate_limit(None)
    v1.customers.list()
