"""What goes where at Stripe of a credit note's amount on one invoice, and what that means here. Pure; amounts are in
Stripe's units.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """What a credit note of ours does: it corrects ``amount`` of the invoice, of which ``taken_off`` fell off what was
    due here. The rest is free: to be paid back, or for the customer's next invoices; ``gone`` of it went already to
    where Stripe has no part in it.
    """

    amount: int
    taken_off: int
    pays_back: bool
    gone: int = 0

    @property
    def free(self) -> int:
        return self.amount - self.taken_off

    def for_balance(self, free: int) -> int:
        """What of so much that is free is to be on the customer's balance."""
        return 0 if self.pays_back else max(free - self.gone, 0)


@dataclass(frozen=True)
class There:
    """How things are when it reaches Stripe: what remains of an open invoice (nothing of a paid one), what is left to
    refund of what was charged for it, and what it left for the next invoice to collect, as too little to be charged.
    """

    remaining: int
    refundable: int = 0
    carried: int = 0


@dataclass(frozen=True)
class Parts:
    """What Stripe does with the amount; these add up to it."""

    before_payment: int = 0
    to_balance: int = 0
    refunded: int = 0
    outside: int = 0


@dataclass(frozen=True)
class Meaning:
    """``credit_refunded`` of the free credit was paid back, and ``by_hand`` has to be. ``overpaid`` had been settled by
    the credit here when it was paid there, all the same; ``owed`` of that could not be refunded. ``off_carried`` is
    collected from the customer no more, and ``collected_later`` by a later invoice than was thought.
    """

    credit_refunded: int
    by_hand: int
    overpaid: int
    owed: int
    off_carried: int
    collected_later: int


def divided(wanted: Wanted, there: There, *, free_now: int) -> Parts:
    """How Stripe is to divide it. ``free_now`` is what of the note's credit went nowhere yet: no more is paid back."""
    before_payment = min(wanted.amount, there.remaining)
    settled_twice = max(wanted.taken_off - before_payment, 0)
    free = wanted.amount - before_payment - settled_twice
    off_carried = min(settled_twice, there.carried)
    back = settled_twice - off_carried + (min(free, free_now) if wanted.pays_back else 0)
    refunded = min(back, there.refundable)
    to_balance = off_carried + wanted.for_balance(free)
    return Parts(before_payment, to_balance, refunded, wanted.amount - before_payment - to_balance - refunded)


def meaning(wanted: Wanted, made: Parts) -> Meaning:
    """What follows here from what Stripe did."""
    settled_twice = max(wanted.taken_off - made.before_payment, 0)
    free = wanted.amount - made.before_payment - settled_twice
    off_carried = made.to_balance - wanted.for_balance(free)
    overpaid = settled_twice - off_carried
    owed = max(overpaid - made.refunded, 0)
    return Meaning(
        credit_refunded=max(made.refunded - overpaid, 0),
        by_hand=made.outside - owed if wanted.pays_back else 0,
        overpaid=overpaid,
        owed=owed,
        off_carried=off_carried,
        collected_later=max(made.before_payment - wanted.taken_off, 0),
    )
