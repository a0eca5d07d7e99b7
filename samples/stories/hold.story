story A hold puts a charge off; released, it is final as of the instant that was planned

clock 2026-03-01
condition ../../conditions_dsl/gallery/resolved_incident.outcome
price resolved_incident 2.00
contract monthly

day 0 09:00   incident.resolved   incident_id=I-1 resolved_by=autopilot
hold I-1 "The customer rang: it may not be solved"
advance day 4
expect I-1 provisional until day 0 21:00
release I-1
expect I-1 confirmed at day 0 21:00

# A hold on the whole customer, over the end of the month.
day 5 09:00   incident.resolved   incident_id=I-2 resolved_by=autopilot
hold customer "Their merger is being looked at"
advance day 35
expect I-2 provisional until day 5 21:00
release customer
expect I-2 confirmed at day 5 21:00
advance day 61
invoice 2026-03 issued 4.00
line 2 x "Incident resolved" at 2.00 = 4.00
lines 1
