story A person takes charges back, with a reason: no later event undoes that

clock 2026-03-01
condition ../../conditions_dsl/gallery/signed_document.outcome
price signed_document 3.00
contract monthly

day 0 09:00   document.signed       document_id=D-1 party=buyer
expect D-1 open
day 1 09:00   document.signed       document_id=D-1 party=seller
expect D-1 provisional until day 2 09:00
advance day 3
expect D-1 confirmed at day 2 09:00 completion=signatures

# After it was final: reversed.
reverse D-1 "The customer was promised this one for free"
expect D-1 reversed at day 3 00:00

# Before it was final: void.
day 4 09:00   document.overridden   document_id=D-2 role=administrator
expect D-2 provisional until day 5 09:00
advance day 4 10:00
reverse D-2 "Signed for a test"
expect D-2 void at day 4 10:00

# This one stays.
day 6 09:00   document.overridden   document_id=D-3 role=administrator
advance day 31
expect D-1 reversed
expect D-2 void
expect D-3 confirmed at day 7 09:00 completion=override
invoice 2026-03 issued 3.00
line 1 x "Signed document" at 3.00 = 3.00 completion=override voided=1
lines 1
