"""Wake-up calls: at most one waits in the queue, and a failure to send one is forgotten, not remembered as sent."""

from typing import Any

import pytest
from django.core.cache import cache
from kombu.exceptions import OperationalError

from outcomes.tasks import WAKE_FLAG, ring, wake


def test_at_most_one_wake_up_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(wake, "apply_async", lambda **options: sent.append(options))
    ring()
    ring()
    assert len(sent) == 1
    assert cache.get(WAKE_FLAG) == 1


def test_a_wake_up_that_was_not_sent_leaves_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next events would wait for a message that never comes, until the sweep finds them."""

    def away(**options: Any) -> None:
        raise OperationalError("the broker is away")

    monkeypatch.setattr(wake, "apply_async", away)
    ring()
    assert cache.get(WAKE_FLAG) is None
    sent: list[Any] = []
    monkeypatch.setattr(wake, "apply_async", lambda **options: sent.append(options))
    ring()
    assert len(sent) == 1


@pytest.mark.django_db
def test_the_worker_clears_the_flag_before_it_works() -> None:
    cache.add(WAKE_FLAG, 1, 30)
    wake()
    assert cache.get(WAKE_FLAG) is None
