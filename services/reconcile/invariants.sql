-- invariant: item-never-over-allocated: What is allocated to an item lies between nothing and its total, and is the sum of its standing shares.
SELECT items.entry_id AS subject,
    'total ' || total_minor || ', allocated ' || allocated_minor || ', shares ' || coalesce(shares.minor, 0) AS detail
FROM items LEFT JOIN (
    SELECT entry_id, sum(amount_minor) AS minor FROM allocations
    JOIN matches USING (match_id) WHERE undone_at IS NULL GROUP BY entry_id
) AS shares USING (entry_id)
WHERE allocated_minor <> coalesce(shares.minor, 0)
    OR allocated_minor NOT BETWEEN least(total_minor, 0) AND greatest(total_minor, 0)

-- invariant: line-allocated-to-the-cent: The shares and differences of a matched line are exactly what it pays.
SELECT line_id AS subject, 'shares and differences miss it by ' || sum(minor) AS detail
FROM (
    SELECT line_id, amount_minor AS minor FROM lines WHERE state = 'matched'
    UNION ALL SELECT line_id, amount_minor FROM matches JOIN allocations USING (match_id) WHERE undone_at IS NULL
    UNION ALL SELECT line_id, amount_minor FROM matches JOIN differences USING (match_id) WHERE undone_at IS NULL
) AS parts GROUP BY line_id HAVING sum(minor) <> 0

-- invariant: line-has-one-fate: A line is matched, waits with exactly one open exception, or was dismissed.
SELECT lines.line_id AS subject, lines.state || ' with ' || count(exceptions.exception_id) || ' open exceptions' AS detail
FROM lines LEFT JOIN exceptions ON exceptions.line_id = lines.line_id
    AND exceptions.state = 'open' AND exceptions.entry_id IS NULL
GROUP BY lines.line_id, lines.state
HAVING count(exceptions.exception_id) <> CASE WHEN lines.state = 'exception' THEN 1 ELSE 0 END

-- invariant: statement-closes: A proven statement's lines lead from its opening to its closing balance.
SELECT statements.statement_id AS subject,
    opening_minor || ' + ' || sum_minor || ' is not ' || closing_minor AS detail
FROM statements WHERE state = 'proven' AND opening_minor + sum_minor <> closing_minor
UNION ALL
SELECT statements.statement_id, line_count || ' lines announced, ' || known_count || ' known, '
    || count(lines.line_id) || ' kept'
FROM statements LEFT JOIN lines USING (statement_id)
GROUP BY statements.statement_id
HAVING count(lines.line_id) <> CASE WHEN statements.state = 'quarantined' THEN 0 ELSE line_count - known_count END
    OR (statements.state <> 'quarantined' AND known_count = 0 AND coalesce(sum(lines.amount_minor), 0) <> sum_minor)

-- invariant: one-standing-entry-per-revision: A claim revision has at most one entry that is not reversed.
SELECT claim_id || '/' || revision AS subject, count(*) || ' entries' AS detail
FROM items WHERE reversed_by IS NULL GROUP BY claim_id, revision HAVING count(*) > 1

-- invariant: return-within-its-payment: What came back of a payment is never more than was paid.
SELECT paid.match_id || ' to ' || paid.entry_id AS subject,
    'paid ' || paid.amount_minor || ', returned ' || back.minor AS detail
FROM (
    SELECT returns, entry_id, sum(amount_minor) AS minor FROM matches JOIN allocations USING (match_id)
    WHERE kind = 'return' AND undone_at IS NULL GROUP BY returns, entry_id
) AS back
JOIN allocations AS paid ON paid.match_id = back.returns AND paid.entry_id = back.entry_id
WHERE paid.amount_minor + back.minor NOT BETWEEN least(paid.amount_minor, 0) AND greatest(paid.amount_minor, 0)

-- invariant: mentions-only-of-waiting-lines: The references kept for later entries belong to lines that wait.
SELECT mentions.line_id AS subject, mentions.reference_key AS detail
FROM mentions JOIN lines USING (line_id) WHERE lines.state <> 'exception'
