"""Play worlds; of one that fails, what is needed to see it again: seed, trace, and the fewest steps that still fail."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta

from tests.conftest import as_new, empty_tables

from .engine import Engine, _next_process
from .world import World, draw

# So many tries at most go into making a failure small.
TRIES = 400


@dataclass
class Played:
    """What became of one world. ``failure`` is empty where all held, else says what did not."""

    world: World
    failure: str = ""
    detail: str = ""
    trace: list[str] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: int = 0
    simulated: timedelta = timedelta()


def play(world: World) -> Played:
    """One world on the real code, in an empty database, which is left empty."""
    played, engine = Played(world), Engine(world)
    _next_process()
    try:
        engine.run()
    except Exception as error:  # noqa: BLE001 -- whatever it raises is the finding
        played.failure = f"{type(error).__name__}: {error}"
        played.detail = traceback.format_exc()
    finally:
        as_new()
        empty_tables()
    played.trace, played.sometimes, played.faults = engine.trace, engine.sometimes, engine.faults
    played.outcomes = engine.outcomes
    if world.steps:
        played.simulated = world.steps[-1].at - world.steps[0].at
    return played


def smallest(world: World, still: Callable[[World], bool], tries: int = TRIES) -> World:
    """Fewer steps, events in a batch, clauses and faults, as long as it still fails: by halves, then one by one."""
    left = tries

    def holds(candidate: World) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and still(candidate)

    size = max(len(world.steps) // 2, 1)
    while size and left > 0:
        place, dropped = 0, False
        while place < len(world.steps) and left > 0:
            steps = world.steps[:place] + world.steps[place + size :]
            if holds(candidate := replace(world, steps=steps)):
                world, dropped = candidate, True
            else:
                place += size
        size = size if dropped and size == 1 else size // 2
    for place, step in enumerate(world.steps):
        if step.crash is not None:
            steps = (*world.steps[:place], replace(step, crash=None), *world.steps[place + 1 :])
            world = candidate if holds(candidate := replace(world, steps=steps)) else world
        for number in step.what if step.do.startswith("send") else ():
            now = world.steps[place]
            fewer = replace(now, what=tuple(one for one in now.what if one != number))
            steps = (*world.steps[:place], fewer, *world.steps[place + 1 :])
            world = candidate if holds(candidate := replace(world, steps=steps)) else world
    for number, edition in enumerate(world.editions):
        for one in fields(edition.condition):
            if one.name not in ("slug", "bill", "per"):
                now = world.editions[number]
                plain = replace(now, condition=replace(now.condition, **{one.name: one.default}))
                if plain != now:
                    editions = (*world.editions[:number], plain, *world.editions[number + 1 :])
                    world = candidate if holds(candidate := replace(world, editions=editions)) else world
    return world


def minimised(played: Played) -> Played:
    """The smallest world found that fails in the same way: by the same kind of error, told in the same first words."""
    kind = played.failure[:40]
    return play(smallest(played.world, lambda world: play(world).failure[:40] == kind))


def artefact(played: Played, *, minimise: bool = True) -> str:
    """Everything to see a failure again, as text: seed, what failed, trace, and a world for `kept.py`."""
    shown = [
        f"seed {played.world.seed}: {played.failure}",
        "again: python -m tests.simulation --seed " + str(played.world.seed),
        "", "conditions:",
        *(f"# made {n}, from {one.effective_from}\n{one.condition}" for n, one in enumerate(played.world.editions)),
        "trace:", *played.trace,
    ]  # fmt: skip
    if minimise:
        small = minimised(played)
        shown += [
            "", f"made small ({len(small.world.steps)} of {len(played.world.steps)} steps): {small.failure}",
            *small.trace, "", "as a test, in tests/simulation/kept.py:", source(small.world),
        ]  # fmt: skip
    return "\n".join([*shown, "", played.detail])


def source(world: World) -> str:
    """Python that makes this world; events that no step sends are left out."""
    used = sorted({number for step in world.steps if step.do.startswith("send") for number in step.what})
    places = {number: place for place, number in enumerate(used)}
    steps = tuple(
        replace(step, what=tuple(places[number] for number in step.what)) if step.do.startswith("send") else step
        for step in world.steps
    )
    small = replace(world, steps=steps, events=tuple(world.events[number] for number in used))
    return _written(small)


def _written(value: object, indent: str = "") -> str:
    """Python for a value, what is left at its default left out; what is long, a line for each part."""
    if is_dataclass(value):
        given = [
            (one.name, getattr(value, one.name)) for one in fields(value) if getattr(value, one.name) != one.default
        ]
        parts, brackets = [(f"{name}=", part) for name, part in given], (f"{type(value).__name__}(", ")")
    elif isinstance(value, tuple):
        parts, brackets = [("", part) for part in value], ("(", ",)" if len(value) == 1 else ")")
    elif isinstance(value, dict):
        parts, brackets = [(f"{key!r}: ", part) for key, part in value.items()], ("{", "}")
    else:
        return repr(value)
    line = ", ".join(name + _written(part) for name, part in parts).join(brackets)
    if len(indent + line) < 110 or not parts:
        return line
    inner = indent + "    "
    lines = [f"{inner}{name}{_written(part, inner)},\n" for name, part in parts]
    return f"{brackets[0]}\n{''.join(lines)}{indent}{brackets[1].lstrip(',')}"


def play_seed(seed: int) -> Played:
    return play(draw(seed))
