"""What comes in at POST /stripe/webhooks: only what is Stripe's, for us and of now is stored, and that once."""

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from freezegun import freeze_time

# Loaded before the clock is stopped: models of requests are made of the real classes of times.
import billing_project.urls  # noqa: F401
from payments import receiving
from payments.client import VERSION
from payments.models import Connection, StripeEvent
from tests.payments.conftest import Stripe
from tests.stripe_server.events import signature

PATH = "/stripe/webhooks"
SECRET, OTHER = "whsec_ours", "whsec_of_another_endpoint"
# 100,000 by HOLDFAST_FORGED.
MANY = int(os.environ.get("HOLDFAST_FORGED", "2000"))

Post = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def post(stripe: Stripe, settings: Any) -> Iterator[Post]:
    """Send a body at the tests' time; its signature is right unless another header is given."""
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    client = Client(raise_request_exception=True, enforce_csrf_checks=True)

    def send(body: bytes, header: str | None = None, *, at: datetime | None = None) -> tuple[int, dict[str, Any]]:
        given = signed(body, stripe.now) if header is None else header
        clock.move_to(at or stripe.now)
        answer = client.post(
            PATH, body, content_type="application/json", headers={"Stripe-Signature": given} if given else {}
        )
        return answer.status_code, answer.json()

    with freeze_time(stripe.now) as clock:
        yield send


def signed(body: bytes, at: datetime, *secrets: str) -> str:
    return signature(body, list(secrets) or [SECRET], int(at.timestamp()))


def event(stripe: Stripe, **changed: Any) -> bytes:
    made = {
        "id": "evt_1", "object": "event", "api_version": VERSION, "created": int(stripe.now.timestamp()),
        "livemode": False, "type": "invoice.paid", "pending_webhooks": 1, "request": None,
        "data": {"object": {
            "id": "in_1", "object": "invoice", "customer": "cus_1", "customer_email": "ap@acme.example",
            "metadata": {"holdfast_invoice": "inv_1", "note": "private"},
        }},
    }  # fmt: skip
    return json.dumps(made | changed).encode()


def test_it_is_stored_once_and_of_it_no_more_than_is_needed(post: Post, stripe: Stripe) -> None:
    body = event(stripe)
    assert [post(body) for _ in range(5)] == [(200, {"received": True, "new": n == 0}) for n in range(5)]
    stored = StripeEvent.objects.get()
    assert (stored.event_id, stored.type, stored.object_id, stored.status) == (
        "evt_1", "invoice.paid", "in_1", "waiting",
    )  # fmt: skip
    assert (stored.account, stored.livemode, stored.api_version) == (stripe.server.account, False, VERSION)
    assert stored.payload == {
        "object": "invoice",
        "customer": "cus_1",
        "metadata": {"holdfast_invoice": "inv_1"},
    }


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a foreign account", {"account": "acct_of_somebody"}, "wrong_account"),
    ("another context", {"context": "acct_of_somebody"}, "wrong_account"),
    ("an account that is none", {"account": 7}, "wrong_account"),
    ("live mode", {"livemode": True}, "wrong_mode"),
    ("no mode", {"livemode": None}, "event_not_readable"),
    ("another version", {"api_version": "2020-08-27"}, "wrong_api_version"),
    ("no version", {"api_version": None}, "wrong_api_version"),
    ("a thin event", {"object": "v2.core.event"}, "event_not_readable"),
    ("no id", {"id": None}, "event_not_readable"),
    ("an id that is none", {"id": "evt_1'; --"}, "event_not_readable"),
    ("a type that is none", {"type": ["invoice.paid"]}, "event_not_readable"),
    ("no time", {"created": True}, "event_not_readable"),
    ("a time that is none", {"created": 10**30}, "event_not_readable"),
    ("no object", {"data": {}}, "event_not_readable"),
    ("no data", {"data": None}, "event_not_readable"),
]


@pytest.mark.parametrize(("changed", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_signed_and_not_for_us_is_refused(
    post: Post, stripe: Stripe, changed: dict[str, Any], code: str
) -> None:
    status, answer = post(event(stripe, **changed))
    assert (status, answer["error"]["code"], answer["error"]["status"]) == (400, code, 400)
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"{", "malformed_json"),
        (b"[]", "event_not_readable"),
        (b'"event"', "event_not_readable"),
        (b"null", "event_not_readable"),
        (b'{"object": "event", "object": "event"}', "duplicate_key"),
        (b'{"object": "event", "id": "evt_\\u0000"}', "nul_character"),
        (b'{"object": "event", "id": "\\ud800"}', "lone_surrogate"),
        (b'{"object": NaN}', "not_a_number"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b"[" * 5000 + b"]" * 5000, "too_deep"),
        (b"1" * 5000, "number_too_long"),
    ],
)  # fmt: skip
def test_what_is_signed_and_no_event_is_refused(post: Post, body: bytes, code: str) -> None:
    status, answer = post(body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert not StripeEvent.objects.exists()


def test_a_signed_body_of_other_bytes_than_utf_8(post: Post, stripe: Stripe) -> None:
    """Stripe signs text alone; the package fails to read this, and that is a no."""
    body = event(stripe).replace(b"private", b"priv\xff\xfe")
    status, answer = post(body)
    assert (status, answer["error"]["code"]) == (400, "invalid_signature")


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, 200), (299, 200), (300, 200), (301, 400), (-300, 200), (-301, 400), (86_400, 400)]
)
def test_the_time_counts_on_both_sides(post: Post, stripe: Stripe, seconds: int, status: int) -> None:
    """A genuine request that is played again after 301 seconds, and one from the future."""
    body = event(stripe)
    sent = signed(body, stripe.now)
    answered, answer = post(body, sent, at=stripe.now + timedelta(seconds=seconds))
    assert answered == status
    assert StripeEvent.objects.count() == (status == 200)
    if status != 200:
        assert answer["error"]["code"] == "signature_expired"


def test_two_secrets_while_one_replaces_the_other(post: Post, stripe: Stripe, settings: Any) -> None:
    new = "whsec_new"
    settings.STRIPE_WEBHOOK_SECRETS = [new, SECRET]
    for number, secrets in enumerate(((SECRET,), (new,), (new, SECRET), (OTHER, new))):
        body = event(stripe, id=f"evt_{number}")
        assert post(body, signed(body, stripe.now, *secrets))[0] == 200
    settings.STRIPE_WEBHOOK_SECRETS = [new]
    body = event(stripe, id="evt_9")
    assert post(body, signed(body, stripe.now, SECRET))[0] == 400
    assert StripeEvent.objects.count() == 4


@pytest.mark.parametrize("secrets", [[], [""], ["  "]])
def test_without_a_secret_nothing_is_taken(post: Post, stripe: Stripe, settings: Any, secrets: list[str]) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = secrets
    body = event(stripe)
    for secret in ("", *secrets, SECRET):
        status, answer = post(body, signed(body, stripe.now, secret))
        assert (status, answer["error"]["code"]) == (400, "webhook_not_configured")
    assert not StripeEvent.objects.exists()
    assert [one.id for one in run_checks() if one.id.startswith("payments.")] == ["payments.W001"]
    settings.STRIPE_WEBHOOK_SECRETS = ["sk_test_pasted_here"]
    assert [one.id for one in run_checks() if one.id.startswith("payments.")] == ["payments.W002"]
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    assert [one.id for one in run_checks() if one.id.startswith("payments.")] == []


def test_nothing_connected(post: Post, stripe: Stripe) -> None:
    Connection.objects.all().delete()
    assert post(event(stripe))[1]["error"]["code"] == "wrong_mode"


def test_a_body_that_is_too_large(post: Post, stripe: Stripe) -> None:
    """Up to the limit it is taken; beyond, it is refused before it is read, whatever its signature."""
    body = event(stripe)
    full = body + b" " * (receiving.MAX_BYTES - len(body))
    assert post(full)[0] == 200
    for large in (full + b" ", b" " * 10 * 1024 * 1024):
        for header in (None, "", "t=1,v1=00"):
            status, answer = post(large, header)
            assert (status, answer["error"]["code"]) == (413, "body_too_large")
    assert StripeEvent.objects.count() == 1


def test_other_methods(post: Post) -> None:
    answer = Client().get(PATH)
    assert (answer.status_code, answer.headers["Allow"], answer.json()["error"]["code"]) == (
        405, "POST", "method_not_allowed",
    )  # fmt: skip


def _flipped(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def _forgeries(body: bytes, now: datetime, chance: random.Random) -> tuple[bytes, str]:
    """One forged request."""
    header = signed(body, now)
    stamp, mark = header.split(",")
    when = int(now.timestamp())
    kind = chance.randrange(18)
    match kind:
        case 0 | 1:
            return _flipped(body, chance), header
        case 2 | 3:
            # A flipped bit may give bytes that no header can hold: they arrive as Latin-1, as over a socket.
            return body, _flipped(header.encode(), chance).decode("latin-1").replace("\n", "?").replace("\r", "?")
        case 4:
            return body, signed(body, now, OTHER)
        case 5:
            return body, f"{stamp},{mark.replace('v1=', 'v0=')}"
        case 6:
            return body, mark
        case 7:
            return body, signed(body, now + timedelta(seconds=chance.randrange(301, 10**6)))
        case 8:
            return body, signed(body, now - timedelta(seconds=chance.randrange(301, 10**8)))
        case 9:
            return body, header[: chance.randrange(len(header))]
        case 10:
            return body[: chance.randrange(len(body))], header
        case 11:
            return body, f"t={when},v1={'é' * 64}"
        case 12:
            return body, f"t={chance.choice(['', 'x', '-1', '1e9', '١٢٣', '9' * 400, '0x10'])},{mark}".encode().decode(
                "latin-1"
            )
        case 13:
            return body, f"{stamp},t={when + 1},{mark}" if chance.random() < 0.5 else f"t={when - 400},{header}"
        case 14:
            return body, chance.choice(["", ",", "=", "t", "v1", "t=,v1=", "t=1,v1", "v1=,t=1", "," * 500, "t=t,v1=v1"])
        case 15:
            return body + bytes([chance.randrange(256)]), header
        case 16:
            return bytes(chance.randrange(256) for _ in range(chance.randrange(300))), header
        case _:
            return body, "".join(chr(chance.randrange(32, 256)) for _ in range(chance.randrange(1, 120)))


def test_thousands_of_forged_requests(post: Post, stripe: Stripe) -> None:
    """By a seed: each is answered with 400, in our shape, and of none a row is left."""
    chance = random.Random(8)
    body = event(stripe)
    for number in range(MANY):
        forged, header = _forgeries(body, stripe.now, chance)
        if (forged, header) == (body, signed(body, stripe.now)):
            continue
        status, answer = post(forged, header)
        assert status == 400, (number, header, forged)
        assert answer["error"]["code"] in ("invalid_signature", "signature_expired"), (number, answer)
    assert not StripeEvent.objects.exists()
    # What they were forged from is right.
    assert post(body)[0] == 200


def test_the_same_bytes_as_another_event(post: Post, stripe: Stripe) -> None:
    """Two that differ in what is not kept are one: the id counts."""
    first = json.loads(event(stripe))
    second = copy.deepcopy(first)
    second["data"]["object"]["total"] = 0.5
    assert [post(json.dumps(one).encode())[1]["new"] for one in (first, second)] == [True, False]
    assert StripeEvent.objects.count() == 1
