"""The server itself: a socket on loopback, a thread, and what tests hold on to."""

import random
import socket
import struct
import sys
import threading
import urllib.parse
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.stripe_server import (
    catalogue,
    credit_notes,
    customers,
    events,
    invoices,
    items,
    pages,
    payments,
    reading,
    tax,
)
from tests.stripe_server.books import Books
from tests.stripe_server.dashboard import Dashboard
from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.events import Delivery
from tests.stripe_server.faults import Faults, Limiter
from tests.stripe_server.handling import Reply, Request, Service
from tests.stripe_server.world import Cause, Clock, World

# The modules whose import registers routes.
ROUTED = (catalogue, credit_notes, customers, events, invoices, items, payments, reading, tax)
TEST_KEY, LIVE_KEY = "sk_test_holdfast", "sk_live_holdfast"


class StripeServer:
    """A context manager; within it `StripeClient(stripe.key, base_addresses={"api": stripe.url})` talks to it.

    Everything drawn comes from `seed`. `search_lag`: how many later requests search is behind. `rate_limit`: requests a
    second of one key. Methods that concern one world take `live`, false for the test mode.
    """

    def __init__(self, *, port: int = 0, seed: int = 0, search_lag: int = 3, rate_limit: int | None = None) -> None:
        self.clock = Clock()
        self.key, self.live_key = TEST_KEY, LIVE_KEY
        self._ids = random.Random(seed)
        self._search_lag = search_lag
        self._worlds: dict[tuple[str, bool], World] = {}
        self._making = threading.Lock()
        self.account = "acct_1HoldfastStripe01"
        self._http = _Listener(("127.0.0.1", port), _Handler)
        self._http.stripe = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._service = Service(self._world, {}, self.account, limiter=Limiter(rate_limit))
        self.faults: Faults = self._service.faults
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    # Running -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.faults.release()
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        assert self._thread is not None
        self._thread.join()

    def deliver_in_background(self, every: float = 0.5) -> None:
        """Deliver what is queued from time to time, less often while an endpoint does not answer."""

        def run() -> None:
            wait = every
            while not self._stopping.wait(wait):
                answers = [delivery for world in list(self._worlds.values()) for delivery in events.deliver(world)]
                wait = every if all(delivery.taken for delivery in answers) else min(wait * 2, 60.0)

        threading.Thread(target=run, daemon=True).start()

    # Worlds --------------------------------------------------------------------------------------------------------

    def _world(self, account: str, livemode: bool) -> World:
        with self._making:
            if (account, livemode) not in self._worlds:
                ids = random.Random(self._ids.random())
                self._worlds[account, livemode] = World(account, livemode, self.clock, self.url, ids, self._search_lag)
            return self._worlds[account, livemode]

    def world(self, live: bool = False, account: str | None = None) -> World:
        return self._world(account or self.account, live)

    def add_account(self) -> tuple[str, str]:
        """Another account, for what happens when somebody changes the key: (its id, its test key)."""
        account = f"acct_{self._ids.getrandbits(64):016x}"
        key = f"sk_test_{account[5:]}"
        self._service.keys_of[key] = account
        return account, key

    def revoke(self, key: str) -> None:
        """From now on the key is answered with 401."""
        self._service.revoked.add(key)

    def dashboard(self, live: bool = False, account: str | None = None) -> Dashboard:
        return Dashboard(self.world(live, account))

    def books(self, live: bool = False, account: str | None = None) -> Books:
        return Books(self.world(live, account))

    @property
    def log(self) -> list[tuple[str, int]]:
        """(route, status) of every request so far; status 0 where there was no answer."""
        return self._service.log

    def set_rate_limit(self, per_second: int | None) -> None:
        self._service.limiter = Limiter(per_second)

    # Events --------------------------------------------------------------------------------------------------------

    def deliver(self, live: bool = False, account: str | None = None, **switches: Any) -> list[Delivery]:
        """`events.deliver` for one world: send what is queued, now; the answers."""
        return events.deliver(self.world(live, account), **switches)

    def queued(self, live: bool = False) -> list[str]:
        """The types of the events that wait for delivery, in order."""
        return [queued.event["type"] for queued in self.world(live).queue]

    def serve(self, request: Request) -> Reply:
        return self._service.serve(request)

    def visit(self, method: str, path: str) -> tuple[int, bytes, str, str | None]:
        """A page of a hosted invoice: (status, body, content type, where to go next)."""
        parts = path.strip("/").split("/")
        if len(parts) not in (4, 5) or (parts[1], parts[2] == "live") not in self._worlds:
            return 404, b"Not found", "text/plain", None
        world = self._worlds[parts[1], parts[2] == "live"]
        action = parts[4] if len(parts) == 5 else ""
        with world.lock:
            invoice = world.by_kind["invoice"].get(parts[3])
            if invoice is None or invoice["status"] == "draft":
                return 404, b"Not found", "text/plain", None
            if method == "GET" and action == "pdf":
                return 200, pages.pdf(invoice, world.lines[parts[3]]), "application/pdf", None
            note = ""
            if method == "POST" and action in ("pay", "decline"):
                world.cause = Cause()
                card = "pm_card_visa" if action == "pay" else "pm_card_chargeCustomerFail"
                try:
                    invoices.pay(world, {"payment_method": card}, parts[3])
                    return 303, b"", "text/plain", invoice["hosted_invoice_url"]
                except StripeFailure as failure:
                    note = str(failure)
            return 200, pages.page(invoice, world.lines[parts[3]], note), "text/html; charset=utf-8", None


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    stripe: StripeServer

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()
        self.to_reset: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection; with a reset where the answer was cut by one."""
        self._open.discard(request)
        if request in self.to_reset:
            self.to_reset.discard(request)
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open for more."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a mistake in this package and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: `StripeServer.log` has it."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET

    def _serve(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        if not address.path.startswith("/v1/"):
            if address.path.startswith("/i/"):
                status, content, kind, onward = self.server.stripe.visit(self.command, address.path)
            else:
                status, content, kind, onward = 404, b"Not found", "text/plain", None
            self._send(status, content, {"Content-Type": kind} | ({"Location": onward} if onward else {}))
            return
        encoded = body if self.command == "POST" else address.query
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.stripe.serve(Request(self.command, address.path, encoded, headers))
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        answer = reply.answer
        if reply.fault in ("timeout_before", "timeout_after"):
            self.close_connection = True
        elif reply.fault in ("reset", "truncated"):
            self._send(answer.status, answer.body[: len(answer.body) // 2], answer.headers, length=len(answer.body))
            self.close_connection = True
            if reply.fault == "reset":
                self.server.to_reset.add(self.connection)
        else:
            if reply.fault == "slow":
                self.server.stripe.faults.dawdle()
            self._send(answer.status, answer.body, answer.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        now = datetime.fromtimestamp(self.server.stripe.clock.now(), UTC)
        self.send_response_only(status)
        self.send_header("Date", now.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
