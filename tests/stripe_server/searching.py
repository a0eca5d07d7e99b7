"""The search query language, as far as customers and invoices need it (https://docs.stripe.com/search#search-query-language)."""

import re
from typing import Any

from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.world import Object, World

_CLAUSE = re.compile(
    r"""\s*(?P<not>-)?(?P<field>\w+)(?:\[(?P<quote>["'])(?P<key>[^"']+)(?P=quote)\])?"""
    r"""\s*(?P<operator>:|~|>=|<=|>|<)\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\d+|null)\s*"""
)
FIELDS = {
    "customer": {"created", "email", "metadata", "name", "phone"},
    "invoice": {"created", "currency", "customer", "metadata", "number", "receipt_number", "subscription", "total"},
}
FIELDS["invoice"] |= {"status", "last_finalization_error_code", "last_finalization_error_type"}


def search(world: World, kind: str, params: dict[str, Any], url: str) -> Object:
    """A page of what the index knows and the query matches. `page` is an opaque cursor: where the next page begins."""
    clauses, any_of = _parse(kind, params["query"])
    found = []
    for known, current in world.searchable(kind):
        verdicts = [_holds(clause, known) for clause in clauses]
        if any(verdicts) if any_of else all(verdicts):
            found.append(current)
    limit = params.get("limit", 10)
    page = params.get("page", "0")
    if not page.isdigit():
        raise StripeFailure(f"Invalid page: {page}", param="page")
    start = int(page)
    listed = world.page(found[start : start + limit], {"limit": limit}, url)
    more = len(found) > start + limit
    return {**listed, "object": "search_result", "has_more": more, "next_page": str(start + limit) if more else None}


def _parse(kind: str, query: str) -> tuple[list[dict[str, Any]], bool]:
    clauses = []
    joints = set()
    at = 0
    while at < len(query):
        match = _CLAUSE.match(query, at)
        if match is None:
            raise StripeFailure("We were unable to parse your search query.", param="query")
        clause = match.groupdict()
        if clause["field"] not in FIELDS[kind] or (clause["field"] == "metadata") != (clause["key"] is not None):
            raise StripeFailure(f"Field `{clause['field']}` is an unsupported search field.", param="query")
        clauses.append(clause)
        at = match.end()
        joint = re.compile(r"(AND|OR)\s+|").match(query, at)
        assert joint is not None
        if at < len(query):
            joints.add(joint.group(1) or "AND")
        at = joint.end()
    if not clauses or len(joints) > 1:
        raise StripeFailure("You can't combine AND and OR in the same query.", param="query")
    return clauses, joints == {"OR"}


def _holds(clause: dict[str, Any], obj: Object) -> bool:
    there = obj["metadata"].get(clause["key"]) if clause["key"] else obj.get(clause["field"])
    value = clause["value"]
    if value == "null":
        holds = there is None
    elif clause["operator"] in (">", "<", ">=", "<="):
        bound = int(value)
        tests = {">": int.__gt__, "<": int.__lt__, ">=": int.__ge__, "<=": int.__le__}
        holds = isinstance(there, int) and tests[clause["operator"]](there, bound)
    else:
        text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] in "\"'" else value
        # "String fields are matched case insensitively"; a colon is equality, a tilde substring.
        there = "" if there is None else str(there).lower()
        holds = text.lower() in there if clause["operator"] == "~" else text.lower() == there
    return holds is not bool(clause["not"])
