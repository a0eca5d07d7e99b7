"""Logs, production checks, and the limits of layers: what holds for the whole process."""

import json
import logging
from typing import Any

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from access import checks, keys, logs
from tests.access.conftest import Api

# --- Logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("own_urls")
def test_a_line_per_request(caplog: pytest.LogCaptureFixture, api: Api) -> None:
    api.get("/v1/things?name=secret-in-query", X_Request_Id="abc")
    (line,) = [json.loads(record.message) for record in caplog.records if record.name == "access.request"]
    assert {name: line[name] for name in ("event", "method", "path", "status", "request_id", "level")} == {
        "event": "request",
        "method": "GET",
        "path": "/v1/things",
        "status": 200,
        "request_id": "abc",
        "level": "info",
    }
    assert line["api_key"].startswith("key_")
    assert line["ms"] > 0
    assert "secret-in-query" not in caplog.text


@pytest.mark.django_db
@pytest.mark.usefixtures("own_urls")
def test_the_request_id_does_not_outlive_the_request(caplog: pytest.LogCaptureFixture) -> None:
    Client().get("/v1/nothing")
    structlog.get_logger("after").warning("later")
    line = json.loads(next(record.message for record in caplog.records if record.name == "after"))
    assert "request_id" not in line


def test_keys_reach_no_log(caplog: pytest.LogCaptureFixture) -> None:
    text = keys.generate(live=True)
    structlog.get_logger("x").warning(f"bad header Bearer {text}", header=text, nested={"key": [text]})
    record = logging.LogRecord("y", logging.ERROR, __file__, 1, "with %s", (text,), None)
    for line in (caplog.records[0].message, logs.JsonFormatter().format(record)):
        assert text.split("_")[2] not in line
        assert "hf_live_" in line
        json.loads(line)


def test_log_lines_stay_lines(caplog: pytest.LogCaptureFixture) -> None:
    structlog.get_logger("x").warning("a\r\nb\u2028c\u202ed", value="\x1b[31m")
    line = caplog.records[0].message
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == "a\r\nb\u2028c\u202ed"


def test_records_of_others_have_the_same_shape() -> None:
    try:
        raise ValueError("bang")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "failed %d", (5,), info)
    line = json.loads(logs.JsonFormatter().format(record))
    assert (line["event"], line["level"], line["logger"]) == ("failed 5", "error", "django.request")
    assert "ValueError: bang" in line["exception"]
    assert line["timestamp"].endswith("Z")


def test_structlog_passes_the_formatter_once(caplog: pytest.LogCaptureFixture) -> None:
    structlog.get_logger("x").info("hello", n=1)
    assert json.loads(logs.JsonFormatter().format(caplog.records[0]))["event"] == "hello"


# --- Production -------------------------------------------------------------------------------------------------------


@pytest.fixture
def production(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Production with nothing wrong."""
    for name, value in {
        "HOLDFAST_SECRET_KEY": "s" * 48,
        "HOLDFAST_API_KEY_PEPPER": "p" * 48,
        "HOLDFAST_ALLOWED_HOSTS": "billing.example.com",
        "DATABASE_URL": "postgres://db/holdfast",
        "HOLDFAST_TRUSTED_PROXIES": "1",
    }.items():
        monkeypatch.setenv(name, value)
    settings.ENVIRONMENT = "production"
    settings.SECRET_KEY, settings.API_KEY_PEPPER = "s" * 48, "p" * 48
    settings.ALLOWED_HOSTS = ["billing.example.com"]
    settings.STAFF_TOTP = True
    settings.SECURE_SSL_REDIRECT = True
    settings.DEBUG = False
    return settings


def found() -> list[str]:
    return sorted(message.id for message in checks.check_production() if message.id)


def test_a_good_production_passes(production: Any) -> None:
    assert found() == []
    checks.refuse_unsafe_production()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HOLDFAST_SECRET_KEY", None, "access.E001"),
        ("HOLDFAST_SECRET_KEY", "short", "access.E001"),
        ("HOLDFAST_API_KEY_PEPPER", None, "access.E002"),
        ("HOLDFAST_ALLOWED_HOSTS", None, "access.E004"),
        ("DATABASE_URL", None, "access.W001"),
        ("HOLDFAST_TRUSTED_PROXIES", None, "access.W004"),
    ],
)
def test_what_the_environment_must_hold(
    production: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, expected: str
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    assert found() == [expected]
    if "E" in expected:
        with pytest.raises(ImproperlyConfigured, match=variable):
            checks.refuse_unsafe_production()
    else:
        checks.refuse_unsafe_production()


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("ALLOWED_HOSTS", ["billing.example.com", "*"], "access.E005"),
        ("API_KEY_PEPPER", "s" * 48, "access.E003"),
        ("DEBUG", True, "access.E006"),
        ("WEBHOOK_ALLOW_LOOPBACK", True, "access.E007"),
        ("STRIPE_URL", "http://127.0.0.1:12111", "access.E008"),
        ("SECURE_SSL_REDIRECT", False, "access.W002"),
        ("STAFF_TOTP", False, "access.W003"),
    ],
)
def test_what_settings_must_not_be(production: Any, setting: str, value: Any, expected: str) -> None:
    setattr(production, setting, value)
    assert found() == [expected]


def test_a_laptop_is_left_alone(settings: Any) -> None:
    settings.ENVIRONMENT = "development"
    settings.ALLOWED_HOSTS = ["*"]
    assert found() == []


def test_pepper_and_secret_do_not_leave_the_process(production: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SECRET_KEY", "quite-short-secret")
    messages = " ".join(str(message) for message in checks.check_production())
    assert "quite-short-secret" not in messages
    assert timezone.now()
