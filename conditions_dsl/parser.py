"""From text to tree: scan, count, parse, build. Each step bounds what the next one has to bear."""

from __future__ import annotations

from functools import cache
from math import inf
from pathlib import Path as File
from typing import Final

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from conditions_dsl import mending, words
from conditions_dsl.builder import Builder
from conditions_dsl.errors import ConditionError, Diagnostic, Mend, Problem, apply_edits, line_and_column
from conditions_dsl.model import Condition, size
from conditions_dsl.silence import refuse_silence

# A tree has at least as many nodes as its text has comparisons, and as it has joints: what has too many of either is
# refused unparsed.
_COMPARISONS: Final = frozenset(
    {"IS", "IN", "CONTAINS", "STARTS", "ENDS", "EQUAL", "NE", "LESSTHAN", "LE", "MORETHAN", "GE"}
)
_JOINTS: Final = frozenset({"AND", "OR"})
# A proposed mend is tried out by parsing. This bounds the tokens read again in doing so; a text of a machine's
# accident, with thousands of words, is refused without.
_TOKENS_FOR_MENDING: Final = 1_200
_MOST_MENDS: Final = 16
_MENDED_PROBLEMS: Final = 3


@cache
def grammar() -> Lark:
    """The grammar, made when a text is first read: half a second that a process which reads none need not wait."""
    return Lark(
        File(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        strict=True,
        maybe_placeholders=True,
        propagate_positions=True,
    )


def parse(text: str) -> Condition:
    """The condition a text says.

    Raises `ConditionError`, whose `diagnostics` say line, column, what is wrong and, where one is found, the mended
    text.
    """
    try:
        return _parse(text)
    except _Refused as refused:
        tries = min(_MOST_MENDS, _TOKENS_FOR_MENDING // max(1, refused.tokens))
        told = enumerate(refused.problems)
        found = tuple(_diagnose(text, problem, tries if n < _MENDED_PROBLEMS else 0) for n, problem in told)
        raise ConditionError(text, found) from None


class _Refused(Exception):
    """The faults of a text, and how many tokens it has."""

    def __init__(self, problems: list[Problem], tokens: int) -> None:
        super().__init__()
        self.problems = sorted(problems, key=lambda problem: problem.at)
        self.tokens = tokens


def _parse(text: str, advise: bool = True) -> Condition:
    """`advise`: whether a fault is to be told to a person; else only its place counts."""
    if len(text) > words.MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > words.MAX_TEXT_BYTES:
        raise _Refused([Problem(0, "The text is longer than 16 KiB, the most a condition may be.")], words.MAX_TOKENS)
    if unstorable := words.UNSTORABLE.search(text):  # in a comment too: the text itself is kept
        raise _Refused([mending.strange_character(text, unstorable.start())], 1)
    tokens, fault = _scan(text)
    try:
        _count(tokens)
        tree = _tree(text, tokens, fault, advise)
    except Problem as problem:
        raise _Refused([problem], len(tokens)) from None
    builder = Builder(text)
    condition = builder.build(tree)
    if condition is None or builder.problems:
        raise _Refused(builder.problems, len(tokens))
    try:
        if size(condition) > words.MAX_NODES:
            raise _too_many_nodes()
        refuse_silence(condition)
    except Problem as problem:
        raise _Refused([problem], len(tokens)) from None
    return condition


def _scan(text: str) -> tuple[list[Token], Problem | None]:
    """The tokens of the text, up to the first character that begins none."""
    tokens: list[Token] = []
    try:
        scanning = grammar().parse_interactive(text)
        for token in scanning.lexer_thread.lex(scanning.parser_state):
            tokens.append(token)
            if len(tokens) > words.MAX_TOKENS:
                return tokens, None
    except UnexpectedCharacters as error:
        return tokens, mending.strange_character(text, error.pos_in_stream or 0)
    return tokens, None


def _count(tokens: list[Token]) -> None:
    """Refuses what is too deep or too large, before any tree is built: the tree may then be walked by recursion."""
    opened: list[int] = []
    depth = nots = comparisons = joints = 0
    previous = ""
    for token in tokens:
        kind = token.type
        comparisons += kind in _COMPARISONS
        joints += kind in _JOINTS
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
    if max(comparisons, joints) > words.MAX_NODES:
        raise _too_many_nodes()
    if len(tokens) > words.MAX_TOKENS:
        raise Problem(
            tokens[-1].start_pos or 0, "The text has more than 2,048 words and signs, the most a condition may have."
        )


def _too_many_nodes() -> Problem:
    return Problem(0, "The condition has more than 256 nodes (events, tests and what joins them). Say it with fewer.")


def _tree(text: str, tokens: list[Token], fault: Problem | None, advise: bool) -> Tree[Token]:
    parser = grammar().parse_interactive()
    done = 0
    try:
        for token in tokens:
            parser.feed_token(token)
            done += 1
        if fault is not None:
            raise fault
        tree: Tree[Token] = parser.feed_eof(tokens[-1] if tokens else None)
    except UnexpectedToken as error:
        at = len(text.rstrip()) if error.token.type == "$END" else error.token.start_pos or 0
        if not advise:
            raise Problem(at, "") from None
        raise mending.unexpected(text, tokens[:done], tokens[done:], at, _expected(tokens[:done])) from None
    return tree


def _expected(done: list[Token]) -> frozenset[str]:
    """The kinds of token that could follow. The parser that met the wrong one has already drawn conclusions from it."""
    parser = grammar().parse_interactive()
    for token in done:
        parser.feed_token(token)
    return frozenset(parser.accepts())


def _diagnose(text: str, problem: Problem, tries: int) -> Diagnostic:
    """The diagnostic of a problem, with the proposal after which the text reads furthest, if any mends the place."""
    best: tuple[float, Mend | None] = (-1, None)
    for mend in problem.mends[:tries]:
        reach = _reach(apply_edits(text, mend.edits), problem, mend)
        if reach > best[0]:
            best = reach, mend
            if reach == inf:
                break
    chosen = best[1]
    if chosen is None:
        return Diagnostic("error", *line_and_column(text, problem.at), problem.message)
    # A word that is replaced is the place to look at, though the reading stopped only behind it.
    first = chosen.edits[0]
    at = first.start if len(chosen.edits) == 1 and first.end > first.start else problem.at
    at = at if chosen.at is None else chosen.at
    message = chosen.message or problem.message
    return Diagnostic("error", *line_and_column(text, at), message, apply_edits(text, chosen.edits))


def _reach(candidate: str, problem: Problem, mend: Mend) -> float:
    """How far the edited text reads: infinitely where it has no fault, -1 where the old fault still stands."""
    try:
        _parse(candidate, advise=False)
    except _Refused as refused:
        # The old place, in the edited text, lies behind what was written at it or before it.
        moved = problem.at + sum(len(e.text) - (e.end - e.start) for e in mend.edits if e.start <= problem.at)
        found = refused.problems[0].at
        return found if found > max(moved, problem.at) else -1
    return inf
