"""What the pages say: figures, words of four languages, and nothing that data could do to them."""

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from access import ids
from contracts.clocks import create_clock
from contracts.models import Customer, TaxRate
from invoicing.models import Invoice
from invoicing.queries import REASONS
from outcomes.models import State
from portal.messages import PORTAL
from portal.pages import SHOWN
from settlement.holds import Target, place
from settlement.models import Dispute
from tests.database import thawed
from tests.portal.conftest import text_of
from tests.portal.shop import EVIL, Shop, outcome_of

PORTAL_DIR = Path(settings.BASE_DIR) / "portal"
LOCALES = {"en": "en", "de-CH": "de", "fr": "fr", "ja": "ja", "pt-BR": "en"}


def pages_of(shop: Shop, customer: str = "acme") -> list[str]:
    own = shop.ids[customer]
    return [
        "/portal/",
        "/portal/invoices/",
        f"/portal/invoices/{own['invoice']}/",
        f"/portal/credit_notes/{own['credit_note']}/",
        f"/portal/lines/{own['line']}/",
        *(f"/portal/outcomes/?show={one}" for one in SHOWN),
        f"/portal/outcomes/{own['outcome']}/",
        *(f"/portal/outcomes/{ids.encode('out', outcome_of(f'{customer}-{n}').pk)}/" for n in (200, 300, 320)),
    ]


# --- Overview ---------------------------------------------------------------------------------------------------------


def test_the_running_period(shop: Shop, acme: Client) -> None:
    """3 at 2.00 of today, 1 at 3.50 that settles in two hours, and the one with the strange name, at 2.00."""
    period = acme.get("/portal/").context["period"]
    assert period["confirmed_total"] + period["provisional_total"] == period["expected_total"]
    settling = [(row["countdown"], row["count"]) for row in period["settling"]]
    assert sum(count for _, count in settling) == 5
    assert settling[0] == ("in 2 hours", 1)
    assert {count for _, count in settling[1:]} <= {1, 2, 3, 4} and settling[-1][0] in ("in 3 days", "in 2 days")


def test_what_is_owed_and_what_is_credited(shop: Shop, acme: Client) -> None:
    page = acme.get("/portal/")
    assert [tuple(one) for one in page.context["owed"]] == [(3000 - 150, "EUR")]
    assert [tuple(one) for one in page.context["credit"]] == [(50, "EUR")]
    assert "€28.50" in page.content.decode() and "€0.50" in page.content.decode()


@pytest.mark.parametrize(
    ("status", "days", "shown", "owed"),
    [("issued", 0, "Open", 2850), ("issued", 70, "Overdue", 2850), ("uncollectible", 70, "Overdue", 2850),
     ("paid", 70, "Paid", 0), ("void", 70, "Void", 0)],
)  # fmt: skip
def test_the_status_of_an_invoice(shop: Shop, status: str, days: int, shown: str, owed: int) -> None:
    instant = {"paid": "paid_at", "void": "voided_at", "uncollectible": "uncollectible_at"}.get(status)
    found = Invoice.objects.filter(customer__key="acme")
    with thawed():
        found.update(status=status, **({instant: shop.now} if instant else {}))
    with freeze_time(shop.now + timedelta(days=days)):
        client = Client()
        client.get(shop.url("acme")) if days < 30 else _enter_later(client)
        page = client.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/")
        assert f">{shown}</span>" in page.content.decode()
        assert sum(one.minor for one in client.get("/portal/").context["owed"]) == owed


def _enter_later(client: Client) -> None:
    from django.utils import timezone

    from portal import links

    client.get(links.url_of(links.create("acme", by="the tests", now=timezone.now())[1]))


def test_what_is_kept_off(shop: Shop, acme: Client) -> None:
    place(Target(outcome=outcome_of("acme-300").pk), reason="secret thoughts", by="maria", now=shop.now)
    acme.post(f"/portal/outcomes/{ids.encode('out', outcome_of('acme-301').pk)}/dispute", {"reason": "No."})
    page = acme.get("/portal/")
    assert {row["why"]: row["count"] for row in page.context["period"]["kept_off"]} == {
        f"Held back by {settings.SELLER['name']}": 1,
        "Disputed, not decided yet": 1,
    }
    assert "secret thoughts" not in page.content.decode()
    for path in pages_of(shop):
        assert "secret thoughts" not in acme.get(path).content.decode()


def test_what_was_undone_is_the_argument(shop: Shop, acme: Client) -> None:
    page = acme.get("/portal/")
    undone = page.context["period"]["undone"]
    assert undone == (1 if (shop.now - timedelta(hours=3)).month == shop.now.month else 0)
    if undone:
        assert "1 outcome was undone inside its settlement window" in page.content.decode()


def test_before_tax_is_said_where_there_is_tax(shop: Shop, acme: Client) -> None:
    rate = TaxRate.objects.create(key="de", name="VAT", percent=19, created_at=shop.now)
    assert "before tax" not in acme.get("/portal/").content.decode()
    Customer.objects.get(key="acme").tax_rates.add(rate)
    assert "Expected total, before tax" in acme.get("/portal/").content.decode()


def test_without_a_contract(shop: Shop, acme: Client) -> None:
    link = acme.get("/portal/").context["scope"].link
    row = Customer.objects.create(
        key="fresh", name="", currency="EUR", partition=link.customer.partition, created_at=shop.now
    )
    link.customer = row
    link.save()
    page = acme.get("/portal/")
    assert page.status_code == 200 and "No contract is running" in page.content.decode()
    assert "There are no invoices yet." in acme.get("/portal/invoices/").content.decode()


def test_a_test_customer_lives_by_its_clock(shop: Shop, acme: Client) -> None:
    link = acme.get("/portal/").context["scope"].link
    clock = create_clock(now=shop.now - timedelta(days=365), wall=shop.now)
    row = Customer.objects.create(
        key="clocked", name="Clocked", currency="EUR", partition=1, test_clock=clock, created_at=shop.now
    )
    link.customer = row
    link.save()
    page = acme.get("/portal/")
    assert page.context["scope"].now == clock.now
    assert str(clock.now.year) in page.content.decode() and "This is a test account" in page.content.decode()


# --- Documents --------------------------------------------------------------------------------------------------------


def test_an_invoice_is_read_as_it_was_sent(shop: Shop, acme: Client) -> None:
    page = text_of(acme.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/"))
    for said in ("4 × Support ticket resolved", "4 × 3.50 = €14.00", "8 × Support ticket resolved", "€30.00",
                 "Credit from CN-acme", "-€1.50", "€28.50", "Acme Robotics"):  # fmt: skip
        assert said in page, said


def test_taxes_are_shown(shop: Shop, acme: Client) -> None:
    tax = {"key": "de", "name": "VAT", "percent": "19", "inclusive": False, "reverse_charge": False, "note": "§ 13b",
           "taxable_minor": 3000, "amount_minor": 570}  # fmt: skip
    with thawed():
        Invoice.objects.filter(customer__key="acme").update(taxes=[tax], tax_minor=570, total_minor=3570)
    page = text_of(acme.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/"))
    assert all(said in page for said in ("Subtotal", "VAT 19%", "€5.70", "€35.70", "§ 13b", "€34.20"))


def test_files_are_downloads(shop: Shop, acme: Client) -> None:
    own = shop.ids["acme"]
    for kind in ("invoice", "credit_note"):
        pdf = acme.get(f"/portal/{kind}s/{own[kind]}/pdf")
        assert pdf["Content-Type"] == "application/pdf" and pdf.content.startswith(b"%PDF")
        assert re.fullmatch(r'attachment; filename="[\w-]+\.pdf"', pdf["Content-Disposition"])
        csv = acme.get(f"/portal/{kind}s/{own[kind]}/csv")
        assert csv["Content-Type"].startswith("text/csv") and csv.content.startswith(b"\xef\xbb\xbfdocument,")
        assert csv["Content-Disposition"].startswith("attachment")


def test_a_page_costs_the_same_whatever_is_on_it(shop: Shop, acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/portal/outcomes/?show=all", f"/portal/lines/{shop.ids['acme']['line']}/", "/portal/invoices/"):
        counts = set()
        for size in (1, 50):
            monkeypatch.setattr("portal.scope.PAGE", size)
            with CaptureQueriesContext(connection) as queries:
                assert acme.get(path).status_code == 200
            counts.add(len(queries))
        assert len(counts) == 1 and max(counts) < 15, path


def test_the_evidence_is_recounted_by_the_program_beside_it(shop: Shop, acme: Client, tmp_path: Path) -> None:
    program = acme.get("/portal/verifier")
    (tmp_path / "verify_evidence.py").write_bytes(program.content)
    pack = acme.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/evidence")
    assert pack["Content-Type"] == "application/x-ndjson" and pack["Cache-Control"] == "no-store"
    (tmp_path / "pack.jsonl").write_bytes(pack.getvalue())
    command = [sys.executable, "verify_evidence.py", "pack.jsonl"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    page = text_of(acme.get(f"/portal/invoices/{shop.ids['acme']['invoice']}/"))
    hash_ = re.search(r"SHA-256: ([0-9a-f]{64})", page)
    assert hash_ is not None and hash_[1] in told.stdout


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", LOCALES)
def test_every_page_in_every_language(shop: Shop, enter: Callable[..., Client], locale: str) -> None:
    Customer.objects.filter(key="acme").update(locale=locale)
    acme = enter("acme")
    language = LOCALES[locale]
    for path in pages_of(shop):
        answer = acme.get(path)
        page = answer.content.decode()
        assert answer.status_code == 200, path
        assert f'<html lang="{language}">' in page
        assert PORTAL.text(locale, "navigation") in page
        assert not re.search(r"\{\w*\}", page), "a place was left open"
    # The sentences that are in English alone say so where the page is not.
    assert ('<blockquote lang="en">' in acme.get(path).content.decode()) == (language != "en")


def test_strangers_are_told_in_the_language_they_ask_for(shop: Shop) -> None:
    for header, language in (("de-AT,en;q=0.5", "de"), ("xx, ja;q=0.9", "ja"), ("", "en"), ("\x00", "en")):
        page = Client().get("/portal/", headers={"accept-language": header}).content.decode()
        assert f'<html lang="{language}">' in page


def test_every_text_is_there_and_used() -> None:
    sources = [*PORTAL_DIR.glob("*.py"), *PORTAL_DIR.glob("templates/portal/*.html")]
    told = {path: path.read_text() for path in sources if path.name != "messages.py"}
    texts = "\n".join(told.values())
    used = set(re.findall(r'\{% say "([\w.]+)"', texts)) | set(re.findall(r"\{% say '([\w.]+)'", texts))
    used |= set(re.findall(r'\bsay\(\s*"([\w.]+)"', texts)) | {"by_late_event", "by_event", "by_you", "by_person"}
    used |= {f"reason.{one}" for one in REASONS} | {"reason.carried"}
    used |= {f"state.{one}" for one in State.values} | {f"step.{one}" for one in State.values} | {"disputed", "all"}
    used |= {f"step.{one}" for one in ("begin", "completed", "restated")}
    used |= {f"step.{one}" for one in Dispute.Status.values}
    used |= {f"error.{one}" for one in ("required", "max_length", "null_characters_not_allowed", "limit")}
    assert used == PORTAL.keys()


# --- Data that would do harm ------------------------------------------------------------------------------------------


def test_data_is_only_ever_text(shop: Shop, acme: Client) -> None:
    outcome = outcome_of(f"acme-{EVIL}")
    paths = [f"/portal/outcomes/{ids.encode('out', outcome.pk)}/", "/portal/outcomes/?show=all", "/portal/"]
    acme.post(f"{paths[0]}dispute", {"reason": EVIL})
    Customer.objects.filter(key="acme").update(name=EVIL)
    with thawed():
        Invoice.objects.filter(customer__key="acme").update(memo=EVIL)
    escaped = "&lt;script&gt;"
    for path in [*paths, f"/portal/invoices/{shop.ids['acme']['invoice']}/"]:
        page = acme.get(path).content.decode()
        assert escaped in page
        tags = set(re.findall(r"<(/?[a-zA-Z]+)", page))
        assert not tags & {"script", "img", "iframe", "svg", "object"}
        assert not re.search(r"\son\w+=", re.sub(r">[^<]*<", "><", page)), "no attribute acts"
