import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.contracts.conftest import TICKET


def check(file: str | Path) -> tuple[str, str | None]:
    out = io.StringIO()
    try:
        call_command("check_condition", str(file), stdout=out, no_color=True)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), None


def test_a_good_text_is_answered_with_its_canonical_form_and_english(tmp_path: Path) -> None:
    file = tmp_path / "a.outcome"
    file.write_text("# why\n" + TICKET.replace("\n", "\n   "))
    out, error = check(file)
    assert error is None
    assert out.startswith('outcome resolved_ticket "Ticket resolved"\nper ticket_id\n')
    assert "# why" not in out
    assert "ticket.closed has happened" in out


def test_a_bad_text_is_answered_with_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "a.outcome"
    file.write_text(TICKET.replace("bill when", "bil when"))
    out, error = check(file)
    assert error is not None
    assert "line 4, column 1" in out
    assert "    bil when ticket.closed\n    ^" in out


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(TICKET.encode())

    monkeypatch.setattr("sys.stdin", Stdin())
    out, error = check("-")
    assert error is None and "resolved_ticket" in out


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_files_that_cannot_be_read(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "a.outcome"
    if content is not None:
        file.write_bytes(content)
    out, error = check(file)
    assert out == "" and error is not None and str(file) in error
