"""Fewer indexes to write per event, and the waiting events in the order in which they are evaluated.

A foreign key without a constraint needs no index of its own where nothing looks rows up by it alone: eight of them went
with every batch. `outcomes_pending` leads by (partition, time), so that the earliest waiting event of a partition (its
watermark) and its next batch are found by index, however long the queue is. Vacuum comes to it often: it is a queue.
"""

import django.db.models.deletion
from django.db import migrations, models


INDEXES = [
    ("outcomes_journal", "outcome_id", "add909a3"),
    ("outcomes_outcome", "condition_id", "7c7cf327"),
    ("outcomes_outcome", "customer_id", "e0f94698"),
    ("outcomes_outcome", "subject_id", "35a1aec2"),
    ("outcomes_outcome", "version_id", "081e3c95"),
    ("outcomes_subject", "condition_id", "6aff4b51"),
    ("outcomes_subject", "customer_id", "74e1832e"),
    ("outcomes_subject_event", "subject_id", "85d8e61b"),
]


class Migration(migrations.Migration):

    dependencies = [
        ('contracts', '0001_initial'),
        ('outcomes', '0003_event_types'),
    ]

    operations = [
        migrations.RunSQL(
            """
            ALTER TABLE outcomes_pending DROP CONSTRAINT outcomes_pending_pkey;
            ALTER TABLE outcomes_pending ADD PRIMARY KEY (partition, "time", seq);
            """,
            """
            ALTER TABLE outcomes_pending DROP CONSTRAINT outcomes_pending_pkey;
            ALTER TABLE outcomes_pending ADD PRIMARY KEY (partition, seq);
            """,
        ),
        # By name: Django's own operation would take `one_confirmed_per_subject`, a unique index on the same column, along.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f"DROP INDEX {table}_{column}_{suffix}", f"CREATE INDEX {table}_{column}_{suffix} ON {table} ({column})")
                for table, column, suffix in INDEXES
            ],
            state_operations=[
                migrations.AlterField(
                    model_name='journal',
                    name='outcome',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='journal', to='outcomes.outcome'),
                ),
                migrations.AlterField(
                    model_name='outcome',
                    name='condition',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='contracts.condition'),
                ),
                migrations.AlterField(
                    model_name='outcome',
                    name='customer',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='outcomes', to='contracts.customer'),
                ),
                migrations.AlterField(
                    model_name='outcome',
                    name='subject',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='outcomes', to='outcomes.subject'),
                ),
                migrations.AlterField(
                    model_name='outcome',
                    name='version',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='contracts.conditionversion'),
                ),
                migrations.AlterField(
                    model_name='subject',
                    name='condition',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to='contracts.condition'),
                ),
                migrations.AlterField(
                    model_name='subject',
                    name='customer',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='subjects', to='contracts.customer'),
                ),
                migrations.AlterField(
                    model_name='subjectevent',
                    name='subject',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='facts', to='outcomes.subject'),
                ),
            ],
        ),
    ]
