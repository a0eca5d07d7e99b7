"""Reads ``tax_rates.yaml``."""

from datetime import datetime
from functools import partial
from pathlib import Path

from contracts.apply.plan import TAX_RATE, Plan, Step
from contracts.apply.reading import checked, keyed_entries
from contracts.changes import Change
from contracts.models import TaxRate
from contracts.serializers import TaxRateRequest
from contracts.tax_rates import TaxRateFields, put_tax_rate

FILE = "tax_rates.yaml"


def read_tax_rates(root: Path, plan: Plan) -> None:
    path = root / FILE
    if not path.is_file():
        return
    first_seen: dict[str, int | None] = {}
    for key, values, locate in keyed_entries(path, root, plan, "tax_rates", TAX_RATE):
        line = locate("key")
        if key in first_seen:
            plan.complain(FILE, f"This tax rate stands at line {first_seen[key]} already.", line=line, entry=key)
            continue
        first_seen[key] = line
        request = TaxRateRequest(data=values)
        if not checked(request, plan=plan, file=FILE, entry=key, locate=locate):
            plan.broken.add((TAX_RATE, key))
            continue
        plan.steps.append(Step((TAX_RATE, key), FILE, partial(_put, key, request.fields_of()), locate))


def _put(key: str, given: TaxRateFields, now: datetime) -> Change[TaxRate]:
    return put_tax_rate(key, given, now=now)
