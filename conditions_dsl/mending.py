"""From a parse error to a sentence that helps, and to proposals that may mend the text.

A proposal is only a guess; the parser tries each out and keeps the first after which the text reads further. So this
module may guess freely. Every guess is a rule of its own: a generator of proposals for one kind of slip.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Final

from lark import Token

from conditions_dsl import phrases, words
from conditions_dsl.errors import Edit, Mend, Problem
from conditions_dsl.slip import CLAUSES, READINGS, Slip


def unexpected(text: str, done: list[Token], rest: list[Token], at: int, expected: frozenset[str]) -> Problem:
    """The fault at a token the grammar does not take here. `rest` begins with that token; it is empty at the end."""
    slip = Slip(text, done, rest, at, expected)
    mends = [mend for rule in _RULES for mend in rule(slip)]
    return Problem(slip.at, slip.sentence(), *mends)


# -------------------------------------------------------------------------------------------------------------- rules


def _case(slip: Slip) -> Iterator[Mend]:
    shouted = [t for t in (*slip.done, *slip.rest) if t.type == "WORD" and t.lower() in words.KEYWORDS]
    near = [t for t in (slip.token, slip.back(1)) if t is not None and t in shouted]
    for token in near:
        message = f"Keywords are lower case: write `{token.lower()}`, not `{token}`."
        if len(shouted) > 1:
            yield Mend(tuple(_replace(t, t.lower()) for t in shouted), message)
        yield Mend((_replace(token, token.lower()),), message)


def _filter_without_parentheses(slip: Slip) -> Iterator[Mend]:
    """`where a is 1 and b is 2`: the second test was read as an event."""
    if not slip.starts_comparison(0):
        return
    tokens, here = [*slip.done, *slip.rest], len(slip.done)
    name = here - 1
    joiner = name - 2 if name >= 2 and tokens[name - 1].type == "NOT" else name - 1
    if joiner < 1 or tokens[joiner].type not in ("AND", "OR"):
        return
    where = next((i for i in range(joiner, 0, -1) if tokens[i].type == "WHERE" or tokens[i].type in CLAUSES), 0)
    if tokens[where].type != "WHERE":
        return
    end = _end_of_comparison(tokens, here)
    while end + 2 < len(tokens) and tokens[end].type in ("AND", "OR"):
        name = end + 2 if tokens[end + 1].type == "NOT" else end + 1
        if name + 1 >= len(tokens) or not _comparison_starts(tokens, name + 1):
            break
        end = _end_of_comparison(tokens, name + 1)
    start, stop = tokens[where + 1].start_pos or 0, tokens[end - 1].end_pos or 0
    inner = " ".join(slip.text[start:stop].split())
    yield Mend(
        (Edit(start, start, "("), Edit(stop, stop, ")")),
        f"A filter with more than one test needs parentheses: `where ({inner})`.",
        tokens[joiner + 1].start_pos,
    )


def _phrase(slip: Slip) -> Iterator[Mend]:
    """Ways of saying a comparison, a count or a clause that the language says otherwise."""
    starts = [token.start_pos or 0 for token in (slip.token, slip.back(1), slip.back(2)) if token is not None]
    for start, (pattern, instead) in itertools.product(starts, phrases.PHRASES):
        if found := pattern.match(slip.text, start):
            written, said = found.expand(instead), " ".join(found[0].split())
            is_written = f"is written `{written.strip()}`" if written.strip() else "is one word too many here"
            yield Mend((Edit(found.start(), found.end(), written),), f"`{said}` {is_written}.")


def _synonym(slip: Slip) -> Iterator[Mend]:
    for token in (slip.token, slip.back(1)):
        if token is not None and token.type != "STRING":
            for instead in phrases.SYNONYMS.get(token.lower(), ()):
                said = f"write `{instead}`" if instead else "leave it out"
                yield Mend((_replace(token, instead),), f"`{token}` is no word of the language here: {said}.")


def _typing_error(slip: Slip) -> Iterator[Mend]:
    candidates = [(slip.token, slip.keywords()), (slip.back(1), sorted(words.KEYWORDS))]
    for token, keywords in candidates:
        if token is not None and token.type == "WORD" and token.lower() not in words.KEYWORDS:
            for keyword in difflib.get_close_matches(token.lower(), keywords, 3, 0.6):
                yield Mend((_replace(token, keyword),), f"`{token}` is unknown here. Did you mean `{keyword}`?")


def _literal(slip: Slip) -> Iterator[Mend]:
    token = slip.token
    if not slip.wants_literal() or slip.compares_values() or token is None or token.type in ("STRING", "DECIMAL"):
        return
    start = token.start_pos or 0
    end = min((at for sign in '\n,()#"' if (at := slip.text.find(sign, start)) >= 0), default=len(slip.text))
    said = re.split(r"\s+(?:and|or|if|else|after|within)\b", slip.text[start:end])[0].strip()
    if re.fullmatch(r"\.\d+|\d+\.", str(token)):
        number = "0" + token if token.startswith(".") else token.rstrip(".")
        yield Mend(
            (_replace(token, number),), f"A number is written with digits on both sides of the point: `{number}`."
        )
    if token.type == "WORD" or token.lower() in words.KEYWORDS:
        for quoted in dict.fromkeys((str(token), said)):
            literal = json.dumps(quoted, ensure_ascii=False)
            yield Mend(
                (Edit(start, start + len(quoted), literal),), f"A text is written in double quotes: `{literal}`."
            )


def _list_without_parentheses(slip: Slip) -> Iterator[Mend]:
    if slip.expected != {"LPAR"} or slip.back(1) is None or slip.back(1).type != "IN":  # type: ignore[union-attr]
        return
    tokens = slip.rest
    end = 0
    while end < len(tokens) and tokens[end].type in ("STRING", "DECIMAL", "TRUE", "FALSE"):
        end += 2 if end + 1 < len(tokens) and tokens[end + 1].type == "COMMA" else 1
        if tokens[min(end, len(tokens)) - 1].type != "COMMA":
            break
    if end and tokens[0].start_pos is not None:
        stop = tokens[end - 1].end_pos or 0
        yield Mend(
            (Edit(tokens[0].start_pos, tokens[0].start_pos, "("), Edit(stop, stop, ")")),
            f"A list stands in parentheses: `in ({slip.text[tokens[0].start_pos : stop]})`.",
        )


def _sign(slip: Slip) -> Iterator[Mend]:
    """Two signs that make one in other languages: `==`, `=>`, `=<`, `<>`."""
    before, token = slip.back(1), slip.token
    if before is None or token is None or before.end_pos != token.start_pos:
        return
    pair = before + token
    instead = {"==": "=", "=>": ">=", "=<": "<=", "<>": "!=", "!==": "!=", "===": "=", "><": "!="}.get(pair)
    if instead:
        after = slip.rest[1] if len(slip.rest) > 1 else None
        end = token.end_pos or 0
        if pair == "==" and after is not None and after == "=" and after.start_pos == end:
            pair, end = "===", end + 1
        yield Mend((Edit(before.start_pos or 0, end, instead),), f"`{pair}` is written `{instead}`.")


def _thousands(slip: Slip) -> Iterator[Mend]:
    """`1,000` and `0,5`."""
    before, after = slip.back(1), slip.rest[1] if len(slip.rest) > 1 else None
    if slip.token is None or slip.token.type != "COMMA" or before is None or after is None:
        return
    if (
        before.type != "DECIMAL"
        or after.type != "DECIMAL"
        or before.end_pos != slip.at
        or after.start_pos != slip.at + 1
    ):
        return
    joined = before + after if len(after) == 3 else f"{before}.{after}"
    yield Mend(
        (Edit(before.start_pos or 0, after.end_pos or 0, joined),),
        f"A number is written without separators, with a point for decimals: `{joined}`.",
    )


def _unit(slip: Slip) -> Iterator[Mend]:
    """`72h`, `three days`, `a week`, and a count in words."""
    token = slip.token
    if token is None or "DECIMAL" not in slip.expected:
        return
    if found := re.fullmatch(r"(\d+)-?([A-Za-z]+)", str(token)):
        unit = phrases.UNITS.get(found[2].lower(), found[2].lower())
        yield Mend((_replace(token, f"{found[1]} {unit}"),), f"`{token}` is written `{found[1]} {unit}`.")
    number = phrases.NUMBERS.get(token.lower())
    if number:
        yield Mend((_replace(token, number),), f"Numbers are written in digits: `{number}`.")


def _title(slip: Slip) -> Iterator[Mend]:
    """`outcome x Support ticket` and `outcome "Support ticket"`."""
    if len(slip.done) == 2 and slip.token is not None and "STRING" in slip.expected:
        end = slip.text.find("\n", slip.at)
        title = slip.text[slip.at : end if end >= 0 else len(slip.text)].split("#")[0].strip()
        quoted = json.dumps(title.strip("'"), ensure_ascii=False)
        yield Mend(
            (Edit(slip.at, slip.at + len(title), quoted),), f"The title is written in double quotes: `{quoted}`."
        )
    if len(slip.done) == 1 and slip.token is not None and slip.token.type == "STRING":
        slug = re.sub(r"\W+", "_", slip.token.strip('"').lower()).strip("_")
        if slug:
            yield Mend(
                (Edit(slip.at, slip.at, f"{slug} "),),
                f"Before the title stands a short name without spaces: `outcome {slug} {slip.token}`.",
            )


def _quoted_path(slip: Slip) -> Iterator[Mend]:
    if slip.token is None or slip.token.type != "STRING" or not slip.wants_path():
        return
    name = slip.token.strip('"')
    bare = name if words.PATH.match(name) and name not in words.KEYWORDS else f"`{name}`"
    yield Mend((_replace(slip.token, bare),), f"A path into the data is written without double quotes: {bare}.")


def _quoted_event(slip: Slip) -> Iterator[Mend]:
    if slip.compares_values():
        return
    for token in (slip.token, slip.back(1), slip.back(2), slip.back(3)):
        if token is not None and token.lower() in words.KEYWORDS and token.type not in CLAUSES:
            quoted = json.dumps(str(token))
            yield Mend(
                (_replace(token, quoted),),
                f"`{token}` is a keyword. An event of that name is written in double quotes: {quoted}.",
            )


def _missing_word(slip: Slip) -> Iterator[Mend]:
    """One keyword was left out before this word, or another word stands in its place."""
    keywords = slip.keywords()
    if len(slip.expected) == 1 and keywords and slip.token is not None:
        said = f"`{slip.token}` is no word of the language here: write `{keywords[0]}`."
        yield Mend((_replace(slip.token, keywords[0]),), said)
    if "COMMA" in slip.expected and "RPAR" in slip.expected and slip.could_start_condition():
        end = slip.done[-1].end_pos or 0
        yield Mend((Edit(end, end, ","),), "The members of a group are separated by commas.")
    if "AND" in slip.expected and slip.could_start_condition():
        yield Mend(
            (Edit(slip.at, slip.at, "and "),),
            "Two conditions are joined by `and` or `or`; here the word between them is missing.",
        )
    for keyword in ("of", "when", "after", "at", "with", "than", "if", "else", "least", "most"):
        if keyword in keywords and not slip.wants_path():
            before = slip.back(1)
            behind = f" after `{before}`" if before is not None else ""
            yield Mend((Edit(slip.at, slip.at, f"{keyword} "),), f"The word `{keyword}` is missing{behind}.")
    if "EQUAL" in slip.expected and len(slip.done) > 1 and slip.done[-2].type == "DIMENSION":
        yield Mend((Edit(slip.at, slip.at, "= "),), "Between the name of a dimension and its value stands `=`.")
        if slip.token is not None:
            yield Mend((_replace(slip.token, "="),), "Between the name of a dimension and its value stands `=`.")
    if slip.expected == {"AFTER"} or ("AFTER" in slip.expected and "WORD" not in slip.expected):
        settle = next((t for t in reversed(slip.done) if t.type in ("SETTLE", "EXPIRE")), None)
        if settle is not None:
            end = settle.end_pos or 0
            yield Mend((Edit(end, end, " after"),), f"The word `after` is missing after `{settle}`.")


def _parenthesis(slip: Slip) -> Iterator[Mend]:
    if slip.token is not None and slip.token.type == "RPAR" and "RPAR" not in slip.expected:
        yield Mend((_replace(slip.token, ""),), "This `)` closes nothing: no parenthesis is open.")
    if "RPAR" in slip.expected and slip.done:
        end = slip.done[-1].end_pos or 0
        missing = slip.open_parentheses()
        yield Mend((Edit(end, end, ")" * missing),), "A parenthesis was opened and not closed: `)` is missing.")


def _comma(slip: Slip) -> Iterator[Mend]:
    if slip.token is not None and slip.token.type == "COMMA":
        if "AND" in slip.expected:
            yield Mend((_replace(slip.token, " and"),), "Conditions are joined by `and` or `or`, not by a comma.")
        yield Mend((_replace(slip.token, ""),), "This comma is one too many.")
    before = slip.back(1)
    if before is not None and before.type == "COMMA":
        yield Mend((_replace(before, ""),), "This comma is one too many.")


def _doubled(slip: Slip) -> Iterator[Mend]:
    before = slip.back(1)
    if before is not None and slip.token is not None and before == slip.token:
        gone = Edit(before.end_pos or 0, slip.token.end_pos or 0, "")
        yield Mend((gone,), f"`{slip.token}` stands here twice.")


def _path_with_space(slip: Slip) -> Iterator[Mend]:
    """`latest order total of X`, `where order total is 4`."""
    before = slip.back(1)
    if before is None or ("OF" not in slip.expected and not {"IS", "IN", "CONTAINS"} <= slip.expected):
        return
    after = slip.back(2)
    if after is None or after.type not in (*READINGS, "WHERE", "DISTINCT", "AND", "OR", "NOT", "LPAR"):
        return
    for ahead, token in enumerate(slip.rest[:5]):
        if ahead and (token.type == "OF" or slip.starts_comparison(ahead)):
            start, end = before.start_pos or 0, slip.rest[ahead - 1].end_pos or 0
            ticked = f"`{' '.join(slip.text[start:end].split())}`"
            yield Mend((Edit(start, end, ticked),), f"A path with a space in it stands in backticks: {ticked}.")
            return


_RULES: Final = (
    _case,
    _filter_without_parentheses,
    _sign,
    _thousands,
    _phrase,
    _unit,
    _literal,
    _list_without_parentheses,
    _title,
    _quoted_path,
    _path_with_space,
    _parenthesis,
    _doubled,
    _typing_error,
    _synonym,
    _missing_word,
    _comma,
    _quoted_event,
)


def _replace(token: Token, text: str) -> Edit:
    return Edit(token.start_pos or 0, token.end_pos or 0, text)


def _comparison_starts(tokens: list[Token], i: int) -> bool:
    return Slip("", tokens[:i], tokens[i:], 0, frozenset()).starts_comparison(0)


def _end_of_comparison(tokens: list[Token], i: int) -> int:
    """The index behind a comparison that begins at `i`."""
    i += 1
    while i < len(tokens) and tokens[i].type in ("NOT", "IN", "WITH", "LPAR"):
        if tokens[i].type == "LPAR":
            while i < len(tokens) and tokens[i].type != "RPAR":
                i += 1
            break
        i += 1
    return min(i + 1, len(tokens))


# ---------------------------------------------------------------------------------------------- characters unknown

_QUOTES: Final = "'‘’‚“”„«»‹›`´"
_SIGNS: Final = {"≥": ">=", "≤": "<=", "≠": "!=", "−": "-", "–": "-", "&": "and", "|": "or", "!": "not ", "×": "*"}


def strange_character(text: str, at: int) -> Problem:
    """The fault at a character that begins no word of the language."""
    found = text[at]
    end = text.find("\n", at)
    rest = text[at : end if end >= 0 else len(text)].rstrip("\r")
    if found == '"':
        mends = [Mend((Edit(at + n, at + n, '"'),)) for n in _ends_of_text(rest)]
        return Problem(at, "This text is not closed: its second double quote is missing on the line.", *mends)
    if found == "`":
        mends = [Mend((Edit(at + n, at + n, "`"),)) for n in _ends_of_text(rest)]
        return Problem(at, "This name is not closed: its second backtick is missing on the line.", *mends)
    if found in _QUOTES:
        quoted = re.match(rf"[{_QUOTES}]([^{_QUOTES}\"]*)[{_QUOTES}]", rest)
        mends = []
        if quoted:
            literal = json.dumps(quoted[1], ensure_ascii=False)
            mends.append(
                Mend((Edit(at, at + len(quoted[0]), literal),), f"Texts stand in straight double quotes: {literal}.")
            )
        return Problem(at, 'Texts stand in straight double quotes: "like this".', *mends)
    if found in _SIGNS:
        doubled = 2 if rest[:2] in ("&&", "||") else 1
        instead = _SIGNS[found]
        return Problem(
            at,
            f"`{rest[:doubled]}` is written `{instead.strip()}`.",
            Mend((Edit(at, at + doubled, instead),)),
        )
    if found in "[{":
        closing = text.find("]" if found == "[" else "}", at)
        edits = (Edit(at, at + 1, "("), *([Edit(closing, closing + 1, ")")] if closing > 0 else []))
        return Problem(at, f"Lists and groups stand in round parentheses, not in `{found}`.", Mend(edits))
    if found in "$€£¥":
        return Problem(
            at,
            f"Amounts are plain numbers, without `{found}`: the currency stands in the contract.",
            Mend((Edit(at, at + 1, ""),)),
        )
    if found == "%":
        return Problem(at, "There is no `%`: write the number as the events have it, 0.8 or 80.")
    if found in "~^":
        return Problem(
            at, "There are no patterns. Texts are compared with `is`, `in`, `contains`, `starts with` and `ends with`."
        )
    if found in ";.,":
        return Problem(
            at, f"`{found}` is not needed here: clauses are not separated by signs.", Mend((Edit(at, at + 1, ""),))
        )
    if not found.isprintable() or found.isspace():
        return Problem(
            at, f"There is an invisible character here (U+{ord(found):04X}). Delete it.", Mend((Edit(at, at + 1, ""),))
        )
    return Problem(
        at,
        f"The character `{found}` has no meaning here. In a name it needs quotes: double quotes for an event, "
        "backticks for a path.",
        Mend((Edit(at, at + 1, ""),), f"The character `{found}` has no meaning here."),
    )


def _ends_of_text(rest: str) -> list[int]:
    """Where a text that was opened at the start of `rest` may have been meant to end."""
    ends = [
        found.start() for found in re.finditer(r"\s+(?:and|or|if|else)\b|[),]|\s*(?:#|$)", rest) if found.start() > 1
    ]
    return ends[:3]
