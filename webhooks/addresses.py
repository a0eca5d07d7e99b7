"""Which addresses a message may go to: those that are reachable by everybody, by an allow rule, and no others. Pure.

`ipaddress.is_global` alone is no such rule: it lets through multicast, translated addresses (NAT64, 6to4, Teredo) whose
inside it does not read, and on some versions of Python parts of 192.0.0.0/24.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NOT_V4 = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
# Unicast that IANA gives out; all else (loopback, mapped, NAT64, local, site local, multicast …) lies outside.
_UNICAST_V6 = ip_network("2000::/3")
_NOT_V6 = [
    ip_network(text)
    # Protocol assignments with Teredo, benchmarking, ORCHID; documentation; 6to4; AS112.
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one; any other as it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def is_public(address: Address) -> bool:
    """Whether a message may go there."""
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        allowed = not any(address in network for network in _NOT_V4)
    else:
        inside = address in _UNICAST_V6 and address.scope_id is None
        allowed = inside and not any(address in network for network in _NOT_V6)
    # What Python knows to be special and we have not listed is refused, too.
    return allowed and address.is_global and not address.is_multicast and not address.is_reserved


def parse(text: str) -> Address | None:
    """An address in its usual notation, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None
