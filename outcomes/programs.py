"""The conditions in force as compiled rules, kept per process.

Condition versions are immutable, so a compiled program never goes stale; which versions exist is asked once per batch.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection

from conditions_dsl import Program, compile, parse
from contracts.models import ConditionCustomer, ConditionVersion
from contracts.terms import overrides
from outcomes.domain.instants import to_us
from outcomes.domain.lifecycle import Pin, Rules, Version, Window


class Catalog(dict[int, Rules]):
    """Condition id -> its rules, over every condition that exists.

    ``limits`` names, of each condition that is not for everybody, its customers, and from which instant on (None: from
    the beginning) it is for them; ``numbered`` has the versions by (condition id, number).
    """

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[int, dict[int, int | None]] = {}
        self.numbered: dict[tuple[int, int], Version] = {}

    def concerns(self, condition: int, customer: int) -> bool:
        """Whether the condition is for this customer, now or from some instant on."""
        return condition not in self.limits or customer in self.limits[condition]


RulesFor = Callable[[int, int], Rules]
"""(customer id, condition id) -> what a subject of theirs is judged by; KeyError for a condition without a version."""

# A subject's key stands in a unique index, whose entries PostgreSQL bounds.
MAX_KEY_BYTES = 1024


@lru_cache(maxsize=4096)
def _program(version_id: int, canonical: str) -> Program:
    return compile(parse(canonical))


def compiled(version: ConditionVersion) -> Program:
    """The program of a condition version."""
    return _program(version.pk, version.canonical)


# As text: each batch asks, and of a handful of events, putting the same query together took a quarter of Python's time.
_VERSIONS = """
SELECT v.condition_id, v.id, v.number, v.canonical, v.effective_from, c.limited
FROM contracts_conditionversion v JOIN contracts_condition c ON c.id = v.condition_id
ORDER BY v.condition_id, v.effective_from NULLS FIRST
"""


def all_rules() -> Catalog:
    """Every condition with its versions in the order in which they come into force. One query, and one more where some
    are for named customers alone.
    """
    catalog = Catalog()
    versions: dict[int, list[Version]] = {}
    limited = set()
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS)
        rows = cursor.fetchall()
    for condition, pk, number, canonical, effective_from, is_limited in rows:
        version = Version(pk, _program(pk, canonical), _instant(effective_from))
        versions.setdefault(condition, []).append(version)
        catalog.numbered[condition, number] = version
        if is_limited:
            limited.add(condition)
    if limited:
        catalog.limits = {condition: {} for condition in limited}
        named = ConditionCustomer.objects.filter(condition__in=limited)
        for condition, customer, since in named.values_list("condition_id", "customer_id", "since"):
            catalog.limits[condition][customer] = _instant(since)
    catalog.update({condition: Rules(found) for condition, found in versions.items()})
    return catalog


def rules_for(rules: Catalog, customers: Iterable[int]) -> RulesFor:
    """The rules that hold for each of these customers: those of all, or with the windows and pins of its contracts, or
    from the instant on from which a condition is for it.

    Reads the contracts in force now: whoever evaluates calls this once it holds its partitions.
    """
    customers = set(customers)
    windows, pins = overrides(customers)
    joined = {
        (customer, condition): since
        for condition, named in rules.limits.items()
        for customer, since in named.items()
        if since is not None and customer in customers
    }
    own = {
        (customer, condition): Rules(
            rules[condition].versions,
            [
                Window(to_us(start), _instant(end), duration)
                for start, end, duration in windows.get((customer, condition), ())
            ],
            [
                Pin(to_us(start), _instant(end), rules.numbered[condition, number])
                for start, end, number in pins.get((customer, condition), ())
            ],
            joined.get((customer, condition)),
        )
        for customer, condition in {*windows, *pins, *joined}
        if condition in rules
    }
    if not own:
        return lambda _, condition: rules[condition]
    return lambda customer, condition: own.get((customer, condition)) or rules[condition]


def _instant(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def rules_of(customer: int, condition: int) -> Rules:
    """What one customer's subjects of one condition are judged by. KeyError for a condition without a version."""
    return rules_for(all_rules(), [customer])(customer, condition)


def subject_key(rules: Rules, data: Mapping[str, Any]) -> str | None:
    """The subject an event is about. `per` cannot change between versions, so any version's answer holds for all.

    A text too long to name anything is no key.
    """
    key = rules.versions[0].program.subject(data)
    # A character is four bytes at most: nearly no key has to be encoded to know.
    if key is None or (len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES):
        return None
    return key
