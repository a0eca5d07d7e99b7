"""The tables of the hot path that Django's schema editor cannot describe, and the guards in the database.

`outcomes_event` is partitioned by ranges of `seq`, whose leading digits are the month of receipt (see
outcomes.sequence): so `seq` alone is its primary key, a look-up by `seq` touches one partition, and archiving a month is a
DETACH. Identity stands apart, because a unique key over time partitions would have to contain the time.
"""

from django.db import migrations

UP = """
CREATE SEQUENCE outcomes_seq AS bigint;

CREATE TABLE outcomes_event_identity (
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL DEFAULT '',
    fingerprint bytea NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (customer_id, event_id, source)
);

CREATE TABLE outcomes_event (
    seq bigint NOT NULL PRIMARY KEY,
    customer_id bigint NOT NULL,
    event_id text NOT NULL,
    source text NOT NULL DEFAULT '',
    type text NOT NULL,
    "time" timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    batch_import_id uuid
) PARTITION BY RANGE (seq);
-- Catches what no month's partition takes, so that intake never waits for DDL; outcomes.months makes them ahead.
CREATE TABLE outcomes_event_rest PARTITION OF outcomes_event DEFAULT;

CREATE TABLE outcomes_pending (
    partition smallint NOT NULL,
    seq bigint NOT NULL,
    "time" timestamptz NOT NULL,
    PRIMARY KEY (partition, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000);

-- Rows that are rewritten by every event keep room for the next version on their page (HOT updates).
ALTER TABLE outcomes_subject SET (fillfactor = 70);
ALTER TABLE outcomes_outcome SET (fillfactor = 80);

CREATE FUNCTION outcomes_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: write a further row instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER journal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes_journal
    FOR EACH STATEMENT EXECUTE FUNCTION outcomes_append_only();
CREATE TRIGGER event_is_immutable BEFORE UPDATE ON outcomes_event
    FOR EACH STATEMENT EXECUTE FUNCTION outcomes_append_only();
"""

DOWN = """
DROP TRIGGER event_is_immutable ON outcomes_event;
DROP TRIGGER journal_is_append_only ON outcomes_journal;
DROP FUNCTION outcomes_append_only();
DROP TABLE outcomes_pending, outcomes_event, outcomes_event_identity;
DROP SEQUENCE outcomes_seq;
"""


class Migration(migrations.Migration):
    dependencies = [("outcomes", "0001_initial")]

    operations = [migrations.RunSQL(UP, DOWN)]
