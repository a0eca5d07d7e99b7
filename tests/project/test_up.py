"""`make up`, and the README's five minutes, as a new user types them."""

import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing_project.services import free_port
from tests.project.running import ROOT, Home, answers, home, wait_until
from tests.project.test_demo import rows

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def shell_blocks() -> list[str]:
    return BLOCK.findall((ROOT / "README.md").read_text())


def typed(here: Home, port: int, blocks: list[str]) -> str:
    """What a shell prints when the blocks are typed one after the other."""
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    # `.venv` is where a user's interpreter is; the tests may run with another.
    python = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True).stdout.strip()
    if not (ROOT / ".venv/bin/python").exists():
        script = script.replace(".venv/bin/python", python)
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=here.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_and_the_first_outcome_of_the_readme(tmp_path: Path) -> None:
    with home(tmp_path) as here:
        port = free_port()
        up = here.start("up", PORT=str(port))
        try:
            wait_until(lambda: up.poll() is not None or answers(f"http://127.0.0.1:{port}/readyz"), 600)
            assert up.poll() is None, up.stdout and up.stdout.read()

            status, said = here.run("up", PORT=str(port + 1))
            assert status == 1
            assert "running already" in said

            blocks = shell_blocks()
            assert len(blocks) == 4
            printed = typed(here, port, blocks)
            assert '"accepted":6' in printed
            wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM outcomes_pending") == [(0,)])
            final = typed(here, port, [*blocks[:1], blocks[2], blocks[3]])
            states = dict(
                zip(re.findall(r'"subject": "(T-\d)"', final), re.findall(r'"state": "(\w+)"', final), strict=True)
            )
            assert states == {"T-1": "provisional", "T-2": "void", "T-3": "open", "T-4": "open"}
            assert '"total": "2.00"' in final
        finally:
            up.send_signal(signal.SIGINT)
            output, _ = up.communicate(timeout=60)
        assert up.returncode == 0, output
        assert "First login:         admin / " in output
        assert not answers(f"http://127.0.0.1:{port}/readyz")


def test_a_taken_port_is_named(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked of the database, which this test may not use."""
    settings.HOME = tmp_path
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(CommandError, match=f"Port {port} is in use .* PORT={port + 1} make up"):
            call_command("up")
    monkeypatch.setenv("PORT", "eight thousand")
    with pytest.raises(CommandError, match="PORT=eight thousand is no port"):
        call_command("up")
