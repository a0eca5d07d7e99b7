"""From text to tree: scan, count, parse, build. Each step bounds what the next one has to bear."""

from __future__ import annotations

from pathlib import Path as File
from typing import Final

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from conditions_dsl import mending, words
from conditions_dsl.builder import Builder
from conditions_dsl.errors import ConditionError, Diagnostic, Edit, Problem, apply_edits, line_and_column
from conditions_dsl.model import Condition, size
from conditions_dsl.silence import refuse_silence

_LARK: Final = Lark(
    File(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
    parser="lalr",
    lexer="basic",
    strict=True,
    maybe_placeholders=True,
    propagate_positions=True,
)

# Each of these words and signs makes at least one node of the tree, so that a text with too many is refused unparsed.
_NODE_TOKENS: Final = frozenset("AND OR NO WHERE IS IN CONTAINS STARTS ENDS EQUAL NE LESSTHAN LE MORETHAN GE".split())
# A text that a person wrote is mended; a machine's accident of thousands of words is only refused.
_MENDED_TOKENS: Final = 1_200
_MOST_MENDS: Final = 6


def parse(text: str) -> Condition:
    """The condition a text says.

    Raises `ConditionError`, whose `diagnostics` say line, column, what is wrong and, where one is found, the mended text.
    """
    try:
        return _parse(text)
    except _Refused as refused:
        raise ConditionError(text, tuple(_diagnose(text, problem, refused.mend) for problem in refused.problems)) from None


class _Refused(Exception):
    def __init__(self, problems: list[Problem], mend: bool = True) -> None:
        super().__init__()
        self.problems = problems
        self.mend = mend


def _parse(text: str) -> Condition:
    if len(text) > words.MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > words.MAX_TEXT_BYTES:
        raise _Refused([Problem(0, "The text is longer than 16 KiB, the most a condition may be.")], mend=False)
    tokens, fault = _scan(text)
    try:
        _count(tokens)
        if fault is not None and len(tokens) > _MENDED_TOKENS:
            raise fault
        tree = _tree(text, tokens, fault)
    except Problem as problem:
        raise _Refused([problem], mend=len(tokens) <= _MENDED_TOKENS) from None
    builder = Builder(text)
    condition = builder.build(tree)
    if condition is None or builder.problems:
        raise _Refused(sorted(builder.problems, key=lambda p: p.at))
    try:
        if size(condition) > words.MAX_NODES:
            raise _too_many_nodes()
        refuse_silence(condition)
    except Problem as problem:
        raise _Refused([problem]) from None
    return condition


def _scan(text: str) -> tuple[list[Token], Problem | None]:
    """The tokens of the text, up to the first character that begins none."""
    tokens: list[Token] = []
    try:
        scanning = _LARK.parse_interactive(text)
        for token in scanning.lexer_thread.lex(scanning.parser_state):
            tokens.append(token)
            if len(tokens) > words.MAX_TOKENS:
                return tokens, None
    except UnexpectedCharacters as error:
        return tokens, mending.strange_character(text, error.pos_in_stream)
    return tokens, None


def _count(tokens: list[Token]) -> None:
    """Refuses what is too deep or too large, before any tree is built: the tree may then be walked by recursion."""
    opened: list[int] = []
    depth = nots = nodes = 0
    previous = ""
    for token in tokens:
        kind = token.type
        nodes += kind in _NODE_TOKENS
        if kind == "LPAR":
            opened.append(nots + 1)
            depth += nots + 1
            nots = 0
        elif kind == "NOT" and previous != "IS":
            nots += 1
        else:
            nots = 0
            if kind == "RPAR" and opened:
                depth -= opened.pop()
        if depth + nots > words.MAX_NESTING:
            raise Problem(token.start_pos or 0, "This is nested more than 32 deep. Say it with fewer parentheses.")
        previous = kind
    if nodes > words.MAX_NODES:
        raise _too_many_nodes()
    if len(tokens) > words.MAX_TOKENS:
        raise Problem(tokens[-1].start_pos or 0, "The text has more than 4,096 words and signs, the most a condition may have.")


def _too_many_nodes() -> Problem:
    return Problem(0, "The condition has more than 256 nodes (events, tests and what joins them). Say it with fewer.")


def _tree(text: str, tokens: list[Token], fault: Problem | None) -> Tree[Token]:
    parser = _LARK.parse_interactive()
    done: list[Token] = []
    try:
        for token in tokens:
            parser.feed_token(token)
            done.append(token)
        if fault is not None:
            raise fault
        tree: Tree[Token] = parser.feed_eof(tokens[-1] if tokens else None)
    except UnexpectedToken as error:
        token = error.token
        at = len(text.rstrip()) if token.type == "$END" else token.start_pos or 0
        rest = tokens[len(done) :]
        raise mending.unexpected(text, done, rest, at, frozenset(parser.accepts())) from None
    return tree


def _diagnose(text: str, problem: Problem, mend: bool) -> Diagnostic:
    line, column = line_and_column(text, problem.at)
    fix = _mended(text, problem) if mend else None
    return Diagnostic("error", line, column, problem.message, fix)


def _mended(text: str, problem: Problem) -> str | None:
    """The first proposed mend that is one: the mended text has no fault, or only one that lies further on."""
    for edits in problem.mends[:_MOST_MENDS]:
        candidate = apply_edits(text, edits)
        try:
            _parse(candidate)
        except _Refused as refused:
            if _moved(problem.at, edits) >= min(p.at for p in refused.problems):
                continue
        return candidate
    return None


def _moved(at: int, edits: tuple[Edit, ...]) -> int:
    """Where the old place lies in the edited text: behind what was written at it."""
    return at + sum(len(e.text) - (e.end - e.start) for e in edits if e.start <= at)
