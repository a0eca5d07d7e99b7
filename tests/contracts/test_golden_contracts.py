"""Invoices of whole contracts, worked out by hand.

Each test says the deal and the arithmetic line by line, as somebody with a pencil would, and then the invoice that
`rate_period` makes of it: kind, what, quantity, amount; and the total. The conditions are those of the gallery.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.domain import money, rating
from contracts.domain.rating import Charge, Commitment, Drawn, Fee, Line, Price, Rated, Settled, Share, Tier, Usage


def number(text: str | int) -> Decimal:
    return Decimal(str(text).replace(",", ""))


def price(condition: str, unit_price: str | None = None, *, id: str = "", **more: Any) -> Price:
    made = {
        name: number(value)
        if name in ("percent", "minimum", "maximum", "included", "package_size", "period_maximum")
        else value
        for name, value in more.items()
    }
    return Price(id or condition, condition, unit_price=None if unit_price is None else number(unit_price), **made)


def tier(up_to: str | None, unit_price: str = "0", flat_fee: str = "0", percent: str = "0") -> Tier:
    return Tier(None if up_to is None else number(up_to), number(unit_price), number(flat_fee), number(percent))


def used(one: Price, quantity: str | int, *, value: str = "0", version: str = "v1", **dimensions: str) -> Charge:
    usage = Usage(one.condition, rating.dimensions_of(dimensions), number(quantity), value=number(value))
    return Charge(one, usage, version)


def month(version: str = "v1", days: int = 30, of_days: int = 30, **terms: Any) -> Share:
    made = {name: number(value) if isinstance(value, str) else value for name, value in terms.items()}
    return Share(version, days, of_days, **made)


def fee(name: str, amount: str, kind: str = "recurring", **more: Any) -> Fee:
    return Fee(name, name, kind, number(amount), **more)


def invoice(charges: Iterable[Charge], shares: Sequence[Share], currency: str = "USD", **more: Any) -> str:
    return text_of(rating.rate_period(charges, shares, currency, **more), currency)


def text_of(rated: Rated, currency: str) -> str:
    rows = [_row(line, currency) for line in rated.lines] + [["total", money.major_text(rated.total_minor, currency)]]
    return "\n".join(" ".join(cell for cell in row if cell) for row in rows)


def _row(line: Line, currency: str) -> list[str]:
    what = quantity = ""
    if line.kind == "usage" and line.price and line.usage:
        what = " ".join([str(line.price.condition), *(value for _, value in line.usage.dimensions)])
        quantity = f"{line.usage.quantity:f}"
    elif line.fee:
        what = line.fee.name
    elif line.price:
        what = str(line.price.condition)
    return [line.kind, what, quantity, money.major_text(line.amount_minor, currency)]


def expected(text: str) -> str:
    return "\n".join(" ".join(row.split()) for row in text.strip().splitlines())


# --- The market's schemes ---------------------------------------------------------------------------------------------


def test_support_resolutions_at_99_cents_with_a_minimum_of_50_a_month() -> None:
    """0.99 a resolution; at least 50 resolutions' worth a month: 50 x 0.99 = 49.50.

    March: 37 x 0.99 = 36.63, which is 12.87 short of 49.50.
    April: 64 x 0.99 = 63.36, which is above 49.50, so nothing is added.
    """
    resolution = price("support_resolution", "0.99")
    terms = [month(minimum="49.50")]
    assert invoice([used(resolution, 37)], terms) == expected("""
        usage   support_resolution 37  36.63
        minimum                        12.87
        total                          49.50
    """)
    assert invoice([used(resolution, 64)], terms) == expected("""
        usage   support_resolution 64  63.36
        total                          63.36
    """)


def test_automated_resolutions_at_a_committed_price_with_an_allowance() -> None:
    """Pay as you go is 2.00. Who commits to 600.00 a month, billed in advance, has 500 resolutions in it and pays 1.20
    for each further one.

    1,250 resolutions: 1,250 - 500 = 750 x 1.20 = 900.00; and the fee, 600.00: 1,500.00.
    As you go they would have been 1,250 x 2.00 = 2,500.00.
    480 resolutions: all inside the allowance, 0.00; the fee, 600.00.
    """
    as_you_go = price("automated_resolution", "2.00", id="card")
    committed = price("automated_resolution", "1.20", id="committed", included="500", override=True)
    chosen = rating.choose([as_you_go, committed], "automated_resolution", ())
    assert chosen == committed
    terms = [month(fees=(fee("Committed volume", "600.00", timing="advance"),))]
    assert invoice([used(committed, "1,250")], terms) == expected("""
        usage  automated_resolution 1250   900.00
        fee    Committed volume            600.00
        total                             1500.00
    """)
    assert invoice([used(committed, 480)], terms).endswith("total 600.00")
    assert invoice([used(as_you_go, "1,250")], [month()]).endswith("total 2500.00")


def test_merged_pull_requests_graduated_with_flat_fees_in_euro() -> None:
    """Up to 20: 12.00 each; 21 to 100: 9.50 each and 25.00 once; above: 7.25 each and 50.00 once.

    137 merged:  20 x 12.00 = 240.00
                 80 x  9.50 = 760.00   + 25.00
                 37 x  7.25 = 268.25   + 50.00
                 240.00 + 785.00 + 318.25 = 1,343.25
    20 merged:   20 x 12.00 = 240.00, and no flat fee: the second tier is not reached.
    21 merged:   240.00 + 9.50 + 25.00 = 274.50
    """
    merged = price(
        "merged_pull_request",
        model="graduated",
        tiers=(tier("20", "12.00"), tier("100", "9.50", "25.00"), tier(None, "7.25", "50.00")),
    )
    assert invoice([used(merged, 137)], [month()], "EUR") == expected("""
        usage merged_pull_request 137  1343.25
        total                          1343.25
    """)
    assert invoice([used(merged, 20)], [month()], "EUR").endswith("total 240.00")
    assert invoice([used(merged, 21)], [month()], "EUR").endswith("total 274.50")


def test_incidents_that_stay_away_in_volume_tiers() -> None:
    """Up to 100 incidents cost 8.00 each; from the 101st on all of them cost 6.50.

    100 incidents: 100 x 8.00 = 800.00
    101 incidents: 101 x 6.50 = 656.50: one more outcome lowers the total by 143.50.
    60 of the 101 are low and 41 high: 656.50 x 60 / 101 = 390.00 and 656.50 x 41 / 101 = 266.50.
    """
    resolved = price("resolved_incident", model="volume", tiers=(tier("100", "8.00"), tier(None, "6.50")))
    assert invoice([used(resolved, 100)], [month()]).endswith("total 800.00")
    charges = [used(resolved, 60, priority="low"), used(resolved, 41, priority="high")]
    assert invoice(charges, [month()]) == expected("""
        usage resolved_incident low  60  390.00
        usage resolved_incident high 41  266.50
        total                            656.50
    """)


def recovered(one: Price, values: Iterable[str]) -> list[Charge]:
    """The line of recovered payments, worked out one by one."""
    payments = [number(value) for value in values]
    shares = [month()]
    figures = rating.take_in_order(shares, (Settled(one, (), Decimal(1), value, "v1") for value in payments))
    usage = Usage(one.condition, (), Decimal(len(payments)), value=sum(payments, Decimal(0)))
    return rating.fill_in([Charge(one, usage, "v1")], figures)


def test_a_quarter_of_recovered_payments_with_a_floor_and_a_ceiling() -> None:
    """25 % of each recovered payment, at least 1.00 and at most 250.00 for each.

        2.40 x 25 % =   0.60    -> at least       1.00
       80.00 x 25 % =  20.00                     20.00
      333.33 x 25 % =  83.3325                   83.3325
    1,999.96 x 25 % = 499.99    -> at most      250.00
                                      together  354.3325, rounded once: 354.33

     A chargeback within 60 days gives back the payment of 80.00. What is owed without it: 334.3325 -> 334.33, that is
     20.00 less.
    """
    payment = price("recovered_payment", model="percentage", percent="25", minimum="1.00", maximum="250.00")
    assert invoice(recovered(payment, ["2.40", "80.00", "333.33", "1,999.96"]), [month()]) == expected("""
        usage recovered_payment 4  354.33
        total                      354.33
    """)
    assert invoice(recovered(payment, ["2.40", "333.33", "1,999.96"]), [month()]).endswith("total 334.33")


def test_held_meetings_in_packages_of_ten() -> None:
    """450.00 for each ten meetings, begun or full.

    23 meetings are 3 packages: 3 x 450.00 = 1,350.00
    30 meetings are 3 packages: 1,350.00
    31 meetings are 4 packages: 1,800.00
    """
    held = price("held_meeting", "450.00", model="package", package_size="10")
    assert invoice([used(held, 23)], [month()]) == expected("""
        usage held_meeting 23  1350.00
        total                  1350.00
    """)
    assert invoice([used(held, 30)], [month()]).endswith("total 1350.00")
    assert invoice([used(held, 31)], [month()]).endswith("total 1800.00")


def year(one: Price, counts: Sequence[int], commitment: Commitment) -> tuple[list[str], Drawn]:
    """Twelve months of one contract as invoices, the state of the commitment carried from each to the next."""
    drawn, invoices = Drawn(), []
    for index, count in enumerate(counts):
        rated = rating.rate_period(
            [used(one, count)],
            [month()],
            "USD",
            commitments=[commitment],
            drawn=drawn,
            first={commitment.id} if index == 0 else frozenset(),
            last={commitment.id} if index == len(counts) - 1 else frozenset(),
        )
        drawn = rated.drawn
        invoices.append(text_of(rated, "USD"))
    return invoices, drawn


def test_hires_who_stay_on_a_yearly_commitment_paid_in_advance_and_drawn_down() -> None:
    """1,500.00 a hire; 30,000.00 for the year are paid in advance and drawn down month by month.

    month   hires     usage     drawn     left
      1       3      4,500     4,500    25,500   (and the 30,000.00 are billed)
      2       2      3,000     3,000    22,500
      3       0          0         0    22,500
      4       4      6,000     6,000    16,500
      5       5      7,500     7,500     9,000
      6       1      1,500     1,500     7,500
      7       2      3,000     3,000     4,500
      8       4      6,000     4,500         0   1,500.00 are beyond the commitment and billed
      9       0          0         0         0
     10       1      1,500         0         0   1,500.00 are billed
     11       0          0
     12       0          0
    22 hires = 33,000.00 = 30,000.00 + 1,500.00 + 1,500.00.
    """
    hire = price("hire_stays", "1,500.00")
    counts = [3, 2, 0, 4, 5, 1, 2, 4, 0, 1, 0, 0]
    invoices, drawn = year(hire, counts, Commitment("2026", number("30,000"), "advance"))
    assert invoices[0] == expected("""
        usage      hire_stays 3    4500.00
        drawdown                  -4500.00
        commitment                30000.00
        total                     30000.00
    """)
    assert invoices[7] == expected("""
        usage      hire_stays 4    6000.00
        drawdown                  -4500.00
        total                      1500.00
    """)
    totals = [text.split()[-1] for text in invoices]
    assert totals == ["30000.00", *["0.00"] * 6, "1500.00", "0.00", "1500.00", "0.00", "0.00"]
    assert drawn.minor == {"2026": 3_000_000}


def test_signed_documents_on_a_yearly_commitment_with_a_true_up() -> None:
    """0.85 a document, billed month by month; the customer commits to 12,000.00 for the year.

    month  documents   billed     so far
      1      1,000     850.00     850.00
      2      1,100     935.00   1,785.00
      3        900     765.00   2,550.00
      4      1,200   1,020.00   3,570.00
      5      1,000     850.00   4,420.00
      6        800     680.00   5,100.00
      7        500     425.00   5,525.00
      8        600     510.00   6,035.00
      9      1,500   1,275.00   7,310.00
     10      1,400   1,190.00   8,500.00
     11      1,300   1,105.00   9,605.00
     12      1,001     850.85  10,455.85   true-up: 12,000.00 - 10,455.85 = 1,544.15
    """
    signed = price("signed_document", "0.85")
    counts = [1000, 1100, 900, 1200, 1000, 800, 500, 600, 1500, 1400, 1300, 1001]
    invoices, drawn = year(signed, counts, Commitment("2026", number("12,000"), "arrears"))
    assert invoices[10] == expected("""
        usage signed_document 1300  1105.00
        total                       1105.00
    """)
    assert invoices[11] == expected("""
        usage   signed_document 1001   850.85
        true_up                       1544.15
        total                         2395.00
    """)
    assert sum(number(text.split()[-1]) for text in invoices) == 12000
    assert drawn.minor == {"2026": 1_045_585}


def test_hotel_bookings_in_yen_by_graduated_percentages() -> None:
    """10 % of the first 1,000,000 of booked value in a month, 8 % of what lies beyond. Yen have no decimals.

    1,234,567 booked:  1,000,000 x 10 % = 100,000
                         234,567 x  8 % =  18,765.36
                                          118,765.36 -> 118,765
    Together 87 bookings, 60 of them (900,000) by app and 27 (334,567) by phone. The amount goes by value:
    118,765 x   900,000 / 1,234,567 = 86,579.77 -> 86,580
    118,765 x   334,567 / 1,234,567 = 32,185.23 -> 32,185
    """
    booking = price(
        "hotel_booking", model="percentage", tiers=(tier("1,000,000", percent="10"), tier(None, percent="8"))
    )
    charges = [used(booking, 60, value="900,000", by="app"), used(booking, 27, value="334,567", by="phone")]
    assert invoice(charges, [month()], "JPY") == expected("""
        usage hotel_booking app   60   86580
        usage hotel_booking phone 27   32185
        total                         118765
    """)


def test_kept_sales_in_dinar() -> None:
    """0.0375 a unit sold and not returned. Kuwaiti dinars have three decimals.

    1,133 units by web:    1,133 x 0.0375 = 42.4875
      555 units by phone:    555 x 0.0375 = 20.8125
    1,688 units together:  1,688 x 0.0375 = 63.300; rounded once. Of the lines each is half a fils above a whole one;
    the odd fils goes to the first in order of the values, phone: 20.813 + 42.487 = 63.300.
    """
    sale = price("kept_sale", "0.0375")
    assert invoice([used(sale, "1,133", by="web"), used(sale, 555, by="phone")], [month()], "KWD") == expected("""
        usage kept_sale web   1133  42.487
        usage kept_sale phone  555  20.813
        total                       63.300
    """)


def test_qualified_leads_with_a_price_for_some() -> None:
    """40.00 a lead, 55.00 where the region is EU, and 10 % off for this customer.

    14 leads in the US x 40.00 = 560.00
     9 leads in the EU x 55.00 = 495.00
                               1,055.00 x 10 % = 105.50 off: 949.50
    """
    card = [
        price("qualified_lead", "40.00", id="any"),
        price("qualified_lead", "55.00", id="EU", match=rating.dimensions_of({"region": "EU"})),
    ]
    counts = {"US": 14, "EU": 9}
    charges = []
    for region, count in counts.items():
        chosen = rating.choose(card, "qualified_lead", rating.dimensions_of({"region": region}))
        assert chosen is not None
        charges.append(used(chosen, count, region=region))
    assert invoice(charges, [month(discount_percent="10")]) == expected("""
        usage    qualified_lead US 14  560.00
        usage    qualified_lead EU  9  495.00
        discount                      -105.50
        total                          949.50
    """)


def test_every_scheme_of_the_gallery_is_here() -> None:
    priced = set(re.findall(r'price\(\s*"(\w+)"', Path(__file__).read_text()))
    gallery = Path(__file__).parents[2] / "conditions_dsl" / "gallery"
    assert {one.stem for one in gallery.glob("*.outcome")} <= priced


# --- What deals are made of -------------------------------------------------------------------------------------------


def test_one_allowance_for_two_conditions_of_unequal_price() -> None:
    """100 free a month, whatever comes first: signed documents (1.50) and identity checks (0.40).

    In order of settlement: 60 documents, 70 checks, 20 documents.
    The allowance takes 60 documents and then 40 of the checks; it is used up.
    Charged: 70 - 40 = 30 checks x 0.40 = 12.00; 80 - 60 = 20 documents x 1.50 = 30.00; together 42.00.

    Had the documents all come last: 70 checks and 30 documents are free; 50 documents x 1.50 = 75.00.
    """
    document = price("signed_document", "1.50", pool="free")
    check = price("identity_check", "0.40", pool="free")
    terms = [month(pools={"free": Decimal(100)})]

    def outcomes(*runs: tuple[Price, int]) -> list[Settled]:
        return [Settled(one, (), Decimal(1), version="v1") for one, count in runs for _ in range(count)]

    def bill(listed: list[Settled]) -> str:
        charges = [used(document, 80), used(check, 70)]
        return invoice(rating.fill_in(charges, rating.take_in_order(terms, listed)), terms)

    assert bill(outcomes((document, 60), (check, 70), (document, 20))) == expected("""
        usage signed_document 80  30.00
        usage identity_check  70  12.00
        total                     42.00
    """)
    assert bill(outcomes((check, 70), (document, 80))).endswith("total 75.00")


def test_a_price_changed_in_the_middle_of_a_month_with_a_prorated_minimum() -> None:
    """July has 31 days. Until the 11th: 1.00 a ticket, at least 300.00 a month. From the 12th on: 1.20 and 600.00.

    Tickets met until the 11th: 120 x 1.00 = 120.00
    Tickets met from the 12th:  100 x 1.20 = 120.00
                                             240.00
    Minimum: 300.00 x 11 / 31 = 106.4516 -> 106.45
             600.00 x 20 / 31 = 387.0967 -> 387.10
                                             493.55; true-up 493.55 - 240.00 = 253.55
    """
    before, after = price("ticket", "1.00", id="before"), price("ticket", "1.20", id="after")
    terms = [month("v1", 11, 31, minimum="300.00"), month("v2", 20, 31, minimum="600.00")]
    assert invoice([used(before, 120), used(after, 100, version="v2")], terms) == expected("""
        usage   ticket 120  120.00
        usage   ticket 100  120.00
        minimum             253.55
        total               493.55
    """)


def test_a_trial_and_then_a_ramp() -> None:
    """Free until 14 February; then 1.00 an outcome and 50.00 a month; from 1 April on 1.50 and 80.00.

    January:   400 outcomes, all in the trial:                             0.00
    February:  250 in the trial:                                           0.00
               300 after it x 1.00 =                                     300.00
               50.00 x 14 / 28 days =                                     25.00    325.00
    March:     600 x 1.00 = 600.00; 50.00                                          650.00
    April:     600 x 1.50 = 900.00; 80.00; and 10 that were met in March
               and settled in April x 1.00 = 10.00                                 990.00
    """
    trial, one, two = (
        price("ticket", "1.00", id="card"),
        price("ticket", "1.00", id="card"),
        price("ticket", "1.50", id="ramp"),
    )
    base, more = (fee("Platform", "50.00"),), (fee("Platform", "80.00"),)
    assert invoice([used(trial, 400)], [month("v1", 31, 31, trial=True, fees=base)]) == expected("""
        usage ticket 400  0.00
        total             0.00
    """)
    february = [month("v1", 14, 28, trial=True, fees=base), month("v2", 14, 28, fees=base)]
    assert invoice([used(trial, 250), used(one, 300, version="v2")], february) == expected("""
        usage ticket 250    0.00
        usage ticket 300  300.00
        fee   Platform     25.00
        total             325.00
    """)
    assert invoice([used(one, 600, version="v2")], [month("v2", 31, 31, fees=base)]).endswith("total 650.00")
    april = [month("v2", 0, 30, fees=base), month("v3", 30, 30, fees=more)]
    assert invoice([used(two, 600, version="v3"), used(one, 10, version="v2")], april) == expected("""
        usage ticket 600  900.00
        usage ticket  10   10.00
        fee   Platform     80.00
        total             990.00
    """)


def test_a_cap_that_is_reached() -> None:
    """2.00 an outcome, at most 5,000.00 a month, at least 1,000.00; a base fee of 250.00 stands outside both.

    2,750 x 2.00 = 5,500.00; 500.00 above the cap are shown and not charged: 5,000.00; and the fee: 5,250.00.
    """
    terms = [month(minimum="1,000.00", cap="5,000.00", fees=(fee("Platform", "250.00"),))]
    assert invoice([used(price("ticket", "2.00"), "2,750")], terms) == expected("""
        usage ticket 2750  5500.00
        cap                -500.00
        fee   Platform      250.00
        total              5250.00
    """)


def test_a_discount_and_then_the_maximum_of_a_price() -> None:
    """12.5 % off; of calls at most 1,500.00 a month.

    Calls   4,000 x 0.45 = 1,800.00
    E-mails 9,999 x 0.03 =   299.97
                           2,099.97 x 12.5 % = 262.49625 -> 262.50 off
    The discount goes by amount: 262.50 x 1,800.00 / 2,099.97 = 225.00 (225.0032) off the calls, 37.50 off the e-mails.
    Calls after it: 1,800.00 - 225.00 = 1,575.00, which is 75.00 above the maximum.
    2,099.97 - 262.50 - 75.00 = 1,762.47
    """
    call, mail = price("call", "0.45", period_maximum="1,500.00"), price("email", "0.03")
    assert invoice([used(call, "4,000"), used(mail, "9,999")], [month(discount_percent="12.5")]) == expected("""
        usage    call  4000   1800.00
        usage    email 9999    299.97
        discount              -262.50
        maximum  call          -75.00
        total                 1762.47
    """)


def test_seats_of_a_contract_that_starts_inside_a_month() -> None:
    """12 seats at 25.00 a month, a platform fee of 199.00, set-up of 500.00 once; from 12 May on: 20 of 31 days.

    Seats:    12 x 25.00 = 300.00 x 20 / 31 = 193.5483 -> 193.55
    Platform: 199.00 x 20 / 31 = 128.3870 -> 128.39
    Set-up:   500.00, not prorated
              821.94
    June:     300.00 + 199.00 = 499.00
    """
    fees = (
        fee("Seats", "25.00", "seats", seats=Decimal(12)),
        fee("Platform", "199.00", timing="advance"),
        fee("Set-up", "500.00", "one_off"),
    )
    assert invoice([], [month("v1", 20, 31, fees=fees)], first={"Set-up"}) == expected("""
        fee   Seats     193.55
        fee   Platform  128.39
        fee   Set-up    500.00
        total           821.94
    """)
    assert invoice([], [month(fees=fees)]).endswith("total 499.00")


def test_a_fixed_discount_that_counts_a_fee_and_stops_at_zero() -> None:
    """A platform fee of 100.00 that counts, and 80.00 off each month, for a start-up that uses little.

    10 x 0.50 = 5.00; with the fee 105.00; less 80.00: 25.00.
    Were the fee outside: 5.00, less at most 5.00: 0.00; and the fee: 100.00.
    """
    ticket = price("ticket", "0.50")
    inside, outside = fee("Platform", "100.00", counts=True), fee("Platform", "100.00")
    assert invoice([used(ticket, 10)], [month(discount_amount="80.00", fees=(inside,))]) == expected("""
        usage    ticket 10    5.00
        fee      Platform   100.00
        discount            -80.00
        total                25.00
    """)
    assert invoice([used(ticket, 10)], [month(discount_amount="80.00", fees=(outside,))]) == expected("""
        usage    ticket 10    5.00
        discount             -5.00
        fee      Platform   100.00
        total               100.00
    """)
