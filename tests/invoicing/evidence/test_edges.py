"""The ways a pack leaves: over HTTP, by the command; and the page that explains it."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from access import ids
from invoicing import billing, credit_notes
from invoicing.evidence import reads
from invoicing.evidence import verify_evidence as verifier
from invoicing.evidence.api import VERIFIER
from invoicing.models import CreditNote, Invoice
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, at, per_unit
from tests.invoicing.evidence.packs import back, chained, counted, packed, records
from tests.invoicing.evidence.test_tampering import pack, quantity_raised_in_the_event, run

__all__ = ["pack"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "evidence.md"
Api = Any


@pytest.fixture
def issued(world: World) -> Invoice:
    deal = Deal(world, prices={"ticket": per_unit("2")})
    deal.settled("ticket", 3, at("2026-03-10"))
    billing.run(now=at("2026-04-01"))
    back()
    return deal.invoice()


def test_fees_in_advance_on_a_credit_note_beside_the_invoice(world: World) -> None:
    """February is to be given back, and what is due in advance of March goes with it; the rest of March is on an
    invoice. So that names the note, which is a draft, then issued; or one day gone.
    """
    prices = {"ticket": per_unit("10")}
    fees = [{"name": "Platform", "amount": "31", "timing": "advance"}]
    deal = Deal(world, prices=prices, starts_at=at("2026-02-01"), fees=fees, credit_notes="approval")
    billing.run(now=at("2026-02-01"))
    deal.version(at("2026-02-11"), prices=prices, credit_notes="approval")
    half = [{"name": "Platform", "amount": "15.50", "timing": "advance"}]
    deal.version(at("2026-03-26"), prices=prices, fees=half, credit_notes="approval")
    deal.settled("ticket", 5, at("2026-03-10"))
    billing.run(now=at("2026-04-01"))
    back()
    note = CreditNote.objects.get()
    # 3.00 for six days of March, less what eighteen days of February were too much.
    assert (deal.totals(), note.status, note.total_minor) == (["31.00", "65.50"], "draft", 1993 - 300)
    invoice = deal.invoice()
    while_a_draft = "amounts of a period that another document billed while it was a draft"
    assert str(note.id) in invoice.terms[0]["billed_on"]
    assert while_a_draft not in counted(packed(invoice)).recorded

    def then(change: Callable[[], Any]) -> verifier.Recount:
        """The pack as it would be after that."""
        with transaction.atomic():
            change()
            found = counted(packed(deal.invoice()))
            transaction.set_rollback(True)
        return found

    def approved() -> None:
        credit_notes.freeze(note, now=at("2026-04-02"), wall=at("2026-04-02"))
        assert CreditNote.objects.get().number
        counted(packed(note))

    assert while_a_draft not in then(approved).recorded

    def not_owed_any_more() -> None:
        deal.version(at("2026-02-11"), prices=prices, fees=fees, credit_notes="approval")
        billing.run(now=at("2026-04-03"))
        assert not CreditNote.objects.exists()

    assert while_a_draft in then(not_owed_any_more).recorded


def streamed(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_a_pack_over_http(api: Api, issued: Invoice) -> None:
    address = f"/v1/invoices/{ids.encode('inv', issued.id)}/evidence"
    answer = api("GET", address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-ndjson")
    assert answer["Content-Disposition"] == f'attachment; filename="evidence-{issued.number}.jsonl"'
    assert "Content-Encoding" not in answer
    assert "Accept-Encoding" in answer["Vary"]
    found = counted(streamed(answer), printed=issued.content_hash)
    assert found.counts["recounted"] == 3
    for accepted in ("gzip", "br;q=1, GZIP; q=0.5"):
        answer = api("GET", address, HTTP_ACCEPT_ENCODING=accepted)
        assert answer["Content-Encoding"] == "gzip"
        counted(gzip.decompress(streamed(answer)))
    answer = api("GET", address, HTTP_ACCEPT_ENCODING="gzip;q=0.0, identity")
    assert "Content-Encoding" not in answer
    counted(streamed(answer))


def test_what_is_no_evidence(api: Api, issued: Invoice, settings: Any) -> None:
    for address in (
        "invoices/inv_01jb3z9k7qe8tv6d0n4r2m5xwa",
        "credit_notes/cn_01jb3z9k7qe8tv6d0n4r2m5xwa",
        "invoices/x",
    ):
        answer = api("GET", f"/v1/{address}/evidence")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    draft = Invoice.objects.create(
        customer=issued.customer, contract=issued.contract, currency="USD", time_zone="UTC", net_days=30, ordinal=7,
        period_start=at("2026-04-01"), period_end=at("2026-05-01"), created_at=at("2026-05-01"),
        refreshed_at=at("2026-05-01"),
    )  # fmt: skip
    answer = api("GET", f"/v1/invoices/{ids.encode('inv', draft.id)}/evidence")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_issued")


def test_the_verifier_over_http(api: Api) -> None:
    answer = api("GET", "/v1/evidence/verifier")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/x-python; charset=utf-8")
    assert answer.content == VERIFIER.read_bytes()


def test_the_command(issued: Invoice, tmp_path: Path) -> None:
    one, every = tmp_path / "one.jsonl", tmp_path / "all"
    call_command("evidence", issued.number, out=one)
    counted(one.read_bytes(), printed=issued.content_hash)
    call_command("evidence", directory=every)
    assert [path.name for path in every.iterdir()] == [f"evidence-{issued.number}.jsonl"]
    assert verifier.main([str(one), *map(str, every.iterdir())]) == 0
    for wrong in ([], ["HF-999999"]):
        with pytest.raises(CommandError):
            call_command("evidence", *wrong)
    with pytest.raises(CommandError, match="Give the number"):
        call_command("evidence", issued.number, directory=every)


def test_a_pack_is_the_same_however_often_it_is_written(issued: Invoice) -> None:
    assert packed(issued) == packed(issued)
    assert records(packed(issued))[0][1]["created_at"] == "2026-11-01T00:00:00Z"


def test_portions_and_spills_change_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written a subject at a time, and read with next to nothing in memory."""
    monkeypatch.setattr(reads, "PORTION", 1)
    monkeypatch.setattr(verifier, "SPILL", 2)
    free = {"pool": "free"}
    deal = Deal(world, prices={"a": per_unit("2") | free, "b": per_unit("3") | free}, pools={"free": "4"})
    for n in range(4):
        deal.settled("a", 2, at(f"2026-03-1{n}"))
        deal.settled("b", 1, at(f"2026-03-1{n}T01:00"))
    billing.run(now=at("2026-04-01"))
    back()
    found = counted(packed(deal.invoice()))
    assert (found.counts["recounted"], [line.amount for line in found.own]) == (12, [1000, 900])


def test_every_kind_of_record_stands_on_the_page(pack: bytes) -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("| `kind`, in this order") :]
    assert set(
        re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.count("|") > 2))
    ) == {
        *verifier.RANKS,
        "kind",
    }


def test_the_examples_of_the_page(pack: bytes, tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (tmp_path / "pack.jsonl").write_bytes(pack)
    found = records(pack)
    quantity_raised_in_the_event(found)
    (tmp_path / "raised.jsonl").write_bytes(chained(found))
    examples = re.findall(r"```console\n\$ python verify_evidence.py (\S+)\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for name, said in examples:
        wanted = re.escape(said.strip()).replace("…", r"\S+")
        assert re.fullmatch(wanted, run(str(tmp_path / name))[1].strip()), run(str(tmp_path / name))[1]
