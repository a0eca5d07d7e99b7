"""Issued invoices never change: the database stands behind the code.

Everything of an issued invoice is frozen but its status and the instants of payment and voiding, so a column added later
is frozen too unless it is named here. Lines follow their invoice. Which outcomes a line bills is frozen as well; only `live`
may fall, and only once the invoice is void. The guards on rows of outcomes fire per statement, so that a million of them
cost one check.
"""

from django.db import migrations

UP = """
CREATE FUNCTION invoicing_freeze_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free constant text[] := ARRAY['status', 'paid_at', 'voided_at'];
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'invoice % is issued and cannot be deleted', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free THEN
        RAISE EXCEPTION 'invoice % is issued and cannot change', OLD.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'draft' OR (OLD.status = 'void' AND NEW.status <> 'void') THEN
        RAISE EXCEPTION 'invoice % cannot go from % to %', OLD.number, OLD.status, NEW.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_is_frozen BEFORE UPDATE OR DELETE ON invoicing_invoice
    FOR EACH ROW EXECUTE FUNCTION invoicing_freeze_invoice();

CREATE FUNCTION invoicing_freeze_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    frozen text;
BEGIN
    SELECT i.number INTO frozen FROM invoicing_invoice i
    WHERE i.status <> 'draft'
      AND ((TG_OP <> 'INSERT' AND i.id = OLD.invoice_id) OR (TG_OP <> 'DELETE' AND i.id = NEW.invoice_id))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of invoice % are frozen', frozen USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER invoice_line_is_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoicing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION invoicing_freeze_line();

CREATE FUNCTION invoicing_freeze_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoicing_invoiceline l JOIN invoicing_invoice i ON i.id = l.invoice_id
        WHERE i.status <> 'draft' AND l.id IN (SELECT line_id FROM added)
    ) THEN
        RAISE EXCEPTION 'what an issued invoice bills is frozen' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_outcome_added AFTER INSERT ON invoicing_lineoutcome
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_added();

CREATE FUNCTION invoicing_freeze_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoicing_invoiceline l JOIN invoicing_invoice i ON i.id = l.invoice_id
        WHERE i.status <> 'draft' AND l.id IN (SELECT line_id FROM removed)
    ) THEN
        RAISE EXCEPTION 'what an issued invoice bills is frozen' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_outcome_removed AFTER DELETE ON invoicing_lineoutcome
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_removed();

CREATE FUNCTION invoicing_freeze_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM before FULL JOIN after ON before.id = after.id AND before.line_id = after.line_id
                                          AND before.outcome_id = after.outcome_id
        WHERE before.id IS NULL OR after.id IS NULL OR (after.live AND NOT before.live)
    ) OR EXISTS (
        SELECT FROM invoicing_invoiceline l JOIN invoicing_invoice i ON i.id = l.invoice_id
        WHERE i.status <> 'void' AND l.id IN (SELECT line_id FROM before)
    ) THEN
        RAISE EXCEPTION 'what an invoice bills is released only by voiding it' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_outcome_changed AFTER UPDATE ON invoicing_lineoutcome
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_changed();

CREATE FUNCTION invoicing_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% holds issued invoices and cannot be emptied', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON invoicing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION invoicing_no_truncate();
CREATE TRIGGER invoice_line_no_truncate BEFORE TRUNCATE ON invoicing_invoiceline
    FOR EACH STATEMENT EXECUTE FUNCTION invoicing_no_truncate();
CREATE TRIGGER line_outcome_no_truncate BEFORE TRUNCATE ON invoicing_lineoutcome
    FOR EACH STATEMENT EXECUTE FUNCTION invoicing_no_truncate();
"""

DOWN = """
DROP TRIGGER line_outcome_no_truncate ON invoicing_lineoutcome;
DROP TRIGGER invoice_line_no_truncate ON invoicing_invoiceline;
DROP TRIGGER invoice_no_truncate ON invoicing_invoice;
DROP TRIGGER line_outcome_changed ON invoicing_lineoutcome;
DROP TRIGGER line_outcome_removed ON invoicing_lineoutcome;
DROP TRIGGER line_outcome_added ON invoicing_lineoutcome;
DROP TRIGGER invoice_line_is_frozen ON invoicing_invoiceline;
DROP TRIGGER invoice_is_frozen ON invoicing_invoice;
DROP FUNCTION invoicing_no_truncate();
DROP FUNCTION invoicing_freeze_changed();
DROP FUNCTION invoicing_freeze_removed();
DROP FUNCTION invoicing_freeze_added();
DROP FUNCTION invoicing_freeze_line();
DROP FUNCTION invoicing_freeze_invoice();
"""


class Migration(migrations.Migration):
    dependencies = [("invoicing", "0001_initial"), ("outcomes", "0002_hot_tables")]

    operations = [migrations.RunSQL(UP, DOWN)]
