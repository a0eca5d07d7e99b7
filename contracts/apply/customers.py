"""Reads ``customers.csv`` and ``customers.yaml``."""

import csv
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from access.serializers import unknown_message
from contracts.apply.plan import CUSTOMER, TAX_RATE, Plan, Step
from contracts.apply.reading import Entry, checked, keyed_entries, read_text
from contracts.customers import CustomerFields, put_customer
from contracts.serializers import CustomerRequest

COLUMNS = ("key", "name", "currency", "time_zone", "email", "address", "tax_id", "locale", "tax_rates")


def read_customers(root: Path, plan: Plan) -> list[str]:
    """The keys of the customers that the directory names, in its order."""
    first_seen: dict[str, str] = {}
    for file, entries in (("customers.csv", _from_csv), ("customers.yaml", _from_yaml)):
        if not (root / file).is_file():
            continue
        for key, values, locate in entries(root / file, root, plan):
            line = locate("key")
            if key in first_seen:
                plan.complain(file, f"This customer stands at {first_seen[key]} already.", line=line, entry=key)
                continue
            first_seen[key] = f"{file}:{line}"
            request = CustomerRequest(data=values)
            if not checked(request, plan=plan, file=file, entry=key, locate=locate):
                plan.broken.add((CUSTOMER, key))
                continue
            given = request.fields_of()
            needs = frozenset((TAX_RATE, rate) for rate in given.tax_rates)
            plan.steps.append(Step((CUSTOMER, key), file, partial(_put, key, given), locate, needs))
    return list(first_seen)


def _put(key: str, given: CustomerFields, now: Any) -> Any:
    return put_customer(key, given, now=now)


def _from_csv(path: Path, root: Path, plan: Plan) -> Iterator[Entry]:
    text = read_text(path, root, plan)
    if text is None:
        plan.unread.add(CUSTOMER)
        return
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(rows, [])
        if not _columns_fit(columns, plan, path.name):
            plan.unread.add(CUSTOMER)
            return
        last = rows.line_num
        for row in rows:
            line, last = last + 1, rows.line_num
            if not any(row):
                continue
            if len(row) != len(columns):
                message = f"This row has {len(row)} cells, the first one names {len(columns)} columns."
                plan.complain(path.name, message, line=line, entry=row[0])
                plan.unread.add(CUSTOMER)
                continue
            # An empty cell is a field that was left out.
            values: dict[str, Any] = {column: cell for column, cell in zip(columns, row, strict=True) if cell}
            if "tax_rates" in values:
                values["tax_rates"] = values["tax_rates"].split()
            yield values.pop("key", ""), values, _at(line)
    except csv.Error as error:
        plan.complain(path.name, f"This is not CSV: {error}.", line=rows.line_num)
        plan.unread.add(CUSTOMER)


def _columns_fit(columns: list[str], plan: Plan, file: str) -> bool:
    fit = True
    for column in columns:
        if column not in COLUMNS:
            plan.complain(file, f"{column}: {unknown_message(column, COLUMNS, 'column')}", line=1)
            fit = False
        elif columns.count(column) > 1:
            plan.complain(file, f"The column {column} stands here twice.", line=1)
            return False
    if fit and "key" not in columns:
        message = f"The first line names the columns; key is needed. Known are: {', '.join(COLUMNS)}."
        plan.complain(file, message, line=1)
        fit = False
    return fit


def _at(line: int) -> Callable[[str], int | None]:
    return lambda path: line


def _from_yaml(path: Path, root: Path, plan: Plan) -> Iterator[Entry]:
    return keyed_entries(path, root, plan, "customers", CUSTOMER)
