"""The network address that a request came from.

Believed is the connection alone, unless ``HOLDFAST_TRUSTED_PROXIES`` says how many proxies of one's own stand in front:
each adds the address that it was asked from at the end of X-Forwarded-For, so the client's is that many from the end.
What stands before it, the client wrote itself.
"""

from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

LONGEST = 2000


def of(request: HttpRequest) -> str | None:
    """The client's address, canonical; None where it is not known (a Unix socket), or what was said is no address."""
    hops: int = settings.TRUSTED_PROXIES
    connection = _canonical(request.META.get("REMOTE_ADDR", ""))
    if hops == 0:
        return connection
    said = request.META.get("HTTP_X_FORWARDED_FOR", "")[-LONGEST:].split(",")
    if len(said) < hops:  # did not come through all of them
        return connection
    return _canonical(said[-hops].strip()) or connection


def network(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address, of which one client has all."""
    return str(ip_network(f"{address}/{64 if ':' in address else 32}", strict=False))


def _canonical(text: str) -> str | None:
    try:
        found = ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or IPv6Address(found.packed)  # without a zone
    return str(found)
