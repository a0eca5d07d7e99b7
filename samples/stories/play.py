#!/usr/bin/env python3
"""Play stories against a Holdfast, over its HTTP API alone, in seconds: each lives by a test clock of its own.

    python play.py --url http://127.0.0.1:8000 --key hf_test_…            every story of this directory
    python play.py --url … --key … dispute.story hold.story --explain     some of them, and why things came as they did

Needs Python 3.11 and nothing else. The address and the key may also stand in HOLDFAST_URL and HOLDFAST_KEY. The key
needs the scope `admin`. Exit status: 0 when everything was as the stories say, 1 when something was not, 2 when a story
could not be played. README.md tells how a story is written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shlex
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

HERE = Path(__file__).resolve().parent
MOMENT = r"day (?P<day>\d+)(?: (?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?"


class Unplayable(Exception):
    """The story cannot go on; the message says why. ``status`` is the API's, where it refused."""

    def __init__(self, why: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(why)


# --- The API ----------------------------------------------------------------------------------------------------------


class Api:
    """JSON over HTTP with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url.rstrip("/"), key

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            said = refused.read().decode(errors="replace")
            try:
                error = json.loads(said)["error"]
                said = f"{error['code']}: {error['message']}"
            except (ValueError, KeyError, TypeError):
                pass
            raise Unplayable(f"{method} /v1/{path} was answered {refused.code} {said}", refused.code) from None
        except (OSError, ValueError) as broken:
            raise Unplayable(f"{method} {self.url}/v1/{path} got no answer: {broken}") from None

    def pages(self, path: str, **query: str) -> Iterator[Any]:
        """Every row of a list."""
        cursor: dict[str, str] = {}
        while True:
            page = self("GET", f"{path}?{urlencode(query | cursor)}")
            yield from page["data"]
            if not page["has_more"]:
                return
            cursor = {"cursor": page["next_cursor"]}


# --- Playing ----------------------------------------------------------------------------------------------------------


class Story:
    """One file, played line by line. ``now`` is what its test clock shows."""

    def __init__(self, api: Api, path: Path, *, explain: bool) -> None:
        self.api, self.path, self.explain = api, path, explain
        self.name = path.stem
        self.customer = f"story-{self.name.replace('_', '-')}-{secrets.token_hex(4)}"
        self.start = self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.clock = ""
        self.currency = "USD"
        self.conditions: list[str] = []
        self.prices: list[dict[str, Any]] = []
        self.sent = 0
        self.waits = False  # something was done that the clock has not played yet
        self.failed = 0
        self.invoice: dict[str, Any] | None = None
        self.unseen: list[dict[str, Any]] = []  # lines of the invoice that the story has not told yet
        self.open: dict[tuple[str, str], str] = {}  # disputes and holds, by what they are on

    def play(self) -> int:
        """How many expectations failed."""
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            text = line.strip()
            if text.startswith("#"):
                self.note(text[1:].strip())
            elif text:
                try:
                    self.line(text)
                except Unplayable as why:
                    raise Unplayable(f"{self.path.name}, line {number}: {why}") from None
        if self.explain:
            self.tell_why()
        return self.failed

    def line(self, text: str) -> None:
        if re.match(rf"{MOMENT}\s+\S", text):
            return self.event(text)
        word, _, rest = text.partition(" ")
        command: Callable[[str], None] | None = getattr(self, f"do_{word}", None)
        if command is None:
            raise Unplayable(f"nothing is known of {word!r}")
        return command(rest.strip())

    # --- what the story needs -----------------------------------------------------------------------------------------

    def do_story(self, rest: str) -> None:
        print(f"\n{rest}")

    def do_clock(self, rest: str) -> None:
        """`clock 2026-03-01`: day 0, on which the clock begins."""
        self.start = self.now = datetime.fromisoformat(rest).replace(tzinfo=UTC)

    def do_currency(self, rest: str) -> None:
        self.currency = rest

    def do_condition(self, rest: str) -> None:
        """`condition FILE`: publish it. One that is there already is left as it is, and must say the same."""
        text = (self.path.parent / rest).read_text(encoding="utf-8")
        slug = re.findall(r"^outcome (\S+)", text, re.MULTILINE)[0]
        try:
            there = self.api("GET", f"conditions/{quote(slug)}")
        except Unplayable as why:
            if why.status != 404:
                raise
            there = self.api("POST", "conditions", {"text": text})
        if [version["text"].strip() for version in there["versions"]] != [text.strip()]:
            raise Unplayable(f"this installation has another text of {slug}: play the stories on one without")
        self.conditions.append(slug)
        self.note(there["description"])

    def do_price(self, rest: str) -> None:
        """`price SLUG AMOUNT NAME=VALUE …`: per unit, and for which dimension values."""
        slug, amount, *match = shlex.split(rest)
        self.prices.append({"condition": slug, "unit_price": amount, "match": dict(m.split("=", 1) for m in match)})

    def do_contract(self, rest: str) -> None:
        """`contract monthly NAME=VALUE …`: the clock, the customer that lives by it, its prices, its contract."""
        period, *terms = shlex.split(rest)
        self.clock = self.api("POST", "test_clocks", {"now": iso(self.now), "name": self.name})["id"]
        customer = {"name": self.name.replace("_", " "), "currency": self.currency, "test_clock": self.clock}
        self.api("PUT", f"customers/{self.customer}", customer)
        card = f"story-{self.name}"
        self.api("PUT", f"rate_cards/{card}", {"currency": self.currency, "prices": self.prices})
        contract = {
            "customer": self.customer,
            "rate_card": card,
            "starts_at": iso(self.start),
            "billing_period": period,
        }
        self.api("POST", "contracts", contract | dict(term.split("=", 1) for term in terms))
        self.note(f"{period} contract of {self.customer}")

    # --- what happens -------------------------------------------------------------------------------------------------

    def event(self, text: str) -> None:
        """`day 0 10:00 TYPE NAME=VALUE …`: the clock moves on to then, and the event is sent."""
        at, rest = self.moment(text)
        self.advance(at)
        self.send(at, rest)

    def do_late(self, rest: str) -> None:
        """`late day 0 10:00 TYPE …`: it happened then, and is sent only now."""
        at, rest = self.moment(rest)
        self.send(at, rest, late=True)

    def send(self, at: datetime, rest: str, *, late: bool = False) -> None:
        kind, *pairs = shlex.split(rest)
        data: dict[str, Any] = {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            try:
                data[name] = json.loads(value)
            except ValueError:
                data[name] = value  # a text need not be quoted
        self.sent += 1
        event = {"id": f"e{self.sent}", "type": kind, "customer": self.customer, "time": iso(at), "data": data}
        self.act("events", event)
        shown = " ".join(pairs)
        self.print(
            "→", f"e{self.sent} {kind}  {shown}" + (f"  (happened {self.day(at)}, arrives late)" if late else "")
        )

    def do_advance(self, rest: str) -> None:
        """`advance day 8`: whatever is due until then happens, in order."""
        self.advance(self.moment(rest)[0])
        self.print("⏩", f"the clock shows {self.now:%Y-%m-%d %H:%M}")

    def advance(self, to: datetime) -> None:
        if to != self.now or self.waits:
            self.api("POST", f"test_clocks/{self.clock}/advance", {"to": iso(to)})
            self.now, self.waits = to, False

    def act(self, path: str, body: dict[str, Any]) -> Any:
        """Post what happens, or what a person does."""
        self.waits = True
        return self.api("POST", path, body)

    def do_reverse(self, rest: str) -> None:
        """`reverse SUBJECT "reason"`: a person takes it back."""
        subject, reason = shlex.split(rest)
        self.act(f"outcomes/{self.outcome(subject)['id']}/reverse", {"reason": reason})
        self.print("☛", f"a person takes {subject} back: {reason}")

    def do_dispute(self, rest: str) -> None:
        """`dispute SUBJECT "reason"`."""
        subject, reason = shlex.split(rest)
        raised = self.act(f"outcomes/{self.outcome(subject)['id']}/dispute", {"reason": reason})
        self.open["dispute", subject] = raised["id"]
        self.print("☛", f"{subject} is disputed: {reason}")

    def do_uphold(self, rest: str) -> None:
        self.resolve(rest, "upheld")

    def do_reject(self, rest: str) -> None:
        self.resolve(rest, "rejected")

    def resolve(self, rest: str, decision: str) -> None:
        """`uphold SUBJECT "note"`, `reject SUBJECT "note"`: what becomes of its dispute."""
        subject, note = shlex.split(rest)
        dispute = self.open.pop(("dispute", subject))
        self.act(f"disputes/{dispute}/resolve", {"decision": decision, "note": note})
        self.print("☛", f"the dispute of {subject} is {decision}: {note}")

    def do_hold(self, rest: str) -> None:
        """`hold customer "reason"`, `hold SUBJECT "reason"`: nothing of it becomes final or is billed."""
        what, reason = shlex.split(rest)
        target = {"customer": self.customer} if what == "customer" else {"outcome": self.outcome(what)["id"]}
        self.open["hold", what] = self.act("holds", target | {"reason": reason})["id"]
        self.print("☛", f"a hold on {what}: {reason}")

    def do_release(self, rest: str) -> None:
        """`release customer`, `release SUBJECT`."""
        self.act(f"holds/{self.open.pop(('hold', rest))}/release", {})
        self.print("☛", f"the hold on {rest} is released")

    def do_accept(self, rest: str) -> None:
        """`accept SUBJECT "note"`: late evidence that waits for a person is to count."""
        self.late_evidence(rest, "accept")

    def do_ignore(self, rest: str) -> None:
        self.late_evidence(rest, "ignore")

    def late_evidence(self, rest: str, decision: str) -> None:
        subject, note = shlex.split(rest)
        outcome = self.outcome(subject)["id"]
        waiting = self.api.pages("late_evidence", customer=self.customer, status="waiting")
        found = next((late for late in waiting if late["outcome"] == outcome), None)
        if found is None:
            raise Unplayable(f"no late evidence about {subject} waits")
        self.act(f"late_evidence/{found['id']}/{decision}", {"note": note})
        self.print("☛", f"the late evidence about {subject} is to {'count' if decision == 'accept' else 'be left out'}")

    # --- what is expected ---------------------------------------------------------------------------------------------

    def do_expect(self, rest: str) -> None:
        """`expect SUBJECT STATE [until MOMENT | at MOMENT] [NAME=VALUE …]`, `expect nothing about SUBJECT`.

        `until` is the planned end of the window, `at` when it became final or ended. `SUBJECT#1` is the first attempt.
        """
        self.advance(self.now)  # whatever was sent is evaluated
        if rest.startswith("nothing about "):
            subject = rest.removeprefix("nothing about ")
            self.check(f"nothing comes of {subject}", [o["state"] for o in self.attempts(subject)], [])
            return
        wanted, when = self.split_moment(rest)
        subject, state, *pairs = shlex.split(wanted)
        outcome = self.outcome(subject)
        found: dict[str, Any] = {"state": outcome["state"]}
        expected: dict[str, Any] = {"state": state}
        if when is not None:
            word, at = when
            field = "settles_at" if word == "until" else "settled_at" if state == "confirmed" else "ended_at"
            found[field], expected[field] = outcome[field], iso(at)
        for pair in pairs:
            name, _, value = pair.partition("=")
            expected[name] = None if value == "unknown" else value
            found[name] = outcome[name] if name in ("quantity", "amount") else outcome["dimensions"].get(name)
        said = " ".join([state, *([f"{when[0]} {self.day(when[1])}"] if when else []), *pairs])
        self.check(f"{subject} is {said}", found, expected, why=outcome["id"])

    def do_invoice(self, rest: str) -> None:
        """`invoice 2026-03 issued 12.00`: the invoice of the period that begins in this month, its status, its total.
        The lines that follow say what stands on it.
        """
        month, status, total = shlex.split(rest)
        self.invoice = self.find_invoice(month)
        self.unseen = [] if self.invoice is None else [*self.invoice["lines"]]
        if self.invoice is None:
            return self.check(f"there is an invoice for {month}", None, f"{status} {total}")
        found = {"status": self.invoice["status"], "total": amount(self.invoice["total"])}
        shown = self.invoice["number"] or "a draft"
        return self.check(
            f"invoice {shown} for {month}: {status}, {total} {self.currency}",
            found | {"currency": self.invoice["currency"]},
            {"status": status, "total": amount(total), "currency": self.currency},
        )

    def do_line(self, rest: str) -> None:
        """`line 3 x "Incident resolved" at 2.00 = 6.00 [NAME=VALUE …] [voided=1] [reversed=1]`: one of that invoice."""
        quantity, _, title, _, price, _, total, *pairs = shlex.split(rest)
        given = dict(pair.split("=", 1) for pair in pairs)
        counts = {name: int(given.pop(name, 0)) for name in ("voided", "reversed")}
        expected = {"quantity": amount(quantity), "unit_price": amount(price), "amount": amount(total), **counts}
        candidates = [
            line for line in self.unseen if line["title"] == title and given.items() <= line["dimensions"].items()
        ]
        shown = [
            {name: amount(line[name]) for name in ("quantity", "unit_price", "amount")}
            | {name: line[f"{name}_count"] for name in counts}
            for line in candidates
        ]
        place = shown.index(expected) if expected in shown else 0
        if candidates:
            self.unseen.remove(candidates[place])
        self.check(f"  {rest}", shown[place] if shown else None, expected)

    def do_lines(self, rest: str) -> None:
        """`lines 2`: how many there are."""
        count = len(self.invoice["lines"]) if self.invoice is not None else 0
        self.check(f"  {rest} line{'' if rest == '1' else 's'}, no more", count, int(rest))

    def do_no(self, rest: str) -> None:
        """`no invoice 2026-04`."""
        month = rest.removeprefix("invoice ")
        found = self.find_invoice(month)
        self.check(f"no invoice for {month}", found and found["status"], None)

    def find_invoice(self, month: str) -> dict[str, Any] | None:
        self.advance(self.now)
        invoices = self.api.pages("invoices", customer=self.customer)
        return next((one for one in invoices if one["period_start"].startswith(month)), None)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def attempts(self, subject: str) -> list[Any]:
        """The outcomes about a subject, the first attempt first."""
        found = self.api.pages("outcomes", customer=self.customer, subject=subject)
        return [outcome for outcome in found if outcome["condition"] in self.conditions][::-1]

    def outcome(self, name: str) -> Any:
        """The latest attempt on a subject, or `SUBJECT#N`."""
        self.advance(self.now)
        subject, _, number = name.partition("#")
        attempts = self.attempts(subject)
        wanted = int(number) if number else len(attempts)
        if not 0 < wanted <= len(attempts):
            raise Unplayable(f"there is no outcome about {name}")
        return attempts[wanted - 1]

    def moment(self, text: str) -> tuple[datetime, str]:
        """The instant at the beginning of a text, and the rest."""
        found = re.match(MOMENT, text)
        if found is None:
            raise Unplayable(f"a moment such as `day 3 10:00` was expected in {text!r}")
        parts = {name: int(value or 0) for name, value in found.groupdict().items()}
        at = self.start + timedelta(
            days=parts["day"], hours=parts["hour"], minutes=parts["minute"], seconds=parts["second"]
        )
        return at, text[found.end() :].strip()

    def split_moment(self, text: str) -> tuple[str, tuple[str, datetime] | None]:
        found = re.search(rf" (until|at) ({MOMENT})", text)
        if found is None:
            return text, None
        at, _ = self.moment(found[2])
        return text[: found.start()] + text[found.end() :], (found[1], at)

    def day(self, at: datetime) -> str:
        since = at - self.start
        clock = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
        return f"day {since.days} {clock}"

    def check(self, said: str, found: Any, expected: Any, *, why: str | None = None) -> None:
        if found == expected:
            self.print("✓", said)
            return
        self.failed += 1
        self.print("✗", f"{said}\n{'':21}expected {plain(expected)}\n{'':21}found    {plain(found)}")
        if why is not None:
            self.note(self.api("GET", f"outcomes/{why}/explain")["summary"])

    def tell_why(self) -> None:
        for condition in self.conditions:
            for outcome in [*self.api.pages("outcomes", customer=self.customer, condition=condition)][::-1]:
                self.note(self.api("GET", f"outcomes/{quote(outcome['id'])}/explain")["summary"])

    def print(self, mark: str, text: str) -> None:
        print(f"  {self.day(self.now):<15} {mark}  {text}", flush=True)

    def note(self, text: str) -> None:
        margin = " " * 21
        print(textwrap.fill(text, 110, initial_indent=margin, subsequent_indent=margin), flush=True)


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def amount(text: str) -> Decimal:
    return Decimal(text)


def plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items())
    return "nothing" if value in (None, []) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description="Play stories against a Holdfast over its HTTP API.")
    parser.add_argument("stories", nargs="*", type=Path, help="files; left out: every story of this directory")
    parser.add_argument("--url", default=os.environ.get("HOLDFAST_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--key", default=os.environ.get("HOLDFAST_KEY"), help="an API key with the scope admin")
    parser.add_argument(
        "--explain", action="store_true", help="say at the end of each story why things came as they did"
    )
    given = parser.parse_args()
    if not given.key:
        parser.error("an API key is needed: --key, or HOLDFAST_KEY")
    api, failed = Api(given.url, given.key), []
    paths = given.stories or sorted(HERE.glob("*.story"))
    for path in paths:
        try:
            if Story(api, path, explain=given.explain).play():
                failed.append(path.name)
        except (Unplayable, OSError) as why:
            print(f"\n{why}", file=sys.stderr)
            return 2
    print(f"\n{len(paths) - len(failed)} of {len(paths)} stories came as they are told.")
    if failed:
        print(f"Not so: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
