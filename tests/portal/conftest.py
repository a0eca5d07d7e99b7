"""One shop for all tests of a module, each in a savepoint of its own; a client that is in by a link."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

import billing_project.urls  # noqa: F401  (before any clock is frozen: msgspec reads the real datetime in annotations)
from tests.access.conftest import Api
from tests.portal.shop import Shop, make

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    """In a transaction that is rolled back after the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make(timezone.now())
        transaction.set_rollback(True)


@pytest.fixture
def shop(made: Shop) -> Iterator[Shop]:
    with transaction.atomic():
        yield made
        transaction.set_rollback(True)


@pytest.fixture
def enter(shop: Shop) -> Callable[..., Client]:
    """``enter("acme")``: a browser that has opened the customer's link."""

    def come_in(customer: str, **options: Any) -> Client:
        client = Client(**options)
        assert client.get(shop.url(customer)).status_code == 302
        return client

    return come_in


@pytest.fixture
def acme(enter: Callable[..., Client]) -> Client:
    return enter("acme")


@pytest.fixture
def api(shop: Shop) -> Api:
    from access import keys

    _, text = keys.create("billing", ["admin"], now=shop.now)
    return Api(text)


def text_of(response: HttpResponse) -> str:
    """The page without the one thing that differs whenever it is shown."""
    return TOKEN.sub("", response.content.decode())
