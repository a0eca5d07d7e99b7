"""Test clocks: a stored now for the customers attached to it. It never goes back, and no customer changes its clock."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

UP = """
CREATE FUNCTION contracts_clock_goes_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'test clock % shows % and only moves forward', OLD.id, OLD.now USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER test_clock_goes_forward BEFORE UPDATE ON contracts_testclock
    FOR EACH ROW WHEN (NEW.now < OLD.now OR NEW.id <> OLD.id) EXECUTE FUNCTION contracts_clock_goes_forward();

CREATE FUNCTION contracts_customer_keeps_clock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'customer % keeps the clock it was created with', OLD.key USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER customer_keeps_test_clock BEFORE UPDATE OF test_clock_id ON contracts_customer
    FOR EACH ROW WHEN (NEW.test_clock_id IS DISTINCT FROM OLD.test_clock_id)
    EXECUTE FUNCTION contracts_customer_keeps_clock();
"""

DOWN = """
DROP TRIGGER customer_keeps_test_clock ON contracts_customer;
DROP FUNCTION contracts_customer_keeps_clock();
DROP TRIGGER test_clock_goes_forward ON contracts_testclock;
DROP FUNCTION contracts_clock_goes_forward();
"""


class Migration(migrations.Migration):

    dependencies = [("contracts", "0002_settlement_terms")]

    operations = [
        migrations.CreateModel(
            name="TestClock",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(blank=True, max_length=255)),
                ("now", models.DateTimeField(help_text="What time it is for its customers.")),
                ("created_at", models.DateTimeField(help_text="By the wall clock.")),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.AddField(
            model_name="customer",
            name="test_clock",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="customers",
                to="contracts.testclock",
            ),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(
                condition=models.Q(("test_clock__isnull", False)),
                fields=["test_clock"],
                name="customer_by_test_clock",
            ),
        ),
        migrations.RunSQL(UP, DOWN),
    ]
