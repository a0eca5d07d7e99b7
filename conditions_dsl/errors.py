"""What is told of a text that cannot be accepted, or that is accepted with a doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `line` and `column` count from 1 (columns in code points); `fix` is the whole text, mended."""

    severity: Literal["error", "warning"]
    line: int
    column: int
    message: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `source[start:end]` by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Mend:
    """A proposal: edits made together and, where they say more than the fault, the sentence and place to tell."""

    edits: tuple[Edit, ...]
    message: str | None = None
    at: int | None = None


class Problem(Exception):
    """A fault found at an offset of the text, with what may mend it, likeliest first. Becomes a `Diagnostic`."""

    def __init__(self, at: int, message: str, *mends: Mend) -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.mends = mends


class ConditionError(ValueError):
    """The text is no condition. `diagnostic` says where and why; `diagnostics` has every error that was found."""

    def __init__(self, source: str, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(diagnostics[0].message)
        self.source = source
        self.diagnostics = diagnostics

    @property
    def diagnostic(self) -> Diagnostic:
        return self.diagnostics[0]

    def __str__(self) -> str:
        return render(self.source, self.diagnostic)


def line_and_column(source: str, at: int) -> tuple[int, int]:
    """The place of an offset, both counted from 1."""
    at = max(0, min(at, len(source)))
    return source.count("\n", 0, at) + 1, at - (source.rfind("\n", 0, at) + 1) + 1


def apply_edits(source: str, edits: tuple[Edit, ...]) -> str:
    """The text with the edits made; they must not overlap."""
    for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def render(source: str, diagnostic: Diagnostic) -> str:
    """Line, column and sentence, the source line with a caret under the place, and the mended lines if any."""
    before = source.split("\n")
    line = before[diagnostic.line - 1].rstrip("\r") if diagnostic.line <= len(before) else ""
    # A very long line is shown around the place only.
    start = max(0, diagnostic.column - 1 - 80) if len(line) > 160 else 0
    shown = line[start : start + 160]
    # Tabs are kept under the caret so that it stands where the reader sees the place.
    margin = "".join("\t" if c == "\t" else " " for c in shown[: diagnostic.column - 1 - start])
    out = [
        f"line {diagnostic.line}, column {diagnostic.column}: {diagnostic.message}",
        "",
        f"    {shown}",
        f"    {margin}^",
    ]
    if diagnostic.fix is not None:
        out += ["", "Mended:", *(f"    {text}" for text in _changed_lines(before, diagnostic.fix.split("\n")))]
    return "\n".join(out)


def _changed_lines(before: list[str], after: list[str]) -> list[str]:
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    return [text[:400].rstrip("\r") for text in after[first : len(after) - last]]
