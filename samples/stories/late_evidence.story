story An event that arrives late takes back what was final: the charge follows what happened

clock 2026-03-01
condition ../../conditions_dsl/gallery/resolved_incident.outcome
price resolved_incident 2.00
contract monthly

day 0 09:00   incident.resolved   incident_id=I-1 resolved_by=autopilot
advance day 2
expect I-1 confirmed at day 0 21:00

# Two days later a queue of the help desk is drained: it had come back inside its window.
late day 0 15:00  incident.recurred   incident_id=I-1
expect I-1#1 reversed
expect I-1#2 void at day 0 15:00

# And it was resolved again, an hour after that.
late day 0 16:00  incident.resolved   incident_id=I-1 resolved_by=autopilot
expect I-1#3 confirmed at day 1 04:00

# A late event that changes nothing leaves everything as it is.
day 5 09:00   incident.resolved   incident_id=I-2 resolved_by=autopilot
advance day 6
late day 5 08:00  incident.recurred   incident_id=I-2
expect I-2 confirmed at day 5 21:00

advance day 31
invoice 2026-03 issued 4.00
line 2 x "Incident resolved" at 2.00 = 4.00 voided=1
lines 1
