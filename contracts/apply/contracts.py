"""Reads ``contracts.yaml``."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from contracts.agreements import ContractFields, ensure_contract
from contracts.apply.documents import Document
from contracts.apply.plan import CONDITION, CONTRACT, CUSTOMER, RATE_CARD, Plan, Step
from contracts.apply.reading import checked, locator, mapping_of, read_document
from contracts.changes import Change
from contracts.domain.periods import day_start
from contracts.models import Contract, Customer
from contracts.serializers import ContractRequest

FILE = "contracts.yaml"
ALL = "all"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENTS = ("starts_at", "ends_at")


@dataclass(frozen=True)
class _Entry:
    """One entry of the file: whom it names (None: all), its terms as written with the defaults filled in."""

    index: int
    customers: tuple[str, ...] | None
    values: dict[str, Any]

    @property
    def start(self) -> str:
        return str(self.values.get("starts_at"))


def read_contracts(root: Path, customers: Sequence[str], plan: Plan) -> None:
    """``customers`` are those of the directory: whom ``customers: all`` means."""
    path = root / FILE
    if not path.is_file():
        return
    document = read_document(path, root, plan)
    top = None if document is None else mapping_of(document, ("defaults", "contracts"), plan, FILE)
    if document is None or top is None:
        return
    defaults = top.get("defaults") or {}
    for name in {"customer", "customers"} & set(defaults):
        plan.complain(FILE, f"`{name}` stands in each entry, not here.", line=document.line_of(("defaults", name)))
        del defaults[name]
    entries = [_entry(index, entry, defaults, document, plan) for index, entry in enumerate(top["contracts"])]
    known = [entry for entry in entries if entry is not None]
    named = _named(known, document, plan)
    for entry in known:
        keys = entry.customers
        if keys is None and not customers and CUSTOMER not in plan.unread:
            message = "`customers: all` means those of customers.csv or customers.yaml, and there are none here."
            plan.complain(FILE, message, line=document.line_of(("contracts", entry.index)))
        if keys is None:
            # Who has an entry of its own with this start is an exception from `all`.
            keys = tuple(key for key in customers if (key, entry.start) not in named)
        _plan_entry(entry, keys, document, plan)


def _entry(index: int, entry: Any, defaults: dict[str, Any], document: Document, plan: Plan) -> _Entry | None:
    line = document.line_of(("contracts", index))
    if not isinstance(entry, dict) or ("customer" in entry) == ("customers" in entry):
        message = (
            "Expected an entry with `customer: KEY`, or with `customers:` and a list of keys, or `customers: all`."
        )
        plan.complain(FILE, message, line=line)
        return None
    values = {**defaults, **entry}
    whom = values.pop("customer", None) or values.pop("customers", None)
    values.pop("customers", None)
    if whom == ALL and "customers" in entry:
        return _Entry(index, None, values)
    keys = whom if isinstance(whom, list) else [whom]
    if not keys or not all(isinstance(key, str) and key for key in keys):
        message = "The key of a customer is text (a number is put in quotes); several are written as a list."
        plan.complain(FILE, message, line=line)
        return None
    return _Entry(index, tuple(keys), values)


def _named(entries: Sequence[_Entry], document: Document, plan: Plan) -> set[tuple[str, str]]:
    """(customer, start) of every entry that names customers; complains of a second entry for the same."""
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        for key in entry.customers or ():
            if (key, entry.start) in seen:
                first = document.line_of(("contracts", seen[key, entry.start]))
                message = f"{key} has a contract with this start at line {first} already."
                plan.complain(FILE, message, line=document.line_of(("contracts", entry.index)), entry=key)
            seen.setdefault((key, entry.start), entry.index)
    return set(seen)


def _plan_entry(entry: _Entry, keys: Sequence[str], document: Document, plan: Plan) -> None:
    locate = locator(document, ("contracts", entry.index), ("defaults",))
    who = "all" if entry.customers is None else ", ".join(entry.customers)
    # The shape is one for all customers of the entry; where a day begins depends on each one's time zone.
    as_utc = {name: _moment_text(value) if name in _MOMENTS else value for name, value in entry.values.items()}
    bad_days = [name for name in _MOMENTS if _is_day(as_utc.get(name))]
    for name in bad_days:
        message = f"{name}: there is no such day; write one such as 2026-03-01."
        plan.complain(FILE, message, line=locate(name), entry=who)
        as_utc[name] = "2000-01-01T00:00:00Z"  # so that the rest is looked at, too
    request = ContractRequest(data={**as_utc, "customer": who[:255]})
    if not checked(request, plan=plan, file=FILE, entry=who, locate=locate) or bad_days:
        return
    given = request.fields_of()
    days = {name: str(entry.values[name]) for name in _MOMENTS if _is_day(entry.values.get(name))}
    conditions = {(CONDITION, price.condition) for price in given.prices}
    for key in keys:
        needs = frozenset({(CUSTOMER, key), (RATE_CARD, given.rate_card), *conditions})
        call: Callable[[datetime], Change[Any]] = partial(_ensure, replace(given, customer=key), days)
        plan.steps.append(Step((CONTRACT, f"{key} {entry.start}"), FILE, call, locate, needs, key))


def _ensure(given: ContractFields, days: dict[str, str], now: datetime) -> Change[Contract]:
    zone = given.time_zone or Customer.objects.filter(key=given.customer).values_list("time_zone", flat=True).first()
    local: dict[str, Any] = {}
    for name, day in days.items():
        try:
            local[name] = day_start(date.fromisoformat(day), zone or "UTC")
        except ValueError:
            break  # an unknown zone: the use case says so, in better words
    return ensure_contract(replace(given, **local), now=now)


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and _DAY.fullmatch(value) is not None


def _moment_text(value: Any) -> Any:
    """A day as the moment it begins at, for the shape check; everything else as written."""
    if not _is_day(value):
        return value
    try:
        return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return value
