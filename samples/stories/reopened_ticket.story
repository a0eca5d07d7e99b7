story An incident comes back inside its window, and is resolved again

clock 2026-03-01
condition ../../conditions_dsl/gallery/resolved_incident.outcome
price resolved_incident 2.00
contract monthly

# The autopilot resolves it. It would be final after 12 hours.
day 0 09:00   incident.resolved   incident_id=I-1 resolved_by=autopilot severity=2
expect I-1 provisional until day 0 21:00

# It comes back after six: that attempt is void, and nothing is charged for it.
day 0 15:00   incident.recurred   incident_id=I-1
expect I-1 void at day 0 15:00

# Resolved once more, it is billed, once.
day 0 16:00   incident.resolved   incident_id=I-1 resolved_by=autopilot severity=2
expect I-1 provisional until day 1 04:00
advance day 2
expect I-1#1 void
expect I-1#2 confirmed at day 1 04:00 severity=2

# What a person resolved is not ours to bill.
day 3 09:00   incident.resolved   incident_id=I-2 resolved_by=person
expect I-2 open

advance day 31
invoice 2026-03 issued 2.00
line 1 x "Incident resolved" at 2.00 = 2.00 severity=2 voided=1
lines 1
