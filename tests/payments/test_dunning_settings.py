"""Settings of dunning and mails: read when a process starts, and refused there with the name of the variable."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings

READ = """
import json
from django.conf import settings as s
backend = s.EMAIL_BACKEND.split(".")[-2]
days = [s.DUNNING_RETRY_DAYS, s.DUNNING_REMINDER_DAYS, s.DUNNING_END_DAYS]
print(json.dumps([*days, s.DUNNING_END, s.DUNNING_MAILS, backend, s.EMAIL_PORT, s.EMAIL_USE_TLS, s.EMAIL_USE_SSL]))
"""
MISSING = "Mails to customers need HOLDFAST_EMAIL_HOST and HOLDFAST_EMAIL_FROM"


def start(**given: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | {
        "DJANGO_SETTINGS_MODULE": "billing_project.settings",
        # With servers named, reading the settings starts none.
        "DATABASE_URL": "postgres://unused@localhost/unused",
        "REDIS_URL": "redis://localhost/0",
        "HOLDFAST_HOME": str(settings.HOME),
    }
    return subprocess.run(
        [sys.executable, "-c", READ], env=environment | given, capture_output=True, text=True, cwd=settings.BASE_DIR
    )


def test_nothing_leaves_unless_it_is_meant_to() -> None:
    assert json.loads(start().stdout) == [
        [3, 5, 7], [3, 7, 14], [14], "uncollectible", False, "dummy", 587, True, False,
    ]  # fmt: skip


def test_they_are_read() -> None:
    given = {
        "HOLDFAST_DUNNING_RETRY_DAYS": "",
        "HOLDFAST_DUNNING_REMINDER_DAYS": "1, 2",
        "HOLDFAST_DUNNING_END_DAYS": "30",
        "HOLDFAST_DUNNING_END": "leave",
        "HOLDFAST_EMAIL_HOST": "smtp.example.com",
        "HOLDFAST_EMAIL_FROM": "Example <billing@example.com>",
        "HOLDFAST_EMAIL_TLS": "tls",
    }
    assert json.loads(start(**given).stdout) == [[], [1, 2], [30], "leave", True, "smtp", 465, False, True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"HOLDFAST_DUNNING_RETRY_DAYS": "3,2"}, "HOLDFAST_DUNNING_RETRY_DAYS: the days must rise, and 2 follows 3."),
        ({"HOLDFAST_DUNNING_END_DAYS": ""}, "HOLDFAST_DUNNING_END_DAYS: give one whole number of days."),
        ({"HOLDFAST_DUNNING_END": "sue"}, "HOLDFAST_DUNNING_END: give uncollectible or leave."),
        ({"HOLDFAST_EMAIL_HOST": "smtp.example.com"}, MISSING),
        ({"HOLDFAST_DUNNING_MAILS": "on"}, MISSING),
        ({"HOLDFAST_EMAIL_TLS": "ssl"}, "HOLDFAST_EMAIL_TLS: give starttls, tls or none."),
        ({"HOLDFAST_STRIPE_TAX": "on"}, "HOLDFAST_STRIPE_TAX: there is no Stripe to ask."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(given: dict[str, str], said: str) -> None:
    refused = start(**given)
    assert refused.returncode != 0
    assert said in refused.stderr.splitlines()[-1], refused.stderr
