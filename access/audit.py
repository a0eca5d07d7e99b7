"""What must hold of the audit trail: nothing that was written was changed, removed or slipped in."""

from access.invariants import Invariant

# Not by the database's own function, which whoever changes lines could change as well.
_CHAIN = """
SELECT CASE WHEN line_id IS NULL THEN 'line ' || entry_line || ' is gone'
            WHEN seq <> previous_seq + 1 THEN 'entries before this one are gone'
            ELSE 'line ' || line_id || ', or an entry up to it, is not what was written' END AS problem,
       seq AS entry, entry_line AS line
FROM (
    SELECT e.seq, e.digest, e.line_id AS entry_line, l.id AS line_id,
           coalesce(lag(e.seq) OVER w, 0) AS previous_seq,
           sha256(convert_to(jsonb_build_array(
               coalesce(encode(lag(e.digest) OVER w, 'hex'), ''), e.seq, extract(epoch FROM e.noted_at)::text,
               host(e.address), e.user_agent, l.id, extract(epoch FROM l.action_time)::text, l.user_id,
               l.content_type_id, l.object_id, l.object_repr, l.action_flag, l.change_message
           )::text, 'UTF8')) AS computed
    FROM access_trailentry e LEFT JOIN django_admin_log l ON l.id = e.line_id
    WINDOW w AS (ORDER BY e.seq)
) chain
WHERE line_id IS NULL OR seq <> previous_seq + 1 OR digest <> computed
ORDER BY seq
"""

_UNCHAINED = """
SELECT 'the line has no entry in the chain' AS problem, l.id AS line
FROM django_admin_log l LEFT JOIN access_trailentry e ON e.line_id = l.id
WHERE e.seq IS NULL
"""

INVARIANTS = (
    Invariant(
        name="trail",
        sentence="The audit trail is the unbroken chain that was written: no line was changed, removed or slipped in.",
        way_out="Somebody wrote past the triggers, or storage is damaged. Keep a dump and the logs: each act's line in "
        "them (trail_entry) has the digest of its entry, and the last that agrees with the table tells from where on "
        "it was changed. Compare with a backup of before; the lines themselves are evidence, and are not mended.",
        of="entries",
        checked="SELECT count(*) FROM access_trailentry",
        violations=(_CHAIN, _UNCHAINED),
    ),
)
