story A sale is billed by the unit when it was kept for 30 days

clock 2026-03-01
condition ../../conditions_dsl/gallery/kept_sale.outcome
price kept_sale 0.40
contract monthly

# Kept, in two parcels.
day 0 09:00   order.delivered   order_id=O-1 units=2 shop=north
day 2 09:00   order.delivered   order_id=O-1 units=3 shop=south
expect O-1 provisional until day 30 09:00

# Refunded in full before the month was over.
day 3 09:00   order.delivered   order_id=O-2 units=7 shop=north
day 20 09:00  order.returned    order_id=O-2
expect O-2 void at day 20 09:00

# Returned in part only: that is a sale.
day 20 10:00   order.delivered   order_id=O-3 units=1 shop=north
day 25 09:00  order.returned    order_id=O-3 complete=false
expect O-3 provisional until day 50 10:00

# Returned when it was final already: this condition gives nothing back.
advance day 31
expect O-1 confirmed at day 30 09:00 quantity=5 shop=north
day 32 09:00  order.returned    order_id=O-1
expect O-1 confirmed

invoice 2026-03 issued 2.00
line 5 x "Sale kept for 30 days" at 0.40 = 2.00 shop=north voided=1
lines 1

advance day 61
invoice 2026-04 issued 0.40
line 1 x "Sale kept for 30 days" at 0.40 = 0.40 shop=north
