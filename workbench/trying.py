"""What a draft would have billed over the last days, beside what is in force: the simulation's own run, asked for one
condition.

Where few events are stored the answer is worked out at once and nothing is written; where there are many, it is a job.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from access.times import format_rfc3339
from contracts.condition_text import Reading
from simulation import jobs, results, tasks
from simulation.admin_pages import changes_shown, lines
from simulation.checking import check
from simulation.models import Simulation
from simulation.report import changed
from simulation.run import simulate
from simulation.serializers import read
from workbench.drafts import Draft

DAYS = 30
AT_ONCE = 20_000
"""So many stored events are replayed while the page waits; more are a job's."""


@dataclass(frozen=True)
class Billed:
    """A draft beside what is in force. ``changes`` are those of the condition's outcomes, as the page of a simulation
    shows them, None where there are none; ``rows`` and ``total`` are lines of tables.
    """

    start: datetime
    end: datetime
    months: list[str]
    changes: Mapping[str, Any] | None
    rows: list[dict[str, Any]]
    total: list[dict[str, Any]]
    summary: str
    provisional: Mapping[str, int]
    archived: list[str]
    simulation: Simulation | None = None


def question(text: str, now: datetime) -> dict[str, Any]:
    """The question as the API takes it: this text, over the last days."""
    end = now.replace(microsecond=0)
    return {
        "from": format_rfc3339(end - timedelta(days=DAYS)),
        "to": format_rfc3339(end),
        "condition": text,
    }


def few_events() -> bool:
    """Whether so few events are stored that the page may wait for the answer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM (SELECT FROM outcomes_event LIMIT %s) AS few", [AT_ONCE + 1])
        return int(cursor.fetchone()[0]) <= AT_ONCE


def at_once(draft: Draft, now: datetime) -> Billed:
    """Replay everything now, in a snapshot; writes nothing. Not to be called in a transaction. ApiError (422) where the
    text is no condition.
    """
    asked = read(question(draft.text, now))
    check(asked, now)
    rows, beside = simulate(asked, now)
    totals = results.Totals()
    totals.add(rows)
    assert asked.condition is not None
    return billed(results.summary_json(totals, beside), asked.condition, asked.start, asked.end)


def begin(draft: Draft, *, by: str, now: datetime) -> Simulation:
    """Ask it as a job. ApiError (422) where the text is no condition."""
    with transaction.atomic():
        made = jobs.create(question(draft.text, now), by=by, now=now)
        transaction.on_commit(lambda: tasks.begin(made.pk))
    return made


def of_job(found: Simulation) -> Billed | None:
    """The answer of a job of ours; None before it is done, or where it is about no condition."""
    if found.result is None:
        return None
    asked = read(jobs.decoded(found.asked))
    if asked.condition is None:
        return None
    return billed(found.result, asked.condition, asked.start, asked.end, found)


def latest_job(draft: Draft) -> Simulation | None:
    """The newest simulation that is done and was asked of just this text, if one of the newest was."""
    newest = Simulation.objects.filter(status=Simulation.Status.DONE, shadow=None).defer("result").order_by("-id")[:50]
    return next((one for one in newest if jobs.decoded(one.asked).get("condition") == draft.text), None)


def billed(
    result: Mapping[str, Any], reading: Reading, start: datetime, end: datetime, found: Simulation | None = None
) -> Billed:
    """What the page shows of a result."""
    own = next((one for one in result["conditions"] if one["condition"] == reading.slug), None)
    return Billed(
        start=start,
        end=end,
        months=[one["month"] for one in result["months"]],
        changes=changes_shown(own) if own is not None and changed(own["changes"]) else None,
        rows=[] if own is None else lines(reading.slug, own),
        total=lines("Everything, with fees, minimums and caps", result),
        summary=_summary(own, reading.slug),
        provisional=result["provisional"],
        archived=result["archived_months"],
        simulation=found,
    )


def _summary(own: Mapping[str, Any] | None, slug: str) -> str:
    """`In force: 12 outcomes, 24.00 USD. Tried: …` of the condition alone."""
    if own is None:
        return f"Neither this text nor what is in force confirms any outcome of {slug} in these periods."
    sides = ", ".join(
        f"{name} {own[side]['outcomes']:,} {_outcomes(own[side]['outcomes'])}{_amounts(own[side]['revenue'])}"
        for name, side in (("in force", "before"), ("tried", "after"))
    )
    difference = own["difference"]
    more = f"{difference['outcomes']:+,} {_outcomes(difference['outcomes'])}"
    amounts = _amounts(difference["revenue"], signed=True)
    none = not difference["outcomes"] and not any(Decimal(one) for one in difference["revenue"].values())
    return f"{slug}: {sides}. " + ("No difference." if none else f"Difference: {more}{amounts}.")


def _outcomes(count: int) -> str:
    return "outcome" if abs(count) == 1 else "outcomes"


def _amounts(revenue: Mapping[str, str], *, signed: bool = False) -> str:
    sign = "+," if signed else ","
    return "".join(f", {format(Decimal(amount), sign)} {currency}" for currency, amount in sorted(revenue.items()))
