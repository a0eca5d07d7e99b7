"""The conditions in force as compiled rules, kept per process.

Condition versions are immutable, so a compiled program never goes stale; which versions exist is asked once per batch.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from conditions_dsl import Program, compile, parse
from contracts.models import ConditionVersion
from outcomes.domain.instants import to_us
from outcomes.domain.lifecycle import Rules, Version

# A subject's key stands in a unique index, whose entries PostgreSQL bounds.
MAX_KEY_BYTES = 1024


@lru_cache(maxsize=4096)
def _program(version_id: int, canonical: str) -> Program:
    return compile(parse(canonical))


def all_rules() -> dict[int, Rules]:
    """Condition id → its rules, over every condition that exists."""
    versions: dict[int, list[Version]] = {}
    rows = ConditionVersion.objects.order_by("condition_id", "number").values_list(
        "condition_id", "id", "canonical", "effective_from"
    )
    for condition, pk, canonical, effective_from in rows:
        versions.setdefault(condition, []).append(
            Version(pk, _program(pk, canonical), None if effective_from is None else to_us(effective_from))
        )
    return {condition: Rules(found) for condition, found in versions.items()}


def subject_key(rules: Rules, data: Mapping[str, Any]) -> str | None:
    """The subject an event is about. `per` cannot change between versions, so any version's answer holds for all.

    A text too long to name anything is no key.
    """
    key = rules.versions[0].program.subject(data)
    return None if key is None or len(key.encode()) > MAX_KEY_BYTES else key
