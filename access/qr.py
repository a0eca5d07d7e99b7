"""QR codes (ISO/IEC 18004), as SVG and without a library: bytes, error correction M, up to 580 bytes.

For what must not leave the page that shows it, such as the key of a second factor.
"""

from collections.abc import Iterator
from typing import Final

Matrix = list[list[bool]]
"""Rows of modules; True is dark."""

# By version from 1: check bytes of each block, and blocks.
_CHECK_BYTES: Final = (10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26)
_BLOCKS: Final = (1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16)
_QUIET: Final = 4


def _field() -> tuple[list[int], list[int]]:
    """Powers of 2 and logarithms in GF(256) by x⁸+x⁴+x³+x²+1."""
    powers, logs, value = [0] * 255, [0] * 256, 1
    for exponent in range(255):
        powers[exponent], logs[value] = value, exponent
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return powers, logs


_POWERS, _LOGS = _field()


def _times(first: int, second: int) -> int:
    return _POWERS[(_LOGS[first] + _LOGS[second]) % 255] if first and second else 0


def check_bytes(data: bytes, count: int) -> bytes:
    """The Reed-Solomon check bytes of a block."""
    generator = [1]
    for exponent in range(count):
        shifted = [*generator, 0]
        for index, factor in enumerate(generator):
            shifted[index + 1] ^= _times(factor, _POWERS[exponent])
        generator = shifted
    rest = [0] * count
    for byte in data:
        factor = byte ^ rest[0]
        rest = [*rest[1:], 0]
        rest = [one ^ _times(coefficient, factor) for one, coefficient in zip(rest, generator[1:], strict=True)]
    return bytes(rest)


def _room(version: int) -> int:
    """Data and check bytes of a version."""
    modules = (16 * version + 128) * version + 64
    if version >= 2:
        patterns = version // 7 + 2
        modules -= (25 * patterns - 10) * patterns - 55
    if version >= 7:
        modules -= 36
    return modules // 8


def _encoded(text: bytes) -> tuple[int, bytes]:
    """The smallest version that holds a text, and its bytes with their check bytes, interleaved."""
    for version, (checks, blocks) in enumerate(zip(_CHECK_BYTES, _BLOCKS, strict=True), start=1):
        room = _room(version) - checks * blocks
        length_bits = 8 if version < 10 else 16
        if 4 + length_bits + 8 * len(text) <= 8 * room:
            break
    else:
        raise ValueError(f"a QR code holds 580 bytes or so, and this is {len(text):,}")
    bits = f"0100{len(text):0{length_bits}b}" + "".join(f"{byte:08b}" for byte in text)
    bits += "0" * min(4, 8 * room - len(bits))
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    data += bytes((0xEC, 0x11)[index % 2] for index in range(room - len(data)))
    # Blocks differ by one byte at most, the shorter first.
    short, longer = room // blocks, room % blocks
    parts, at = [], 0
    for index in range(blocks):
        size = short + (index >= blocks - longer)
        parts.append(data[at : at + size])
        at += size
    tails = [check_bytes(part, checks) for part in parts]
    mixed = [part[index] for index in range(short + 1) for part in parts if index < len(part)]
    mixed += [tail[index] for index in range(checks) for tail in tails]
    return version, bytes(mixed)


def _alignment(version: int, size: int) -> list[int]:
    """Where the centres of alignment patterns stand, in both directions."""
    if version == 1:
        return []
    count = version // 7 + 2
    step = (version * 8 + count * 3 + 5) // (count * 4 - 4) * 2
    return [6, *sorted(size - 7 - index * step for index in range(count - 1))]


def _remainder(value: int, bits: int, polynomial: int) -> int:
    rest = value
    for _ in range(bits):
        rest = rest << 1 ^ (rest >> (bits - 1)) * polynomial
    return rest


class _Drawing:
    """A code being drawn: its modules, and which of them are no data."""

    def __init__(self, version: int) -> None:
        self.size = version * 4 + 17
        self.dark: Matrix = [[False] * self.size for _ in range(self.size)]
        self.taken: Matrix = [[False] * self.size for _ in range(self.size)]
        self._patterns(version)

    def put(self, column: int, row: int, dark: bool) -> None:
        self.dark[row][column] = dark
        self.taken[row][column] = True

    def _patterns(self, version: int) -> None:
        last = self.size - 1
        for index in range(self.size):
            self.put(6, index, index % 2 == 0)
            self.put(index, 6, index % 2 == 0)
        for column, row in ((3, 3), (last - 3, 3), (3, last - 3)):
            for across in range(-4, 5):
                for down in range(-4, 5):
                    if 0 <= column + across <= last and 0 <= row + down <= last:
                        self.put(column + across, row + down, max(abs(across), abs(down)) not in (2, 4))
        centres = _alignment(version, self.size)
        for column in centres:
            for row in centres:
                if (column, row) in ((6, 6), (6, last - 6), (last - 6, 6)):
                    continue
                for across in range(-2, 3):
                    for down in range(-2, 3):
                        self.put(column + across, row + down, max(abs(across), abs(down)) != 1)
        self.format(0)
        if version >= 7:
            bits = version << 12 | _remainder(version, 12, 0x1F25)
            for index in range(18):
                dark, far, near = bool(bits >> index & 1), self.size - 11 + index % 3, index // 3
                self.put(far, near, dark)
                self.put(near, far, dark)

    def format(self, mask: int) -> None:
        """Error correction M (whose bits are 00) and the mask, twice."""
        bits = (mask << 10 | _remainder(mask, 10, 0x537)) ^ 0x5412
        dark = [bool(bits >> index & 1) for index in range(15)]
        for index in range(6):
            self.put(8, index, dark[index])
        for (column, row), index in (((8, 7), 6), ((8, 8), 7), ((7, 8), 8)):
            self.put(column, row, dark[index])
        for index in range(9, 15):
            self.put(14 - index, 8, dark[index])
        for index in range(8):
            self.put(self.size - 1 - index, 8, dark[index])
        for index in range(8, 15):
            self.put(8, self.size - 15 + index, dark[index])
        self.put(8, self.size - 8, True)

    def places(self) -> Iterator[tuple[int, int]]:
        """Where data go, in order: columns by twos from the right, up and down in turn."""
        rights = [*range(self.size - 1, 6, -2), *range(5, 0, -2)]
        for turn, right in enumerate(rights):
            rows = range(self.size) if turn % 2 else range(self.size - 1, -1, -1)
            for row in rows:
                for column in (right, right - 1):
                    if not self.taken[row][column]:
                        yield column, row

    def data(self, mixed: bytes) -> None:
        for index, (column, row) in zip(range(8 * len(mixed)), self.places(), strict=False):
            self.dark[row][column] = bool(mixed[index // 8] >> (7 - index % 8) & 1)


def matrix(text: str) -> Matrix:
    """The code of a text. Every mask is right; readers ask only that the code is no plain surface, and this one, a
    chequerboard, is none.
    """
    version, mixed = _encoded(text.encode())
    drawing = _Drawing(version)
    drawing.data(mixed)
    for column, row in drawing.places():
        drawing.dark[row][column] ^= (column + row) % 2 == 0
    drawing.format(0)
    return drawing.dark


def svg(text: str, *, label: str) -> str:
    """The code as an SVG element, black on white with its quiet zone. ``label`` is for who cannot see it, and is put in
    as it stands.
    """
    rows = matrix(text)
    size = len(rows) + 2 * _QUIET
    path = "".join(
        f"M{column + _QUIET},{row + _QUIET}h1v1h-1z"
        for row, modules in enumerate(rows)
        for column, dark in enumerate(modules)
        if dark
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size * 5}" height="{size * 5}"'
        f' role="img" aria-label="{label}" shape-rendering="crispEdges">'
        f'<rect width="{size}" height="{size}" fill="#fff"/><path d="{path}" fill="#000"/></svg>'
    )
