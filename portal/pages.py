"""What the templates show, for each page: rows that the scope gives, in the words of the page."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from conditions_dsl import Event
from invoicing import queries
from invoicing.localised.reasons import reason_of
from invoicing.models import CreditNote, Invoice, InvoiceLine, Status
from invoicing.preview import Preview
from outcomes.domain.instants import from_us
from outcomes.models import Journal, Outcome, State
from outcomes.queries import plain
from payments.letters_text import reason_text
from payments.paying import failure_code, pay_url
from portal import lines as wording
from portal.disputing import MOST_A_DAY, by_customer
from portal.scope import Document, Page, Scope, document_of, public_id
from portal.words import Words
from settlement.domain.disputes import DISPUTABLE
from settlement.models import DisputeEntry

DISPUTED: Final = "disputed"
ALL: Final = "all"
SHOWN: Final = (
    State.PROVISIONAL.value, State.CONFIRMED.value, State.VOID.value, State.REVERSED.value, DISPUTED, ALL,
)  # fmt: skip
"""What the list of outcomes can be narrowed to."""

# So many days of settling are told one by one, so many events with their data, so many values of one.
DAYS: Final = 8
MOST_EVENTS: Final = 30
MOST_VALUES: Final = 60
_LONGEST_VALUE: Final = 500


class Amount(NamedTuple):
    """Minor units and their currency."""

    minor: int
    currency: str


# --- Overview ---------------------------------------------------------------------------------------------------------


def overview(scope: Scope, words: Words) -> dict[str, Any]:
    """The running period, what is to be paid, and credit."""
    found = scope.preview()
    return _money(scope, words) | {"period": None if found is None else _period(scope, words, found)}


def _period(scope: Scope, words: Words, found: Preview) -> dict[str, Any]:
    currency = found.agreement.currency
    parts = (found.confirmed, found.provisional, found.to_credit)
    confirmed, provisional, to_credit = (wording.shown(part.lines, currency, words, words.time_zone) for part in parts)
    return {
        "start": found.period.start,
        "end": found.period.end,
        "currency": currency,
        "confirmed": confirmed,
        "confirmed_total": found.confirmed.total_minor,
        "provisional": provisional,
        "provisional_total": found.provisional.total_minor,
        "to_credit": to_credit,
        "to_credit_total": found.to_credit.total_minor,
        "expected_total": found.confirmed.total_minor + found.provisional.total_minor,
        "taxed": scope.link.customer.tax_rates.exists(),
        "settling": _settling(scope, words, found),
        "undone": scope.undone_in_window(found.period.start, found.period.end),
        "kept_off": _kept_off(scope, words, found),
    }


def _settling(scope: Scope, words: Words, found: Preview) -> list[dict[str, Any]]:
    """When what is provisional settles: a row for each day, the last for all that come after."""
    midnights = list(words.midnights(scope.now, DAYS - 1))
    days: dict[int | None, list[Any]] = defaultdict(list)
    for row in scope.settling(midnights):
        days[row.bucket].append(row)
    rows = []
    for bucket, members in days.items():
        titles = Counter[str]()
        for member in members:
            titles[member.version.title] += member.outcomes
        first = min((member.first for member in members if member.first is not None), default=None)
        rows.append(
            {
                "day": None if first is None else words.day(first),
                "later": bucket == len(midnights) and first is not None,
                "countdown": None if first is None else words.until(first, scope.now),
                "next_period": first is not None and first >= found.period.end,
                "what": [(words.number(count), title) for title, count in sorted(titles.items())],
                "count": titles.total(),
            }
        )
    return rows


def _kept_off(scope: Scope, words: Words, found: Preview) -> list[dict[str, Any]]:
    """What is confirmed or provisional and not invoiced for now, by reason."""
    counts = Counter({one.reason: one.outcomes for one in found.held})
    counts[queries.HOLD] += scope.provisional_held()
    # All that is disputed, also what was invoiced before and what has yet to settle.
    counts[queries.DISPUTE] = scope.disputed_outcomes().count()
    return [
        {
            "why": words.say(f"reason.{reason}"),
            "count": counts[reason],
            "show": DISPUTED if reason == queries.DISPUTE else "",
        }
        for reason in queries.REASONS
        if counts[reason] and reason != queries.PERIOD_OPEN
    ]


def _money(scope: Scope, words: Words) -> dict[str, Any]:
    invoices = scope.open_invoices()
    due = scope.due(invoices)
    owed, overdue = Counter[str](), Counter[str]()
    for one in invoices:
        owed[one.currency] += due[one.pk]
        if _overdue(one, scope):
            overdue[one.currency] += due[one.pk]
    return {
        "open": [_invoice_row(one, due, scope, words) for one in invoices[:20]],
        "owed": [Amount(minor, currency) for currency, minor in sorted(owed.items())],
        "overdue": [Amount(minor, currency) for currency, minor in sorted(overdue.items()) if minor],
        "credit": [Amount(minor, currency) for currency, minor in scope.credit().items()],
    }


# --- Documents --------------------------------------------------------------------------------------------------------


def documents(scope: Scope, words: Words, invoices: Page, notes: Page) -> dict[str, Any]:
    """The list of invoices and that of credit notes."""
    due = scope.due(invoices.rows)
    return {
        "invoices": [_invoice_row(one, due, scope, words) for one in invoices.rows],
        "invoice_pages": invoices,
        "notes": [
            {
                "id": public_id(note),
                "number": note.number,
                "day": words.day(note.issued_at, note.time_zone),
                "total": words.money(note.total_minor, note.currency),
                "reason": reason_of(note, words.locale),
            }
            for note in notes.rows
        ],
        "note_pages": notes,
    }


def _invoice_row(invoice: Invoice, due: Mapping[Any, int], scope: Scope, words: Words) -> dict[str, Any]:
    zone = invoice.time_zone
    one_off = invoice.kind == Invoice.Kind.ONE_OFF
    return {
        "id": public_id(invoice),
        "number": invoice.number,
        "period": "" if one_off else words.period(invoice.period_start, invoice.period_end, zone),
        "issued": words.day(invoice.issued_at, zone) if invoice.issued_at else "",
        "due_day": words.day(invoice.due_at, zone) if invoice.due_at else "",
        "due": words.money(due[invoice.pk], invoice.currency) if due.get(invoice.pk) else "",
        "total": words.money(invoice.total_minor, invoice.currency),
        "status": _status(invoice, scope),
    }


def _overdue(invoice: Invoice, scope: Scope) -> bool:
    unpaid = invoice.status in (Status.ISSUED, Status.UNCOLLECTIBLE)
    return unpaid and invoice.due_at is not None and invoice.due_at < scope.now


def _status(invoice: Invoice, scope: Scope) -> str:
    """open, overdue, paid or void. What the seller has given up to collect is owed all the same."""
    if invoice.status in (Status.PAID, Status.VOID):
        return str(invoice.status)
    return "overdue" if _overdue(invoice, scope) else "open"


def invoice(scope: Scope, words: Words, found: Invoice) -> dict[str, Any]:
    """One invoice as it was sent, what it comes to today, and what corrects it."""
    own = (found.period_start, found.period_end)
    due = scope.due([found])
    return {
        "document": found,
        "id": public_id(found),
        "status": _status(found, scope),
        "one_off": found.kind == Invoice.Kind.ONE_OFF,
        "groups": list(wording.grouped(scope.lines(found), found.currency, words, own, found.time_zone)),
        "taxes": _taxes(found, words),
        "applied": [
            (one.credit_note.number, public_id(one.credit_note), words.money(-one.amount_minor, found.currency))
            for one in scope.applications(found)
        ],
        "due": due.get(found.pk),
        "pay_url": pay_url(found) if due.get(found.pk) else "",
        "failed": _failed(found, words) if due.get(found.pk) else "",
        "terms": _terms(found, words) if due.get(found.pk) else "",
        "corrections": [
            (public_id(one.credit_note), one.credit_note.number, words.money(one.total_minor, found.currency))
            for one in scope.allocations(found)
        ],
        "parties": _parties(found),
    }


def _failed(found: Invoice, words: Words) -> str:
    """Why the last payment that was tried failed, in words that are fit for the customer; empty where none did."""
    code = failure_code(found)
    return "" if code is None else reason_text(words.locale, code)


def credit_note(scope: Scope, words: Words, found: CreditNote) -> dict[str, Any]:
    """One credit note: what it gives back, of which invoices, and where that went."""
    lines = scope.lines(found)
    return {
        "document": found,
        "reason": reason_of(found, words.locale),
        "id": public_id(found),
        "groups": list(wording.grouped(lines, found.currency, words, None, found.time_zone, given_back=True)),
        "taxes": _taxes(found, words),
        "corrects": [
            (public_id(one.invoice), one.invoice.number, words.money(one.total_minor, found.currency))
            for one in scope.allocations(found)
        ],
        "used": [
            (
                None if one.invoice is None else public_id(one.invoice),
                None if one.invoice is None else one.invoice.number,
                words.day(one.created_at),
                words.money(one.amount_minor, found.currency),
            )
            for one in scope.applications(found)
        ],
        "left": scope.credit_left(found),
        "parties": _parties(found),
    }


def _terms(found: Invoice, words: Words) -> str:
    """Until when it is to be paid, in the words of the PDF."""
    key = "terms.days" if found.net_days else "terms.on_receipt"
    date = "" if found.due_at is None else words.day(found.due_at, found.time_zone)
    return words.document(key, count=found.net_days, date=date, number=found.number or "")


def _taxes(found: Document, words: Words) -> list[tuple[str, str, str]]:
    """For each tax what it is, what it comes to, and its note."""
    shown = []
    for one in found.taxes:
        percent = words.percent(Decimal(one["percent"]))
        key = "sum.tax_contained" if one["inclusive"] else "sum.tax"
        taxable = words.money(one["taxable_minor"], found.currency)
        label = words.document(key, name=one["name"], percent=percent, taxable=taxable)
        shown.append((label, words.money(one["amount_minor"], found.currency), one["note"]))
    return shown


def _parties(found: Document) -> dict[str, Any]:
    """Who issued it, and to whom, as printed on it: each a name and further lines."""
    seller, customer = found.parties.get("seller", {}), found.parties.get("customer", {})
    return {
        "seller": [seller.get("name", ""), *seller.get("address", "").splitlines()],
        "customer": [
            customer.get("name") or customer.get("key", ""),
            *customer.get("address", "").splitlines(),
            *filter(None, [customer.get("tax_id", "")]),
        ],
    }


def line(scope: Scope, words: Words, found: InvoiceLine, billed: Page, back: Page) -> dict[str, Any]:
    """One line with the outcomes that it bills and takes back, and what can be disputed of it."""
    document = document_of(found)
    is_note = isinstance(document, CreditNote)
    [shown] = wording.shown([found], document.currency, words, document.time_zone, given_back=is_note)
    disputable = [] if is_note else scope.disputable_on(found, MOST_A_DAY + 1)
    return {
        "line": shown,
        "document": document,
        "document_id": public_id(document),
        "is_note": is_note,
        "start": found.period_start,
        "end": found.period_end,
        "billed": _outcome_rows([row.outcome for row in billed.rows], scope, words),
        "billed_pages": billed,
        "back": _outcome_rows([row.outcome for row in back.rows], scope, words),
        "back_pages": back,
        "disputed": 0 if is_note else scope.disputed_on(found),
        "disputable": min(len(disputable), MOST_A_DAY),
        "more_than_at_once": MOST_A_DAY if len(disputable) > MOST_A_DAY else 0,
    }


# --- Outcomes ---------------------------------------------------------------------------------------------------------


def outcomes(scope: Scope, words: Words, chosen: str, listed: Page) -> dict[str, Any]:
    """A list of outcomes, and what it can be narrowed to."""
    return {
        "choices": [(one, words.say(one if one in (DISPUTED, ALL) else f"state.{one}")) for one in SHOWN],
        "chosen": chosen,
        "rows": _outcome_rows(listed.rows, scope, words),
        "pages": listed,
    }


def _outcome_rows(rows: Sequence[Outcome], scope: Scope, words: Words) -> list[dict[str, Any]]:
    standing = scope.disputed(rows)
    shown = []
    for row in rows:
        at = row.settled_at or row.ended_at or row.settles_at or row.met_at or row.last_time
        shown.append(
            {
                "id": public_id(row),
                "subject": row.subject.key,
                "title": row.version.title,
                "state": row.state,
                "disputed": row.pk in standing,
                "day": words.day(at),
                "countdown": words.until(at, scope.now) if row.state == State.PROVISIONAL and row.settles_at else "",
                "quantity": "" if row.quantity in (None, 1) else words.number(Decimal(plain(row.quantity) or 0)),
            }
        )
    return shown


def outcome(scope: Scope, words: Words, found: Outcome) -> dict[str, Any]:
    """One outcome: what counts, what happened, the events, where it is billed, and whether it is disputed."""
    explained = scope.explained(found)
    entries = scope.dispute_entries(found)
    events = [] if explained is None else explained.events
    disputed = found.pk in scope.disputed([found])
    reason = scope.unbilled(found)
    return {
        "outcome": found,
        "id": public_id(found),
        "quantity": None if found.quantity is None else words.number(Decimal(plain(found.quantity) or 0)),
        "dimensions": sorted((name, value) for name, value in found.dimensions.items() if value is not None),
        "countdown": words.until(found.settles_at, scope.now) if _settles(found) and found.settles_at else "",
        "summary": None if explained is None else explained.summary,
        "timeline": list(_timeline(scope.journal(found), entries, {one.seq: one for one in events}, words)),
        "events": [_event(one, words) for one in events[:MOST_EVENTS]],
        "more_events": len(events[MOST_EVENTS:]),
        "billing": list(_billing(scope, words, found)),
        "unbilled": None if reason is None else words.say(f"reason.{reason}"),
        "disputed": disputed,
        "disputable": found.state in DISPUTABLE and not disputed,
    }


def _settles(found: Outcome) -> bool:
    return found.state == State.PROVISIONAL and found.settles_at is not None


def _timeline(
    journal: Sequence[Journal], entries: Sequence[DisputeEntry], events: Mapping[int, Event], words: Words
) -> Iterator[dict[str, str]]:
    """The journal and the disputes, each change in words, in the order in which they took effect."""
    waiting = list(entries)
    for number, step in enumerate(journal):
        after = journal[number + 1] if number + 1 < len(journal) else None
        if step.clause == "begin" and after is not None and after.event_seq == step.event_seq:
            continue  # told with what it met
        while waiting and waiting[0].at < step.effective_at:
            yield _dispute_step(waiting.pop(0), words)
        yield _step(step, events, words)
    for entry in waiting:
        yield _dispute_step(entry, words)


def _step(step: Journal, events: Mapping[int, Event], words: Words) -> dict[str, str]:
    key = {"begin": "begin", "complete": "completed", "restated": "restated"}.get(step.clause, step.to_state)
    event = None if step.event_seq is None else events.get(step.event_seq)
    by = ""
    if step.cause == Journal.Cause.PERSON:
        by = words.say("by_person")
    elif event is not None:
        late = step.cause == Journal.Cause.LATE
        by = words.say("by_late_event" if late else "by_event", event=f"{event.id} ({event.type})")
    return {"at": words.moment(step.effective_at), "what": words.say(f"step.{key}"), "by": by, "said": step.reason}


def _dispute_step(entry: DisputeEntry, words: Words) -> dict[str, str]:
    by = words.say("by_you" if by_customer(entry.actor) else "by_person")
    return {"at": words.moment(entry.at), "what": words.say(f"step.{entry.status}"), "by": by, "said": entry.note}


def _event(event: Event, words: Words) -> dict[str, Any]:
    values = list(_values(event.data))
    return {
        "id": event.id,
        "type": event.type,
        "at": words.moment(from_us(event.time)),
        "values": values[:MOST_VALUES],
        "cut": len(values) > MOST_VALUES,
    }


def _values(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """What an event carries, flat: ("customer.name", "Acme")."""
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from _values(value, f"{path}.{name}" if path else str(name))
    elif isinstance(data, list | tuple) and data:
        for number, value in enumerate(data, start=1):
            yield from _values(value, f"{path} {number}")
    elif path:
        yield path, _text(data)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "–"}[value]
    if isinstance(value, Decimal):
        return plain(value) or ""
    text = "–" if value in ({}, [], ()) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _billing(scope: Scope, words: Words, found: Outcome) -> Iterator[dict[str, str]]:
    for standing in scope.standing(found):
        document = document_of(standing)
        key = "title.credit_note" if isinstance(document, CreditNote) else "title.invoice"
        yield {
            "line": public_id(standing),
            "title": standing.title,
            "document": words.document(key, number=document.number or ""),
        }
