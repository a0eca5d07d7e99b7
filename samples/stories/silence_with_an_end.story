story Silence ends a conversation, and a chatty one ends after 14 days all the same

clock 2026-03-01
condition ../../conditions_dsl/gallery/support_resolution.outcome
price support_resolution 0.75
contract monthly

# 24 hours of silence after the answer. A heartbeat of the help desk breaks the silence, again and again …
day 0 00:00   answer.sent            conversation_id=C-1 by=agent
expect C-1 provisional until day 1 00:00
day 0 20:00   conversation.opened    conversation_id=C-1 channel=chat
expect C-1 provisional until day 1 20:00
day 1 16:00   conversation.opened    conversation_id=C-1 channel=chat
day 2 12:00   conversation.opened    conversation_id=C-1 channel=chat
day 3 08:00   conversation.opened    conversation_id=C-1 channel=chat
day 4 04:00   conversation.opened    conversation_id=C-1 channel=chat
day 5 00:00   conversation.opened    conversation_id=C-1 channel=chat
day 5 20:00   conversation.opened    conversation_id=C-1 channel=chat
day 6 16:00   conversation.opened    conversation_id=C-1 channel=chat
day 7 12:00   conversation.opened    conversation_id=C-1 channel=chat
day 8 08:00   conversation.opened    conversation_id=C-1 channel=chat
day 9 04:00   conversation.opened    conversation_id=C-1 channel=chat
day 10 00:00  conversation.opened    conversation_id=C-1 channel=chat
day 10 20:00  conversation.opened    conversation_id=C-1 channel=chat
day 11 16:00  conversation.opened    conversation_id=C-1 channel=chat
day 12 12:00  conversation.opened    conversation_id=C-1 channel=chat
day 13 08:00  conversation.opened    conversation_id=C-1 channel=chat
# … but no longer than 14 days.
expect C-1 provisional until day 14 00:00
advance day 14
expect C-1 confirmed at day 14 00:00 resolution=assumed channel=chat

# Where there is silence it takes a day.
day 15 09:00  answer.sent            conversation_id=C-2 by=agent
advance day 17
expect C-2 confirmed at day 16 09:00

advance day 31
invoice 2026-03 issued 1.50
line 1 x "Support conversation resolved" at 0.75 = 0.75 channel=chat
line 1 x "Support conversation resolved" at 0.75 = 0.75
lines 2
