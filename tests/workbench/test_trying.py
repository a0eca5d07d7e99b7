"""What the last thirty days would have billed is what the simulation says, worked out at once or by a job."""

import io
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from contracts.models import Condition
from simulation import jobs
from simulation.admin_pages import lines
from simulation.models import Simulation
from tests.workbench.shop import TEXT, TRIED, client_of, open_shop
from workbench import trying
from workbench.drafts import draft_of

NEW = "/admin/workbench/condition/"
SIMULATE = f"{NEW}simulate/"
DIFFERENCE = "solved: in force 1 outcome, 10.00 USD, tried 3 outcomes, 30.00 USD. Difference: +2 outcomes, +20.00 USD."


@pytest.fixture
def condition(committed: None) -> Condition:
    return open_shop(timezone.now())


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A history that counts as long, and the jobs that were begun."""
    found: list[Any] = []
    monkeypatch.setattr(trying, "AT_ONCE", 3)
    monkeypatch.setattr("simulation.tasks.begin", found.append)
    return found


def done(pk: Any) -> Simulation:
    for part in jobs.split(pk):
        jobs.work(part)
    return jobs.find(pk)


def test_it_is_what_the_command_says(condition: Condition, tmp_path: Path) -> None:
    now = timezone.now()
    billed = trying.at_once(draft_of(TRIED, now), now)
    (tmp_path / "tried.outcome").write_text(TRIED)
    question, out = trying.question(TRIED, now), io.StringIO()
    span = ("--from", question["from"], "--to", question["to"])
    call_command("simulate", *span, "--condition", str(tmp_path / "tried.outcome"), "--format", "json", stdout=out)
    told = json.loads(out.getvalue())
    [own] = [one for one in told["conditions"] if one["condition"] == "solved"]
    assert billed.rows == lines("solved", own)
    assert billed.changes is not None and billed.changes["changes"] == own["changes"]
    assert billed.months == [one["month"] for one in told["months"]] and billed.provisional == told["provisional"]
    assert billed.total[0]["revenue"] == ["10.00", "30.00"] and told["difference"]["revenue"] == {"USD": "20.00"}
    assert billed.summary == DIFFERENCE


def test_a_short_history_is_worked_out_at_once_for_who_may_only_look(condition: Condition) -> None:
    viewer = client_of("viewer")
    shown = viewer.post(SIMULATE, {"text": TRIED}).content.decode()
    assert DIFFERENCE in shown and shown.count("gained</td>") == 2 and "ticket.reopened-B" in shown
    whole = viewer.post(NEW, {"text": TRIED, "_simulate": "1"}).content.decode()
    assert DIFFERENCE in whole and "As a full simulation" not in whole
    assert "No difference." in viewer.post(SIMULATE, {"text": TEXT}).content.decode()
    new = TEXT.replace("outcome solved", "outcome other")
    assert "other: in force 0 outcomes, tried 1 outcome, 0" not in viewer.post(SIMULATE, {"text": new}).content.decode()
    assert "mend it first" in viewer.post(SIMULATE, {"text": "outcome"}).content.decode()
    assert viewer.post(NEW, {"text": TRIED, "_job": "1"}).status_code == 403
    assert not Simulation.objects.exists(), "nothing is kept"


def test_a_long_history_is_a_job_that_the_page_follows(condition: Condition, begun: list[Any]) -> None:
    finance = client_of("finance")
    waiting = finance.post(SIMULATE, {"text": TRIED}).content.decode()
    [found] = Simulation.objects.all()
    assert begun == [found.pk] and found.asked_by == "finance"
    address = reverse("workbench_condition_simulated", args=[found.pk])
    assert f'data-poll="{address}"' in waiting and "<progress" in waiting and found.public_id in waiting
    assert f'data-poll="{address}"' in finance.get(address).content.decode()
    done(found.pk)
    shown = finance.get(address).content.decode()
    assert DIFFERENCE in shown and "data-poll" not in shown
    assert reverse("admin:simulation_simulation_change", args=[found.pk]) in shown
    at_once = finance.post(NEW, {"text": TRIED, "_simulate": "1"})
    assert at_once.status_code == 302 and re.search(r"/simulation/simulation/[-0-9a-f]+/change/", at_once.url)
    viewer = client_of("viewer")
    assert "ask somebody who may begin simulations" in viewer.post(SIMULATE, {"text": TRIED}).content.decode()
    assert DIFFERENCE in viewer.get(address).content.decode(), "what was found may be seen"
    jobs.cancel(Simulation.objects.latest("id").pk, now=timezone.now())
    address = reverse("workbench_condition_simulated", args=[Simulation.objects.latest("id").pk])
    assert "The simulation is cancelled." in viewer.get(address).content.decode()
    nothing = reverse("workbench_condition_simulated", args=[UUID(int=0)])
    assert viewer.get(nothing).status_code == 404


def test_it_can_be_asked_as_a_full_simulation(condition: Condition, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr("simulation.tasks.begin", begun.append)
    engineer = client_of("engineer")
    answer = engineer.post(NEW, {"text": TRIED, "_job": "1"})
    [found] = Simulation.objects.all()
    assert answer.url == reverse("admin:simulation_simulation_change", args=[found.pk]) and begun == [found.pk]
    assert jobs.decoded(found.asked)["condition"] == TRIED


def test_publishing_a_long_history_tells_what_the_last_simulation_found(condition: Condition, begun: list[Any]) -> None:
    owner, publish = client_of("owner"), f"{NEW}publish/"
    assert "No simulation of this text was made" in owner.post(publish, {"text": TRIED}).content.decode()
    owner.post(SIMULATE, {"text": TRIED})
    done(begun[0])
    assert DIFFERENCE in owner.post(publish, {"text": TRIED}).content.decode()
    assert "No simulation of this text was made" in owner.post(publish, {"text": TRIED + "# \n"}).content.decode()
