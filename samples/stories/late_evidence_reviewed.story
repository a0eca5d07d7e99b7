story A contract may want a person to look at late evidence before anything is taken back

clock 2026-03-01
condition ../../conditions_dsl/gallery/resolved_incident.outcome
price resolved_incident 2.00
contract monthly late_evidence=review

day 0 09:00   incident.resolved   incident_id=I-1 resolved_by=autopilot
day 0 10:00   incident.resolved   incident_id=I-2 resolved_by=autopilot
advance day 2
expect I-1 confirmed at day 0 21:00
expect I-2 confirmed at day 0 22:00

# Both come back inside their windows, and we hear of it two days later. Nothing changes yet.
late day 0 15:00  incident.recurred   incident_id=I-1
late day 0 15:00  incident.recurred   incident_id=I-2
expect I-1 confirmed
expect I-2 confirmed

accept I-1 "The help desk was down, its queue is right"
ignore I-2 "A test of the help desk"
expect I-1#1 reversed
expect I-1#2 void at day 0 15:00
expect I-2 confirmed at day 0 22:00

advance day 31
invoice 2026-03 issued 2.00
line 1 x "Incident resolved" at 2.00 = 2.00 voided=1
lines 1
