"""What Celery calls, and that it is called."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from tests.webhooks.conftest import Receiver, subscribe
from webhooks import endpoints, tasks
from webhooks.models import Delivery
from webhooks.publish import publish


def test_the_schedule_names_tasks_that_exist() -> None:
    scheduled = {entry["task"]: entry for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.deliver.name, tasks.sweep.name} <= scheduled.keys()
    assert scheduled[tasks.deliver.name]["schedule"] <= 5


@pytest.mark.django_db
def test_the_tasks_send_and_forget(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe(receiver, now=timezone.now())
    publish("invoice.issued", "inv_1", dict, now=timezone.now())
    tasks.deliver()
    assert [message.status for message in Delivery.objects.all()] == ["accepted"]
    tasks.sweep()
    assert Delivery.objects.count() == 1
    monkeypatch.setattr(endpoints, "KEPT", timedelta(0))
    tasks.sweep()
    assert Delivery.objects.count() == 0


@pytest.mark.django_db
def test_a_name_that_nobody_knows_is_our_mistake() -> None:
    def never() -> Any:
        raise AssertionError("nobody listens: the data is not asked for")

    with pytest.raises(ValueError, match=r"invoice\.isued"):
        publish("invoice.isued", "inv_1", never, now=timezone.now())
    publish("invoice.issued", "inv_1", never, now=timezone.now())
