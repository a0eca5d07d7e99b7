

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contracts', '0007_collection_and_passing_on'),
        ('outcomes', '0010_queued_index'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='outcome',
            index=models.Index(condition=models.Q(('state__in', ['provisional', 'confirmed']), models.Q(('review', []), _negated=True)), fields=['customer'], name='outcome_to_complete'),
        ),
    ]
