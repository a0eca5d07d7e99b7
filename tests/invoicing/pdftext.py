"""Reads the text back out of a PDF that typst wrote: glyph codes in the pages' streams, through the fonts' own maps.

Not a general reader. It goes the way a viewer goes (page, its fonts, their ToUnicode maps, the shown strings), so a
glyph that is missing or a line that is not set is missing here too.
"""

import re
import zlib
from collections.abc import Iterator

_OBJECT = re.compile(rb"(?<![0-9])(\d+) 0 obj(.*?)endobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*)\r?\nendstream", re.DOTALL)
_ESCAPES = {b"n": 10, b"r": 13, b"t": 9, b"b": 8, b"f": 12, b"(": 40, b")": 41, b"\\": 92}


def pages(pdf: bytes) -> list[str]:
    """The text of each page, in the order in which it was set; runs are joined without a space."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    found = []
    for body in objects.values():
        if re.search(rb"/Type\s*/Page\b", body):
            fonts = _fonts(body, objects)
            contents = [int(number) for number in re.findall(rb"/Contents\s*\[?\s*(\d+) 0 R", body)]
            found.append("".join(_shown(_stream(objects[number]), fonts) for number in contents))
    return found


def missing(pdf: bytes) -> int:
    """How many glyphs are shown that no font has: boxes, of which typst says nothing."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    found = 0
    for body in objects.values():
        if re.search(rb"/Type\s*/Page\b", body):
            for number in re.findall(rb"/Contents\s*\[?\s*(\d+) 0 R", body):
                found += sum((codes or []).count(0) for _, codes in _tokens(_stream(objects[int(number)])))
    return found


def _fonts(page: bytes, objects: dict[int, bytes]) -> dict[bytes, dict[int, str]]:
    resources = page
    outside = re.search(rb"/Resources\s+(\d+) 0 R", page)
    if outside:
        resources = objects[int(outside[1])]
    table = re.search(rb"/Font\s*<<(.*?)>>", resources, re.DOTALL)
    assert table, "a page without fonts"
    return {
        name: _map(_stream(objects[int(re.search(rb"/ToUnicode\s+(\d+) 0 R", objects[int(number)])[1])]))  # type: ignore[index]
        for name, number in re.findall(rb"/(\w+)\s+(\d+) 0 R", table[1])
    }


def _stream(body: bytes) -> bytes:
    match = _STREAM.search(body)
    assert match, "no stream"
    return zlib.decompress(match[1]) if b"FlateDecode" in body else match[1]


def _map(cmap: bytes) -> dict[int, str]:
    found: dict[int, str] = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for code, text in re.findall(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            found[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for low, high, text in re.findall(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            for offset in range(int(high, 16) - int(low, 16) + 1):
                found[int(low, 16) + offset] = chr(int(text, 16) + offset)
    return found


_TOKENS = re.compile(rb"/(\w+)\s+[\d.]+\s+Tf|(\()|<([0-9A-Fa-f]+)>(?!>)|\b(ET)\b", re.DOTALL)
_PARENTHESES = re.compile(rb"\\.|[()]", re.DOTALL)


def _tokens(content: bytes) -> Iterator[tuple[bytes, list[int] | None]]:
    """The fonts chosen by name, the codes shown, and (b"", None) at the end of each text."""
    at = 0
    while token := _TOKENS.search(content, at):
        at = token.end()
        name, literal, hexadecimal, _ = token.groups()
        if name:
            yield name, None
        elif literal:
            end = _closing(content, at)
            yield b"", _codes(_unescaped(content[at:end]))
            at = end + 1
        elif hexadecimal:
            yield b"", _codes(bytes.fromhex(hexadecimal.decode()))
        else:
            yield b"", None


def _closing(content: bytes, start: int) -> int:
    """Where a string ends; parentheses within it stand unescaped where they are balanced."""
    depth = 1
    for found in _PARENTHESES.finditer(content, start):
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if not depth:
            return found.start()
    raise AssertionError("a string without an end")


def _codes(shown: bytes) -> list[int]:
    return [int.from_bytes(shown[i : i + 2], "big") for i in range(0, len(shown), 2)]


def _shown(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    text: list[str] = []
    font: dict[int, str] = {}
    for name, codes in _tokens(content):
        if name:
            font = fonts[name]
        elif codes is None:
            text.append("\n")
        else:
            text.append("".join(font[code] for code in codes if code in font))
    return "".join(text)


def _unescaped(literal: bytes) -> bytes:
    out, index = bytearray(), 0
    while index < len(literal):
        if literal[index : index + 1] != b"\\":
            out.append(literal[index])
            index += 1
            continue
        octal = re.match(rb"[0-7]{1,3}", literal[index + 1 : index + 4])
        if octal:
            out.append(int(octal[0], 8))
            index += 1 + len(octal[0])
        else:
            out.append(_ESCAPES[literal[index + 1 : index + 2]])
            index += 2
    return bytes(out)
