story A customer returns after the charge was final: it is given back, and the new answer is billed

clock 2026-03-01
condition ../../conditions_dsl/gallery/support_resolution.outcome
price support_resolution 0.75
contract monthly

day 0 09:00   conversation.opened     conversation_id=C-1 channel=mail
day 0 09:05   answer.sent             conversation_id=C-1 by=agent
expect C-1 provisional until day 1 09:05
advance day 2
expect C-1 confirmed at day 1 09:05 resolution=assumed channel=mail

# Ten days later the conversation is opened again: `credit within 60 days`.
day 12 08:00  conversation.reopened   conversation_id=C-1
expect C-1 reversed at day 12 08:00

# It is answered again, and this time the customer says that it is solved: final at once.
day 12 09:00  answer.sent             conversation_id=C-1 by=agent
day 12 10:00  customer.confirmed      conversation_id=C-1
expect C-1#1 reversed
expect C-1#2 confirmed at day 12 10:00 resolution=confirmed

# Another one, final and invoiced in March …
day 20 09:00  answer.sent             conversation_id=C-2 by=agent

advance day 31
expect C-2 confirmed at day 21 09:00
invoice 2026-03 issued 1.50
line 1 x "Support conversation resolved" at 0.75 = 0.75 resolution=assumed
line 1 x "Support conversation resolved" at 0.75 = 0.75 resolution=confirmed
lines 2

# … comes back in April, within the 60 days: the invoice stays what it was, and shows that one of it no longer holds.
day 40 09:00  conversation.reopened   conversation_id=C-2
expect C-2 reversed at day 40 09:00
invoice 2026-03 issued 1.50
line 1 x "Support conversation resolved" at 0.75 = 0.75 resolution=assumed reversed=1
