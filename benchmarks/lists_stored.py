"""A database as after years of work, made by SQL in minutes: every table that a list of the admin shows, in proportion.

One customer has a fifth of all outcomes; of states, kinds and reasons some are common and some are rare, as they are in
life, since what is rare is what a list finds worst. Rows are such that every page opens; nothing was computed by the
engine, so no audit holds of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.intake import home, stored

PRIORITIES = "(ARRAY['1 - Critical', '2 - High', '3 - Moderate', '4 - Low'])[1 + n % 4]"
CONDITION = home.ROOT / "samples" / "helpdesk" / "conditions" / "resolved_incident.outcome"
FEWEST = 70
"""Rows of whatever there may be many of."""
LINES = 500
"""Lines of the longest invoice, which is the last."""


@dataclass(frozen=True)
class Sizes:
    """How many rows of what; all else follows."""

    outcomes: int = 5_000_000
    events: int = 1_000_000
    customers: int = 5000
    invoices: int = 200_000
    deliveries: int = 400_000
    said: int = 200_000

    def divided(self, by: int) -> "Sizes":
        return Sizes(*(max(100, value // by) for value in vars(self).values()))


FULL = Sizes()
QUICK = FULL.divided(20)
TINY = Sizes(outcomes=1000, events=200, customers=100, invoices=800, deliveries=100, said=800)


class Filling:
    """Fills the database of an installation in which samples/helpdesk is applied."""

    def __init__(self, database: psycopg.Connection, sizes: Sizes, say: Callable[[str], None]) -> None:
        self.database, self.sizes, self.say = database, sizes, say

    def run(self) -> None:
        database = self.database
        # Nothing here must survive a crash but the whole.
        database.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET jit = off")
        self.fill()
        self.say("vacuum, analyze, checkpoint")
        database.execute("VACUUM (ANALYZE)")
        database.execute("CHECKPOINT")

    def fill(self) -> None:
        """The rows alone: also inside a transaction, as tests do it."""
        database = self.database
        database.execute("SET session_replication_role = replica")  # past triggers and foreign keys
        database.execute(_FUNCTIONS)
        self._agreed()
        self._happened()
        self._billed()
        self._synced()
        self._told()
        database.execute("DROP FUNCTION bench_at, bench_id, bench_who")
        database.execute("SET session_replication_role = origin")

    def some(self, count: int) -> int:
        """As many, and at least `FEWEST`."""
        return max(FEWEST, count)

    def rows(self, table: str, count: int, **columns: str) -> None:
        """As many rows; ``columns`` are expressions over ``n``, counted from 1. What they leave out is null where it
        may be, else empty.
        """
        database = self.database
        exprs = {}
        for name, kind, null, identity in database.execute(_COLUMNS, [table]).fetchall():
            if name in columns:
                exprs[name] = columns.pop(name)
            elif null != "YES" and identity != "YES":
                exprs[name] = _EMPTY["array" if kind.startswith("_") else kind]
        assert not columns, f"{table} has no {', '.join(columns)}"
        names, values = (", ".join(part) for part in ((f'"{name}"' for name in exprs), exprs.values()))
        fills = {"total": str(max(count, 1)), "c": str(self.sizes.customers), "i": str(self.sizes.invoices)}
        for name, value in fills.items():
            values = values.replace(f"<{name}>", value)
        statement: Any = f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series(1::bigint, {count}) AS n"
        database.execute(statement)
        if count >= 100_000:
            self.say(f"{table}: {count:,} rows")

    # --- Parts ---

    def _agreed(self) -> None:
        """Customers are 1001 … 1000 + c, of whom 1001 is the biggest; conditions 101 … 120, of which 120 is rare."""
        c = self.sizes.customers
        clock = "CASE WHEN n % 10 = 0 THEN bench_id(11, 1 + n % 70, 70) END"
        self.rows("contracts_testclock", 70, id="bench_id(11, n, <total>)", name="'Clock ' || n")
        self.rows(
            "contracts_customer",
            c,
            id="1000 + n",
            key="'cust-' || n",
            name="'Customer ' || n || ' ' || md5(n::text)",
            currency="CASE WHEN n % 10 = 0 THEN 'EUR' WHEN n % 997 = 0 THEN 'JPY' ELSE 'USD' END",
            time_zone="CASE WHEN n % 7 = 0 THEN 'Europe/Berlin' ELSE 'UTC' END",
            partition="n % 64",
            locale="'en'",
            email="'ap' || n || '@example.com'",
            test_clock_id=clock,
        )
        self.rows("contracts_taxrate", 70, id="100 + n", key="'tax-' || n", name="'VAT ' || n", percent="n")
        self.rows("contracts_customer_tax_rates", c, customer_id="1000 + n", taxrate_id="101 + n % 20")
        self.rows("contracts_condition", 70, id="100 + n", slug="'outcome_' || n", limited="n % 10 = 9")
        text = f"$text${CONDITION.read_text()}$text$"
        self.rows(
            "contracts_conditionversion",
            140,
            id="100 + n",
            condition_id="101 + (n - 1) % 70",
            number="1 + (n - 1) / 70",
            title="'Outcome ' || n",
            text=text,
            canonical=text,
            description="'An incident is resolved.'",
            effective_from="CASE WHEN n > 70 THEN now() - interval '90 days' END",
        )
        self.rows(
            "contracts_conditioncustomer",
            min(c, 2000),
            id="1000 + n",
            condition_id="109 + 10 * (n % 2)",
            customer_id="1000 + n",
        )
        self.rows("contracts_ratecard", 70, id="100 + n", key="'card-' || n")
        self.rows(
            "contracts_ratecardversion",
            140,
            id="100 + n",
            rate_card_id="101 + (n - 1) % 70",
            number="1 + (n - 1) / 70",
            currency="'USD'",
            effective_from="CASE WHEN n > 70 THEN now() - interval '90 days' END",
        )
        self.rows(
            "contracts_price",
            600,
            rate_card_version_id="101 + n % 120",
            condition_id="101 + n / 120 * 3",
            model="'per_unit'",
            unit_price="1 + n % 9",
            tiers="'[]'",
        )
        self.rows(
            "contracts_contract",
            c,
            id="bench_id(1, n, <total>)",
            customer_id="1000 + n",
            currency="'USD'",
            starts_at="now() - interval '2 years' + n % 500 * interval '1 day'",
        )
        self.rows(
            "contracts_contractversion",
            2 * c,
            contract_id="bench_id(1, 1 + (n - 1) % <c>, <c>)",
            id="1000 + n",
            number="1 + (n - 1) / <c>",
            effective_at="now() - interval '2 years' + (n - 1) / <c> * interval '1 year'",
            rate_card_id="101 + n % 60",
            time_zone="'UTC'",
            anchor_day="1",
            net_days="30",
            billing_period="CASE WHEN n % 50 = 0 THEN 'quarterly' ELSE 'monthly' END",
            late_evidence="'reverse'",
            credit_notes="'automatic'",
            credits="'next_invoice'",
            zero_invoices="'issue'",
            collection_method="'send_invoice'",
            pass_on="'none'",
        )

    def _happened(self) -> None:
        self._outcomes()
        self._around()

    def _outcomes(self) -> None:
        """Outcome n is of subject 1000 + n; the last events are of the last subjects."""
        total, events = self.sizes.outcomes, self.sizes.events
        tables = (
            "outcomes_subject",
            "outcomes_outcome",
            "outcomes_journal",
            "outcomes_event_identity",
            "outcomes_event",
            "outcomes_subject_event",
        )
        kept = stored.drop_indexes(self.database, tables) if total > 100_000 else []
        who, condition = (
            "1000 + bench_who(n, <c>)",
            f"CASE WHEN n % {max(total // 50, 2)} = 0 THEN 120 ELSE 101 + n % 6 END",
        )
        self.rows(
            "outcomes_subject",
            total,
            id="1000 + n",
            customer_id=who,
            condition_id=condition,
            key="'INC' || lpad(n::text, 8, '0')",
            state="repeat('{\"folded\":1}', 12)",
            last_time="bench_at(n, <total>)",
            last_seq="n",
        )
        state = """CASE
            WHEN n > 0.97 * <total> THEN CASE WHEN n % 10 < 4 THEN 'open' ELSE 'provisional' END
            WHEN n % 5003 = 0 THEN 'superseded' WHEN n % 101 = 0 THEN 'reversed' WHEN n % 9 = 0 THEN 'void'
            WHEN n % 31 = 0 THEN 'missed' ELSE 'confirmed' END"""
        at = "bench_at(n, <total>)"
        self.rows(
            "outcomes_outcome",
            total,
            id="bench_id(2, n, <total>)",
            customer_id=who,
            condition_id=condition,
            version_id=f"{condition}",
            subject_id="1000 + n",
            partition="bench_who(n, <c>) % 64",
            ordinal="1",
            state=state,
            first_time=at,
            last_time=at,
            first_seq="n",
            last_seq="n",
            met_by_seq="n",
            met_at=f"CASE WHEN n % 31 <> 0 THEN {at} END",
            settles_at=f"{at} + interval '3 days'",
            settled_at=f"CASE WHEN ({state}) IN ('confirmed', 'reversed') THEN {at} + interval '3 days' END",
            ended_at=f"CASE WHEN ({state}) IN ('void', 'reversed', 'missed', 'superseded') THEN {at} END",
            due_at=f"CASE WHEN n > 0.97 * <total> THEN {at} + interval '30 days' END",
            quantity="1",
            dimensions=f"jsonb_build_object('priority', {PRIORITIES})",
            single="true",
            review="CASE WHEN n % 49999 = 0 THEN ARRAY['quantity'] ELSE ARRAY[]::text[] END",
        )
        for first, last in (("", "provisional"), ("provisional", "confirmed")):
            self.rows(
                "outcomes_journal",
                total,
                outcome_id="bench_id(2, n, <total>)",
                from_state=f"'{first}'",
                to_state=f"'{last}'",
                cause="'event'" if last == "provisional" else "'clock'",
                clause="'settle'",
            )
        self._months()
        utc = "(bench_at(n, <total>) AT TIME ZONE 'UTC')"
        self.rows(
            "outcomes_event",
            events,
            seq=f"((extract(year FROM {utc}) - 2020) * 12 + extract(month FROM {utc}) - 1)::bigint * 1000000000000 + n",
            customer_id=who,
            event_id="'evt-' || n",
            type="(ARRAY['incident.opened', 'incident.resolved'])[1 + n % 2]",
            data=f"jsonb_build_object('number', 'INC' || n, 'priority', {PRIORITIES}, 'text', repeat('x', 80))",
        )
        self.database.execute(
            "INSERT INTO outcomes_event_identity "
            "SELECT customer_id, event_id, source, decode(md5(event_id), 'hex'), seq FROM outcomes_event"
        )
        self.database.execute(
            "INSERT INTO outcomes_subject_event (subject_id, time, seq) "
            f"SELECT 1000 + {total} - {events} + seq % 1000000000000, time, seq FROM outcomes_event"
        )
        for statement in kept:
            self.say(statement[:100])
            self.database.execute(statement)

    def _around(self) -> None:
        """Imports, what they brought, and what people decide."""
        total, c = self.sizes.outcomes, self.sizes.customers
        reading = {"next_seq": "1", "until_seq": "1", "events": "n", "done_at": "now()"}
        self.rows("outcomes_backfill", 140, version_id="100 + n", **reading)
        self.rows("outcomes_customerbackfill", 100, named_id="1000 + n", **reading)
        self.rows("outcomes_archivedmonth", FEWEST, month="(1950 + n / 12) || '-' || lpad((1 + n % 12)::text, 2, '0')")
        self.rows(
            "outcomes_import",
            70,
            id="bench_id(3, n, <total>)",
            name="'Import ' || n",
            closed_at="CASE WHEN n < 69 THEN now() END",
        )
        self.rows(
            "outcomes_importtally",
            self.sizes.said // 10,
            batch_import_id="bench_id(3, 1 + n % 70, 70)",
            accepted="900",
            duplicates="90",
            rejected="10",
        )
        self.rows(
            "outcomes_importcustomer",
            10 * c,
            batch_import_id="bench_id(3, 1 + n / <c>, 70)",
            customer_id="1001 + n % <c>",
        )
        reason = """CASE WHEN n % 1009 = 0 THEN 'archived'
            ELSE (ARRAY['unknown_customer', 'missing_key', 'id_conflict', 'invalid'])[1 + n % 4] END"""
        self.rows(
            "outcomes_inboxitem",
            self.sizes.said // 2,
            seq="n",
            customer_key="'nobody-' || n % 500",
            event_id="'bad-' || n",
            type="'incident.opened'",
            body="repeat('{}', 100)",
            message="'What is wrong.'",
            reason=reason,
            status="CASE WHEN n > 0.95 * <total> THEN 'waiting' WHEN n % 503 = 0 THEN 'dismissed' ELSE 'resolved' END",
            batch_import_id="CASE WHEN n % 20 = 0 THEN bench_id(3, 1 + n % 70, 70) END",
        )
        of_outcome = f"{total} - n * 7 % {total}"
        self.rows(
            "outcomes_lateevidence",
            self.sizes.said // 10,
            id="bench_id(4, n, <total>)",
            event_seq="n",
            subject_id=f"1000 + {of_outcome}",
            outcome_id=f"bench_id(2, {of_outcome}, {total})",
            policy="'review'",
            status="CASE WHEN n > 0.99 * <total> THEN 'waiting' WHEN n % 3 = 0 THEN 'accepted' ELSE 'ignored' END",
            decided_at="CASE WHEN n <= 0.99 * <total> THEN now() END",
        )
        status = """CASE WHEN n > 0.99 * <total> THEN 'raised' WHEN n % 211 = 0 THEN 'withdrawn'
            WHEN n % 2 = 0 THEN 'upheld' ELSE 'rejected' END"""
        self.rows(
            "settlement_dispute",
            self.sizes.said // 10,
            id="bench_id(5, n, <total>)",
            outcome_id=f"bench_id(2, {of_outcome}, {total})",
            status=status,
            reason="'Not solved, it says, number ' || n",
            raised_by="'customer'",
            resolved_by=f"CASE WHEN ({status}) = 'raised' THEN '' ELSE 'ann' END",
            resolved_at=f"CASE WHEN ({status}) <> 'raised' THEN now() END",
        )
        self.rows(
            "settlement_hold",
            min(2000, c),
            id="bench_id(6, n, <total>)",
            customer_id="CASE WHEN n % 3 = 0 THEN 1000 + n END",
            condition_id="CASE WHEN n % 3 = 1 THEN 101 + n % 20 END",
            outcome_id=f"CASE WHEN n % 3 = 2 THEN bench_id(2, {of_outcome}, {total}) END",
            reason="'Held because of ' || n",
            placed_by="'ann'",
            released_at="CASE WHEN n < 0.95 * <total> OR n % 3 = 1 THEN now() END",
            released_by="CASE WHEN n < 0.95 * <total> OR n % 3 = 1 THEN 'bob' ELSE '' END",
            journal_until="CASE WHEN n < 0.95 * <total> OR n % 3 = 1 THEN n END",
        )
        self.rows(
            "handover_handover",
            self.sizes.said,
            uid="bench_id(7, n, <total>)",
            outcome_id=f"bench_id(2, {of_outcome}, {total})",
            customer_id="1000 + bench_who(n, <c>)",
            contract_id="bench_id(1, bench_who(n, <c>), <c>)",
            kind="CASE WHEN n % 97 = 0 THEN 'reversal' ELSE 'usage' END",
            target="CASE WHEN n % 40 = 0 THEN 'lago_events' ELSE 'stripe_meter_events' END",
            status="CASE WHEN n > 0.98 * <total> THEN 'waiting' WHEN n % 20011 = 0 THEN 'parked' ELSE 'done' END",
            finished_at="CASE WHEN n > 0.98 * <total> OR n % 20011 = 0 THEN NULL ELSE now() END",
            code="CASE WHEN n % 20011 = 0 THEN 'refused' ELSE '' END",
        )

    def _months(self) -> None:
        from outcomes.months import ensure_months

        moments = "SELECT DISTINCT date_trunc('month', bench_at(n, 50)) FROM generate_series(0, 50) AS n ORDER BY 1"
        for (moment,) in self.database.execute(moments).fetchall():
            ensure_months(moment)

    def _billed(self) -> None:
        """Invoice n is of customer 1001 + n % c."""
        i, c, total = self.sizes.invoices, self.sizes.customers, self.sizes.outcomes
        whose = {"customer_id": "1001 + n % <c>", "contract_id": "bench_id(1, 1 + n % <c>, <c>)"}
        money = {
            "subtotal_minor": "1000 + n",
            "total_minor": "1000 + n",
            "parties": '\'{"seller": {}, "customer": {}}\'',
            "taxes": "'[]'",
            "terms": "'[]'",
            "content_format": "3",
            "time_zone": "'UTC'",
        }
        status = """CASE WHEN n > 0.999 * <total> THEN 'draft' WHEN n % 501 = 0 THEN 'void'
            WHEN n % 701 = 0 THEN 'uncollectible' WHEN n > 0.95 * <total> OR n % 301 = 0 THEN 'issued'
            ELSE 'paid' END"""
        issued = "n <= 0.999 * <total>"
        at = "bench_at(n, <total>)"
        self.rows(
            "invoicing_invoice",
            i,
            id="bench_id(8, n, <total>)",
            **whose | {"contract_id": "CASE WHEN n % 1501 <> 0 THEN bench_id(1, 1 + n % <c>, <c>) END"},
            **money,
            kind="CASE WHEN n % 1501 = 0 THEN 'one_off' WHEN n % 40 = 0 THEN 'interim' ELSE 'period' END",
            currency="CASE WHEN n % 10 = 0 THEN 'EUR' WHEN n % 9973 = 0 THEN 'JPY' ELSE 'USD' END",
            status=status,
            number=f"CASE WHEN {issued} THEN 'HF-' || lpad(n::text, 6, '0') END",
            content_hash=f"CASE WHEN {issued} THEN md5(n::text) || md5(n::text) ELSE '' END",
            period_start=f"{at} - interval '30 days'",
            period_end=at,
            ordinal="1",
            net_days="30",
            credits="'[]'",
            issued_at=f"CASE WHEN {issued} THEN {at} END",
            due_at=f"CASE WHEN {issued} THEN {at} + interval '30 days' END",
            paid_at=f"CASE WHEN ({status}) = 'paid' THEN {at} END",
            uncollectible_at=f"CASE WHEN ({status}) = 'uncollectible' THEN {at} END",
            voided_at=f"CASE WHEN ({status}) = 'void' THEN {at} END",
        )
        usage = {
            "kind": "'usage'",
            "condition_id": "101 + n % 6",
            "price_id": "1",
            "contract_version_id": "1001 + n % <c>",
            "title": "'Incident resolved'",
            "sentence": "'An incident is resolved, and stays so for 72 hours.'",
            "quantity": "n % 90",
            "unit_price": "10",
            "amount_minor": "n % 90 * 1000",
            "steps": "'[]'",
            "outcome_count": "n % 90",
            "dimensions": f"jsonb_build_object('priority', {PRIORITIES})",
        }
        self.rows(
            "invoicing_invoiceline",
            4 * i,
            id="bench_id(9, n, <total>)",
            invoice_id="bench_id(8, 1 + n % <i>, <i>)",
            position="1 + (n - 1) / <i>",
            **usage,
        )
        self.rows(
            "invoicing_invoiceline",
            LINES - 4,
            id="bench_id(12, n, <total>)",
            invoice_id="bench_id(8, <i>, <i>)",
            position="10 + n",
            **usage,
        )
        self.rows(
            "invoicing_lineoutcome",
            total // 5,
            line_id=f"bench_id(9, 1 + n % {4 * i}, {4 * i})",
            outcome_id=f"bench_id(2, n * 5, {total})",
            live="true",
        )
        notes = i // 10
        self.rows(
            "invoicing_creditnote",
            notes,
            id="bench_id(10, n, <total>)",
            **whose,
            **money,
            currency="'USD'",
            kind="CASE WHEN n % 20 = 0 THEN 'goodwill' ELSE 'automatic' END",
            reason="'Reopened incidents, case ' || n",
            status="CASE WHEN n > 0.999 * <total> THEN 'draft' ELSE 'issued' END",
            number=f"CASE WHEN {issued} THEN 'CN-' || lpad(n::text, 6, '0') END",
            content_hash=f"CASE WHEN {issued} THEN md5(n::text) || md5(n::text) ELSE '' END",
            destination="CASE WHEN n % 50 = 0 THEN 'refund' ELSE 'next_invoice' END",
            issued_at=f"CASE WHEN {issued} THEN {at} END",
        )
        self.rows(
            "invoicing_creditallocation",
            notes,
            id="1000 + n",
            credit_note_id="bench_id(10, n, <total>)",
            invoice_id="bench_id(8, n, <i>)",
            net_minor="10",
            total_minor="10",
        )
        self.rows(
            "invoicing_creditapplication",
            notes,
            credit_note_id="bench_id(10, n, <total>)",
            invoice_id="bench_id(8, n + 1, <i>)",
            amount_minor="10",
            live="true",
        )
        self.rows(
            "invoicing_parkedcustomer",
            min(c, 200),
            customer_id="1000 + n",
            reason="'No price for outcome_' || n",
            attempts="1",
        )

    def _synced(self) -> None:
        i, c, said = self.sizes.invoices, self.sizes.customers, self.sizes.said
        notes, at = i // 10, "bench_at(n, <total>)"
        mode = {"account": "'acct_1'", "livemode": "n % 500 <> 0"}
        self.rows("payments_stripecustomer", c, customer_id="1000 + n", stripe_id="'cus_' || n", **mode)
        self.rows("payments_taxlookup", c, customer_id="1000 + n", known="n % 50 <> 0", rates="'[\"tax-1\"]'")
        status = """CASE WHEN n > 0.995 * <total> THEN 'waiting' WHEN n % 3001 = 0 THEN 'parked'
            WHEN n % 20011 = 0 THEN 'skipped' ELSE 'done' END"""
        self.rows(
            "payments_operation",
            i,
            id="n",
            uid="bench_id(13, n, <total>)",
            invoice_id="bench_id(8, n, <i>)",
            customer_id="1001 + n % <c>",
            status=status,
            number="1",
            reason=f"CASE WHEN ({status}) = 'done' THEN '' ELSE 'Stripe said no.' END",
            kind="CASE WHEN n % 10007 = 0 THEN 'void' WHEN n % 100 = 0 THEN 'paid' ELSE 'invoice' END",
            finished_at=f"CASE WHEN ({status}) IN ('done', 'skipped') THEN {at} END",
            account="'acct_1'",
            livemode="true",
        )
        self.rows(
            "payments_step",
            2 * i,
            operation_id="1 + n % <i>",
            name="'step-' || n",
            key="'key-' || n",
            epoch="1",
            result='\'{"id": "in_1"}\'',
            ended_at=at,
        )
        self.rows(
            "payments_stripeinvoice",
            i,
            invoice_id="bench_id(8, n, <i>)",
            stripe_id="'in_' || n",
            failed_charges="'[]'",
            **mode,
            status="""CASE WHEN n > 0.95 * <total> THEN 'open' WHEN n % 7001 = 0 THEN 'deleted'
                WHEN n % 501 = 0 THEN 'void' ELSE 'paid' END""",
            collection_method="CASE WHEN n % 30 = 0 THEN 'charge_automatically' ELSE 'send_invoice' END",
            total="n",
            mismatch="CASE WHEN n % 40009 = 0 THEN 'Another total' ELSE '' END",
            hosted_url="'https://invoice.stripe.com/i/' || n",
        )
        self.rows(
            "payments_stripecredit",
            notes,
            allocation_id="1000 + n",
            stripe_id="'cn_' || n",
            amount="10",
            to_balance="10",
            refund_status="CASE WHEN n % 50 = 0 THEN 'succeeded' ELSE '' END",
            **mode,
            advice="CASE WHEN n % 5003 = 0 THEN 'Pay it back by hand.' ELSE '' END",
            mismatch="CASE WHEN n % 7001 = 0 THEN 'It differs.' ELSE '' END",
        )
        self.rows(
            "payments_stripeevent",
            said,
            event_id="'evt_' || n",
            object_id="'in_' || n % 200000",
            **mode,
            type="CASE WHEN n % 9001 = 0 THEN 'invoice.voided' ELSE 'invoice.updated' END",
            payload="jsonb_build_object('id', 'evt_' || n, 'text', repeat(md5(n::text), 40))",
            status="""CASE WHEN n > 0.999 * <total> THEN 'waiting' WHEN n % 30011 = 0 THEN 'failed'
                WHEN n % 4 = 0 THEN 'ignored' ELSE 'done' END""",
            finished_at=at,
        )
        ended = "n <= 0.97 * <total>"
        self.rows(
            "payments_dunning",
            i // 10,
            id="1000 + n",
            invoice_id="bench_id(8, n * 10, <i>)",
            kind="CASE WHEN n % 5 = 0 THEN 'charge' ELSE 'reminder' END",
            step="1",
            started_at=at,
            next_at=f"CASE WHEN {ended} THEN NULL ELSE now() END",
            ended_at=f"CASE WHEN {ended} THEN {at} END",
            ended_because=f"CASE WHEN {ended} THEN CASE WHEN n % 5003 = 0 THEN 'stopped' ELSE 'paid' END ELSE '' END",
            paused_because=f"CASE WHEN NOT {ended} AND n % 50 = 0 THEN 'hold' ELSE '' END",
            paused_at=f"CASE WHEN NOT {ended} AND n % 50 = 0 THEN now() END",
        )
        self.rows(
            "payments_dunningmail",
            2 * (i // 10),
            dunning_id=f"1001 + n % {i // 10}",
            step=f"1 + (n - 1) / {i // 10}",
            letter="CASE WHEN n % 9001 = 0 THEN 'other_means' ELSE 'reminder' END",
            subject="'Reminder ' || n",
            status="CASE WHEN n % 9001 = 0 THEN 'failed' ELSE 'sent' END",
            finished_at=at,
            body="repeat('Dear customer. ', 60)",
            sent_to="'ap' || n || '@example.com'",
            attempts="1",
        )
        self.rows("payments_reconciliation", 1000, id="1000 + n", account="'acct_1'", ended_at=at)
        self.rows(
            "payments_finding",
            self.some(said // 50),
            account="'acct_1'",
            kind="CASE WHEN n % 100 = 0 THEN 'total' ELSE 'status' END",
            about="'inv ' || n",
            customer_id="1001 + n % <c>",
            stripe_id="'in_' || n",
            what="'Theirs is another.'",
            way_out="'See to it.'",
            first_id="1001",
            last_id="1002",
            mended_at="CASE WHEN n < 0.99 * <total> THEN now() END",
        )

    def _told(self) -> None:
        said, deliveries, at = self.sizes.said, self.sizes.deliveries, "bench_at(n, <total>)"
        self.rows(
            "webhooks_endpoint",
            70,
            id="bench_id(14, n, <total>)",
            url="'https://hooks.example.com/' || n",
            events="ARRAY['*']",
        )
        status = "CASE WHEN n > 0.995 * <total> THEN 'waiting' WHEN n % 30011 = 0 THEN 'failed' ELSE 'accepted' END"
        self.rows(
            "webhooks_delivery",
            deliveries,
            id="n",
            uid="bench_id(15, n, <total>)",
            endpoint_id="bench_id(14, 1 + n * n % 7, 70)",
            type="""CASE WHEN n % 50021 = 0 THEN 'test.ping'
                WHEN n % 30 = 0 THEN 'invoice.issued' ELSE 'outcome.confirmed' END""",
            about="'out_' || lpad(n::text, 26, '0')",
            body="jsonb_build_object('type', 'outcome.confirmed', 'data', repeat('x', 700))::text",
            status=status,
            attempts="1",
            finished_at=f"CASE WHEN ({status}) <> 'waiting' THEN {at} END",
        )
        self.rows(
            "webhooks_attempt", deliveries, delivery_id="n", number="1", ms="12", status_code="200", answer="'ok'"
        )
        self.rows(
            "portal_portallink",
            self.some(said // 20),
            id="bench_id(16, n, <total>)",
            customer_id="1001 + n % <c>",
            created_by="'ann'",
            created_at=f"{at} - interval '1 hour'",
            expires_at=f"{at} + interval '30 days'",
        )
        self.rows(
            "auth_user", 70, id="1000 + n", username="'person' || n", password="'!'", is_staff="true", is_active="true"
        )
        self.rows(
            "django_admin_log",
            said,
            id="1000000 + n",
            user_id="1001 + n % 40",
            object_id="n::text",
            object_repr="'Invoice HF-' || n",
            action_flag="CASE WHEN n % 5003 = 0 THEN 3 ELSE 2 END",
            change_message="'Issued, because it was due: ' || md5(n::text)",
            content_type_id="""CASE WHEN n % 20011 = 0 THEN 3
                ELSE (SELECT id FROM django_content_type WHERE model = 'invoice') END""",
        )
        self.rows(
            "simulation_simulation",
            self.some(said // 1000),
            id="bench_id(17, n, <total>)",
            status="'failed'",
            finished_at=at,
            asked="'{}'",
            asked_by="'ann'",
        )
        self.rows("access_trailentry", said, seq="1000000 + n", line_id="1000000 + n")
        self.rows("simulation_shadow", FEWEST, id="bench_id(19, n, <total>)", name="'Draft ' || n", status="'running'")
        self.rows("auth_group", FEWEST, id="1000 + n", name="'Group ' || n")
        self.rows("invoicing_numberseries", FEWEST, key="'series-' || n", prefix="'S' || n || '-'", next_number="n")
        self.rows("payments_connection", 2, audience="(ARRAY['live', 'test'])[n]", account="'acct_1'")
        self.rows("access_apikey", 70, id="bench_id(18, n, <total>)", name="'key ' || n", scopes="ARRAY['admin']")


_EMPTY = {
    "array": "'{}'",
    "uuid": "gen_random_uuid()",
    "varchar": "''",
    "text": "''",
    "int2": "0",
    "int4": "0",
    "int8": "0",
    "numeric": "0",
    "bool": "false",
    "timestamptz": "bench_at(n, <total>)",
    "jsonb": "'{}'",
    "bytea": "decode(md5(n::text) || md5((n + 1)::text), 'hex')",
}
_COLUMNS = """
SELECT column_name, udt_name, is_nullable, is_identity FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position
"""
# An instant within the last two years, a key that rises with it (UUIDv7), and whose the n-th thing is: of every fifth
# thing customer 1's, else of one the likelier the smaller its number.
_FUNCTIONS = """
CREATE FUNCTION bench_at(n bigint, total bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('hour', now()) - interval '730 days' * (1 - n::float8 / total)
$$;
CREATE FUNCTION bench_id(kind int, n bigint, total bigint) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((1700000000000 + 63072000000 * n / total)::bigint), 12, '0') || '7'
        || lpad(to_hex(kind), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid
$$;
CREATE FUNCTION bench_who(n bigint, customers bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN n % 5 = 0 THEN 1
        ELSE 2 + floor((customers - 1) * power((hashint8(n) & 1048575) / 1048576.0::float8, 2))::bigint END
$$;
"""
