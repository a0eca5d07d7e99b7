"""API keys: form, storage, verification, scopes, expiry, revocation, rotation, the cache."""

import random
import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access import keys
from access.models import ApiKey
from access.permissions import SCOPES, granted
from tests.access.conftest import Api, check_envelope

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_urls")]


def test_form() -> None:
    made = {keys.generate(live=True) for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        assert re.fullmatch(r"hf_live_[0-9A-Za-z]{24}_[0-9A-Za-z]{6}", text)
        assert keys.is_well_formed(text)
    assert keys.generate(live=False).startswith("hf_test_")


def test_the_checksum_spares_the_database(django_assert_num_queries: Any) -> None:
    source = random.Random(7)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    real = keys.generate(live=True)
    wrong = ["".join(source.choices(alphabet + "_", k=39)) for _ in range(20_000)]
    wrong += [f"hf_live_{''.join(source.choices(alphabet, k=24))}_000000" for _ in range(20_000)]
    wrong += [real[:-1], real + "0", real.upper(), real.replace("live", "test"), f"{real}\n", "", "hf_live__"]
    for position in range(8, 32):
        wrong.append(real[:position] + ("A" if real[position] != "A" else "B") + real[position + 1 :])
    with django_assert_num_queries(0):
        assert not any(keys.verify(text, now=timezone.now()) for text in wrong)


def test_only_a_keyed_hash_is_stored(settings: Any) -> None:
    key, text = keys.create("acme", ["read"], now=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(access_apikey)::text FROM access_apikey")
        dump = cursor.fetchone()[0]
    secret = text.split("_")[2]
    assert secret not in dump
    assert secret[:5] not in dump
    assert key.display == text[:12]
    settings.API_KEY_PEPPER = "another"
    assert keys.verify(text, now=timezone.now()) is None


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "root"]])
def test_scopes_are_known(scopes: list[str]) -> None:
    with pytest.raises(ValidationError):
        keys.create("x", scopes, now=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(
            id="01890a5d-ac96-774b-bcce-b302099a8057", digest=b"x", scopes=scopes, created_at=timezone.now()
        )


def test_what_scopes_imply() -> None:
    assert granted(["admin"]) == set(SCOPES)
    assert granted(["write"]) == {"write", "read"}
    assert granted(["read"]) == {"read"}
    assert granted(["events:write"]) == {"events:write"}
    assert granted(["events:write", "read"]) == {"events:write", "read"}


MATRIX = [
    ("GET", "/v1/things", None, {"read", "write", "admin"}),
    ("POST", "/v1/things", {"name": "x"}, {"write", "admin"}),
    ("POST", "/v1/hot_things", {"name": "x"}, {"events:write", "admin"}),
    ("DELETE", "/v1/things/key_x", None, {"write", "admin"}),
]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX)
def test_scopes(make_key: Callable[..., str], scope: str, method: str, path: str, body: Any, allowed: set[str]) -> None:
    response = Api(make_key(scope))(method, path, body)
    if scope in allowed:
        assert response.status_code < 300, response.content
    else:
        error = check_envelope(response, 403, "missing_scope")
        assert error["message"].endswith(f"it has: {scope}.")


def anonymous_cases(text: str) -> dict[str, str]:
    return {
        "unknown": f"Bearer {keys.generate(live=True)}",
        "malformed": "Bearer nonsense",
        "checksum": f"Bearer {text[:-1]}!",
        "empty": "Bearer",
        "two": f"Bearer {text} {text}",
        "scheme": f"Basic {text}",
        "bare": text,
        "letters": "Bearer \xe9\xe8",
    }


def test_one_401_for_every_key_that_does_not_count(make_key: Callable[..., str]) -> None:
    good = make_key("admin")
    revoked, _ = keys.create("revoked", ["admin"], now=timezone.now())
    made = timezone.now() - timedelta(days=2)
    _, expired_text = keys.create("expired", ["admin"], now=made, expires_at=made + timedelta(days=1))
    revoked_row, revoked_text = keys.create("revoked", ["admin"], now=timezone.now())
    assert keys.revoke(revoked_row.id, now=timezone.now())
    cases = anonymous_cases(good) | {"expired": f"Bearer {expired_text}", "revoked": f"Bearer {revoked_text}"}
    answers = set()
    for header in cases.values():
        response = Api(None).get("/v1/things", Authorization=header, X_Request_Id="same")
        check_envelope(response, 401, "invalid_api_key")
        answers.add((response.content, response["WWW-Authenticate"]))
    assert len(answers) == 1
    assert Api(good).get("/v1/things").status_code == 200
    assert revoked.state() == "active"


def test_no_key_at_all() -> None:
    response = Api(None).get("/v1/things")
    check_envelope(response, 401, "missing_api_key")
    assert response["WWW-Authenticate"] == 'Bearer realm="holdfast"'


def test_the_scheme_is_not_case_sensitive(make_key: Callable[..., str]) -> None:
    assert Api(None).get("/v1/things", Authorization=f"bEARER {make_key('read')}").status_code == 200


def test_keys_in_the_query_string_do_not_count(make_key: Callable[..., str]) -> None:
    check_envelope(Api(None).get(f"/v1/things?api_key={make_key('read')}"), 401, "missing_api_key")


def test_two_keys_at_once_and_rotation(make_key: Callable[..., str]) -> None:
    old, new = make_key("admin"), make_key("admin")
    assert [Api(key).get("/v1/things").status_code for key in (old, new)] == [200, 200]
    keys.revoke(ApiKey.objects.get(digest=keys.digest(old)).id, now=timezone.now())
    assert [Api(key).get("/v1/things").status_code for key in (old, new)] == [401, 200]


def test_expiry_counts_at_once_also_for_a_cached_key() -> None:
    now = timezone.now()
    _, text = keys.create("x", ["read"], now=now, expires_at=now + timedelta(seconds=1))
    assert keys.verify(text, now=now)
    assert keys.verify(text, now=now + timedelta(seconds=1)) is None


def test_revoking_twice_keeps_the_first_moment() -> None:
    key, _ = keys.create("x", ["read"], now=timezone.now())
    first = timezone.now()
    assert keys.revoke(key.id, now=first)
    assert not keys.revoke(key.id, now=first + timedelta(days=1))
    key.refresh_from_db()
    assert key.revoked_at == first
    assert key.state() == "revoked"


def test_the_hot_path_asks_once_in_a_few_seconds(monkeypatch: pytest.MonkeyPatch, make_key: Any) -> None:
    text = make_key("read")
    clock = [1000.0]
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock[0])
    now = timezone.now()

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert keys.verify(text, now=now) is not None
        return len(captured)

    assert queries() == 2  # read, and last_used_at for the first time
    assert [queries() for _ in range(3)] == [0, 0, 0]
    clock[0] += keys.CACHE_SECONDS + 0.1
    assert queries() == 1


def test_a_revocation_elsewhere_counts_within_seconds(monkeypatch: pytest.MonkeyPatch, make_key: Any) -> None:
    text = make_key("read")
    clock = [1000.0]
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock[0])
    assert keys.verify(text, now=timezone.now())
    ApiKey.objects.update(revoked_at=timezone.now())  # as another process does it
    assert keys.verify(text, now=timezone.now())
    clock[0] += keys.CACHE_SECONDS
    assert keys.verify(text, now=timezone.now()) is None


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, make_key: Any) -> None:
    monkeypatch.setattr(keys, "CACHE_SIZE", 3)
    for _ in range(10):
        assert keys.verify(make_key("read"), now=timezone.now())
        assert len(keys._cache) <= 3
    for _ in range(10):
        keys.verify(keys.generate(live=True), now=timezone.now())
    assert len(keys._cache) <= 3


def test_last_used_is_written_at_most_once_a_minute(make_key: Any) -> None:
    text = make_key("read")
    start = timezone.now()
    written = []
    for seconds in (0, 10, 59, 60, 61, 119, 120):
        keys.clear_cache()
        keys.verify(text, now=start + timedelta(seconds=seconds))
        written.append(ApiKey.objects.get().last_used_at - start)
    assert [moment.seconds for moment in written] == [0, 0, 0, 60, 60, 60, 120]


# --- The command ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_prints_the_key_alone() -> None:
    out, err = run("crm", "--scopes", "admin")
    assert re.fullmatch(r"hf_live_\w+\n", out)
    assert out.strip() not in err
    assert Api(out.strip()).get("/v1/things").status_code == 200


def test_the_command_takes_options() -> None:
    out, _ = run("crm", "--scopes", "read,events:write", "write", "--test", "--expires-days", "30")
    assert out.startswith("hf_test_")
    key = ApiKey.objects.get()
    assert (key.scopes, key.live) == (["events:write", "read", "write"], False)
    assert key.expires_at == key.created_at + timedelta(days=30)


@pytest.mark.parametrize(
    "arguments",
    [
        ["x", "--scopes", "root"],
        ["x", "--scopes", ","],
        ["x"],
        ["x", "--scopes", "read", "--expires-days", "0"],
        ["", "--scopes", "read"],
        ["x" * 101, "--scopes", "read"],
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert not ApiKey.objects.exists()
