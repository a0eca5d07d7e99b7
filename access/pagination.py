"""Lists by cursor: ``?limit=50&cursor=…`` → ``{"data": […], "has_more": …, "next_cursor": …}``.

Keyset pagination over the ordering columns and the primary key: no count, no offset, a page costs the same wherever it
lies, and rows added meanwhile neither repeat nor hide others. A cursor is opaque and signed, and bound to the path and
filters it was given for.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError, Detail

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
PARAMETERS = frozenset({"limit", "cursor"})

_SALT = "access.pagination"
_MAC_BYTES = 16
_MAX_CURSOR = 2048
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the caller asked for: how many rows, and after which values of the ordering columns."""

    limit: int
    after: tuple[Any, ...] | None
    binding: str


def paginate(
    request: Request,
    queryset: QuerySet[Any],
    *,
    order: Sequence[str] = ("-created_at", "-id"),
    serialize: Callable[[Any], Any],
) -> Response:
    """One page of `queryset`, newest first unless `order` says otherwise.

    `order` holds NOT NULL columns (``-`` for descending; ``a__b`` reaches through a relation); the primary key is added
    when it is missing, so that the order is total. `serialize` makes the answer of one row.
    """
    page = read_page_request(request, order)
    rows, next_cursor = fetch(queryset, page, order)
    return page_response([serialize(row) for row in rows], next_cursor)


def read_page_request(request: Request, order: Sequence[str]) -> PageRequest:
    """`limit` and `cursor` of the query string, or the ApiError that says what is wrong with them."""
    limit = _read_limit(_single(request, "limit"))
    binding = _binding(request, order)
    cursor = _single(request, "cursor")
    return PageRequest(limit, None if cursor is None else decode_cursor(cursor, binding), binding)


def fetch(queryset: QuerySet[Any], page: PageRequest, order: Sequence[str]) -> tuple[list[Any], str | None]:
    """The rows of the page and the cursor of the next."""
    columns = total_order(queryset, order)
    if page.after is not None:
        queryset = queryset.filter(after(columns, page.after))
    rows = list(queryset.order_by(*columns)[: page.limit + 1])
    if len(rows) <= page.limit:
        return rows, None
    rows.pop()
    return rows, encode_cursor([_value(rows[-1], column.lstrip("-")) for column in columns], page.binding)


def page_response(data: list[Any], next_cursor: str | None) -> Response:
    """The list envelope."""
    return Response({"data": data, "has_more": next_cursor is not None, "next_cursor": next_cursor})


def total_order(queryset: QuerySet[Any], order: Sequence[str]) -> tuple[str, ...]:
    """`order` with the primary key at its end, in the direction of the last column."""
    key = queryset.model._meta.pk.name
    names = {column.lstrip("-") for column in order}
    if key in names or "pk" in names:
        return tuple(order)
    return (*order, f"-{key}" if order and order[-1].startswith("-") else key)


def after(columns: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows that come after `values`: a < x, or a = x and b < y, and so on.

    The first column's bound is repeated outside the alternatives, so that the planner can start from an index.
    """
    condition = Q()
    equal = Q()
    for column, value in zip(columns, values, strict=True):
        name, operator = column.lstrip("-"), "lt" if column.startswith("-") else "gt"
        condition |= equal & Q((f"{name}__{operator}", value))
        equal &= Q((name, value))
    first = columns[0]
    return Q((f"{first.lstrip('-')}__{'lte' if first.startswith('-') else 'gte'}", values[0])) & condition


# --- The cursor -------------------------------------------------------------------------------------------------------


def encode_cursor(values: Iterable[Any], binding: str) -> str:
    """An opaque, signed text of the last row's ordering values."""
    payload = json.dumps([_tag(value) for value in values], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(payload, binding) + payload).rstrip(b"=").decode()


def decode_cursor(cursor: str, binding: str) -> tuple[Any, ...]:
    """The values again; ApiError 400 for a cursor that we did not make for this very list."""
    if len(cursor) > _MAX_CURSOR:
        raise _bad_cursor()
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    # The text is canonical too: spare bits of base64 must not give a second cursor for the same page.
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    if canonical != cursor or not constant_time_compare(mac, _mac(payload, binding)):
        raise _bad_cursor()
    return tuple(_untag(entry) for entry in json.loads(payload))


def _mac(payload: bytes, binding: str) -> bytes:
    return salted_hmac(_SALT, binding.encode() + b"\x00" + payload, algorithm="sha256").digest()[:_MAC_BYTES]


def _binding(request: Request, order: Sequence[str]) -> str:
    filters = sorted((name, request.query_params.getlist(name)) for name in request.query_params)
    kept = [(name, values) for name, values in filters if name not in PARAMETERS]
    text = json.dumps([request.path, kept, list(order)])
    return hashlib.sha256(text.encode()).hexdigest()


def _tag(value: Any) -> list[Any]:
    if isinstance(value, bool | int | str):
        return ["", value]
    if isinstance(value, datetime):
        return ["t", value.isoformat()]
    if isinstance(value, date):
        return ["d", value.isoformat()]
    if isinstance(value, UUID):
        return ["u", value.hex]
    if isinstance(value, Decimal):
        return ["n", str(value)]
    raise TypeError(f"a list cannot be ordered by {type(value).__name__}: order by NOT NULL columns")


def _untag(entry: list[Any]) -> Any:
    kind, value = entry
    readers: dict[str, Callable[[Any], Any]] = {
        "": lambda same: same,
        "t": datetime.fromisoformat,
        "d": date.fromisoformat,
        "u": UUID,
        "n": Decimal,
    }
    return readers[kind](value)


def _value(row: Any, column: str) -> Any:
    if isinstance(row, dict):
        return row[column]
    for name in column.split("__"):
        row = getattr(row, name)
    return row


# --- Parameters -------------------------------------------------------------------------------------------------------


def _single(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        message = "This parameter comes twice: send it once."
        raise ApiError(400, "invalid_parameter", f"{name}: {message}", details=[Detail(name, message, "repeated")])
    return values[0] if values else None


def _read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if _DIGITS.fullmatch(text) else 0
    if not 1 <= limit <= MAX_LIMIT:
        message = f"limit must be a whole number from 1 to {MAX_LIMIT}."
        raise ApiError(400, "invalid_limit", message, details=[Detail("limit", message, "invalid_limit")])
    return limit


def _bad_cursor() -> ApiError:
    message = "This cursor is damaged or belongs to another list or filter: start again without cursor."
    return ApiError(400, "invalid_cursor", message, details=[Detail("cursor", message, "invalid_cursor")])


class CursorPagination(BasePagination):
    """The same lists for DRF's generic views: ordering from the view's attribute `ordering`."""

    default_ordering = ("-created_at", "-id")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        order = tuple(getattr(view, "ordering", self.default_ordering))
        rows, self.next_cursor = fetch(queryset, read_page_request(request, order), order)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return page_response(data, self.next_cursor)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return list_schema(schema)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}},
            {"name": "cursor", "in": "query", "schema": {"type": "string"}},
        ]


def list_schema(entry: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of the list envelope."""
    return {
        "type": "object",
        "required": ["data", "has_more", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": entry},
            "has_more": {"type": "boolean"},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
