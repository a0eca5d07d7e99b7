"""`kill -9` of the web server and of workers, again and again in the middle of a run: nothing is lost, nothing doubled.

A third of the demo's incidents, their events shuffled, 30 % of them sent twice in other batches, by several clients
that repeat what was not answered. The totals must be those of an independent recount, as if nothing had happened.
"""

import http.client
import os
import queue
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from billing_project.demo import helpdesk
from billing_project.demo.client import Api
from billing_project.services import HOST, beat, free_port, web, worker
from tests.project.recount import NOBODY, recount
from tests.project.running import ROOT, Home, answers, home, key_of, wait_until
from tests.project.test_demo import TOTALS, check_events, check_outcomes, rows

SEED = 20_160_229
PARTS = 3  # one of so many is sent
BATCH = 500
CLIENTS = 3
# What is killed, each at a share of the run drawn by the seed.
KILLS = ("web", "worker child", "worker parent", "web", "worker child", "worker parent")


class Installation:
    """Web server, two workers and scheduler as `make up` runs them, in a home of their own."""

    def __init__(self, here: Home) -> None:
        self.here = here
        self.port = free_port()
        self.commands = {"web": web(self.port), "worker": worker(2), "beat": beat()}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ended: list[int] = []

    def start(self, name: str) -> None:
        with (self.here.path / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.commands[name],
                cwd=ROOT,
                env=self.here.env | {"DJANGO_SETTINGS_MODULE": "billing_project.settings"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def kill(self, what: str) -> None:
        """End a process as a power cut would, and start what is then missing again."""
        name, _, which = what.partition(" ")
        process = self.running[name]
        if which == "child":
            os.kill(random.choice(children(process.pid)), signal.SIGKILL)
            return  # its parent starts another
        if which == "parent":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.ended.append(process.pid)
        self.start(name)

    def wait_until(self, true: Callable[[], bool], seconds: float = 300) -> None:
        """Poll ``true()``, and start again what ended by itself, as a supervisor does: Celery ends where its first
        child is killed before it is up.
        """

        def looked() -> bool:
            for name, process in self.running.items():
                if process.poll() is not None:
                    self.ended.append(process.pid)
                    self.start(name)
            return true()

        wait_until(looked, seconds)

    def stop(self) -> None:
        for group in [*self.ended, *(process.pid for process in self.running.values())]:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.running.values():
            process.wait()


def children(pid: int) -> list[int]:
    listed, deadline = Path(f"/proc/{pid}/task/{pid}/children"), time.monotonic() + 120
    while not (found := listed.read_text().split()):
        assert time.monotonic() < deadline, "the worker has no child"
        time.sleep(0.05)
    return [int(child) for child in found]


class Client(threading.Thread):
    """Posts batches until none is left, each again and again until it is answered."""

    def __init__(self, api: Api, import_id: str, batches: "queue.Queue[list[dict[str, Any]]]") -> None:
        super().__init__(daemon=True)
        self.api, self.import_id, self.batches = api, import_id, batches
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self.repeated = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                self._post(self.batches.get_nowait())
        except queue.Empty:
            pass
        except BaseException as failure:  # noqa: BLE001 -- the test looks at it
            self.failure = failure

    def _post(self, batch: list[dict[str, Any]]) -> None:
        while True:
            try:
                answer = self.api.post("/events/batch", {"events": batch}, Import=self.import_id)
                break
            except (OSError, http.client.HTTPException, ValueError):
                self.repeated += 1
                time.sleep(0.1)
        refused = {result["id"] for result in answer["results"] if result["status"] == "rejected"}
        self.refused |= refused
        self.acknowledged |= {event["id"] for event in batch} - refused


def part(log: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """Some incidents with all their events; of those of nobody, all."""
    numbers = sorted({event["data"]["number"] for event in log})
    chosen = set(chance.sample(numbers, k=len(numbers) // PARTS))
    return [event for event in log if event["data"]["number"] in chosen or event["customer"] == NOBODY]


def shuffled(log: list[dict[str, Any]], chance: random.Random) -> list[list[dict[str, Any]]]:
    """A log in any order, 30 % of it twice, as batches.

    What happened to one incident in one minute stays together and in its order: among events of one time the order of
    acceptance counts (docs/lifecycle.md), and the log tells no seconds.
    """
    together: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in log:
        together.setdefault((event["data"]["number"], event["time"]), []).append(event)
    groups = list(together.values())
    sent = groups + chance.sample(groups, k=len(groups) * 3 // 10)
    chance.shuffle(sent)
    batches: list[list[dict[str, Any]]] = [[]]
    for group in sent:
        if len(batches[-1]) + len(group) > BATCH:
            batches.append([])
        batches[-1] += group
    return batches


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(tmp_path: Path, installed: Path) -> None:
    chance = random.Random(SEED)
    log = helpdesk.events(ROOT / "samples/helpdesk")
    assert recount(log) == TOTALS, "the recount is a good one"
    log = part(log, chance)
    nobodys = {event["id"] for event in log if event["customer"] == NOBODY}
    with home(tmp_path, like=installed) as here:
        status, said = here.run("apply", "samples/helpdesk")
        assert status == 0, said
        installation = Installation(here)
        try:
            for name in installation.commands:
                installation.start(name)
            installation.wait_until(lambda: answers(f"http://{HOST}:{installation.port}/readyz"))
            api = Api(HOST, installation.port, key_of(here))
            import_id = api.post("/imports", {"name": "chaos"})["id"]
            clients = send_while_killing(installation, api, import_id, shuffled(log, chance), chance)
            # What a killed worker or a lost wake-up left behind, the scheduler's sweep finds.
            installation.wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM outcomes_pending") == [(0,)])
            installation.wait_until(lambda: answers(f"http://{HOST}:{installation.port}/readyz"))
            api.post(f"/imports/{import_id}/close")
        finally:
            installation.stop()
        status, said = here.run("settle")
        assert status == 0, said

        check_outcomes(tmp_path, recount(log))
        check_events(tmp_path, len(log) - len(nobodys))
        # What the clients were told is what is stored.
        stored = {name for (name,) in rows(tmp_path, "SELECT event_id FROM outcomes_event")}
        acknowledged = set().union(*(client.acknowledged for client in clients))
        assert acknowledged == stored
        refused = {name for (name,) in rows(tmp_path, "SELECT event_id FROM outcomes_inboxitem")}
        assert refused == set().union(*(client.refused for client in clients)) == nobodys
        assert len(refused) == 76
        # The kills did hit something.
        assert sum(client.repeated for client in clients) >= 2
        status, said = here.run("audit", "--sample", "1000")
        assert status == 0, said


def send_while_killing(
    installation: Installation, api: Api, import_id: str, sent: list[list[dict[str, Any]]], chance: random.Random
) -> list[Client]:
    """Send everything from several clients; each of `KILLS` strikes at its moment. The clients, all done."""
    batches: queue.Queue[list[dict[str, Any]]] = queue.Queue()
    for batch in sent:
        batches.put(batch)
    total = batches.qsize()
    moments = sorted(chance.uniform(0.08, 0.9) * total for _ in KILLS)
    clients = [Client(api, import_id, batches) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for moment, what in zip(moments, chance.sample(KILLS, k=len(KILLS)), strict=True):
        installation.wait_until(lambda moment=moment: total - batches.qsize() >= moment)  # type: ignore[misc]
        installation.kill(what)
    for client in clients:
        installation.wait_until(lambda client=client: not client.is_alive())  # type: ignore[misc]
        assert client.failure is None
    return clients
