story A whole month: two things that are billed, one invoice of two lines

clock 2026-03-01
currency EUR
condition ../../conditions_dsl/gallery/support_resolution.outcome
condition ../../conditions_dsl/gallery/signed_document.outcome
price support_resolution 0.90 resolution=confirmed
price support_resolution 0.60 resolution=assumed
price signed_document 2.50
contract monthly

day 1 09:00   answer.sent             conversation_id=C-1 by=agent
day 1 10:00   customer.confirmed      conversation_id=C-1
day 3 09:00   answer.sent             conversation_id=C-2 by=agent
day 3 11:00   customer.confirmed      conversation_id=C-2
day 4 09:00   document.signed         document_id=D-1 party=buyer
day 5 09:00   document.signed         document_id=D-1 party=seller
day 8 09:00   answer.sent             conversation_id=C-3 by=agent
day 8 12:00   conversation.reopened   conversation_id=C-3
day 9 09:00   answer.sent             conversation_id=C-3 by=agent
day 9 09:30   customer.confirmed      conversation_id=C-3
day 12 09:00  document.signed         document_id=D-2 party=seller
day 12 09:30  document.signed         document_id=D-2 party=buyer
day 20 09:00  document.signed         document_id=D-3 party=buyer
day 20 10:00  document.signed         document_id=D-3 party=seller
day 20 11:00  document.revoked        document_id=D-3

# This one is met in March and final in April: it belongs to April.
day 30 12:00  answer.sent             conversation_id=C-9 by=agent

advance day 31
expect C-1 confirmed at day 1 10:00 resolution=confirmed
expect C-3#1 void at day 8 12:00
expect C-3#2 confirmed at day 9 09:30
expect D-3 void at day 20 11:00
expect C-9 provisional until day 31 12:00
invoice 2026-03 issued 7.70
line 3 x "Support conversation resolved" at 0.90 = 2.70 resolution=confirmed voided=1
line 2 x "Signed document" at 2.50 = 5.00 voided=1
lines 2

advance day 61
expect C-9 confirmed at day 31 12:00 resolution=assumed
invoice 2026-04 issued 0.60
line 1 x "Support conversation resolved" at 0.60 = 0.60 resolution=assumed
lines 1
