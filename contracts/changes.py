"""What a use case did: the answer every write of this app gives, to the API (201 or 200) and to `apply` (its diff)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kind(StrEnum):
    CREATED = "created"
    NEW_VERSION = "new version"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was. ``before`` is None where there was nothing, ``after`` where nothing is left."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change(Generic[T]):
    """The row as it stands after the call, how it came to stand so, and what differs from before."""

    kind: Kind
    value: T
    differences: tuple[Difference, ...] = field(default=())

    @property
    def wrote(self) -> bool:
        return self.kind is not Kind.UNCHANGED


def differences_of(before: dict[str, Any], after: dict[str, Any]) -> tuple[Difference, ...]:
    """The entries of two flat mappings that are not equal, in the order of ``after``."""
    names = [*after, *(name for name in before if name not in after)]
    return tuple(
        Difference(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )
