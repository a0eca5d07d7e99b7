story An answer that holds is billed; a person who joins makes it void

clock 2026-03-01
condition ../../conditions_dsl/gallery/automated_resolution.outcome
price automated_resolution 0.99
contract monthly

# The assistant answers. For 72 hours nobody writes again.
day 0 09:00   assistant.replied   conversation_id=C-1
expect C-1 provisional until day 3 09:00
advance day 3 08:59
expect C-1 provisional
advance day 3 09:00
expect C-1 confirmed at day 3 09:00 quantity=1

# A message, and another answer: the 72 hours begin anew.
day 5 09:00   assistant.replied   conversation_id=C-2
day 7 09:00   customer.message    conversation_id=C-2
expect C-2 open
day 7 09:01   assistant.replied   conversation_id=C-2
expect C-2 provisional until day 10 09:01

# Here a person has to step in.
day 8 10:00   assistant.replied   conversation_id=C-3
day 9 10:00   agent.joined        conversation_id=C-3
expect C-3 void at day 9 10:00

# And here the customer is not content: this is never met again, and ends unbilled.
day 9 11:00   assistant.replied   conversation_id=C-4
day 9 12:00   survey.answered     conversation_id=C-4 rating=2
expect C-4 open

advance day 31
expect C-2 confirmed at day 10 09:01
invoice 2026-03 issued 1.98
line 2 x "Automated resolution" at 0.99 = 1.98 voided=1
lines 1
