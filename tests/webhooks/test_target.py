"""Nothing is ever sent to an address that is not public, whatever the URL and the resolver say."""

import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from webhooks.addresses import is_public
from webhooks.sending import post
from webhooks.target import Refused, read

# Addresses that no message may go to: loopback, private, shared, link local (the metadata services), documentation,
# benchmarking, multicast, reserved, and IPv6 forms that carry an IPv4 address inside.
HIDDEN_V4 = [
    "0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.64.0.1",
    "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.255", "169.254.0.1",
    "169.254.169.253", "169.254.169.254", "169.254.170.2", "169.254.255.255", "172.16.0.0", "172.16.0.1",
    "172.20.10.1", "172.31.255.255", "192.0.0.0", "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.170",
    "192.0.0.171", "192.0.0.192", "192.0.2.1", "192.0.2.255", "192.31.196.1", "192.52.193.1", "192.88.99.1",
    "192.168.0.1", "192.168.1.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "224.0.0.251", "230.0.0.1", "239.255.255.250", "240.0.0.1", "250.1.2.3",
    "255.255.255.254", "255.255.255.255",
]  # fmt: skip
HIDDEN_V6 = [
    "::", "::1", "::2", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:192.168.0.1", "::ffff:100.64.0.1", "::ffff:0.0.0.0", "::ffff:0:127.0.0.1",
    "::ffff:224.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::0a00:1", "64:ff9b::5db8:d822",
    "64:ff9b:1::1", "64:ff9b:1:a9fe:a9fe::", "100::1", "100:0:0:1::1", "2001::1", "2001:0:4136:e378::1",
    "2001:1::1", "2001:2::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1", "2001:db8::1",
    "2001:db8:ffff::1", "2002::1", "2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "2002:7f00:1::", "2002:a00:1::1",
    "2620:4f:8000::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "8000::1", "fc00::1", "fd00::1",
    "fd00:ec2::254", "fdff:ffff::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "ff01::1",
    "ff02::1", "ff05::2", "ff0e::1", "ffff::1",
]  # fmt: skip
HIDDEN = HIDDEN_V4 + HIDDEN_V6
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0",
    "2606:4700:4700::1111", "2a00:1450:4001::1", "2600::1", "::ffff:8.8.8.8",
]  # fmt: skip

# URLs that must be refused as they stand; {port} is the port of a listener on 127.0.0.1.
HOSTILE = [
    # Not https, or no URL at all.
    "", "x", "https", "https:", "https:/", "https://", "https:///", "https:127.0.0.1", "//example.com/",
    "/hooks", "http://example.com/", "http://127.0.0.1:{port}/", "http://localhost:{port}/", "ftp://example.com/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "javascript:alert(1)", "dict://127.0.0.1:{port}/",
    "unix:///tmp/socket", "data:text/plain,x", " https://example.com/", "https ://example.com/", "ht\ntps://example.com",
    # Loopback by its names and numbers.
    "https://localhost:{port}/", "https://LOCALHOST:{port}/", "https://localhost.:{port}/", "https://127.0.0.1:{port}/",
    "https://127.0.0.1.:{port}/", "https://127.1:{port}/", "https://127.0.1:{port}/", "https://2130706433:{port}/",
    "https://0x7f000001:{port}/", "https://0x7F.0.0.1:{port}/", "https://0x7f.1:{port}/", "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/", "https://0:{port}/", "https://0x:{port}/", "https://00:{port}/",
    "https://0.0.0.0:{port}/", "https://127.0.0.1%00.example.com:{port}/", "https://127.000.000.001:{port}/",
    "https://127.0.0.0x1:{port}/", "https://1.0x7f000001:{port}/", "https://4294967295:{port}/", "https://1:{port}/",
    "https://99999999999:{port}/", "https://256.256.256.256:{port}/", "https://1.2.3.4.5:{port}/",
    # The same in other characters.
    "https://①②⑦.⓪.⓪.①:{port}/", "https://１２７.０.０.１:{port}/", "https://127。0。0。1:{port}/", "https://127．0．0．1:{port}/",
    "https://127｡0｡0｡1:{port}/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/", "https://ｌｏｃａｌｈｏｓｔ:{port}/", "https://١٢٧.٠.٠.١:{port}/",
    "https://0ₓ7f000001:{port}/", "https://％31:{port}/", "https://%31%32%37.0.0.1:{port}/", "https://%6cocalhost/",
    "https://lo\u00adcalhost:{port}/", "https://local\u200bhost:{port}/", "https://例え。\u3002/",
    # A user name, and what looks like one.
    "https://user@example.com/", "https://user:pass@example.com/", "https://example.com@127.0.0.1:{port}/",
    "https://example.com:443@127.0.0.1:{port}/", "https://@127.0.0.1/", "https://:@example.com/",
    "https://127.0.0.1:{port}@example.com/", "https://example.com\\@127.0.0.1:{port}/", "https://a@b@example.com/",
    "https://example.com%40127.0.0.1:{port}/", "https://example.com;@127.0.0.1/",
    # Separators that parsers read differently.
    "https://example.com\\.evil.com/", "https:\\\\127.0.0.1:{port}/", "https:/\\127.0.0.1/", "https://example.com\t/",
    "https://example.com\r\nHost: 127.0.0.1/", "https://exam\nple.com/", "https://example.com/\r\nX: y",
    "https://example.com/ HTTP/1.1", "https://example.com/\x00", "https://example.com/ü", "https://example.com/\\..\\",
    "https://example.com#@127.0.0.1/", "https://example.com/#fragment", "https://example.com?#",
    "https://exa mple.com/",
    "https://127.0.0.1:{port}#.example.com/", "https://127.0.0.1:{port}?.example.com", "https://[::1]:{port}/",
    "https://example.com:{port}:443/", "https://example.com:/", "https://example.com:0/", "https://example.com:65536/",
    "https://example.com:99999/", "https://example.com:-1/", "https://example.com:+443/", "https://example.com:4 43/",
    "https://example.com:٤٤٣/", "https://example.com:443443/", "https://example.com:22/", "https://example.com:8080/",
    "https://example.com:25/", "https://example.com:6379/", "https://example.com:5432/", "https://example.com:80/",
    # IPv6.
    "https://[::1/", "https://::1:{port}/", "https://[::1]x/", "https://[::1%25lo]:{port}/", "https://[::1%lo]:{port}/",
    "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[2606:4700:4700::1111%251]/", "https://[]/",
    "https://[127.0.0.1]:{port}/", "https://[::127.0.0.1]:{port}/", "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:8.8.8.8]/", "https://[v1.x]/", "https://[1]/", "https://[:::]/", "https://[::1]]/", "https://[[::1]]/",
    "https://[0:0:0:0:0:0:0:1]:{port}/", "https://[::0001]:{port}/", "https://[0000::1]:{port}/",
    # Names that are none, or only within some network.
    "https://intranet/", "https://metadata/", "https://.example.com/", "https://example..com/", "https://example.com./",
    "https://-example.com/", "https://example-.com/", "https://ex*mple.com/", "https://*/", "https://exam'ple.com/",
    "https://example.com,127.0.0.1/", "https://{{port}}/", "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 2048, "https://xn--a.com.1/", "https://example.0x7f/", "https://host.127/",
    "https://ex_ample.0/", "https://\ud800.com/", "https://a\u0301\u0301.\u2488com/", "https://xn--\u00fc.com/",
]  # fmt: skip


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listens on 127.0.0.1 and accepts nobody; `nobody_came` tells whether somebody tried."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


class Resolver:
    """Stands in for the DNS: names and what they resolve to, one list of addresses for each time they are asked."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        try:
            ip_address(host)
        except ValueError:
            pass
        else:
            return self.real(host, port, *args, **options)
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


def test_there_are_more_than_two_hundred() -> None:
    assert len(set(HOSTILE)) + len(set(HIDDEN)) >= 250


@pytest.mark.parametrize("address", HIDDEN)
def test_no_hidden_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_the_others_are(address: str) -> None:
    assert is_public(ip_address(address))


def test_hostile_urls_connect_to_nothing(
    listener: socket.socket, connects: list[Any], resolver: Resolver, settings: Any
) -> None:
    """The listener's port is among those allowed, so that nothing is refused for its port alone."""
    port = listener.getsockname()[1]
    settings.WEBHOOK_PORTS = [443, port]
    let_through = []
    for url in [url.replace("{port}", str(port)) for url in HOSTILE]:
        answer = post(url, "{}", {})
        if not answer.error.startswith("Refused: "):
            let_through.append((url, answer.error))
    assert let_through == []
    assert connects == [] and resolver.asked == [] and nobody_came(listener)


def test_hidden_addresses_are_refused_as_literals_and_behind_names(
    listener: socket.socket, connects: list[Any], resolver: Resolver, settings: Any
) -> None:
    port = listener.getsockname()[1]
    settings.WEBHOOK_PORTS = [443, port]
    for number, address in enumerate(HIDDEN):
        literal = f"[{address}]" if ":" in address else address
        assert post(f"https://{literal}:{port}/", "{}", {}).error.startswith("Refused: "), address
        name = f"a{number}.example.com"
        for answers in ([address], ["8.8.8.8", address], [address, "2606:4700:4700::1111"]):
            resolver.names[name] = [answers]
            answer = post(f"https://{name}:{port}/", "{}", {})
            assert "which is no public address" in answer.error, (address, answer.error)
    assert connects == [] and nobody_came(listener)


def test_a_name_is_resolved_once_and_the_vetted_address_connected_to(
    listener: socket.socket, connects: list[Any], resolver: Resolver, settings: Any
) -> None:
    """Rebinding: public when it is looked at, this machine a moment later."""
    port = listener.getsockname()[1]
    settings.WEBHOOK_PORTS = [port]
    resolver.names["rebind.example.com"] = [["93.184.216.34"], ["127.0.0.1"]]
    answer = post(f"https://rebind.example.com:{port}/", "{}", {})
    assert "does not connect to ('93.184.216.34'" in answer.error
    assert resolver.asked == ["rebind.example.com"]
    assert connects == [("93.184.216.34", port)] and nobody_came(listener)
    # The next attempt asks anew, and refuses.
    assert "resolves to 127.0.0.1" in post(f"https://rebind.example.com:{port}/", "{}", {}).error
    assert len(connects) == 1 and nobody_came(listener)


def test_every_vetted_address_is_tried_up_to_a_bound(connects: list[Any], resolver: Resolver) -> None:
    resolver.names["many.example.com"] = [[f"8.8.8.{n}" for n in range(20)]]
    assert not post("https://many.example.com/", "{}", {}).accepted
    assert connects == [(f"8.8.8.{n}", 443) for n in range(4)]


def test_a_resolver_that_hangs_or_fails(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not resolve" in post("https://nowhere.example.com/", "{}", {}).error
    resolver.names["strange.example.com"] = [["fe80::1%eth0", "no address"]]
    assert "can be read" in post("https://strange.example.com/", "{}", {}).error
    monkeypatch.setattr("webhooks.sending.CONNECT_SECONDS", 0.05)
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: release.wait(10) and [])
    answer = post("https://slow.example.com/", "{}", {})
    release.set()
    assert answer.error == "Too slow: slow.example.com was not resolved in time."


def test_loopback_may_be_allowed_and_then_only_loopback(settings: Any, resolver: Resolver, connects: list[Any]) -> None:
    for url in ("http://localhost:9/x", "http://127.0.0.1:9/", "https://[::1]:9/"):
        with pytest.raises(Refused):
            read(url)
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    for url in ("http://localhost:9/x", "http://127.0.0.1:9/", "https://[::1]:9/"):
        assert read(url).url == url
    for url in ("http://10.0.0.1/", "http://example.com/", "https://169.254.169.254/", "https://intranet/"):
        with pytest.raises(Refused):
            read(url)
    # A name of this machine that leads elsewhere is refused for what it leads to, or for http.
    for address, reason in (("10.0.0.1", "no public address"), ("8.8.8.8", "https and the usual port only")):
        resolver.names["localhost"] = [[address]]
        assert reason in post("http://localhost:9/", "{}", {}).error
    resolver.names["mixed.example.com"] = [["127.0.0.1", "8.8.8.8"]]
    assert "127.0.0.1, which is no public address" in post("https://mixed.example.com/", "{}", {}).error
    settings.ENVIRONMENT = "production"
    assert post("http://127.0.0.1:9/", "{}", {}).error.startswith("Refused: ")
    assert connects == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Hooks?a=1&b=%20", "https://example.com/Hooks?a=1&b=%20"),
        ("https://example.com?a=1", "https://example.com/?a=1"),
        ("https://straße.example/x", "https://xn--strae-oqa.example/x"),
        ("https://bücher。example/", "https://xn--bcher-kva.example/"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://a_b.example.com/", "https://a_b.example.com/"),
    ],
)
def test_what_is_kept_of_a_url(given: str, kept: str) -> None:
    assert read(given).url == kept
    assert read(kept).url == kept
