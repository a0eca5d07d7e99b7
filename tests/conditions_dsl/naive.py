"""A second evaluator, written from the specification's page and sharing no code with the library.

It reads the JSON form of a condition and the full list of events, keeps no state and saves no work: numbers are
Fractions, every question is answered by looking at all events again.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

MISSING = object()


def exact(value):
    """The value as a Fraction when it is a number (at most 38 digits, exponent within 30), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    written = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not written.is_finite():
        return None
    _, digits, exponent = written.as_tuple()
    return Fraction(written) if len(digits) <= 38 and abs(exponent) <= 30 else None


def segments(path):
    return [quoted or plain for quoted, plain in re.findall(r"`([^`]*)`|([^.`]+)", path)]


def read(data, path):
    here = data
    for segment in segments(path):
        if isinstance(here, dict) and segment in here:
            here = here[segment]
        elif isinstance(here, list) and re.fullmatch("0|[1-9][0-9]{0,8}", segment) and int(segment) < len(here):
            here = here[int(segment)]
        else:
            return MISSING
    return MISSING if here is None else here


def literal(form):
    ((kind, value),) = form.items()
    return (kind, Fraction(value)) if kind == "number" else (kind, value)


def kind_of(value):
    if isinstance(value, Fraction):
        return "number", value
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bool):
        return "boolean", value
    number = None if value is MISSING else exact(value)
    return ("other", None) if number is None else ("number", number)


def same(value, wanted):
    return kind_of(value) == wanted


def test(form, value):
    """One test of one value (MISSING, a JSON value or a Fraction)."""
    kind = form["kind"]
    if kind == "presence":
        return (value is not MISSING) == form["present"]
    if kind == "in":
        return any(same(value, literal(one)) for one in form["literals"]) != form["not"]
    wanted_kind, wanted = literal(form["literal"])
    if kind == "search":
        if form["how"] == "contains":
            if isinstance(value, str):
                return wanted_kind == "text" and value.find(wanted) >= 0
            return isinstance(value, list) and any(same(item, (wanted_kind, wanted)) for item in value)
        if not isinstance(value, str):
            return False
        return (
            value[: len(wanted)] == wanted
            if form["how"] == "starts with"
            else value[len(value) - len(wanted) :] == wanted and len(value) >= len(wanted)
        )
    order = form["order"]
    if order == "is":
        return same(value, (wanted_kind, wanted))
    if order == "is not":
        return not same(value, (wanted_kind, wanted))
    found_kind, found = kind_of(value)
    if found_kind != wanted_kind or found_kind not in ("text", "number"):
        return False
    if found_kind == "text":
        found, wanted = [ord(c) for c in found], [ord(c) for c in wanted]
    return {"<": found < wanted, "<=": found <= wanted, ">": found > wanted, ">=": found >= wanted}[order]


def passes(form, data):
    if form is None:
        return True
    kind = form["kind"]
    if kind == "and":
        return all(passes(one, data) for one in form["of"])
    if kind == "or":
        return any(passes(one, data) for one in form["of"])
    if kind == "not":
        return not passes(form["of"], data)
    return test(form, read(data, form["path"]))


def is_named(form, event_type):
    name = form["name"]
    if form["wildcard"]:
        return event_type[: len(name)] == name and event_type != name
    return event_type == name


def is_one(form, event):
    return is_named(form, event.type) and passes(form["where"], event.data)


def places(form, events):
    return [i for i, event in enumerate(events) if is_one(form, event)]


def count_holds(order, count, number):
    return {
        "at least": count >= number,
        "at most": count <= number,
        "exactly": count == number,
        "more than": count > number,
        "fewer than": count < number,
    }[order]


def compare(order, a, b):
    return {"is": a == b, "is not": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[order]


def value_of(form, events):
    """MISSING, a JSON value, or a Fraction for what is computed."""
    matching = [events[i] for i in places(form["event"], events)]
    reading, path = form["reading"], form["path"]
    if reading == "number":
        return Fraction(len(matching))
    if reading in ("latest", "first"):
        return read(matching[-1 if reading == "latest" else 0].data, path) if matching else MISSING
    values = [read(event.data, path) for event in matching]
    if reading == "distinct":
        return Fraction(len({kind_of(value) for value in values if kind_of(value)[0] != "other"}))
    numbers = [number for value in values if value is not MISSING and (number := exact(value)) is not None]
    if not numbers:
        return MISSING
    return {
        "highest": max(numbers),
        "lowest": min(numbers),
        "total": sum(numbers),
        "average": sum(numbers) / len(numbers),
    }[reading]


def holds(form, events, history):
    """A condition over the events of its scope, in order, and the subject's whole history."""
    kind = form["kind"]
    if kind == "and":
        return all(holds(one, events, history) for one in form["of"])
    if kind == "or":
        return any(holds(one, events, history) for one in form["of"])
    if kind == "not":
        return not holds(form["of"], events, history)
    if kind == "seen":
        return bool(places(form["event"], history if form["ever"] else events)) != form["no"]
    if kind == "count":
        return count_holds(form["order"], len(places(form["event"], events)), int(form["number"]))
    if kind == "after":
        xs, ys = places(form["event"], events), places(form["reference"], events)
        return (bool(xs) and bool(ys) and xs[-1] > ys[-1]) != form["no"]
    if kind == "within":
        xs, ys = places(form["event"], events), places(form["reference"], events)
        near = False
        for x in xs:
            before = [y for y in ys if y < x]
            near = near or (bool(before) and events[x].time - events[before[-1]].time <= microseconds(form["duration"]))
        return near != form["no"]
    if kind == "group":
        held = [holds(one, events, history) for one in form["of"]]
        wanted = {"any": 1, "all": len(held), "none": 0}.get(form["group"], int(form["number"] or 0))
        return sum(held) == 0 if form["group"] == "none" else sum(held) >= wanted
    if kind == "points":
        points = sum(Fraction(one["points"]) for one in form["weights"] if holds(one["if"], events, history))
        return compare(form["order"], points, Fraction(form["number"]))
    return test(form, value_of(form["value"], events))


def microseconds(text):
    unit = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
    parts = re.findall(r"(\d+) ([a-z]+)", text)
    return sum(int(n) * unit[word.rstrip("s")] for n, word in parts) * 1_000_000


def as_text(value):
    """A value as keys and dimensions show it."""
    kind, found = kind_of(value)
    if kind == "text":
        return found
    if kind == "boolean":
        return str(found).lower()
    return None if kind == "other" else number_text(found)


def number_text(number):
    """Plain notation; a number that never ends is cut to 12 decimals, ties to even."""
    scaled = round(number * 10**12) if number.denominator and not terminates(number) else None
    if scaled is None:
        digits = 0
        while (number * 10**digits).denominator != 1:
            digits += 1
        scaled, decimals = int(number * 10**digits), digits
    else:
        decimals = 12
    sign, scaled = ("-", -scaled) if scaled < 0 else ("", scaled)
    whole, part = divmod(scaled, 10**decimals)
    tail = str(part).rjust(decimals, "0").rstrip("0") if decimals else ""
    return f"{sign}{whole}" + (f".{tail}" if tail else "") if whole or tail else "0"


def terminates(number):
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def shown(form, events):
    """A VALUE as a dimension shows it."""
    value = value_of(form, events)
    if form["reading"] == "average" and value is not MISSING:
        value = Fraction(round(value * 10**12), 10**12)
    return None if value is MISSING else as_text(value)


def billable(form, events):
    """A quantity or amount as a Fraction; None where it is not known."""
    value = value_of(form, events)
    if form["reading"] == "average" and value is not MISSING:
        value = Fraction(round(value * 10**12), 10**12)
    kind, number = kind_of(value)
    return number if kind == "number" and number >= 0 else None


def dimension(form, events, history):
    if "value" in form:
        return shown(form["value"], events)
    for choice in form["choices"]:
        if holds(choice["if"], events, history):
            return choice["text"]
    return form["otherwise"]


def settles(form, events):
    """The instant of `settle at`, in microseconds, or None."""
    if form["value"]["reading"] not in ("latest", "first"):
        return None
    found = places(form["value"]["event"], events)
    if not found:
        return None
    event = events[found[-1 if form["value"]["reading"] == "latest" else 0]]
    text = read(event.data, form["value"]["path"])
    if not isinstance(text, str) or not re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", text
    ):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    said = datetime.fromtimestamp(event.time // 1_000_000, tz=UTC)
    if (instant.astimezone(UTC)) > said.replace(year=said.year + 5):
        return None
    return micros + (microseconds(form["window"]) if form["window"] else 0)


def subject(form, data):
    """The key of an event as text."""
    keys = []
    for alternatives in form["per"]:
        present = [value for path in alternatives if (value := read(data, path)) is not MISSING]
        text = as_text(present[0]) if present else None
        if text is None:
            return None
        keys.append(text)
    return keys[0] if len(keys) == 1 else json.dumps(keys, ensure_ascii=False)


def mentioned(form):
    """Every event form anywhere in the condition."""
    found, stack = [], [form]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            if "wildcard" in here:
                found.append(here)
            stack.extend(here.values())
        elif isinstance(here, list):
            stack.extend(here)
    return found
