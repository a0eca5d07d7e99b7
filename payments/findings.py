"""What a reconciliation found, for machines and for people."""

from typing import Any

from payments.models import Finding, Reconciliation


def report(run: Reconciliation) -> dict[str, Any]:
    """A run with what is open after it, for machines."""
    found = Finding.objects.select_related("customer").filter(last=run).order_by("kind", "about")
    return {
        "account": run.account,
        "livemode": run.livemode,
        "begun_at": run.begun_at,
        "ended_at": run.ended_at,
        "failure": run.failure,
        "compared": run.compared,
        "new": run.findings_new,
        "open": run.findings_open,
        "mended": run.findings_mended,
        "adopted": run.adopted,
        "findings": [
            {
                "kind": one.kind,
                "state": _state(one, run),
                "what": one.what,
                "way_out": one.way_out,
                "customer": one.customer.key if one.customer is not None else None,
                "document": one.document or None,
                "number": one.number or None,
                "stripe_id": one.stripe_id or None,
                "found_at": one.found_at,
                "mended_at": one.mended_at,
            }
            for one in found
        ],
    }


def _state(finding: Finding, run: Reconciliation) -> str:
    if finding.kind == Finding.Kind.ADOPTED:
        return "adopted"
    if finding.mended_at is not None:
        return "mended"
    return "new" if finding.first_id == run.pk else "open"


def text(run: Reconciliation) -> str:
    """The same for people."""
    told = report(run)
    mode = "live mode" if run.livemode else "test mode"
    counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in told["compared"].items())
    lines = [f"{run.account} ({mode}), {run.begun_at:%Y-%m-%d %H:%M} UTC: {counted or 'nothing'} compared."]
    if run.failure:
        lines.append(f"It did not come to its end: {run.failure}")
    else:
        lines.append(
            f"{run.findings_open} findings ({run.findings_new} new), {run.findings_mended} mended, {run.adopted} known "
            "here again."
        )
    for one in told["findings"]:
        name = one["number"] or one["document"] or ""
        ids = " ".join(part for part in (name, one["stripe_id"]) if part)
        lines += [f"- [{one['state']}] {ids}: {one['what']}", f"    {one['way_out']}"]
    return "\n".join(lines)
