"""What was paid back may fail to arrive: then, too, credit is released."""

from django.db import migrations

GUARD = """
CREATE OR REPLACE FUNCTION invoicing_guard_application() RETURNS trigger LANGUAGE plpgsql AS $$
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
       OR NOT ({released}EXISTS (SELECT FROM invoicing_invoice i WHERE i.id = NEW.invoice_id AND i.status = 'void')) THEN
        RAISE EXCEPTION 'credit is released only by voiding its invoice{also}' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""
AFTER = GUARD.replace("{released}", "NEW.invoice_id IS NULL OR ").replace("{also}", ", or where a refund failed")
BEFORE = GUARD.replace("{released}", "").replace("{also}", "")


class Migration(migrations.Migration):
    dependencies = [("invoicing", "0006_corrections")]

    operations = [migrations.RunSQL(AFTER, BEFORE)]
