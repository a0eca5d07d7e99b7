"""Reads a whole directory into a plan."""

from pathlib import Path

from contracts.apply.contracts import FILE as CONTRACTS_FILE
from contracts.apply.contracts import read_contracts
from contracts.apply.customers import read_customers
from contracts.apply.limits import FILE as LIMITS_FILE
from contracts.apply.plan import Plan
from contracts.apply.tax_rates import FILE as TAX_RATES_FILE
from contracts.apply.tax_rates import read_tax_rates
from contracts.apply.versioned import read_conditions, read_rate_cards

FILES = (TAX_RATES_FILE, "customers.csv", "customers.yaml", LIMITS_FILE, CONTRACTS_FILE)
FOLDERS = ("conditions", "rate_cards")
# Read by `manage.py import_events`.
IMPORT_MAPPING = "import.yaml"
_OURS = (".yaml", ".yml", ".outcome")


def read_directory(root: Path) -> Plan:
    """Every step the directory asks for, in the order in which things build on one another, and every complaint."""
    plan = Plan()
    expected = ", ".join((*FILES, *(f"{folder}/" for folder in FOLDERS)))
    if not root.is_dir():
        plan.complain(".", f"There is no directory {root}. It holds some of: {expected}.")
        return plan
    _refuse_strangers(root, expected, plan)
    read_conditions(root, plan)
    read_rate_cards(root, plan)
    conditions_and_cards, plan.steps = plan.steps, []
    read_tax_rates(root, plan)
    customers = read_customers(root, plan)
    plan.steps += conditions_and_cards
    read_contracts(root, customers, plan)
    if not plan.steps and not plan.problems:
        plan.complain(".", f"There is nothing to apply in {root}. Expected are some of: {expected}.")
    return plan


def _refuse_strangers(root: Path, expected: str, plan: Plan) -> None:
    """A file that looks like one of ours under another name was meant to have an effect."""
    for path in sorted(root.iterdir()):
        if path.is_dir() or path.name.startswith(".") or path.name in (*FILES, IMPORT_MAPPING):
            continue
        if path.suffix in _OURS or (path.suffix == ".csv" and path.stem.startswith(("customer", "contract"))):
            plan.complain(path.name, f"This file is none that is read: expected are {expected}. Rename or move it.")
