"""An installation whose tables are there, made once for all processes of a run; tests take copies of it."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.project.running import home


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that `manage.py migrate` was run in, its servers stopped. (tests/project/test_demo.py and test_up.py begin
    with nothing, as a user does.)
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = shared / "installed"
    with (shared / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with home(shared / "installing") as here:
                status, said = here.run("migrate", "--verbosity", "0")
                assert status == 0, said
            here.path.rename(found)
    return found
