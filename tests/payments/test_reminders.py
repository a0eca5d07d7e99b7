"""Overdue invoices are reminded of: once each step, in time, never while something is disputed, and then given up."""

import smtplib
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.core import mail as outbox
from django.db import connections, transaction

from access.errors import ApiError
from contracts.clocks import create_clock
from contracts.models import Customer
from invoicing import billing, one_off
from invoicing.contested import contested
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice, LineOutcome
from invoicing.one_off import ItemFields, OneOffFields
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.queries import invoice_json
from invoicing.void import void
from payments import dunning, mails
from payments.models import Dunning, DunningMail, Operation, StripeInvoice
from settlement import disputes, holds
from settlement.domain.disputes import REJECTED
from settlement.holds import Target
from tests.invoicing.conftest import World

MARCH_1 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def mailing(settings: Any) -> None:
    settings.DUNNING_MAILS = True
    settings.DEFAULT_FROM_EMAIL = "Example Ltd <billing@example.com>"


class Office:
    """A customer, its invoice due on day 0, and a clock."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.invoice = issue(customer)
        self.now = MARCH_1

    def on(self, day: float) -> list[str]:
        """See to what is due on a day after the due date; the subjects of what was sent."""
        self.now = MARCH_1 + day * DAY
        before = len(outbox.outbox)
        dunning.see_to_unpaid(self.now)
        mails.send_due(self.now)
        return [one.subject for one in outbox.outbox[before:]]

    @property
    def dunning(self) -> Dunning:
        return Dunning.objects.get(invoice=self.invoice)

    @property
    def status(self) -> str:
        return Invoice.objects.get(pk=self.invoice.pk).status


def issue(customer: Customer, amount: str = "100.00", **fields: Any) -> Invoice:
    lines = (ItemFields("Item", amount=Decimal(amount)),)
    given = OneOffFields(customer=customer.key, lines=lines, issue=True, net_days=0, **fields)
    return one_off.write(given, now=MARCH_1)


@pytest.fixture
def acme(world: World) -> Customer:
    return world.customer(email="ap@acme.example")


@pytest.fixture
def office(acme: Customer) -> Office:
    return Office(acme)


FIRST = "Reminder: invoice HF-000001 is due"
AGAIN = "Another reminder: invoice HF-000001 is not paid yet"
LAST = "Last reminder: invoice HF-000001 is not paid yet"


# --- The schedule -----------------------------------------------------------------------------------------------------


def test_from_the_due_date_to_the_end(office: Office) -> None:
    told = {day: office.on(day) for day in (0, 1, 2.99, 3, 3.01, 6.99, 7, 8, 13.99, 14, 15, 27.99)}
    assert {day: subjects for day, subjects in told.items() if subjects} == {3: [FIRST], 7: [AGAIN], 14: [LAST]}
    assert office.status == "issued"
    assert office.on(28) == []
    assert (office.status, office.dunning.ended_because) == ("uncollectible", "given_up")
    assert office.on(400) == []
    assert DunningMail.objects.filter(status="sent").count() == 3


def test_it_may_be_left_as_it_is(office: Office, settings: Any) -> None:
    settings.DUNNING_END = "leave"
    for day in (1, 3, 7, 14, 28, 60):
        office.on(day)
    assert (office.status, office.dunning.ended_because) == ("issued", "left")


def test_other_days(office: Office, settings: Any) -> None:
    settings.DUNNING_REMINDER_DAYS, settings.DUNNING_END_DAYS = (0, 30), (1,)
    assert [office.on(day) for day in (0.01, 29, 30.02, 31, 31.03)] == [[FIRST], [], [LAST], [], []]
    assert office.status == "uncollectible"


def test_a_worker_that_was_away_makes_nothing_up_in_a_burst(office: Office) -> None:
    office.on(1)
    assert [office.on(day) for day in (13, 13.01, 16.99, 17, 23.99, 24)] == [[FIRST], [], [], [AGAIN], [], [LAST]]


def test_schedules_that_are_switched_off_give_nobody_up(office: Office, settings: Any) -> None:
    office.on(3)
    settings.DUNNING_REMINDER_DAYS = ()
    office.on(90)
    assert (office.status, office.dunning.ended_because) == ("issued", "left")


# --- Whom it is for ---------------------------------------------------------------------------------------------------


def test_nobody_is_surprised(office: Office, world: World, settings: Any) -> None:
    """Not without mails, not for what is overdue for long, not without an address, and no test customer."""
    settings.DUNNING_MAILS = False
    office.on(5)
    assert not Dunning.objects.exists()
    settings.DUNNING_MAILS = True
    office.on(14.01)
    assert not Dunning.objects.exists()
    Customer.objects.filter(pk=office.customer.pk).update(email="")
    office.on(5)
    assert not Dunning.objects.exists()
    clock = create_clock(now=MARCH_1, wall=MARCH_1)
    issue(world.customer("tester", test_clock=clock, email="t@tester.example"))
    office.on(5)
    assert (Dunning.objects.count(), outbox.outbox) == (0, [])


def test_nobody_is_reminded_of_what_stripe_has_not_sent(office: Office) -> None:
    waiting = Operation.objects.create(
        kind="invoice", customer=office.customer, invoice=office.invoice, created_at=MARCH_1, status="parked"
    )
    assert office.on(5) == []
    waiting.status, waiting.finished_at = "done", office.now
    waiting.save()
    assert office.on(6) == [FIRST]


@pytest.mark.parametrize(("method", "sent"), [("charge_automatically", []), ("send_invoice", [FIRST])])
def test_what_is_charged_by_itself_is_not_reminded_of(office: Office, method: str, sent: list[str]) -> None:
    StripeInvoice.objects.create(
        invoice=office.invoice, account="acct_1", livemode=False, stripe_id="in_1", status="open",
        collection_method=method, seen_at=MARCH_1,
    )  # fmt: skip
    assert office.on(5) == sent


# --- How it ends by itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "because"),
    [
        (lambda invoice, now: mark_paid(invoice.pk, now=now), "paid"),
        (lambda invoice, now: void(invoice.pk, now=now), "void"),
        (lambda invoice, now: mark_uncollectible(invoice.pk, now=now), "uncollectible"),
        (lambda invoice, now: goodwill(Goodwill(invoice.pk, "Sorry.", Decimal("100.00")), by="anna", now=now), "paid"),
    ],
)
def test_it_ends_by_itself(office: Office, what: Callable[[Invoice, datetime], Any], because: str) -> None:
    office.on(3)
    what(office.invoice, office.now)
    assert office.on(7) == []
    assert (office.dunning.ended_because, office.dunning.ended_at) == (because, office.now)


def test_a_mail_that_is_overtaken_is_not_sent(office: Office) -> None:
    """Paid after the mail was decided and before it left."""
    office.on(1)
    dunning.see_to_unpaid(MARCH_1 + 3 * DAY)
    mark_paid(office.invoice.pk, now=MARCH_1 + 3 * DAY)
    assert office.on(3) == []
    found = DunningMail.objects.get()
    assert (found.status, found.reason) == ("dropped", "It was paid")


def test_it_says_what_is_owed_when_it_leaves(office: Office) -> None:
    office.on(1)
    dunning.see_to_unpaid(MARCH_1 + 3 * DAY)
    goodwill(Goodwill(office.invoice.pk, "Sorry.", Decimal("40.00")), by="anna", now=MARCH_1 + 3 * DAY)
    assert office.on(3) == [FIRST]
    assert "Amount due: US$60.00" in DunningMail.objects.get().body


# --- How it pauses ----------------------------------------------------------------------------------------------------


@pytest.fixture
def billed(world: World, acme: Customer) -> Office:
    """An invoice of outcomes, due on 1 March."""
    world.contract(acme, net_days=0)
    world.outcomes(acme, 2, datetime(2026, 2, 10, tzinfo=UTC))
    billing.run(now=MARCH_1)
    office = Office.__new__(Office)
    office.customer, office.invoice, office.now = acme, Invoice.objects.get(), MARCH_1
    assert office.invoice.due_at == MARCH_1
    return office


def _disputed(outcome: Any, now: datetime) -> Callable[[datetime], Any]:
    made = disputes.raise_dispute(outcome.pk, reason="No.", by="them", now=now)
    return lambda later: disputes.resolve(made.pk, REJECTED, note="It was.", by="anna", now=later)


def _withdrawn(outcome: Any, now: datetime) -> Callable[[datetime], Any]:
    made = disputes.raise_dispute(outcome.pk, reason="No.", by="them", now=now)
    return lambda later: disputes.withdraw(made.pk, by="them", now=later)


def _held(target: Callable[[Any], Target]) -> Callable[[Any, datetime], Callable[[datetime], Any]]:
    def place(outcome: Any, now: datetime) -> Callable[[datetime], Any]:
        made = holds.place(target(outcome), reason="Looking.", by="anna", now=now)
        return lambda later: holds.release(made.pk, by="anna", now=later)

    return place


@pytest.mark.parametrize(
    ("keep", "because"),
    [
        (_disputed, "dispute"),
        (_withdrawn, "dispute"),
        (_held(lambda outcome: Target(outcome=outcome.pk)), "hold"),
        (_held(lambda outcome: Target(customer=outcome.customer.key)), "hold"),
        (_held(lambda outcome: Target(condition=outcome.condition.slug)), "hold"),
    ],
)
def test_it_stands_still_and_goes_on_where_it_stopped(billed: Office, keep: Any, because: str) -> None:
    outcome = LineOutcome.objects.first().outcome
    assert billed.on(3) == [FIRST]
    let_go = keep(outcome, billed.now)
    assert billed.on(4) == []
    assert (billed.dunning.status, billed.dunning.paused_because) == ("paused", because)
    assert contested([billed.invoice.pk]) == {billed.invoice.pk: because}
    # Long after the second reminder and the end would have been due.
    assert [billed.on(day) for day in (7, 14, 28, 40)] == [[], [], [], []]
    let_go(billed.now)
    # Three days were left on day 4, when it paused.
    assert [billed.on(day) for day in (40, 42.99, 43, 49.99, 50)] == [[], [], [AGAIN], [], [LAST]]
    assert billed.status == "issued"
    billed.on(64)
    assert billed.status == "uncollectible"


def test_disputed_between_the_decision_and_the_mail(billed: Office) -> None:
    billed.on(1)
    dunning.see_to_unpaid(MARCH_1 + 3 * DAY)
    dispute = disputes.raise_dispute(LineOutcome.objects.first().outcome_id, reason="No.", by="them", now=billed.now)
    assert mails.send_due(MARCH_1 + 3 * DAY) == 0
    assert (DunningMail.objects.get().status, outbox.outbox) == ("waiting", [])
    billed.on(5)
    disputes.withdraw(dispute.pk, by="them", now=MARCH_1 + 6 * DAY)
    assert billed.on(6.1) == [FIRST]
    # The reader has all four days until the next one.
    assert [billed.on(day) for day in (10, 10.2)] == [[], [AGAIN]]


def test_of_other_invoices_nothing_is_contested(world: World, billed: Office) -> None:
    other = issue(world.customer("beta", email="b@beta.example"))
    disputes.raise_dispute(LineOutcome.objects.first().outcome_id, reason="No.", by="them", now=billed.now)
    assert contested([other.pk]) == {}
    assert contested([other.pk, billed.invoice.pk]) == {billed.invoice.pk: "dispute"}
    assert contested([]) == {}


def test_without_an_address_it_waits(office: Office) -> None:
    office.on(3)
    Customer.objects.filter(pk=office.customer.pk).update(email="")
    assert office.on(6) == []
    assert office.dunning.paused_because == "no_email"
    Customer.objects.filter(pk=office.customer.pk).update(email="new@acme.example")
    assert [office.on(day) for day in (50, 50.9, 51)] == [[], [], [AGAIN]]
    assert outbox.outbox[-1].to == ["new@acme.example"]


def test_without_a_mail_server_nobody_is_given_up(office: Office, settings: Any) -> None:
    office.on(3)
    settings.DUNNING_MAILS = False
    office.on(100)
    assert (office.dunning.paused_because, office.status) == ("mails_off", "issued")


def test_people_pause_resume_and_stop(office: Office) -> None:
    office.on(3)
    chosen = {"by": "anna", "now": office.now}
    dunning.pause(office.dunning.pk, reason="They called.", **chosen)
    assert office.on(9) == []
    with pytest.raises(ApiError, match="paused already"):
        dunning.pause(office.dunning.pk, reason="Again.", **chosen)
    dunning.resume(office.dunning.pk, reason="No money came.", by="ben", now=office.now)
    assert (office.dunning.reason, office.dunning.decided_by) == ("No money came.", "ben")
    assert [office.on(day) for day in (12.9, 13)] == [[], [AGAIN]]
    with pytest.raises(ApiError, match="No person paused it; it goes on"):
        dunning.resume(office.dunning.pk, reason="", **chosen)
    dunning.stop(office.dunning.pk, reason="A friend.", **chosen)
    assert [office.on(day) for day in (20, 40, 80)] == [[], [], []]
    assert (office.status, office.dunning.ended_because) == ("issued", "stopped")
    for act in (dunning.pause, dunning.resume, dunning.stop):
        with pytest.raises(ApiError, match="is over: A person stopped it"):
            act(office.dunning.pk, reason="", **chosen)


def test_what_a_person_paused_no_dispute_resumes(billed: Office) -> None:
    billed.on(3)
    dunning.pause(billed.dunning.pk, reason="Wait.", by="anna", now=billed.now)
    dispute = disputes.raise_dispute(LineOutcome.objects.first().outcome_id, reason="No.", by="them", now=billed.now)
    billed.on(4)
    disputes.withdraw(dispute.pk, by="them", now=billed.now)
    assert billed.on(30) == []
    assert billed.dunning.paused_because == "person"


# --- Told -------------------------------------------------------------------------------------------------------------


def test_what_the_api_shows(office: Office) -> None:
    assert invoice_json(office.invoice, now=MARCH_1)["payment"] is None
    office.on(3)
    assert invoice_json(office.invoice, now=MARCH_1)["payment"] == {
        "hosted_url": None,
        "last_failure": None,
        "dunning": {
            "kind": "reminder",
            "status": "running",
            "step": 1,
            "next_at": "2026-03-08T09:00:00Z",
            "paused_because": None,
            "ended_because": None,
            "started_at": "2026-03-04T09:00:00Z",
            "ended_at": None,
        },
    }


def test_it_is_over_at_once_for_the_api(office: Office) -> None:
    """Whoever is told that an invoice is paid is not told that it is still pressed for."""
    office.on(3)
    dunning.pause(office.dunning.pk, reason="Wait.", by="anna", now=office.now)
    mark_paid(office.invoice.pk, now=office.now)
    shown = invoice_json(Invoice.objects.get(), now=office.now)["payment"]["dunning"]
    assert (shown["status"], shown["ended_because"], shown["paused_because"]) == ("ended", "paid", None)
    assert (shown["next_at"], shown["ended_at"]) == (None, None)
    office.on(3.1)
    assert invoice_json(Invoice.objects.get(), now=office.now)["payment"]["dunning"]["ended_at"] is not None


# --- Mail servers -----------------------------------------------------------------------------------------------------


class Server(socketserver.ThreadingTCPServer):
    """An SMTP server on loopback that takes mails, or answers ``refusals[command]`` in place of 250."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.received: list[tuple[str, EmailMessage]] = []
        self.refusals: dict[str, str] = {}
        self.hang_up_after_data = False


class Session(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.say("220 test")
        to = ""
        while line := self.rfile.readline().decode("ascii"):
            command = line.split()[0].upper()
            if command == "RCPT":
                to = line.partition("<")[2].partition(">")[0]
            if command == "QUIT":
                self.say("221 bye")
                return
            if command == "DATA" and command not in self.server.refusals:
                self.say("354 go on")
                data = b""
                while (row := self.rfile.readline()) != b".\r\n":
                    data += row[1:] if row.startswith(b"..") else row
                self.server.received.append((to, message_from_bytes(data, policy=policy.default)))  # type: ignore[arg-type]
                if self.server.hang_up_after_data:
                    return
                self.say("250 taken")
            else:
                self.say(self.server.refusals.get(command, "250 ok"))

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def smtp(settings: Any) -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address[:2]
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield server
        server.shutdown()


def test_over_smtp(office: Office, smtp: Server) -> None:
    office.on(3)
    [(to, found)] = smtp.received
    assert (to, found["To"], found["From"]) == (
        "ap@acme.example",
        "ap@acme.example",
        "Example Ltd <billing@example.com>",
    )
    assert (found["Subject"], found["Auto-Submitted"], found["Content-Language"]) == (FIRST, "auto-generated", "en")
    sent = DunningMail.objects.get()
    assert found["Message-ID"] == sent.message_id
    assert sent.message_id.endswith(".1@example.com>")
    text, html = found.get_body(("plain",)), found.get_body(("html",))
    assert text is not None and html is not None
    assert text.get_content().replace("\r\n", "\n").strip() == sent.body.strip()
    assert "<strong" not in html.get_content() and "Amount due" in html.get_content()
    [pdf] = found.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content()[:5]) == ("HF-000001.pdf", b"%PDF-")


def test_a_server_that_is_away_puts_nothing_off(office: Office, settings: Any) -> None:
    office.on(1)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", 9, False
    for day in (3, 7, 14, 28, 60):
        office.on(day)
    assert DunningMail.objects.get().attempts == 0
    # Nobody is given up who was not told.
    assert (office.status, office.dunning.step) == ("issued", 1)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert [office.on(day) for day in (61, 64.9, 65.1)] == [[FIRST], [], [AGAIN]]


def test_a_refusal_for_now_is_tried_again(office: Office, smtp: Server) -> None:
    smtp.refusals["RCPT"] = "451 later"
    office.on(3)
    found = DunningMail.objects.get()
    assert (found.status, found.attempts, found.reason) == ("waiting", 1, "The mail server: 451 b'later'")
    assert found.next_attempt_at - office.now < timedelta(minutes=2)
    smtp.refusals.clear()
    office.on(3.1)
    assert (DunningMail.objects.get().status, len(smtp.received)) == ("sent", 1)


def test_a_refusal_for_good_pauses_until_a_person_looks(office: Office, smtp: Server) -> None:
    smtp.refusals["RCPT"] = "550 no such user"
    for day in (3, 7, 60):
        office.on(day)
    assert (DunningMail.objects.get().status, office.dunning.paused_because) == ("failed", "mail_failed")
    assert office.status == "issued"
    smtp.refusals.clear()
    dunning.resume(office.dunning.pk, reason="Mended.", by="anna", now=office.now)
    office.on(61)
    assert (DunningMail.objects.get().status, len(smtp.received)) == ("sent", 1)


def test_nine_refusals_are_enough(office: Office, smtp: Server) -> None:
    smtp.refusals["RCPT"] = "451 later"
    for day in range(3, 30):
        office.on(day)
    found = DunningMail.objects.get()
    assert (found.status, found.attempts) == ("failed", 9)
    assert found.reason == "After 9 attempts. The mail server: 451 b'later'"


def test_one_bad_address_costs_nobody_else_anything(world: World, office: Office, smtp: Server) -> None:
    bad = issue(world.customer("bad", email="a@b@c"))
    fine = issue(world.customer("fine", email="f@fine.example"))
    office.on(3)
    assert {to for to, _ in smtp.received} == {"ap@acme.example", "f@fine.example"}
    assert DunningMail.objects.get(dunning__invoice=bad).reason == "'a@b@c' is no address."
    assert DunningMail.objects.get(dunning__invoice=fine).status == "sent"


def test_a_server_that_hangs_up_may_get_it_twice_and_never_not(office: Office, smtp: Server) -> None:
    """It took the mail and said nothing: nobody knows, so it comes again, under the same Message-ID."""
    smtp.hang_up_after_data = True
    office.on(3)
    assert DunningMail.objects.get().status == "waiting"
    smtp.hang_up_after_data = False
    office.on(3.1)
    assert len({found["Message-ID"] for _, found in smtp.received}) == 1
    assert (len(smtp.received), DunningMail.objects.get().status) == (2, "sent")


def test_a_crash_after_sending(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.on(1)
    dunning.see_to_unpaid(MARCH_1 + 3 * DAY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mails, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        mails.send_due(MARCH_1 + 3 * DAY)
    assert len(outbox.outbox) == 1
    assert mails.send_due(MARCH_1 + 3 * DAY + timedelta(minutes=9)) == 0
    assert mails.send_due(MARCH_1 + 3 * DAY + timedelta(minutes=11)) == 1
    assert len({one.extra_headers["Message-ID"] for one in outbox.outbox}) == 1


@pytest.mark.parametrize(
    "name", ["Acme\r\nBcc: all@acme.example", "Acme\nX-Evil: 1", "A\x1bb", "<script>alert(1)</script>"]
)
def test_headers_and_html_are_safe(office: Office, smtp: Server, settings: Any, name: str) -> None:
    Customer.objects.filter(pk=office.customer.pk).update(name=name)
    settings.SELLER = settings.SELLER | {"name": name, "address": "1 Road\n<b>Town</b>"}
    office.on(3)
    [(to, found)] = smtp.received
    assert (to, found["Bcc"], found["X-Evil"]) == ("ap@acme.example", None, None)
    html = found.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content() and "<b>" not in html.get_content()


# --- Two workers ------------------------------------------------------------------------------------------------------


def together(work: Callable[[], Any], count: int = 4) -> None:
    """So many workers do the same at the same moment; none of them may fail."""
    start, problems = threading.Barrier(count), []

    def one() -> None:
        try:
            start.wait()
            work()
        except Exception as error:  # noqa: BLE001
            problems.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_two_workers_make_one_step_and_send_one_mail(committed_world: World) -> None:
    office = Office(committed_world.customer(email="ap@acme.example"))
    at = MARCH_1 + 3 * DAY
    dunning.begin_reminders(MARCH_1 + DAY)

    together(lambda: dunning.see_to_unpaid(at))
    assert (office.dunning.step, DunningMail.objects.count()) == (1, 1)
    together(lambda: mails.send_due(at))
    assert len(outbox.outbox) == 1
    together(lambda: dunning.begin_reminders(at))
    assert Dunning.objects.count() == 1


def test_a_dispute_and_a_step_at_once(committed_world: World) -> None:
    """Once raising the dispute has returned no reminder is decided."""
    acme = committed_world.customer(email="ap@acme.example")
    committed_world.contract(acme, net_days=0)
    committed_world.outcome(acme, datetime(2026, 2, 10, tzinfo=UTC))
    billing.run(now=MARCH_1)
    dunning.begin_reminders(MARCH_1 + DAY)
    outcome = LineOutcome.objects.get().outcome_id
    found = Dunning.objects.get()
    stepped = threading.Event()

    def step() -> None:
        try:
            dunning.attend(found.pk, MARCH_1 + 3 * DAY)
            stepped.set()
        finally:
            connections.close_all()

    with transaction.atomic():
        disputes.raise_dispute(outcome, reason="No.", by="them", now=MARCH_1)
        other = threading.Thread(target=step)
        other.start()
        assert not stepped.wait(0.3), "it waits for the customer's row"
    other.join()
    assert (Dunning.objects.get().paused_because, DunningMail.objects.count()) == ("dispute", 0)


def test_smtp_exceptions_that_are_final() -> None:
    refused = smtplib.SMTPRecipientsRefused
    assert mails._is_final(refused({"a": (550, b"no")}))
    assert not mails._is_final(refused({"a": (450, b"later")}))
    assert mails._is_final(smtplib.SMTPDataError(554, b"spam"))
    assert not mails._is_final(smtplib.SMTPDataError(451, b"later"))
    assert not mails._is_final(smtplib.SMTPSenderRefused(550, b"not you", "b@example.com"))
