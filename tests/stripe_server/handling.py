"""From a request to an answer: key, limits, route, idempotency, parameters, execution, faults."""

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from tests.stripe_server import faults, invoices, routing
from tests.stripe_server import params as parameters
from tests.stripe_server.errors import StripeFailure, not_covered
from tests.stripe_server.expanding import expand
from tests.stripe_server.faults import FAULTS, Faults, Limiter
from tests.stripe_server.idempotency import Answer, Keys
from tests.stripe_server.world import API_VERSION, Cause, World

_KEY = re.compile(r"(sk|rk)_(test|live)_\w+")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d(\.\w+)?")


@dataclass
class Request:
    method: str
    path: str
    encoded: str  # the form: of the body for POST, of the query string otherwise
    headers: dict[str, str]  # names in lower case


@dataclass
class Reply:
    """`fault` is what the HTTP side has yet to do to the answer, one of those that strike while "answering"."""

    answer: Answer
    fault: str | None = None


@dataclass
class _Call:
    """A request whose sender and route are known."""

    request: Request
    world: World
    api_key: str
    route: routing.Route
    ids: tuple[str, ...]
    id: str
    fault: str | None

    @property
    def strikes(self) -> str | None:
        return FAULTS[self.fault] if self.fault else None


@dataclass
class Service:
    """All that requests share, whatever their account and mode."""

    world_of: Any  # (account, livemode) -> World
    keys_of: dict[str, str]  # API keys of other accounts, by key
    account: str
    revoked: set[str] = field(default_factory=set)
    faults: Faults = field(default_factory=Faults)
    limiter: Limiter = field(default_factory=lambda: Limiter(None))
    idempotency: dict[tuple[str, bool], Keys] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)  # (route, status) of each request

    def serve(self, request: Request) -> Reply:
        name, request_id = request.method, ""
        try:
            world, key = self._world(request)
            with world.lock:
                request_id = world.new_id("req")
                world.requests += 1
            route, ids = routing.find(request.method, request.path)
            name = route.name
            reply = self._limited(_Call(request, world, key, route, ids, request_id, self.faults.draw(name)))
        except StripeFailure as failure:
            reply = Reply(_answer(failure.status, failure.body, failure.headers))
        reply.answer.headers.setdefault("Request-Id", request_id)
        self.log.append((name, reply.answer.status))
        return reply

    def _world(self, request: Request) -> tuple[World, str]:
        key = _key(request.headers.get("authorization", ""))
        if request.headers.get("stripe-account") or request.headers.get("stripe-context"):
            raise not_covered("connected accounts (Stripe-Account, Stripe-Context)")
        match = _KEY.fullmatch(key)
        if key.startswith("pk_"):
            raise StripeFailure(
                "This API call cannot be made with a publishable API key. Please use a secret API key.",
                status=401,
                code="secret_key_required",
            )
        if match is None:
            raise StripeFailure(f"Invalid API Key provided: {key[:8]}{'*' * 12}{key[-4:]}", status=401)
        if key in self.revoked:
            raise StripeFailure(f"Expired API Key provided: {key[:8]}…", status=401, code="api_key_expired")
        return self.world_of(self.keys_of.get(key, self.account), match.group(2) == "live"), key

    def _limited(self, call: _Call) -> Reply:
        """What stands before the execution: faults that refuse, the limiter, the version, and the idempotency layer."""
        request, world = call.request, call.world
        if call.fault == "timeout_before":
            return Reply(Answer(0, b"", {}), call.fault)
        if call.fault and call.strikes == "refused":
            raise faults.failure(call.fault)
        self.limiter.check(call.api_key, time.monotonic())
        version = request.headers.get("stripe-version", API_VERSION)
        if not _VERSION.fullmatch(version):
            raise StripeFailure(f"Invalid Stripe API version: {version}", headers={"Stripe-Version": API_VERSION})
        form = parameters.decode(request.encoded)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        cause = Cause(call.id, key, version)
        still = call.fault if call.strikes == "answering" else None
        if key is None:
            return Reply(self._execute(call, call.route.check(form), cause), still)
        store = self.idempotency.setdefault((world.account, world.livemode), Keys())
        stored = store.begin(key, f"{request.method} {request.path}", form, world.clock.now())
        if stored is not None:
            if call.fault and not still:
                self.faults.spared(call.route.name, call.fault)
            more = {
                "Idempotent-Replayed": "true",
                "Original-Request": stored.headers["Request-Id"],
                "Request-Id": call.id,
            }
            return Reply(Answer(stored.status, stored.body, {**stored.headers, **more}), still)
        try:
            answer = self._execute(call, call.route.check(form), cause)
        except BaseException:
            store.forget(key)
            raise
        answer.headers |= {"Request-Id": call.id, "Idempotency-Key": key}
        store.finish(key, answer)
        return Reply(answer, still)

    def _execute(self, call: _Call, checked: dict[str, Any], cause: Cause) -> Answer:
        """Run the route whole, under the world's lock. Whatever comes of it is the request's answer from now on."""
        if call.fault == "held":
            self.faults.hold()
        world = call.world
        headers = {"Stripe-Version": cause.version}
        try:
            if call.fault and call.strikes == "executing":
                raise faults.failure(call.fault)
            with world.lock:
                invoices.advance(world)
                world.cause = cause
                try:
                    found = call.route.run(world, checked, call.ids)
                    shown = expand(world, world.view(found), checked.get("expand", []))
                finally:
                    world.cause = Cause()
            if call.fault and call.strikes == "executed":
                raise faults.failure(call.fault)
        except StripeFailure as failure:
            return _answer(failure.status, failure.body, {**headers, **failure.headers})
        return _answer(200, shown, headers)


def _answer(status: int, body: Any, headers: dict[str, str]) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def _key(authorization: str) -> str:
    """The API key of a Bearer or Basic header."""
    scheme, _, value = authorization.partition(" ")
    if scheme == "Basic":
        try:
            return base64.b64decode(value).decode().split(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return value
    if scheme != "Bearer" or not value:
        raise StripeFailure(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    return value.strip()
