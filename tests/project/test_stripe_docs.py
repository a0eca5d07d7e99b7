"""docs/stripe.md: what it has a new user type, typed, from an empty database to a paid invoice; and what it names."""

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import load_command_class

from billing_project.services import free_port, port_is_free
from payments import backlog, units
from payments.client import VERSION
from payments.lines import MOST
from tests.project.running import ROOT, Home, answers, home, wait_until

PAGE = (ROOT / "docs/stripe.md").read_text()
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def section(title: str) -> str:
    """What stands under a heading of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


class Typed:
    """What a user types, on ports of the test's own and in its home."""

    def __init__(self, here: Home, ours: int, stripes: int) -> None:
        self.here, self.ours, self.stripes = here, ours, stripes

    def script(self, *blocks: str) -> str:
        text = "set -euo pipefail\n" + "\n".join(blocks)
        interpreter = ".venv/bin/python"
        if not (ROOT / interpreter).exists():
            # `.venv` is where a user's interpreter is; the tests may run with another.
            text, interpreter = text.replace(interpreter, sys.executable), sys.executable
        text = text.replace("make up", f"env PORT={self.ours} {interpreter} manage.py up")
        text = text.replace("-m tests.stripe_server", f"-m tests.stripe_server --port {self.stripes}")
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.ours}").replace(":12111", f":{self.stripes}")

    def run(self, *blocks: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.script(*blocks)],
            cwd=ROOT, env=self.here.env, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, block: str, ready: Callable[[], bool], log: Path) -> Iterator[None]:
        """A terminal of its own, until Ctrl-C."""
        with log.open("wb") as output:
            terminal = subprocess.Popen(
                ["bash", "-c", self.script(block.rstrip().replace("\nmake up", "\nexec make up"))],
                cwd=ROOT, env=self.here.env, stdout=output, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
        try:
            wait_until(lambda: terminal.poll() is not None or ready(), 600)
            assert terminal.poll() is None, log.read_text()
            yield
        finally:
            terminal.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.wait(60)
            if terminal.poll() is None:
                terminal.kill()


def test_from_an_empty_database_to_a_paid_invoice(tmp_path: Path, installed: Path) -> None:
    server, up, *typed = BLOCK.findall(section("Try it without an account"))
    assert "tests.stripe_server" in server and "make up" in up and len(typed) == 5
    (tmp_path / "home").mkdir()
    with home(tmp_path / "home", like=installed) as here:
        terminal = Typed(here, free_port(), free_port())
        ready = f"http://127.0.0.1:{terminal.ours}/readyz"
        with (
            terminal.running(f"exec {server}", lambda: not port_is_free(terminal.stripes), tmp_path / "server.log"),
            terminal.running(up, lambda: answers(ready), tmp_path / "up.log"),
        ):
            said = terminal.run(*typed)
        assert b"Traceback" not in (tmp_path / "up.log").read_bytes()
    assert re.search(r"with account acct_\w+ \(test mode\)", said)
    assert '"status":"paid"' in said
    assert re.search(r"^http://127\.0\.0\.1:\d+/\S+$", said, re.M), "the page to pay on"
    assert "Webhook secrets    1" in said and "Wrong" not in said
    assert '"kind": "invoice"' in said and set(re.findall(r'"status": "(\w+)"', said)) == {"done"}


def test_what_the_page_names_is_there() -> None:
    assert f"API version `{VERSION}`" in PAGE and "/stripe/webhooks" in PAGE
    for name in re.findall(r"HOLDFAST_(STRIPE_\w+)", PAGE):
        assert hasattr(settings, name), name
    parser = load_command_class("payments", "stripe").create_parser("manage.py", "stripe")
    for line in re.findall(r"manage\.py stripe ([a-z][^`\n]*)", PAGE):
        argv = line.partition("  #")[0].replace("…", "x").replace('"', "").split()
        parser.parse_args(argv[: argv.index(":")] if ":" in argv else argv)


def test_what_the_page_says_of_limits() -> None:
    assert f"Stripe takes {MOST}" in PAGE and units.LARGEST == 99_999_999
    told = PAGE.partition("* **Currencies.**")[2].partition("* **The largest")[0]
    codes = set(re.findall(r"\b[A-Z]{3}\b", told))
    assert codes - {"JPY"} == units._THOUSANDTHS | units._HUNDREDTHS_AT_STRIPE | units._WHOLE_AT_STRIPE
    assert "`mark_paid`" in PAGE and set(backlog.KINDS) == {"paid", "uncollectible"}
