"""Issued credit notes never change either, nor does what they correct; where credit went is only ever added to.

As for invoices (0002): everything of an issued note is frozen. Its lines, the outcomes they bill or take back and the
invoices it corrects follow it; a note is never voided, so it never lets go of any. Of an application of credit only
`live` may fall, once its invoice is void. Whether an invoice counts as collectible is free to change.
"""

import re
from importlib import import_module

from django.db import migrations

BEFORE = {
    name: "CREATE OR REPLACE" + text
    for text, name in re.findall(
        r"CREATE( FUNCTION (\w+)\(\).*?\$\$;\n)", import_module("invoicing.migrations.0002_frozen").UP, re.DOTALL
    )
}
"""The functions of 0002 by name."""

UP = (
    BEFORE["invoicing_freeze_invoice"].replace("'voided_at']", "'voided_at', 'uncollectible_at']")
    + """
CREATE OR REPLACE FUNCTION invoicing_freeze_line() RETURNS trigger LANGUAGE plpgsql AS $$
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
    SELECT n.number INTO frozen FROM invoicing_creditnote n
    WHERE n.status <> 'draft'
      AND ((TG_OP <> 'INSERT' AND n.id = OLD.credit_note_id) OR (TG_OP <> 'DELETE' AND n.id = NEW.credit_note_id))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of credit note % are frozen', frozen USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE OR REPLACE FUNCTION invoicing_freeze_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoicing_invoiceline l
        LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id
        LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
        WHERE (i.status <> 'draft' OR n.status <> 'draft') AND l.id IN (SELECT line_id FROM added)
    ) THEN
        RAISE EXCEPTION 'what an issued document bills and takes back is frozen' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION invoicing_freeze_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM invoicing_invoiceline l
        LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id
        LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
        WHERE (i.status <> 'draft' OR n.status <> 'draft') AND l.id IN (SELECT line_id FROM removed)
    ) THEN
        RAISE EXCEPTION 'what an issued document bills and takes back is frozen' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION invoicing_freeze_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM before FULL JOIN after ON before.id = after.id AND before.line_id = after.line_id
                                          AND before.outcome_id = after.outcome_id
        WHERE before.id IS NULL OR after.id IS NULL OR (after.live AND NOT before.live)
    ) OR EXISTS (
        SELECT FROM invoicing_invoiceline l LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id
        WHERE i.status IS DISTINCT FROM 'void' AND l.id IN (SELECT line_id FROM before)
    ) THEN
        RAISE EXCEPTION 'what a document bills and takes back is released only by voiding an invoice'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_reversal_added AFTER INSERT ON invoicing_linereversal
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_added();
CREATE TRIGGER line_reversal_removed AFTER DELETE ON invoicing_linereversal
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_removed();
CREATE TRIGGER line_reversal_changed AFTER UPDATE ON invoicing_linereversal
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION invoicing_freeze_changed();

CREATE FUNCTION invoicing_freeze_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION 'credit note % is issued and cannot change', OLD.number USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER credit_note_is_frozen BEFORE UPDATE OR DELETE ON invoicing_creditnote
    FOR EACH ROW EXECUTE FUNCTION invoicing_freeze_note();

CREATE FUNCTION invoicing_freeze_allocation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    frozen text;
BEGIN
    SELECT n.number INTO frozen FROM invoicing_creditnote n
    WHERE n.status <> 'draft'
      AND ((TG_OP <> 'INSERT' AND n.id = OLD.credit_note_id) OR (TG_OP <> 'DELETE' AND n.id = NEW.credit_note_id))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what credit note % corrects is frozen', frozen USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER credit_allocation_is_frozen BEFORE INSERT OR UPDATE OR DELETE ON invoicing_creditallocation
    FOR EACH ROW EXECUTE FUNCTION invoicing_freeze_allocation();

CREATE FUNCTION invoicing_guard_application() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM invoicing_creditnote n WHERE n.id = NEW.credit_note_id AND n.status <> 'issued') THEN
            RAISE EXCEPTION 'a draft gives no credit' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - 'live' IS DISTINCT FROM to_jsonb(OLD) - 'live' THEN
        RAISE EXCEPTION 'where credit went does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.live AND NOT OLD.live
       OR NOT EXISTS (SELECT FROM invoicing_invoice i WHERE i.id = NEW.invoice_id AND i.status = 'void') THEN
        RAISE EXCEPTION 'credit is released only by voiding its invoice' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER credit_application_is_kept BEFORE INSERT OR UPDATE OR DELETE ON invoicing_creditapplication
    FOR EACH ROW EXECUTE FUNCTION invoicing_guard_application();

CREATE OR REPLACE FUNCTION invoicing_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% holds what was issued and cannot be emptied', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""
    + "".join(
        f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON invoicing_{name.replace('_', '')}\n"
        "    FOR EACH STATEMENT EXECUTE FUNCTION invoicing_no_truncate();\n"
        for name in ("credit_note", "credit_allocation", "credit_application", "line_reversal")
    )
)

DOWN = (
    "".join(
        f"DROP TRIGGER {name}_no_truncate ON invoicing_{name.replace('_', '')};\n"
        for name in ("credit_note", "credit_allocation", "credit_application", "line_reversal")
    )
    + """
DROP TRIGGER credit_application_is_kept ON invoicing_creditapplication;
DROP TRIGGER credit_allocation_is_frozen ON invoicing_creditallocation;
DROP TRIGGER credit_note_is_frozen ON invoicing_creditnote;
DROP TRIGGER line_reversal_changed ON invoicing_linereversal;
DROP TRIGGER line_reversal_removed ON invoicing_linereversal;
DROP TRIGGER line_reversal_added ON invoicing_linereversal;
DROP FUNCTION invoicing_guard_application();
DROP FUNCTION invoicing_freeze_allocation();
DROP FUNCTION invoicing_freeze_note();
"""
    + "".join(BEFORE.values())
)


class Migration(migrations.Migration):
    dependencies = [("invoicing", "0004_documents")]

    operations = [migrations.RunSQL(UP, DOWN)]
