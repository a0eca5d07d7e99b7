"""docs/test-clocks.md is true: its requests are sent, in order."""

import json

import pytest

from tests.access.conftest import Api
from tests.access.test_docs import EXAMPLE, matches
from tests.outcomes import factories
from tests.project.running import ROOT
from tests.settlement.clocks import rate_card

TEXT = (ROOT / "docs" / "test-clocks.md").read_text()


@pytest.mark.django_db
def test_the_examples(api: Api) -> None:
    factories.condition("outcome resolved_ticket\nper ticket_id\nbill when ticket.closed\nsettle after 72 hours")
    rate_card("resolved_ticket")
    examples = list(EXAMPLE.finditer(TEXT))
    assert len(examples) == TEXT.count("```http") == 6
    clock = "CLOCK"
    for example in examples:
        head, _, body = example["request"].replace("CLOCK", clock).partition("\n\n")
        method, path = head.strip().split("\n")[0].split(" ")
        response = api(method, path, body.strip().encode() or None)
        assert response.status_code == int(example["status"]), (path, response.content)
        found = json.loads(response.content)
        assert matches(json.loads(example["body"]), found), (path, found)
        clock = found["id"] if path == "/v1/test_clocks" else clock
