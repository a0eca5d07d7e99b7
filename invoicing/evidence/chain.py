"""Records as lines, each chained to the one before by its hash."""

import hashlib
from typing import Any

import msgspec

# What the first record is chained to.
START = "0" * 64

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Chain:
    """Numbers records and chains them. The hash of a line is SHA-256, in hexadecimal, over the hash of the line before
    and the line's own bytes up to the comma before ``"hash"``.
    """

    def __init__(self) -> None:
        self.previous = START
        self.n = 0

    def line(self, kind: str, body: dict[str, Any]) -> bytes:
        """The next record, with its line break. ``body`` may hold JSON already encoded, as `msgspec.Raw`."""
        self.n += 1
        head = b'{"n":%d,"kind":"%b","body":%b' % (self.n, kind.encode(), _encode(body))
        self.previous = hashlib.sha256(self.previous.encode() + head).hexdigest()
        return head + b',"hash":"%b"}\n' % self.previous.encode()
