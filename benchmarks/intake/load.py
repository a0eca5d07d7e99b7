"""The load generator: a process of its own, with prebuilt requests on raw sockets, so that it takes little of the
cores it measures.

`closed_loop` sends the next request when the last is answered (throughput); `open_loop` sends by a schedule, whatever
the server does, and counts each answer from the instant its request was due (latency).
"""

import functools
import gc
import json
import math
import multiprocessing
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.intake.events import TOKEN, Stream, token


@dataclass
class Load:
    """What a load did. ``sent`` is the number of requests of each connection; latencies are in seconds."""

    requests: int = 0
    events: int = 0
    accepted: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    sent: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


class Refused(Exception):
    """The server answered something else than that it has the events."""


class Connection(Protocol):
    """What a stream is sent on. ``post`` answers how many events were `accepted` and `duplicates`, or for a single
    event its `status`.
    """

    def post(self, body: bytes) -> dict[str, Any]: ...

    def close(self) -> None: ...


class HttpConnection:
    """One keep-alive connection that posts to a path. ``authorization`` is the value of the header."""

    def __init__(self, host: str, port: int, path: str, authorization: str) -> None:
        self._address = (host, port)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(self._address, timeout=120)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def post(self, body: bytes) -> dict[str, Any]:
        """The answer's JSON; Refused where it is no 2xx."""
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        try:
            self._socket.sendall(request)
            answer = self._socket.recv(65536)
        except ConnectionError:
            answer = b""
        if not answer:
            # The server closes connections at will between requests. Sending again is safe: it would be a duplicate.
            self._socket.close()
            self._socket = self._connect()
            self._socket.sendall(request)
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, content = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(content) < length:
            content += self._more()
        if not head.startswith(b"HTTP/1.1 20"):
            raise Refused(f"{head.splitlines()[0].decode()}: {content[:500].decode(errors='replace')}")
        return json.loads(content)

    def _more(self) -> bytes:
        read = self._socket.recv(65536)
        if not read:
            raise Refused("The server closed the connection within an answer.")
        return read

    def close(self) -> None:
        self._socket.close()


def _count(load: Load, answer: dict[str, Any], size: int) -> None:
    load.requests += 1
    load.events += size
    if "accepted" in answer:
        load.accepted += answer["accepted"]
        load.duplicates += answer["duplicates"]
    else:
        load.duplicates += answer["status"] == "duplicate"
        load.accepted += answer["status"] == "accepted"


def closed_loop(
    connect: Callable[[], Connection],
    streams: list[Stream],
    measurement: int,
    *,
    seconds: float = math.inf,
    limits: list[int] | None = None,
) -> Load:
    """Each stream on a connection of its own, again and again under new tokens, for so long, or until so many requests
    of each are sent.
    """
    loads = [Load() for _ in streams]

    def send(stream: Stream, limit: float, load: Load) -> None:
        connection = connect()
        while load.requests < limit and time.monotonic() < began + seconds:
            round_, at = divmod(load.requests, len(stream.bodies))
            body = stream.bodies[at].replace(TOKEN, token(measurement, round_))
            _count(load, connection.post(body), stream.size)
        connection.close()

    began = time.monotonic()
    jobs = zip(streams, limits or [math.inf] * len(streams), loads, strict=True)
    _together([functools.partial(send, *job) for job in jobs])
    return _sum(loads, time.monotonic() - began)


def open_loop(
    connect: Callable[[], Connection],
    stream: Stream,
    measurement: int,
    per_second: float,
    seconds: float,
    connections: int,
) -> Load:
    """So many requests a second for so long, each at its own instant. Where all connections are busy then, the
    request waits for one, and the wait counts.
    """
    loads = [Load() for _ in range(connections)]
    total = round(per_second * seconds)
    places = iter(range(total))
    guard = threading.Lock()

    def send(load: Load) -> None:
        connection = connect()
        while True:
            with guard:
                place = next(places, None)
            if place is None:
                break
            round_, at = divmod(place, len(stream.bodies))
            body = stream.bodies[at].replace(TOKEN, token(measurement, round_))
            due = began + place / per_second
            time.sleep(max(0.0, due - time.monotonic()))
            _count(load, connection.post(body), stream.size)
            load.latencies.append(time.monotonic() - due)
        connection.close()

    began = time.monotonic() + 0.2
    _together([functools.partial(send, load) for load in loads])
    return _sum(loads, time.monotonic() - began)


def _together(jobs: list[Callable[[], None]]) -> None:
    """Run the jobs in threads of their own; the first error of any."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 -- raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _sum(loads: list[Load], seconds: float) -> Load:
    whole = Load(seconds=seconds)
    for load in loads:
        whole.requests += load.requests
        whole.events += load.events
        whole.accepted += load.accepted
        whole.duplicates += load.duplicates
        whole.sent.append(load.requests)
        whole.latencies += load.latencies
    return whole


# --- In a process of its own ------------------------------------------------------------------------------------------


class Background:
    """``work()`` in a forked process, which has the bodies already. It is forked at once, before threads are started
    that could hold a lock, and begins when it is told to.
    """

    def __init__(self, work: Callable[[], Load]) -> None:
        context = multiprocessing.get_context("fork")
        self._near, far = context.Pipe()
        self._process = context.Process(target=_work, args=(work, far), daemon=True)
        self._process.start()
        far.close()

    def run(self) -> Load:
        """Let it begin; what it returned, once it has, or what it raised."""
        self._near.send("begin")
        try:
            found = self._near.recv()
        except EOFError:
            raise Refused("The load generator died; see the lines above.") from None
        self._process.join()
        if isinstance(found, BaseException):
            raise found
        return found


def _work(work: Callable[[], Load], far: Any) -> None:
    # Ctrl-C reaches the parent, too, which ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()
    far.recv()
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        found: Load | BaseException = work()
    except Exception as error:  # noqa: BLE001 -- raised by the parent
        found = error
    after = resource.getrusage(resource.RUSAGE_SELF)
    if isinstance(found, Load):
        found.cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    far.send(found)
    far.close()
