story Two events tell of one merge; one that is reverted within 48 hours is not billed

clock 2026-03-01
currency EUR
condition ../../conditions_dsl/gallery/merged_pull_request.outcome
price merged_pull_request 4.00 size=normal
price merged_pull_request 9.50 size=large
contract monthly

day 0 09:00   pull_request.merged     repository=web number=17 changed_lines=20
day 0 09:00   pull_request.closed     repository=web number=17 merged=true
expect '["web", "17"]' provisional until day 2 09:00

day 1 09:00   pull_request.merged     repository=web number=18 changed_lines=900
day 3 08:59   pull_request.reverted   repository=web number=18
expect '["web", "18"]' void at day 3 08:59

day 4 09:00   pull_request.merged     repository=web number=19 changed_lines=2000
# Reverted, but after the 48 hours: it stays billed.
day 6 09:00   pull_request.reverted   repository=web number=19
expect '["web", "19"]' confirmed at day 6 09:00 size=large

# Closed without being merged.
day 7 09:00   pull_request.closed     repository=web number=20 merged=false
expect '["web", "20"]' open

advance day 31
expect '["web", "17"]' confirmed at day 2 09:00 size=normal
invoice 2026-03 issued 13.50
line 1 x "Merged pull request" at 4.00 = 4.00 size=normal
line 1 x "Merged pull request" at 9.50 = 9.50 size=large voided=1
lines 2
