"""Which account documents are synced with. It is found from the key once, and then stays: another account's key stops
everything until a person says that it is meant. Credit that is free at that moment is noted with it (`opening`).
"""

from datetime import datetime

import structlog
from django.db import transaction

from contracts.clocks import is_test
from contracts.models import Customer
from payments import opening
from payments.client import ask, client_of, is_live, key_for
from payments.errors import Later, Refused
from payments.models import Connection

log = structlog.get_logger(__name__)

Audience = Connection.Audience
# Keys whose account was asked for, by key: (account, livemode). A key never changes its account.
_known: dict[str, tuple[str, bool]] = {}


def audience_of(customer: Customer) -> str:
    """Whose key a customer goes by."""
    return Audience.TEST if is_test(customer) else Audience.LIVE


def account_of(key: str) -> tuple[str, bool]:
    """The account of a key, and whether it is in live mode. Asked once in each process; raises `Later`, `Refused`."""
    if key not in _known:
        _known[key] = (ask(lambda: client_of(key).v1.accounts.retrieve_current()).id, is_live(key))
    return _known[key]


def connect_new(now: datetime) -> None:
    """Connect each audience that has a key and no connection yet. From then on its documents are noted down."""
    connected = set(Connection.objects.values_list("audience", flat=True))
    for audience in Audience.values:
        key = key_for(audience)
        if not key or audience in connected:
            continue
        account, livemode = account_of(key)
        with transaction.atomic():
            made, new = Connection.objects.get_or_create(
                audience=audience, defaults={"account": account, "livemode": livemode, "connected_at": now}
            )
            notes = opening.note_free_credit(audience, now=now) if new else 0
        if new:
            log.info("stripe_connected", audience=audience, account=made.account, livemode=made.livemode, notes=notes)


def connect(audience: str, now: datetime) -> Connection:
    """Connect an audience to the account of its key, whatever it was connected to: what was synced with another account
    stays there. One that is connected to that account already stays as it is. Refused without a key.
    """
    key = key_for(audience)
    if not key:
        raise Refused(no_key(audience), code="no_key")
    account, livemode = account_of(key)
    known = Connection.objects.filter(audience=audience, account=account, livemode=livemode).first()
    if known is not None:
        return known
    with transaction.atomic():
        made, new = Connection.objects.update_or_create(
            audience=audience, defaults={"account": account, "livemode": livemode, "connected_at": now}
        )
        notes = opening.note_free_credit(audience, now=now) if new else 0
    log.info("stripe_connected", audience=audience, account=made.account, livemode=made.livemode, notes=notes)
    return made


def disconnect(audience: str) -> Connection | None:
    """Note nothing further for an audience; what is open stays. None where it is not connected. Refused as long as its
    key is set: whatever works here would connect it again.
    """
    if key_for(audience):
        raise Refused(
            f"The key is still set, and with it {Audience(audience).label.lower()} would be connected again at once: "
            f"take {_settings(audience)} out, start everything again, and then disconnect.",
            code="key_is_set",
        )
    known = Connection.objects.filter(audience=audience).first()
    if known is not None:
        Connection.objects.filter(audience=audience).delete()
        log.info("stripe_disconnected", audience=audience, account=known.account)
    return known


def connection_of(audience: str) -> tuple[Connection, str]:
    """An audience's connection with its key. `Later` where there is none, or where the key is of another account."""
    key = key_for(audience)
    if not key:
        raise Later(no_key(audience), code="no_key")
    connection = Connection.objects.filter(audience=audience).first()
    if connection is None:
        raise Later("Stripe is not connected yet.", code="not_connected")
    account, livemode = account_of(key)
    if (account, livemode) != (connection.account, connection.livemode):
        name = connection.get_audience_display().lower()
        raise Later(
            f"The key is of account {account} ({mode_of(livemode)}), and {name} are synced with {connection.account} "
            f"({mode_of(connection.livemode)}). Set that account's key again, or say that the new one is meant: "
            f"manage.py stripe connect --{audience}",
            code="wrong_account",
        )
    return connection, key


def mode_of(livemode: bool) -> str:
    """The mode in words."""
    return "live mode" if livemode else "test mode"


def _settings(audience: str) -> str:
    """The names of the settings by which an audience has its key."""
    if audience == Audience.LIVE:
        return "HOLDFAST_STRIPE_KEY"
    return "HOLDFAST_STRIPE_TEST_KEY and a test key in HOLDFAST_STRIPE_KEY"


def no_key(audience: str) -> str:
    """What to say where an audience has no key."""
    if audience == Audience.TEST:
        return "There is no test key: set HOLDFAST_STRIPE_TEST_KEY. Test customers never go by a live key."
    return "There is no key: set HOLDFAST_STRIPE_KEY."


def forget() -> None:
    """Ask for the accounts of keys again."""
    _known.clear()
