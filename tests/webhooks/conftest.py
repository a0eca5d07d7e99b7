"""A real receiver on this machine, and endpoints that lead to it."""

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.access.conftest import api, committed_api, make_key
from webhooks import endpoints
from webhooks.models import Endpoint

__all__ = ["api", "committed_api", "make_key"]


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: str
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent. ``answer`` decides on (status, headers, body) of each request."""

    server: ThreadingHTTPServer
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda request: (200, {}, b"ok")
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks"

    @property
    def accepted(self) -> list[Received]:
        return [request for request in self.requests if 200 <= request.status < 300]

    def answers(self, status: int, body: bytes = b"", **headers: str) -> None:
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda request: (status, shown, body)


def _handler(receiver: Callable[[], Receiver]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here = receiver()
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            request = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body, 0)
            with here.lock:
                here.at_once += 1
                here.most_at_once = max(here.most_at_once, here.at_once)
            try:
                request.status, headers, answer = here.answer(request)
                with here.lock:
                    here.requests.append(request)
            finally:
                with here.lock:
                    here.at_once -= 1
            self.send_response(request.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def make_receiver(settings: Any) -> Iterator[Callable[[], Receiver]]:
    """Makes receivers that may be sent to."""
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    made: list[Receiver] = []

    def make() -> Receiver:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: here))
        server.daemon_threads = True
        here = Receiver(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.append(here)
        return here

    yield make
    for receiver in made:
        receiver.server.shutdown()
        receiver.server.server_close()


@pytest.fixture
def receiver(make_receiver: Callable[[], Receiver]) -> Receiver:
    return make_receiver()


def subscribe(receiver: Receiver, *events: str, now: datetime) -> Endpoint:
    """An endpoint that leads to the receiver; all events unless some are named."""
    endpoint, _ = endpoints.create(receiver.url, events or ("*",), now=now)
    return endpoint


# --- What this process connects to ------------------------------------------------------------------------------------

_connects: list[Any] = []
_watching = threading.Event()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching.is_set():
        address = arguments[1]
        if isinstance(address, tuple):
            _connects.append(address)
            if not str(address[0]).startswith("127."):
                raise ConnectionRefusedError(f"a test does not connect to {address}")


sys.addaudithook(_audit)


@pytest.fixture
def connects() -> Iterator[list[Any]]:
    """The addresses that this process tries to connect to, by Python's own audit; none outside is reached."""
    _connects.clear()
    _watching.set()
    yield _connects
    _watching.clear()
