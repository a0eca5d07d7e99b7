"""Terms that settlement follows: windows of the contract's own, and what late evidence does to a confirmed outcome."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contracts', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='contractversion',
            name='late_evidence',
            field=models.CharField(choices=[('reverse', 'Reverse the outcome'), ('review', 'Let a person decide'), ('ignore', 'Leave the outcome as it is')], default='reverse', help_text='What follows when an event comes late and would change a confirmed outcome.', max_length=16),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='settlement_windows',
            field=models.JSONField(blank=True, default=dict, help_text='Condition id: seconds in the place of the DURATION of its `settle after`.'),
        ),
        migrations.AddIndex(
            model_name='contractversion',
            index=models.Index(condition=models.Q(('settlement_windows', {}), _negated=True), fields=['contract'], name='contract_versions_with_windows'),
        ),
        migrations.AddConstraint(
            model_name='contractversion',
            constraint=models.CheckConstraint(condition=models.Q(('late_evidence__in', ['reverse', 'review', 'ignore'])), name='contract_late_evidence_known'),
        ),
    ]
