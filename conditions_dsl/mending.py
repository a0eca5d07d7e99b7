from __future__ import annotations
from lark import Token
from conditions_dsl.errors import Edit, Problem

def strange_character(text: str, at: int) -> Problem:
    return Problem(at, f"`{text[at]}` is not understood here.")

def unexpected(text: str, done: list[Token], rest: list[Token], at: int, expected: frozenset[str]) -> Problem:
    return Problem(at, f"expected one of {sorted(expected)}")
