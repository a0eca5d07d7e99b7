"""Everything that waits for a person, of all kinds, in one list: what it is, since when, until when, and the money at
stake. Reads only; a page of it costs the same number of queries however much waits.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import CharField, Count, Model, Q, QuerySet, Value
from django.db.models.functions import Cast
from django.urls import reverse

from access.asking import Asked
from access.errors import ApiError
from contracts.models import Customer
from invoicing import texts
from workplace.queue_money import Effect

PAGE: Final = 25
"""So many items on one page."""
WEIGHED: Final = 500
"""Of so many items, the oldest, the dearest are found: what each is worth is worked out, not stored."""

WHY: Final = Asked("reason", "Why", "It is kept, with your name.")


class Entry(NamedTuple):
    """One item as the list shows it. ``worth_minor`` is None where no money can be named."""

    kind: str
    pk: str
    customer: Customer | None
    title: str
    sentence: str
    since: datetime
    deadline: str = ""
    worth_minor: int | None = None
    currency: str = ""

    @property
    def worth(self) -> str:
        return "" if self.worth_minor is None else texts.amount(self.worth_minor, self.currency)

    @property
    def url(self) -> str:
        return reverse(f"admin_queue_{self.kind}", args=[self.pk])


class Evidence(NamedTuple):
    """What stands behind one item: facts (label, text, address or empty), for who sees invoices those of ``money`` and,
    where two sides differ, rows of (what, ours, theirs); and where it is about an outcome its explanation as the
    outcome's page has it (`outcomes.explain_page`), or why it is ``unread``.
    """

    facts: Sequence[tuple[str, Any, str]] = ()
    money: Sequence[tuple[str, Any, str]] = ()
    sides: Sequence[tuple[str, str, str]] = ()
    explained: dict[str, Any] | None = None
    unread: str = ""


Act = Callable[[Any, dict[str, str], str, datetime], Model]
"""Does it to a row, with what was entered, by whom, when; answers the row whose history tells of it."""


@dataclass(frozen=True)
class Decision:
    """One thing that may be decided of an item: by whom (``permission``), what follows, what is asked for, and what it
    moves: ``moves`` makes the decision by its argument, and says. ``hurried``: see `queue_money.shown`.
    """

    name: str
    verb: str
    permission: str
    consequence: str
    act: Act
    moves: Callable[[Sequence[Any], Callable[[], None], datetime], Effect]
    inputs: tuple[Asked, ...] = (WHY,)
    hurried: bool = True

    @property
    def by_many(self) -> bool:
        """Whether several items may be decided so at once, with one reason."""
        return self.inputs == (WHY,) and self.hurried


class Kind:
    """One kind of thing that waits. ``model`` is what somebody must be allowed to see (``app_model``), ``rows`` all of
    it with what the list needs, ``waits`` which of them wait, ``since`` and ``customer`` their columns.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    model: ClassVar[str]
    waits: ClassVar[Q]
    since: ClassVar[Any]
    customer: ClassVar[str] = "customer"
    empty: ClassVar[str] = "Nothing of this kind waits."
    together: ClassVar[bool] = True
    """Whether several may be decided at once."""
    refusals: ClassVar[tuple[type[Exception], ...]] = (ApiError,)

    def rows(self) -> QuerySet[Any]:
        raise NotImplementedError

    def waiting(self) -> QuerySet[Any]:
        return self.rows().filter(self.waits)

    def key(self, text: str) -> Any:
        """The id of a row that an address or a form names; None for what is none."""
        try:
            found = self.rows().model._meta.pk.to_python(text)
        except ValidationError:
            return None
        return found if not isinstance(found, int) or abs(found) < 2**63 else None

    def find(self, pks: Iterable[str]) -> list[Any]:
        """Those of these that wait, in order of their ids; whatever is no id is left out."""
        known = {key for pk in pks if (key := self.key(str(pk))) is not None}
        return list(self.waiting().filter(pk__in=known).order_by("pk"))

    def entries(self, rows: Sequence[Any], now: datetime) -> list[Entry]:
        """What the list says of rows: a fixed number of queries, however many there are."""
        raise NotImplementedError

    def evidence(self, row: Any, now: datetime) -> Evidence:
        raise NotImplementedError

    def decisions(self, row: Any) -> Sequence[Decision]:
        """What may be decided of it, by somebody or other."""
        return ()

    def no_decision(self, row: Any) -> str:
        """Why there is nothing to decide, and what to do instead."""
        return "It is not decided here."

    def became(self, pk: str) -> str:
        """What became of one that does not wait any more, as a sentence."""
        return "It does not wait any more: somebody saw to it, or it settled itself."

    def group(self, row: Any) -> str:
        """What is decided together, in words; empty where nothing is."""
        return ""


class Place(NamedTuple):
    """An item by its kind and id."""

    kind: str
    pk: str


@dataclass(frozen=True)
class Wanted:
    """What of the queue is asked for."""

    kind: str = ""
    customer: str = ""
    dearest: bool = False
    page: int = 1

    def query(self, **changes: Any) -> str:
        """As the query of an address, with changes; what is as usual is left out."""
        given = {"kind": self.kind, "customer": self.customer, "order": "dearest" if self.dearest else ""} | changes
        return urlencode({name: value for name, value in given.items() if value})


class Queue:
    """The kinds that somebody may see, and what waits of them."""

    def __init__(self, kinds: Iterable[Kind], wanted: Wanted) -> None:
        self.kinds = {one.slug: one for one in kinds}
        self.wanted = wanted

    @property
    def chosen(self) -> list[Kind]:
        """Those that are looked at."""
        kind = self.wanted.kind
        return [one for one in self.kinds.values() if not kind or one.slug == kind]

    def counts(self) -> dict[str, int]:
        """How many wait, by kind. One query."""
        parts = [
            self._waiting(kind).order_by().values(queue_kind=Value(kind.slug)).annotate(count=Count("pk"))
            for kind in self.kinds.values()
        ]
        rows = parts[0].union(*parts[1:], all=True) if parts else []
        return {row["queue_kind"]: row["count"] for row in rows}

    def places(self, start: int, count: int) -> list[Place]:
        """So many of what waits from ``start`` on, the oldest first. One query."""
        parts = []
        for kind in self.chosen:
            named = self._waiting(kind).annotate(
                queue_kind=Value(kind.slug), queue_pk=Cast("pk", CharField()), queue_since=kind.since
            )
            rows = named.order_by("queue_since", "queue_pk").values_list("queue_kind", "queue_pk", "queue_since")
            parts.append(rows[: start + count])
        if not parts:
            return []
        if len(parts) == 1:
            found = list(parts[0])[start:]
        else:
            together = parts[0].union(*parts[1:], all=True).order_by("queue_since", "queue_kind", "queue_pk")
            found = list(together[start : start + count])
        return [Place(kind, pk) for kind, pk, _ in found]

    def entries(self, places: Sequence[Place], now: datetime) -> list[Entry]:
        """What the list says of these, in their order."""
        wanted: dict[str, list[str]] = defaultdict(list)
        for place in places:
            wanted[place.kind].append(place.pk)
        told: dict[Place, Entry] = {}
        for slug, pks in wanted.items():
            kind = self.kinds[slug]
            for entry in kind.entries(kind.find(pks), now):
                told[Place(slug, entry.pk)] = entry
        return [told[place] for place in places if place in told]

    def page(self, now: datetime) -> tuple[list[Entry], bool]:
        """The items of the page that is asked for, and whether there are more."""
        start = (self.wanted.page - 1) * PAGE
        if not self.wanted.dearest:
            places = self.places(start, PAGE + 1)
            return self.entries(places[:PAGE], now), len(places) > PAGE
        found = self.entries(self.places(0, WEIGHED), now)
        found.sort(key=lambda one: (-abs(one.worth_minor or 0), one.since))
        return found[start : start + PAGE], len(found) > start + PAGE

    def after(self, done: Sequence[Place]) -> Place | None:
        """The item that comes after these, or from the beginning again; None where nothing else waits."""
        places = self.places(0, WEIGHED)
        last = max((number for number, one in enumerate(places) if one in done), default=-1)
        return next((one for one in (*places[last + 1 :], *places[: last + 1]) if one not in done), None)

    def _waiting(self, kind: Kind) -> QuerySet[Any]:
        rows = kind.waiting()
        key = self.wanted.customer
        return rows.filter(**{f"{kind.customer}__key": key}) if key else rows


def when(instant: datetime) -> str:
    """An instant for people."""
    return f"{instant.day} {instant:%b %Y, %H:%M} UTC"


def tried(attempts: int, since: datetime) -> str:
    """How often, in words."""
    return f"{'once' if attempts == 1 else f'{attempts:,} times'} since {when(since)}"
