"""One shape for every error, from every place one can come from."""

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import Http404, HttpResponse
from django.test import Client, override_settings

from access import error_codes, errors
from tests.access.conftest import Api, check_envelope
from tests.access.test_strictjson import HOSTILE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_urls")]


@pytest.mark.parametrize(("body", "code", "path"), [case for case in HOSTILE if case[0]])
def test_hostile_bodies_over_http(api: Api, body: bytes, code: str, path: str) -> None:
    error = check_envelope(api.post("/v1/raw", body), 400, code)
    assert error["type"] == "invalid_request"
    assert error["details"] == [{"path": path, "message": error["details"][0]["message"], "code": code}]


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 10_000_000])
def test_large_bodies_are_refused(api: Api, size: int) -> None:
    check_envelope(api.post("/v1/raw", b" " * size), 413, "body_too_large")
    check_envelope(api.post("/v1/orders", b"[" * size), 413, "body_too_large")


def test_one_mebibyte_is_taken(api: Api) -> None:
    assert api.post("/v1/raw", b" " * (1024 * 1024 - 1) + b"1").status_code == 200


def test_an_announced_length_is_refused_before_reading(api: Api) -> None:
    class Unreadable:
        def read(self, *args: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    environ = {"CONTENT_LENGTH": str(10**30), "CONTENT_TYPE": "application/json", "wsgi.input": Unreadable()}
    response = api.client.post("/v1/raw", headers={"Authorization": f"Bearer {api.key}"}, **environ)
    check_envelope(response, 413, "body_too_large")


def test_chunked_bodies_are_refused_not_taken_for_empty(api: Api) -> None:
    response = api.client.post(
        "/v1/raw",
        headers={"Authorization": f"Bearer {api.key}", "Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
        CONTENT_TYPE="application/json",
    )
    check_envelope(response, 411, "length_required")


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("text/plain", "unsupported_media_type"),
        ("application/x-www-form-urlencoded", "unsupported_media_type"),
        ("multipart/form-data; boundary=x", "unsupported_media_type"),
        ("application/xml", "unsupported_media_type"),
        ("", "unsupported_media_type"),
        ("nonsense", "unsupported_media_type"),
        ("application/json; charset=utf-16", "unsupported_charset"),
        ("application/json; charset=bz2_codec", "unsupported_charset"),
        ("application/json; charset=latin-1", "unsupported_charset"),
    ],
)
def test_other_media_types(api: Api, content_type: str, code: str) -> None:
    check_envelope(api.post("/v1/raw", b'{"a":1}', Content_Type=content_type), 415, code)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_by_its_names(api: Api, content_type: str) -> None:
    assert api.post("/v1/raw", b'{"a":1}', Content_Type=content_type).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_nothing_is_decompressed(api: Api, encoding: str) -> None:
    check_envelope(api.post("/v1/raw", b"\x1f\x8b", Content_Encoding=encoding), 415, "unsupported_content_encoding")


def test_validation_names_every_place(api: Api) -> None:
    response = api.post("/v1/orders", {"nmae": "x", "prices": [{"unit_price": "1"}, {"unit_price": "1_0"}]})
    error = check_envelope(response, 422, "invalid")
    assert error["type"] == "validation_error"
    assert {detail["path"]: detail["code"] for detail in error["details"]} == {
        "name": "required",
        "nmae": "unknown_field",
        "prices[1].unit_price": "invalid",
    }
    assert error["message"].startswith("3 things are wrong")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_bodies_that_are_no_objects(api: Api, body: bytes) -> None:
    error = check_envelope(api.post("/v1/orders", body), 422, "invalid")
    assert error["details"][0]["path"] == ""


def test_no_body_at_all(api: Api) -> None:
    error = check_envelope(api.post("/v1/orders"), 422, "invalid")
    assert error["details"] == [{"path": "name", "message": "This field is required.", "code": "required"}]


FAILURES = [
    ("django403", 403, "forbidden", "permission_error"),
    ("http404", 404, "not_found", "not_found"),
    ("throttled", 429, "rate_limited", "rate_limited"),
    ("big", 413, "body_too_large", "invalid_request"),
    ("suspicious", 400, "malformed_request", "invalid_request"),
    ("unreadable", 400, "body_unreadable", "invalid_request"),
    ("operational", 503, "database_unavailable", "api_error"),
    ("interface", 503, "database_unavailable", "api_error"),
    ("bug", 500, "internal_error", "api_error"),
]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("kind", "status", "code", "type_"), FAILURES)
def test_exceptions_of_others(api: Api, kind: str, status: int, code: str, type_: str, debug: bool) -> None:
    api.client.raise_request_exception = False
    with override_settings(DEBUG=debug):
        response = api.get(f"/v1/failing?kind={kind}")
    assert check_envelope(response, status, code)["type"] == type_
    assert response.has_header("Retry-After") == (status in (429, 503))


def test_bugs_reach_the_test_that_made_them(api: Api) -> None:
    with pytest.raises(KeyError):
        api.get("/v1/failing?kind=bug")


def test_bugs_are_logged_with_the_request_id(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.client.raise_request_exception = False
    api.get("/v1/failing?kind=bug", X_Request_Id="req-for-the-log")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "access.errors"]
    assert [(line["event"], line["request_id"]) for line in lines] == [("unhandled_exception", "req-for-the-log")]
    assert "KeyError" in lines[0]["exception"]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/things/", "/v1/orders/x/y"])
def test_unknown_paths_are_json(api: Api, method: str, path: str, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        response = api(method, path)
    error = check_envelope(response, 404, "not_found")
    assert ("without a slash" in error["message"]) == path.endswith("/")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods(make_key: Any, method: str) -> None:
    # Also for a key that may not write: there is nothing to be allowed.
    response = Api(make_key("read"))(method, "/v1/things")
    check_envelope(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD"


def test_head_is_get_without_body(api: Api) -> None:
    response = api("HEAD", "/v1/things")
    assert (response.status_code, response.content) == (200, b"")


def test_other_answers_than_json(api: Api) -> None:
    check_envelope(api.get("/v1/things", Accept="text/html"), 406, "not_acceptable")
    assert api.get("/v1/things", Accept="text/html, */*;q=0.1").status_code == 200


@pytest.mark.parametrize(
    "text", ["nothing", "inv_01h455vb4pex5vsknk084sn02q", "key_01h455vb4pex5vsknk084sn02q", "key_%C3%A9"]
)
def test_ids_that_are_not_there(api: Api, text: str) -> None:
    check_envelope(api.get(f"/v1/things/{text}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/things/a%00b", "/v1/things?name=a%00b", "/v1/things?na%00me=1"])
def test_nul_in_addresses(api: Api, path: str) -> None:
    check_envelope(api.get(path), 400, "invalid_character")


@pytest.mark.parametrize(
    "path", ["/v1/things?name=%ff%fe", "/v1/things?name=%ED%A0%80", "/v1/things?name=%F0%9F%98%80"]
)
def test_odd_bytes_in_addresses(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("nmae=x", [("nmae", "unknown_parameter")]),
        ("name=x&name=y", [("name", "repeated")]),
        ("live=yes", [("live", "invalid")]),
        ("least=1.5", [("least", "invalid")]),
        ("least=9223372036854775808", [("least", "max_value")]),
        ("least=99999999999999999999999", [("least", "invalid")]),
        ("nmae=x&live=1", [("nmae", "unknown_parameter"), ("live", "invalid")]),
    ],
)
def test_parameters_have_an_effect_or_are_refused(api: Api, query: str, details: list[tuple[str, str]]) -> None:
    error = check_envelope(api.get(f"/v1/things?{query}"), 400, "invalid_parameter")
    assert [(detail["path"], detail["code"]) for detail in error["details"]] == details


def test_parameters_where_none_are_taken(api: Api) -> None:
    check_envelope(api.post("/v1/orders?preview=true", {"name": "x"}), 400, "invalid_parameter")
    check_envelope(api.get("/v1/things/key_x?limit=3"), 400, "invalid_parameter")


def test_parameters_that_are_right(api: Api) -> None:
    assert api.get("/v1/things?name=x&live=true&least=-3&tag=a&tag=b&limit=3").status_code == 200


def test_other_hosts(api: Api) -> None:
    check_envelope(api.get("/v1/things", Host="evil.example"), 400, "invalid_host")


def test_the_admin_keeps_its_own_pages() -> None:
    response: HttpResponse = Client().get("/admin/nothing/here/", follow=True)
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("identity", ["abc-123", "0af7651916cd43dd8448eb211c80319c", "A:b._9"])
def test_request_ids_are_taken_over(api: Api, identity: str) -> None:
    response = api.get("/v1/nothing", X_Request_Id=identity)
    assert check_envelope(response, 404, "not_found")["request_id"] == identity


@pytest.mark.parametrize("identity", ["", "a b", "x" * 129, "<script>", "a\tb", "é", '"'])
def test_other_request_ids_are_replaced(api: Api, identity: str) -> None:
    response = api.get("/v1/nothing", X_Request_Id=identity)
    assert check_envelope(response, 404, "not_found")["request_id"].startswith("req_")


def test_answers_are_not_cached(api: Api) -> None:
    assert api.get("/v1/things")["Cache-Control"] == "no-store"


def test_no_transaction_is_left_open(api: Api) -> None:
    before = len(connection.savepoint_ids)
    api.post("/v1/things", {"name": "x", "then": "conflict"}, Idempotency_Key="k")
    assert len(connection.savepoint_ids) == before


def test_every_code_that_is_answered_is_explained(api: Api) -> None:
    page = Client().get("/v1/docs/errors")
    for _, status, code, _ in FAILURES:
        assert status, f'id="{code}"'.encode() in page.content
    for _, code, _ in HOSTILE:
        assert code in error_codes.CODES
        assert f'id="{code}"'.encode() in page.content


def test_a_code_has_one_meaning() -> None:
    error_codes.register({"not_found": error_codes.CODES["not_found"]})
    with pytest.raises(ValueError, match="two meanings"):
        error_codes.register({"not_found": "Something else."})


@pytest.mark.parametrize(("path", "json_"), [("/v1/x", True), ("/admin/x", False)])
def test_what_fails_outside_of_views(rf: Any, path: str, json_: bool) -> None:
    request = rf.get(path)
    answers = [
        errors.handler400(request, SuspiciousOperation("internals")),
        errors.handler403(request, PermissionDenied("internals")),
        errors.handler404(request, Http404("internals")),
        errors.handler500(request),
    ]
    assert [answer.status_code for answer in answers] == [400, 403, 404, 500]
    for answer in answers:
        assert (answer["Content-Type"] == "application/json") is json_
        assert b"internals" not in answer.content
