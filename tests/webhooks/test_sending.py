"""One attempt: what counts as accepted, and the limits that a slow or hostile receiver meets."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.webhooks.conftest import Receiver
from webhooks import schedule, sending
from webhooks.sending import post

TLS = Path(__file__).parent / "tls"


@pytest.fixture
def raw_server(settings: Any) -> Iterator[Callable[..., str]]:
    """``raw_server(talk)``: a server that reads a request and has ``talk(connection)`` answer; its URL."""
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    servers: list[socket.socket] = []

    def serve(
        talk: Callable[[socket.socket], Any], *, wrap: Callable[[socket.socket], socket.socket] | None = None
    ) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                try:
                    with wrap(connection) if wrap else connection as talking:
                        talking.recv(65536)
                        talk(talking)
                except OSError:
                    pass  # the other side has hung up: that is what most of these tests are about

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield serve
    for server in servers:
        server.close()


def test_what_arrives(receiver: Receiver) -> None:
    answer = post(f"{receiver.url}?a=1", '{"ü":1}', {"webhook-id": "msg_1"})
    assert (answer.status, answer.error, answer.body, answer.accepted) == (200, "", "ok", True)
    [request] = receiver.requests
    assert (request.path, request.body) == ("/hooks?a=1", '{"ü":1}')
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.server.server_port}",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "8",
        "user-agent": "Holdfast-Webhooks/1",
        "connection": "close",
        "webhook-id": "msg_1",
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_accepted(receiver: Receiver, status: int) -> None:
    receiver.answers(status)
    assert post(receiver.url, "{}", {}).accepted


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, make_receiver: Callable[[], Receiver], status: int) -> None:
    elsewhere = make_receiver()
    receiver.answers(status, Location=elsewhere.url)
    answer = post(receiver.url, "{}", {})
    assert (answer.status, answer.accepted) == (status, False) and "redirects are not followed" in answer.error
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_anything_else_is_not(receiver: Receiver, status: int) -> None:
    receiver.answers(status, b"no", Retry_After="120")
    answer = post(receiver.url, "{}", {})
    assert (answer.status, answer.error, answer.body, answer.retry_after) == (
        status,
        f"Answered {status}.",
        "no",
        "120",
    )


def test_one_kib_of_the_answer_is_kept(receiver: Receiver) -> None:
    receiver.answers(200, "ü\x00".encode() * 500_000)
    answer = post(receiver.url, "{}", {})
    assert answer.accepted
    assert answer.body.startswith("ü\ufffdü") and len(answer.body.encode().replace(b"\xef\xbf\xbd", b"\x00")) <= 1026


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert post(receiver.url, "{}", {}).accepted


def test_nobody_listens(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "Connection refused" in post(f"http://127.0.0.1:{port}/", "{}", {}).error


@pytest.mark.parametrize(
    "answer", [b"", b"\r\n", b"hello", b"HTTP/1.1 OK\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 99999 x\r\n\r\n"]
)
def test_what_is_no_http_is_an_error(raw_server: Callable[..., str], answer: bytes) -> None:
    got = post(raw_server(lambda connection: connection.sendall(answer)), "{}", {})
    assert got.error and not got.accepted and got.status is None


def test_a_status_counts_although_the_body_breaks_off(raw_server: Callable[..., str]) -> None:
    url = raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    assert post(url, "{}", {}).accepted


def drip(parts: Iterator[bytes], gone: threading.Event) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for part in parts:
            if gone.wait(0.02):
                return
            connection.sendall(part)

    return talk


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_byte_now_and_then_does_not_stretch_the_deadline(
    raw_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(sending, "TOTAL_SECONDS", 0.3)
    gone = threading.Event()
    url = raw_server(drip(iter([first, *[b"x"] * 3000]), gone))
    answer = post(url, "{}", {})
    # All of it would take a minute.
    assert answer.error.startswith("Too slow") and 250 <= answer.ms < 30_000
    gone.set()


def test_an_answer_without_end_ends(raw_server: Callable[..., str]) -> None:
    """64 KiB are read, of headers or interim answers too; then the answer is over."""
    sent = [0]

    def flood(part: bytes) -> Callable[[socket.socket], None]:
        def talk(connection: socket.socket) -> None:
            while True:
                sent[0] += connection.send(part)

        return talk

    for part in (b"HTTP/1.1 100 Continue\r\n\r\n", b"X" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50):
        assert not post(raw_server(flood(part)), "{}", {}).accepted


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_server(
    raw_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[tuple[str, list[Any]]]:
    """A server on loopback with a certificate for hooks.example.com, to which every name leads; the SNI it is asked
    for is noted. The test authority counts as the system's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    asked: list[Any] = []
    context.sni_callback = lambda sock, name, context: asked.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    sending._tls.cache_clear()
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))

    def answer(connection: Any) -> None:
        # All of the request first: closing on what was not read would reset the connection under the answer.
        seen = b""
        while not seen.endswith(b"{}") and (more := connection.recv(65536)):
            seen += more
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    url = raw_server(
        answer,
        wrap=lambda connection: context.wrap_socket(connection, server_side=True),
    )
    port = url.rpartition(":")[2].strip("/")
    settings.WEBHOOK_PORTS = [int(port)]
    yield port, asked
    sending._tls.cache_clear()


def test_tls_is_with_the_name_although_the_address_is_pinned(tls_server: tuple[str, list[Any]]) -> None:
    port, asked = tls_server
    assert post(f"https://hooks.example.com:{port}", "{}", {}).accepted
    assert asked == ["hooks.example.com"]


def test_a_certificate_of_another_name_is_refused(tls_server: tuple[str, list[Any]]) -> None:
    port, _ = tls_server
    answer = post(f"https://other.example.com:{port}", "{}", {})
    assert answer.error.startswith("TLS: Hostname mismatch"), answer.error


def test_a_certificate_of_an_unknown_authority_is_refused(
    tls_server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = tls_server
    monkeypatch.delenv("SSL_CERT_FILE")
    sending._tls.cache_clear()
    assert "certificate" in post(f"https://hooks.example.com:{port}", "{}", {}).error


def test_plain_http_where_tls_is_expected(raw_server: Callable[..., str]) -> None:
    url = raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert post(url.replace("http:", "https:"), "{}", {}).error.startswith("TLS: ")


# --- When to try again ------------------------------------------------------------------------------------------------


def test_the_schedule_outlasts_the_days_after_which_an_endpoint_is_disabled() -> None:
    pauses = [schedule.pause_after(tries) for tries in range(1, schedule.ATTEMPTS)]
    for pause, least in zip(pauses, schedule.PAUSES, strict=True):
        assert pause is not None and least <= pause <= least * (1 + schedule.JITTER)
    assert schedule.pause_after(schedule.ATTEMPTS) is None
    assert sum(schedule.PAUSES, timedelta()) > schedule.DISABLE_AFTER
    assert len({schedule.pause_after(3) for _ in range(20)}) > 1, "no jitter"


def test_retry_after_makes_a_pause_longer_never_shorter_and_has_a_bound() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert schedule.pause_after(1, hour) == hour
    assert schedule.pause_after(1, 30 * day) == day
    assert (schedule.pause_after(5, timedelta(seconds=1)) or hour) >= schedule.PAUSES[4]
    assert schedule.pause_after(schedule.ATTEMPTS, hour) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("120", 120), ("9" * 400, 10**8), ("-5", None), ("1.5", None), ("", None), ("soon", None),
        ("٣", None), ("Fri, 02 Jan 2026 00:10:00 GMT", 600), ("Thu, 01 Jan 2026 00:00:00 GMT", None),
        ("Fri, 02 Jan 2026 00:10:00", None), ("Fri, 99 Jan 2026 00:10:00 GMT", None),
    ],
)  # fmt: skip
def test_what_retry_after_may_say(text: str, seconds: int | None) -> None:
    asked = schedule.retry_after(text, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert asked == (None if seconds is None else timedelta(seconds=seconds))


def test_the_breaker_doubles_up_to_a_bound() -> None:
    assert [schedule.endpoint_pause(n).total_seconds() for n in (1, 4, 5, 6, 7, 11, 12, 10_000)] == [
        0, 0, 10, 20, 40, 600, 600, 600,
    ]  # fmt: skip
    assert schedule.endpoint_pause(1, timedelta(seconds=30)).total_seconds() == 30
    assert schedule.endpoint_pause(1, timedelta(days=30)) == schedule.BREAKER_LONGEST_PAUSE
