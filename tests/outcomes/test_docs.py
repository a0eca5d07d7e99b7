"""docs/inbox.md and docs/imports.md are true: their requests are sent and their commands are run, in order."""

import csv
import gzip
import io
import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from freezegun import freeze_time

from outcomes import inbox
from outcomes.importing import run
from outcomes.importing.mapping import read_plan
from outcomes.models import InboxItem
from tests.access.conftest import Api
from tests.access.test_docs import EXAMPLE, matches
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.project.running import ROOT

DOCS = ROOT / "docs"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", re.S)
COMMAND = re.compile(r"```sh\nmanage\.py (.*?)```\n\n```text\n(.*?)```\n", re.S)


def requests(page: str, api: Api) -> int:
    """Send every request of the page; how many there were."""
    text = (DOCS / page).read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) == text.count("```http")
    for example in examples:
        head, _, body = example["request"].partition("\n\n")
        method, path = head.split("\n")[0].split(" ")
        response = api(method, path, body.strip().encode() or None)
        assert response.status_code == int(example["status"]), (path, response.content)
        assert matches(json.loads(example["body"]), json.loads(response.content)), (path, response.content)
    return len(examples)


@pytest.mark.django_db
def test_the_requests_of_the_inbox(api: Api) -> None:
    assert requests("inbox.md", api) == 6


@pytest.mark.django_db
def test_the_files_the_commands_and_the_requests_of_imports(api: Api, tmp_path: Path, monkeypatch: Any) -> None:
    text = (DOCS / "imports.md").read_text()
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    commands = COMMAND.findall(text)
    assert len(commands) == text.count("```sh") == 2
    with freeze_time(START + timedelta(days=20)):
        factories.customer("docs-acme")
        for command, expected in commands:
            out = io.StringIO()
            with pytest.raises(SystemExit):
                call_command(*shlex.split(command.replace("\\\n", "")), stdout=out)
            assert matches(expected.strip(), out.getvalue().strip()), out.getvalue()
        assert requests("imports.md", api) == 2


def test_what_is_said_of_reasons_and_numbers() -> None:
    page = (DOCS / "inbox.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", page, re.M)
    assert dict(rows) == {str(reason): way for reason, way in inbox.WAY_OUT.items()}
    assert set(inbox.WAY_OUT) == set(InboxItem.Reason.values)
    assert f"older than {settings.MAX_EVENT_AGE_DAYS} days" in page
    assert f"more than {settings.MAX_EVENT_FUTURE_SECONDS // 60} minutes" in page
    assert f"tries {inbox.AT_ONCE:,} items at most" in page
    assert f"within {run.BATCH:,} rows only" in (DOCS / "imports.md").read_text()


def test_the_mapping_of_the_sample_is_the_one_of_the_demo(tmp_path: Path) -> None:
    """billing_project/demo/helpdesk.py makes the same events of the same rows: of every tenth, and of the first with
    each state, priority and place.
    """
    from billing_project.demo import helpdesk
    from outcomes.importing.files import open_source, rows

    sample = ROOT / "samples/helpdesk"
    plan = read_plan([str(sample / "import.yaml")])
    with gzip.open(sample / helpdesk.LOG, "rt", newline="") as log, gzip.open(tmp_path / helpdesk.LOG, "wt") as some:
        reader, writer = csv.reader(log), csv.writer(some)
        writer.writerow(header := next(reader))
        places = [header.index(name) for name in ("incident_state", "priority", "location")]
        seen: set[str] = set()
        for number, row in enumerate(reader):
            values = {row[place] for place in places}
            if number % 10 == 0 or values - seen:
                writer.writerow(row)
                seen |= values
    assert set(helpdesk.EVENT_TYPES) | {"?"} < seen
    with open_source(tmp_path / helpdesk.LOG, plan) as source:
        ours = {row.event.id: json.loads(row.event.raw) for row in rows(source, plan)}
    assert len(ours) > 12_000
    assert ours == {event["id"]: event for event in helpdesk.events(tmp_path)}
