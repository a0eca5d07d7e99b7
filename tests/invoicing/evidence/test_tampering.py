"""Whatever is changed in a pack is found, and the record named: with the chain broken, or made to fit again."""

import copy
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from invoicing.evidence import verify_evidence as verifier
from invoicing.evidence.api import VERIFIER
from tests.invoicing.deals import at
from tests.invoicing.evidence.packs import Body, chained, counted, packed, records, tampered
from tests.invoicing.evidence.plays import Play

CONDITION = """
outcome resolved_ticket "Support ticket resolved"
per ticket_id
bill when ticket.closed where closed_by is "agent" and no ticket.escalated
void when ticket.reopened
credit within 30 days when ticket.reopened
settle after 72 hours
quantity latest units of ticket.closed
dimension priority = latest priority of ticket.closed
"""
HOUR = timedelta(hours=1)
Found = list[tuple[str, Body]]


@pytest.fixture(scope="module")
def pack(django_db_setup: None, django_db_blocker: Any) -> bytes:
    """An invoice of three outcomes: one of them was reopened in its window and closed again."""
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        play = Play(CONDITION, discount_percent=Decimal(10), minimum=Decimal(1))
        closed = {"closed_by": "agent", "priority": "high"}
        play.tell("ticket.closed", at("2026-01-05T10:00"), ticket_id="T-1", units=2, **closed)
        play.tell("ticket.reopened", at("2026-01-06T10:00"), ticket_id="T-1")
        play.tell("ticket.closed", at("2026-01-07T10:00"), ticket_id="T-1", units=2, **closed)
        play.tell("ticket.closed", at("2026-01-08T10:00"), ticket_id="T-2", units=3, **closed)
        play.tell("ticket.closed", at("2026-01-09T10:00"), ticket_id="T-3", units=1, closed_by="agent", priority="low")
        play.month(at("2026-02-01"))
        [invoice] = play.invoices()
        found = packed(invoice)
        transaction.set_rollback(True)
    counted(found)
    return found


# --- the chain --------------------------------------------------------------------------------------------------------


def test_any_byte_changed_is_found_in_its_record(pack: bytes) -> None:
    lines = pack.splitlines(keepends=True)
    before = verifier.START
    tried = 0
    for n, line in enumerate(lines):
        following = lines[n + 1] if n + 1 < len(lines) else b""
        for place in range(len(line)):
            for byte in {line[place] ^ 1, line[place] ^ 0x20, ord("\n"), ord("0")} - {line[place]}:
                changed = line[:place] + bytes([byte]) + line[place + 1 :]
                with pytest.raises(verifier.Wrong) as caught:
                    next(verifier.read_records(io.BytesIO(changed + following), before, n))
                assert caught.value.record.n == n + 1
                tried += 1
        before = line[-67:-3].decode()
    assert tried > 3 * len(pack)


def test_a_byte_changed_in_the_whole_pack(pack: bytes) -> None:
    chance = random.Random(7)
    for _ in range(150):
        place = chance.randrange(len(pack))
        byte = chance.choice([one for one in range(256) if one != pack[place]])
        with pytest.raises(verifier.Wrong) as caught:
            counted(pack[:place] + bytes([byte]) + pack[place + 1 :])
        assert caught.value.record.n == pack.count(b"\n", 0, place) + 1


def test_a_record_taken_away_added_or_moved(pack: bytes) -> None:
    lines = pack.splitlines(keepends=True)
    for n in range(len(lines)):
        for changed in (lines[:n] + lines[n + 1 :], lines[: n + 1] + lines[n:]):
            with pytest.raises(verifier.Wrong) as caught:
                counted(b"".join(changed))
            assert caught.value.record.n in (n + 1, n + 2)
    with pytest.raises(verifier.Wrong, match="cut short"):
        counted(b"")


# --- the chain made to fit again --------------------------------------------------------------------------------------


def first(found: Found, kind: str, place: int = 0) -> Body:
    return [body for one, body in found if one == kind][place]


def at_kind(found: Found, kind: str, place: int = 0) -> int:
    return [n for n, (one, _) in enumerate(found) if one == kind][place]


def resent(body: Body) -> None:
    """The hash of an event's content as sent, made to fit."""
    body["sha256"] = verifier._fingerprints(body["type"], body["time"], body["data"])[0]


def event_moved(found: Found) -> None:
    first(found, "event", 3)["time"] = "2026-01-08T11:00:00Z"


def event_moved_and_its_hash(found: Found) -> None:
    event_moved(found)
    resent(first(found, "event", 3))


def quantity_raised(found: Found) -> None:
    first(found, "outcome")["quantity"] = "20"


def quantity_raised_in_the_event(found: Found) -> None:
    first(found, "event", 3)["data"]["units"] = 30
    resent(first(found, "event", 3))


def outcome_doubled(found: Found) -> None:
    place = at_kind(found, "outcome")
    found.insert(place, copy.deepcopy(found[place]))


def outcome_doubled_by_another_name(found: Found) -> None:
    outcome_doubled(found)
    first(found, "outcome", 1)["id"] = "out_01jb3z9k7qe8tv6d0n4r2m5xwa"


def subject_doubled(found: Found) -> None:
    start, end = at_kind(found, "subject"), at_kind(found, "subject", 1)
    found[start:start] = copy.deepcopy(found[start:end])


def subject_doubled_by_another_name(found: Found) -> None:
    """The same events told once more as if of another ticket, in the place where it belongs."""
    start, end = at_kind(found, "subject", 1), at_kind(found, "subject", 2)
    copied = copy.deepcopy(found[start:end])
    for kind, body in copied:
        if kind == "subject":
            body["key"] = "T-2a"
        elif kind == "event":
            body["data"]["ticket_id"] = "T-2a"
            resent(body)
        else:
            body["id"] = "out_01jb3z9k7qe8tv6d0n4r2m5xwa"
    found[end:end] = copied


def subject_invented(found: Found) -> None:
    """The same, and with events of other names."""
    subject_doubled_by_another_name(found)
    start = at_kind(found, "subject", 2)
    for kind, body in found[start : at_kind(found, "subject", 3)]:
        if kind == "event":
            body |= {"id": f"{body['id']}a", "seq": body["seq"] + 50}
        elif kind == "outcome":
            body["met_by"] += 50
            for entry in body["journal"]:
                entry["event"] = entry["event"] and entry["event"] + 50


def reopening_removed(found: Found) -> None:
    del found[at_kind(found, "event", 1)]


def escalation_invented(found: Found) -> None:
    body = copy.deepcopy(first(found, "event", 3))
    body |= {"type": "ticket.escalated", "time": "2026-01-08T11:00:00Z", "seq": body["seq"] + 1}
    resent(body)
    found.insert(at_kind(found, "event", 3) + 1, ("event", body))


def price_changed(found: Found) -> None:
    first(found, "version")["overrides"][0]["unit_price"] = "1.99"


def price_changed_on_the_line_too(found: Found) -> None:
    price_changed(found)
    for kind, body in found:
        if kind == "line" and body["kind"] == "usage":
            body["unit_price"] = "1.99"


def discount_taken_away(found: Found) -> None:
    first(found, "version")["discount_percent"] = None


def minimum_raised(found: Found) -> None:
    first(found, "version")["minimum"] = "100"


def amount_raised(found: Found) -> None:
    first(found, "line")["amount_minor"] += 1


def line_left_out(found: Found) -> None:
    del found[at_kind(found, "line", 2)]


def line_with_other_values(found: Found) -> None:
    first(found, "outcome")["dimensions"]["priority"] = "low"


def condition_changed(found: Found) -> None:
    first(found, "condition")["canonical"] = first(found, "condition")["canonical"].replace("72 hours", "24 hours")


def condition_changed_and_its_program(found: Found) -> None:
    condition_changed(found)
    first(found, "condition")["program"]["settle"]["window"] = "24 hours"


def window_invented(found: Found) -> None:
    span = {"start": "2026-01-01T00:00:00Z", "end": None, "seconds": 3600}
    first(found, "rules")["windows"].append(span)


def total_raised(found: Found) -> None:
    first(found, "invoice")["total_minor"] += 100


def total_raised_in_the_content_too(found: Found) -> None:
    total_raised(found)
    first(found, "invoice")["content"]["total_minor"] += 100


def tax_invented(found: Found) -> None:
    body = first(found, "invoice")
    tax = {"key": "v", "name": "VAT", "percent": "19", "inclusive": False, "reverse_charge": False, "note": ""}
    body["taxes"].append({**tax, "taxable_minor": body["subtotal_minor"], "amount_minor": 99})
    body["tax_minor"] = 99


def title_changed(found: Found) -> None:
    first(found, "line")["title"] = "Tickets, and more"


def hash_of_another_content(found: Found) -> None:
    first(found, "pack")["content_hash"] = "0" * 64


def outcome_left_out(found: Found) -> None:
    start = at_kind(found, "subject", 2)
    del found[start : at_kind(found, "invoice")]


def journal_shortened(found: Found) -> None:
    del first(found, "outcome")["journal"][1]


def shown_twice(found: Found) -> None:
    place = at_kind(found, "outcome", 1)
    found.insert(place, copy.deepcopy(found[place]))


def shown_and_billed(found: Found) -> None:
    first(found, "outcome", 1)["billed"] = first(found, "outcome")["billed"]


def shown_although_it_stands(found: Found) -> None:
    """The outcome that was charged, as if it had been taken back as well."""
    body = copy.deepcopy(first(found, "outcome"))
    body |= {"billed": [], "shown_on": first(found, "outcome", 1)["shown_on"], "state": "void"}
    body["journal"][-1]["to"] = "void"
    body["ended_at"] = body["settled_at"]
    found.insert(at_kind(found, "outcome", 1), ("outcome", body))


def shown_at_another_time(found: Found) -> None:
    first(found, "outcome", 1)["ended_at"] = "2026-01-06T11:00:00Z"


def shown_of_another_period(found: Found) -> None:
    first(found, "outcome", 1)["ended_at"] = "2026-02-06T11:00:00Z"


def more_shown(found: Found) -> None:
    next(body for kind, body in found if kind == "line" and body["voided_count"])["voided_count"] += 1


def another_customer(found: Found) -> None:
    first(found, "pack")["customer"] = "globex"


def another_document(found: Found) -> None:
    first(found, "pack")["id"] = "inv_01jb3z9k7qe8tv6d0n4r2m5xwa"


def another_day(found: Found) -> None:
    first(found, "pack")["issued_at"] = "2026-02-02T00:00:00Z"


def contract_left_out(found: Found) -> None:
    del found[at_kind(found, "contract")]


def another_contract(found: Found) -> None:
    first(found, "contract")["id"] = "con_01jb3z9k7qe8tv6d0n4r2m5xwa"


def condition_called_otherwise(found: Found) -> None:
    first(found, "condition")["title"] = "Ticket closed"


def sentence_changed(found: Found) -> None:
    first(found, "condition")["sentence"] = "Every ticket is charged."


def event_told_twice(found: Found) -> None:
    """Once more under its own name, an hour later, where it changes nothing that is counted."""
    place = at_kind(found, "event", 4)
    body = copy.deepcopy(found[place][1])
    body |= {"seq": body["seq"] + 5, "time": "2026-01-09T11:00:00Z"}
    resent(body)
    found.insert(place + 1, ("event", body))


def event_of_two_subjects(found: Found) -> None:
    first(found, "event", 4)["id"] = first(found, "event", 3)["id"]


def ended_and_stands(found: Found) -> None:
    first(found, "outcome")["ended_at"] = "2026-01-20T00:00:00Z"


def journal_of_another_event(found: Found) -> None:
    first(found, "outcome")["journal"][1]["event"] += 50


def journal_of_another_time(found: Found) -> None:
    for entry in first(found, "outcome")["journal"]:
        entry["effective_at"] = "2026-01-02T00:00:00Z"


def journal_without_its_end(found: Found) -> None:
    first(found, "outcome")["journal"][-1]["effective_at"] = "2026-01-31T00:00:00Z"


def journal_by_nobody(found: Found) -> None:
    first(found, "outcome")["journal"][0]["cause"] = "magic"


def status_invented(found: Found) -> None:
    first(found, "invoice")["status"] = "settled"


def dates_moved_into_the_next_period(found: Found) -> None:
    first(found, "period")["period_end"] = "2026-01-05T00:00:00Z"
    for kind, body in found:
        if kind == "line":
            body["period_end"] = "2026-01-05T00:00:00Z"


CHANGES: dict[Callable[[Found], Any], tuple[str, str]] = {
    event_moved: ("event", "not what was sent"),
    event_moved_and_its_hash: ("outcome", "met_at"),
    quantity_raised: ("outcome", "quantity"),
    quantity_raised_in_the_event: ("outcome", "quantity"),
    outcome_doubled: ("outcome", "twice"),
    outcome_doubled_by_another_name: ("outcome", "twice"),
    subject_doubled: ("subject", "twice"),
    subject_doubled_by_another_name: ("event", "comes twice: it is in line"),
    subject_invented: ("line", "issued with"),
    reopening_removed: ("outcome", "met by event"),
    escalation_invented: ("outcome", "never confirmed|met by event"),
    price_changed: ("line", "unit price"),
    price_changed_on_the_line_too: ("line", "it comes to"),
    discount_taken_away: ("line", "it comes to"),
    minimum_raised: ("period", "no line says so"),
    amount_raised: ("line", "it comes to"),
    line_left_out: ("period", "no line says so"),
    line_with_other_values: ("outcome", "dimensions"),
    condition_changed: ("condition", "does not say"),
    condition_changed_and_its_program: ("outcome", "settled_at"),
    window_invented: ("outcome", "settled_at"),
    total_raised: ("invoice", "another total_minor"),
    total_raised_in_the_content_too: ("invoice", "frozen"),
    tax_invented: ("invoice", "VAT|another tax"),
    title_changed: ("invoice", "frozen"),
    hash_of_another_content: ("invoice", "frozen"),
    outcome_left_out: ("line", "issued with"),
    journal_shortened: ("outcome", "journal"),
    shown_twice: ("outcome", "shown twice"),
    shown_and_billed: ("outcome", "stands on a line"),
    shown_although_it_stands: ("outcome", "took back none"),
    shown_at_another_time: ("outcome", "it ended at 2026-01-06T10:00:00Z, not at"),
    shown_of_another_period: ("outcome", "period of its line"),
    more_shown: ("line", "it shows 2 taken back inside their window; there are 1"),
    another_customer: ("invoice", "it is for 'acme', not for 'globex'"),
    another_document: ("pack", "two ids"),
    another_day: ("invoice", "not issued when"),
    contract_left_out: ("version", "contract is not in the pack"),
    another_contract: ("invoice", "another contract"),
    condition_called_otherwise: ("condition", "title"),
    sentence_changed: ("line", "sentence"),
    event_told_twice: ("event", "comes twice: it is in line"),
    event_of_two_subjects: ("event", "comes twice: it is in line"),
    ended_and_stands: ("outcome", "says that it ended"),
    journal_of_another_event: ("outcome", "not among its events"),
    journal_of_another_time: ("outcome", "does not say that it was met"),
    journal_without_its_end: ("outcome", "does not say that it was final"),
    journal_by_nobody: ("outcome", "no cause"),
    status_invented: ("invoice", "no status"),
    dates_moved_into_the_next_period: ("outcome", "period of its line"),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_that_keeps_the_chain_is_found_by_counting(pack: bytes, change: Callable[[Found], Any]) -> None:
    kind, why = CHANGES[change]
    wrong = tampered(pack, change)
    assert wrong is not None
    assert wrong.record.kind == kind, str(wrong)
    assert any(part in wrong.why for part in why.split("|")), str(wrong)


def test_packs_of_records_chain_as_they_were(pack: bytes) -> None:
    assert chained(records(pack)) == pack


# --- hostile packs ----------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None, True, -1, 0, 10**30, Decimal("1e400"), "", "x" * 3000, [], {}, [[[[[]]]]], {"a": {"b": None}}, "NaN", "0x10",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1" * 79, "-5", "out_00000000000000000000000000",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += places(each, (*path, key))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_pack_is_refused_in_words(pack: bytes, seed: int) -> None:
    """Any value in the place of any other: accepted where it does not matter, else refused; never anything else."""
    chance = random.Random(seed)
    found = records(pack)
    refused = 0
    for _ in range(120):
        changed = copy.deepcopy(found)
        body = chance.choice(changed)[1]
        *way, last = chance.choice(places(body))
        for step in way:
            body = body[step]
        if chance.random() < 0.2:
            del body[last]
        else:
            body[last] = chance.choice(HOSTILE)
        try:
            counted(chained(changed))
        except verifier.Wrong as wrong:
            assert str(wrong).isprintable()
            refused += 1
    assert refused > 60


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null\n",
        b"[" * 100_000 + b"\n",
        b'{"n":1,"kind":"pack","body":' + b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"n":1,"kind":"pack","body":{"a":NaN}',
        b'{"n":1,"kind":"pack","body":{"a":1e999999999}',
        b'{"n":1,"kind":"pack","body":{"a":' + b"9" * 100_000 + b"}",
        b'{"n":1,"kind":"pack","body":{"a":1,"a":2}',
        b'{"n":1,"kind":"pack","body":{"a":"\xff"}',
        b'{"n":1,"kind":"pack","body":{}',
        b'{"n":1,"kind":"__class__","body":{}',
        b'{"n":true,"kind":"pack","body":{}',
        b'{"n":1,"kind":7,"body":[]',
        b'{"n":1,"kind":"pack","body":{"a":"' + b"x" * verifier.MOST_BYTES + b'"}',
    ],
    ids=range(15),
)
def test_hostile_lines(line: bytes) -> None:
    import hashlib

    sound = hashlib.sha256(verifier.START.encode() + line).hexdigest()
    for text in (line, line + b',"hash":"%b"}\n' % sound.encode()):
        with pytest.raises(verifier.Wrong) as caught:
            counted(text)
        assert caught.value.record.n == 1


# --- the program ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """The verifier as a buyer runs it: alone, without site packages, environment or the current directory."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), *arguments], capture_output=True, text=True, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


def test_the_program_runs_alone(pack: bytes, tmp_path: Path) -> None:
    import gzip

    good, bad, packed_file = tmp_path / "good.jsonl", tmp_path / "bad.jsonl", tmp_path / "good.jsonl.gz"
    good.write_bytes(pack)
    packed_file.write_bytes(gzip.compress(pack))
    bad.write_bytes(pack.replace(b'"quantity":"3"', b'"quantity":"4"', 1))
    found = records(pack)
    outcome, digest = first(found, "outcome", 2)["id"], first(found, "pack")["content_hash"]
    status, said = run(str(good), "--hash", digest, "--explain", outcome)
    assert status == 0, said
    for expected in (
        "Everything fits. Invoice HF-", "3 outcomes were counted anew from 5 events", digest, "T-2",
        "it was met by this event", "provisional -> confirmed", 'Billed on the line "Support ticket resolved"',
    ):  # fmt: skip
        assert expected in said
    story = "\n".join(counted(pack, explain=first(found, "outcome", 1)["id"]).story)
    assert "taken back inside its window at 2026-01-06T10:00:00Z: not charged" in story and "Shown on the line" in story
    assert run(str(packed_file))[0] == 0
    status, said = run(str(bad))
    line = pack[: pack.index(b'"quantity":"3"')].count(b"\n") + 1
    assert (status, f"NOT ACCEPTED. line {line}, line " in said or f"NOT ACCEPTED. line {line}, " in said) == (1, True)
    status, said = run(str(good), "--hash", "1" * 64)
    assert status == 1
    assert "not the one that was given" in said
    assert run(str(tmp_path / "none.jsonl"))[0] == 2
    assert "--explain" in run("--help")[1]


def test_the_program_is_one_file_for_old_pythons_without_network_or_eval() -> None:
    import ast

    tree = ast.parse(VERIFIER.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    assert not imported & {"socket", "urllib", "http", "subprocess", "pickle", "importlib", "ctypes"}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


def test_it_reads_json_as_it_was_written(pack: bytes) -> None:
    for line in pack.splitlines():
        assert json.loads(line)["kind"] in verifier.RANKS
