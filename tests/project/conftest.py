"""An installation whose tables are there, made once for all processes of a run; tests take copies of it."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.project.running import KEY, home

# In one process, as each takes two seconds to begin.
MAKE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("create_api_key", "test", "--scopes", "admin")
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that `manage.py migrate` was run in, with a key that may do all, its servers stopped.
    (tests/project/test_demo.py and test_up.py begin with nothing, as a user does.)
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = shared / "installed"
    with (shared / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with home(shared / "installing") as here:
                status, said = here.run("shell", "--no-imports", "--command", MAKE)
                assert status == 0, said
                [key] = [word for word in said.split() if word.startswith("hf_live_")]
                (here.path / KEY).write_text(key)
            here.path.rename(found)
    return found
