"""What is to be made so at Stripe is noted down in the transaction that makes it so here, whoever makes it: from then on
it cannot be forgotten. Only where the customer's audience has a connection.
"""

from django.db import migrations

NOTED = """
CREATE FUNCTION payments_note(kind text, customer bigint, invoice uuid, note uuid, application bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO payments_operation (uid, kind, customer_id, invoice_id, credit_note_id, application_id, number, status, attempts,
                                    reason, code, account, decided_by, created_at)
    SELECT gen_random_uuid(), kind, customer, invoice, note, application, 1, 'waiting', 0, '', '', '', '', now()
    FROM contracts_customer c
    JOIN payments_connection n ON n.audience = CASE WHEN c.test_clock_id IS NULL THEN 'live' ELSE 'test' END
    WHERE c.id = customer
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION payments_note_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Issued and paid in one transaction: in this order.
    IF NEW.status = 'issued' THEN
        PERFORM payments_note('invoice', NEW.customer_id, NEW.id, NULL, NULL);
    ELSIF NEW.status IN ('paid', 'uncollectible', 'void') AND EXISTS (
        SELECT FROM payments_operation o WHERE o.kind = 'invoice' AND o.invoice_id = NEW.id
    ) THEN
        PERFORM payments_note(NEW.status, NEW.customer_id, NEW.id, NULL, NULL);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION payments_note_credit_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM payments_note('credit_note', NEW.customer_id, NULL, NEW.id, NULL);
    RETURN NULL;
END $$;

CREATE FUNCTION payments_note_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM payments_note('refund', n.customer_id, NULL, n.id, NEW.id)
    FROM invoicing_creditnote n
    WHERE n.id = NEW.credit_note_id AND EXISTS (
        SELECT FROM payments_operation o WHERE o.kind = 'credit_note' AND o.credit_note_id = n.id
    );
    RETURN NULL;
END $$;

CREATE TRIGGER payments_noted AFTER UPDATE OF status ON invoicing_invoice
    FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION payments_note_invoice();
CREATE TRIGGER payments_noted AFTER UPDATE OF status ON invoicing_creditnote
    FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION payments_note_credit_note();
CREATE TRIGGER payments_noted AFTER INSERT ON invoicing_creditapplication
    FOR EACH ROW WHEN (NEW.invoice_id IS NULL) EXECUTE FUNCTION payments_note_refund();
"""

NOT_NOTED = """
DROP TRIGGER payments_noted ON invoicing_creditapplication;
DROP TRIGGER payments_noted ON invoicing_creditnote;
DROP TRIGGER payments_noted ON invoicing_invoice;
DROP FUNCTION payments_note_refund();
DROP FUNCTION payments_note_credit_note();
DROP FUNCTION payments_note_invoice();
DROP FUNCTION payments_note(text, bigint, uuid, uuid, bigint);
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial")]

    operations = [migrations.RunSQL(NOTED, NOT_NOTED)]
