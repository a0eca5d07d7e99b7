"""The objects of one account in one mode, with the log of events: what Stripe keeps on its side."""

import pickle
import random
import string
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.stripe_server import shapes
from tests.stripe_server.errors import StripeFailure, no_such

API_VERSION = "2026-10-28.endive"
Object = dict[str, Any]
# What messages call an object where its `object` value is another word.
_CALLED = {"invoiceitem": "invoiceitem", "payment_method": "PaymentMethod", "credit_note": "credit note"}


def packed(obj: Any) -> bytes:
    """A copy of plain data, a twentieth of its size: snapshots are many, and read seldom."""
    return zlib.compress(pickle.dumps(obj), 1)


def unpacked(data: bytes) -> Any:
    return pickle.loads(zlib.decompress(data))


class Clock:
    """The server's time: the machine's, moved. All instants of the API are whole seconds."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._set: float | None = None

    def now(self) -> int:
        return int(self._set if self._set is not None else time.time() + self._moved)

    def set(self, instant: datetime | int | None) -> None:
        """Stand still at `instant` (aware, or seconds since the epoch); None goes on with the machine's time."""
        self._set = instant.timestamp() if isinstance(instant, datetime) else instant
        self._moved = 0.0

    def advance(self, *, seconds: float = 0, hours: float = 0, days: float = 0) -> None:
        by = seconds + 3600 * hours + 86400 * days
        if self._set is not None:
            self._set += by
        else:
            self._moved += by


@dataclass
class Cause:
    """The request an event goes back to; nothing of it where a person or the clock did it."""

    request_id: str | None = None
    idempotency_key: str | None = None
    version: str = API_VERSION


@dataclass(eq=False)
class Queued:
    """An event that waits to be sent to an endpoint, which is named by its id."""

    event: Object
    endpoint: str


@dataclass
class World:
    """`lock` is held by whoever reads or changes the objects; each request runs whole under it."""

    account: str
    livemode: bool
    clock: Clock
    url: str
    ids: random.Random
    search_lag: int = 0
    by_kind: dict[str, dict[str, Object]] = field(default_factory=lambda: defaultdict(dict))
    deleted: dict[str, Object] = field(default_factory=dict)
    lines: dict[str, list[Object]] = field(default_factory=lambda: defaultdict(list))
    tax_ids: dict[str, list[Object]] = field(default_factory=lambda: defaultdict(list))
    balances: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    # Ids of the drafts that the clock will finalise, the oldest first; the values mean nothing.
    advancing: dict[str, None] = field(default_factory=dict)
    # What became of cards since: the decline code of each, None where it is fine again, and the issuer's advice.
    declining: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    cause: Cause = field(default_factory=Cause)
    requests: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    queue: list[Queued] = field(default_factory=list)
    # What moved money, written down at the moment it did: the books are worked out from it.
    journal: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    secrets: dict[str, list[Any]] = field(default_factory=dict)  # of the endpoints, the newest first
    _searchable: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self.ids.choices(string.ascii_letters + string.digits, k=24))}"

    def add(self, kind: str, prefix: str, **fields: Any) -> Object:
        """A new object, with its id, time and mode where its class has them; in the store, and no event of it yet."""
        declared = shapes.fields_of(shapes.class_of(kind))
        stamp = {"created": self.clock.now(), "livemode": self.livemode}
        given = {name: value for name, value in stamp.items() if name in declared}
        made = shapes.new(kind, **{"id": self.new_id(prefix), **given, **fields})
        self.by_kind[kind][made["id"]] = made
        self._index(made)
        return made

    def get(self, kind: str, id: str, param: str | None = None) -> Object:
        found = self.by_kind[kind].get(id)
        if found is None:
            raise no_such(_CALLED.get(kind, kind), id, param)
        return found

    def find(self, id: str) -> Object | None:
        """Any object, by id alone: for `expand`."""
        for kind in self.by_kind.values():
            if id in kind:
                return kind[id]
        return self.deleted.get(id)

    def delete(self, obj: Object) -> Object:
        del self.by_kind[obj["object"]][obj["id"]]
        self._searchable.pop(obj["id"], None)
        gone = {"id": obj["id"], "object": obj["object"], "deleted": True}
        self.deleted[obj["id"]] = gone
        return gone

    def all(self, kind: str) -> list[Object]:
        """Newest first, as every list of the API."""
        return list(reversed(self.by_kind[kind].values()))

    def record(self, what: str, invoice_id: str, **details: Any) -> None:
        self.journal.append((what, invoice_id, details))

    # Answers -----------------------------------------------------------------------------------------------------

    def view(self, obj: Object) -> Object:
        """The object as it is answered: a copy, with the first ten of its lines where it has lines."""
        seen: Object = pickle.loads(pickle.dumps(obj))
        if obj["object"] == "event":
            seen["data"] = unpacked(obj["data"])
        elif obj["object"] in ("invoice", "credit_note") and "deleted" not in obj:
            plural = "invoices" if obj["object"] == "invoice" else "credit_notes"
            seen["lines"] = self.page(self.lines[obj["id"]], {}, f"/v1/{plural}/{obj['id']}/lines")
        return seen

    def page(self, objects: list[Object], params: dict[str, Any], url: str) -> Object:
        """One page of a list (https://docs.stripe.com/api/pagination), from `objects` in their order of answer."""
        limit = params.get("limit", 10)
        if not 1 <= limit <= 100:
            raise StripeFailure(
                f"Invalid integer: {limit}. limit must be between 1 and 100.",
                code="parameter_invalid_integer",
                param="limit",
            )
        ids = [obj["id"] for obj in objects]
        after, before = params.get("starting_after"), params.get("ending_before")
        if after and before:
            raise StripeFailure("You may only specify one of these parameters: starting_after, ending_before.")
        for name, cursor in (("starting_after", after), ("ending_before", before)):
            if cursor and cursor not in ids:
                raise no_such("object", cursor, name)
        if before:
            rest = objects[: ids.index(before)]
            chosen = rest[-limit:]
        else:
            rest = objects[ids.index(after) + 1 :] if after else objects
            chosen = rest[:limit]
        data = [self.view(obj) for obj in chosen]
        return {"object": "list", "data": data, "has_more": len(rest) > len(chosen), "url": url}

    def searchable(self, kind: str) -> list[tuple[Object, Object]]:
        """The objects search finds, newest first: (as it knows them, as they are). It knows what is older than
        `search_lag` later requests (https://docs.stripe.com/search#data-freshness: not for read-after-write).
        """
        found = []
        for obj in self.all(kind):
            known = [data for at, data in self._searchable[obj["id"]] if at + self.search_lag < self.requests]
            if known:
                found.append((unpacked(known[-1]), obj))
        return found

    def _index(self, obj: Object) -> None:
        if obj["object"] in ("customer", "invoice"):
            entries = self._searchable[obj["id"]]
            entries.append((self.requests, packed(obj)))
            while len(entries) > 1 and entries[1][0] + self.search_lag < self.requests:
                entries.pop(0)

    # Events ------------------------------------------------------------------------------------------------------

    def emit(self, type: str, obj: Object, previous: Object | None = None) -> None:
        """Append an event with `obj` as it is now, and queue it for every endpoint that listens to its type."""
        if obj["id"] in self.by_kind[obj["object"]]:
            self._index(obj)
        data: Object = {"object": self.view(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.add(
            "event",
            "evt",
            api_version=self.cause.version,
            data=packed(data),
            pending_webhooks=0,
            request={"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
            type=type,
        )
        for endpoint in self.by_kind["webhook_endpoint"].values():
            if endpoint["status"] == "enabled" and {"*", type} & set(endpoint["enabled_events"]):
                event["pending_webhooks"] += 1
                self.queue.append(Queued(event, endpoint["id"]))

    @contextmanager
    def updating(self, obj: Object, *types: str) -> Iterator[None]:
        """Emit `types` for what changes of `obj` within; a type that ends in ".updated" only if anything did."""
        before = self.view(obj)
        yield
        after = self.view(obj)
        previous = {name: before.get(name) for name in after if before.get(name) != after[name]}
        for type_ in types:
            if not type_.endswith(".updated"):
                self.emit(type_, obj)
            elif previous:
                self.emit(type_, obj, previous)
