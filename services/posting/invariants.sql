-- invariant: entries-balance: debits equal credits in every entry, and every entry has lines.
SELECT e.number AS subject, coalesce(sum(l.amount_minor), 0) || ' minor units apart' AS detail
FROM entries e LEFT JOIN journal_lines l ON l.entry_id = e.id
GROUP BY e.id HAVING count(l.line) < 2 OR sum(l.amount_minor) <> 0;

-- invariant: the-books-balance: debits equal credits per company and currency, and no line lacks its entry.
SELECT coalesce(e.company, 'lines without an entry') AS subject,
    coalesce(e.currency, '') || ' ' || sum(l.amount_minor) || ' minor units apart' AS detail
FROM journal_lines l LEFT JOIN entries e ON e.id = l.entry_id
GROUP BY e.company, e.currency HAVING e.company IS NULL OR sum(l.amount_minor) <> 0;

-- invariant: no-number-is-missing: the entries of a company and year are numbered 1, 2, 3 … without a gap.
SELECT s.company || ' ' || s.fiscal_year AS subject,
    s.last || ' numbers given, ' || count(e.sequence) || ' used, highest '
        || coalesce(max(e.sequence), 0) AS detail
FROM number_series s
LEFT JOIN entries e ON e.company = s.company AND e.fiscal_year = s.fiscal_year AND e.sequence > 0
GROUP BY s.company, s.fiscal_year, s.last
HAVING s.last <> count(e.sequence) OR s.last <> coalesce(max(e.sequence), 0);

-- invariant: one-active-posting: a claim revision has one posting at most, and a reversal only of it.
SELECT claim_id || ' revision ' || revision AS subject,
    count(*) FILTER (WHERE kind = 'post') || ' postings, '
        || count(*) FILTER (WHERE kind = 'reverse') || ' reversals' AS detail
FROM entries GROUP BY claim_id, revision
HAVING count(*) FILTER (WHERE kind = 'post') <> 1
    OR count(*) FILTER (WHERE kind = 'reverse') > 1;

-- invariant: reversals-cancel: an entry and its reversal leave nothing on any account.
SELECT r.number AS subject, l.account || ' keeps ' || sum(l.amount_minor) AS detail
FROM entries r JOIN journal_lines l ON l.entry_id IN (r.id, r.reverses)
WHERE r.kind = 'reverse' GROUP BY r.id, l.account HAVING sum(l.amount_minor) <> 0;

-- invariant: reservations-are-answered: 15 minutes after a reservation there is an entry, a failure or an intent.
SELECT claim_id || ' revision ' || revision AS subject,
    stage || ' since ' || since
        || CASE WHEN claim IS NULL THEN ', the claim itself has not arrived' ELSE '' END AS detail
FROM cases WHERE cause_id IS NOT NULL AND stage IN ('waiting', 'blocked', 'reversing')
    AND since < now() - interval '15 minutes';

-- invariant: cases-agree-with-the-books: posted and reversed cases have their entries, others have none.
SELECT c.claim_id || ' revision ' || c.revision AS subject,
    c.stage || ', ' || count(e.id) || ' entries' AS detail
FROM cases c LEFT JOIN entries e ON e.claim_id = c.claim_id AND e.revision = c.revision
GROUP BY c.claim_id, c.revision HAVING count(e.id) <> CASE
    WHEN c.stage IN ('posted', 'reversing') THEN 1 WHEN c.stage = 'reversed' THEN 2 ELSE 0 END;

-- invariant: totals-agree: what an entry says is owed is what its claim asked for.
SELECT e.number AS subject,
    e.total_minor || ' ' || e.currency || ', claimed ' || c.total_minor || ' ' || c.currency AS detail
FROM entries e JOIN cases c ON c.claim_id = e.claim_id AND c.revision = e.revision
WHERE e.kind = 'post' AND (e.total_minor <> c.total_minor OR e.currency <> c.currency);

-- invariant: intents-move: no entry for another ledger is unanswered for an hour, no reversal refused.
SELECT key AS subject, ledger || ': ' || state || ' since ' || made_at || ' ' || detail AS detail
FROM intents
WHERE (state IN ('intended', 'calling', 'unknown') AND made_at < now() - interval '1 hour')
    OR (state = 'refused' AND kind = 'reverse');

-- invariant: answers-are-in-the-books: an intent that was answered has its entry under the given number.
SELECT i.key AS subject, coalesce(i.number, 'no number') AS detail
FROM intents i
LEFT JOIN entries e ON e.claim_id = i.claim_id AND e.revision = i.revision AND e.kind = i.kind
WHERE i.state = 'posted' AND i.number IS DISTINCT FROM e.number;

-- invariant: what-is-held-says-why: a held case has its claim, its cause and the reasons that hold it.
SELECT c.claim_id || ' revision ' || c.revision AS subject, 'held without a reason' AS detail
FROM cases c LEFT JOIN holds h USING (claim_id, revision)
WHERE c.stage = 'held'
    AND (h.claim_id IS NULL OR c.claim IS NULL OR c.cause_id IS NULL OR h.reasons = '[]');
