"""No float on a money path: none is written down, named, or made by true division or by reading JSON.

What is looked at is the syntax of every module of contracts, invoicing and the pure centre of outcomes. A use that is
no amount stands in `ALLOWED` with its reason; an entry that is no longer needed fails too.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.project.running import ROOT

MODULES = sorted(
    path
    for pattern in ("contracts/**/*.py", "invoicing/**/*.py", "outcomes/domain/**/*.py")
    for path in ROOT.glob(pattern)
    if "migrations" not in path.parts
)

ALLOWED: dict[tuple[str, str], str] = {
    ("contracts/apply/contracts.py", "division"): "a path",
    ("contracts/apply/customers.py", "division"): "a path",
    ("contracts/apply/limits.py", "division"): "a path",
    ("contracts/apply/tax_rates.py", "division"): "a path",
    ("contracts/apply/documents.py", "JSON read with floats"): "a quoted key of a path in a file, a text",
    ("contracts/domain/periods.py", "division"): "a path",
    ("contracts/domain/rating/choosing.py", "the name float"): "a number as the name of a dimension value, no amount",
    ("contracts/domain/rating/curve.py", "division"): "decimals, for a picture",
    ("contracts/domain/rating/figures.py", "division"): "decimals, for a picture and a table beside it",
    ("contracts/domain/rating/plot.py", "division"): "decimals, for a picture",
    ("contracts/terms.py", "JSON read with floats"): "seconds, which are whole numbers",
    ("invoicing/pdf.py", "division"): "a path",
    ("invoicing/pdf.py", "the name float"): "dots per inch of a picture",
    ("invoicing/pdf.py", "the number 96.0"): "dots per inch of a picture",
    ("invoicing/tariff.py", "JSON read with floats"): "dimension values, which are texts",
    ("invoicing/queries.py", "JSON read with floats"): "dimension values, which are texts",
    ("invoicing/evidence/reads.py", "JSON read with floats"): "dimension values and null, which are texts",
    ("invoicing/evidence/verify_evidence.py", "division"): "of fractions, which is exact",
    ("invoicing/management/commands/evidence.py", "division"): "a path",
}


def uses(source: str) -> Iterator[str]:
    """Every use of a float, by what it is."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex()):
                yield f"the number {node.value!r}"
            case ast.Name(id="float") | ast.Attribute(attr="float"):
                yield "the name float"
            case ast.BinOp(op=ast.Div()) if not (_is_text(node.left) or _is_text(node.right)):
                yield "division"
            case ast.AugAssign(op=ast.Div()):
                yield "division"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="json"), attr="load" | "loads")):
                if not any(keyword.arg == "parse_float" for keyword in node.keywords):
                    yield "JSON read with floats"


def _is_text(node: ast.AST) -> bool:
    """A string, which only a path can be divided by."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_no_float_on_a_money_path() -> None:
    assert len(MODULES) > 60
    found = {(str(path.relative_to(ROOT)), use) for path in MODULES for use in uses(path.read_text())}
    assert found - set(ALLOWED) == set(), (
        "make it a Decimal or an int (parse_float=Decimal), or give a reason in ALLOWED"
    )
    assert set(ALLOWED) - found == set(), "no longer used: take it out of ALLOWED"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 0.5", ["the number 0.5"]),
        ("x = 1e3", ["the number 1000.0"]),
        ("def f():\n return float(x)", ["the name float"]),
        ("def f(x: float): pass", ["the name float"]),
        ("builtins.float(x)", ["the name float"]),
        ("x = a / b", ["division"]),
        ("x /= b", ["division"]),
        ("x = json.loads(text)", ["JSON read with floats"]),
        ("x = json.loads(text, parse_float=Decimal)", []),
        ('x = root / "file"', []),
        ("x = a // b + Decimal('0.5')", []),
        ('"""A price of 0.5 / 2."""', []),
    ],
)
def test_the_rule_itself(source: str, found: list[str]) -> None:
    assert list(uses(source)) == found
