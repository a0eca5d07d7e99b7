"""The server's own truth about money, worked out from its journal with arithmetic of its own: what Holdfast's books are
held against. `Books.check` holds the answered objects against it.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from tests.stripe_server.world import Object, World


@dataclass
class InvoiceBook:
    """One invoice in minor units of `currency`. `total` with tax; `paid` in Stripe or outside; `credited` by credit
    notes, before (`credited_before`) and after payment; `remaining` is what is still to be paid; `applied` is what the
    customer's balance changed of it, and `refunded` what went back of the payment.
    """

    id: str
    customer: str
    currency: str
    metadata: dict[str, str]
    status: str = "draft"
    total: int = 0
    applied: int = 0
    paid: int = 0
    refunded: int = 0
    credited: int = 0
    credited_before: int = 0

    @property
    def remaining(self) -> int:
        return self.total + self.applied - self.credited_before - self.paid if self.status != "void" else 0


def _half_up(number: Fraction) -> int:
    """To the integer, half away from zero."""
    sign = -1 if number < 0 else 1
    return sign * int(abs(number) + Fraction(1, 2))


def _with_tax(amount: int, rates: list[tuple[float, bool]]) -> int:
    """A line with what tax adds to it."""
    inside = sum((Fraction(str(percentage)) for percentage, inclusive in rates if inclusive), Fraction(0))
    contained = sum(
        _half_up(amount * Fraction(str(percentage)) / (100 + inside)) for percentage, inclusive in rates if inclusive
    )
    added = sum(
        _half_up((amount - contained) * Fraction(str(percentage)) / 100)
        for percentage, inclusive in rates
        if not inclusive
    )
    return amount + added


class Books:
    """`invoices` by id, drafts too; `balances` by (customer, currency); `meters` by (event name, customer)."""

    def __init__(self, world: World) -> None:
        with world.lock:
            self._world = world
            self.invoices: dict[str, InvoiceBook] = {}
            self.balances: dict[tuple[str, str], int] = defaultdict(int)
            for obj in world.by_kind["invoice"].values():
                book = InvoiceBook(obj["id"], obj["customer"], obj["currency"], dict(obj["metadata"]))
                if obj["status"] == "draft":
                    rates = {line["id"]: self._rates(obj, line) for line in world.lines[obj["id"]]}
                    book.total = sum(_with_tax(line["amount"], rates[line["id"]]) for line in world.lines[obj["id"]])
                self.invoices[obj["id"]] = book
            for what, invoice_id, details in world.journal:
                if what == "balance":
                    self.balances[details["customer"], details["currency"]] += details["amount"]
                else:
                    self._enter(self.invoices[invoice_id], what, details)
            self.meters = self._meters()

    def _rates(self, invoice: Object, line: Object) -> list[tuple[float, bool]]:
        if invoice["customer_tax_exempt"] != "none":
            return []
        item = self._world.by_kind["invoiceitem"][line["parent"]["invoice_item_details"]["invoice_item"]]
        return [(rate["percentage"], rate["inclusive"]) for rate in item["tax_rates"] or invoice["default_tax_rates"]]

    @staticmethod
    def _enter(book: InvoiceBook, what: str, details: Object) -> None:
        if what == "finalized":
            book.total = sum(_with_tax(amount, rates if details["taxed"] else []) for amount, rates in details["lines"])
            book.applied = details["starting"] - details["ending"]
            book.status = "open"
        elif what == "paid":
            book.paid += details["amount"]
        elif what == "refunded":
            book.refunded += details["amount"]
        elif what == "credited":
            book.credited += details["pre"] + details["post"]
            book.credited_before += details["pre"]
        elif what == "voided":
            book.status = "void"
        elif what == "marked_uncollectible":
            book.status = "uncollectible"
        if book.status in ("open", "uncollectible") and book.remaining == 0:
            book.status = "paid"

    def _meters(self) -> dict[tuple[str, str], Decimal]:
        """What the events of each known meter add up to by customer; what names an unknown one counts nowhere."""
        sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        meters = {meter["event_name"]: meter for meter in self._world.by_kind["billing.meter"].values()}
        for event in self._world.by_kind["billing.meter_event"].values():
            meter = meters.get(event["event_name"])
            if meter is None:
                continue
            customer = event["payload"].get(meter["customer_mapping"]["event_payload_key"])
            try:
                value = Decimal(event["payload"].get(meter["value_settings"]["event_payload_key"], ""))
            except InvalidOperation:
                continue
            if customer in self._world.by_kind["customer"]:
                counting = meter["default_aggregation"]["formula"]
                key = (event["event_name"], customer)
                sums[key] = value if counting == "last" else sums[key] + (1 if counting == "count" else value)
        return dict(sums)

    def by_metadata(self, key: str) -> dict[str, list[InvoiceBook]]:
        """The invoices that bear `key`, by its value: two of one value are one too many, unless one is void."""
        found: dict[str, list[InvoiceBook]] = defaultdict(list)
        for book in self.invoices.values():
            if key in book.metadata:
                found[book.metadata[key]].append(book)
        return dict(found)

    def check(self) -> list[str]:
        """Where the objects, as they are answered, say other than the journal: nothing, unless this server is wrong."""
        wrong = []
        with self._world.lock:
            for id, book in self.invoices.items():
                obj = self._world.by_kind["invoice"][id]
                pairs = {
                    "status": (obj["status"], book.status),
                    "total": (obj["total"], book.total),
                    "amount_paid": (obj["amount_paid"], book.paid),
                    "credited": (
                        obj["pre_payment_credit_notes_amount"] + obj["post_payment_credit_notes_amount"],
                        book.credited,
                    ),
                }
                if book.status not in ("draft", "void"):
                    pairs["amount_remaining"] = (obj["amount_remaining"], book.remaining)
                    pairs["amount_due"] = (obj["amount_due"], book.remaining + book.paid)
                wrong += [f"{id}.{name}: {said} for {known}" for name, (said, known) in pairs.items() if said != known]
            for (customer, currency), amount in self.balances.items():
                if customer in self._world.by_kind["customer"] and self._world.balances[customer][currency] != amount:
                    wrong.append(
                        f"{customer}: balance {self._world.balances[customer][currency]} for {amount} {currency}"
                    )
        return wrong
