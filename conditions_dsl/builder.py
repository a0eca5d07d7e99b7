"""From the parse tree to the frozen tree: reads names, numbers, texts and durations, and refuses what no grammar can.

Faults are collected, not raised, so that one reading tells them all. The walk is recursive; the parser has counted the
nesting before (at most 32 deep).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, cast

from lark import Token, Tree

from conditions_dsl import model as m
from conditions_dsl import words
from conditions_dsl.errors import Edit, Mend, Problem

_ORDER: Final[dict[str, m.Order]] = {"eq": "is", "ne": "is not", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_COUNTS: Final[dict[str, m.CountOrder]] = {order.replace(" ", "_"): order for order in m.COUNT_ORDERS}
_DAYS: Final = {"month": 30, "months": 30, "year": 365, "years": 365}
_SHORT_UNITS: Final = {
    "w": "weeks", "wk": "weeks", "wks": "weeks", "d": "days", "h": "hours", "hr": "hours", "hrs": "hours",
    "m": "minutes", "min": "minutes", "mins": "minutes", "s": "seconds", "sec": "seconds", "secs": "seconds",
}  # fmt: skip

Branch = Tree[Token]


def _at(branch: Any) -> int:
    """The offset of the first token of a branch, of those too that the tree leaves out."""
    if isinstance(branch, Token):
        return branch.start_pos or 0
    place: int = branch.meta.container_start_pos
    return place


class Builder:
    """Builds one condition; `problems` has what was refused on the way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self._nodes: dict[str, Callable[[Any], m.Node]] = {
            "or_": lambda b: m.Or(self._all(b), at=_at(b)),
            "and_": lambda b: m.And(self._all(b), at=_at(b)),
            "not_": lambda b: m.Not(self._node(b.children[0]), at=_at(b)),
            "filter_or": lambda b: m.Or(self._all(b), at=_at(b)),
            "filter_and": lambda b: m.And(self._all(b), at=_at(b)),
            "filter_not": lambda b: m.Not(self._node(b.children[0]), at=_at(b)),
            "parenthesis": lambda b: self._node(b.children[0]),
            "seen": lambda b: self._seen(b, False, False),
            "seen_ever": lambda b: self._seen(b, False, True),
            "no": lambda b: self._seen(b, True, False),
            "no_ever": lambda b: self._seen(b, True, True),
            "after": lambda b: self._after(b, False),
            "no_after": lambda b: self._after(b, True),
            "within": lambda b: self._within(b, False),
            "no_within": lambda b: self._within(b, True),
            "any_of": lambda b: m.Group("any", self._all(b), at=_at(b)),
            "all_of": lambda b: m.Group("all", self._all(b), at=_at(b)),
            "none_of": lambda b: m.Group("none", self._all(b), at=_at(b)),
            "at_least_of": self._at_least_of,
            "points": self._points,
            "test": lambda b: self._test(self._value(b.children[0]), b.children[1]),
            "filter_test": lambda b: self._test(self._path(b.children[0]), b.children[1]),
        }
        self._nodes |= dict.fromkeys(_COUNTS, self._count)

    # -------------------------------------------------------------------------------------------------- the whole

    def build(self, tree: Branch) -> m.Condition | None:
        """The condition, or None when a required clause is missing. Worth nothing if `problems` is not empty."""
        header, *clauses = cast("list[Branch]", tree.children)
        slug_branch, title_token = cast("tuple[Branch, Token | None]", header.children)
        slug = self._slug(cast("Branch", slug_branch.children[0]).children[0])
        title = None if title_token is None else self._title(title_token)
        parts: dict[str, Any] = {"voids": [], "credits": [], "dimensions": []}
        places: list[tuple[str, int]] = [("outcome", 0)]
        for clause in clauses:
            self._clause(clause, parts, places)
        end = len(self.text.rstrip())
        if "keys" not in parts:
            self._fault(
                end,
                "The clause `per KEY` is missing: it names the field that tells one outcome from the next, "
                "such as `per ticket_id`.",
            )
        if "bill" not in parts:
            self._fault(
                end, "The clause `bill when CONDITION` is missing: it says when the outcome is reached, "
                "such as `bill when ticket.closed`.",
            )  # fmt: skip
        if "keys" not in parts or "bill" not in parts:
            return None
        parts |= {name: tuple(parts[name]) for name in ("voids", "credits", "dimensions")}
        return m.Condition(slug, title, **parts, source=self.text, places=tuple(places))

    def _clause(self, clause: Branch, parts: dict[str, Any], places: list[tuple[str, int]]) -> None:
        kind = str(clause.data)
        children = cast("list[Any]", clause.children)
        at = _at(clause)
        settles = kind.startswith("settle")
        name = {"per": "keys", "void": "voids", "credit": "credits", "dimension": "dimensions"}.get(kind, kind)
        name = "settle" if settles else name
        places.append((name, at))
        if name not in ("voids", "credits", "dimensions") and name in parts:
            words_of = {"keys": "per", "bill": "bill when", "early": "settle early when", "repeat": "repeat when"}
            self._fault(
                at, f"There is a second `{words_of.get(name, name)}` clause; a condition has one. {_ONCE[name]}"
            )
        match kind:
            case "per":
                parts["keys"] = tuple(tuple(self._path(p) for p in key.children) for key in children)
            case "bill" | "early" | "repeat":
                parts[kind] = self._node(children[0])
            case "void":
                parts["voids"].append(self._node(children[0]))
            case "credit":
                parts["credits"].append(
                    m.Credit(self._window(children[0]), self._node(children[1]), at=_at(children[0]))
                )
            case "expire":
                parts["expire"] = self._window(children[0])
            case "quantity":
                parts["quantity"] = self._quantity(children[0])
            case "amount":
                parts["amount"] = self._value(children[0])
            case "dimension":
                self._dimension(children, parts["dimensions"])
            case _:
                parts["settle"] = self._settle(kind, children, at)

    def _settle(self, kind: str, children: list[Any], at: int) -> m.Settlement:
        if kind == "settle_immediately":
            return m.Settlement("immediately", at=at)
        if kind == "settle_at":
            return m.Settlement("at", value=self._value(children[0]), at=at)
        window = self._window(children[0])
        if kind == "settle_offset":
            return m.Settlement("at", window, value=self._value(children[1]), at=at)
        at_most = None if len(children) < 2 or children[1] is None else self._window(children[1])
        if window.microseconds == 0:
            return m.Settlement("immediately", at=at)
        if kind == "settle_after":
            return m.Settlement("after", window, at=at)
        return m.Settlement("silence", window, at_most, at=at)

    def _quantity(self, branch: Branch) -> Decimal | m.Value:
        if branch.data != "number":
            return self._value(branch)
        number = self._number(cast("Token", branch.children[0]))
        if number < 0:
            self._fault(_at(branch), "A quantity cannot be negative.")
        return number

    def _dimension(self, children: list[Any], dimensions: list[m.Dimension]) -> None:
        token = cast("Token", children[0].children[0])
        name, at = str(token), token.start_pos or 0
        if not words.DIMENSION.match(name):
            self._fault(at, f"`{name}` cannot name a dimension: use letters, digits, `_` and `-`.")
        if any(dimension.name == name for dimension in dimensions):
            self._fault(at, f"There is a second dimension `{name}`; each name stands once.")
        value: Branch = children[1]
        if value.data != "graded":
            dimensions.append(m.Dimension(name, self._value(value), at=at))
            return
        *pairs, last = cast("list[Any]", value.children)
        choices = tuple(
            (self._string(text), self._node(node)) for text, node in zip(pairs[::2], pairs[1::2], strict=True)
        )
        dimensions.append(m.Dimension(name, m.Graded(choices, self._string(last), at=_at(value)), at=at))

    # ------------------------------------------------------------------------------------------------- conditions

    def _node(self, branch: Any) -> m.Node:
        return self._nodes[branch.data](branch)

    def _all(self, branch: Branch) -> tuple[m.Node, ...]:
        return tuple(self._node(child) for child in branch.children)

    def _seen(self, branch: Branch, no: bool, ever: bool) -> m.Seen:
        return m.Seen(self._event(branch.children[0]), no, ever, at=_at(branch))

    def _after(self, branch: Branch, no: bool) -> m.After:
        return m.After(self._event(branch.children[0]), self._event(branch.children[1]), no, at=_at(branch))

    def _within(self, branch: Branch, no: bool) -> m.Within:
        event, duration, reference = branch.children
        return m.Within(
            self._event(event), self._duration(cast("Branch", duration)), self._event(reference), no, at=_at(branch)
        )

    def _count(self, branch: Branch) -> m.Count:
        number, event = branch.children
        return m.Count(_COUNTS[branch.data], self._whole(number), self._event(event), at=_at(branch))

    def _at_least_of(self, branch: Branch) -> m.Group:
        number, *members = branch.children
        return m.Group("at least", tuple(self._node(c) for c in members), self._whole(number), at=_at(branch))

    def _points(self, branch: Branch) -> m.Points:
        *weights, relation, number = cast("list[Branch]", branch.children)
        return m.Points(
            tuple((self._decimal(w.children[0]), self._node(w.children[1])) for w in weights),
            _ORDER[relation.data],
            self._decimal(number),
            at=_at(branch),
        )

    def _test(self, subject: m.Path | m.Value, comparison: Any) -> m.Test:
        kind, children, at = str(comparison.data), comparison.children, subject.at
        match kind:
            case "relation":
                return m.Compare(subject, _ORDER[children[0].data], self._constant(children[1]), at=at)
            case "in_" | "not_in":
                constants = tuple(self._constant(child) for child in children)
                return m.OneOf(subject, constants, kind == "not_in", at=at)
            case "contains":
                return m.Search(subject, "contains", self._constant(children[0]), at=at)
            case "starts_with" | "ends_with":
                constant = m.Constant("text", self._string(children[0]), at=_at(children[0]))
                return m.Search(subject, "starts with" if kind == "starts_with" else "ends with", constant, at=at)
            case _:
                return m.Presence(subject, kind == "present", at=at)

    def _value(self, branch: Any) -> m.Value:
        kind, children = str(branch.data), branch.children
        reading: m.Reading = "number" if kind == "number_of" else cast("m.Reading", kind)
        path = self._path(children[0]) if len(children) == 2 else None
        return m.Value(reading, path, self._event(children[-1]), at=_at(branch))

    def _event(self, branch: Any) -> m.EventTerm:
        name, where = branch.children
        return m.EventTerm(
            self._event_name(name.children[0]), None if where is None else self._node(where), at=_at(name)
        )

    # ------------------------------------------------------------------------------------------------------ words

    def _event_name(self, token: Token) -> m.EventName:
        at, name = token.start_pos or 0, str(token)
        if token.type == "STRING":
            text = self._string(token)
            if not text:
                self._fault(at, "An event name cannot be empty.")
            return m.EventName(text, at=at)
        if wildcard := words.EVENT_WILDCARD.match(name):
            return m.EventName(wildcard[1], True, at=at)
        quoted = json.dumps(name, ensure_ascii=False)
        if words.is_keyword(name):
            self._fault(
                at,
                f"`{name.lower()}` is a keyword and keywords are lower case. An event of the name `{name}` "
                f"is written {quoted}.",
                Edit(at, at + len(name), name.lower()),
                Edit(at, at + len(name), quoted),
            )
        elif not words.EVENT_NAME.match(name):
            self._fault(at, self._bad_event_name(name, quoted), *self._event_mends(name, at, quoted))
        return m.EventName(name, at=at)

    @staticmethod
    def _bad_event_name(name: str, quoted: str) -> str:
        if "*" in name:
            return (
                f"In `{name}` the `*` is out of place: it may only be the whole last part, after `.`, `:` or `/`, "
                "as in `ticket.*`."
            )
        return (
            f"`{name}` is no plain event name (letters, digits, `_` and `-`, joined by `.`, `:` or `/`, starting with "
            f"a letter). Any other name is written in double quotes: {quoted}."
        )

    @staticmethod
    def _event_mends(name: str, at: int, quoted: str) -> list[Edit]:
        bare = name.strip(".:/")
        candidates = [bare] if bare != name and words.EVENT_NAME.match(bare) else []
        if name.endswith("*") and words.EVENT_NAME.match(stem := name.rstrip("*").rstrip(".:/")):
            candidates.append(stem + ".*")
        if "*" in name:
            candidates.append(name.partition("*")[0] + "*")
        else:
            candidates.append(quoted)
        return [Edit(at, at + len(name), text) for text in candidates]

    def _path(self, branch: Any) -> m.Path:
        token = cast("Token", branch.children[0])
        at, text = token.start_pos or 0, str(token)
        if not words.PATH.match(text):
            ticked = "`" + text.replace("`", "") + "`"
            self._fault(
                at,
                f"`{text}` is no path: write letters, digits, `_` and `-`, joined by `.`, and put a part with other "
                "characters in backticks.",
                Edit(at, at + len(text), text.strip(".:/*")),
                Edit(at, at + len(text), ticked),
            )
        return m.Path(tuple(a or b for a, b in words.PATH_SEGMENT.findall(text)), at=at)

    def _slug(self, token: Any) -> str:
        slug, at = str(token), token.start_pos or 0
        if not words.SLUG.match(slug):
            mended = "".join(c if c.isalnum() or c in "_-" else "_" for c in slug).strip("_-")
            mended = mended if mended[:1].isalpha() else f"outcome_{mended}"
            self._fault(
                at,
                f"`{slug}` cannot name an outcome: start with a letter, then letters, digits, `_` and `-`.",
                Edit(at, at + len(slug), mended),
            )
        if len(slug) > words.MAX_SLUG:
            self._fault(at, f"The name of an outcome has at most {words.MAX_SLUG} characters.")
        return slug

    def _title(self, token: Token) -> str:
        title, at = self._string(token), token.start_pos or 0
        if not title.strip():
            self._fault(
                at, "The title is empty. Write what the invoice line should say, or leave the title out.",
                Edit(at, at + len(token), ""),
            )  # fmt: skip
        if len(title) > words.MAX_TITLE:
            self._fault(at, f"The title has at most {words.MAX_TITLE} characters.")
        return title

    # --------------------------------------------------------------------------------- literals, numbers, durations

    def _constant(self, branch: Any) -> m.Constant:
        at = _at(branch)
        match branch.data:
            case "text":
                return m.Constant("text", self._string(branch.children[0]), at=at)
            case "true" | "false":
                return m.Constant("boolean", branch.data == "true", at=at)
            case _:
                return m.Constant("number", self._decimal(branch.children[0]), at=at)

    def _string(self, token: Any) -> str:
        at = token.start_pos or 0
        try:
            text: str = json.loads(str(token))
        except json.JSONDecodeError as error:
            self._fault(
                at + error.pos,
                "This text has a `\\` or a character that JSON does not know. "
                'Write `\\\\` for a backslash and `\\"` for a double quote.',
                Edit(at, at + len(token), str(token).replace("\\", "\\\\")),
            )
            return ""
        if found := words.UNSTORABLE.search(text):
            self._fault(at, f"A text cannot hold the character U+{ord(found[0]):04X}.")
            return ""
        return text

    def _decimal(self, branch: Any) -> Decimal:
        return self._number(branch.children[0])

    def _number(self, token: Token) -> Decimal:
        at = token.start_pos or 0
        # The exponent is looked at before Decimal does: `1e999999999` must cost nothing.
        _, _, exponent = str(token).lower().partition("e")
        if len(exponent) > 4 or len(token) > 100 or not words.within_limits(number := Decimal(str(token))):
            self._fault(at, "A number has at most 38 digits and an exponent between -30 and 30.")
            return Decimal(0)
        return number

    def _whole(self, branch: Any) -> int:
        number = self._decimal(branch)
        if number < 0 or number != number.to_integral_value():
            self._fault(_at(branch), f"A count is a whole number, not {words.plain(number)}.")
            return 0
        return int(number)

    def _window(self, branch: Branch) -> m.Duration:
        duration = self._duration(branch)
        if duration.microseconds > m.LONGEST_WINDOW:
            last = cast("Token", branch.children[-1])
            self._fault(
                duration.at,
                "A window is at most 180 days.",
                Edit(duration.at, (last.start_pos or 0) + len(last), "180 days"),
            )
        return duration

    def _duration(self, branch: Branch) -> m.Duration:
        tokens = cast("list[Token]", branch.children)
        parts: list[tuple[int, str]] = []
        for number, unit in zip(tokens[::2], tokens[1::2], strict=True):
            parts.append((self._how_many(number, unit), self._unit(number, unit)))
        return m.Duration(tuple(parts), at=tokens[0].start_pos or 0)

    def _how_many(self, token: Token, unit: Token) -> int:
        at, number = token.start_pos or 0, self._number(token)
        if number < 0:
            self._fault(at, "A duration cannot be negative.")
        elif number != number.to_integral_value():
            known = m.UNITS.get(str(unit).removesuffix("s"))
            mends = (
                [] if known is None else [Edit(at, (unit.start_pos or 0) + len(unit), in_units(int(number * known)))]
            )
            self._fault(at, "A duration is made of whole numbers.", *mends)
        return max(0, int(number))

    def _unit(self, number: Token, token: Token) -> str:
        word, at = str(token), token.start_pos or 0
        unit = word.removesuffix("s")
        if unit in m.UNITS:
            return unit
        low = word.lower()
        begin = number.start_pos or 0
        if low in _DAYS:
            count = self._number(number)
            days = words.plain(count * _DAYS[low])
            self._fault(
                at,
                "Months and years differ in length, so a duration has none: write days (a window has at most 180).",
                Edit(begin, at + len(word), f"{days} days"),
                Edit(begin, at + len(word), "180 days"),
            )
        elif low.removesuffix("s") in m.UNITS:
            self._fault(at, f"Units are lower case: `{low}`.", Edit(at, at + len(word), low))
        else:
            near = _SHORT_UNITS.get(low)
            self._fault(
                at,
                f"`{word}` is no unit of time: write weeks, days, hours, minutes or seconds.",
                *([Edit(at, at + len(word), near)] if near else []),
            )
        return "second"

    def _fault(self, at: int, message: str, *mends: Edit) -> None:
        """Notes a fault; each edit is one proposal."""
        self.problems.append(Problem(at, message, *(Mend((edit,)) for edit in mends)))


_ONCE: Final = {
    "keys": "Several keys are joined with commas: `per order_id, line_id`.",
    "bill": "Join the two with `and` or `or`.",
    "settle": "Keep the one that is meant.",
    "early": "Join the two with `or`.",
    "expire": "Keep the one that is meant.",
    "quantity": "Keep the one that is meant.",
    "amount": "Keep the one that is meant.",
    "repeat": "Join the two with `or`.",
}


def in_units(microseconds: int) -> str:
    """A duration in words, in days, hours, minutes and seconds: '1 day 12 hours'."""
    parts = []
    for unit in ("day", "hour", "minute", "second"):
        count, microseconds = divmod(microseconds, m.UNITS[unit])
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
