"""What needs every app."""

import secrets

from celery import shared_task
from django.utils import timezone

from access.invariants import Scope, check, snapshot
from billing_project.management.commands.audit import SAMPLE, collect
from workplace import figures
from workplace.models import Figures


@shared_task(name="billing_project.audit", ignore_result=True, soft_time_limit=3000, time_limit=3060)
def audit() -> None:
    """Prove what must hold, with a sample of other subjects each night, and note for the front page how that went."""

    def work_out(now: object) -> dict[str, object]:
        scope = Scope(now=timezone.now(), sample=SAMPLE, seed=secrets.randbelow(10**6))
        with snapshot():
            results = list(check(collect(), scope))
        broken = [one.invariant.name for one in results if one.error or one.findings.violations]
        return {"invariants": len(results), "broken": broken, "warnings": sum(one.findings.warnings for one in results)}

    figures.refresh(Figures.Kind.AUDIT, work_out, now=timezone.now())
