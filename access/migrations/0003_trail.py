"""What staff did stays as it was written: the database stands behind the code."""

from django.db import migrations

UP = """
CREATE FUNCTION access_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is the audit trail, which is only ever added to', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON django_admin_log
    FOR EACH ROW EXECUTE FUNCTION access_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON django_admin_log
    FOR EACH STATEMENT EXECUTE FUNCTION access_refuse_change();
"""
DOWN = """
DROP TRIGGER never_changes ON django_admin_log;
DROP TRIGGER never_emptied ON django_admin_log;
DROP FUNCTION access_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0002_staff_permissions"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [migrations.RunSQL(UP, DOWN)]
