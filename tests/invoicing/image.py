"""What billing wrote, as text that two runs of the same can be compared by: whatever ids and hashes they made."""

import re
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import connection, models

from access import ids
from invoicing.models import CreditNote, Invoice, InvoiceLine, ParkedCustomer
from webhooks.models import Delivery

# Ids that are made while it happens, in rows and inside their JSON; hashes are over such ids.
_MADE = re.compile(r"\b(?:[a-z]+_[0-9A-Za-z]{20,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64})\b")
_NUMBER = re.compile(r"\b((?:[A-Z]+-)+)\d{6}\b")
_LEFT_OUT = {"id", "uid", "attempts"}

Image = dict[str, list[str]]


def tables() -> list[type[models.Model]]:
    """What billing writes: everything of invoicing, and the messages that tell of it."""
    return [*apps.get_app_config("invoicing").get_models(), Delivery]


def image(*, numbers: bool = True) -> Image:
    """Sorted rows by table. Without ``numbers`` those of documents are left out: which customer came first."""
    names = _names()

    def written(row: dict[str, Any]) -> str:
        text = ", ".join(f"{field}={value}" for field, value in row.items() if field not in _LEFT_OUT)
        text = _MADE.sub(lambda found: names.get(found[0], "hash" if len(found[0]) == 64 else found[0]), text)
        return text if numbers else _NUMBER.sub(r"\1N", text)

    return {model._meta.db_table: sorted(map(written, _rows(model))) for model in tables()}


def _rows(model: type[models.Model]) -> Iterable[dict[str, Any]]:
    return model._default_manager.order_by().values()


def _names() -> dict[str, str]:
    """What documents and lines are called by what they are, for each of their ids."""
    names: dict[str, str] = {}

    def name(prefix: str, row: Any, text: str) -> str:
        names[str(row.pk)] = names[ids.encode(prefix, row.pk)] = text
        return text

    documents: dict[Any, str] = {}
    for invoice in Invoice.objects.all():
        which = f"<{invoice.number or 'draft'} of {invoice.contract_id} {invoice.period_start:%F} {invoice.ordinal}>"
        documents[invoice.pk] = name("inv", invoice, which)
    for note in CreditNote.objects.all():
        documents[note.pk] = name("cn", note, f"<{note.number or 'draft note'} of {note.contract_id} {note.reason}>")
    for line in InvoiceLine.objects.all():
        name("line", line, f"{documents[line.invoice_id or line.credit_note_id]} {line.position}")
    return names


class Kept:
    """Puts back what billing had written when this was made. Within the block only."""

    def __enter__(self) -> "Kept":
        names = [model._meta.db_table for model in tables()]
        copies = "".join(f'CREATE TABLE kept."{name}" AS TABLE "{name}"; ' for name in names)
        _execute(f"CREATE SCHEMA kept; {copies}")
        back = "".join(f'DELETE FROM "{name}"; INSERT INTO "{name}" SELECT * FROM kept."{name}"; ' for name in names)
        # Past the triggers that keep what is issued, and in any order of the tables.
        self._back = f"SET session_replication_role = replica; {back} SET session_replication_role = origin"
        return self

    def __exit__(self, *exc: object) -> None:
        connection.close()
        _execute("DROP SCHEMA kept CASCADE")

    def put_back(self) -> None:
        _execute(self._back)


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def parked() -> dict[str, str]:
    """Reasons by customer key."""
    return dict(ParkedCustomer.objects.values_list("customer__key", "reason"))
