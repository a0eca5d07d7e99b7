"""OpenAPI, its pages, health, the admin."""

import json
import re
from typing import Any

import jsonschema
import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from access import health, keys
from tests.access.conftest import Api

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_urls")]


@pytest.fixture
def schema() -> dict[str, Any]:
    response = Client().get("/v1/openapi.json")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    return json.loads(response.content)


# --- OpenAPI ----------------------------------------------------------------------------------------------------------


def test_the_schema_is_3_1_and_needs_no_key(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert {"/v1/orders", "/v1/things", "/v1/things/{thing_id}"} <= set(schema["paths"])
    assert "/v1/openapi.json" not in schema["paths"]


def test_every_operation_has_its_errors_in_the_one_shape(schema: dict[str, Any]) -> None:
    envelope = {"$ref": "#/components/schemas/ErrorEnvelope"}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            codes = set(operation["responses"])
            assert {"400", "401", "403", "406", "503"} <= codes, (path, method)
            assert ("404" in codes) == ("{" in path)
            if method == "post":
                assert {"409", "411", "413", "415", "422"} <= codes
            for code in codes:
                if code >= "400":
                    content = operation["responses"][code]["content"]
                    assert content["application/json"]["schema"] == envelope
            assert operation["security"] == [{"ApiKey": []}]


def test_parameters_are_described(schema: dict[str, Any]) -> None:
    listing = {parameter["name"] for parameter in schema["paths"]["/v1/things"]["get"]["parameters"]}
    assert listing == {"name", "live", "least", "tag", "limit", "cursor"}

    def headers(path: str) -> list[str]:
        parameters = schema["paths"][path]["post"].get("parameters", [])
        return [parameter["name"] for parameter in parameters if parameter["in"] == "header"]

    assert headers("/v1/things") == headers("/v1/recorded_things") == ["Idempotency-Key"]
    assert headers("/v1/hot_things") == []
    assert "`events:write`" in schema["paths"]["/v1/hot_things"]["post"]["description"]


def test_bodies_take_no_unknown_fields(schema: dict[str, Any]) -> None:
    schemas = schema["components"]["schemas"]
    assert schemas["Thing"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["ErrorEnvelope"]


def test_operation_ids_are_unique(schema: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operations in schema["paths"].values() for operation in operations.values()]
    assert len(ids) == len(set(ids))
    assert "get_things_thing_id" in ids


def test_fields_are_described(schema: dict[str, Any]) -> None:
    properties = schema["components"]["schemas"]["Order"]["properties"]
    assert re.match(properties["customer"]["pattern"], "cus_01h455vb4pex5vsknk084sn02q")
    assert properties["at"]["format"] == "date-time"
    assert "amount" in properties


def test_real_answers_fit_the_schema(schema: dict[str, Any], api: Api) -> None:
    def validate(content: bytes, name: str) -> None:
        reference = {"$ref": f"#/components/schemas/{name}", "components": schema["components"]}
        jsonschema.validate(json.loads(content), reference, cls=jsonschema.Draft202012Validator)

    validate(api.post("/v1/orders", {"nmae": 1}).content, "ErrorEnvelope")
    validate(api.get("/v1/nothing").content, "ErrorEnvelope")


def test_pages_load_nothing_from_elsewhere() -> None:
    response = Client().get("/v1/docs")
    assert response.status_code == 200
    page = response.content.decode()
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert '"validatorUrl": null' in page
    assert "/v1/openapi.json" in page or "openapi.json" in page
    for asset in re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", page):
        answer = Client().get(asset)
        assert answer.status_code == 200, asset
        answer.close()


def test_error_codes_have_a_page() -> None:
    page = Client().get("/v1/docs/errors").content.decode()
    assert '<tr id="invalid_cursor">' in page
    assert "<code>details</code>" in page


# --- Health -----------------------------------------------------------------------------------------------------------


def test_alive_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/readyz")
    return response.status_code, response.json()


def test_ready() -> None:
    status, body = ready()
    assert status == 200, body
    assert body["status"] == "ready"
    assert set(body["checks"]) == {"database", "migrations", "broker"}
    for check in body["checks"].values():
        assert check["ok"] is True
        assert check["ms"] >= 0


def test_no_database_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def cursor(self) -> None:
            raise OperationalError("connection to socket /secret failed")

        def close(self) -> None:
            pass

    monkeypatch.setattr(health, "connection", Down())
    status, body = ready()
    assert status == 503
    assert body["status"] == "not_ready"
    assert body["checks"]["database"]["ok"] is False
    assert "secret" not in json.dumps(body)


def test_unapplied_migrations_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_migrations_seen_applied", False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *args: [1, 2])
    status, body = ready()
    assert status == 503
    assert "manage.py migrate" in body["checks"]["migrations"]["message"]


def test_no_broker_is_reported_but_ready(settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    status, body = ready()
    assert status == 200
    assert body["status"] == "ready"
    assert body["checks"]["broker"]["ok"] is False
    assert body["checks"]["broker"]["required"] is False
    assert issubclass(redis.ConnectionError, redis.RedisError)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/openapi.json", "/v1/docs", "/v1/docs/errors"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_pages_and_health_only_read(path: str, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, path)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert response.json()["error"]["code"] == "method_not_allowed"


# --- Admin ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_the_admin_shows_keys_and_no_secret(root: Client) -> None:
    key, text = keys.create("crm of acme", ["read"], now=timezone.now())
    listing = root.get("/admin/access/apikey/")
    detail = root.get(f"/admin/access/apikey/{key.id}/change/")
    assert (listing.status_code, detail.status_code) == (200, 200)
    for page in (listing, detail):
        assert b"crm of acme" in page.content
        assert text.encode() not in page.content
        assert bytes(key.digest).hex().encode() not in page.content
    assert b'name="name"' not in detail.content


def test_the_admin_changes_nothing_else(root: Client) -> None:
    key, _ = keys.create("crm", ["read"], now=timezone.now())
    assert root.get("/admin/access/apikey/add/").status_code == 403
    assert root.post(f"/admin/access/apikey/{key.id}/change/", {"name": "x"}).status_code == 403
    assert root.post(f"/admin/access/apikey/{key.id}/delete/", {"post": "yes"}).status_code == 403
    key.refresh_from_db()
    assert key.name == "crm"


def revoke(client: Client, key: Any, reason: str = "it leaked") -> int:
    return client.post(f"/admin/access/apikey/{key.id}/revoke_this/", {"reason": reason}).status_code


def test_the_admin_revokes(root: Client) -> None:
    first, text = keys.create("first", ["read"], now=timezone.now())
    _, other = keys.create("second", ["read"], now=timezone.now())
    assert Api(text).get("/v1/things").status_code == 200
    assert revoke(root, first, "") == 200
    assert Api(text).get("/v1/things").status_code == 200, "it asks why"
    assert revoke(root, first) == 302
    assert LogEntry.objects.get().change_message == "Revoke: it leaked"
    assert (
        b"It was revoked before"
        in root.post(f"/admin/access/apikey/{first.id}/revoke_this/", {"reason": "again"}).content
    )
    assert Api(text).get("/v1/things").status_code == 401
    assert Api(other).get("/v1/things").status_code == 200


def test_who_may_only_look_cannot_revoke() -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client = Client()
    client.force_login(user)
    key, text = keys.create("first", ["read"], now=timezone.now())
    assert client.get("/admin/access/apikey/").status_code == 200
    assert revoke(client, key) == 403
    assert Api(text).get("/v1/things").status_code == 200
