"""QR codes: what another encoder draws for the same text, version and mask, and what any reader's arithmetic finds."""

import hashlib

import pytest

from access import qr

# Drawn by segno 1.6 (error correction M, mask 0), for texts that fill their version.
FOURTEEN = """
#######....##.#######
#.....#.#.##..#.....#
#.###.#..####.#.###.#
#.###.#....#..#.###.#
#.###.#.##..#.#.###.#
#.....#...##..#.....#
#######.#.#.#.#######
..........##.........
#.#.#.#..#.##...#..#.
##.....#.##.###.#...#
#..#####.#.##...#.###
#.......###.##.#....#
#.#.####..#.#....#.#.
........##..#.####.##
#######..#####.##.###
#.....#...#..#.#...##
#.###.#.#.###..##..#.
#.###.#..####.#.##.#.
#.###.#.######.####.#
#.....#...##.......#.
#######.##.###.###.##
"""
OTHERS = {
    "otpauth://totp/Holdfast:anna?".ljust(122, "x"): "3ec46c08d2e12d616fd84a68ad39780e3c6ffdff442c5868e85d2ef8bd039059",
    "y" * 412: "b82d722c219325fa11a66054cced9b144aa1d8b6fbc541117a2f4cca0b49a24f",
}


def drawn(text: str) -> str:
    return "\n".join("".join("#" if dark else "." for dark in row) for row in qr.matrix(text))


def test_another_encoder_draws_the_same() -> None:
    assert drawn("otpauth://test") == FOURTEEN.strip()
    for text, digest in OTHERS.items():
        assert hashlib.sha256(drawn(text).encode()).hexdigest() == digest, len(text)


def test_check_bytes_make_a_block_a_multiple_of_the_generator() -> None:
    """Its value at each of the generator's roots is none: what a reader works out to find errors."""
    data = bytes(range(7, 40))
    block = data + qr.check_bytes(data, 18)
    for exponent in range(18):
        value = 0
        for byte in block:
            value = qr._times(value, qr._POWERS[exponent]) ^ byte
        assert value == 0


@pytest.mark.parametrize(("length", "size"), [(1, 21), (14, 21), (15, 25), (180, 53), (181, 57), (666, 97)])
def test_the_smallest_version_is_taken(length: int, size: int) -> None:
    assert len(qr.matrix("x" * length)) == size


def test_too_much() -> None:
    with pytest.raises(ValueError, match="667"):
        qr.matrix("x" * 667)


def test_svg() -> None:
    picture = qr.svg("otpauth://test", label="QR code of the key")
    assert picture.startswith("<svg ") and 'viewBox="0 0 29 29"' in picture and picture.endswith("</svg>")
    assert picture.count("h1v1h-1z") == FOURTEEN.count("#")
    assert "M4,4h1" in picture, "behind the quiet zone"
