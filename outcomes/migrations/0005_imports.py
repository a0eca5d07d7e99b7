
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('outcomes', '0004_lean_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='ImportFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.TextField(help_text='Where it lay, absolute.')),
                ('file_fingerprint', models.TextField()),
                ('mapping_fingerprint', models.TextField()),
                ('rows', models.BigIntegerField(default=0, help_text='Rows done: each is accepted, or lies in the inbox.')),
                ('accepted', models.BigIntegerField(default=0)),
                ('duplicates', models.BigIntegerField(default=0)),
                ('rejected', models.BigIntegerField(default=0)),
                ('report_path', models.TextField(help_text='Where the rows that were not taken are listed.')),
                ('report_bytes', models.BigIntegerField(default=0, help_text='Length of that list after ``rows``.')),
                ('finished_at', models.DateTimeField(help_text='When the last row was done.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='ImportTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('accepted', models.BigIntegerField()),
                ('duplicates', models.BigIntegerField()),
                ('rejected', models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='handled_by',
            field=models.TextField(blank=True, help_text='Who retried or dismissed it last.'),
        ),
        migrations.AddField(
            model_name='inboxitem',
            name='note',
            field=models.TextField(blank=True, help_text='Why it was dismissed.'),
        ),
        migrations.AlterField(
            model_name='inboxitem',
            name='batch_import',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='outcomes.import'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(fields=['event_id'], name='inbox_by_event_id'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('event_seq__isnull', False)), fields=['event_seq'], name='inbox_by_event_seq'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('batch_import__isnull', False)), fields=['batch_import', 'status'], name='inbox_by_import'),
        ),
        migrations.AddIndex(
            model_name='inboxitem',
            index=models.Index(condition=models.Q(('status', 'waiting')), fields=['reason', 'id'], include=('received_at',), name='inbox_waiting'),
        ),
        migrations.AddField(
            model_name='importfile',
            name='batch_import',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='files', to='outcomes.import'),
        ),
        migrations.AddField(
            model_name='importtally',
            name='batch_import',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tallies', to='outcomes.import'),
        ),
        migrations.AddIndex(
            model_name='importfile',
            index=models.Index(fields=['path'], name='import_file_by_path'),
        ),
    ]
