"""One parse error seen from all sides: what stood before, what stands here, what was expected, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lark import Token

from conditions_dsl import words

READINGS: Final = ("LATEST", "FIRST", "HIGHEST", "LOWEST", "TOTAL", "AVERAGE")
CLAUSES: Final = frozenset(
    ["PER", "BILL", "VOID", "CREDIT", "SETTLE", "EXPIRE", "QUANTITY", "AMOUNT", "DIMENSION", "REPEAT"]
)
_COMPARISONS: Final = frozenset(
    ["IS", "EQUAL", "NE", "LESSTHAN", "LE", "MORETHAN", "GE", "IN", "CONTAINS", "STARTS", "ENDS"]
)
_SIGNS: Final = {
    "LPAR": "`(`", "RPAR": "`)`", "COMMA": "a comma", "EQUAL": "`=`", "NE": "`!=`", "LESSTHAN": "`<`", "LE": "`<=`",
    "MORETHAN": "`>`", "GE": "`>=`",
}  # fmt: skip
_CLAUSE_NAMES: Final = (
    "`per`, `bill when`, `void when`, `credit within`, `settle`, `expire after`, `quantity`, `amount`, `dimension` or "
    "`repeat when`"
)


@dataclass(frozen=True, slots=True)
class Slip:
    """`done` are the tokens read, `rest` begins with the one that was not taken (empty at the end of the text)."""

    text: str
    done: list[Token]
    rest: list[Token]
    at: int
    expected: frozenset[str]

    @property
    def token(self) -> Token | None:
        return self.rest[0] if self.rest else None

    def back(self, n: int) -> Token | None:
        """The n-th token before this place."""
        return self.done[-n] if len(self.done) >= n else None

    def keywords(self) -> list[str]:
        """The keywords that could stand here as such."""
        if self.wants_path():
            return []
        return sorted(name.lower() for name in self.expected if name.lower() in words.KEYWORDS)

    def wants_path(self) -> bool:
        """Whether a path or another free name is expected, for which any keyword may serve."""
        return {"WORD", "BILL", "LATEST", "IS"} <= self.expected

    def wants_literal(self) -> bool:
        return {"STRING", "DECIMAL", "TRUE"} <= self.expected and not self.wants_path()

    def wants_condition(self) -> bool:
        return {"NO", "LATEST", "WORD"} <= self.expected and not self.wants_path()

    def could_start_condition(self) -> bool:
        return self.token is not None and self.token.type in [
            "WORD",
            "STRING",
            "NO",
            "NOT",
            "LATEST",
            "FIRST",
            "HIGHEST",
            "LOWEST",
            "TOTAL",
            "AVERAGE",
            "NUMBER",
            "AT",
            "EXACTLY",
            "MORE",
            "FEWER",
            "ANY",
            "ALL",
            "NONE",
            "POINTS",
        ]

    def starts_comparison(self, ahead: int) -> bool:
        if len(self.rest) <= ahead:
            return False
        kind = self.rest[ahead].type
        if kind == "NOT":
            return len(self.rest) > ahead + 1 and self.rest[ahead + 1].type == "IN"
        return kind in _COMPARISONS

    def compares_values(self) -> bool:
        """Whether a VALUE stands where only a literal can."""
        return self.wants_literal() and any(
            self.rest[0].type in (*READINGS, "NUMBER") and token.type == "OF" for token in self.rest[1:4]
        )

    def open_parentheses(self) -> int:
        return sum((t.type == "LPAR") - (t.type == "RPAR") for t in self.done)

    # --------------------------------------------------------------------------------------------------- sentences

    def sentence(self) -> str:
        """What is wrong, where no better word for it is known."""
        special = self._special()
        if special:
            return special
        return f"After `{_short(self.done[-1])}` comes {self.wanted()}, but {self._found()}."

    def _found(self) -> str:
        return "the text ends here" if self.token is None else f"`{_short(self.token)}` stands here"

    def _special(self) -> str | None:
        token, before = self.token, self.back(1)
        if not self.done:
            if token is None:
                return 'The text is empty. It begins with `outcome NAME "Title"`.'
            return f'The text begins with `outcome NAME "Title"`; here it begins with `{_short(token)}`.'
        if len(self.done) == 1:
            return f"After `outcome` comes a short name for it, such as `resolved_ticket`, but {self._found()}."
        if (
            self.starts_comparison(0)
            and before is not None
            and before.type in ("WORD", "STRING")
            and "WHERE" in self.expected
        ):
            return (
                f"`{_short(before)}` is read as an event here, and an event cannot be compared. Test a field of an "
                f"event with `EVENT where {_short(before)} is …`, or its latest value with "
                f"`latest {_short(before)} of EVENT is …`."
            )
        if token is not None and token.type == "EVER":
            return "`ever` can only follow an event: `X ever` or `no X ever`."
        if self.compares_values():
            return "A value can only be compared with a literal (a text in double quotes, a number, `true` or `false`)."
        if self.done[-1].type in ("QUANTITY", "AMOUNT") or (
            self.done[-1].type == "EQUAL" and "LATEST" in self.expected
        ):
            field = str(token) if token is not None and token.type == "WORD" else "units"
            return (
                f"After `{before}` comes a value read from events, such as `latest {field} of EVENT`"
                f"{', or a number' if 'DECIMAL' in self.expected else ''}, but {self._found()}."
            )
        if "ELSE" in self.expected:
            return f'A choice needs its other case: `else "…"` after the condition, but {self._found()}.'
        if self.expected == {"IF"}:
            return (
                'A fixed text needs a choice: `"a" if CONDITION else "b"`. '
                "To read a value write `latest PATH of EVENT`."
            )
        return None

    def wanted(self) -> str:
        """What could stand here, in words."""
        expected = set(self.expected)
        out: list[str] = []
        if self.wants_path():
            return "a name" if "DECIMAL" not in expected else "a path into the event's data, such as `order.total`"
        if self.wants_condition():
            return "a condition, such as `ticket.closed`, `no ticket.escalated` or `latest score of csat.rated >= 4`"
        if self.wants_literal():
            out.append("a text in double quotes, a number, `true` or `false`")
            expected -= {"STRING", "DECIMAL", "TRUE", "FALSE"}
        if len(_COMPARISONS & expected) > 4:
            out.append("a comparison (`is`, `>=`, `in`, `is missing` …)")
            expected -= _COMPARISONS | {"NOT"}
        if {"LATEST", "TOTAL"} <= expected:
            out.append("a value, such as `latest total of order.paid`")
            expected -= {*READINGS, "NUMBER"}
        if "DECIMAL" in expected:
            out.append("a number")
        if {"WORD", "STRING"} <= expected:
            out.append("an event name, such as `ticket.closed`")
            expected -= {"WORD", "STRING"}
        elif "WORD" in expected:
            before = self.back(1)
            counted = before is not None and before.type == "DECIMAL"
            out.append("a unit of time (weeks, days, hours, minutes, seconds)" if counted else "a name")
        elif "STRING" in expected:
            out.append("a text in double quotes")
        out += [f"`{name.lower()}`" for name in sorted(expected - CLAUSES) if name.lower() in words.KEYWORDS]
        out += [sign for name, sign in _SIGNS.items() if name in expected]
        if len(CLAUSES & expected) > 5:
            out.append("a new clause" if out else f"a clause ({_CLAUSE_NAMES})")
        return out[0] if len(out) == 1 else f"{', '.join(out[:-1])} or {out[-1]}" if out else "the end of the text"


def _short(token: Token) -> str:
    return str(token) if len(token) <= 40 else f"{token[:37]}…"
