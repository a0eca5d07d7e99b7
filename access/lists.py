"""Lists of the admin over tables of millions of rows: what every one of them keeps to.

Nothing here reads a table as a whole. Rows are counted up to `MOST` and no further, pages end there, and what people
search for is looked up in the table that has it first, so that the list itself is narrowed by keys. What all the same
takes longer than `SECONDS` is given up, and the page says how to ask for less.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import InvalidPage, Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import smart_split, unescape_string_literal
from psycopg.errors import QueryCanceled
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.views import ChangeList as UnfoldChangeList

MOST: Final = 10_000
"""So many rows of a list can be paged through; whoever wants others filters or searches."""
SECONDS: Final = 3.0
"""A list that is not read within is given up."""
KEYS: Final = 1000
"""Rows of another table that a search finds by name are put into the query by their keys, up to so many."""

_LOOKUPS: Final = {"=": "exact", "^": "startswith", "": "icontains"}


class TooLong(Exception):
    """The rows were not read within `SECONDS`."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Statements inside take at most so long each; TooLong where one does not end."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)",
                [str(round(seconds * 1000))],
            )
            before, _ = cursor.fetchone()
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooLong from error
        raise


class Counted(Paginator):
    """Pages of the first `MOST` rows."""

    template_name = "access/pagination.html"

    @cached_property
    def counted(self) -> int:
        """How many rows there are, and `MOST` + 1 where they are more than `MOST`."""
        rows: Any = self.object_list
        return int(rows.order_by()[: MOST + 1].count())

    @property
    def count(self) -> int:
        return min(self.counted, MOST)

    @property
    def more(self) -> bool:
        """Whether there are rows that no page shows."""
        return self.counted > MOST

    @property
    def told(self) -> str:
        return f"more than {MOST:,}" if self.more else f"{self.counted:,}"


class ChangeList(UnfoldChangeList):
    paginator: Counted
    queryset: QuerySet[Any]
    too_long = False

    def get_results(self, request: HttpRequest) -> None:
        try:
            with within(SECONDS):
                self._read(request)
        except TooLong:
            self.too_long = True
            self.queryset = self.queryset.none()
            self._read(request)
            messages.warning(
                request,
                f"These rows were not found within {SECONDS:g} seconds, and the search was given up. "
                "Filter or search for fewer: by a customer, say, or with the default order.",
            )

    def _read(self, request: HttpRequest) -> None:
        """As Django's own, but: the first page is read before anything is counted, and where it is all there is,
        nothing is counted at all.
        """
        per_page = self.list_per_page
        paginator = self.model_admin.get_paginator(request, self.queryset, per_page)
        rows: list[Any] | None = None
        if self.page_num == 1 and not self.show_all:
            rows = list(self.queryset[: per_page + 1])
            if len(rows) <= per_page:
                paginator.counted = len(rows)
        self.can_show_all = paginator.count <= self.list_max_show_all
        self.multi_page = paginator.count > per_page
        if self.show_all and self.can_show_all:
            rows = list(self.queryset[: self.list_max_show_all])
        elif rows is None:
            try:
                rows = list(paginator.page(self.page_num).object_list)
            except InvalidPage:
                raise IncorrectLookupParameters from None
        self.result_list = rows[: self.list_max_show_all if self.show_all and self.can_show_all else per_page]
        self.model_admin.prepare(self.result_list)
        self.result_count = paginator.count
        self.paginator = paginator
        # Never known: it would be a count of the whole table.
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions = True

    def get_ordering_field(self, field_name: Any) -> Any:
        """Only what a list offers to be sorted by can be asked for in its address."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None


class ModelAdmin(UnfoldModelAdmin):
    """What every admin of ours is made of. Beside Django's options:

    ``search_fields``: ``=name`` is the exact text, ``^name`` how it begins (both by an index, so that capitals count),
    ``name`` a part of it, for tables that stay small. Relations are followed as usual.

    ``sortable_by``: on tables that grow with events, what an index keeps in order; often nothing.
    """

    paginator: Any = Counted
    list_per_page = 50  # each costs some 2 ms to draw
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the table once more

    def prepare(self, rows: list[Any]) -> None:
        """What the rows of one page show beside their own, put on them by one query for all."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return ChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Every word has to be in one of the fields."""
        for word in smart_split(search_term):
            if word.startswith(('"', "'")) and word[0] == word[-1]:
                word = unescape_string_literal(word)
            found = _matches(queryset.model, self.get_search_fields(request), word)
            queryset = queryset.filter(Q(*found, _connector=Q.OR)) if found else queryset.none()
        return queryset, False

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """What is chosen as "all" is what the pages show; where they do not show all, nothing is done."""
        if request.POST.get("select_across") == "1" and self.get_paginator(request, queryset, 1).more:
            messages.error(request, f"These are more than {MOST:,}: filter or search for fewer. Nothing was done.")
            return HttpResponseRedirect(request.get_full_path())
        answer: HttpResponse | None = super().response_action(request, queryset)
        return answer


# --- Searching --------------------------------------------------------------------------------------------------------

_Match = tuple[str, Any]
"""A look-up and its value, as `Q` takes them."""


def _matches(model: type[Model], fields: Iterable[str], word: str) -> list[_Match]:
    """What a row of the model has to match, one of these at least, to be found by the word; nothing where none can.

    Conditions of other tables come as keys of this one, so that PostgreSQL can find the rows by indexes however large
    the table is: an OR over the columns of several tables it can only answer by reading them.
    """
    found: list[_Match] = []
    related: dict[str, list[str]] = {}
    for field in fields:
        mark, name = (field[0], field[1:]) if field[0] in "=^" else ("", field)
        head, _, rest = name.partition("__")
        if rest and _is_relation(model, head):
            related.setdefault(head, []).append(mark + rest)
        else:
            found.append((f"{name}__{_LOOKUPS[mark]}", word))
    for head, rest_fields in related.items():
        found += _matches_through(model._meta.get_field(head), rest_fields, word)
    return found


def _matches_through(field: Any, fields: list[str], word: str) -> list[_Match]:
    inner = _matches(field.related_model, fields, word)
    if not inner:
        return []
    rows = field.related_model._base_manager.filter(Q(*inner, _connector=Q.OR)).order_by()
    if not field.concrete:  # the other table has the key: of several rows there, ours is found once
        keys = list(rows.values_list(field.field.attname, flat=True)[: KEYS + 1])
        many: Any = keys if len(keys) <= KEYS else rows.values(field.field.attname)
        return [("pk__in", many)] if keys else []
    keys = list(rows.values_list("pk", flat=True)[: KEYS + 1])
    if len(keys) > KEYS:  # so common that the list finds some soon
        return [(f"{field.name}__{path}", value) for path, value in inner]
    return [(f"{field.name}__in", keys)] if keys else []


def _is_relation(model: type[Model], name: str) -> bool:
    try:
        return bool(model._meta.get_field(name).is_relation)
    except FieldDoesNotExist:
        return False
