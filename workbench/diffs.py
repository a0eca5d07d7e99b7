"""Two texts beside each other, line by line, and inside a changed line word by word. Pure."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["same", "gone", "new"]

WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)
ALIKE = 0.4
"""Lines that share so much of themselves are one line, changed; others are one gone and one new."""


class Piece(NamedTuple):
    """Part of a line; ``changed`` where the line on the other side has something else there."""

    text: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its numbers in the old and in the new text, from 1; None where it is not in that one."""

    kind: Kind
    old: int | None
    new: int | None
    pieces: tuple[Piece, ...]


def lines(old: str, new: str) -> list[Line]:
    """Every line of both texts, in order: what is gone before what is new in its place."""
    before, after = old.splitlines(), new.splitlines()
    found: list[Line] = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            same = zip(range(i, i_end), range(j, j_end), strict=True)
            found += [Line("same", n + 1, m + 1, (Piece(before[n]),)) for n, m in same]
        else:
            found += _changed(before[i:i_end], after[j:j_end], i, j)
    return found


def differs(found: Sequence[Line]) -> bool:
    return any(line.kind != "same" for line in found)


def _changed(gone: list[str], new: list[str], i: int, j: int) -> Iterator[Line]:
    """A run of lines in the place of another; each pair of them that is alike is marked word by word."""
    old_pieces: list[tuple[Piece, ...]] = [(Piece(text),) for text in gone]
    new_pieces: list[tuple[Piece, ...]] = [(Piece(text),) for text in new]
    for n, m in _pairs(gone, new):
        old_pieces[n], new_pieces[m] = _words(gone[n], new[m])
    yield from (Line("gone", i + n + 1, None, pieces) for n, pieces in enumerate(old_pieces))
    yield from (Line("new", None, j + m + 1, pieces) for m, pieces in enumerate(new_pieces))


def _pairs(gone: list[str], new: list[str]) -> Iterator[tuple[int, int]]:
    """Lines of either side that are one line, changed; both in order."""
    next_new = 0
    for n, text in enumerate(gone):
        ratios = [(_ratio(text, new[m]), -m) for m in range(next_new, len(new))]
        best, place = max(ratios, default=(0.0, 0))
        if best >= ALIKE:
            yield n, -place
            next_new = -place + 1


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, WORDS.findall(one), WORDS.findall(other), autojunk=False).ratio()


def _words(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    before, after = WORDS.findall(old), WORDS.findall(new)
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        for side, text in zip(sides, ("".join(before[i:i_end]), "".join(after[j:j_end])), strict=True):
            if text:
                side.append(Piece(text, tag != "equal"))
    return tuple(sides[0]), tuple(sides[1])
