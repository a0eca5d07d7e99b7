"""One POST to one address, within limits: 5 s to connect, 10 s in all, 64 KiB of answer, no redirect, no proxy.

http.client does the HTTP over a socket of ours, which is connected to an address that was vetted, and whose every wait
ends at one deadline: a receiver that sends a byte a second cannot stretch it.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import structlog

from webhooks.target import Refused, Target, addresses, read

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MAX_ANSWER = 64 * 1024
KEPT_ANSWER = 1024
MAX_ADDRESSES = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt went: the status (None when there was none), the beginning of the body, and why it failed."""

    status: int | None
    error: str
    body: str = ""
    retry_after: str = ""
    ms: int = 0

    @property
    def accepted(self) -> bool:
        return not self.error


def post(url: str, body: str, headers: Mapping[str, str], *, keep: int = KEPT_ANSWER) -> Answer:
    """Send the body; whatever happens is an Answer, with so many bytes of its body. Touches no database, so it may run
    in any thread.
    """
    started = time.monotonic()
    status, error, text, retry_after = None, "", "", ""
    try:
        status, text, retry_after = _exchange(read(url), body, headers, started + TOTAL_SECONDS, keep)
        error = _judge(status)
    except Refused as refusal:
        error = f"Refused: {refusal}"
    except TimeoutError as problem:
        error = f"Too slow: {problem}."
    except ssl.SSLError as problem:
        error = f"TLS: {getattr(problem, 'verify_message', '') or problem.reason or problem}."
    except (OSError, http.client.HTTPException, ValueError) as problem:
        error = f"{type(problem).__name__}: {problem}."
    except Exception:
        log.exception("webhook_attempt_broke", url=url)
        error = "An error of ours; it stands in the log."
    return Answer(status, error, text, retry_after, round((time.monotonic() - started) * 1000))


def _judge(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"Answered {status}: redirects are not followed, give the endpoint its final URL."
    return f"Answered {status}."


def _exchange(
    target: Target, body: str, headers: Mapping[str, str], deadline: float, keep: int
) -> tuple[int, str, str]:
    """Status, the beginning of the body, `Retry-After`."""
    with _connected(target, deadline) as sock:
        connection = _Connection(target, _Timed(sock, deadline))
        connection.request(
            "POST",
            target.path,
            body=body.encode(),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "Holdfast-Webhooks/1",
                "Connection": "close",
                **headers,
            },
        )
        response = connection.getresponse()
        try:
            text = response.read(keep)
        except (OSError, http.client.HTTPException):
            text = b""  # The status line has said what counts.
        kept = text.decode("utf-8", "replace").replace("\x00", "\ufffd")
        return response.status, kept, response.getheader("Retry-After", "").strip()


def _connected(target: Target, deadline: float) -> socket.socket:
    """A socket to one of the host's vetted addresses; with https, SNI and the certificate are of the host's name."""
    limit = min(deadline, time.monotonic() + CONNECT_SECONDS)
    problem: OSError | None = None
    for address in addresses(target, seconds=limit - time.monotonic())[:MAX_ADDRESSES]:
        try:
            sock = socket.create_connection((str(address), target.port), timeout=_left(limit))
        except OSError as error:
            problem = error
            continue
        if target.scheme == "http":
            return sock
        try:
            sock.settimeout(_left(limit))
            return _tls().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
    assert problem is not None
    raise problem


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are checked against the system's authorities (`SSL_CERT_FILE` names others)."""
    return ssl.create_default_context()


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(f"no answer within {TOTAL_SECONDS:.0f} seconds")
    return seconds


class _Connection(http.client.HTTPConnection):
    """http.client over a socket that is connected already."""

    def __init__(self, target: Target, sock: "_Timed") -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.scheme == "https" else 80  # so `Host` names other ports only
        self.sock = sock


class _Timed:
    """What http.client needs of a socket; every wait ends at the deadline, and the answer has an end."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(_left(self.deadline))
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self.sock, self.deadline))

    def close(self) -> None:
        """Whoever connected closes: http.client does so before it has read the body."""


class _Received(io.RawIOBase):
    """The bytes of the answer, MAX_ANSWER of them at most."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.room = MAX_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        if not self.room:
            return 0
        self.sock.settimeout(_left(self.deadline))
        count = self.sock.recv_into(buffer, min(len(buffer), self.room))
        self.room -= count
        return count
