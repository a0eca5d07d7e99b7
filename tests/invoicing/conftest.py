"""A small seller: one condition, a rate card with a price per priority, and outcomes put into the tables directly."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from access import keys
from contracts.models import (
    Condition,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    Price,
    RateCard,
    RateCardVersion,
)
from contracts.partitions import partition_of
from outcomes.models import Outcome, Pending, Subject

TEXT = "outcome resolved_ticket\nper ticket_id\nbill when ticket.closed\nsettle after 72 hours\n"
BEFORE = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """Makes rows with sensible defaults; every amount in a test can be worked out by hand from them."""

    condition: Condition
    version: ConditionVersion
    card: RateCard
    card_version: RateCardVersion
    counter: list[int] = field(default_factory=lambda: [0])

    def customer(self, key: str = "acme", **fields: Any) -> Customer:
        defaults = {"name": key.title(), "currency": "USD", "partition": partition_of(key), "created_at": BEFORE}
        return Customer.objects.create(key=key, **defaults | fields)

    @transaction.atomic
    def contract(
        self,
        customer: Customer,
        *,
        starts_at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        ends_at: datetime | None = None,
        overrides: dict[str, str] | None = None,
        currency: str = "USD",
        **fields: Any,
    ) -> Contract:
        """``overrides`` maps a priority to a unit price; "*" is any. In another currency than the card's it stands on a
        card without prices.
        """
        if currency != self.card_version.currency:
            fields["rate_card"] = RateCard.objects.create(key=currency, created_at=BEFORE)
        contract = Contract.objects.create(
            customer=customer, currency=currency, starts_at=starts_at, ends_at=ends_at, created_at=BEFORE
        )
        self.amend(contract, number=1, effective_at=starts_at, overrides=overrides, **fields)
        return contract

    @transaction.atomic
    def amend(
        self,
        contract: Contract,
        *,
        number: int,
        effective_at: datetime,
        overrides: dict[str, str] | None,
        **fields: Any,
    ) -> ContractVersion:
        terms = {"rate_card": self.card, "created_at": BEFORE} | fields
        version = ContractVersion.objects.create(contract=contract, number=number, effective_at=effective_at, **terms)
        for priority, unit_price in (overrides or {}).items():
            self._price(priority, unit_price, contract_version=version)
        return version

    def price(self, priority: str, unit_price: str, card_version: RateCardVersion | None = None) -> Price:
        return self._price(priority, unit_price, rate_card_version=card_version or self.card_version)

    def _price(self, priority: str, unit_price: str, **home: Any) -> Price:
        match = {} if priority == "*" else {"priority": priority}
        return Price.objects.create(
            condition=self.condition, model="per_unit", unit_price=Decimal(unit_price), match=match, **home
        )

    def outcome(
        self,
        customer: Customer,
        settled: datetime,
        *,
        state: str = "confirmed",
        met: datetime | None = None,
        priority: str | None = "high",
        **fields: Any,
    ) -> Outcome:
        """An outcome met three days before it settled (or is to settle, or was voided), unless told otherwise."""
        self.counter[0] += 1
        met = met or settled - timedelta(days=3)
        subject = Subject.objects.create(customer=customer, condition=self.condition, key=f"T-{self.counter[0]}")
        values = {
            "id": uuid4(),
            "customer": customer,
            "condition": self.condition,
            "version": self.version,
            "subject": subject,
            "partition": customer.partition,
            "ordinal": 1,
            "state": state,
            "first_time": met,
            "first_seq": 1,
            "last_time": met,
            "last_seq": 1,
            "met_at": met,
            "settles_at": settled,
            "settled_at": settled if state in ("confirmed", "reversed") else None,
            "ended_at": settled if state in ("void", "missed") else None,
            "due_at": settled if state in ("open", "provisional") else None,
            "quantity": Decimal(1),
            "dimensions": {} if priority is None else {"priority": priority},
        }
        return Outcome.objects.create(**values | fields)

    def outcomes(self, customer: Customer, count: int, settled: datetime, **fields: Any) -> list[Outcome]:
        return [self.outcome(customer, settled, **fields) for _ in range(count)]

    def pending(self, customer: Customer, time: datetime) -> None:
        Pending.objects.create(pk=(customer.partition, time, 999_999))

    def many(self, customer: Customer, count: int, settled: datetime, priority: str = "high") -> None:
        """``count`` confirmed outcomes in one statement."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO outcomes_outcome (id, customer_id, condition_id, version_id, subject_id, partition, ordinal,
                    state, first_time, first_seq, last_time, last_seq, met_at, settles_at, settled_at, quantity,
                    dimensions, review, single)
                SELECT gen_random_uuid(), %(customer)s, %(condition)s, %(version)s, -n, %(partition)s, 1, 'confirmed',
                    %(met)s, 1, %(met)s, 1, %(met)s, %(settled)s, %(settled)s, 1,
                    jsonb_build_object('priority', %(priority)s::text), '{}', true
                FROM generate_series(1, %(count)s) n
                """,
                {
                    "customer": customer.id,
                    "condition": self.condition.id,
                    "version": self.version.id,
                    "partition": customer.partition,
                    "met": settled - timedelta(days=3),
                    "settled": settled,
                    "priority": priority,
                    "count": count,
                },
            )


@transaction.atomic
def make_world() -> World:
    """A price joins its card's version in the transaction that makes it."""
    condition = Condition.objects.create(slug="resolved_ticket", created_at=BEFORE)
    version = ConditionVersion.objects.create(
        condition=condition,
        number=1,
        title="Support ticket resolved",
        text=TEXT,
        canonical=TEXT,
        description="Bill one resolved ticket when the agent closed it, unless it is reopened within 72 hours.",
        created_at=BEFORE,
    )
    card = RateCard.objects.create(key="standard", created_at=BEFORE)
    card_version = RateCardVersion.objects.create(rate_card=card, number=1, currency="USD", created_at=BEFORE)
    made = World(condition, version, card, card_version)
    made.price("high", "2.00")
    made.price("low", "0.75")
    return made


@pytest.fixture
def world(db: None) -> World:
    """In the test's own transaction, rolled back after it."""
    return make_world()


@pytest.fixture
def committed_world(committed: None) -> World:
    """Committed, so that other connections see it."""
    return make_world()


@pytest.fixture
def api(db: None, client: Any) -> Callable[..., Any]:
    """``api("GET", "/v1/invoices")``: a request with a key that may do everything; answers (status, body)."""
    _, token = keys.create("tests", scopes=["admin"], now=BEFORE)

    def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
        extra = {"HTTP_AUTHORIZATION": f"Bearer {token}"} | headers
        content = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method.lower())(path, **content, **extra)

    call.authorization = f"Bearer {token}"  # type: ignore[attr-defined]
    return call
