"""`manage.py stripe`: the sync with Stripe, by hand (docs/stripe.md)."""

from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from access import ids
from access.errors import ApiError
from access.times import InvalidTime, parse_rfc3339
from contracts.models import Customer
from invoicing.models import Invoice
from payments import backlog, connections, operations, standing
from payments.client import key_for
from payments.errors import Later, Refused
from payments.models import Connection, Operation

BY = "manage.py stripe"
# A look at how far it is, so often.
ROUND_SECONDS = 1.0

Audience = Connection.Audience


class Command(BaseCommand):
    help = "Look at the sync with Stripe, connect accounts, work what is due, and decide on what is parked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

        def add(name: str, text: str) -> ArgumentParser:
            return commands.add_parser(name, help=text, description=text)

        add("status", "How the sync stands; exit status 1 where something is wrong.")
        _audiences(add("connect", "Connect the account of the key: from now on what is issued goes there."))
        add("sync", "Work until nothing is due; exit status 2 where something is parked.")
        push = add("push", "Have invoices go to Stripe that were issued before it was connected. Safe to repeat.")
        push.add_argument("invoices", nargs="*", metavar="INVOICE", help="number or id (inv_…)")
        push.add_argument("--since", metavar="DATE", help="those issued on or after this day, or RFC 3339 time (UTC)")
        push.add_argument("--customer", metavar="KEY", help="only this customer's")
        push.add_argument("--all", action="store_true", help="also those that are paid or given up")
        push.add_argument("--dry-run", action="store_true", help="show what would go there, and note nothing")
        retry = add("retry", "Have operations tried again at once.")
        retry.add_argument("operations", nargs="*", metavar="OPERATION", help="sop_…")
        retry.add_argument("--all", action="store_true", help="every parked one")
        skip = add("skip", "Give an operation up, so that the customer's next one goes on.")
        skip.add_argument("operation", metavar="OPERATION", help="sop_…")
        skip.add_argument("--reason", required=True, help="why; it is kept")
        _audiences(add("disconnect", "Note nothing further; what is open stays."), required=True)

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        self.console = Console(
            no_color=options["no_color"] or None,
            file=cast(IO[str], self.stdout),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        self.stdout.ending = ""  # rich ends its lines itself
        getattr(self, f"_{command}")(**options)

    def _say(self, text: str = "") -> None:
        self.console.print(text)

    # --- How it stands ------------------------------------------------------------------------------------------------

    def _status(self, **options: Any) -> None:
        report = standing.report(timezone.now(), ask=True)
        if report.is_off:
            self._say("Stripe is off: no key is set (HOLDFAST_STRIPE_KEY).")
            return
        for one in report.audiences:
            self._say(f"{Audience(one.audience).label} (--{one.audience})")
            for name, value in _rows(one):
                self._say(f"  {name:<17}{value}")
            self._say()
        self._say(f"Webhook secrets    {report.webhook_secrets or 'none'}")
        self._say(f"Events             {report.events_waiting:,} waiting, {report.events_failed:,} failed")
        of_each = [f"{Audience(one.audience).label}: {said}" for one in report.audiences for said in one.problems]
        problems = [*report.problems, *of_each]
        if problems:
            self._say("\nWrong:")
            for said in problems:
                self._say(f"- {said}")
            raise CommandError("Something is wrong with the sync.")

    # --- Connections --------------------------------------------------------------------------------------------------

    def _connect(self, audience: str | None, **options: Any) -> None:
        wanted = [audience] if audience else [one for one in Audience.values if key_for(one)]
        if not wanted:
            raise CommandError(connections.no_key(Audience.LIVE))
        for one in wanted:
            before = Connection.objects.filter(audience=one).first()
            try:
                made = connections.connect(one, timezone.now())
            except (Later, Refused) as problem:
                raise CommandError(str(problem)) from None
            verb = "are connected" if before is None else "were connected already"
            if before is not None and before.account != made.account:
                verb = f"are connected anew, before with {before.account},"
            mode = connections.mode_of(made.livemode)
            self._say(f"{Audience(one).label} {verb} with account {made.account} ({mode}).")
        self._say("What is issued from now on goes there. What was issued before: manage.py stripe push.")

    def _disconnect(self, audience: str, **options: Any) -> None:
        try:
            known = connections.disconnect(audience)
        except Refused as problem:
            raise CommandError(str(problem)) from None
        label = Audience(audience).label
        if known is None:
            raise CommandError(f"{label} are not connected.")
        left = Operation.objects.filter(standing.of_audience(audience), status__in=("waiting", "parked")).count()
        self._say(f"{label} are disconnected from account {known.account}: nothing further is noted.")
        if left:
            self._say(f"Still open: {left:,}. They go on when that account is connected again; or skip them.")

    # --- Work ---------------------------------------------------------------------------------------------------------

    def _sync(self, **options: Any) -> None:
        try:
            connections.connect_new(timezone.now())
        except (Later, Refused) as problem:
            raise CommandError(str(problem)) from None
        if not Connection.objects.exists():
            raise CommandError(f"Stripe is not connected. {connections.no_key(Audience.LIVE)}")
        done = 0
        columns = (SpinnerColumn(), TextColumn("syncing"), TextColumn("{task.completed:,} done"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("sync", total=None)
            while True:
                done += operations.sync_due(timezone.now(), seconds=ROUND_SECONDS)
                bar.update(task, completed=done)
                if not operations.is_due(timezone.now()):
                    break
        self._say(f"{_count(done, 'operation')} done.")
        waiting = Operation.objects.filter(status="waiting").order_by("id")
        if count := waiting.count():
            first = waiting.exclude(reason="").first()
            why = "" if first is None else f" {first.public_id}: {first.reason}"
            self._say(f"{_count(count, 'operation')} waiting, to be tried again later.{why}")
        parked = Operation.objects.filter(status="parked").select_related("customer", "invoice", "credit_note")
        for one in parked.order_by("id"):
            self._say(f"Parked {one.public_id} ({one}, {one.customer.key}): {one.reason}")
        if parked:
            raise CommandError(
                f"{_count(len(parked), 'operation')} parked: mend what the reason names, then manage.py stripe retry, "
                "or skip.",
                returncode=2,
            )

    def _push(
        self, invoices: list[str], since: str | None, customer: str | None, all: bool, dry_run: bool, **options: Any
    ) -> None:
        if bool(invoices) == bool(since or customer):
            raise CommandError("Say which: INVOICE …, or --since DATE, --customer KEY or both.")
        if customer is not None and not Customer.objects.filter(key=customer).exists():
            raise CommandError(f"There is no customer {customer!r}.")
        try:
            wanted: Sequence[Any] = [backlog.find(name).pk for name in dict.fromkeys(invoices)]
        except ApiError as problem:
            raise CommandError(problem.message) from None
        if not invoices:
            start = None if since is None else _instant(since)
            found = backlog.issued(since=start, customer=customer, closed=all)
            wanted = list(found.values_list("pk", flat=True))
        answers = backlog.note_down(wanted, closed=all, now=timezone.now(), dry_run=dry_run)
        for answer in answers:
            if not answer.noted:
                self._say(f"Left {_named(answer.invoice)}: {answer.left}.")
        noted = sum(answer.noted for answer in answers)
        verb = "would be noted" if dry_run else "noted"
        self._say(f"{_count(noted, 'invoice')} {verb}, {len(answers) - noted:,} left.")
        if invoices and noted < len(answers):
            raise CommandError("Not every invoice that was named goes to Stripe.")

    # --- Decisions ----------------------------------------------------------------------------------------------------

    def _retry(self, all: bool, **options: Any) -> None:
        names: list[str] = options["operations"]
        if bool(names) == all:
            raise CommandError("Say which: OPERATION …, or --all for every parked one.")
        parked = Operation.objects.filter(status="parked").order_by("id")
        wanted = list(parked) if all else [_operation(name) for name in names]
        for one in wanted:
            try:
                operations.retry(one.pk, now=timezone.now(), by=BY)
            except ApiError as problem:
                raise CommandError(f"{one.public_id}: {problem.message}") from None
            self._say(f"{one.public_id} ({one}) is tried again.")
        if not wanted:
            self._say("Nothing is parked.")

    def _skip(self, operation: str, reason: str, **options: Any) -> None:
        if not reason.strip():
            raise CommandError("--reason must say why.")
        found = _operation(operation)
        try:
            operations.skip(found.pk, reason=reason.strip(), now=timezone.now(), by=BY)
        except ApiError as problem:
            raise CommandError(problem.message) from None
        self._say(f"{found.public_id} ({found}) is skipped.")


def _audiences(parser: ArgumentParser, *, required: bool = False) -> None:
    which = parser.add_mutually_exclusive_group(required=required)
    for audience, text in ((Audience.LIVE, "customers"), (Audience.TEST, "test customers: those with a test clock")):
        which.add_argument(f"--{audience}", dest="audience", action="store_const", const=audience.value, help=text)


def _rows(one: standing.Standing) -> list[tuple[str, str]]:
    connection, error = one.connection, one.last_error
    rows = [("Key", one.key or "none")]
    if connection is None:
        rows.append(("Account", "not connected" + (" yet: manage.py stripe connect" if one.key else "")))
    else:
        rows.append(("Account", f"{connection.account} ({connections.mode_of(connection.livemode)})"))
        rows.append(("Connected since", _minute(connection.connected_at)))
    oldest = f", the oldest since {_minute(one.oldest_at)}" if one.oldest_at else ""
    rows.append(("Operations", f"{one.waiting:,} waiting, {one.parked:,} parked{oldest}"))
    if one.mismatches:
        rows.append(("Mismatches", f"{one.mismatches:,}"))
    if error is not None:
        rows.append(("Last error", f"{error.public_id}: {error.reason}"))
    return rows


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _named(invoice: Invoice) -> str:
    return invoice.number or ids.encode(backlog.INVOICE_PREFIX, invoice.pk)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _operation(name: str) -> Operation:
    try:
        found = Operation.objects.filter(uid=ids.decode(Operation.PREFIX, name)).first()
    except ValueError as error:
        raise CommandError(f"There is no operation {name}: {error}.") from None
    if found is None:
        raise CommandError(f"There is no operation {name}.")
    return found


def _instant(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        pass
    try:
        return parse_rfc3339(text)
    except InvalidTime as error:
        raise CommandError(f"--since: give a day (2026-03-01) or an RFC 3339 time: {error}") from None
