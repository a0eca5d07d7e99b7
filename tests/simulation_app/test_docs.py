"""docs/simulation.md is what the code does."""

import json
import re
from pathlib import Path
from typing import Any

from django.core.management import load_command_class

from simulation import jobs, shadows, urls
from simulation.api import ShadowDetailSerializer
from simulation.asked import FACTORS, WINDOWS
from simulation.checking import LONGEST_SPAN_YEARS
from simulation.domain.survival import BUCKETS
from simulation.forecast import ALL, CONDITION, CONFIDENCE, CUSTOMER, LEAST, MOST
from simulation.models import Simulation
from simulation.queries import shadow_json
from simulation.serializers import SimulationRequest, TermsRequest
from tests.simulation_app.shop import DAY, HOUR, JANUARY, NOW, open_shop, say, settle

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulation.md").read_text()


def block(kind: str) -> Any:
    [found] = re.findall(rf"```json {kind}\n(.*?)```", PAGE, re.DOTALL)
    return json.loads(found)


def test_the_example(committed: None, settings: Any) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme")
    for n, ticket in enumerate(("held", "late", "soon")):
        say("closed", ticket, JANUARY + (n + 1) * DAY)
    say("reopened", "late", JANUARY + 2 * DAY + 30 * HOUR)
    say("reopened", "soon", JANUARY + 3 * DAY + 2 * HOUR)
    settle()
    found = jobs.create(block("request"), by="docs", now=NOW)
    for part in jobs.split(found.pk):
        jobs.work(part)
    found.refresh_from_db()
    assert found.result is not None
    [solved] = found.result["conditions"]
    told = {name: found.result[name] for name in ("before", "after", "difference")} | {"changes": solved["changes"]}
    assert told == block("result")


def test_the_shadow_of_the_page(committed: None, settings: Any) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme")
    say("closed", "late", JANUARY + 3 * DAY)
    say("reopened", "late", JANUARY + 3 * DAY + 30 * HOUR)
    settle()
    found = shadows.create(block("shadow"), by="docs", now=NOW)
    for simulation in shadows.look_due(NOW):
        for part in jobs.split(simulation):
            jobs.work(part)
    shadows.look_due(NOW)
    found.refresh_from_db()
    assert found.totals is not None and found.totals["difference"]["reversed"] == -1
    for name in (*shadow_json(found), *ShadowDetailSerializer().fields):
        if name not in (
            "id",
            "status",
            "available_actions",
            "asked",
            "made_by",
            "created_at",
            "next_look_at",
            "stopped_at",
        ):
            assert f"`{name}`" in PAGE, name


def test_the_limits_of_the_page() -> None:
    pause = shadows.REST * 100_000 / shadows.EVENTS_A_SECOND
    assert f"a pause of {pause:.0f} seconds" in PAGE and shadows.PACE.total_seconds() == 300
    assert shadows.REST == 19 and "1/20" in PAGE
    assert f"At most {shadows.MOST} shadows" in PAGE and f"at most {LONGEST_SPAN_YEARS} years" in PAGE


def test_the_page_names_everything_that_can_be_asked() -> None:
    for name in SimulationRequest().fields:
        assert re.search(rf"[`-]{name}\b", PAGE), name
    for name in TermsRequest().fields:
        assert f"`{name}`" in PAGE, name
    command = load_command_class("simulation", "simulate")
    own = {"--format", "--output"}
    parser = command.create_parser("manage.py", "simulate")
    for action in parser._actions:
        names = set(action.option_strings)
        if action.dest in ("help", "version", "verbosity", "settings", "pythonpath", "traceback"):
            continue
        if names & own or names & {"--no-color", "--force-color", "--skip-checks"}:
            continue
        assert any(f"`{name}" in PAGE for name in names), names


def test_the_endpoints_and_states_of_the_page_are_there() -> None:
    known = {"/v1/" + re.sub(r"<str:\w+>", "{id}", str(one.pattern)) for one in urls.urlpatterns}
    assert known == set(re.findall(r"^(?:GET|POST|DELETE) +(/v1/\S+)", PAGE, re.MULTILINE))
    assert all(f"`{status}`" in PAGE for status in Simulation.Status.values)


def test_the_points_of_curves() -> None:
    assert (WINDOWS[0], WINDOWS[-1]) == (3600, 30 * 86_400) and "1 hour to 30 days" in PAGE
    assert (FACTORS[0], FACTORS[-1]) == (50, 150) and "50 % to 150 %" in PAGE


def test_the_figures_of_the_forecast() -> None:
    forecasts = PAGE[PAGE.index("## Forecast") : PAGE.index("## What it does not see")]
    assert f"at least {LEAST} " in forecasts and f"{MOST:,}" in forecasts
    assert f"{100 * float(CONFIDENCE):.0f} of 100 cases" in forecasts
    edges = [str(100 * bucket // BUCKETS) for bucket in range(BUCKETS)]
    assert " ".join(forecasts.split()).count(f"{', '.join(edges[:-1])} and {edges[-1]} %") == 1
    for basis in (CUSTOMER, CONDITION, ALL):
        assert f"| `{basis}` |" in forecasts
    parser = load_command_class("simulation", "forecast").create_parser("manage.py", "forecast")
    own = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--[a-z]+", forecasts)) == own & {"--customer", "--json"}
