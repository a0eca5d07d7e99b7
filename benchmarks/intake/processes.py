"""What processes use, from /proc: CPU seconds and resident memory, by kind (web, worker, postgres, …)."""

import contextlib
import os
import threading
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, of which [11:15] are the CPU ticks. Empty when gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(root: int) -> list[int]:
    """This process and all that descend from it."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(root: int) -> float:
    """CPU seconds of a process and its descendants, those that have ended included."""
    return sum(int(ticks) for pid in family(root) for ticks in _stat(pid)[11:15]) / _TICK


def resident(root: int) -> int:
    """Bytes resident of a process and its descendants; pages they share count for each."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return total


class Watch:
    """Within the block, samples the memory of web server and workers; after it, has the CPU used by kind, too."""

    def __init__(self, kinds: dict[str, int]) -> None:
        self._kinds = kinds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.memory: dict[str, list[int]] = {kind: [] for kind in kinds if kind in ("web", "worker")}
        self.cpu: dict[str, float] = {}

    def __enter__(self) -> "Watch":
        self._before = {kind: cpu_seconds(pid) for kind, pid in self._kinds.items()}
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        self.cpu = {kind: cpu_seconds(pid) - self._before[kind] for kind, pid in self._kinds.items()}

    def _sample(self) -> None:
        while not self._done.wait(0.5):
            for kind, samples in self.memory.items():
                samples.append(resident(self._kinds[kind]))

    def thirds(self, kind: str) -> tuple[float, float] | None:
        """Mean MiB in the first and in the last third; nothing where too few samples were taken."""
        samples = self.memory[kind]
        third = len(samples) // 3
        if not third:
            return None
        return sum(samples[:third]) / third / 2**20, sum(samples[-third:]) / third / 2**20
