"""Reads ``contracts.yaml``."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from access.paths import child, item
from access.times import format_rfc3339
from contracts.agreements import ContractFields, ensure_contract, refuse_backdated_windows
from contracts.apply.documents import Document
from contracts.apply.plan import CONDITION, CONTRACT, CUSTOMER, RATE_CARD, Plan, Step
from contracts.apply.reading import checked, locator, mapping_of, read_document
from contracts.changes import Change
from contracts.contract_serializers import ContractFileRequest
from contracts.domain.periods import day_start, zone_names
from contracts.models import Contract, Customer
from contracts.timeline import Amendment

FILE = "contracts.yaml"
ALL = "all"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENTS = ("starts_at", "ends_at", "effective_at")


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
    bad_days: list[str] = []
    as_utc = _with_moments(entry.values, "UTC", bad_days)
    for place in bad_days:
        message = f"{place}: there is no such day; write one such as 2026-03-01."
        plan.complain(FILE, message, line=locate(place), entry=who)
    request = ContractFileRequest(data={**as_utc, "customer": who[:255]})
    if not checked(request, plan=plan, file=FILE, entry=who, locate=locate) or bad_days:
        return
    given, amended = request.fields_of(), request.amendments_of()
    conditions = {(CONDITION, price.condition) for price in given.prices}
    conditions |= {(CONDITION, slug) for slug in (*given.settlement_windows, *given.conditions)}
    cards = {given.rate_card}
    for further in (*given.phases, *amended):
        conditions |= {(CONDITION, price.condition) for price in further.changes.get("prices", ())}
        for name in ("settlement_windows", "conditions"):
            conditions |= {(CONDITION, slug) for slug in further.changes.get(name, ())}
        cards |= {further.changes["rate_card"]} if "rate_card" in further.changes else set()
    needed = {*conditions, *((RATE_CARD, card) for card in cards)}
    agreed = lru_cache(maxsize=None)(partial(_agreed, entry.values))
    for key in keys:
        call: Callable[[datetime], Change[Any]] = partial(_ensure, key, given.time_zone, agreed)
        needs = frozenset({(CUSTOMER, key), *needed})
        plan.steps.append(
            Step((CONTRACT, f"{key} {entry.start}"), FILE, call, locate, needs, key, refuse_backdated_windows)
        )


Agreed = tuple[ContractFields, tuple[Amendment, ...]]


def _agreed(values: dict[str, Any], time_zone: str) -> Agreed:
    """An entry whose shape was found to be right, its days beginning at midnight of a time zone."""
    zone = time_zone if time_zone in zone_names() else "UTC"  # an unknown one: the use case says so, in better words
    request = ContractFileRequest(data={**_with_moments(values, zone, []), "customer": "-"})
    request.is_valid(raise_exception=True)
    return request.fields_of(), request.amendments_of()


def _ensure(key: str, own_zone: str | None, agreed: Callable[[str], Agreed], now: datetime) -> Change[Contract]:
    zone = own_zone or Customer.objects.filter(key=key).values_list("time_zone", flat=True).first()
    given, amended = agreed(zone or "UTC")
    return ensure_contract(replace(given, customer=key), amended, now=now, guarded=False)


def _with_moments(value: Any, zone: str, bad_days: list[str], path: str = "") -> Any:
    """The values of an entry with each day as the moment at which it begins in the zone; days that there are not go to
    ``bad_days`` and are replaced, so that the rest is looked at, too.
    """
    if isinstance(value, list):
        return [_with_moments(one, zone, bad_days, item(path, index)) for index, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, inner in value.items():
        place = child(path, name)
        if name in _MOMENTS and isinstance(inner, str) and _DAY.fullmatch(inner):
            try:
                result[name] = format_rfc3339(day_start(date.fromisoformat(inner), zone))
            except (ValueError, OverflowError):
                bad_days.append(place)
                result[name] = "2000-01-01T00:00:00Z"
        else:
            result[name] = _with_moments(inner, zone, bad_days, place)
    return result
