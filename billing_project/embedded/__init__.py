"""Real PostgreSQL and Redis from wheels, started on demand and kept in one directory (docs/setup.md).

``home`` is that directory, ``.local/`` beside manage.py by default. Nothing here imports Django: settings call it.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded import ground, postgres, redis
from billing_project.embedded.ground import EmbeddedError
from billing_project.embedded.postgres import PostgresAddress
from billing_project.embedded.redis import RedisAddress

__all__ = [
    "EmbeddedError",
    "PostgresAddress",
    "RedisAddress",
    "ServerStatus",
    "ensure_postgres",
    "ensure_redis",
    "status",
    "stop_all",
]


@dataclass(frozen=True)
class ServerStatus:
    name: str
    url: str
    data: Path
    log: Path
    pid: int | None
    """The server's main process; nothing when it does not run."""
    answers: bool


def ensure_postgres(home: Path, *, cluster: str = "main", durable: bool = True) -> PostgresAddress:
    """A running PostgreSQL on the cluster of this name, made and started if need be.

    ``durable`` takes effect when the server starts; one that runs already is used as it is.
    """
    return postgres.Cluster(home, cluster).ensure(durable=durable)


def ensure_redis(home: Path, *, cluster: str = "main") -> RedisAddress:
    """A running Redis, made and started if need be."""
    return redis.Server(home, cluster).ensure()


def stop_all(home: Path) -> list[str]:
    """Stop every server of this home cleanly, and say which ran. The data stay."""
    stopped = []
    for server, instead in _servers(home):
        # Where the home was removed under its servers there is no lock left to take, and no data to guard by it.
        guard = ground.lock(server.home, server.name, instead=instead) if server.home.is_dir() else nullcontext()
        with guard:
            if server.stop():
                stopped.append(server.name)
    return stopped


def status(home: Path) -> list[ServerStatus]:
    found = []
    for server, _ in _servers(home):
        if isinstance(server, postgres.Cluster):
            pids, url = server.running()[0], server.address.url
        else:
            pids, url = server.running(), server.address.client_url
        pid = pids[0] if pids else None
        found.append(ServerStatus(server.name, url, server.data, server.log, pid, pid is not None and server.answers()))
    return found


def _servers(home: Path) -> list[tuple[postgres.Cluster | redis.Server, str]]:
    """The usual servers, whether made already or not, and those made under other names; and what replaces them."""
    pairs = [path.name.partition("-") for path in home.glob("*-*/")]
    made = {name for kind, _, name in pairs if kind in ("postgres", "redis") and ground.NAME.fullmatch(name)}
    names = sorted(made | {"main", "test"})
    found: list[tuple[postgres.Cluster | redis.Server, str]] = []
    found += [(postgres.Cluster(home, name), postgres.INSTEAD) for name in names]
    found += [(redis.Server(home, name), redis.INSTEAD) for name in names]
    return found
