"""Which function answers which request."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.stripe_server import expanding, params
from tests.stripe_server.errors import StripeFailure, not_covered
from tests.stripe_server.world import Object, World

ALWAYS = frozenset(("expand", "limit", "starting_after", "ending_before"))


@dataclass(frozen=True)
class Route:
    """`name` is what faults and counters call it: "invoices.create". `covers` are the parameters its function heeds;
    one that Stripe knows and the function does not is answered with 501, never passed over.
    """

    method: str
    pattern: str
    name: str
    type_name: str
    covers: frozenset[str]
    answer: Callable[..., Object]

    def check(self, form: dict[str, Any]) -> dict[str, Any]:
        checked = params.check(self.type_name, form)
        if self.method == "POST":
            expanding.check(self.name.split(".")[0], checked.get("expand", []))
        for name in checked:
            if name not in self.covers:
                raise not_covered(f"the parameter {name} of {self.method} {self.pattern}")
        return checked

    def run(self, world: World, checked: dict[str, Any], ids: tuple[str, ...]) -> Object:
        return self.answer(world, {name: value for name, value in checked.items() if name != "expand"}, *ids)


ROUTES: list[Route] = []


def route(method: str, pattern: str, name: str, type_name: str, covers: str = "") -> Callable[..., Any]:
    def register(answer: Callable[..., Object]) -> Callable[..., Object]:
        ROUTES.append(Route(method, pattern, name, type_name, ALWAYS | frozenset(covers.split()), answer))
        return answer

    return register


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The route of a request and the ids in its path. A pattern without an id goes before one with it."""
    for candidate in sorted(ROUTES, key=lambda route: route.pattern.count("{")):
        expression = re.sub(r"\{\w+\}", r"([^/]+)", candidate.pattern)
        match = re.fullmatch(expression, path)
        if match and candidate.method == method:
            return candidate, tuple(unquote(id) for id in match.groups())
    raise StripeFailure(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        status=404,
    )


def within(created: Any, instant: int | None) -> bool:
    """Whether `instant` is in a range as lists take it: an instant, or bounds by gt, gte, lt, lte."""
    if instant is None:
        return False
    if not isinstance(created, dict):
        return instant == created
    tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    return all(tests[name](instant, bound) for name, bound in created.items())


def filtered(objects: list[Object], given: dict[str, Any], *names: str) -> list[Object]:
    """Those whose fields are what `given` says: equal, or within for the instants `created` and `due_date`."""
    ranges = ("created", "due_date")
    return [
        obj
        for obj in objects
        if all(
            within(given[name], obj[name]) if name in ranges else obj[name] == given[name]
            for name in names
            if name in given
        )
    ]
