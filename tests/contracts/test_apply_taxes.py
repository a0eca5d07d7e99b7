"""`manage.py apply` with tax rates, and customers that choose them."""

from decimal import Decimal
from typing import Any

import pytest

from contracts.models import Contract, Customer, TaxRate
from tests.contracts.conftest import NOW
from tests.contracts.test_apply import CONTRACTS, Write, done, places, printed, run, write

pytestmark = pytest.mark.django_db
__all__ = ["write"]

RATES = """defaults:
  name: VAT
tax_rates:
  - key: vat-de
    percent: 19
  - {key: vat-fr, percent: "20.0"}
  - key: rc
    percent: 0
    reverse_charge: true
    note: "Reverse charge: you owe it."
  - {key: gross, percent: 7.7, inclusive: true}
"""
CSV = (
    "key,name,currency,address,tax_id,locale,tax_rates\n"
    'acme,Acme,USD,"Street 1\nBerlin",DE 1,de_DE,vat-de  vat-fr\n'
    "beta,,USD,,,,\n"
)
YAML = """defaults:
  currency: USD
  tax_rates: [vat-de]
customers:
  - key: gamma
    locale: fr
    address: |-
      Rue 1
      75001 Paris
    tax_rates: [rc, vat-fr]
  - key: delta
"""
FILES: dict[str, Any] = {"tax_rates.yaml": RATES, "customers.csv": CSV, "customers.yaml": YAML}


def test_rates_come_before_the_customers_that_choose_them(write: Write) -> None:
    root = write(FILES)
    assert done(root)["created"][:5] == [
        *("tax rate vat-de", "tax rate vat-fr", "tax rate rc", "tax rate gross"),
        "customer acme",
    ]
    assert {rate.key: (rate.name, rate.percent, rate.inclusive) for rate in TaxRate.objects.all()} == {
        "vat-de": ("VAT", 19, False),
        "vat-fr": ("VAT", 20, False),
        "rc": ("VAT", 0, False),
        "gross": ("VAT", Decimal("7.7"), True),
    }
    chosen = {one.key: [rate.key for rate in one.tax_rates.order_by("key")] for one in Customer.objects.all()}
    assert chosen == {"acme": ["vat-de", "vat-fr"], "beta": [], "gamma": ["rc", "vat-fr"], "delta": ["vat-de"]}
    acme, gamma = (Customer.objects.get(key=key) for key in ("acme", "gamma"))
    assert (acme.address, acme.tax_id, acme.locale) == ("Street 1\nBerlin", "DE 1", "de-DE")
    assert (gamma.address, gamma.locale) == ("Rue 1\n75001 Paris", "fr")
    assert done(root).keys() == {"unchanged"}


def test_a_change_is_printed_as_before_and_after(write: Write) -> None:
    done(write(FILES))
    files = {**FILES, "tax_rates.yaml": RATES.replace("percent: 19", "percent: 19.5"), "customers.csv": CSV.replace(
        "vat-de  vat-fr", "vat-de"
    )}  # fmt: skip
    text = printed(write(files))
    assert "tax rates" in text
    assert "~ percent: 19 → 19.5" in text
    assert "~ tax_rates: vat-de vat-fr → vat-de" in text
    assert TaxRate.objects.get(key="vat-de").percent == Decimal("19.5")


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"tax_rates.yaml": RATES.replace("percent: 19", "percent: 190")}, ("tax_rates.yaml", 5)),
        ({"tax_rates.yaml": RATES.replace("percent: 19", "percent: nineteen")}, ("tax_rates.yaml", 5)),
        ({"tax_rates.yaml": RATES.replace("percent: 19", "prcent: 19")}, ("tax_rates.yaml", 4)),
        ({"tax_rates.yaml": RATES.replace("name: VAT", 'name: ""')}, ("tax_rates.yaml", 2)),
        ({"tax_rates.yaml": RATES.replace("percent: 0", "percent: 1")}, ("tax_rates.yaml", 8)),
        ({"tax_rates.yaml": RATES.replace("vat-de", "vat-fr")}, ("tax_rates.yaml", 6)),
        ({"tax_rates.yaml": RATES.replace("vat-de", "vat de")}, ("tax_rates.yaml", 4)),
        ({"tax_rates.yaml": RATES.replace("key: vat-de", "key: 5")}, ("tax_rates.yaml", 4)),
        ({"tax_rates.yaml": "rates: []\n"}, ("tax_rates.yaml", None)),
        ({"customers.csv": CSV.replace("vat-de  vat-fr", "vat-de gross")}, ("customers.csv", 2)),
        ({"customers.csv": CSV.replace("vat-de  vat-fr", "vat-de;vat-fr")}, ("customers.csv", 2)),
        ({"customers.csv": CSV.replace("de_DE", "xx")}, ("customers.csv", 2)),
        ({"customers.yaml": YAML.replace("[rc, vat-fr]", "[rc, nothing]")}, ("customers.yaml", 10)),
        ({"customers.yaml": YAML.replace("[rc, vat-fr]", "rc")}, ("customers.yaml", 10)),
    ],
)
def test_what_is_wrong_has_its_line(write: Write, files: dict[str, str], place: tuple[str, int]) -> None:
    found = places(write({**FILES, **files}))
    assert place in found
    assert not TaxRate.objects.exists() and not Customer.objects.exists()


def test_what_a_broken_rate_is_chosen_by_is_not_tried(write: Write) -> None:
    result = run(write({**FILES, "tax_rates.yaml": RATES.replace("percent: 19", "percent: x")}))
    assert [problem.file for problem in result.problems] == ["tax_rates.yaml"]
    assert {"acme", "delta"} <= {step.name for step in result.skipped}


TERMS = """    credit_notes: approval
    credits: refund
    zero_invoices: skip
    collection_method: charge_automatically
    progressive_threshold: 250
"""


def test_what_becomes_of_invoices_stands_in_the_file_and_changes_from_now_on(write: Write) -> None:
    root = write({"contracts.yaml": CONTRACTS + TERMS})
    done(root)
    version = Contract.objects.all()[0].versions.get()
    assert (version.credit_notes, version.credits, version.zero_invoices) == ("approval", "refund", "skip")
    assert (version.collection_method, version.pass_on) == ("charge_automatically", "none")
    assert version.progressive_threshold == 250
    assert done(root).keys() == {"unchanged"}
    edited = run(write({"contracts.yaml": CONTRACTS + TERMS.replace("250", "300")}))
    assert "progressive_threshold is 250, not 300" in edited.problems[0].message
    amended = CONTRACTS + TERMS + "    amendments:\n      - effective_at: 2026-02-01\n        credits: next_invoice\n"
    [line] = {problem.line for problem in run(write({"contracts.yaml": amended}), now=NOW).problems}
    assert line == 13
    amended = amended.replace("2026-02-01", "2027-02-01")
    text = printed(write({"contracts.yaml": amended}))
    assert "~ credits: refund → next_invoice" in text
