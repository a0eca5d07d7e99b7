"""Secrets and signatures by the rules of Standard Webhooks.

A secret is ``whsec_`` and the base64 of 32 bytes: HMAC-SHA256 of a random salt under ``settings.API_KEY_PEPPER``. Only
the salt is stored, so a copy of the database alone signs nothing.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from standardwebhooks import Webhook

SALT_BYTES = 32


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def secret_of(salt: bytes) -> str:
    """The secret's text, as its endpoint's owner was shown it."""
    key = hmac.digest(settings.API_KEY_PEPPER.encode(), b"webhooks.secret\x00" + salt, hashlib.sha256)
    return f"whsec_{base64.b64encode(key).decode()}"


def headers(message_id: str, body: str, secrets: Iterable[str], *, now: datetime) -> dict[str, str]:
    """The three headers of one attempt: `webhook-timestamp` is the attempt's, one signature for each secret."""
    signatures = [Webhook(secret).sign(message_id, now, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
