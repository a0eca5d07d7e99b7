"""`manage.py import_events`: mapping, what is refused and where it is told, resuming, and the real log's totals."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone
from freezegun import freeze_time

from outcomes import imports, inbox
from outcomes.evaluation import evaluate_waiting
from outcomes.importing import run
from outcomes.importing.mapping import MappingError, read_plan
from outcomes.importing.report import Report
from outcomes.models import Event, EventIdentity, Import, ImportFile, InboxItem, Outcome, Pending
from outcomes.queries import find_import
from outcomes.store import read_event
from settlement.sweep import settle_due
from settlement.watermark import paused_customers
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_inbox import public
from tests.outcomes.test_races import at_once
from tests.project.running import ROOT, wait_until

NOW = START + timedelta(days=60)
HELPDESK = ROOT / "samples" / "helpdesk"
TOTALS = yaml.safe_load((ROOT / "billing_project/demo/totals.yaml").read_text())
SIMPLE = ("id=ref", "customer=account", 'type="ticket.closed"', "time=closed_at", "data.priority=prio")
CSV = """ref,account,closed_at,prio
T-1,acme,2020-01-01T10:00:00Z,high
T-2,acme,2020-01-02T10:00:00+01:00,
"""


@pytest.fixture
def world(db: None) -> Iterator[None]:
    factories.customer()
    with freeze_time(NOW):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(content: str | bytes, name: str = "tickets.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def load(path: Path, *maps: str, **options: Any) -> tuple[int, str]:
    """Exit status and what was printed. A usage error is raised."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("import_events", str(path), map=list(maps), stdout=out, **options)
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.getvalue()


def usage(path: Path, *maps: str, **options: Any) -> str:
    """What is said of a command line that cannot be carried out; nothing is written."""
    with pytest.raises(CommandError) as error:
        call_command("import_events", str(path), map=list(maps), stdout=io.StringIO(), **options)
    assert error.value.returncode == 2
    return str(error.value)


def stored() -> dict[str, dict[str, Any]]:
    """Every accepted event by its id, its data exact."""
    events = Event.objects.select_related("customer").order_by("seq")
    return {
        event.event_id: {
            "type": event.type,
            "customer": event.customer.key,
            "time": event.time,
            "data": read_event(event.seq).data,
        }
        for event in events
    }


def listed(path: Path) -> list[list[str]]:
    with path.open(newline="") as handle:
        return list(csv.reader(handle))


def mapping(file: Callable[..., Path], text: str) -> str:
    return str(file(text, "mapping.yaml"))


# --- The simple cases -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_columns_constants_and_templates_on_the_command_line(file: Callable[..., Path]) -> None:
    status, said = load(file(CSV), *SIMPLE, 'data.note="a=b"', "data.place={prio}/{row}")
    assert status == 0, said
    assert stored() == {
        "T-1": {
            "type": "ticket.closed",
            "customer": "acme",
            "time": datetime(2020, 1, 1, 10, tzinfo=UTC),
            "data": {"priority": "high", "note": "a=b", "place": "high/1"},
        },
        # An empty cell: the fields that need it are left out.
        "T-2": {
            "type": "ticket.closed",
            "customer": "acme",
            "time": datetime(2020, 1, 2, 9, tzinfo=UTC),
            "data": {"note": "a=b"},
        },
    }
    found = find_import(Import.objects.get().id)
    assert (found.name, found.accepted, found.duplicates, found.rejected) == ("tickets.csv", 2, 0, 0)
    assert found.closed_at == NOW
    assert "closed: settlement of its 1 customers goes on" in said
    assert not file(CSV).with_name("tickets.csv.not-taken.csv").exists()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("packed", [False, True])
def test_lines_that_are_events_need_no_mapping(file: Callable[..., Path], packed: bool) -> None:
    lines = b'\xef\xbb\xbf{"id":"a","type":"t","customer":"acme","time":"2020-01-01T00:00:00Z","data":{"n":0.10}}\r\n\n'
    lines += b'{"id":"b","type":"t","customer":"acme","time":"2020-01-01T00:00:00Z"}'
    # By content, whatever the name.
    path = file(gzip.compress(lines) if packed else lines, "events.txt")
    assert load(path)[0] == 0
    assert [(name, event["data"]) for name, event in stored().items()] == [("a", {"n": Decimal("0.1")}), ("b", {})]


@pytest.mark.usefixtures("world")
def test_json_lines_are_mapped_by_members_and_paths(file: Callable[..., Path]) -> None:
    lines = '{"n": 7, "who": {"key": "acme"}, "at": 1577872800, "tags": ["x", 1.50], "a.b": true, "none": null}\n'
    maps = ("id={n}-{row}", "customer=who.key", 'type="t"', "data.n=n", "data.tags=tags", "data.x.y=a.b", "data.z=none")
    path = file(lines + '{"n": 8}\n[]\n', "x.jsonl")
    assert load(path, *maps, mapping(file, "map: {time: {column: at, format: unix}}"))[0] == 1
    [(name, event)] = stored().items()
    assert (name, event["time"]) == ("7-1", datetime(2020, 1, 1, 10, tzinfo=UTC))
    assert event["data"] == {"n": 7, "tags": ["x", Decimal("1.5")], "x": {"y": True}}
    assert [row[:2] for row in listed(path.with_name("x.jsonl.not-taken.csv"))[1:]] == [["2", "2"], ["3", "3"]]
    assert InboxItem.objects.get(event_id="8-2").body == '{"n": 8}'


@pytest.mark.django_db
def test_what_is_probably_a_slip_is_noted(file: Callable[..., Path]) -> None:
    path = file('{"ref": "a", "who": "acme", "prio": 1}\n[]\n', "x.jsonl")
    maps = ("id=ref", "customer=who", 'type="t"', "data.p=prios", "data.q=elsewhere")
    _, said = load(path, *maps, dry_run=True)
    assert "Note: `time` is not mapped" in said
    assert "--map data.p=prios: none of the first 2 lines has `prios`. Did you mean `prio`?" in said
    assert "--map data.q=elsewhere: none of the first 2 lines has `elsewhere`.\n" in said


# --- The mapping file -------------------------------------------------------------------------------------------------

FULL = """
format: csv
delimiter: ";"
encoding: cp1252
missing: ["?", ""]
map:
  id: "row-{row}"
  customer: {column: Kunde}
  type: {column: state, values: {New: ticket.new, Done: ticket.closed}, else: ticket.other}
  time: {column: when, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin, ambiguous: later}
  data.amount: {column: adr, as: number, decimal: ","}
  data.ok: {column: ok, as: boolean}
  data.name: Name
  data.seen: {column: seen, as: time, zone: America/New_York}
  data.size: {column: size, values: {S: 1, L: 2.50, XL: null}}
  data.flag: {constant: true}
"""
ROWS = """Kunde;state;when;adr;ok;Name;seen;size
acme;New;29.2.2016 01:16;1.234,50;yes;Müller;2020-07-01 12:00;S
acme;Done;29.2.2016 01:16;-0,10;no;?;2020-07-01T12:00:00Z;L

acme;Lost;30.10.2016 02:30;1e3;1;"a;\nb";?;XL
acme;Done;27.3.2016 02:30;1;1;x;?;S
acme;Done;30.2.2016 02:30;1;1;x;?;S
acme;Done;1.3.2016 02:30;1;maybe;x;?;S
?;Done;1.3.2016 02:30;1;1;x;?;S
acme;Done;1.3.2016 02:30;1;1;x;?;M
acme;Done;1.3.2016 02:30
acme;Done;1.3.2016 02:30;;;x;?;
"""


@pytest.mark.usefixtures("world")
def test_everything_a_mapping_file_says(file: Callable[..., Path]) -> None:
    path = file(ROWS.encode("cp1252"))
    status, said = load(path, mapping(file, FULL))
    assert status == 1, said
    # The number with a sign between thousands is refused, not guessed.
    events = stored()
    assert set(events) == {"row-2", "row-3", "row-10"}
    assert events["row-2"] == {
        "type": "ticket.closed",
        "customer": "acme",
        "time": datetime(2016, 2, 29, 0, 16, tzinfo=UTC),
        "data": {
            "amount": Decimal("-0.1"), "ok": False, "seen": "2020-07-01T12:00:00Z", "size": Decimal("2.5"),
            "flag": True,
        },
    }  # fmt: skip
    # The second 02:30 of that night; `XL: null` and `?` leave their fields out.
    assert events["row-3"]["time"] == datetime(2016, 10, 30, 1, 30, tzinfo=UTC)
    assert events["row-3"]["type"] == "ticket.other"
    assert events["row-3"]["data"] == {"amount": 1000, "ok": True, "name": "a;\nb", "flag": True}
    assert events["row-10"]["data"] == {"name": "x", "flag": True}
    refused = {
        int(row[0]): (int(row[1]), row[2], row[3], row[5], row[6]) for row in listed(Path(f"{path}.not-taken.csv"))[1:]
    }
    assert refused.keys() == {1, 4, 5, 6, 7, 8, 9}
    says = {
        1: "`data.amount`: column `adr` has `1.234,50`, which is no number, such as 12,50",
        4: "is a time that no clock in Europe/Berlin showed",
        5: "`time`: column `when` has `30.2.2016 02:30`, which is no time of the form %d.%m.%Y %H:%M",
        6: "`data.ok`: column `ok` has `maybe`, which is neither true nor false",
        7: "`customer`: the row has no value for it (column `Kunde`)",
        8: "`data.size`: column `size` has `M`, which `values` do not name",
        9: "The row has 3 cells, the first line names 8 columns",
    }
    for number, text in says.items():
        line, event_id, customer, code, message = refused[number]
        assert text in message
        assert (event_id, code) == (f"row-{number}", "invalid")
        assert customer == ("" if number == 7 else "acme")
        assert ROWS.split("\n")[line - 1].startswith(("acme", "?"))
    item = InboxItem.objects.get(event_id="row-4")
    assert json.loads(item.body)["columns"]["when"] == "27.3.2016 02:30"
    assert (json.loads(item.body)["row"], json.loads(item.body)["line"]) == (4, 7)
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter(rejected=7)
    item.refresh_from_db()
    assert "no clock in Europe/Berlin" in item.message


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("rule", "hour"), [("earlier", 0), ("later", 1), ("refuse", None), (None, None)])
def test_a_time_that_was_shown_twice(file: Callable[..., Path], rule: str | None, hour: int | None) -> None:
    said = "" if rule is None else f", ambiguous: {rule}"
    text = f'map: {{time: {{column: closed_at, format: "%Y-%m-%d %H:%M", zone: Europe/Berlin{said}}}}}'
    path = file("ref,account,closed_at,prio\na,acme,2016-10-30 02:30,\nb,acme,2016-10-30 03:30,\n")
    status, _ = load(path, *SIMPLE, mapping(file, text))
    if hour is None:
        assert status == 1
        assert "ambiguous: earlier" in InboxItem.objects.get().message
    else:
        assert stored()["a"]["time"] == datetime(2016, 10, 30, hour, 30, tzinfo=UTC)
    assert stored()["b"]["time"] == datetime(2016, 10, 30, 2, 30, tzinfo=UTC)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0.1", Decimal("0.1")), (" 12 ", 12), ("+5", 5), ("007", 7), (".5", Decimal("0.5")),
        ("1e-30", Decimal("1e-30")),
        ("123456789012345678901234567890.123456789", Decimal("123456789012345678901234567890.123456789")),
        ("1e999", None), ("NaN", None), ("1_000", None), ("1,5", None), ("٣", None), ("0x10", None), ("-", None),
    ],
)  # fmt: skip
def test_numbers_are_exact_or_refused(file: Callable[..., Path], cell: str, expected: Any) -> None:
    path = file(f'ref,account,closed_at,prio\nok,acme,2020-01-01T00:00:00Z,1\na,acme,2020-01-01T00:00:00Z,"{cell}"\n')
    load(path, *SIMPLE, mapping(file, "map: {data.priority: {column: prio, as: number}}"))
    found = stored()["a"]["data"]["priority"] if expected is not None else None
    assert found == expected
    assert InboxItem.objects.count() == (expected is None)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(file: Callable[..., Path], encoding: str) -> None:
    path = file("ref,account,closed_at,prio\na,acme,2020-01-01T00:00:00Z,ü\n".encode(encoding))
    told = [] if encoding.startswith("utf-8") else [mapping(file, f"encoding: {encoding}\nmap: {{}}")]
    assert load(path, *SIMPLE, *told)[0] == 0
    assert stored()["a"]["data"] == {"priority": "ü"}


@pytest.mark.usefixtures("world")
def test_bytes_that_are_no_text_cost_their_row_alone(file: Callable[..., Path]) -> None:
    path = file(CSV.encode().replace(b"high", b"h\xffgh") + b'T-3,acme,2020-01-01T00:00:00Z,"x\0y"\n')
    assert load(path, *SIMPLE)[0] == 1
    assert set(stored()) == {"T-2"}
    messages = dict(InboxItem.objects.values_list("event_id", "message"))
    assert "bytes that are no utf-8 text" in messages["T-1"]
    assert "U+0000" in messages["T-3"]


@pytest.mark.usefixtures("world")
def test_a_quote_that_is_never_closed_and_a_cell_too_large(file: Callable[..., Path]) -> None:
    huge = "x" * 300_000
    path = file(CSV + f'T-3,acme,2020-01-01T00:00:00Z,{huge}\nT-4,acme,2020-01-01T00:00:00Z,ok\nT-5,acme,"2020')
    assert load(path, *SIMPLE)[0] == 1
    assert set(stored()) == {"T-1", "T-2", "T-4"}
    assert InboxItem.objects.count() == 2
    good = b'{"id":"%s","type":"t","customer":"acme","time":"2020-01-01T00:00:00Z"}\n'
    path = file(good % b"a" + b'{"id":"' + b"x" * 600_000 + b'"}\n' + good % b"b", "x")
    assert load(path)[0] == 1
    assert {"a", "b"} <= set(stored())
    assert InboxItem.objects.filter(message__contains="(event_too_large)").count() == 1


@pytest.mark.usefixtures("world")
def test_a_quote_that_is_not_closed_names_the_lines_it_takes_up(file: Callable[..., Path]) -> None:
    row = "T-{0},acme,2020-01-01T00:00:00Z,{1}\n"
    rows = [row.format(1, '"open'), row.format(2, "x"), row.format(3, '"y"'), row.format(4, "z"), row.format(5, '"end')]
    path = file("ref,account,closed_at,prio\n" + "".join(rows))
    assert load(path, *SIMPLE)[0] == 1
    assert set(stored()) == {"T-4"}
    told = [(row[0], row[1], row[6]) for row in listed(Path(f"{path}.not-taken.csv"))[1:]]
    assert [place[:2] for place in told] == [("1", "2"), ("3", "6")]
    assert "It takes up the lines 2 to 4: is a quote not closed?" in told[0][2]
    assert "unexpected end of data" in told[1][2]


@pytest.mark.usefixtures("world")
def test_a_file_that_grows_while_it_is_read_is_told(file: Callable[..., Path], monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "BATCH", 1)
    path = file(CSV)
    accept = run.accept

    def append(*args: Any, **options: Any) -> Any:
        with path.open("a") as handle:
            handle.write("T-9,acme,2020-01-01T00:00:00Z,\n")
        monkeypatch.setattr(run, "accept", accept)
        return accept(*args, **options)

    monkeypatch.setattr(run, "accept", append)
    with pytest.raises(CommandError, match="changed while it was read"):
        call_command("import_events", str(path), map=list(SIMPLE), stdout=io.StringIO())
    assert Import.objects.get().closed_at is None
    assert "the file changed since" in usage(path, *SIMPLE)
    assert load(path, *SIMPLE, restart=True)[0] == 0
    assert set(stored()) == {"T-1", "T-2", "T-9"}


# --- A mapping that is wrong ------------------------------------------------------------------------------------------

WRONG_OPTIONS: list[tuple[tuple[str, ...], str]] = [
    (("idd=ref",), "an event has no field `idd`. Did you mean `id`?"),
    (("priority=prio",), "say `data.priority`"),
    (("data=prio",), "say `data.NAME`"),
    (("data.=prio",), "say `data.NAME`"),
    (("id=",), "expected the name of a column"),
    (("id=reff",), "has no column `reff`. Did you mean `ref`?"),
    (("id={reff}",), "has no column `reff`. Did you mean `ref`?"),
    (("id={row",), "`template`"),
    (("id={}",), "between braces"),
    (("id={row!r}",), "between braces"),
    (('type="a',), "has no column `\"a`"),
    (('type="a\\q"',), "no text in quotes"),
    (("data.a=prio", "data.a.b=prio"), "`data.a.b` lies inside `data.a`"),
    (("nofile.yaml",), "this file cannot be read"),
    (("time=prio",), "None of the first 2 rows becomes an event"),
]  # fmt: skip


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("maps", "said"), WRONG_OPTIONS)
def test_options_that_mean_nothing_are_told_and_nothing_is_written(
    file: Callable[..., Path], maps: tuple[str, ...], said: str
) -> None:
    assert said in usage(file(CSV), *SIMPLE, *maps)
    assert not Import.objects.exists()


WRONG_FILES = [
    ("mapp: {}", "expected the fields of the event under `map:`"),
    ("map: [id]", "expected the fields of the event under `map:`"),
    ("map: {}\ndelimeter: ;", "mapping.yaml:2: `delimeter` means nothing here. Did you mean `delimiter`?"),
    ("map: {}\ndelimiter: ;;", "expected one character"),
    ("map: {}\nencoding: klingon", "there is no encoding klingon"),
    ("map: {}\nencoding: base64", "no encoding of text"),
    ("map: {}\nformat: xml", "expected csv or jsonl"),
    ("map: {}\nmissing: '?'", "expected a list of texts"),
    ("map: {}\ncolumns: []", "expected the names of the columns"),
    ("map:\n  id: {colum: ref}", "mapping.yaml:2: `id`: `colum` means nothing here. Did you mean `column`?"),
    ("map: {id: {column: ref, template: x}}", "say one of column, constant, template"),
    ("map: {id: {values: {a: b}}}", "say one of column, constant, template"),
    ("map: {id: 7}", "expected the name of a column"),
    ("map: {id: {column: ref, as: number}}", "`id` is always a text"),
    ("map: {id: {column: ref, as: uuid}}", "expected one of: text number boolean time"),
    ("map: {id: {column: ref, else: x}}", "`else` belongs to `values`"),
    ("map: {id: {column: ref, values: {a: null}}}", "null cannot leave it out"),
    ("map: {id: {column: ref, values: [a]}}", "`values`: expected a table"),
    ("map: {data.x: {column: ref, values: {a: [1]}}}", "expected texts, numbers, true, false"),
    ("map: {data.x: {column: ref, format: '%Y'}}", "`format` is for `as: time`"),
    ("map: {data.x: {column: ref, decimal: ','}}", "`decimal` is for `as: number`"),
    ("map: {data.x: {column: ref, as: number, decimal: ';'}}", "`decimal`: expected one of: . ,"),
    ("map: {data.x: {column: ref, missing: x}}", "`missing`: expected a list"),
    ("map: {data.x: {constant: [1]}}", "`constant`: expected a text"),
    ("map: {data.x: {constant: x, as: number}}", "which is no number"),
    ("map: {data.x: {constant: x, missing: ['x']}}", "`missing` does nothing to a constant"),
    ("map: {data.x: {template: fixed}}", "it names no column in braces"),
    ("map: {time: {column: closed_at, format: '%d %Q'}}", "no pattern of strptime"),
    ("map: {time: {column: closed_at, format: '%H:%M', zone: UTC}}", "names no full date"),
    ("map: {time: {column: closed_at, format: '%Y-%m-%d'}}", "add `zone`"),
    ("map: {time: {column: closed_at, format: '%Y-%m-%d %z', zone: UTC}}", "leave `zone` out"),
    ("map: {time: {column: closed_at, format: unix, zone: UTC}}", "leave `zone` out"),
    ("map: {time: {column: closed_at, zone: Europe/Berlim}}", "Did you mean Europe/Berlin?"),
    ("map: {time: {column: closed_at, ambiguous: later}}", "say their `zone`, too"),
    ("map: {time: {column: closed_at, zone: UTC, ambiguous: both}}", "expected one of: refuse earlier later"),
    ("map: {id: a, id: b}", "a second time"),
    ("map: {", "not YAML"),
    ("columns: [a, b, a]\nmap: {id: a}", "has several columns `a`"),
]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("text", "said"), WRONG_FILES)
def test_mapping_files_that_mean_nothing_are_told_with_the_line(
    file: Callable[..., Path], text: str, said: str
) -> None:
    assert said in usage(file(CSV), *SIMPLE, mapping(file, text))
    assert not Import.objects.exists()


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(MappingError) as error:
        read_plan(["idd=x", "type=", "customer={"])
    assert len(error.value.problems) == 3
    with pytest.raises(MappingError) as error:
        read_plan(["time=x"])
    assert [problem.split("`")[1] for problem in error.value.problems] == ["id", "type", "customer"]


@pytest.mark.usefixtures("world")
def test_files_that_cannot_be_read_at_all(file: Callable[..., Path], tmp_path: Path) -> None:
    assert "cannot be read" in usage(tmp_path / "none.csv", *SIMPLE)
    assert "is empty" in usage(file(""), *SIMPLE)
    assert "is empty" in usage(file(gzip.compress(b"")), *SIMPLE)
    assert "begins with a list" in usage(file('[{"id": 1}]', "x.json"))
    assert "is damaged" in usage(file(b"\x1f\x8bnot gzip"), *SIMPLE)
    said = usage(file(CSV))
    assert "Its columns: ref, account, closed_at, prio" in said
    assert 'is the delimiter ";"?' in usage(file(CSV.replace(",", ";")), *SIMPLE)
    assert "map its fields" in usage(file('{"ref": 1}\n', "x.jsonl"))
    assert "--into" in usage(file(CSV), *SIMPLE, into="imp_1")
    assert "no import" in usage(file(CSV), *SIMPLE, into="imp_00000000000000000000000000")
    assert "the file itself" in usage(file(CSV), *SIMPLE, report=file(CSV))
    assert "say --report" in usage(file(CSV), *SIMPLE, report=tmp_path)
    assert not Event.objects.exists()


# --- Trying -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_a_dry_run_shows_and_counts_and_writes_nothing(file: Callable[..., Path]) -> None:
    path = file(CSV + "T-3,nobody,2020-01-01T00:00:00Z,\nT-4,acme,soon,\nT-1,acme,2020-01-01T10:00:00Z,high\n")
    status, said = load(path, *SIMPLE, dry_run=True)
    assert status == 1
    assert '"customer": "acme"' in said
    assert "Of 5 rows 2 would be accepted, 1 are known already, 2 would not be taken" in said
    assert "1 unknown_customer, first in row 3: No customer has the key 'nobody'" in said
    assert "1 invalid, first in row 4:" in said
    for model in (Import, ImportFile, Event, EventIdentity, Pending, InboxItem):
        assert not model.objects.exists()
    assert list(path.parent.iterdir()) == [path]
    assert load(file(CSV), *SIMPLE, dry_run=True)[0] == 0


# --- What was not taken -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_the_list_of_rows_not_taken_is_safe_in_a_spreadsheet(file: Callable[..., Path], tmp_path: Path) -> None:
    path = file(
        CSV + '=1+1,@nobody,2020-01-01T00:00:00Z,\n"T-5",acme,2020-01-03T00:00:00Z,\nT-1,acme,2020-01-01T10:00:00Z,x\n'
    )
    report = tmp_path / "list.csv"
    status, said = load(path, *SIMPLE, report=report)
    assert status == 1
    rows = listed(report)
    assert rows[0] == ["row", "line", "id", "customer", "status", "code", "message"]
    assert rows[1][:6] == ["3", "4", "'=1+1", "'@nobody", "rejected", "unknown_customer"]
    assert rows[2][:6] == ["5", "6", "T-1", "acme", "rejected", "id_conflict"]
    assert str(report) in said
    assert "2 of its events wait in the inbox" in said
    assert {item.batch_import_id for item in InboxItem.objects.all()} == {Import.objects.get().id}


@pytest.mark.usefixtures("world")
def test_rows_known_already_are_counted_and_listed_only_when_asked(file: Callable[..., Path]) -> None:
    path = file(CSV)
    assert load(path, *SIMPLE)[0] == 0
    status, said = load(path, *SIMPLE)
    assert status == 0
    assert "2 known already" in said
    assert not Path(f"{path}.not-taken.csv").exists()
    assert load(path, *SIMPLE, list_duplicates=True)[0] == 0
    assert [row[4] for row in listed(Path(f"{path}.not-taken.csv"))] == ["status", "duplicate", "duplicate"]
    assert Event.objects.count() == 2


@pytest.mark.usefixtures("world")
def test_a_list_that_was_moved_away_is_begun_anew_and_told(file: Callable[..., Path]) -> None:
    path = file(CSV + "T-3,nobody,2020-01-01T00:00:00Z,\n")
    report = Path(f"{path}.not-taken.csv")
    assert load(path, *SIMPLE, keep_open=True)[0] == 1
    report.unlink()
    status, said = load(path, *SIMPLE)
    assert status == 1
    assert "lacks the rows up to 3; they lie in the inbox" in said
    assert len(listed(report)) == 1


@pytest.mark.usefixtures("world")
def test_a_list_that_cannot_be_written_on_loses_nothing(file: Callable[..., Path], monkeypatch: Any) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    path = file(CSV + "T-3,nobody,2020-01-01T00:00:00Z,\n")
    with monkeypatch.context() as patched:
        patched.setattr(Report, "add", full)
        with pytest.raises(CommandError, match="No space left"):
            call_command("import_events", str(path), map=list(SIMPLE), stdout=io.StringIO())
    assert not Event.objects.exists()
    assert load(path, *SIMPLE)[0] == 1
    assert (Event.objects.count(), len(listed(Path(f"{path}.not-taken.csv")))) == (2, 2)


# --- Open and closed --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_left_open_it_holds_its_customers_until_the_same_command_closes_it(file: Callable[..., Path]) -> None:
    path = file(CSV)
    status, said = load(path, *SIMPLE, keep_open=True, name="history")
    assert status == 0
    assert "1 customers do not settle until it is closed" in said
    assert len(paused_customers()) == 1
    opened = Import.objects.get()
    assert opened.name == "history"
    other = file(CSV.replace("T-", "U-"), "more.csv")
    assert "is open" in load(other, *SIMPLE, into=public(opened))[1]
    assert len(paused_customers()) == 1
    status, said = load(path, *SIMPLE)
    assert status == 0
    assert "goes on behind row 2" in said
    assert "lacks the rows" not in said
    assert paused_customers() == []
    found = find_import(opened.id)
    assert (found.accepted, found.duplicates) == (4, 0)
    assert "is closed since" in usage(other, *SIMPLE, into=public(opened))


@pytest.mark.usefixtures("world")
def test_a_changed_file_or_mapping_is_told_with_the_way_out(file: Callable[..., Path]) -> None:
    path = file(CSV)
    load(path, *SIMPLE, keep_open=True)
    assert "the mapping changed since" in usage(path, *SIMPLE, "data.x=prio")
    file(CSV.replace("high", "low") + "T-3,acme,2020-01-01T00:00:00Z,\n")
    said = usage(path, *SIMPLE)
    assert "the file changed since" in said
    assert "--restart" in said
    status, said = load(path, *SIMPLE, restart=True)
    # What changed keeps what was accepted; the rest counts.
    assert status == 1
    assert [row[2] for row in listed(Path(f"{path}.not-taken.csv"))] == ["id", "T-1"]
    assert set(stored()) == {"T-1", "T-2", "T-3"}
    assert stored()["T-1"]["data"] == {"priority": "high"}
    assert Import.objects.get().closed_at == NOW


@pytest.mark.usefixtures("world")
def test_a_file_that_is_damaged_keeps_what_came_before(file: Callable[..., Path], monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "BATCH", 100)
    lines = "".join(f"T-{n},acme,2020-01-01T00:00:00Z,{n * 7919 % 1009}\n" for n in range(20_000))
    whole = gzip.compress(("ref,account,closed_at,prio\n" + lines).encode())
    path = file(whole[: len(whole) // 2], "tickets.csv.gz")
    with pytest.raises(CommandError, match="is damaged after row") as error:
        call_command("import_events", str(path), map=list(SIMPLE), stdout=io.StringIO())
    assert error.value.returncode == 1
    done = Event.objects.count()
    assert 0 < done < 20_000
    assert done == ImportFile.objects.get().rows
    file(whole, "tickets.csv.gz")
    status, said = load(path, *SIMPLE, restart=True)
    assert status == 0, said
    assert Event.objects.count() == 20_000
    found = find_import(Import.objects.get().id)
    assert (found.accepted, found.duplicates) == (20_000, done)


@pytest.mark.usefixtures("world")
def test_an_import_closed_meanwhile_is_told(file: Callable[..., Path], monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "BATCH", 1)
    path = file(CSV)
    accept = run.accept

    def close_after_the_first(*args: Any, **options: Any) -> Any:
        results = accept(*args, **options)
        imports.close_import(options["import_id"], now=NOW)
        return results

    monkeypatch.setattr(run, "accept", close_after_the_first)
    with pytest.raises(CommandError, match="closed meanwhile, after row 1") as error:
        call_command("import_events", str(path), map=list(SIMPLE), stdout=io.StringIO())
    assert error.value.returncode == 1
    monkeypatch.setattr(run, "accept", accept)
    status, said = load(path, *SIMPLE)
    assert status == 0
    assert "1 known already" in said
    assert Event.objects.count() == 2


@pytest.mark.usefixtures("committed")
def test_a_file_is_loaded_by_one_process_at_a_time(file: Callable[..., Path], monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "_PATIENCE_SECONDS", 0.1)
    path = file(CSV)
    wanted = run.Wanted(path, read_plan(SIMPLE), "content", path.with_name("list.csv"))
    with run.begun(wanted, now=NOW):
        copy = run.Wanted(path.with_name("copy.csv"), wanted.plan, "content", wanted.report)
        [told] = at_once(lambda: _begin_in_vain(copy))
        assert "Another process is loading" in told
    with run.begun(copy, now=NOW):
        pass


def _begin_in_vain(wanted: run.Wanted) -> str:
    with pytest.raises(run.CannotLoad) as error, run.begun(wanted, now=NOW):
        pass
    return str(error.value)


# --- The real log, in processes of its own ----------------------------------------------------------------------------

Rows = list[dict[str, str]]


class Loading:
    """The command on a log like the incident log, as a process on the test database."""

    def __init__(self, tmp_path: Path, log: Path) -> None:
        address = connection.settings_dict
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO_"))}
        self.env = kept | {
            "DATABASE_URL": f"postgres://{address['USER']}@/{address['NAME']}?host={address['HOST']}",
            "REDIS_URL": settings.REDIS_URL,
            "HOLDFAST_HOME": str(tmp_path),
        }
        self.log, self.report = log, tmp_path / "list.csv"

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "manage.py", "import_events", str(self.log)),
                *("--map", str(HELPDESK / "import.yaml"), "--report", str(self.report)),
            ],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop_after(self, rows: int, number: int) -> tuple[int, str]:
        process = self.start()
        wait_until(lambda: (file := ImportFile.objects.first()) is not None and file.rows >= rows)
        process.send_signal(number)
        said, _ = process.communicate(timeout=240)
        return process.returncode, said


@pytest.mark.usefixtures("committed")
def test_the_real_log_killed_stopped_and_taken_up_again_comes_to_its_totals(tmp_path: Path) -> None:
    """A sixth of its incidents, each whole, and all rows that are nobody's; the demo takes the whole log."""
    with gzip.open(HELPDESK / "incidents.csv.gz", "rt", newline="") as handle:
        every = list(csv.DictReader(handle))
    assert recounted(every) == TOTALS["by_state"]  # the recount itself is right
    some = [row for row in every if int(row["number"][3:]) % 6 == 0 or row["location"] == "?"]
    nobody = [number for number, row in enumerate(some, start=1) if row["location"] == "?"]
    assert len(nobody) == 76
    taken = len(some) - 76
    with gzip.open(tmp_path / "some.csv.gz", "wt", newline="") as handle:
        log = csv.DictWriter(handle, every[0])
        log.writeheader()
        log.writerows(some)
    for key in sorted({row["location"] for row in some} - {"?"}):
        factories.customer(key)
    factories.condition((HELPDESK / "conditions/resolved_incident.outcome").read_text())
    loading = Loading(tmp_path, tmp_path / "some.csv.gz")
    assert loading.stop_after(1, signal.SIGKILL)[0] == -signal.SIGKILL
    killed_at = ImportFile.objects.get().rows
    status, said = loading.stop_after(killed_at + 1, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert "The same command line goes on." in said
    stopped_at = ImportFile.objects.get().rows
    assert 0 < killed_at < stopped_at < len(some)
    assert f"Stopped behind row {stopped_at:,}" in said
    # What is in is evaluated while the rest is loaded, and nothing of it settles.
    evaluate_waiting(timezone.now())
    assert not settle_due(timezone.now())
    process = loading.start()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert f"goes on behind row {stopped_at:,}" in said
    found = find_import(Import.objects.get().id)
    assert (found.accepted, found.duplicates, found.rejected, found.waiting) == (taken, 0, 76, 76)
    assert EventIdentity.objects.count() == Event.objects.count() == taken
    assert [int(row[0]) for row in listed(loading.report)[1:]] == nobody
    assert InboxItem.objects.count() == 76
    evaluate_waiting(timezone.now())
    settle_due(timezone.now())
    expected = recounted(some)
    assert set(expected) == set(TOTALS["by_state"])
    assert Counter(Outcome.objects.values_list("state", flat=True)) == expected


def recounted(rows: Rows) -> Counter[str]:
    """Outcomes by state of the sample's condition, worked out anew: resolved or closed for 72 hours is confirmed, for
    good; opened again before that is void; silence for 180 days is missed, and what comes then counts anew.
    """
    incidents: dict[tuple[str, str], list[tuple[datetime, int, str]]] = {}
    for number, row in enumerate(rows):
        if row["location"] != "?":
            at = _time(row["sys_updated_at"])
            incidents.setdefault((row["location"], row["number"]), []).append((at, number, row["incident_state"]))
    found = Counter[str]()
    for updates in incidents.values():
        state, since = "", datetime.min
        for at, _, said in [*sorted(updates), (datetime.max, 0, "")]:
            if state == "provisional" and at - since >= timedelta(hours=72):
                found["confirmed"] += 1
                break
            if state == "open" and at - since >= timedelta(days=180):
                found["missed"] += 1
                state = ""
            if state == "provisional" and said not in ("Resolved", "Closed", "-100"):
                found["void"] += 1
                state = ""
            elif said and state != "provisional":
                state, since = "provisional" if said in ("Resolved", "Closed") else "open", at
    return found


@cache
def _time(text: str) -> datetime:
    day, month, rest = text.split("/")
    return datetime.fromisoformat(f"{rest[:4]}-{int(month):02}-{int(day):02} {rest[5:]}")
