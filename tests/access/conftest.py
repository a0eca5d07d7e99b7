"""Keys and a client that speaks JSON."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import set_urlconf
from django.utils import timezone

from access import keys


class Api:
    """A test client with a bearer key; bodies are JSON, given as values or as raw bytes."""

    def __init__(self, key: str | None, **options: Any) -> None:
        self.client = Client(**options)
        self.key = key

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        extra = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        extra.update({name.replace("_", "-"): value for name, value in headers.items()})
        content_type = extra.pop("Content-Type", "application/json" if body is not None else "")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, path, data, content_type=content_type, headers=extra)

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self("POST", path, body, **headers)


@pytest.fixture
def own_urls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The addresses of tests/access/urls.py. Not by the mark `urls`, which forgets all resolvers before and after each
    test: filling one takes more than a test does. They are kept by their module's name, so that none is in the way.
    """
    monkeypatch.setattr(settings, "ROOT_URLCONF", "tests.access.urls")
    set_urlconf(None)
    yield
    set_urlconf(None)


@pytest.fixture
def make_key(db: None) -> Callable[..., str]:
    def make(*scopes: str, expires_at: datetime | None = None, live: bool = True) -> str:
        _, text = keys.create("test", list(scopes), now=timezone.now(), live=live, expires_at=expires_at)
        return text

    return make


@pytest.fixture
def committed_api(committed: None) -> Api:
    """For races: rows are committed, so that other connections see them."""
    _, text = keys.create("test", ["admin"], now=timezone.now())
    return Api(text, raise_request_exception=False)


@pytest.fixture
def api(make_key: Callable[..., str]) -> Api:
    return Api(make_key("admin"))


def check_envelope(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """The answer is an error in the one shape; returns its inside."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"type", "code", "message", "status", "details", "request_id", "doc_url"}
    assert error["status"] == status
    assert error["code"] == code, error
    assert error["message"]
    assert error["request_id"] == response["X-Request-Id"]
    assert error["doc_url"].endswith(f"/v1/docs/errors#{code}")
    for detail in error["details"]:
        assert set(detail) == {"path", "message", "code"}
    assert b"internals" not in response.content
    assert b"Traceback" not in response.content
    return error
