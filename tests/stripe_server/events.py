"""Events and the endpoints they are sent to (https://docs.stripe.com/webhooks)."""

import hashlib
import hmac
import http.client
import json
import random
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.params import merged_metadata
from tests.stripe_server.routing import route, within
from tests.stripe_server.world import API_VERSION, Object, Queued, World

DAY = 86_400
TIMEOUT = 10.0
# (url, payload, headers) -> (status, body)
Post = Callable[[str, bytes, dict[str, str]], tuple[int, bytes]]
KEPT = 30 * DAY  # "List events, going back up to 30 days"
MAXIMUM_ENDPOINTS = 16


@route("GET", "/v1/events/{id}", "events.retrieve", "EventRetrieveParams")
def retrieve(world: World, params: dict[str, Any], id: str) -> Object:
    event = world.get("event", id)
    if event["created"] <= world.clock.now() - KEPT:
        raise StripeFailure(f"No such event: '{id}'", status=404, code="resource_missing", param="id")
    return event


@route("GET", "/v1/events", "events.list", "EventListParams", "created delivery_success type types")
def list_(world: World, params: dict[str, Any]) -> Object:
    if "type" in params and "types" in params:
        raise StripeFailure("You may only specify one of these parameters: type, types.", code="parameters_exclusive")
    types = params.get("types") or ([params["type"]] if "type" in params else None)
    found = [
        event
        for event in world.all("event")
        if event["created"] > world.clock.now() - KEPT
        and (
            types is None
            or event["type"] in types
            or any(t.endswith("*") and event["type"].startswith(t[:-1]) for t in types)
        )
        and ("created" not in params or within(params["created"], event["created"]))
        and params.get("delivery_success") in (None, event["pending_webhooks"] == 0)
    ]
    return world.page(found, params, "/v1/events")


# Endpoints -------------------------------------------------------------------------------------------------------


@dataclass
class Secret:
    value: str
    until: int | None = None  # the old one while it is being rolled


@route(
    "POST",
    "/v1/webhook_endpoints",
    "webhook_endpoints.create",
    "WebhookEndpointCreateParams",
    "api_version description enabled_events metadata url",
)
def create_endpoint(world: World, params: dict[str, Any]) -> Object:
    """The only answer with the secret in it."""
    address = urllib.parse.urlsplit(params["url"])
    if address.scheme not in ("http", "https") or not address.hostname:
        raise StripeFailure(
            "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url"
        )
    if world.livemode and address.scheme != "https":
        raise StripeFailure("Invalid URL: URL must be HTTPS in live mode.", code="url_invalid", param="url")
    if len(world.by_kind["webhook_endpoint"]) >= MAXIMUM_ENDPOINTS:
        raise StripeFailure(f"You have reached the maximum of {MAXIMUM_ENDPOINTS} webhook endpoints.")
    endpoint = world.add(
        "webhook_endpoint",
        "we",
        api_version=params.get("api_version"),
        description=params.get("description") or None,
        enabled_events=params["enabled_events"],
        metadata=merged_metadata({}, params.get("metadata")),
        status="enabled",
        url=params["url"],
    )
    secret = f"whsec_{world.new_id('')[1:]}"
    world.secrets[endpoint["id"]] = [Secret(secret)]
    return {**endpoint, "secret": secret}


@route(
    "POST",
    "/v1/webhook_endpoints/{id}",
    "webhook_endpoints.update",
    "WebhookEndpointUpdateParams",
    "description disabled enabled_events metadata url",
)
def update_endpoint(world: World, params: dict[str, Any], id: str) -> Object:
    endpoint = world.get("webhook_endpoint", id)
    metadata = merged_metadata(endpoint["metadata"], params.get("metadata"))
    endpoint.update({name: params[name] for name in ("description", "enabled_events", "url") if name in params})
    endpoint["metadata"] = metadata
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return endpoint


@route("DELETE", "/v1/webhook_endpoints/{id}", "webhook_endpoints.delete", "WebhookEndpointDeleteParams")
def delete_endpoint(world: World, params: dict[str, Any], id: str) -> Object:
    endpoint = world.get("webhook_endpoint", id)
    world.queue = [entry for entry in world.queue if entry.endpoint != id]
    return world.delete(endpoint)


def roll(world: World, endpoint_id: str, keep_old: int = DAY) -> str:
    """A new secret; deliveries are signed by both until the old one expires, in `keep_old` seconds (at most 24 h)."""
    now = world.clock.now()
    kept = [secret for secret in world.secrets[endpoint_id] if secret.until is None]
    for secret in kept:
        secret.until = now + min(keep_old, DAY)
    fresh = Secret(f"whsec_{world.new_id('')[1:]}")
    world.secrets[endpoint_id].insert(0, fresh)
    return fresh.value


# Delivery --------------------------------------------------------------------------------------------------------


@dataclass
class Delivery:
    """One request to an endpoint and what it answered: `status` is None where no answer came."""

    event: Object
    endpoint: str
    status: int | None
    body: bytes

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def signature(payload: bytes, secrets: list[str], timestamp: int) -> str:
    """The value of Stripe-Signature: `t`, and one `v1` for each secret (https://docs.stripe.com/webhooks#verify-manually)."""
    signed = f"{timestamp}.".encode() + payload
    marks = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={timestamp}", *marks])


def deliver(
    world: World,
    *,
    duplicate: int = 1,
    reorder: int | None = None,
    drop: float = 0.0,
    delay: float = 0.0,
    seed: int = 0,
    types: set[str] | None = None,
    post: Post | None = None,
) -> list[Delivery]:
    """Send what is queued now, and take out of the queue what was answered with 2xx; the rest stays to be sent again.

    `duplicate`: each is sent so many times. `reorder`: a seed by which the order is shuffled. `drop`: the share that is
    never sent, and forgotten. `delay`: the share that stays queued for a later call. `types`: only events of these.
    Chances are drawn from `seed`. `post` takes the place of HTTP, such as a test client of Django.
    """
    chance = random.Random(seed)
    sending: list[Queued] = []
    with world.lock:
        kept = []
        for queued in world.queue:
            if types is not None and queued.event["type"] not in types:
                kept.append(queued)
            elif chance.random() >= drop:
                (kept if chance.random() < delay else sending).append(queued)
        world.queue = kept
    order = [queued for queued in sending for _ in range(duplicate)]
    if reorder is not None:
        random.Random(reorder).shuffle(order)
    sent = [_send(world, queued, post or over_http) for queued in order]
    with world.lock:
        taken = {queued for queued, delivery in zip(order, sent, strict=True) if delivery.taken}
        for queued in sending:
            if queued in taken:
                queued.event["pending_webhooks"] -= 1
            else:
                world.queue.append(queued)
    return sent


def _send(world: World, queued: Queued, post: Post) -> Delivery:
    with world.lock:
        endpoint = world.by_kind["webhook_endpoint"].get(queued.endpoint)
        if endpoint is None:
            return Delivery(queued.event, queued.endpoint, None, b"")
        now = world.clock.now()
        secrets = [
            secret.value for secret in world.secrets[queued.endpoint] if secret.until is None or secret.until > now
        ]
        shown = world.view(queued.event)
        shown["api_version"] = endpoint["api_version"] or shown["api_version"]
        payload = json.dumps(shown, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, secrets, now),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        url = endpoint["url"]
    try:
        return Delivery(queued.event, queued.endpoint, *post(url, payload, headers))
    except (OSError, http.client.HTTPException):
        return Delivery(queued.event, queued.endpoint, None, b"")


def over_http(url: str, payload: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    address = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=TIMEOUT)
    try:
        connection.request("POST", address.path + (f"?{address.query}" if address.query else ""), payload, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def listen(world: World, url: str, secret: str | None = None, enabled_events: list[str] | None = None) -> Object:
    """Register an endpoint as the dashboard does, with a secret of one's own choice."""
    made = create_endpoint(world, {"url": url, "enabled_events": enabled_events or ["*"], "api_version": API_VERSION})
    if secret is not None:
        world.secrets[made["id"]] = [Secret(secret)]
        made["secret"] = secret
    return made
