"""Why a credit note of the engine's own was written, in the reader's language.

It is stored in English, as it was when the note was made (`invoicing.wording.credit_reason`), read back and said again.
What a person wrote stays as it is.
"""

import re
from typing import Final

from access.times import parse_rfc3339
from contracts.domain.periods import Period
from invoicing.localised.catalogue import language_of, t
from invoicing.localised.formats import period_name
from invoicing.models import CreditNote
from invoicing.wording import CAUSES

_COUNT: Final = r"(?P<count>[\d,]+)"
_STORED: Final = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (
            rf"{_COUNT} outcomes? taken back after (?:it was|they were) invoiced(?: \((?P<causes>.*)\))?",
            "why.taken_back",
        ),
        (rf"{_COUNT} outcomes? confirmed since, with which the period comes to less", "why.since"),
        (rf"{_COUNT} outcomes? confirmed late, with which the period comes to less", "why.late"),
        (rf"the price of {_COUNT} outcomes? changed from an earlier day on", "why.moved"),
        ("by terms that changed, less is owed than was invoiced", "why.terms"),
    )
)
_CAUSES: Final = {
    CAUSES["event"]: "why.by_event",
    CAUSES["late"]: "why.by_late",
    CAUSES["person"]: "why.by_person",
    CAUSES["dispute"]: "why.by_dispute",
    CAUSES["clock"]: "why.by_clock",
}


def reason_of(note: CreditNote, locale: str) -> str:
    """Why the note was written, in the locale's words where they are ours; else as it is stored."""
    if note.kind != CreditNote.Kind.AUTOMATIC or language_of(locale) == "en":
        return note.reason
    spans = [[parse_rfc3339(one[name]) for name in ("period_start", "period_end")] for one in note.terms]
    return said_again(note.reason, [Period(*span) for span in spans], locale, note.time_zone)


def said_again(reason: str, periods: list[Period], locale: str, time_zone: str) -> str:
    """A stored reason in the locale's language; as it is where it is not recognised."""
    said = [_clause(one, locale) for one in reason.partition(": ")[2].removesuffix(".").split("; ")]
    if not periods or None in said:
        return reason
    names = t(locale, "why.list").join(period_name(one, locale, time_zone) for one in periods)
    return t(locale, "why.all", periods=names, reasons=t(locale, "why.and").join(filter(None, said)))


def _clause(text: str, locale: str) -> str | None:
    for pattern, key in _STORED:
        found = pattern.fullmatch(text)
        if found is None:
            continue
        places = found.groupdict()
        what = t(locale, key, **({"count": _number(places["count"])} if "count" in places else {}))
        if not places.get("causes"):
            return what
        causes = [_cause(one, locale) for one in places["causes"].split(", ")]
        return (
            None
            if None in causes
            else t(locale, "why.because", what=what, causes=t(locale, "why.list").join(filter(None, causes)))
        )
    return None


def _cause(text: str, locale: str) -> str | None:
    count, _, words = text.partition(" ")
    return t(locale, _CAUSES[words], count=_number(count)) if words in _CAUSES else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
