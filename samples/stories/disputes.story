story Two charges are disputed: one dispute is upheld, the other rejected

clock 2026-03-01
condition ../../conditions_dsl/gallery/recovered_payment.outcome
price recovered_payment 5.00
contract monthly

day 0 09:00   payment.failed      invoice_id=R-1
day 1 09:00   reminder.sent       invoice_id=R-1
day 5 09:00   payment.succeeded   invoice_id=R-1 amount=80.40 method=card
day 5 10:00   payment.failed      invoice_id=R-2
day 6 10:00   reminder.sent       invoice_id=R-2
day 7 10:00   payment.succeeded   invoice_id=R-2 amount=20 method=card
day 7 11:00   payment.failed      invoice_id=R-3
day 7 12:00   reminder.sent       invoice_id=R-3
day 7 13:00   payment.succeeded   invoice_id=R-3 amount=50 method=card
expect R-1 provisional until day 8 09:00 amount=80.4
advance day 12
expect R-1 confirmed at day 8 09:00
expect R-2 confirmed at day 10 10:00
expect R-3 confirmed at day 10 13:00

dispute R-1 "We had paid before the reminder came"
dispute R-2 "We do not know this invoice"
advance day 14
uphold R-1 "So they had"
reject R-2 "It is the one of 1 March"
expect R-1 reversed at day 14 00:00
expect R-2 confirmed at day 10 10:00

# R-3 is disputed at the end of the month, and not decided yet: it is kept off the invoice, and stands on the next one.
advance day 30
dispute R-3 "Was this not a test?"
advance day 31
invoice 2026-03 issued 5.00
line 1 x "Recovered payment" at 5.00 = 5.00 method=card
lines 1
advance day 33
reject R-3 "It was not"
advance day 61
invoice 2026-04 issued 5.00
line 1 x "Recovered payment" at 5.00 = 5.00 method=card
lines 1
