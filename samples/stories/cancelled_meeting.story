story A meeting counts when it is held: not when it is cancelled, not with a no-show

clock 2026-03-01
condition ../../conditions_dsl/gallery/held_meeting.outcome
price held_meeting 120
contract monthly

# Booked and held; five days to object.
day 0 09:00   meeting.booked         meeting_id=M-1 source=assistant 'attendees=[{"title": "CFO"}]'
expect M-1 open
day 4 09:00   meeting.held           meeting_id=M-1 duration_minutes=30
expect M-1 provisional until day 9 09:00

# Booked and held, and then found to be with the wrong people.
day 5 09:00   meeting.booked         meeting_id=M-2 source=assistant
day 6 09:00   meeting.held           meeting_id=M-2 duration_minutes=45
day 7 09:00   meeting.disqualified   meeting_id=M-2
expect M-2 void at day 7 09:00

# Nobody came; booked again and held, and accepted by the seller: final at once.
day 8 09:00   meeting.booked         meeting_id=M-3 source=assistant
day 9 08:00   meeting.no_show        meeting_id=M-3
expect M-3 open
day 10 09:00  meeting.booked         meeting_id=M-3 source=assistant
day 12 09:00  meeting.held           meeting_id=M-3 duration_minutes=20
day 13 09:00  meeting.accepted       meeting_id=M-3
expect M-3 confirmed at day 13 09:00

# Too short to count.
day 14 09:00  meeting.booked         meeting_id=M-4 source=assistant
day 14 10:00  meeting.held           meeting_id=M-4 duration_minutes=14.9
expect M-4 open

advance day 31
expect M-1 confirmed at day 9 09:00
invoice 2026-03 issued 240.00
line 2 x "Qualified meeting held" at 120 = 240 voided=1
lines 1
