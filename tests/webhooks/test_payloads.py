"""What each message says, in full; its signature, as a receiver checks it; docs/webhooks.md shows the same."""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from invoicing import billing
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice
from invoicing.payment import mark_paid
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal, Outcome
from settlement.disputes import raise_dispute, resolve
from settlement.sweep import settle_due
from tests.access.test_docs import matches
from tests.invoicing.conftest import World, make_world
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET
from tests.webhooks.conftest import Receiver, subscribe
from webhooks import endpoints, signing
from webhooks.catalog import ENDPOINT_DISABLED, TYPES
from webhooks.delivery import deliver_due
from webhooks.models import Secret
from webhooks.schedule import ATTEMPTS, BREAKER_AFTER, DISABLE_AFTER, PAUSES

DOCS = (Path(django_settings.BASE_DIR) / "docs" / "webhooks.md").read_text()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 1, 10, tzinfo=UTC)


def examples() -> dict[str, Any]:
    """The payloads that the page shows, by name."""
    found = [json.loads(text) for text in re.findall(r"```json\n(\{\"type\".*?)```", DOCS, re.S)]
    return {payload["type"]: payload for payload in found}


def play(receiver: Receiver) -> dict[str, list[dict[str, Any]]]:
    """A few tickets come to every end there is; an event is refused, an invoice issued, credited and paid, another
    endpoint gone.
    What arrived, by name.
    """
    subscribe(receiver, now=START)
    acme = factories.customer()
    factories.condition(TICKET)

    def say(kind: str, hours: float, ticket: str, **data: Any) -> None:
        time = START + hours * HOUR
        event = {"id": f"{ticket}-{kind}", "type": kind, "customer": "acme", "time": time}
        factories.send([event | {"data": {"ticket": ticket, "units": 2, "priority": "high"} | data}], now=time)
        evaluate_waiting(time)

    say("closed", 0, "T-1")
    say("closed", 0, "T-2")
    say("reopened", 1, "T-2")
    say("other", 1, "T-3")
    say("escalated", 1, "T-4")
    settle_due(START + 6 * HOUR)
    well = receiver.answer
    receiver.answer = lambda request: (410, {}, b"") if request.path.endswith("gone") else well(request)
    endpoints.create(f"{receiver.url}/gone", ["dispute.raised"], now=START)
    dispute = raise_dispute(
        Outcome.objects.get(state="confirmed").pk, reason="Solved by ourselves.", by="API key Portal",
        now=START + 6 * HOUR,
    )  # fmt: skip
    resolve(dispute.pk, "rejected", note="The agent's answer solved it.", by="maria", now=START + 7 * HOUR)
    say("reopened", 7, "T-1")
    settle_due(START + 70 * HOUR)
    factories.send(
        [{"id": "evt-1", "type": "closed", "customer": "acme", "time": START - 90 * DAY, "data": {}}], now=START
    )
    world: World = make_world()
    world.contract(acme)
    world.outcomes(acme, 15, START, priority="high")
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    invoice = Invoice.objects.get()
    goodwill(Goodwill(invoice.pk, "A slow answer.", Decimal(5)), now=datetime(2026, 4, 1, 12, tzinfo=UTC), by="maria")
    mark_paid(invoice.pk, now=datetime(2026, 4, 2, tzinfo=UTC))
    deliver_due(START + 80 * DAY)
    told: dict[str, list[dict[str, Any]]] = {}
    for request in receiver.accepted:
        body = json.loads(request.body)
        told.setdefault(body["type"], []).append(body)
    return told


@pytest.mark.django_db
def test_the_payload_of_each_type_is_as_the_page_shows_it(receiver: Receiver) -> None:
    told = play(receiver)
    shown = examples()
    wrong = {
        name: told.get(name)
        for name, example in shown.items()
        if not any(matches(example, payload) for payload in told.get(name, []))
    }
    assert wrong == {}
    emitted = {"outcome.provisional", "outcome.confirmed", "outcome.voided", "outcome.missed", "outcome.reversed",
               "event.rejected", "invoice.issued", "invoice.paid", "credit_note.issued", "dispute.raised",
               "dispute.resolved", ENDPOINT_DISABLED}  # fmt: skip
    assert shown.keys() == emitted
    assert told.keys() == emitted
    assert all(payload.keys() == {"type", "timestamp", "data"} for payloads in told.values() for payload in payloads)
    text = json.dumps(told)
    assert "whsec_" not in text and "salt" not in text


@pytest.mark.django_db
def test_a_message_shows_its_outcome_as_it_stood_not_as_it_stands(receiver: Receiver) -> None:
    """All of it happens before the feed is read."""
    told = play(receiver)
    [reversed_] = told["outcome.reversed"]
    outcome = reversed_["data"]["id"]
    [provisional] = [one["data"] for one in told["outcome.provisional"] if one["data"]["id"] == outcome]
    [confirmed] = [one["data"] for one in told["outcome.confirmed"] if one["data"]["id"] == outcome]
    assert (provisional["state"], provisional["settled_at"], provisional["ended_at"]) == ("provisional", None, None)
    assert (confirmed["state"], confirmed["settled_at"], confirmed["ended_by"]) == (
        "confirmed", "2026-03-01T15:00:00Z", None,
    )  # fmt: skip
    last = reversed_["data"]
    assert (last["state"], last["settled_at"], last["ended_at"]) == (
        "reversed", "2026-03-01T15:00:00Z", "2026-03-01T17:00:00Z",
    )  # fmt: skip
    assert last["ended_by"] == "T-1-reopened" and last["change"]["clause"] == "credit"


@pytest.mark.django_db
def test_the_end_of_an_attempt_that_nobody_had_heard_of_is_not_told(receiver: Receiver) -> None:
    """Late evidence: of two attempts, one turns out never to have been. It had been told of, so its end is told."""
    factories.customer()
    factories.condition(TICKET)
    subscribe(receiver, now=START)
    now = START
    factories.say("closed", START - HOUR, now=now)
    evaluate_waiting(now)
    deliver_due(now)
    # An escalation before it: the attempt is not met after all, and goes on as an open one.
    factories.say("escalated", START - 2 * HOUR, now=now)
    evaluate_waiting(now)
    deliver_due(now)
    changes = [(row.from_state, row.to_state, row.clause) for row in Journal.objects.order_by("id")]
    told = [json.loads(request.body) for request in receiver.accepted]
    expected = {"provisional": "outcome.provisional", "superseded": "outcome.voided"}
    assert [body["type"] for body in told] == [
        expected[to] for before, to, _ in changes if to in expected and not (to == "superseded" and before == "open")
    ]
    assert told[0]["type"] == "outcome.provisional"


# --- Signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_signatures_by_the_reference_library(receiver: Receiver) -> None:
    now = timezone.now()
    endpoint, secret = endpoints.create(receiver.url, ["*"], now=now)
    endpoints.ping(endpoint.pk, now=now)
    [request] = receiver.requests
    signature = request.headers["webhook-signature"]
    verifier = Webhook(secret)
    assert verifier.verify(request.body, request.headers)["type"] == "test.ping"
    forged = [
        (request.body + " ", request.headers),
        (request.body.replace("ping", "pong"), request.headers),
        (request.body, request.headers | {"webhook-id": "msg_other"}),
        (request.body, request.headers | {"webhook-timestamp": str(int(now.timestamp()) - 1)}),
        (request.body, request.headers | {"webhook-signature": "v1,AAAA"}),
        (request.body, request.headers | {"webhook-signature": signature.replace("v1", "v2")}),
        (request.body, {k: v for k, v in request.headers.items() if k != "webhook-signature"}),
    ]
    for body, headers in forged:
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoints.create(receiver.url, ["*"], now=now)[1]).verify(request.body, request.headers)
    # Replayed later than the tolerance of five minutes: the timestamp is signed and tells.
    for when in (now - timedelta(seconds=301), now + timedelta(seconds=330)):
        old = signing.headers("msg_1", "{}", [secret], now=when)
        with pytest.raises(WebhookVerificationError, match=r"too (old|new)"):
            verifier.verify("{}", old)


def test_the_signature_by_hand() -> None:
    """The rule itself, without the library: base64 of HMAC-SHA256 over id.timestamp.body."""
    secret = signing.secret_of(b"s" * 32)
    headers = signing.headers("msg_1", '{"ü":1}', [secret, signing.secret_of(b"t" * 32)], now=START)
    assert headers["webhook-timestamp"] == str(int(START.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f'msg_1.{int(START.timestamp())}.{{"ü":1}}'.encode()
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"].split(" ")[0] == f"v1,{expected}"
    assert len(headers["webhook-signature"].split(" ")) == 2


@pytest.mark.django_db
def test_another_pepper_is_another_secret(settings: Any) -> None:
    salt = signing.new_salt()
    before = signing.secret_of(salt)
    settings.API_KEY_PEPPER = "another"
    assert signing.secret_of(salt) != before
    assert not Secret.objects.exists()


# --- The page ---------------------------------------------------------------------------------------------------------


def snippet(language: str) -> str:
    [code] = re.findall(rf"```{language}\n(.*?)```", DOCS, re.S)
    return code


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["python", "js"])
def test_the_snippets_verify(receiver: Receiver, tmp_path: Path, language: str) -> None:
    """Run as a receiver would: the secret from the environment, headers and body handed over."""
    now = timezone.now()
    endpoint, secret = endpoints.create(receiver.url, ["*"], now=now)
    endpoints.ping(endpoint.pk, now=now)
    [request] = receiver.requests
    cases = [(request.body, "accepted"), (request.body.replace("ping", "pong"), "refused")]
    if language == "python":
        program, command = tmp_path / "receiver.py", [sys.executable]
        end = (
            "\nimport json, sys\nbody, headers = json.load(sys.stdin)\ntry:\n    receive(body.encode(), headers)\n"
            "    print('accepted')\nexcept WebhookVerificationError:\n    print('refused')\n"
        )
    else:
        program, command = tmp_path / "receiver.mjs", ["node"]
        end = (
            "\nimport fs from 'node:fs';\nconst [body, headers] = JSON.parse(fs.readFileSync(0));\n"
            "console.log(verify(Buffer.from(body), headers) ? 'accepted' : 'refused');\n"
        )
        if subprocess.run(["sh", "-c", "command -v node"], capture_output=True).returncode:
            pytest.skip("there is no Node on this machine")
    program.write_text(snippet(language) + end)
    for body, verdict in cases:
        done = subprocess.run(
            [*command, str(program)], input=json.dumps([body, request.headers]), capture_output=True, text=True,
            env={"WEBHOOK_SECRET": secret, "PATH": "/usr/local/bin:/usr/bin:/bin"}, timeout=60,
        )  # fmt: skip
        assert done.stdout.strip() == verdict, done.stderr


def table(first_column: str) -> list[list[str]]:
    lines = DOCS.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_page_names_every_type_and_what_it_means() -> None:
    assert {row[0].strip("`"): row[1] for row in table("Type")} == TYPES


def test_the_page_has_the_schedule() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    said = [cell.split() for cell in table("Attempt")[0][2:]]
    assert [timedelta(seconds=int(number) * units[unit]) for number, unit in said] == list(PAUSES)
    assert f"after {ATTEMPTS} attempts" in DOCS and f"{DISABLE_AFTER.days} days" in DOCS
    assert f"{BREAKER_AFTER} failures in a row" in DOCS
