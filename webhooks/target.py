"""Where a message goes: a URL read strictly, and the addresses behind its host, every one of them vetted.

The URL is checked when it is given and again at each attempt. A host is resolved once an attempt, and the connection
goes to an address that was vetted: a name that points elsewhere a moment later (DNS rebinding) changes nothing.
"""

import queue
import re
import socket
import threading
from dataclasses import dataclass

import idna
from django.conf import settings

from webhooks.addresses import Address, is_public, parse, unwrapped

MAX_URL = 2048

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE = re.compile(r"[\x21-\x7e]*")
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Refused(ValueError):
    """Nothing may be sent there; the message says why, for the person who named the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was read: ``host`` in ASCII, an address without brackets; ``path`` with the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def read(url: str) -> Target:
    """The URL's parts; Refused for everything but a plain https URL with a public host."""
    if len(url) > MAX_URL:
        raise Refused(f"A URL has at most {MAX_URL} characters.")
    match = _URL.fullmatch(url)
    if match is None or not match["authority"]:
        raise Refused("Write a URL such as https://example.com/hooks.")
    scheme = match["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise Refused("The URL must begin with https://.")
    if "@" in match["authority"]:
        raise Refused("A URL with a user name or password is refused: verify the signature instead.")
    if match["fragment"] is not None:
        raise Refused("A fragment (#…) is never sent: leave it out.")
    path = (match["path"] or "/") + (match["query"] or "")
    if not _PRINTABLE.fullmatch(path) or "\\" in path:
        raise Refused("Path and query have printable ASCII characters only: percent-encode the others.")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None or not authority["host"]:
        raise Refused("The host and port of the URL cannot be read.")
    target = Target(scheme, _host(authority["host"]), int(authority["port"] or _DEFAULT_PORTS[scheme]), path)
    _check(target)
    return target


def _host(text: str) -> str:
    if text.startswith("["):
        address = parse(text[1:-1])
        if address is None or "." in text or "%" in text:
            raise Refused("The host in brackets is no plain IPv6 address.")
        return str(address)
    try:
        host = idna.encode(text, uts46=True).decode() if not text.isascii() else text.lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise Refused(f"The host is no valid internationalised name: {error}.") from error
    if _looks_like_number(host):
        # Names like 127.1, 0x7f000001 and 2130706433 are addresses to a resolver.
        address = parse(host)
        if address is None:
            raise Refused("The host is a number but no address in the usual notation.")
        return str(address)
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise Refused("The host is no valid name.")
    return host


def _looks_like_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def _check(target: Target) -> None:
    """What can be said before the host is resolved."""
    if not 0 < target.port < 65536:
        raise Refused("The port must be 1 to 65535.")
    address = parse(target.host)
    if _loopback_allowed() and (address.is_loopback if address else target.host == "localhost"):
        return
    if target.scheme != "https":
        raise Refused("The URL must begin with https://.")
    if target.port not in settings.WEBHOOK_PORTS:
        ports = ", ".join(map(str, settings.WEBHOOK_PORTS))
        raise Refused(f"The port must be one of: {ports}.")
    if address is not None and not is_public(address):
        raise Refused(f"{address} is no public address.")
    if address is None and "." not in target.host:
        raise Refused("The host needs a domain: a name without a dot is of some local network.")


def _loopback_allowed() -> bool:
    # A web server of production does not start with it; workers start without checks.
    return bool(settings.WEBHOOK_ALLOW_LOOPBACK) and settings.ENVIRONMENT != "production"


def addresses(target: Target, *, seconds: float) -> list[Address]:
    """The addresses behind the host, in the resolver's order. Refused when even one of them is not public.

    OSError when the name does not resolve, TimeoutError when that takes longer than ``seconds``.
    """
    found = [unwrapped(address) for address in _resolve(target, seconds)]
    on_loopback = all(address.is_loopback for address in found) and _loopback_allowed()
    for address in found:
        if not on_loopback and not is_public(address):
            raise Refused(f"{target.host} resolves to {address}, which is no public address.")
    if not on_loopback and (target.scheme != "https" or target.port not in settings.WEBHOOK_PORTS):
        raise Refused(f"{target.host} is not on this machine: https and the usual port only.")
    return list(dict.fromkeys(found))


def _resolve(target: Target, seconds: float) -> list[Address]:
    literal = parse(target.host)
    if literal is not None:
        return [literal]
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            answers.put([str(sockaddr[0]) for *_, sockaddr in found])
        except (OSError, UnicodeError) as error:
            answers.put(OSError(f"{target.host} does not resolve: {error}"))

    # The resolver knows no time limit; a thread that is left behind ends with the resolver's own.
    threading.Thread(target=ask, daemon=True, name="webhooks-resolve").start()
    try:
        answer = answers.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise TimeoutError(f"{target.host} was not resolved in time") from None
    if isinstance(answer, OSError):
        raise answer
    parsed = [(text, parse(text)) for text in answer]
    strange = [text for text, address in parsed if address is None]
    if strange or not parsed:
        raise OSError(f"{target.host} resolves to no address that can be read: {strange}")
    return [address for _, address in parsed if address is not None]
