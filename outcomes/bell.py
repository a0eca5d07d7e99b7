"""The bell of intake: wake-ups leave a thread of their own, collapsed, so that no request waits for broker or cache.

A message is only a wake-up call, and evaluation takes whatever waits: twenty calls a second move as many events as
twenty thousand would. So the first event rings at once, and what comes within the next moments rings together.
"""

import atexit
import os
import threading
import time

from outcomes.tasks import ring

# Seconds between two calls of one process.
PAUSE = 0.05


class Bell:
    """One thread per process, started by the first ring; what is still to ring when the process ends, rings then."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Nothing wanted, no thread: as in a process that was just forked, which has none of its parent's."""
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._ringing = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring_soon(self) -> None:
        """Costs the caller nothing."""
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def ring_now(self) -> None:
        """Ring, if anybody wanted it since the last time."""
        with self._ringing:
            if self._wanted.is_set():
                self._wanted.clear()
                ring()

    def hush(self) -> None:
        """Forget what was wanted; when this returns, no ring is under way either."""
        with self._ringing:
            self._wanted.clear()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="bell", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self.ring_now()
            time.sleep(PAUSE)


_bell = Bell()
ring_soon = _bell.ring_soon
hush = _bell.hush
atexit.register(_bell.ring_now)
os.register_at_fork(after_in_child=_bell.begin)
