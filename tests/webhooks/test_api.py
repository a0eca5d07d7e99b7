"""``/v1/webhook_endpoints`` and ``/v1/webhook_deliveries``."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from tests.access.conftest import Api, check_envelope
from tests.webhooks.conftest import Receiver
from webhooks import endpoints
from webhooks.catalog import TYPES
from webhooks.delivery import deliver_due
from webhooks.models import Delivery, Endpoint, Secret
from webhooks.publish import publish

pytestmark = pytest.mark.django_db
URL = "https://example.com/hooks"


def create(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhook_endpoints", {"url": URL, "events": ["*"]} | fields)
    assert answer.status_code == 201, answer.content
    return json.loads(answer.content)


def get(api: Api, path: str) -> dict[str, Any]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


def tell(*abouts: str) -> None:
    for about in abouts:
        publish("invoice.issued", about, lambda: {"id": "inv_1"}, now=timezone.now())


def test_the_secret_is_shown_when_it_is_made_and_never_again(api: Api) -> None:
    made = create(api, events=["outcome.confirmed", "invoice.issued", "outcome.confirmed"], description="CRM")
    assert made["id"].startswith("whe_") and made["secret"].startswith("whsec_")
    assert (made["events"], made["description"]) == (["outcome.confirmed", "invoice.issued"], "CRM")
    assert (made["status"], made["enabled"], made["waiting"], made["disabled_reason"]) == ("enabled", True, 0, None)
    assert [secret["ends_at"] for secret in made["secrets"]] == [None]
    read = get(api, f"/v1/webhook_endpoints/{made['id']}")
    assert read == {name: value for name, value in made.items() if name != "secret"}
    listed = get(api, "/v1/webhook_endpoints")
    assert listed == {"data": [read], "has_more": False, "next_cursor": None}
    # Nor is it in the database: only what it is derived from, with the pepper, is.
    assert made["secret"].encode() not in b"".join(bytes(secret.salt) for secret in Secret.objects.all())


def test_secrets_have_32_bytes_and_differ(api: Api, settings: Any) -> None:
    texts = {create(api)["secret"] for _ in range(3)}
    assert len(texts) == 3
    assert {len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) for text in texts} == {32}


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"url": "http://example.com/"}, "url", "refused_url"),
        ({"url": "https://10.0.0.1/"}, "url", "refused_url"),
        ({"url": "https://user:pw@example.com/"}, "url", "refused_url"),
        ({"url": "https://example.com:8443/"}, "url", "refused_url"),
        ({"url": 5}, "url", "invalid"),
        ({"events": []}, "events", "empty"),
        ({"events": ["outcome.confirmed", "*"]}, "events", "invalid"),
        ({"events": ["outcome.confirm"]}, "events[0]", "invalid_choice"),
        ({"events": ["test.ping"]}, "events[0]", "invalid_choice"),
        ({"description": "x" * 256}, "description", "max_length"),
        ({"enabled": True}, "enabled", "unknown_field"),
        ({"secret": "whsec_x"}, "secret", "unknown_field"),
    ],
)
def test_what_is_refused(api: Api, body: dict[str, Any], path: str, code: str) -> None:
    answer = api.post("/v1/webhook_endpoints", {"url": URL, "events": ["*"]} | body)
    error = check_envelope(answer, 422, "refused_url" if code == "refused_url" else "invalid")
    assert [(detail["path"], detail["code"]) for detail in error["details"]] == [(path, code)]
    assert not Endpoint.objects.exists()
    made = create(api)
    if "enabled" not in body:
        answer = api("PATCH", f"/v1/webhook_endpoints/{made['id']}", body)
        check_envelope(answer, 422, "refused_url" if code == "refused_url" else "invalid")


def test_change_disable_enable_delete(api: Api) -> None:
    made = create(api)
    path = f"/v1/webhook_endpoints/{made['id']}"

    def change(**fields: Any) -> dict[str, Any]:
        answer = api("PATCH", path, fields)
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    same = change()
    assert same == get(api, path)
    changed = change(url="https://example.com/x?a=1", events=["invoice.paid"], description="")
    assert (changed["url"], changed["events"], changed["description"]) == (
        "https://example.com/x?a=1",
        ["invoice.paid"],
        "",
    )
    disabled = change(enabled=False)
    assert (disabled["status"], disabled["enabled"], disabled["disabled_reason"]) == ("disabled", False, "by_hand")
    assert change(enabled=False) == disabled
    assert change(enabled=True)["status"] == "enabled"
    tell("inv_1")
    assert api("DELETE", path).status_code == 204
    check_envelope(api.get(path), 404, "not_found")
    check_envelope(api("DELETE", path), 404, "not_found")
    assert not Delivery.objects.exists()


def test_rotation(api: Api, receiver: Receiver) -> None:
    made = create(api, url=receiver.url)
    path = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    rotated = json.loads(api.post(path).content)
    assert rotated["secret"] != made["secret"]
    new, old = rotated["secrets"]
    assert new["ends_at"] is None and old["ends_at"] is not None
    tell("inv_1")
    deliver_due(timezone.now())
    [request] = receiver.requests
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (made["secret"], rotated["secret"]):
        assert Webhook(secret).verify(request.body, request.headers)
    # Without an overlap the others end now.
    alone = json.loads(api.post(path, {"overlap_hours": 0}).content)
    tell("inv_2")
    deliver_due(timezone.now())
    request = receiver.requests[-1]
    assert len(request.headers["webhook-signature"].split()) == 1
    assert Webhook(alone["secret"]).verify(request.body, request.headers)
    for hours in (-1, 169, 1.5, "2"):
        check_envelope(api.post(path, {"overlap_hours": hours}), 422, "invalid")


def test_an_old_secret_signs_until_its_time_and_no_second_rotation_makes_that_later(api: Api) -> None:
    now = timezone.now()
    endpoint = Endpoint.objects.get(url=create(api)["url"])
    endpoints.rotate_secret(endpoint.pk, overlap=timedelta(hours=1), now=now)
    endpoints.rotate_secret(endpoint.pk, overlap=timedelta(hours=24), now=now)
    first, second, third = Secret.objects.order_by("id")
    assert (first.ends_at, second.ends_at, third.ends_at) == (now + timedelta(hours=1), now + timedelta(hours=24), None)
    for _ in range(endpoints.MAX_SECRETS - 3):
        endpoints.rotate_secret(endpoint.pk, overlap=timedelta(hours=1), now=now)
    path = f"/v1/webhook_endpoints/{endpoint.public_id}/rotate_secret"
    check_envelope(api.post(path), 409, "too_many_secrets")
    assert api.post(path, {"overlap_hours": 0}).status_code == 200


def test_a_test_message(api: Api, receiver: Receiver) -> None:
    made = create(api, url=receiver.url)
    path = f"/v1/webhook_endpoints/{made['id']}/test"
    receiver.answers(500, b"not yet")
    answer = json.loads(api.post(path).content)
    assert (answer["type"], answer["status"], answer["about"]) == ("test.ping", "failed", made["id"])
    [attempt] = answer["log"]
    assert (attempt["status_code"], attempt["error"], attempt["answer"]) == (500, "Answered 500.", "not yet")
    receiver.answers(204)
    answer = json.loads(api.post(path, Idempotency_Key="k").content)
    assert answer["status"] == "accepted" and answer["log"][0]["error"] is None
    again = api.post(path, Idempotency_Key="k")
    assert json.loads(again.content) == answer and again["Idempotent-Replayed"] == "true"
    assert len(receiver.requests) == 2
    body = Webhook(made["secret"]).verify(receiver.requests[1].body, receiver.requests[1].headers)
    assert (
        body
        == answer["payload"]
        == {"type": "test.ping", "timestamp": body["timestamp"], "data": {"endpoint": made["id"]}}
    )


def test_deliveries_and_their_log(api: Api, receiver: Receiver) -> None:
    made = create(api, url=receiver.url)
    tell("inv_1", "inv_2", "inv_3")
    receiver.answer = lambda request: (200 if len(receiver.requests) else 503, {}, b"hello")
    deliver_due(timezone.now())
    path = f"/v1/webhook_endpoints/{made['id']}/deliveries"
    listed = get(api, path)["data"]
    assert [one["about"] for one in listed] == ["inv_3", "inv_2", "inv_1"]
    assert sorted(one["status"] for one in listed) == ["accepted", "accepted", "waiting"]
    [waiting] = get(api, f"{path}?status=waiting")["data"]
    assert waiting["next_attempt_at"] and waiting["finished_at"] is None and waiting["endpoint"] == made["id"]
    assert len(get(api, f"{path}?status=accepted&type=invoice.issued")["data"]) == 2
    assert [one["about"] for one in get(api, f"{path}?about=inv_2")["data"]] == ["inv_2"]
    assert get(api, f"{path}?type=outcome.confirmed")["data"] == []
    for query in ("status=lost", "type=invoice", "outcome=x"):
        check_envelope(api.get(f"{path}?{query}"), 400, "invalid_parameter")
    first = get(api, f"{path}?limit=2")
    assert first["has_more"] and len(get(api, f"{path}?limit=2&cursor={first['next_cursor']}")["data"]) == 1
    detail = get(api, f"/v1/webhook_deliveries/{waiting['id']}")
    assert detail["payload"]["data"] == {"id": "inv_1"}
    assert [(one["number"], one["status_code"], one["error"]) for one in detail["log"]] == [(1, 503, "Answered 503.")]
    health = get(api, f"/v1/webhook_endpoints/{made['id']}")
    assert health["waiting"] == 1


def test_resend(api: Api, receiver: Receiver) -> None:
    made = create(api, url=receiver.url)
    tell("inv_1")
    deliver_due(timezone.now())
    [done] = get(api, f"/v1/webhook_endpoints/{made['id']}/deliveries")["data"]
    answer = json.loads(api.post(f"/v1/webhook_deliveries/{done['id']}/resend").content)
    assert answer["status"] == "waiting" and answer["next_attempt_at"] is not None
    deliver_due(timezone.now())
    assert [request.id for request in receiver.requests] == [done["id"]] * 2
    receiver.answers(500)
    tell("inv_2")
    deliver_due(timezone.now())
    since = {"since": made["created_at"]}
    assert json.loads(api.post(f"/v1/webhook_endpoints/{made['id']}/resend", since).content) == {"queued": 1}
    check_envelope(api.post(f"/v1/webhook_endpoints/{made['id']}/resend"), 422, "invalid")
    check_envelope(api.post(f"/v1/webhook_deliveries/{done['id'][:-4]}zzzz/resend"), 404, "not_found")


def test_what_is_not_there(api: Api) -> None:
    nobody = "whe_01jb3z9k7qe8tv6d0n4r2m5xwa"
    for method, path, body in (
        ("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/rotate_secret", None),
        ("POST", "/test", None), ("GET", "/deliveries", None), ("POST", "/resend", {"since": "2026-01-01T00:00:00Z"}),
    ):  # fmt: skip
        for name in (nobody, "out_01jb3z9k7qe8tv6d0n4r2m5xwa", "x"):
            check_envelope(api(method, f"/v1/webhook_endpoints/{name}{path}", body), 404, "not_found")
    check_envelope(api.get("/v1/webhook_deliveries/msg_01jb3z9k7qe8tv6d0n4r2m5xwa"), 404, "not_found")


def test_scopes(make_key: Callable[..., str], api: Api) -> None:
    made = create(api)
    path = f"/v1/webhook_endpoints/{made['id']}"
    reader, sender = Api(make_key("read")), Api(make_key("events:write"))
    assert reader.get(path).status_code == reader.get(f"{path}/deliveries").status_code == 200
    changes = [("POST", f"{path}/{action}") for action in ("rotate_secret", "test", "resend")]
    for method, address in [("POST", "/v1/webhook_endpoints"), ("PATCH", path), ("DELETE", path), *changes]:
        check_envelope(reader(method, address, {}), 403, "missing_scope")
        check_envelope(sender(method, address, {}), 403, "missing_scope")
    check_envelope(sender.get(path), 403, "missing_scope")


def test_creating_twice_under_one_key_makes_one(api: Api) -> None:
    body = {"url": URL, "events": ["*"]}
    first = api.post("/v1/webhook_endpoints", body, Idempotency_Key="k1")
    again = api.post("/v1/webhook_endpoints", body, Idempotency_Key="k1")
    assert first.content == again.content and Endpoint.objects.count() == 1


def test_there_is_an_end_to_endpoints(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MAX_ENDPOINTS", 2)
    create(api), create(api)
    check_envelope(api.post("/v1/webhook_endpoints", {"url": URL, "events": ["*"]}), 409, "too_many_endpoints")


def test_every_name_can_be_subscribed_to(api: Api) -> None:
    assert create(api, events=list(TYPES))["events"] == list(TYPES)


def test_the_openapi_document_names_them(api: Api) -> None:
    paths = get(api, "/v1/openapi.json")["paths"]
    found = {path: set(methods) for path, methods in paths.items() if path.startswith("/v1/webhook")}
    assert found["/v1/webhook_endpoints/{id}"] == {"get", "patch", "delete"}
    assert len(found) == 8
