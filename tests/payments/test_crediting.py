"""How a credit note's amount is divided at Stripe, and what that means: all of it goes somewhere, whatever was paid."""

from hypothesis import given
from hypothesis import strategies as st

from payments.crediting import Meaning, Parts, There, Wanted, divided, meaning


def test_by_example() -> None:
    half = Wanted(amount=100, taken_off=60, pays_back=False)
    assert divided(half, There(60), free_now=40) == Parts(before_payment=60, to_balance=40)
    back = Wanted(amount=100, taken_off=60, pays_back=True)
    assert divided(back, There(60), free_now=40) == Parts(before_payment=60, outside=40)
    # Paid meanwhile: 60 that credit had settled here, and what is free; not what was paid back by hand already.
    assert divided(back, There(0, refundable=200), free_now=40) == Parts(refunded=100)
    assert divided(back, There(0, refundable=200), free_now=10) == Parts(refunded=70, outside=30)
    assert divided(half, There(0, refundable=50), free_now=40) == Parts(to_balance=40, refunded=50, outside=10)
    assert meaning(half, Parts(to_balance=40, refunded=50, outside=10)) == Meaning(
        credit_refunded=0, by_hand=0, overpaid=60, owed=10, off_carried=0, collected_later=0
    )
    # What the next invoice was to collect, it collects no more.
    small = Wanted(amount=30, taken_off=30, pays_back=False)
    assert divided(small, There(0, carried=30), free_now=0) == Parts(to_balance=30)
    assert meaning(small, Parts(to_balance=30)).off_carried == 30
    # More fell off there than here.
    assert divided(half, There(75), free_now=40) == Parts(before_payment=75, to_balance=25)
    assert meaning(half, Parts(before_payment=75, to_balance=25)).collected_later == 15
    # Of the free credit 25 went elsewhere before Stripe was connected.
    gone = Wanted(amount=100, taken_off=60, pays_back=False, gone=25)
    assert divided(gone, There(60), free_now=15) == Parts(before_payment=60, to_balance=15, outside=25)


AMOUNT = st.integers(0, 50)


@given(
    taken_off=AMOUNT, free=AMOUNT, back=st.booleans(), gone=AMOUNT, there=st.tuples(AMOUNT, AMOUNT, AMOUNT), now=AMOUNT
)
def test_it_all_goes_somewhere(
    taken_off: int, free: int, back: bool, gone: int, there: tuple[int, int, int], now: int
) -> None:
    wanted = Wanted(taken_off + free, taken_off, back, min(gone, free))
    remaining, refundable, carried = there
    made = divided(wanted, There(remaining, refundable, carried), free_now=min(now, free))
    assert made.before_payment + made.to_balance + made.refunded + made.outside == wanted.amount
    assert min(made.before_payment, made.to_balance, made.refunded, made.outside) >= 0
    assert made.refunded <= refundable and made.before_payment <= remaining
    means = meaning(wanted, made)
    # What was settled twice is taken off what was to be collected, refunded, or owed; and only free credit besides.
    twice = max(taken_off - made.before_payment, 0)
    assert means.off_carried == min(twice, carried)
    assert means.overpaid == twice - means.off_carried
    assert made.refunded == means.overpaid - means.owed + means.credit_refunded
    assert means.credit_refunded <= (min(now, free) if back else 0)
    assert not (means.owed and means.credit_refunded), "free credit is refunded last"
    assert means.collected_later == max(made.before_payment - taken_off, 0)
    if back:
        assert made.to_balance == means.off_carried
        assert means.credit_refunded + means.by_hand == wanted.amount - made.before_payment - twice
    elif not means.collected_later:
        assert made.to_balance == means.off_carried + wanted.free - wanted.gone
