"""Links: made, opened, forged, expired, revoked; the visit that they begin."""

import base64
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time

from access import ids
from contracts.models import Customer
from portal import links, sessions
from portal.checks import check_public_url
from portal.models import PortalLink
from tests.access.conftest import Api, check_envelope
from tests.portal.conftest import text_of
from tests.portal.shop import Shop


def link_of(shop: Shop, customer: str = "acme") -> PortalLink:
    return PortalLink.objects.get(digest=links.digest(shop.tokens[customer]))


# --- The token --------------------------------------------------------------------------------------------------------


def forgeries(token: str) -> list[str]:
    raw = base64.urlsafe_b64decode(token)
    flipped = [
        base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).decode() for at in range(len(raw))
    ]
    others = ["", "x", token[:-1], f"{token}A", f" {token}", token.swapcase(), "A" * 64, "é" * 64, "\x00" * 64]
    return [*flipped, *others]


def test_a_forged_token_costs_no_look_at_the_database(shop: Shop) -> None:
    client, pages = Client(), set()
    for token in forgeries(shop.tokens["acme"]):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get("/portal/enter", {links.PARAMETER: token})
        assert (answer.status_code, len(queries)) == (404, 0)
        assert sessions.COOKIE not in answer.cookies
        pages.add(text_of(answer))
    assert len(pages) == 1


def test_unknown_expired_and_revoked_show_one_page(shop: Shop) -> None:
    gone = Client().get(links.url_of(links._token(shop.now + timedelta(days=1))))  # genuine, and of no link
    with freeze_time(shop.now + timedelta(days=31)), CaptureQueriesContext(connection) as queries:
        expired = Client().get(shop.url("acme"))
    assert len(queries) == 0, "the token itself says when it ends"
    links.revoke(link_of(shop).pk, by="maria", now=shop.now)
    revoked = Client().get(shop.url("acme"))
    assert [gone.status_code, expired.status_code, revoked.status_code] == [404, 410, 410]
    assert text_of(gone) == text_of(expired) == text_of(revoked)
    assert not any(name in text_of(revoked) for name in ("Acme", "acme"))


def test_the_database_keeps_no_token(shop: Shop) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT l::text FROM portal_portallink l")
        dump = "".join(row for (row,) in cursor.fetchall())
    for token in shop.tokens.values():
        raw = base64.urlsafe_b64decode(token)
        assert token not in dump and raw[: links._RANDOM].hex() not in dump


def test_the_access_log_keeps_no_token(shop: Shop) -> None:
    with structlog.testing.capture_logs() as logged:
        Client().get(shop.url("acme"))
    assert [entry["path"] for entry in logged] == ["/portal/enter"]
    assert shop.tokens["acme"] not in str(logged)


# --- The visit --------------------------------------------------------------------------------------------------------


def test_entering_leads_to_a_clean_address(shop: Shop) -> None:
    client = Client()
    answer = client.get(shop.url("acme"))
    assert (answer.status_code, answer["Location"]) == (302, "/portal/")
    assert answer["Referrer-Policy"] == "no-referrer"
    cookie = answer.cookies[sessions.COOKIE]
    assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == ("/portal/", "Lax", 1800)
    assert cookie["httponly"] and not cookie["secure"]
    assert shop.tokens["acme"] not in cookie.value
    with override_settings(ENVIRONMENT="production"):
        assert Client().get(shop.url("acme")).cookies[sessions.COOKIE]["secure"]
    assert Client().post(shop.url("acme")).status_code == 405


def test_every_page_keeps_to_itself(acme: Client, shop: Shop) -> None:
    for path in (
        "/portal/",
        "/portal/nowhere",
        "/portal/invoices/",
        f"/portal/outcomes/{shop.ids['acme']['outcome']}/",
    ):
        answer = acme.get(path)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
        assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "same-origin")
        assert "noindex" in answer["X-Robots-Tag"]
        page = answer.content.decode()
        assert "<script" not in page and "style=" not in page and "http" not in page.replace("http-equiv", "")


def test_a_visit_ends_when_idle_and_after_half_a_day(shop: Shop) -> None:
    with freeze_time(shop.now) as clock:
        client = Client()
        client.get(shop.url("acme"))
        clock.tick(timedelta(minutes=29))
        assert client.get("/portal/").status_code == 200
        clock.tick(timedelta(minutes=29))
        assert client.get("/portal/").status_code == 200, "each request begins the idle time anew"
        kept = client.cookies[sessions.COOKIE].value
        clock.tick(timedelta(minutes=31))
        client.cookies[sessions.COOKIE] = kept
        assert client.get("/portal/").status_code == 410
        client.get(shop.url("acme"))
        for _ in range(24):
            clock.tick(timedelta(minutes=29))
            last = client.get("/portal/nowhere").status_code
        assert last == 404
        for _ in range(5):
            clock.tick(timedelta(minutes=5))
            last = client.get("/portal/nowhere").status_code
        assert last == 410, "whoever is in has to open the link again after half a day"


@pytest.mark.parametrize("path", ["/portal/", "/portal/invoices/", "/portal/outcomes/"])
def test_revoking_ends_the_visit_at_once(shop: Shop, acme: Client, path: str) -> None:
    assert acme.get(path).status_code == 200
    links.revoke(link_of(shop).pk, by="maria", now=shop.now)
    answer = acme.get(path)
    assert answer.status_code == 410
    assert text_of(answer) == text_of(Client().get(path))


def test_leaving_ends_it(acme: Client) -> None:
    assert acme.post("/portal/leave").status_code == 200
    assert acme.get("/portal/").status_code == 404


@pytest.mark.parametrize("value", ["", "x", "a:b:c", "WyJ4Il0:1abc:def"])
def test_a_forged_cookie_is_none(shop: Shop, value: str) -> None:
    client = Client()
    client.cookies[sessions.COOKIE] = value
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/portal/").status_code == 404
    assert len(queries) == 0


def test_use_is_noted_once_a_minute(shop: Shop) -> None:
    with freeze_time(shop.now) as clock:
        client = Client()
        client.get(shop.url("acme"))
        first = link_of(shop).last_used_at
        clock.tick(timedelta(seconds=30))
        client.get("/portal/")
        assert link_of(shop).last_used_at == first
        clock.tick(timedelta(seconds=31))
        client.get("/portal/")
        assert link_of(shop).last_used_at > first


def test_a_form_without_its_token_is_explained(shop: Shop, enter: Any) -> None:
    client = enter("acme", enforce_csrf_checks=True)
    answer = client.post(f"/portal/outcomes/{shop.ids['acme']['outcome']}/dispute", {"reason": "No."})
    assert answer.status_code == 403
    assert "Nothing was sent" in answer.content.decode()
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    elsewhere = client.post("/admin/login/", {})
    assert elsewhere.status_code == 403 and "CSRF" in elsewhere.content.decode()


# --- The API, the command, the admin ----------------------------------------------------------------------------------


def test_the_api_makes_lists_and_revokes(shop: Shop, api: Api) -> None:
    made = api.post("/v1/customers/acme/portal_links", {"expires_in": "2 days"})
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["id"].startswith("pl_") and body["status"] == "active" and body["created_by"] == "API key billing"
    assert body["url"].startswith("http://testserver/portal/enter?key=")
    assert Client().get(body["url"]).status_code == 302
    listed = api.get("/v1/customers/acme/portal_links").json()["data"]
    assert [one["id"] for one in listed] == [body["id"], link_of(shop).public_id]
    assert all("url" not in one and "digest" not in one for one in listed)
    path = f"/v1/customers/acme/portal_links/{body['id']}/revoke"
    revoked = api.post(path).json()
    assert (revoked["status"], revoked["revoked_by"]) == ("revoked", "API key billing")
    assert api.post(path).json()["revoked_at"] == revoked["revoked_at"]
    assert Client().get(body["url"]).status_code == 410
    default = api.post("/v1/customers/acme/portal_links").json()
    assert PortalLink.objects.get(pk=ids.decode("pl", default["id"])).expires_at > shop.now + timedelta(days=29)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("nobody/portal_links", {}, 404, "not_found"),
        ("acme/portal_links", {"expires_in": "1 second"}, 422, "invalid_span"),
        ("acme/portal_links", {"expires_in": "367 days"}, 422, "invalid_span"),
        ("acme/portal_links", {"expires_in": "999999999 weeks"}, 422, "invalid_span"),
        ("acme/portal_links", {"expires_in": "soon"}, 422, "invalid"),
        ("acme/portal_links", {"expires_in": 30}, 422, "invalid"),
        ("acme/portal_links", {"expires": "1 day"}, 422, "invalid"),
        ("acme/portal_links/pl_x/revoke", {}, 404, "not_found"),
        ("acme/portal_links/{foreign}/revoke", {}, 404, "not_found"),
        ("acme/portal_links/{random}/revoke", {}, 404, "not_found"),
        ("acme/portal_links/{own}/revoke", {"why": "x"}, 422, "invalid"),
    ],
)
def test_what_the_api_refuses(shop: Shop, api: Api, path: str, body: Any, status: int, code: str) -> None:
    names = {"own": link_of(shop).public_id, "foreign": link_of(shop, "globex").public_id}
    names["random"] = ids.encode("pl", uuid4())
    before = PortalLink.objects.filter(revoked_at=None).count()
    error = check_envelope(api.post(f"/v1/customers/{path.format(**names)}", body), status, code)
    assert error["message"]
    assert PortalLink.objects.filter(revoked_at=None).count() == before
    assert api.get("/v1/customers/nobody/portal_links").status_code == 404


def test_a_key_with_a_slash(shop: Shop, api: Api) -> None:
    row = Customer.objects.get(key="acme")
    Customer.objects.create(key="eu/acme", name="EU", currency="EUR", partition=row.partition, created_at=shop.now)
    assert api.post("/v1/customers/eu/acme/portal_links").json()["customer"] == "eu/acme"
    assert api.get("/v1/customers/eu/acme/portal_links").json()["data"][0]["customer"] == "eu/acme"
    assert api.get("/v1/customers/eu/acme").json()["key"] == "eu/acme"


def test_reading_makes_no_link(shop: Shop) -> None:
    from access import keys

    _, text = keys.create("reader", ["read"], now=shop.now)
    reader = Api(text)
    assert reader.get("/v1/customers/acme/portal_links").status_code == 200
    assert reader.post("/v1/customers/acme/portal_links").status_code == 403


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ("development", "", []),
        ("development", "http://10.0.0.5:8000", []),
        ("development", "billing.example.com", ["portal.E001"]),
        ("development", "ftp://billing.example.com", ["portal.E001"]),
        ("development", "https://billing.example.com/?a=b", ["portal.E001"]),
        ("production", "", ["portal.W001"]),
        ("production", "http://billing.example.com", ["portal.W001"]),
        ("production", "https://billing.example.com", []),
    ],
)
def test_the_public_address_is_checked(environment: str, url: str, found: list[str]) -> None:
    with override_settings(ENVIRONMENT=environment, PUBLIC_URL=url):
        assert [message.id for message in check_public_url()] == found


@override_settings(PUBLIC_URL="https://billing.example.com")
def test_links_are_absolute(shop: Shop, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    url = api.post("/v1/customers/acme/portal_links").json()["url"]
    assert url.startswith("https://billing.example.com/portal/enter?key=")
    call_command("portal_link", "acme", "--expires-in", "3 days")
    said = capsys.readouterr()
    assert said.out.startswith("https://billing.example.com/portal/enter?key=") and len(said.out.split()) == 1
    assert "Shown this once" in said.err
    assert Client().get(said.out.strip().removeprefix("https://billing.example.com")).status_code == 302


@pytest.mark.parametrize(
    "arguments", [["nobody"], ["acme", "--expires-in", "soon"], ["acme", "--expires-in", "9 years"]]
)
def test_what_the_command_refuses(shop: Shop, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("portal_link", *arguments)


def test_the_admin_shows_a_new_link_once(shop: Shop) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", password="x"))
    make = reverse("admin:portal_portallink_make")
    assert client.get(make).status_code == 200
    assert "There is no customer" in client.post(make, {"customer": "nobody"}).content.decode()
    assert "no duration" in client.post(make, {"customer": "acme", "expires_in": "soon"}).content.decode()
    answer = client.post(make, {"customer": "acme", "expires_in": "3 days"})
    link = PortalLink.objects.first()
    assert link is not None and link.created_by == "boss"
    url = answer.context["url"]
    assert url in answer.content.decode()
    assert Client().get(url).status_code == 302
    key = url.partition("key=")[2]
    for page in ("changelist", "change"):
        path = reverse(f"admin:portal_portallink_{page}", args=[] if page == "changelist" else [link.pk])
        shown = client.get(path)
        assert shown.status_code == 200 and key not in shown.content.decode()
    revoke = reverse("admin:portal_portallink_revoke_this", args=[link.pk])
    assert client.get(revoke).status_code == 200
    assert links.state(PortalLink.objects.get(pk=link.pk), now=shop.now) == "active", "a link alone does nothing"
    assert "this is needed" in client.post(revoke).content.decode()
    assert links.state(PortalLink.objects.get(pk=link.pk), now=shop.now) == "active"
    assert client.post(revoke, {"reason": "sent to the wrong address"}).status_code == 302
    assert Client().get(url).status_code == 410


def test_who_may_only_look_makes_and_revokes_none(shop: Shop) -> None:
    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_portallink"))
    client = Client()
    client.force_login(user)
    count = PortalLink.objects.count()
    assert client.post(reverse("admin:portal_portallink_make"), {"customer": "acme"}).status_code == 403
    path = reverse("admin:portal_portallink_revoke_this", args=[link_of(shop).pk])
    assert client.post(path).status_code == 403
    assert (PortalLink.objects.count(), link_of(shop).revoked_at) == (count, None)
