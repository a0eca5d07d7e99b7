"""Single events that arrive at the same time are accepted together: one transaction, one commit, for all of them.

A single event costs the database nearly as much as a batch of a hundred: a transaction and a flush to disk. So, as
databases do with their own log (group commit), the first thread to arrive stores its event, and whoever comes meanwhile
is stored by the next, all at once. Nobody waits for company: an event that is alone goes at once. Durability is as
ever: `accept_one` returns after the commit that stored its event.
"""

import threading
from datetime import datetime

from outcomes.intake import Result, accept
from outcomes.wire import Incoming, Refused

# A leader stores so many at most, so that one pass stays short.
MOST = 500


class _Ticket:
    """One event on its way. Its thread sleeps on ``woken`` until its result is there or it is to lead."""

    __slots__ = ("failed", "item", "leads", "result", "woken")

    def __init__(self, item: Incoming | Refused) -> None:
        self.item = item
        self.result: Result | None = None
        self.leads = False
        self.failed = False
        self.woken = threading.Lock()
        self.woken.acquire()


class Gathering:
    """The threads of one process that bring single events. At most one of them, the leader, talks to the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._led = False

    def accept_one(self, item: Incoming | Refused, *, now: datetime) -> Result:
        """As `accept` of a batch of one. ``now`` is the moment of whoever stores it, at most a commit later."""
        ticket = _Ticket(item)
        with self._lock:
            if self._led:
                self._waiting.append(ticket)
            else:
                self._led = ticket.leads = True
        if not ticket.leads:
            ticket.woken.acquire()
        if ticket.leads:
            self._lead(ticket, now)
        if ticket.failed:
            # What failed together is tried apart, so that one event's trouble stays its own.
            [ticket.result] = accept([item], now=now)
        assert ticket.result is not None
        return ticket.result

    def _lead(self, mine: _Ticket, now: datetime) -> None:
        with self._lock:
            others, self._waiting = self._waiting[: MOST - 1], self._waiting[MOST - 1 :]
        together = [mine, *others]
        try:
            for ticket, result in zip(together, accept([ticket.item for ticket in together], now=now), strict=True):
                ticket.result = result
        except Exception:
            if not others:
                raise
            mine.failed = True
        finally:
            self._hand_over()
            for ticket in others:
                ticket.failed = ticket.result is None
                ticket.woken.release()

    def _hand_over(self) -> None:
        """The next who waits leads; where nobody does, the next to come."""
        with self._lock:
            if self._waiting:
                heir = self._waiting.pop(0)
                heir.leads = True
                heir.woken.release()
            else:
                self._led = False


_gathering = Gathering()
accept_one = _gathering.accept_one
