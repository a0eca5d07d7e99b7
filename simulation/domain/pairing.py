"""Which outcome under one rule stands for which under another: of one subject, so few that no index is needed."""

from collections.abc import Sequence

from outcomes.domain.lifecycle import Attempt

Pair = tuple[Attempt | None, Attempt | None]
"""(before, after): None where the other has no partner."""


def pair(before: Sequence[Attempt], after: Sequence[Attempt]) -> list[Pair]:
    """Pairs of outcomes that were confirmed (whatever became of them): first those that one event met, then what
    remains in order of beginning. Each stands in exactly one pair.
    """
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    left = {attempt.met_by: attempt for attempt in after}
    pairs: list[Pair] = []
    lonely: list[Attempt] = []
    for attempt in before:
        partner = left.pop(attempt.met_by, None)
        if partner is None:
            lonely.append(attempt)
        else:
            pairs.append((attempt, partner))
    rest = list(left.values())
    pairs += zip(lonely, rest, strict=False)
    pairs += [(attempt, None) for attempt in lonely[len(rest) :]]
    pairs += [(None, attempt) for attempt in rest[len(lonely) :]]
    return pairs
