"""The Celery application. Its messages are wake-up calls: losing, doubling or delaying every one costs time, never
money.
"""

import os
from typing import Any

from celery import Celery, signals
from django.db import close_old_connections

from conditions_dsl.parser import grammar

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")

app = Celery("holdfast")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()

# Celery closes the database's connections before and after each task. A new one costs PostgreSQL a process and its
# caches: three times what evaluating a handful of events does, twenty times a second. So tasks keep them as requests do
# (CONN_MAX_AGE, and a dead one is found before it is used); Celery's own closing comes once in so many tasks.
app.add_defaults(lambda: {"CELERY_DB_REUSE_MAX": 1_000_000})


@signals.task_prerun.connect
def _drop_old_connections(**told: Any) -> None:
    # A task that is called in the caller's own process is within the caller's transaction.
    if not told["task"].request.is_eager:
        close_old_connections()


@signals.worker_init.connect
def _read_the_grammar(**_: Any) -> None:
    # Every worker reads conditions. Each begins as a copy of this process, and need not make it again.
    grammar()
