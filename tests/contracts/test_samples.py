"""The samples are what users copy: they load, and they say what their READMEs say."""

import csv
import gzip
import json

import pytest

from conditions_dsl import format, parse
from contracts.apply.run import apply_directory
from contracts.models import Condition, Contract, ContractVersion, Customer, Price
from tests.contracts.conftest import NOW, SAMPLES

pytestmark = pytest.mark.django_db

# The condition of the figures in the data's README: what the demo's totals rest on.
HELPDESK = """
outcome resolved_incident "Incident resolved"
per number
bill when incident.resolved or incident.closed
void when incident.new or incident.active or incident.awaiting.*
settle after 72 hours
dimension priority = latest priority of incident.*
"""


def test_helpdesk_loads_and_fits_the_log() -> None:
    result = apply_directory(SAMPLES / "helpdesk", now=NOW)
    assert (result.problems, result.notes) == ([], [])
    assert Customer.objects.count() == Contract.objects.count() == 202
    assert {c.starts_at.isoformat() for c in Contract.objects.all()} == {"2016-01-01T00:00:00+00:00"}
    versions = ContractVersion.objects.all()
    assert {(v.billing_period, v.anchor_day, v.time_zone) for v in versions} == {("monthly", 1, "UTC")}
    own = Price.objects.filter(contract_version__isnull=False)
    assert set(own.values_list("contract_version__contract__customer__key", flat=True)) == {
        "Location 161",
        "Location 204",
    }
    assert Condition.objects.get().versions.get().canonical == format(parse(HELPDESK))
    with gzip.open(SAMPLES / "helpdesk" / "incidents.csv.gz", "rt", encoding="utf-8") as log:
        rows = list(csv.DictReader(log))
    assert len(rows) == 119_998
    assert set(Customer.objects.values_list("key", flat=True)) == {row["location"] for row in rows} - {"?"}
    card = Price.objects.filter(rate_card_version__isnull=False)
    assert {price.match["priority"] for price in card} == {row["priority"] for row in rows}
    assert not apply_directory(SAMPLES / "helpdesk", now=NOW).anything_to_do


def test_quickstart_loads_and_its_events_are_of_its_customer() -> None:
    assert apply_directory(SAMPLES / "quickstart", now=NOW).problems == []
    lines = (SAMPLES / "quickstart" / "events.ndjson").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert len({event["id"] for event in events}) == len(events)
    assert {event["customer"] for event in events} == set(Customer.objects.values_list("key", flat=True))
