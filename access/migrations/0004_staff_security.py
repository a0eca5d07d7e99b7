"""Sessions that know whose they are and end with what they rest on; counters of wrong passwords; and a chain over the
audit trail, which the database adds to with every line, whoever writes it.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The lock makes writers wait for each other until their commit, so that each knows the entry before its own. What the
# digest is made of is said again in access/audit.py, which trusts nothing here.
CHAIN = """
CREATE FUNCTION access_chain_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    caller jsonb := coalesce(nullif(current_setting('holdfast.caller', true), ''), '{}')::jsonb;
    latest access_trailentry;
    next_seq bigint;
    noted timestamptz := clock_timestamp();
    from_address inet := (caller ->> 'address')::inet;
    agent text := coalesce(caller ->> 'user_agent', '');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('access.trail', 0));
    SELECT * INTO latest FROM access_trailentry ORDER BY seq DESC LIMIT 1;
    next_seq := coalesce(latest.seq, 0) + 1;
    INSERT INTO access_trailentry (seq, line_id, noted_at, address, user_agent, digest) VALUES (
        next_seq, NEW.id, noted, from_address, agent,
        sha256(convert_to(jsonb_build_array(
            coalesce(encode(latest.digest, 'hex'), ''), next_seq, extract(epoch FROM noted)::text, host(from_address),
            agent, NEW.id, extract(epoch FROM NEW.action_time)::text, NEW.user_id, NEW.content_type_id, NEW.object_id,
            NEW.object_repr, NEW.action_flag, NEW.change_message
        )::text, 'UTF8'))
    );
    RETURN NULL;
END $$;
CREATE TRIGGER chained AFTER INSERT ON django_admin_log
    FOR EACH ROW EXECUTE FUNCTION access_chain_line();
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON access_trailentry
    FOR EACH ROW EXECUTE FUNCTION access_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON access_trailentry
    FOR EACH STATEMENT EXECUTE FUNCTION access_refuse_change();

-- The lines that are there already, in their order.
DO $$
DECLARE
    line django_admin_log;
    previous bytea;
    next_seq bigint := 0;
    noted timestamptz := clock_timestamp();
BEGIN
    FOR line IN SELECT * FROM django_admin_log ORDER BY id LOOP
        next_seq := next_seq + 1;
        INSERT INTO access_trailentry (seq, line_id, noted_at, address, user_agent, digest) VALUES (
            next_seq, line.id, noted, NULL, '',
            sha256(convert_to(jsonb_build_array(
                coalesce(encode(previous, 'hex'), ''), next_seq, extract(epoch FROM noted)::text, NULL::text, '',
                line.id, extract(epoch FROM line.action_time)::text, line.user_id, line.content_type_id,
                line.object_id, line.object_repr, line.action_flag, line.change_message
            )::text, 'UTF8'))
        ) RETURNING digest INTO previous;
    END LOOP;
END $$;
"""
UNCHAIN = """
DROP TRIGGER chained ON django_admin_log;
DROP TRIGGER never_changes ON access_trailentry;
DROP TRIGGER never_emptied ON access_trailentry;
DROP FUNCTION access_chain_line();
"""

SESSIONS = """
CREATE FUNCTION access_end_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'auth_user' THEN
        DELETE FROM access_staffsession WHERE account_id = NEW.id;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM access_staffsession WHERE account_id = OLD.user_id;
    ELSE
        DELETE FROM access_staffsession WHERE account_id = NEW.user_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_end AFTER UPDATE ON auth_user FOR EACH ROW
    WHEN ((OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser)
          IS DISTINCT FROM (NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser))
    EXECUTE FUNCTION access_end_sessions();
CREATE TRIGGER sessions_end AFTER INSERT OR UPDATE OR DELETE ON auth_user_groups
    FOR EACH ROW EXECUTE FUNCTION access_end_sessions();
CREATE TRIGGER sessions_end AFTER INSERT OR UPDATE OR DELETE ON auth_user_user_permissions
    FOR EACH ROW EXECUTE FUNCTION access_end_sessions();
"""
SESSIONS_STAY = """
DROP TRIGGER sessions_end ON auth_user;
DROP TRIGGER sessions_end ON auth_user_groups;
DROP TRIGGER sessions_end ON auth_user_user_permissions;
DROP FUNCTION access_end_sessions();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0003_trail"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Guesses",
            fields=[
                (
                    "key",
                    models.CharField(
                        help_text="HMAC of the name or of the network.",
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("wrong", models.PositiveIntegerField(default=0)),
                ("last_at", models.DateTimeField(db_index=True)),
                ("blocked_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="StaffSession",
            fields=[
                (
                    "session_key",
                    models.CharField(max_length=40, primary_key=True, serialize=False, verbose_name="session key"),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(db_index=True, verbose_name="expire date")),
                (
                    "account",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "session", "verbose_name_plural": "sessions", "abstract": False},
        ),
        migrations.CreateModel(
            name="TrailEntry",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("noted_at", models.DateTimeField()),
                ("address", models.GenericIPAddressField(null=True)),
                ("user_agent", models.TextField()),
                ("digest", models.BinaryField(max_length=32)),
                (
                    "line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="entry", to="admin.logentry"
                    ),
                ),
            ],
        ),
        migrations.RunSQL(CHAIN, UNCHAIN),
        migrations.RunSQL(SESSIONS, SESSIONS_STAY),
    ]
