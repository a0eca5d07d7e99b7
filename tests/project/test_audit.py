# ruff: noqa: E501 -- corruptions read better one to a row
"""The audit finds what is wrong, names it rightly, and finds nothing where nothing is.

A small installation with a past of every kind stands committed; each corruption is written straight into its tables,
past triggers, foreign keys and constraints, looked at, and rolled back with them.
"""

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from freezegun import freeze_time

from access.invariants import Result, Scope, check, snapshot
from billing_project.management.commands import audit
from outcomes.models import Outcome
from tests.conftest import as_new, empty_tables
from tests.database import thawed
from tests.project import scenario
from tests.project.running import ROOT


@pytest.fixture(scope="module")
def installation(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The scenario, committed once for this module."""
    with django_db_blocker.unblock():
        try:
            scenario.make()
            scenario.check_made()
            yield
        finally:
            as_new()
            empty_tables()


@pytest.fixture(autouse=True)
def unblocked(installation: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


def results(*names: str, **scope: Any) -> dict[str, Result]:
    """What comes of the invariants of these names, or of all."""
    invariants = [one for one in audit.collect() if not names or one.name in names]
    found = check(invariants, Scope(now=scenario.NOW, **{"sample": None} | scope))
    return {result.invariant.name: result for result in found}


# --- corruptions ------------------------------------------------------------------------------------------------------


def outcome(ticket: str, slug: str = "solved") -> str:
    """SQL for the id of the first outcome of a ticket."""
    return (
        "(SELECT o.id FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id "
        "JOIN contracts_condition k ON k.id = o.condition_id "
        f"WHERE s.key = '{ticket}' AND k.slug = '{slug}' ORDER BY o.ordinal LIMIT 1)"
    )


def subject(ticket: str, slug: str = "solved") -> str:
    return f"(SELECT subject_id FROM outcomes_outcome WHERE id = {outcome(ticket, slug)})"


def event(name: str) -> str:
    """SQL for the seq of an event."""
    return f"(SELECT seq FROM outcomes_event_identity WHERE event_id = '{name}')"


def customer(key: str) -> str:
    return f"(SELECT id FROM contracts_customer WHERE key = '{key}')"


def invoice(key: str, status: str = "issued") -> str:
    return f"(SELECT id FROM invoicing_invoice WHERE customer_id = {customer(key)} AND status = '{status}')"


def lines(key: str, status: str = "issued") -> str:
    return f"(SELECT id FROM invoicing_invoiceline WHERE invoice_id = {invoice(key, status)})"


def copied(table: str, where: str, **changed: str) -> str:
    """SQL that inserts a copy of a row with other values."""
    values = ", ".join(f"'{name}', {value}" for name, value in changed.items())
    return f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({values}))).* FROM {table} t WHERE {where}"


def set_outcome(ticket: str, change: str, slug: str = "solved") -> str:
    return f"UPDATE outcomes_outcome SET {change} WHERE id = {outcome(ticket, slug)}"


def note(ticket: str, before: str, after: str, effective: str = "'2026-02-01'", recorded: str = "'2026-02-02'") -> str:
    return (
        "INSERT INTO outcomes_journal (outcome_id, from_state, to_state, cause, clause, actor, reason, effective_at, recorded_at) "
        f"VALUES ({outcome(ticket)}, '{before}', '{after}', 'clock', '', '', '', {effective}, {recorded})"
    )


def dispute(ticket: str) -> str:
    return f"(SELECT id FROM settlement_dispute WHERE outcome_id = {outcome(ticket)})"


def set_hold(ticket: str, column: str, value: str, more: str) -> str:
    return f"UPDATE settlement_hold SET {column} = {value}, {more} WHERE outcome_id = {outcome(ticket)}"


# A row of what is handed over: outcome and customer, and where from.
HANDED_OVER = (
    "INSERT INTO handover_handover (uid, kind, target, status, attempts, tries, next_attempt_at, sent, code, reason, account, decided_by,"
    " created_at, finished_at, contract_id, outcome_id, customer_id) SELECT gen_random_uuid(), 'usage', 'lago_events', 'done', 1, 0,"
    " now(), '{{}}', '', '', '', '', now(), now(), gen_random_uuid(), {} FROM {}"
)

CORRUPTIONS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("a line of the trail reworded", "trail", "is not what was written", ("UPDATE django_admin_log SET change_message = 'nothing'",)),
    ("a line of the trail deleted", "trail", "is gone", ("DELETE FROM django_admin_log",)),
    ("a line slipped in", "trail", "has no entry in the chain", (copied("django_admin_log", "change_message = 'second'", id="-1"),)),
    ("a customer in another partition", "partitions", "its key belongs in",
     ("UPDATE contracts_customer SET partition = (partition + 1) % 64 WHERE key = 'acme'",)),
    ("a version renumbered", "conditions", "not numbered", ("UPDATE contracts_conditionversion SET number = 2",)),
    ("a text under another slug", "conditions", "the text is that of", ("UPDATE contracts_condition SET slug = 'other' WHERE slug = 'quiet'",)),
    ("a version with another key", "conditions", "another key",
     (copied("contracts_conditionversion", "title = 'Quiet'", id="-1", number="2", effective_from="timestamptz '2027-01-01'",
             canonical="replace(canonical, 'per ticket', 'per priority')"),)),
    ("a contract without its version", "contracts", "has 0 versions", ("DELETE FROM contracts_contractversion",)),
    ("a price that is no number", "contracts", "no sane amount",
     ("ALTER TABLE contracts_price DROP CONSTRAINT price_is_a_sane_amount", "UPDATE contracts_price SET unit_price = 'NaN'")),
    ("two contracts at once", "contracts", "overlap",
     ("ALTER TABLE contracts_contract DROP CONSTRAINT contracts_do_not_overlap",
      copied("contracts_contract", f"customer_id = {customer('acme')}", id="gen_random_uuid()"))),
    # --- events
    ("an event deleted", "events", "its event is not stored", (f"DELETE FROM outcomes_event WHERE seq = {event('kept/closed@0')}",)),
    ("an identity deleted", "events", "its identity is not claimed", ("DELETE FROM outcomes_event_identity WHERE event_id = 'kept/closed@0'",)),
    ("an identity renamed", "events", "name different things", ("UPDATE outcomes_event_identity SET event_id = 'x' WHERE event_id = 'kept/closed@0'",)),
    ("what waited taken off the list", "events", "neither waits for evaluation nor was evaluated", ("DELETE FROM outcomes_pending",)),
    ("what waits is nothing", "events", "is not stored", ("UPDATE outcomes_pending SET seq = 1",)),
    ("what waits in another partition", "events", "waits in another partition", ("UPDATE outcomes_pending SET partition = (partition + 1) % 64",)),
    ("what waits at another time", "events", "under another time", ("UPDATE outcomes_pending SET time = time - interval '1 hour'",)),
    ("an evaluated event waits again", "events", "was evaluated already",
     ("INSERT INTO outcomes_pending SELECT c.partition, e.seq, e.time FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id "
      "WHERE e.event_id = 'kept/closed@0'",)),
    ("the sequence begins anew", "events", "fallen behind", ("ALTER SEQUENCE outcomes_seq RESTART",)),
    ("an event of nobody", "events", "customer that does not exist",
     ("UPDATE outcomes_event SET customer_id = -1 WHERE event_id = 'kept/closed@0'", "UPDATE outcomes_event_identity SET customer_id = -1 WHERE event_id = 'kept/closed@0'")),
    ("a key forgotten by the inbox", "events", "neither waits for evaluation nor was evaluated", ("DELETE FROM outcomes_inboxitem WHERE event_seq IS NOT NULL",)),
    # --- facts and their subjects
    ("the newest fact deleted", "facts", "not the one that was folded last",
     (f"DELETE FROM outcomes_subject_event WHERE subject_id = {subject('second chance')} AND seq = {event('second chance/closed@30')}",)),
    ("a fact in between deleted", "routing", "not among the facts of solved / second chance",
     (f"DELETE FROM outcomes_subject_event WHERE subject_id = {subject('second chance')} AND seq = {event('second chance/reopened@2')}",)),
    ("a fact of another customer", "facts", "event of another customer",
     (f"INSERT INTO outcomes_subject_event (subject_id, time, seq) SELECT {subject('kept')}, time, seq FROM outcomes_event WHERE event_id = 'held/closed@3'",)),
    ("a fact at another time", "facts", "at another time than its event",
     (f"UPDATE outcomes_subject_event SET time = time + interval '1 minute' WHERE subject_id = {subject('kept')}",)),
    ("a fact the condition never mentions", "facts", "does not mention", ("UPDATE outcomes_event SET type = 'unheard' WHERE event_id = 'kept/closed@0'",)),
    ("a fact of another key", "replay", "has another key",
     (f"INSERT INTO outcomes_subject_event (subject_id, time, seq) SELECT {subject('kept')}, time, seq FROM outcomes_event WHERE event_id = 'credited/closed@0'",)),
    ("a subject deleted", "facts", "subject that does not exist", (f"DELETE FROM outcomes_subject WHERE id = {subject('kept')}",)),
    ("the content of an event changed", "routing", "not what was sent",
     ("UPDATE outcomes_event SET data = data || '{\"units\": 100}' WHERE event_id = 'kept/closed@0'",)),
    # --- outcomes
    ("an outcome about nothing", "references", "subject that does not exist", (set_outcome("kept", "subject_id = -1"),)),
    ("an outcome moved to another customer", "references", "another customer than its subject", (set_outcome("kept", f"customer_id = {customer('globex')}"),)),
    ("an outcome of another condition", "references", "another condition than its subject",
     (set_outcome("kept", "condition_id = (SELECT id FROM contracts_condition WHERE slug = 'again')"),)),
    ("an outcome judged by another condition", "references", "version of another condition",
     (set_outcome("kept", "version_id = (SELECT id FROM contracts_conditionversion WHERE title = 'Quiet')"),)),
    ("an outcome in another partition", "references", "another partition than its customer", (set_outcome("kept", "partition = (partition + 1) % 64"),)),
    ("an outcome met by a stranger", "references", "(met by)", (set_outcome("kept", f"met_by_seq = {event('only/closed@5')}"),)),
    ("a journal row of nothing", "references", "outcome that does not exist", (f"UPDATE outcomes_journal SET outcome_id = gen_random_uuid() WHERE outcome_id = {outcome('kept')}",)),
    ("a journal row by no event", "references", "event that is not stored", (f"UPDATE outcomes_journal SET event_seq = 1 WHERE outcome_id = {outcome('kept')}",)),
    ("a state flipped", "journal", "not in the state of its last journal row", (set_outcome("kept", "state = 'reversed', ended_at = settled_at"),)),
    ("the last journal row deleted", "journal", "not in the state of its last journal row",
     (f"DELETE FROM outcomes_journal WHERE id = (SELECT max(id) FROM outcomes_journal WHERE outcome_id = {outcome('kept')})",)),
    ("the first journal row deleted", "journal", "does not go on",
     (f"DELETE FROM outcomes_journal WHERE id = (SELECT min(id) FROM outcomes_journal WHERE outcome_id = {outcome('kept')})",)),
    ("the journal emptied", "journal", "has no journal", (f"DELETE FROM outcomes_journal WHERE outcome_id = {outcome('kept')}",)),
    ("an illegal move", "journal", "no legal move", (note("never met", "missed", "open"), set_outcome("never met", "state = 'open', ended_at = NULL, due_at = ended_at"))),
    ("confirmed a second time", "journal", "confirmed twice", (note("kept", "provisional", "confirmed"),)),
    ("two confirmed for one subject", "single", "2 outcomes of the subject",
     ("DROP INDEX one_confirmed_per_subject", copied("outcomes_outcome", f"id = {outcome('kept')}", id="gen_random_uuid()", ordinal="9"))),
    ("no longer marked single", "single", "marked repeating", (set_outcome("kept", "single = false"),)),
    ("a quantity that is no number", "figures", "no number", (set_outcome("kept", "quantity = 'NaN'"),)),
    ("a negative quantity", "figures", "no sane amount", (set_outcome("kept", "quantity = -1.5"),)),
    ("a quantity lost", "figures", "missing and nobody is told", (set_outcome("kept", "quantity = NULL"),)),
    ("a void outcome with a quantity", "figures", "bills nothing has figures", (set_outcome("second chance", "quantity = 1"),)),
    ("settled before it was met", "times", "settled before it was met", (set_outcome("kept", "settled_at = met_at - interval '1 day'"),)),
    ("settled at another instant than planned", "times", "another instant than planned", (set_outcome("kept", "settled_at = settled_at + interval '1 hour'"),)),
    ("confirmed at no instant", "times", "it is settled, or is not",
     ("ALTER TABLE outcomes_outcome DROP CONSTRAINT confirmed_has_an_instant", set_outcome("kept", "settled_at = NULL"))),
    ("the clock forgot a window", "times", "the clock is to change it", (set_outcome("now", "due_at = NULL"),)),
    ("the clock is to change what is final", "times", "the clock is to change it", (set_outcome("kept", "due_at = settled_at"),)),
    ("a window due later", "times", "due at another instant than its window ends", (set_outcome("now", "due_at = due_at + interval '1 day'"),)),
    ("a queue postponed", "times", "not due when it should be", (set_outcome("held", "due_at = due_at + interval '1 day'"),)),
    ("a queue for another state", "times", "does not go on from its state", (set_outcome("held", "queue = jsonb_set(queue, '{0,0}', '\"open\"')"),)),
    ("void at no instant", "times", "it has ended, or has not", (set_outcome("second chance", "ended_at = NULL"),)),
    ("met before it began", "times", "met before it began", (set_outcome("kept", "met_at = met_at - interval '1 hour'"),)),
    ("recorded before it happened", "times", "recorded before it took effect",
     (f"UPDATE outcomes_journal SET recorded_at = effective_at - interval '1 hour' WHERE outcome_id = {outcome('never met')}",)),
    # --- computed again
    ("a quantity raised", "replay", "quantity 2.5", (set_outcome("nobody pays", "quantity = 2.5"),)),
    ("a dimension changed", "replay", "dimensions", (set_outcome("nobody pays", "dimensions = '{\"priority\": \"low\"}'"),)),
    ("a window shortened", "replay", "settles_at", (set_outcome("now", "settles_at = settles_at - interval '1 hour', due_at = due_at - interval '1 hour'"),)),
    ("an outcome deleted", "replay", "is not booked (confirmed",
     (f"DELETE FROM outcomes_journal WHERE outcome_id = {outcome('nobody pays')}", f"DELETE FROM outcomes_outcome WHERE id = {outcome('nobody pays')}")),
    ("an outcome made up", "replay", "that its events do not give",
     (copied("outcomes_outcome", f"id = {outcome('never met')}", id="'00000000-0000-0000-0000-000000000001'", ordinal="9"),)),
    ("the state the next event continues from changed", "replay", "the stored state",
     (f"UPDATE outcomes_subject SET state = replace(state, 'provisional', 'open') WHERE id = {subject('kept')}",)),
    ("a computed change dropped from the queue", "replay", "", (set_outcome("held", "queue = queue - 1"),)),
    # --- settlement
    ("booked before its time", "settlement", "before its window was over",
     (f"UPDATE outcomes_journal SET recorded_at = effective_at - interval '1 second' WHERE to_state = 'confirmed' AND outcome_id = {outcome('kept')}",)),
    ("settled tomorrow", "settlement", "not over yet", (set_outcome("kept", "settled_at = '2027-01-01', settles_at = '2027-01-01'"),)),
    ("an import closed before it was opened", "settlement", "closed before it was opened", ("UPDATE outcomes_import SET closed_at = created_at - interval '1 day'",)),
    # --- holds and disputes
    ("booked while it was held", "holds and disputes", "booked confirmed while a hold covered", (set_hold("still held", "outcome_id", outcome("kept"), "journal_after = 0"),)),
    ("booked before the release", "holds and disputes", "booked confirmed while a hold covered", ("UPDATE settlement_hold SET journal_until = 1000000 WHERE released_at IS NOT NULL",)),
    ("a hold on nothing", "holds and disputes", "hold is on an outcome that does not exist", ("UPDATE settlement_hold SET outcome_id = gen_random_uuid() WHERE outcome_id IS NOT NULL",)),
    ("a dispute of nothing", "holds and disputes", "dispute is of an outcome that does not exist", ("UPDATE settlement_dispute SET outcome_id = gen_random_uuid() WHERE status = 'raised'",)),
    ("upheld in vain", "holds and disputes", "upheld and its outcome still stands (confirmed)", (set_outcome("upheld", "state = 'confirmed', ended_at = NULL"),)),
    ("a decision rewritten", "holds and disputes", "is withdrawn and its last entry says rejected", ("UPDATE settlement_dispute SET status = 'withdrawn' WHERE status = 'rejected'",)),
    ("an entry deleted", "holds and disputes", "is upheld and its last entry says raised", ("DELETE FROM settlement_disputeentry WHERE status = 'upheld'",)),
    ("the raising deleted", "holds and disputes", "decided and never raised", (f"DELETE FROM settlement_disputeentry WHERE status = 'raised' AND dispute_id = {dispute('upheld')}",)),
    ("the history deleted", "holds and disputes", "has no entry", (f"DELETE FROM settlement_disputeentry WHERE dispute_id = {dispute('disputed')}",)),
    ("billed while it was disputed", "billed once", "issued while the outcome was disputed",
     (f"UPDATE settlement_dispute SET outcome_id = {outcome('kept')}, raised_at = '2026-01-20' WHERE status = 'raised'",)),
    ("billed while it was held", "billed once", "issued while a hold covered the outcome",
     (f"UPDATE settlement_hold SET customer_id = {customer('acme')}, placed_at = '2026-01-20', released_at = '2026-02-20' WHERE customer_id IS NOT NULL",)),
    # --- invoices
    ("a charge dropped", "billed once", "the line says", (f"DELETE FROM invoicing_lineoutcome WHERE outcome_id = {outcome('kept')} AND live",)),
    ("a charge doubled", "billed once", "stands on 2 live lines",
     ("DROP INDEX outcome_billed_once", f"INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live) SELECT min(id::text)::uuid, {outcome('kept')}, true FROM invoicing_invoiceline WHERE id IN {lines('hooli')}")),
    ("a void invoice takes its outcomes back", "billed once", "void invoice still holds",
     ("DROP INDEX outcome_billed_once", f"UPDATE invoicing_lineoutcome SET live = true WHERE line_id IN {lines('acme', 'void')}")),
    ("an outcome released from a standing invoice", "billed once", "has let the outcome go", (f"UPDATE invoicing_lineoutcome SET live = false WHERE line_id IN {lines('hooli')}",)),
    ("another customer's outcome billed", "billed once", "outcome of another customer",
     (f"UPDATE invoicing_lineoutcome SET outcome_id = {outcome('nobody pays')} WHERE id = (SELECT min(id) FROM invoicing_lineoutcome WHERE line_id IN {lines('hooli')})",)),
    ("a void outcome billed", "billed once", "not confirmed (void)",
     (f"UPDATE invoicing_lineoutcome SET outcome_id = {outcome('second chance')} WHERE outcome_id = {outcome('kept')} AND live",)),
    ("nothing billed", "billed once", "outcome that does not exist", (f"UPDATE invoicing_lineoutcome SET outcome_id = gen_random_uuid() WHERE id = (SELECT min(id) FROM invoicing_lineoutcome WHERE line_id IN {lines('hooli')})",)),
    ("a quantity on a line raised", "billed once", "the line says", (f"UPDATE invoicing_invoiceline SET quantity = quantity + 1 WHERE id IN {lines('hooli', 'draft')}",)),
    ("a total raised", "amounts", "the lines come to", (f"UPDATE invoicing_invoice SET total_minor = total_minor + 1, subtotal_minor = subtotal_minor + 1 WHERE id = {invoice('hooli', 'draft')}",)),
    ("a line and its total raised", "amounts", "minor units and says",
     (f"UPDATE invoicing_invoice SET total_minor = total_minor + 1, subtotal_minor = subtotal_minor + 1 WHERE id = {invoice('hooli')}", f"UPDATE invoicing_invoiceline SET amount_minor = amount_minor + 1 WHERE id IN {lines('hooli')}")),
    ("a price changed in place", "amounts", "another unit price than its price", ("UPDATE contracts_price SET unit_price = 9",)),
    ("the printed arithmetic changed", "amounts", "the arithmetic printed", (f"UPDATE invoicing_invoiceline SET steps = '[]' WHERE id IN {lines('hooli')}",)),
    ("a line on another contract's terms", "amounts", "version of another contract",
     (f"UPDATE invoicing_invoiceline SET contract_version_id = (SELECT v.id FROM contracts_contractversion v JOIN contracts_contract k ON k.id = v.contract_id "
      f"WHERE k.customer_id = {customer('globex')}) WHERE id IN {lines('hooli')}",)),
    ("an invoice in another currency", "amounts", "another currency", (f"UPDATE invoicing_invoice SET currency = 'EUR' WHERE id = {invoice('hooli')}",)),
    ("a period billed too high", "owed", "are owed",
     (f"UPDATE invoicing_invoiceline SET amount_minor = amount_minor + 1 WHERE id IN {lines('hooli')}",)),
    ("a number changed", "numbers", "has not given", (f"UPDATE invoicing_invoice SET number = 'HF-000099' WHERE id = {invoice('hooli')}",)),
    ("an invoice deleted", "numbers", "no document carries it", (f"DELETE FROM invoicing_invoice WHERE id = {invoice('hooli')}",)),
    ("the series begins anew", "numbers", "has not given", ("UPDATE invoicing_numberseries SET next_number = 1",)),
    ("a number given twice", "numbers", "documents carry one number",
     ("ALTER TABLE invoicing_invoice DROP CONSTRAINT invoicing_invoice_number_key", "UPDATE invoicing_invoice SET number = 'HF-000001' WHERE status <> 'draft'")),
    ("a void invoice made valid again", "numbers", "for one period",
     ("DROP INDEX one_invoice_per_contract_period", "UPDATE invoicing_invoice SET status = 'issued', voided_at = NULL WHERE status = 'void'")),
    ("an issued line reworded", "frozen", "another hash", (f"UPDATE invoicing_invoiceline SET title = 'Support' WHERE id IN {lines('hooli')}",)),
    ("an issued period shifted", "frozen", "another hash", (f"UPDATE invoicing_invoice SET period_start = period_start - interval '1 day' WHERE id = {invoice('hooli')}",)),
    ("an issued invoice to another name", "frozen", "another hash", (f"UPDATE invoicing_invoice SET parties = '{{}}' WHERE id = {invoice('hooli')}",)),
    ("a void invoice edited", "frozen", "another hash", ("UPDATE invoicing_invoice SET net_days = 1 WHERE status = 'void'",)),
    ("the hash replaced", "frozen", "another hash", (f"UPDATE invoicing_invoice SET content_hash = repeat('0', 64) WHERE id = {invoice('hooli')}",)),
    ("an issued invoice made a draft", "frozen", "only issuing gives",
     ("ALTER TABLE invoicing_invoice DROP CONSTRAINT invoice_issued_has_number_and_hash", f"UPDATE invoicing_invoice SET status = 'draft' WHERE id = {invoice('hooli')}")),
    ("paid at no instant", "frozen", "not in step with its status",
     ("ALTER TABLE invoicing_invoice DROP CONSTRAINT invoice_paid_has_an_instant", f"UPDATE invoicing_invoice SET status = 'paid' WHERE id = {invoice('hooli')}")),
    # --- credit
    ("a credit note deleted", "numbers", "no document carries it", ("DELETE FROM invoicing_creditnote",)),
    ("a credit note doubled", "numbers", "documents carry one number",
     ("ALTER TABLE invoicing_creditnote DROP CONSTRAINT invoicing_creditnote_number_key", copied("invoicing_creditnote", "true", id="gen_random_uuid()"))),
    ("a credit note reworded", "frozen", "the credit note is not what was issued", ("UPDATE invoicing_creditnote SET reason = 'nothing'",)),
    ("a correction moved", "frozen", "the credit note is not what was issued", (f"UPDATE invoicing_creditallocation SET invoice_id = {invoice('hooli')}",)),
    ("an issued credit note made a draft", "frozen", "issued without number",
     ("ALTER TABLE invoicing_creditnote DROP CONSTRAINT credit_note_issued_has_number_and_hash", "UPDATE invoicing_creditnote SET status = 'draft'")),
    ("a credit note's line raised", "credit", "the lines come to 200 and the credit note to 100",
     ("UPDATE invoicing_invoiceline SET amount_minor = -200 WHERE credit_note_id IS NOT NULL",)),
    ("a tax made up", "credit", "do not come to its tax", ("""UPDATE invoicing_creditnote SET taxes = '[{"amount_minor": 5}]'""",)),
    ("a total made up", "credit", "is not its lines and its tax", ("UPDATE invoicing_creditnote SET total_minor = 7",)),
    ("a correction deleted", "credit", "corrects of invoices does not come to it", ("DELETE FROM invoicing_creditallocation",)),
    ("more corrected than there is", "credit", "credit notes correct 100000 of", ("UPDATE invoicing_creditallocation SET total_minor = 100000",)),
    ("more of the lines than there are", "credit", "automatic credit notes correct 100000 of lines",
     ("UPDATE invoicing_creditnote SET kind = 'automatic'", "UPDATE invoicing_creditallocation SET net_minor = 100000")),
    ("a void invoice corrected", "credit", "corrects an invoice that is void", (f"UPDATE invoicing_creditallocation SET invoice_id = {invoice('acme', 'void')}",)),
    ("credit of another customer", "credit", "credit of another customer", (f"UPDATE invoicing_creditapplication SET invoice_id = {invoice('hooli')}",)),
    ("credit in another currency", "credit", "credit in another currency", ("UPDATE invoicing_creditnote SET currency = 'EUR'",)),
    ("credit given twice", "credit", "credit of 200 was given out of a credit note of 100", (copied("invoicing_creditapplication", "true", id="-1"),)),
    ("credit of a draft", "credit", "a draft gave credit",
     ("ALTER TABLE invoicing_creditnote DROP CONSTRAINT credit_note_issued_has_number_and_hash", "UPDATE invoicing_creditnote SET status = 'draft'")),
    ("credit released", "credit", "released from an invoice that stands", ("UPDATE invoicing_creditapplication SET live = false",)),
    ("credit held by a void invoice", "credit", "held by a void invoice", (f"UPDATE invoicing_creditapplication SET invoice_id = {invoice('acme', 'void')}",)),
    ("credit beyond the invoice", "credit", "was taken off an invoice of", ("UPDATE invoicing_creditapplication SET amount_minor = 100000",)),
    ("nothing due and not paid", "credit", "nothing is due on the invoice and it is issued",
     (f"UPDATE invoicing_creditapplication SET amount_minor = (SELECT total_minor FROM invoicing_invoice WHERE id = {invoice('acme')})",)),
    ("credit on a draft", "credit", "taken off a draft", (f"UPDATE invoicing_creditapplication SET invoice_id = {invoice('hooli', 'draft')}",)),
    ("handed over and invoiced", "handed over", "is handed over and invoiced here", (HANDED_OVER.format(
        "b.outcome_id, l.customer_id", "invoicing_lineoutcome b JOIN outcomes_outcome l ON l.id = b.outcome_id WHERE b.live LIMIT 1"),)),
    ("to be handed over and forgotten", "handed over", "nobody has noted it",
     ("ALTER TABLE contracts_contractversion DROP CONSTRAINT contract_passes_on_all_or_nothing",
      "UPDATE contracts_contractversion SET pass_on = 'lago_events'",
      "INSERT INTO handover_covered (version_id, writers, looked_up_at) SELECT id, '{}', now() FROM contracts_contractversion",
      "INSERT INTO handover_reading (position, gap_writers) SELECT max(id), '{}' FROM outcomes_journal")),
    ("reversed and not taken back", "handed over", "and is reversed, and nobody has noted that",
     (HANDED_OVER.format("j.outcome_id, 1", "outcomes_journal j WHERE j.from_state = 'confirmed' AND j.to_state = 'reversed' LIMIT 1"),
      "INSERT INTO handover_reading (position, gap_writers) SELECT max(id), '{}' FROM outcomes_journal")),
    # --- Stripe
    ("another total at Stripe", "stripe", "the total is 7 at Stripe and", (f"UPDATE payments_stripeinvoice SET total = 7 WHERE invoice_id = {invoice('hooli')}",)),
    ("credit that never was", "credit", "and none was", (f"""UPDATE invoicing_invoice SET credits = '[{{"number": "CN-000001", "amount_minor": 5}}]' WHERE id = {invoice('hooli')}""",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("invariant", "problem", "statements"), [row[1:] for row in CORRUPTIONS], ids=[row[0] for row in CORRUPTIONS]
)
def test_a_corruption_is_found_and_named(invariant: str, problem: str, statements: tuple[str, ...]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement)
            assert cursor.rowcount != 0, statement
        [found] = results(invariant).values()
        transaction.set_rollback(True)
    problems = [row["problem"] for row in found.findings.violation_rows]
    assert any(problem in one for one in problems), (problems, found.error)


def test_every_invariant_has_a_corruption() -> None:
    assert {row[1] for row in CORRUPTIONS} == {invariant.name for invariant in audit.collect()}
    assert len(CORRUPTIONS) >= 30


def test_the_documentation_has_them_all() -> None:
    page = (ROOT / "docs/audit.md").read_text()
    listed = re.findall(r"^\| `([^|]*)` \|.*\| (?:\d+ )?\|$", page, re.MULTILINE)
    assert listed == [invariant.name for invariant in audit.collect()]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    for scope in (
        {},
        {"sample": 5, "seed": 3},
        {"customer": Outcome.objects.filter(customer__key="acme")[0].customer_id},
    ):
        for name, result in results(**scope).items():
            assert (name, result.findings.violation_rows, result.findings.warning_rows, result.error) == (
                name,
                [],
                [],
                "",
            )
            assert result.findings.checked


def test_what_cannot_be_checked_is_said_and_costs_the_others_nothing() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE contracts_conditionversion SET canonical = replace(canonical, 'bill when', 'bill')")
        found = results()
        transaction.set_rollback(True)
    assert "cannot be read" in found["conditions"].findings.violation_rows[0]["problem"]
    assert "ConditionError" in found["replay"].error
    assert (found["journal"].error, found["amounts"].error, found["amounts"].findings.violations) == ("", "", 0)


def test_the_audit_sees_one_moment_and_writes_nothing() -> None:
    with snapshot(), connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("repeatable read",)
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("on",)


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """The exit status and what was printed."""
    out = StringIO()
    with freeze_time(scenario.NOW):
        try:
            call_command("audit", *arguments, stdout=out, no_color=True)
        except CommandError as error:
            return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


@pytest.fixture
def corrupted(unblocked: None) -> Iterator[str]:
    """An installation in which the quantity of one outcome was raised; the customer it is of."""
    change = set_outcome("nobody pays", "quantity = quantity {} 1")
    with connection.cursor() as cursor:
        cursor.execute(change.format("+"))
    yield "initech"
    with connection.cursor() as cursor:
        cursor.execute(change.format("-"))


def test_clean_is_status_0_and_says_what_was_looked_at() -> None:
    status, said = run("--sample", "7", "--seed", "12")
    assert status == 0
    assert "7 subjects and 7 events at most were computed anew (--seed 12)" in said
    assert "What to do" not in said
    status, said = run("--all")
    assert status == 0
    assert "every subject and event was computed anew" in said


def test_a_violation_is_status_1_with_the_row_and_the_way_out(corrupted: str) -> None:
    status, said = run("--all")
    assert status == 1
    row = Outcome.objects.get(customer__key=corrupted, condition__slug="solved")
    assert f"quantity {row.quantity} instead of 1.5" in said
    assert f"customer {corrupted}  outcome out_" in said
    assert "What to do: " in said
    assert said.endswith("Does not hold: replay.")


def test_one_customer_alone(corrupted: str) -> None:
    assert run("--all", "--customer", "acme")[0] == 0
    assert run("--all", "--customer", corrupted)[0] == 1


def test_for_machines(corrupted: str) -> None:
    out = StringIO()
    with freeze_time(scenario.NOW), pytest.raises(CommandError) as raised:
        call_command("audit", "--all", "--json", stdout=out)
    assert raised.value.returncode == 1
    told = json.loads(out.getvalue())
    assert (told["clean"], told["sample"]) == (False, None)
    by_name = {one["name"]: one for one in told["invariants"]}
    [row] = by_name["replay"]["violation_rows"]
    assert (row["customer"], row["key"]) == (corrupted, "nobody pays")
    assert by_name["journal"]["violations"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--customer", "nobody"], "There is no customer 'nobody'."),
        (["--all", "--sample", "3"], "give one of them"),
        (["--sample", "-1"], "0 or more"),
    ],
)
def test_what_cannot_run_is_status_2(arguments: list[str], said: str) -> None:
    status, printed = run(*arguments)
    assert status == 2
    assert said in printed


def test_an_invariant_that_cannot_be_checked_is_status_2() -> None:
    with thawed(), connection.cursor() as cursor:
        cursor.execute("UPDATE contracts_conditionversion SET canonical = 'x' || canonical WHERE title = 'Quiet'")
    try:
        status, said = run()
    finally:
        with thawed(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE contracts_conditionversion SET canonical = substr(canonical, 2) WHERE title = 'Quiet'"
            )
    assert status == 2
    assert "could not be checked: ConditionError" in said


def test_what_is_late_is_told_and_no_violation() -> None:
    with freeze_time(scenario.NOW + 40 * scenario.DAY):
        out = StringIO()
        call_command("audit", stdout=out, no_color=True)
    said = out.getvalue()
    assert "the event has waited for evaluation for more than an hour" in said
    assert "the outcome has been due for more than an hour" in said
    assert "the period that ended at 2026-03-01T00:00:00+00:00 has not been billed" not in said  # it has its draft
