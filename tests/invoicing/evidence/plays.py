"""Real plays: events through intake, evaluation and settlement onto invoices."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from conditions_dsl import Event, compile, format, parse
from contracts.models import Contract, ContractVersion, Price, RateCard
from invoicing import billing
from invoicing.models import Invoice
from outcomes.evaluation import evaluate_waiting
from outcomes.intake import accept
from outcomes.wire import read_events
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def send(events: list[dict[str, Any]], *, now: datetime) -> set[str]:
    """Accept events, their numbers exact; what became of them."""
    return {one.status for one in accept(read_events([_encode(event) for event in events]), now=now)}


class Play:
    """One customer, one contract by the month, one condition with a price."""

    def __init__(
        self,
        text: str,
        *,
        currency: str = "USD",
        price: dict[str, Any] | None = None,
        window: int | None = None,
        pin: int | None = None,
        since: datetime | None = None,
        **terms: Any,
    ) -> None:
        """``window`` (seconds) and ``pin`` (a version's number) are the contract's; from ``since`` on the condition is
        for this customer alone.
        """
        self.program = compile(parse(text))
        self.customer = factories.customer()
        limits = None if since is None else {self.customer.key: since}
        self.version = factories.condition(format(parse(text)), customers=limits)
        condition = self.version.condition_id
        if window is not None:
            terms["settlement_windows"] = {condition: window}
        if pin is not None:
            terms["conditions"] = {condition: pin}
        self.contract = Contract.objects.create(
            customer=self.customer, currency=currency, starts_at=START, created_at=START
        )
        agreed = ContractVersion.objects.create(
            contract=self.contract, number=1, effective_at=START, created_at=START,
            rate_card=RateCard.objects.create(key="standard", created_at=START), **terms,
        )  # fmt: skip
        usual: dict[str, Any] = {"model": "per_unit", "unit_price": Decimal("0.99")}
        if self.program.has_amount:
            usual = {"model": "percentage", "percent": Decimal(25), "minimum": Decimal(1), "maximum": Decimal(250)}
        Price.objects.create(contract_version=agreed, condition=self.version.condition, match={}, **(price or usual))
        self.sent = 0

    def tell(self, type_: str, time: datetime, *, now: datetime | None = None, **data: Any) -> None:
        """An event, accepted at once or at ``now``, and evaluated."""
        self.sent += 1
        event = {"id": f"e{self.sent}", "type": type_, "customer": "acme", "time": time, "data": data}
        assert send([event], now=now or time) == {"accepted"}
        evaluate_waiting(now or time)

    def month(self, now: datetime) -> None:
        """Settle what is due, and bill what is over."""
        settle_due(now)
        billing.run(now=now)

    def play(self, events: Iterable[tuple[Event, dict[str, Any]]], *, months: int) -> None:
        """Each event at its time, and a billing run at the end of each month."""
        waiting = sorted(events, key=lambda one: (one[0].time, one[0].seq))
        for month in range(1, months + 1):
            end = datetime(2026 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            batch = []
            while waiting and EPOCH + timedelta(microseconds=waiting[0][0].time) < end:
                event, data = waiting.pop(0)
                self.sent += 1
                time = EPOCH + timedelta(microseconds=event.time)
                batch.append(
                    {"id": f"e{self.sent}", "type": event.type, "customer": "acme", "time": time, "data": data}
                )
            if batch:
                assert send(batch, now=end) == {"accepted"}
                evaluate_waiting(end)
            self.month(end)

    def invoices(self) -> list[Invoice]:
        return list(Invoice.objects.exclude(status="draft").order_by("number"))
