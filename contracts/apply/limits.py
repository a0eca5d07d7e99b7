"""Reads ``limits.yaml``: which conditions are for named customers alone."""

from dataclasses import dataclass
from pathlib import Path

from contracts.apply.documents import Document
from contracts.apply.plan import Plan
from contracts.apply.reading import read_document

FILE = "limits.yaml"


@dataclass(frozen=True)
class Limits:
    """Customers by the slug of their condition, and the line of each place in the file."""

    customers: dict[str, list[str]]
    document: Document | None = None

    def line_of(self, slug: str, index: int | None = None) -> int | None:
        """The line of a condition's entry, or of a customer in it."""
        if self.document is None:
            return None
        return self.document.line_of(("conditions", slug) if index is None else ("conditions", slug, index))


def read_limits(root: Path, plan: Plan) -> Limits:
    """What the file says; nothing where there is none or it cannot be read."""
    path = root / FILE
    document = read_document(path, root, plan) if path.is_file() else None
    if document is None:
        return Limits({})
    value = document.value
    given = value.get("conditions") if isinstance(value, dict) and set(value) == {"conditions"} else None
    if not isinstance(given, dict):
        plan.complain(
            FILE, "Expected `conditions:` with a list of customers under each slug, and nothing else.", line=1
        )
        return Limits({})
    limits = Limits({}, document)
    for slug, keys in given.items():
        if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
            message = "Expected a list of customers' keys, at least one (a number is put in quotes)."
            plan.complain(FILE, message, line=limits.line_of(slug), entry=slug)
        elif not any((root / "conditions").glob(f"{slug}*.outcome")):
            message = f"There is no conditions/{slug}.outcome that this could limit."
            plan.complain(FILE, message, line=limits.line_of(slug), entry=slug)
        else:
            limits.customers[slug] = keys
    return limits
