"""Random contracts with everything that may befall them, and what their periods come to by another route.

`owed` knows only the outcomes as the test made them, the terms (`contracts.terms`) and rating (`contracts.domain`):
nothing of invoicing. It walks a contract's periods from the first on.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

from contracts import terms
from contracts.domain import rating
from contracts.domain.rating import Charge, Drawn, Settled, Usage
from contracts.models import TaxRate
from contracts.period_terms import period_terms
from invoicing import credit_notes
from invoicing.domain.tax import taxed
from invoicing.models import CreditNote, Invoice, InvoiceLine, LineOutcome, LineReversal
from invoicing.taxes import recorded
from invoicing.void import void
from outcomes.models import Outcome
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.deals import Deal, at, condition, per_unit, tier

START, END = at("2026-02-01"), at("2026-06-01")
MONTHS = ("02", "03", "04", "05")

PRICES: list[dict[str, Any]] = [
    per_unit("0.335"),
    per_unit("1.5") | {"included": Decimal(3)},
    per_unit("2") | {"pool": "free"},
    per_unit("0.7") | {"pool": "free", "period_maximum": Decimal(8)},
    {"model": "graduated", "tiers": [tier("4", unit_price="3"), tier(None, unit_price="1.25", flat_fee="2")]},
    {"model": "graduated", "tiers": [tier("6", unit_price="1"), tier(None, unit_price="4")], "pool": "free"},
    {"model": "package", "unit_price": Decimal(5), "package_size": Decimal(4)},
    {"model": "percentage", "percent": Decimal("7.5"), "minimum": Decimal(1), "maximum": Decimal(6)},
    {"model": "percentage", "tiers": [tier("100", percent="10"), tier(None, percent="4")]},
    {"model": "volume", "tiers": [tier("5", unit_price="2"), tier(None, unit_price="1.1")]},
    {"model": "volume", "tiers": [tier("3", unit_price="2", flat_fee="1"), tier(None, unit_price="0.2")]},
    {"model": "free"},
]
DISCOUNTS: list[dict[str, Any]] = [{}, {}, {"discount_percent": "12.5"}, {"discount_amount": "4"}]
BOUNDS: list[dict[str, Any]] = [{}, {}, {"minimum": "25"}, {"cap": "30"}, {"minimum": "10", "cap": "20"}]
FEES: list[list[dict[str, Any]]] = [
    [],
    [],
    [{"name": "Platform", "amount": "7", "timing": "advance", "counts": True}],
    [{"name": "Platform", "amount": "7", "timing": "advance"}, {"name": "Archive", "amount": "1.01"}],
    [{"name": "Platform", "amount": "31", "timing": "advance"}, {"name": "Set-up", "kind": "one_off", "amount": "9"}],
]
TAXES: list[list[dict[str, Any]]] = [
    [],
    [{"key": "vat", "name": "VAT", "percent": Decimal(19)}],
    [{"key": "gst", "name": "GST", "percent": Decimal(5)}, {"key": "qst", "name": "QST", "percent": Decimal("9.975")}],
    [{"key": "ct", "name": "Consumption tax", "percent": Decimal(10), "inclusive": True}],
]


@dataclass
class Story:
    """One customer with a contract and what has happened to it. ``said`` is told where the law fails."""

    deal: Deal
    chance: Random
    prices: dict[str, dict[str, Any]]
    terms: dict[str, Any]
    committed: bool
    said: list[str] = field(default_factory=list)
    moment: int = 0
    versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By slug the ids of the condition and its version."""

    @classmethod
    def begin(cls, world: World, seed: int) -> "Story":
        chance = Random(seed)
        prices = {f"kind_{index}": price for index, price in enumerate(chance.sample(PRICES, 3))}
        agreed = chance.choice(DISCOUNTS) | chance.choice(BOUNDS)
        agreed |= {"pools": {"free": chance.choice(["5", "9"])}, "fees": chance.choice(FEES)}
        agreed |= {
            "credit_notes": chance.choice(["automatic", "automatic", "approval"]),
            "zero_invoices": chance.choice(["issue", "skip"]),
            "progressive_threshold": chance.choice([None, None, "5", "20"]),
        }
        committed = chance.random() < 0.35
        first = dict(agreed)
        if committed:
            amount = chance.choice(["30", "90"])
            first["commitments"] = [
                {"amount": amount, "payment": chance.choice(["advance", "arrears"]), "ends_at": END}
            ]
        deal = Deal(world, f"c{seed}", starts_at=START, ends_at=END, prices=prices, **first)
        story = cls(deal, chance, prices, agreed, committed)
        story.tax()
        story.said.append(f"agreed: {prices}, {first}")
        return story

    def tax(self) -> None:
        """Other taxes from now on."""
        rates = [
            TaxRate.objects.get_or_create(key=rate["key"], defaults=rate | {"created_at": BEFORE})[0]
            for rate in self.chance.choice(TAXES)
        ]
        self.deal.customer.tax_rates.set(rates)

    def settle(self, until: str) -> list[Outcome]:
        """Outcomes of that month and of earlier ones, not stored yet."""
        made = []
        for _ in range(self.chance.randint(0, 4)):
            month = self.chance.choice([until, until, *MONTHS[: MONTHS.index(until) + 1]])
            settled = at(f"2026-{month}-{self.chance.randint(2, 27):02}")
            met = max(settled - timedelta(days=self.chance.randint(0, 20)), START)
            slug = self.chance.choice(list(self.prices))
            quantity = Decimal(self.chance.randint(1, 25)).scaleb(-self.chance.randint(0, 1))
            priority = self.chance.choice(["low", "high", None])
            for _ in range(self.chance.randint(1, 4)):
                self.moment += 1
                made.append(self._outcome(slug, settled + timedelta(seconds=self.moment), met, quantity, priority))
        self.said.append(f"{len(made)} settled by {until}")
        return made

    def _outcome(self, slug: str, settled: datetime, met: datetime, quantity: Decimal, priority: str | None) -> Outcome:
        if slug not in self.versions:
            one = condition(slug)
            self.versions[slug] = one.pk, one.versions.get().pk
        (condition_id, version_id), customer = self.versions[slug], self.deal.customer
        amount = Decimal(self.chance.randint(-500, 9000)).scaleb(-2)
        return Outcome(
            id=uuid4(), customer=customer, condition_id=condition_id, version_id=version_id,
            subject_id=-(customer.pk * 10_000 + self.moment), partition=customer.partition, ordinal=1,
            state="confirmed", first_time=met, first_seq=1, last_time=met, last_seq=1, met_at=met, settles_at=settled,
            settled_at=settled, quantity=quantity, amount=amount,
            dimensions={} if priority is None else {"priority": priority}, single=False,
        )  # fmt: skip

    def reverse(self) -> None:
        """Some of what is confirmed, billed or not."""
        standing = list(self.deal.customer.outcomes.filter(state="confirmed").order_by("settled_at", "id"))
        some = self.chance.sample(standing, min(len(standing), self.chance.randint(1, 6)))
        if self.chance.random() < 0.1:
            some = standing
        Outcome.objects.filter(pk__in=[one.pk for one in some]).update(state="reversed")
        self.said.append(f"{len(some)} reversed")

    def amend(self, now: datetime) -> None:
        """Other terms, from some day on that may long have passed."""
        effective = START + timedelta(days=self.chance.randint(0, (now - START).days + 20))
        if effective >= END:
            return
        slug = self.chance.choice(list(self.prices))
        self.prices = self.prices | {slug: self.chance.choice(PRICES)}
        self.terms = self.terms | self.chance.choice([{}, *DISCOUNTS, *BOUNDS])
        if self.chance.random() < 0.2:
            self.terms = self.terms | {"progressive_threshold": self.chance.choice([None, "10"])}
        if self.terms.get("discount_percent") and self.terms.get("discount_amount"):
            del self.terms["discount_percent"]
        if self.chance.random() < 0.3:
            self.terms = self.terms | {"fees": self.chance.choice(FEES)}
        if self.terms.get("minimum") and self.terms.get("cap"):
            self.terms = self.terms | {"minimum": "10", "cap": "20"}
        prices = dict(self.prices)
        if self.chance.random() < 0.1:
            del prices[slug]
        self.deal.version(effective, prices, **self.terms, trial=self.chance.random() < 0.05)
        self.said.append(f"amended from {effective:%m-%d}: {prices}, {self.terms}")

    def void(self, now: datetime) -> None:
        """One invoice that nothing else rests on."""
        found = Invoice.objects.filter(contract=self.deal.contract, status="issued", allocations__isnull=True)
        free = [one for one in found.order_by("period_start", "ordinal") if not taken_back_of(one)]
        if free:
            one = self.chance.choice(free)
            void(one.pk, now=now)
            self.said.append(f"{one.number} void")

    def approve(self, now: datetime) -> None:
        for note in CreditNote.objects.filter(contract=self.deal.contract, status="draft"):
            credit_notes.freeze(note, now=now, wall=now)
            self.said.append(f"{note.number} approved")


def taken_back_of(invoice: Invoice) -> bool:
    """Whether a standing document takes back what the invoice bills."""
    outcomes = list(LineOutcome.objects.filter(line__invoice=invoice, live=True).values_list("outcome", flat=True))
    return LineReversal.objects.filter(outcome__in=outcomes, live=True).exists()


# --- The other route --------------------------------------------------------------------------------------------------


def owed(agreed: terms.Terms, story: Story, outcomes: Sequence[Outcome]) -> dict[datetime, int]:
    """By the start of each period of the contract, minor units that its outcomes come to by the terms of today."""
    (agreement,) = agreed.agreements(story.deal.customer.pk)
    by_period: dict[datetime, list[tuple[Outcome, Charge]]] = defaultdict(list)
    for one in outcomes:
        assert one.met_at is not None and one.settled_at is not None and one.quantity is not None
        values = rating.dimensions_of(one.dimensions)
        prices = agreed.prices_at(agreement.customer_id, one.condition_id, one.met_at)
        price = rating.choose(prices, one.condition_id, values)
        if price is not None:
            version = agreement.version_at(one.met_at).id
            value = max(one.amount or rating.ZERO, rating.ZERO)
            usage = Usage(one.condition_id, values, one.quantity, 1, value=value)
            by_period[agreement.period_of(one.settled_at).start].append((one, Charge(price, usage, version)))
    found, drawn = {}, Drawn()
    for period in agreement.periods(until=END):
        mine = sorted(by_period[period.start], key=lambda one: (one[0].settled_at, one[0].id))
        charges = [charge for _, charge in mine]
        agreed_of = period_terms(agreement, period, {int(str(charge.version)) for charge in charges})
        settled = [
            Settled(one.price, one.usage.dimensions, one.usage.quantity, one.usage.value, one.version)
            for one in charges
        ]
        figures = rating.take_in_order(agreed_of.shares, settled)
        rated = rating.rate_period(
            rating.fill_in(rating.merge(charges), figures),
            agreed_of.shares,
            agreement.currency,
            commitments=agreed_of.commitments,
            drawn=drawn,
            first=agreed_of.first,
            last=agreed_of.last,
        )
        drawn = rated.drawn
        found[period.start] = rated.total_minor
    return found


def billed(stories: Sequence[Story]) -> dict[UUID, dict[datetime, int]]:
    """By contract and start of each period, minor units that documents say of it."""
    found: dict[UUID, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    contracts = [story.deal.contract.pk for story in stories]
    on_invoices = InvoiceLine.objects.filter(invoice__contract__in=contracts).exclude(invoice__status="void")
    on_notes = InvoiceLine.objects.filter(credit_note__contract__in=contracts)
    for lines, document in ((on_invoices, "invoice"), (on_notes, "credit_note")):
        for contract, start, minor in lines.values_list(f"{document}__contract", "period_start", "amount_minor"):
            found[contract][start] += minor
    return found


# --- The law ----------------------------------------------------------------------------------------------------------


def check_documents(stories: Sequence[Story]) -> None:
    """No invoice is below zero, each note is within its bounds, what is left of an invoice carries the tax of that."""
    contracts = [story.deal.contract.pk for story in stories]
    invoices = Invoice.objects.filter(contract__in=contracts).exclude(status="void")
    for invoice in invoices.prefetch_related("allocations"):
        parts = list(invoice.allocations.all())
        net = invoice.subtotal_minor - sum(part.net_minor for part in parts)
        gross = invoice.total_minor - sum(part.total_minor for part in parts)
        assert min(invoice.total_minor, net, gross) >= 0, f"{told(invoice, stories)}: {net} and {gross} are left"
        left = taxed(net, recorded(invoice.taxes), invoice.currency)
        tax = invoice.tax_minor - sum(part.tax_minor for part in parts)
        assert (tax, gross) == (left.tax_minor, left.total_minor), f"{told(invoice, stories)}: tax {tax} of {net}"
    for note in CreditNote.objects.filter(contract__in=contracts).prefetch_related("allocations", "lines"):
        parts = list(note.allocations.all())
        lines = sum(line.amount_minor for line in note.lines.all())
        assert lines < 0, f"{told(note, stories)} gives nothing back"
        assert note.subtotal_minor == -lines == sum(part.net_minor for part in parts), told(note, stories)
        assert note.tax_minor == sum(part.tax_minor for part in parts), told(note, stories)
        assert note.total_minor == sum(part.total_minor for part in parts), told(note, stories)


def told(document: Invoice | CreditNote, stories: Sequence[Story]) -> str:
    story = next(story for story in stories if story.deal.contract.pk == document.contract_id)
    return "\n".join([*story.said, str(document)])


def check_outcomes(story: Story, agreed: terms.Terms, outcomes: Sequence[Outcome]) -> None:
    """What is confirmed and priced stands on one line, what is reversed on none or on one that another takes back."""
    billed_by = lines_by_outcome(LineOutcome, story)
    taken_back = lines_by_outcome(LineReversal, story)
    for one in outcomes:
        assert one.met_at is not None
        prices = agreed.prices_at(one.customer_id, one.condition_id, one.met_at)
        price = rating.choose(prices, one.condition_id, rating.dimensions_of(one.dimensions))
        stands = len(billed_by[one.pk]), len(taken_back[one.pk])
        if one.state == "confirmed":
            assert stands == (1, 0) or (price is None and stands == (0, 0)), f"{one.pk}: {stands}"
        else:
            # What costs nothing is taken back with the next document, and after the last there is none.
            assert stands in ((0, 0), (1, 1), (1, 0)), f"{one.pk}: {stands}"


def lines_by_outcome(model: Any, story: Story) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = defaultdict(list)
    rows = model.objects.filter(outcome__customer=story.deal.customer, live=True)
    for outcome, line in rows.values_list("outcome", "line"):
        found[outcome].append(line)
    return found
