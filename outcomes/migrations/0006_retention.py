"""Events may be evaluated again, for conditions made after them; months of payloads may leave for files."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contracts', '0001_initial'),
        ('outcomes', '0005_imports'),
    ]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE outcomes_pending ADD COLUMN again boolean NOT NULL DEFAULT false",
            "ALTER TABLE outcomes_pending DROP COLUMN again",
        ),
        migrations.CreateModel(
            name='ArchivedMonth',
            fields=[
                ('month', models.CharField(help_text='2026-03', max_length=7, primary_key=True, serialize=False)),
                ('path', models.TextField(help_text='The file it was written to.')),
                ('events', models.BigIntegerField()),
                ('sha256', models.CharField(help_text='Over the lines of the events in the file.', max_length=64)),
                ('archived_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-month'],
            },
        ),
        migrations.CreateModel(
            name='Backfill',
            fields=[
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='contracts.conditionversion')),
                ('types', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Event names to look for; empty: there is nothing to do.', size=None)),
                ('since', models.DateTimeField(help_text='Events that happened earlier cannot matter to it.', null=True)),
                ('next_seq', models.BigIntegerField()),
                ('until_seq', models.BigIntegerField()),
                ('events', models.BigIntegerField(default=0, help_text='Handed to evaluation so far.')),
                ('created_at', models.DateTimeField()),
                ('done_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.AlterField(
            model_name='inboxitem',
            name='reason',
            field=models.TextField(choices=[('unknown_customer', 'Unknown Customer'), ('missing_key', 'Missing Key'), ('archived', 'Archived'), ('too_old', 'Too Old'), ('in_future', 'In Future'), ('invalid', 'Invalid'), ('id_conflict', 'Id Conflict')]),
        ),
    ]
