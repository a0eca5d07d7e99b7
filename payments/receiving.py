"""Webhooks of Stripe's: whether one is from Stripe and meant for us; then it is stored, once. What it is about is
worked later (`payments.events`), so Stripe has its answer at once.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from stripe import WebhookSignature

from access import error_codes, strictjson
from access.errors import ApiError
from access.parsers import refuse
from payments.client import VERSION
from payments.models import Connection, StripeEvent

MAX_BYTES: Final = 512 * 1024
"""Stripe's events are far smaller."""

TOLERANCE: Final = timedelta(seconds=300)
"""How far the time in a signature may be from ours, on either side: the package looks at one side only."""

error_codes.register(
    {
        "webhook_not_configured": "Stripe's webhooks are not taken: HOLDFAST_STRIPE_WEBHOOK_SECRETS names no secret.",
        "invalid_signature": "The header Stripe-Signature is not that of this body under any of our secrets.",
        "signature_expired": "The signature's time is more than 300 seconds from ours.",
        "event_not_readable": "The body is signed, and no event that we can read.",
        "wrong_mode": "The event is of a mode of Stripe, live or test, with which nothing is synced.",
        "wrong_account": "The event is of another account than the one that is synced with.",
        "wrong_api_version": "The event is in another version of Stripe's API than ours.",
    }
)

# A body that is signed is Stripe's: only what cannot be stored, or means two things, is refused of it.
_LIMITS = strictjson.Limits(
    keys=None,
    key_length=None,
    items=None,
    string_length=None,
    digits=400,
    min_exponent=-400,
    max_exponent=400,
    negative_zero=True,
)
_TIME = re.compile(r"[0-9]{1,12}")
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,250}")
_TYPE = re.compile(r"[a-z0-9_.]{1,255}")
_OBJECT_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()

# What is kept of an event's object: what says which object of ours it is about. The rest, names and addresses among
# it, is not: it is read from Stripe where it counts.
_KEPT = ("object", "invoice", "customer", "charge", "payment_intent")
_METADATA = ("holdfast_invoice", "holdfast_customer")


def take(body: bytes, header: str, *, now: datetime) -> bool:
    """Store what a request brings; whether it is new. Nothing is stored of what is refused.

    ``body`` is at most one byte longer than `MAX_BYTES`, ``header`` the value of Stripe-Signature. ApiError 413 for a
    body that is too long and 400 for anything else that is not right.
    """
    try:
        strictjson.check_size(body, MAX_BYTES)
        verify(body, header, settings.STRIPE_WEBHOOK_SECRETS, now=now)
        return _store(_read(strictjson.loads(body, max_bytes=MAX_BYTES, limits=_LIMITS)), now=now)
    except strictjson.StrictJSONError as error:
        if error.status != 413:
            error.status = 400
        raise refuse(error) from error


# --- From Stripe ------------------------------------------------------------------------------------------------------


def verify(body: bytes, header: str, secrets: Sequence[str], *, now: datetime) -> None:
    """ApiError 400 unless the header is Stripe's signature of the body, under one of these secrets, of about now."""
    secrets = [secret.strip() for secret in secrets if secret.strip()]
    if not secrets:
        raise ApiError(
            400,
            "webhook_not_configured",
            "Stripe's webhooks are not taken here: set HOLDFAST_STRIPE_WEBHOOK_SECRETS to the endpoint's signing "
            "secret (whsec_…).",
        )
    times = [part.removeprefix("t=") for part in header.split(",") if part.startswith("t=")]
    # One time alone: with two, it would be a question which of them is signed.
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or not any(_signed(body, header, one) for one in secrets):
        raise ApiError(
            400,
            "invalid_signature",
            "The Stripe-Signature is not that of this body under any of our secrets: set "
            "HOLDFAST_STRIPE_WEBHOOK_SECRETS to the endpoint's signing secret.",
        )
    if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
        raise ApiError(
            400,
            "signature_expired",
            "The signature's time is more than 300 seconds from ours. An old request is not taken twice; if it is new, "
            "this machine's clock is wrong.",
        )


def _signed(body: bytes, header: str, secret: str) -> bool:
    """Whether the package finds the signature right; whatever it raises means no."""
    try:
        # Times are compared above, with the caller's clock.
        WebhookSignature.verify_header(body, header, secret, tolerance=None)
    except Exception:  # noqa: BLE001 -- forged headers and bodies make it fail in ways of their own
        return False
    return True


# --- For us -----------------------------------------------------------------------------------------------------------


def _read(event: Any) -> StripeEvent:
    """The event as a row that is not stored yet."""
    if not isinstance(event, dict) or event.get("object") != "event":
        raise _unreadable("the body is no event (`object` is not `event`): make the endpoint for snapshot payloads")
    event_id, type_ = event.get("id"), event.get("type")
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
        raise _unreadable("`id` is no id of an event")
    if not isinstance(type_, str) or not _TYPE.fullmatch(type_):
        raise _unreadable("`type` is no type of an event")
    livemode, created = event.get("livemode"), event.get("created")
    if not isinstance(livemode, bool):
        raise _unreadable("`livemode` is neither true nor false")
    if not isinstance(created, int) or isinstance(created, bool) or not 0 <= created < _LATEST:
        raise _unreadable("`created` is no time")
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        raise _unreadable("`data.object` is missing")
    connection = _connection(livemode, {event.get("account"), event.get("context")} - {None, ""})
    version = event.get("api_version")
    if version != VERSION:
        said = version if isinstance(version, str) else "none"
        raise ApiError(
            400,
            "wrong_api_version",
            f"The event is in version {said[:64]} of Stripe's API, and ours is {VERSION}: make the endpoint anew with "
            "that version (docs/stripe.md).",
        )
    return StripeEvent(
        account=connection.account,
        livemode=livemode,
        event_id=event_id,
        type=type_,
        api_version=version,
        object_id=_id(about.get("id")),
        payload=_kept(about),
        occurred_at=datetime.fromtimestamp(created, UTC),
    )


def _connection(livemode: bool, accounts: set[Any]) -> Connection:
    mode = "live" if livemode else "test"
    found = list(Connection.objects.filter(livemode=livemode).order_by("audience"))
    if not found:
        raise ApiError(
            400,
            "wrong_mode",
            f"The event is of {mode} mode, and nothing is synced with Stripe in {mode} mode: delete this endpoint "
            "there, or set that mode's key.",
        )
    for connection in found:
        if accounts <= {connection.account}:
            return connection
    raise ApiError(
        400,
        "wrong_account",
        f"The event is of another account than {found[0].account}: make the endpoint for events of your own account, "
        "not of connected ones.",
    )


def _kept(about: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: text for name in _KEPT if (text := _id(about.get(name)))}
    told = about.get("metadata")
    metadata = told if isinstance(told, dict) else {}
    kept["metadata"] = {name: metadata[name] for name in _METADATA if isinstance(metadata.get(name), str)}
    return kept


def _id(value: Any) -> str:
    """An object's id, also of one that is given whole; empty for what is none."""
    if isinstance(value, dict):
        value = value.get("id")
    # The name of a kind, such as billing.meter, has a dot.
    return value if isinstance(value, str) and _OBJECT_ID.fullmatch(value.replace(".", "_")) else ""


def _unreadable(what: str) -> ApiError:
    return ApiError(400, "event_not_readable", f"The event cannot be read: {what}.")


def _store(event: StripeEvent, *, now: datetime) -> bool:
    event.received_at = event.next_attempt_at = now
    known = StripeEvent.objects.filter(account=event.account, event_id=event.event_id)
    # Two deliveries at the same moment are told apart by the unique key; the answer is the same.
    if known.exists():
        return False
    StripeEvent.objects.bulk_create([event], ignore_conflicts=True)
    return True
