"""A client of our own HTTP API, with the standard library alone: what a customer's script would do."""

import contextlib
import http.client
import json
import urllib.parse
from typing import Any


class ApiFailure(Exception):
    """The API refused; the message is its own."""


class Api:
    """JSON over ``http://host:port/v1``, a connection a request: the server closes those that idle."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._address = (host, port)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, None, {})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._call("POST", path, json.dumps(body or {}).encode(), headers)

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, f"/v1{path}", body, self._headers | headers)
            answer = connection.getresponse()
            content = json.loads(answer.read() or b"null")
        if answer.status >= 400:
            raise ApiFailure(f"{method} {path}: {answer.status} {content['error']['message']}")
        return content
