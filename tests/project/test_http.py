"""Bodies as they really arrive: over a socket, through the web server that `make up` runs. One server for all tests."""

import contextlib
import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from django.conf import settings
from django.urls import get_resolver

from access import error_codes, strictjson
from access.views import ApiView
from billing_project.services import HOST
from outcomes.wire import EVENT_LIMITS, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES
from tests.access.test_docs import matches
from tests.project.running import ROOT, home, served

JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENT = {"id": "e1", "type": "ticket.closed", "customer": "acme", "data": {"ticket": "T-9"}}


class Server:
    """Granian with an installation of its own; one connection a request."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    def __call__(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, kind: str = JSON, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON of the answer. A body in pieces is sent chunked."""
        given = {"Authorization": f"Bearer {self.key}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None and kind:
            given["Content-Type"] = kind
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            # A body that is too large is refused while it is still being sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, given)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def raw(self, *pieces: bytes) -> bytes:
        """What is answered to these bytes, the request line first; the client hangs up after them."""
        with socket.create_connection((HOST, self.port), timeout=60) as wire:
            for piece in pieces:
                wire.sendall(piece)
            wire.shutdown(socket.SHUT_WR)
            answer = b""
            while more := wire.recv(65536):
                answer += more
        return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Server]:
    with home(tmp_path_factory.mktemp("http"), like=installed) as here, served(here) as (port, key):
        found = Server(port, key)
        customer = {"name": "Acme", "currency": "EUR", "time_zone": "UTC"}
        assert found("PUT", "/v1/customers/acme", json.dumps(customer).encode())[0] == 201
        yield found


def events(prefix: str, count: int, text: int = 0) -> list[bytes]:
    """So many events, each with so long a text."""
    filler = {"a": "x" * text} if text <= 8000 else {f"k{n}": "x" * 8000 for n in range(text // 8000)}
    return [json.dumps(EVENT | {"id": f"{prefix}-{n}", "data": filler}).encode() for n in range(count)]


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def filled(body: bytes, size: int) -> bytes:
    """The body with white space at its end, exactly so long."""
    return body + b" " * (size - len(body))


# --- large bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "ndjson"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_batch_of_eight_mebibytes(server: Server, form: str, chunked: bool) -> None:
    sent = events(f"full-{form}-{chunked}", MAX_BATCH_EVENTS, 1500)
    body = b'{"events":[' + b",".join(sent) + b"]}" if form == "json" else b"\n".join(sent)
    body = filled(body, MAX_BATCH_BYTES)
    kind = JSON if form == "json" else NDJSON
    status, answer = server("POST", "/v1/events/batch", pieces(body, 100_000) if chunked else body, kind)
    assert (status, answer) == (202, {"accepted": 5000, "duplicates": 0, "rejected": 0, "results": []})
    status, answer = server("POST", "/v1/events/batch", pieces(body, 7_000_000) if chunked else body, kind)
    assert (answer["accepted"], answer["duplicates"]) == (0, 5000)


@pytest.mark.parametrize("kind", [JSON, NDJSON, "application/cloudevents-batch+json"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_batch_of_one_byte_more(server: Server, kind: str, chunked: bool) -> None:
    body = filled(b"", MAX_BATCH_BYTES + 1)
    status, answer = server("POST", "/v1/events/batch", pieces(body, 1_000_000) if chunked else body, kind)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_each_path_has_its_own_limit(server: Server) -> None:
    for path, method, limit in [
        ("/v1/events", "POST", 256 * 1024),
        ("/v1/customers/acme", "PUT", 1024 * 1024),
        ("/v1/inbox/retry", "POST", 1024 * 1024),
    ]:
        status, answer = server(method, path, pieces(filled(b"{}", limit), 50_000))
        assert status == 422, (path, answer)
        status, answer = server(method, path, pieces(filled(b"{}", limit + 1), 50_000))
        assert (status, answer["error"]["code"]) == (413, "body_too_large"), path


def test_no_endpoint_takes_more_than_the_entry_point_reads() -> None:
    def views(patterns: Any) -> Iterator[ApiView]:
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                yield from views(pattern.url_patterns)
            elif issubclass(found := getattr(pattern.callback, "cls", object), ApiView):
                yield found()

    limits = [view.max_body_bytes() for view in views(get_resolver().url_patterns)]
    assert len(limits) > 20
    assert max(limits) == MAX_BATCH_BYTES


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_chunks_that_come_slowly_are_one_body(server: Server) -> None:
    body = json.dumps(EVENT | {"id": "slow"}).encode()

    def slowly() -> Iterator[bytes]:
        for piece in pieces(body, 40):
            yield piece
            time.sleep(0.05)  # a network, not luck: each piece is on its way before the next is sent

    assert server("POST", "/v1/events", slowly()) == (202, {"id": "slow", "status": "accepted"})


def test_other_endpoints_read_chunks_too(server: Server) -> None:
    body = b'{"name": "Beta", "currency": "EUR", "time_zone": "UTC"}'
    status, answer = server("PUT", "/v1/customers/beta", pieces(body, 10))
    assert (status, answer["name"]) == (201, "Beta")


def test_no_chunk_is_an_empty_body(server: Server) -> None:
    status, answer = server("POST", "/v1/events", iter([]))
    assert (status, answer["error"]["code"]) == (400, "empty_body")


def test_a_key_is_needed_for_chunks_too(server: Server) -> None:
    status, answer = server("POST", "/v1/events", iter([b"{}"]), Authorization="Bearer hf_live_nobody")
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("chunked", [False, True])
def test_compressed_bodies_are_refused(server: Server, chunked: bool) -> None:
    body = gzip.compress(json.dumps(EVENT).encode())
    status, answer = server("POST", "/v1/events", iter([body]) if chunked else body, Content_Encoding="gzip")
    assert (status, answer["error"]["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize(
    "body",
    [
        b'5\r\n{"id"\r\n',
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffffff\r\n{}",
        b"-1\r\n{}\r\n0\r\n\r\n",
        b"",
    ],
)
def test_chunks_that_break_off_are_no_event(server: Server, body: bytes) -> None:
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {server.key}\r\nConnection: close\r\n"
        f"Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    before = server("GET", "/v1/inbox")[1]["data"]
    answer = server.raw(head.encode(), body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert server("GET", "/v1/inbox")[1]["data"] == before


# --- CloudEvents ------------------------------------------------------------------------------------------------------


def cloud_event(name: str, **attributes: Any) -> CloudEvent:
    given = {"id": name, "type": "ticket.closed", "source": "/crm/é", "subject": "acme", "datacontenttype": JSON}
    return CloudEvent(given | attributes, {"ticket": "T-9", "text": "é \"'%"})


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
@pytest.mark.parametrize("chunked", [False, True])
def test_cloud_events_of_the_package(server: Server, path: str, write: Any, chunked: bool) -> None:
    name = f"{write.__name__} {path} {chunked} 100 %"
    message = write(cloud_event(name))
    headers = dict(message.headers)
    kind = headers.pop("content-type")
    status, answer = server("POST", path, iter([message.body]) if chunked else message.body, kind, **headers)
    assert status == 202
    assert answer == (
        {"id": name, "status": "accepted"}
        if path == "/v1/events"
        else {"accepted": 1, "duplicates": 0, "rejected": 0, "results": []}
    )
    quoted = quote(name, safe="")
    status, told = server("GET", f"/v1/events/{quoted}?customer=acme&source=/crm/%C3%A9")
    assert (status, told["id"], told["source"], told["data"]["text"]) == (200, name, "/crm/é", "é \"'%")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
def test_a_batch_of_cloud_events(server: Server, path: str) -> None:
    bodies = [to_structured_event(cloud_event(f"{path} {n}")).body for n in range(3)]
    bad = to_structured_event(cloud_event("bad", tenant="x")).body
    body = b"[" + b",".join([*bodies, bad, b'{"a":"\xff"}']) + b"]"
    status, answer = server("POST", path, body, "application/cloudevents-batch+json")
    assert (status, answer["accepted"], answer["rejected"]) == (202, 3, 2)
    assert [(item["index"], item["code"]) for item in answer["results"]] == [(3, "invalid"), (4, "invalid_utf8")]


def test_an_event_may_be_called_batch(server: Server) -> None:
    assert server("POST", "/v1/events", json.dumps(EVENT | {"id": "batch"}).encode())[0] == 202
    status, told = server("GET", "/v1/events/batch?customer=acme")
    assert (status, told["id"]) == (200, "batch")


# --- docs/events.md ---------------------------------------------------------------------------------------------------

DOCS = (ROOT / "docs/events.md").read_text()
EXAMPLE = re.compile(r"```sh\n(?P<typed>.*?)```\n\n```json\n(?P<answer>.*?)```", re.DOTALL)


def test_the_examples_of_the_documentation(server: Server) -> None:
    examples = list(EXAMPLE.finditer(DOCS))
    assert len(examples) == DOCS.count("```sh") == 7
    env = os.environ | {"URL": f"http://{HOST}:{server.port}", "KEY": server.key}
    for example in examples:
        done = subprocess.run(["bash", "-c", example["typed"]], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert matches(json.loads(example["answer"]), json.loads(done.stdout)), (example["typed"], done.stdout)


def test_what_the_documentation_says_of_codes_and_limits() -> None:
    import_module("billing_project.urls")  # what answers with a code registers it
    told = DOCS.partition("## Limits")[2].partition("## Sending again")[0]
    rows = [line.split("|")[1:-1] for line in told.splitlines() if line.startswith("|")]
    codes = {code for row in rows for cell in row for code in re.findall(r"`([a-z_]{6,})`", cell)}
    assert codes - {"details", "message"} <= set(error_codes.CODES)
    structural = {name for name in error_codes.GENERAL if name.startswith(("too_", "number_", "key_", "string_"))}
    assert structural <= codes
    limits = EVENT_LIMITS
    for said in (
        f"keys of an object | {limits.keys} |",
        f"characters of a key | {limits.key_length} |",
        f"characters of a text | {limits.string_length:,} |",
        f"items of a list | {limits.items:,} |",
        f"digits of a number | {limits.digits} |",
        f"| {strictjson.MAX_DEPTH} | `too_deep` |",
        f"| an event | {MAX_EVENT_BYTES >> 10} KiB |",
        f"| a batch | {MAX_BATCH_BYTES >> 20} MiB |",
        f"| {MAX_BATCH_EVENTS:,} events |",
        f"{settings.MAX_EVENT_AGE_DAYS} days",
        f"{settings.MAX_EVENT_FUTURE_SECONDS // 60} minutes",
    ):
        assert said in told
    ignored = DOCS.partition("`HOLDFAST_CLOUDEVENTS_IGNORED` (names")[2].partition("`sampledrate`")[0]
    assert set(re.findall(r"`([a-z]+)`", ignored)) == settings.CLOUDEVENTS_IGNORED
