"""What both servers stand on: the home directory, one starter at a time, a short place for sockets, and the account.

``home`` is the directory the project keeps its own data in (``.local/`` beside manage.py). It has mode 0700.
"""

import fcntl
import functools
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A path and not tempfile.gettempdir(): every shell must find the same socket, whatever its TMPDIR says.
SOCKET_ROOT = Path("/tmp")  # noqa: S108 - directories below it are made by us, mode 0700, and their owner is checked
LOCK_SECONDS = 180.0
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# A fixed small environment: PGDATA, LC_ALL, LD_LIBRARY_PATH and the like of the caller must not reach the servers.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedError(RuntimeError):
    """An embedded server cannot be had. The message is one sentence, then what to do, then the server's last words."""


def failure(sentence: str, *, instead: str, log: Path | None = None) -> EmbeddedError:
    """The error in its one shape; ``instead`` names the variable that replaces the embedded server."""
    text = f"{sentence}\nTo use a server of your own instead, set {instead}."
    last = tail(log) if log else ""
    return EmbeddedError(f"{text}\nThe last lines of {log}:\n{last}" if last else text)


def tail(log: Path, lines: int = 12) -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join("  " + line for line in text.splitlines()[-lines:])


# --- Where things lie ---------------------------------------------------------------------------------------------


def open_home(home: Path, *, instead: str) -> Path:
    """Make ``home`` (0700) if it is absent and see that we may use it. What exists keeps its mode: it may be any
    directory somebody named, and what we put into it is closed by itself."""
    home = home.absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home = home.resolve()
        found = home.stat()
        if os.geteuid() not in (0, found.st_uid):
            raise failure(
                f"The data directory {home} belongs to {user_name(found.st_uid)}, and you are "
                f"{user_name(os.geteuid())}: run as that user, or remove the directory.",
                instead=instead,
            )
    except OSError as error:
        raise failure(f"The data directory {home} cannot be used: {error.strerror}.", instead=instead) from error
    return home


def server_name(kind: str, name: str) -> str:
    """``postgres-main`` and the like: the name of a server's data directory, log and lock in ``home``."""
    if not NAME.fullmatch(name):
        raise ValueError(f"not a name for a server: {name!r}")
    return f"{kind}-{name}"


def socket_directory(home: Path, server: str) -> Path:
    """Short whatever the length of ``home`` (a socket's path may have 107 bytes), and the same in every process."""
    digest = hashlib.sha256(f"{home}\0{server}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return SOCKET_ROOT / f"holdfast-{digest}"


def is_private_to(directory: Path, uid: int) -> bool:
    """Whether a real directory of this user that nobody else may enter (so a socket in it is the user's, too)."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not stat.S_IMODE(found.st_mode) & 0o077


def open_socket_directory(directory: Path, uid: int, gid: int, *, instead: str) -> None:
    """Make the directory, or take it over when it is ours already. Anybody may write to /tmp, so it is opened without
    following links, and what is checked is what is open."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise failure(
            f"The directory {directory} for the server's socket cannot be used: {error}.", instead=instead
        ) from error
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in (uid, os.geteuid()):
            raise failure(
                f"The directory {directory} for the server's socket belongs to {user_name(found.st_uid)} and not to "
                f"{user_name(uid)}: have it removed.",
                instead=instead,
            )
        if found.st_uid != uid:
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def close_socket_directory(directory: Path) -> None:
    """Leave nothing in /tmp behind a stopped server, not even what a crashed one left."""
    with suppress(OSError):
        if is_private_to(directory, os.geteuid()):
            for path in directory.iterdir():
                path.unlink()
        directory.rmdir()


def package_directory(package: str) -> Path | None:
    """Where a wheel is installed, without importing it (both wheels do work on import)."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


# --- One at a time ------------------------------------------------------------------------------------------------


@contextmanager
def lock(home: Path, name: str, *, instead: str) -> Iterator[None]:
    """Let one process at a time start or stop a server. The kernel frees the lock of a killed process."""
    path = home / f"{name}.lock"
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise failure(f"The lock {path} cannot be opened: {error.strerror}.", instead=instead) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                    raise failure(
                        f"Process {holder} has held {path} for {LOCK_SECONDS:.0f} seconds: end it and try again.",
                        instead=instead,
                    ) from None
                time.sleep(0.05)
            except OSError as error:
                raise failure(f"The file system of {path} has no locks: {error.strerror}.", instead=instead) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


# --- As whom a server runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """The owner of a server's files, and how to start a command as that owner."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    switch: bool = False

    def options(self) -> dict[str, Any]:
        """Arguments for subprocess."""
        identity = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}
        return {"env": ENVIRONMENT, "umask": 0o077, **identity}


def account_for(home: Path, data: Path, *, refuses_root: bool) -> Account:
    """Ordinary users run a server as themselves. Root runs it as the owner of the files; where that is root and the
    server refuses root, in a user namespace that shows root as somebody else (the files stay root's), and where
    namespaces are forbidden (default containers), as ``nobody``."""
    uid, gid = os.geteuid(), os.getegid()
    # initdb looks its user up by number, so an unknown number (containers) is shown as a known one, too.
    if uid != 0:
        return Account(uid, gid, namespace_prefix() or () if not is_known(uid) and refuses_root else ())
    owner = (data if data.exists() else home).stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, switch=True)
    if not refuses_root:
        return Account(0, gid)
    prefix = namespace_prefix()
    if prefix is not None:
        return Account(0, gid, prefix)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid, switch=True)


@functools.cache
def namespace_prefix() -> tuple[str, ...] | None:
    """The words that run a command in a user namespace, or nothing where the machine forbids it."""
    unshare = shutil.which("unshare", path=ENVIRONMENT["PATH"])
    if unshare is None:
        return None
    known = 1000 if is_known(1000) else next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid), 1000)
    prefix = (unshare, "--user", f"--map-user={known}", f"--map-group={known}")
    tried = subprocess.run([*prefix, "true"], env=ENVIRONMENT, capture_output=True, check=False)
    return prefix if tried.returncode == 0 else None


def is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def user_name(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if is_known(uid) else f"user {uid}"
