"""One call that changes something at Stripe: made once, whatever happens on the way.

The key and the parameters are stored before the call, the result before the next. A call that was cut off is sent
again under its key, with the parameters it had; Stripe answers what it answered then. Where that is no longer possible,
Stripe is asked whether it happened, and what is found is taken as the result.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import stripe
from django.db import transaction

from payments import lanes
from payments.client import ask, plain
from payments.errors import Later, Stale, meaning
from payments.models import Connection, Operation, Step

KEY_LIFE = timedelta(hours=23)
"""Stripe keeps a key for 24 hours at least."""

Request = dict[str, Any]
Options = stripe.RequestOptions
Send = Callable[[Request, Options], stripe.StripeObject]
Find = Callable[[datetime], stripe.StripeObject | None]


@dataclass
class Work:
    """One attempt at an operation: whose lane is held, by which client, and what time it is."""

    operation: Operation
    connection: Connection
    client: stripe.StripeClient
    token: UUID
    clock: Callable[[], datetime]
    fresh: set[str] = field(default_factory=set)
    """Names of the steps whose answer was got in this attempt: what it says is how things stand."""

    @property
    def v1(self) -> Any:
        return self.client.v1

    def step(self, name: str, request: Request, send: Send, find: Find) -> dict[str, Any]:
        """The answer to one call, from the store where it was made before.

        ``send`` makes the call with the parameters and options it is given. ``find`` reads back whether a call that
        began at an instant happened: the object, or None. Raises `errors.Later`, `errors.Refused`,
        `lanes.LaneLost`, and `stripe.CardError` as it is.
        """
        step = self.operation.steps.filter(name=name).order_by("-epoch").first()
        epoch = 1 if step is None else step.epoch + 1
        if step is None or step.dropped:
            step = self._begin(name, epoch, request)
        elif step.result is not None:
            return step.result
        elif step.stale or step.begun_at + KEY_LIFE <= self.clock():
            begun_at = step.begun_at
            found = ask(lambda: find(begun_at))
            if found is not None:
                return self._end(step, found)
            step = self._begin(name, epoch, request)
        else:
            self._renew()
        try:
            answer = send(step.request, {"idempotency_key": step.key})
        except stripe.CardError:
            # Another attempt, if there is one, is another charge.
            self._mark_stale(step)
            raise
        except stripe.StripeError as error:
            problem = meaning(error)
            if isinstance(problem, Stale) or not isinstance(problem, Later):
                self._mark_stale(step)
            raise problem from error
        self.fresh.add(name)
        return self._end(step, answer)

    def drop(self) -> None:
        """Forget what the operation made: it is gone, and is made again. Its keys are never used again."""
        self.operation.steps.update(dropped=True)

    def _renew(self) -> None:
        lanes.renew(self.operation.customer_id, self.token, self.clock())

    @transaction.atomic
    def _begin(self, name: str, epoch: int, request: Request) -> Step:
        self._renew()
        return Step.objects.create(
            operation=self.operation,
            name=name,
            epoch=epoch,
            key=f"{self.operation.public_id}.{name}.{epoch}",
            request=request,
            begun_at=self.clock(),
        )

    def _mark_stale(self, step: Step) -> None:
        step.stale = True
        step.save(update_fields=["stale"])

    def _end(self, step: Step, answer: stripe.StripeObject) -> dict[str, Any]:
        return self._store(step, _kept(answer))

    @transaction.atomic
    def _store(self, step: Step, result: dict[str, Any]) -> dict[str, Any]:
        self._renew()
        step.result, step.ended_at = result, self.clock()
        step.save(update_fields=["result", "ended_at"])
        return result


def _kept(answer: stripe.StripeObject) -> dict[str, Any]:
    """What is stored of an answer: all but its list of lines, of which it shows only the first."""
    return {name: value for name, value in plain(answer).items() if name != "lines"}
