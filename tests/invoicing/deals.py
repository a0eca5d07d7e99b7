"""Contracts with every kind of term, put into the tables directly, and their invoices as text."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from access.invariants import Scope, check
from contracts.domain import money
from contracts.models import Commitment, Condition, ConditionVersion, Contract, ContractVersion, Fee, Price, RateCard
from contracts.models import Customer as CustomerRow
from invoicing import texts
from invoicing.audit import INVARIANTS
from invoicing.models import CreditNote, Invoice
from outcomes.models import Journal, Outcome
from tests.invoicing.conftest import BEFORE, World


def at(text: str) -> datetime:
    """``2026-03-10`` or ``2026-03-10T09:00``, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Deal:
    """One customer's contract. Prices are given as ``{condition: fields}``; a price list of a version overrides the
    card's.
    """

    def __init__(self, world: World, key: str = "acme", **contract: Any) -> None:
        currency = contract.pop("currency", "USD")
        self.world = world
        self.customer: CustomerRow = world.customer(key, currency=currency)
        starts_at = contract.pop("starts_at", at("2026-01-01"))
        self.contract = Contract.objects.create(
            customer=self.customer,
            currency=currency,
            starts_at=starts_at,
            ends_at=contract.pop("ends_at", None),
            created_at=BEFORE,
        )
        self.number = 0
        self.version(starts_at, **contract)

    def version(
        self,
        effective_at: datetime,
        prices: dict[str, dict[str, Any]] | None = None,
        fees: Iterable[dict[str, Any]] = (),
        commitments: Iterable[dict[str, Any]] = (),
        **terms: Any,
    ) -> ContractVersion:
        """Further terms from ``effective_at`` on; nothing is taken over from those before."""
        self.number += 1
        version = ContractVersion.objects.create(
            contract=self.contract,
            number=self.number,
            effective_at=effective_at,
            rate_card=self._card(),
            created_at=BEFORE,
            **terms,
        )
        for slug, fields in (prices or {}).items():
            Price.objects.create(contract_version=version, condition=condition(slug), **{"match": {}} | fields)
        for fee in fees:
            Fee.objects.create(contract_version=version, **{"kind": "recurring"} | fee)
        for commitment in commitments:
            Commitment.objects.create(contract_version=version, **{"starts_at": effective_at} | commitment)
        return version

    def _card(self) -> RateCard:
        """The world's, or one without prices where the deal is in another currency."""
        if self.contract.currency == self.world.card_version.currency:
            return self.world.card
        return RateCard.objects.get_or_create(key=self.contract.currency, defaults={"created_at": BEFORE})[0]

    def settled(self, slug: str, count: int, when: datetime, step: timedelta = timedelta(0), **fields: Any) -> None:
        """``count`` outcomes confirmed at that instant, or one after the other by ``step``."""
        one = condition(slug)
        values = {"condition": one, "version": one.versions.get(), "priority": None} | fields
        for index in range(count):
            self.world.outcome(self.customer, when + index * step, **values)

    def provisional(self, slug: str, count: int, settles_at: datetime, **fields: Any) -> None:
        self.settled(slug, count, settles_at, state="provisional", **fields)

    def invoice(self, number: int = -1) -> Invoice:
        """The contract's invoices that stand, in order of their periods."""
        return self.invoices()[number]

    def invoices(self) -> list[Invoice]:
        found = Invoice.objects.filter(contract=self.contract).exclude(status="void")
        return list(found.order_by("period_start", "ordinal"))

    def lines(self, number: int = -1) -> str:
        return written(self.invoice(number))

    def notes(self) -> str:
        """The contract's credit notes: number and reason, lines, total and what it is allocated to."""
        rows = []
        for note in CreditNote.objects.filter(contract=self.contract).order_by("id"):
            rows.append(f"{note.number or note.status} {note.reason}")
            rows += _rows(note)
            parts = ", ".join(
                f"{part.invoice.number}"
                + ("" if note.allocations.count() == 1 else f" {money.major_text(part.total_minor, note.currency)}")
                for part in note.allocations.order_by("id")
            )
            rows.append(f"total {money.major_text(note.total_minor, note.currency)} of {parts}")
        return "\n".join(rows)

    def totals(self) -> list[str]:
        return [money.major_text(one.total_minor, one.currency) for one in self.invoices()]


def condition(slug: str) -> Condition:
    """The condition, made when first asked for."""
    found, made = Condition.objects.get_or_create(slug=slug, defaults={"created_at": BEFORE})
    if made:
        name = slug.replace("_", " ")
        text = f"outcome {slug}\nper ticket_id\n\nbill when ticket.closed\nsettle after 72 hours\n"
        ConditionVersion.objects.create(
            condition=found, number=1, title=name.capitalize(), text=text, canonical=text,
            description=f"Bill one {name}.", created_at=BEFORE,
        )  # fmt: skip
    return found


def written(invoice: Invoice) -> str:
    """Its lines and total, one a row: kind, title, values, quantity, amount."""
    return "\n".join([*_rows(invoice), f"total {money.major_text(invoice.total_minor, invoice.currency)}"])


def _rows(document: Invoice | CreditNote) -> list[str]:
    rows = []
    for line in document.lines.order_by("position"):
        quantity = "" if line.quantity is None else texts.plain(line.quantity)
        amount = money.major_text(line.amount_minor, document.currency)
        cells = [line.kind, line.title, *line.dimensions.values(), quantity, amount]
        rows.append(" ".join(cell for cell in cells if cell))
    return rows


def expected(text: str) -> str:
    return "\n".join(" ".join(row.split()) for row in text.strip().splitlines())


def tier(up_to: str | None, **amounts: str) -> dict[str, Any]:
    return {"up_to": up_to, **amounts}


def sound(now: datetime) -> None:
    """The audit finds nothing."""
    for result in check(INVARIANTS, Scope(now=now, sample=None)):
        found = (result.findings.violation_rows, result.findings.warning_rows, result.error)
        assert found == ([], [], ""), f"{result.invariant.name}: {found}"


def per_unit(amount: str) -> dict[str, Any]:
    return {"model": "per_unit", "unit_price": Decimal(amount)}


def reverse(slug: str, count: int = 1, *, cause: str = "event", at: datetime | None = None, **which: Any) -> Outcome:
    """Take back confirmed outcomes, the earliest first, as settlement would; the last of them."""
    for outcome in Outcome.objects.filter(condition__slug=slug, state="confirmed", **which).order_by(
        "settled_at", "id"
    )[:count]:
        Outcome.objects.filter(pk=outcome.pk).update(state="reversed")
        Journal.objects.create(
            outcome=outcome,
            from_state="confirmed",
            to_state="reversed",
            cause=cause,
            effective_at=at or outcome.settled_at,
            recorded_at=at or outcome.settled_at,
        )
    return outcome
