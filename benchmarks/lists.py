"""How long every list of the admin takes to open with millions of rows stored, and what it asks the database.

    python -m benchmarks lists [--quick]

Each list that is registered is opened by an owner through Django's test client: the first page and the last, each
value of each filter, searches that find something and one that does not, each order it offers, a year and a month where
it has dates to go by; then the front page, and the pages of the biggest rows. In an installation of its own, filled by
SQL.

The time is that of the whole answer, in one process. A page that is slow is opened once more, and the faster counts.
CPU is what this process and the server's for its connection used: it says nearly the same on a busy machine.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.intake import home, report
from benchmarks.intake.measures import Wrong
from benchmarks.intake.processes import cpu_seconds
from benchmarks.lists_stored import FULL, LINES, QUICK, TINY, Filling, Sizes
from billing_project.services import ServiceError

SLOW = 1.0
"""Seconds in which a page is to open."""
KINDS = ("first", "last", "filter", "search", "order", "date", "row")
NOTHING = "nothing-is-called-so"


@dataclass
class Opened:
    """One page: what it was asked for, and what it took. Times in seconds, CPU too; ``statement`` is the slowest."""

    place: str
    kind: str
    query: str
    seconds: float = 0.0
    cpu: float = 0.0
    queries: int = 0
    slowest: float = 0.0
    statement: str = ""
    given_up: bool = False


@dataclass
class Statements:
    """What a page asks the database: an execute wrapper."""

    times: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.times.append((time.perf_counter() - began, sql))


def main() -> int:
    chosen = _options().parse_args()
    sizes, name = (TINY, "tiny") if chosen.tiny else (QUICK, "quick") if chosen.quick else (FULL, "full")
    home.end_on_sigterm()
    try:
        with _filled(chosen.homes, sizes, name, keep=chosen.keep) as installed:
            machine = report.machine(installed)
            bench = Bench(installed, chosen.only)
            bench.run()
    except (Wrong, ServiceError) as error:
        print(error, file=sys.stderr)
        return 1
    aims = list(_aims(bench))
    print(f"{json.dumps(machine)}\n\n{_sizes(sizes)}\n\n{_table(bench.pages)}\n\n{_worst(bench.pages)}")
    print(f"\n{report.aim_table(aims)}")
    return 1 if chosen.check and not all(aim.met for aim in aims) else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks lists", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="a twentieth of the rows")
    options.add_argument("--tiny", action="store_true", help="as little as can be; the figures mean nothing")
    options.add_argument("--only", default="", metavar="TEXT", help="lists whose name has this in it")
    options.add_argument("--keep", action="store_true", help="keep the database in --homes for the next run")
    options.add_argument("--check", action="store_true", help="exit status 1 where an aim is missed")
    options.add_argument("--homes", type=Path, default=home.HOMES, metavar="DIR", help="where data lie (.local/bench)")
    return options


@contextlib.contextmanager
def _filled(homes: Path, sizes: Sizes, name: str, *, keep: bool) -> Iterator[home.Installation]:
    path = homes / f"lists-{name}" if keep else home.own_home(homes)
    marker = path / "filled"
    with home.installation(path, keep=keep) as installed:
        os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
        import django

        django.setup()
        if not marker.exists():
            with installed.connect() as database:
                Filling(database, sizes, say).run()
            marker.touch()
        yield installed


class Bench:
    """One run: ``pages`` is what it found, ``reference`` seconds of what no list can do without."""

    def __init__(self, installed: home.Installation, only: str = "") -> None:
        from django.conf import settings
        from django.contrib.auth.models import Group, User
        from django.test import Client

        settings.ALLOWED_HOSTS = ["testserver"]
        settings.STAFF_TOTP = False
        owner, _ = User.objects.get_or_create(username="bench-owner", is_staff=True)
        owner.groups.set([Group.objects.get(name="owner")])
        self.client = Client()
        self.client.force_login(owner)
        self.installed, self.only = installed, only
        self.pages: list[Opened] = []
        self.reference = 0.0

    def run(self) -> None:
        from django.contrib import admin

        self.reference = self._reference()
        for model, model_admin in sorted(admin.site._registry.items(), key=lambda one: one[0]._meta.label_lower):
            if self.only in model._meta.label_lower:
                self.list(model, model_admin)
                say(_line(model._meta.label_lower, self.pages))
        if not self.only:
            self.rows()
        if not self.pages:
            raise Wrong(f"no list has {self.only!r} in its name")

    # --- What is opened ---

    def list(self, model: type[Any], model_admin: Any) -> None:
        """Everything that can be asked of one list."""
        place = model._meta.label_lower
        address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        first = self.open(place, address, "first")
        cl = first.context_data["cl"]
        if cl.paginator.num_pages > 1:
            self.open(place, address, "last", p=str(cl.paginator.num_pages))
        for spec in cl.filter_specs:
            for choice in list(spec.choices(cl)):
                if not choice["selected"] and choice["query_string"].strip("?"):
                    self.open(place, address + choice["query_string"], "filter")
        for word in (*_words(model, model_admin), NOTHING) if model_admin.search_fields else ():
            self.open(place, address, "search", q=word)
        for number, column in enumerate(cl.list_display):
            if column != "action_checkbox" and cl.get_ordering_field(column) is not None:
                for direction in ("", "-"):
                    self.open(place, address, "order", o=f"{direction}{number}")
        if dates := model_admin.date_hierarchy:
            latest = model._base_manager.order_by(f"-{dates}").values_list(dates, flat=True).first()
            if latest is not None:
                year = {f"{dates}__year": str(latest.year)}
                self.open(place, address, "date", **year)
                self.open(place, address, "date", **year, **{f"{dates}__month": str(latest.month)})

    def rows(self) -> None:
        """The front page, and the pages of the rows that have most to show."""
        from django.utils import timezone

        from contracts.models import Customer
        from invoicing.models import CreditNote, Invoice
        from outcomes.models import Event, Outcome, State
        from workplace import figures
        from workplace.front import WORK_OUT
        from workplace.models import Figures

        # A task works the figures out. Those of revenue are previews of all customers, which the page has no part in.
        began = time.perf_counter()
        figures.refresh(Figures.Kind.OPERATIONS, WORK_OUT[Figures.Kind.OPERATIONS], now=timezone.now())
        say(f"figures of the front page: {time.perf_counter() - began:.1f} s")
        figures.refresh(Figures.Kind.REVENUE, lambda _: _NO_REVENUE, now=timezone.now())
        self.open("front page", "/admin/", "row")
        biggest = {
            "customer with most outcomes": Customer.objects.filter(key="cust-1").first(),
            "outcome, confirmed": Outcome.objects.filter(state=State.CONFIRMED).order_by("-id").first(),
            f"invoice of {LINES} lines": Invoice.objects.order_by("-id").first(),
            "credit note": CreditNote.objects.order_by("-id").first(),
            "event": Event.objects.order_by("-seq").first(),
        }
        for what, row in biggest.items():
            if row is None:
                raise Wrong(f"there is no {what}")
            name = f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}"
            self.open(what, f"{name}/change/", "row")
            self.open(f"{what}: history", f"{name}/history/", "row")

    def open(self, place: str, address: str, kind: str, **query: str) -> Any:
        """Open a page, and once more where it was slow; the faster counts."""
        address = f"{address}?{urlencode(query)}" if query else address
        found, answer = self._open(place, address, kind)
        if found.seconds > SLOW / 2:
            again, answer = self._open(place, address, kind)
            found = min(found, again, key=lambda one: one.seconds)
        self.pages.append(found)
        return answer

    def _open(self, place: str, address: str, kind: str) -> tuple[Opened, Any]:
        from django.db import connection

        statements = Statements()
        with connection.execute_wrapper(statements):
            used, began = self._cpu(), time.perf_counter()
            answer = self.client.get(address)
            seconds, cpu = time.perf_counter() - began, self._cpu() - used
        if answer.status_code != 200:
            raise Wrong(f"{address} answers {answer.status_code}")
        slowest, statement = max(statements.times)
        cl = (getattr(answer, "context_data", None) or {}).get("cl")
        query = address.partition("?")[2]
        return Opened(
            place, kind, query, seconds, cpu, len(statements.times), slowest, statement, getattr(cl, "too_long", False)
        ), answer

    def _cpu(self) -> float:
        from django.db import connection

        connection.ensure_connection()
        return time.process_time() + cpu_seconds(connection.connection.info.backend_pid)

    def _reference(self) -> float:
        """A page of rows by their key, bare, and a list that has none."""
        from django.db import connection

        found = []
        for _ in range(5):
            began = time.perf_counter()
            with connection.cursor() as cursor:
                cursor.execute(_KEYSET)
                cursor.fetchall()
            self.client.get("/admin/access/apikey/", {"q": NOTHING})
            found.append(time.perf_counter() - began)
        return min(found)


_NO_REVENUE = {"customers": 0, "currencies": [], "leaking": []}
_KEYSET = """
SELECT * FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id
    JOIN contracts_customer c ON c.id = o.customer_id
WHERE o.id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' ORDER BY o.id DESC LIMIT 100
"""


def _words(model: type[Any], model_admin: Any) -> list[str]:
    """For each field that is searched, what stands there in one of the latest rows."""
    found: dict[str, None] = {}
    key = model._meta.pk.name
    for text in model_admin.search_fields:
        path = text.lstrip("=^")
        latest = model._base_manager.order_by(f"-{key}").values_list(path, flat=True)[:200]
        word = next((str(value) for value in latest if value not in (None, "")), "")
        if word:
            found[f'"{word}"' if " " in word else word] = None
    return list(found)


# --- The report -------------------------------------------------------------------------------------------------------


def _aims(bench: Bench) -> list[report.Aim]:
    worst = max(page.seconds for page in bench.pages)
    many = max(page.queries for page in bench.pages if page.kind != "row")
    return [
        report.Aim("the slowest page: seconds", worst, SLOW, at_most=True),
        report.Aim(
            "the page that takes most: seconds of CPU", max(page.cpu for page in bench.pages), SLOW, at_most=True
        ),
        report.Aim("the slowest page / a page by keys and an empty list", worst / bench.reference, 20, at_most=True),
        report.Aim("pages that were given up", sum(page.given_up for page in bench.pages), 0, at_most=True),
        report.Aim("queries of a list, at most", many, 30, at_most=True),
    ]


def _sizes(sizes: Sizes) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in vars(sizes).items())


def _table(pages: Sequence[Opened]) -> str:
    """A line for each list: the slowest page of each kind in milliseconds, most queries, the slowest of all."""
    head = f"{'':<38}{'pages':>6}" + "".join(f"{kind:>8}" for kind in KINDS) + f"{'CPU':>8}{'queries':>9}{'query':>9}"
    places = list(dict.fromkeys(page.place for page in pages))
    return "\n".join(
        [f"{'':<44}{'ms, the slowest of its kind':>56}{'most':>8}{'most':>9}{'slowest':>9}", head]
        + [_line(place, pages) for place in places]
    )


def _line(place: str, pages: Sequence[Opened]) -> str:
    own = [page for page in pages if page.place == place]
    cells = []
    for kind in KINDS:
        times = [page.seconds for page in own if page.kind == kind]
        cells.append(f"{max(times) * 1000:>8.0f}" if times else f"{'':>8}")
    queries, slowest = max(page.queries for page in own), max(page.slowest for page in own)
    cpu = max(page.cpu for page in own)
    return f"{place:<38}{len(own):>6}{''.join(cells)}{cpu * 1000:>8.0f}{queries:>9}{slowest * 1000:>9.0f}"


def _worst(pages: Sequence[Opened]) -> str:
    lines = ["The slowest pages:"]
    for page in sorted(pages, key=lambda one: -one.seconds)[:12]:
        up = " (given up)" if page.given_up else ""
        lines.append(f"  {page.seconds * 1000:>6.0f} ms, CPU {page.cpu * 1000:>5.0f}  {page.place}?{page.query}{up}")
        if page.seconds > SLOW:
            lines.append(f"             {page.slowest * 1000:.0f} ms of it: {' '.join(page.statement.split())[:400]}")
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to standard error, so that the tables can be kept apart."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
