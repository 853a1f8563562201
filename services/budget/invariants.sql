-- invariant: reserved-is-what-live-cases-hold: each budget's reserved money equals what reserved cases hold in it.
SELECT b.company || '/' || b.code AS subject,
       'reserved ' || b.reserved_minor || ', cases hold ' || coalesce(h.held, 0) AS detail
FROM budgets b
LEFT JOIN (
    SELECT p.budget, sum(greatest(p.amount, 0)) AS held
    FROM cases c, unnest(c.budgets, c.amounts) AS p (budget, amount)
    WHERE c.state = 'reserved' GROUP BY p.budget
) h ON h.budget = b.id
WHERE b.reserved_minor <> coalesce(h.held, 0);

-- invariant: spent-is-what-spent-cases-carry: each budget's spent money equals what spent cases carry in it.
SELECT b.company || '/' || b.code AS subject,
       'spent ' || b.spent_minor || ', cases carry ' || coalesce(s.carried, 0) AS detail
FROM budgets b
LEFT JOIN (
    SELECT p.budget, sum(p.amount) AS carried
    FROM cases c, unnest(c.budgets, c.amounts) AS p (budget, amount)
    WHERE c.state = 'spent' GROUP BY p.budget
) s ON s.budget = b.id
WHERE b.spent_minor <> coalesce(s.carried, 0);

-- invariant: hard-budgets-are-never-overdrawn: a hard budget uses at most its limit, or what it used when the limit was cut.
SELECT company || '/' || code AS subject,
       'uses ' || reserved_minor + spent_minor || ' of ' || limit_minor || ', at most ' || ceiling_minor
       AS detail
FROM budgets
WHERE reserved_minor < 0 OR (control = 'hard' AND reserved_minor + spent_minor > ceiling_minor);

-- invariant: ended-cases-reserve-nothing: no money is held for a claim that was rejected, withdrawn, posted or failed.
SELECT claim_id || '/' || revision AS subject, 'reserved for ' || company AS detail
FROM cases
WHERE state = 'reserved' AND (rejected OR withdrawn OR entry IS NOT NULL OR NOT approved);

-- invariant: only-funded-claims-are-posted: the ledger has no entry for a claim that budget refused or never reserved for.
SELECT claim_id || '/' || revision AS subject, state || ', entry ' || entry AS detail
FROM cases
WHERE entry = 'posted' AND state <> 'spent' AND changed_at < now() - interval '15 minutes';

-- invariant: decided-claims-do-not-wait: an approved claim is reserved or refused within fifteen minutes.
SELECT claim_id || '/' || revision AS subject,
       CASE WHEN submitted THEN 'company ' || company || ' is not defined'
            ELSE 'approved, but never submitted' END AS detail
FROM cases
WHERE state = 'open' AND approved AND changed_at < now() - interval '15 minutes';

-- invariant: budgets-speak-their-companys-currency: otherwise they carry nothing.
SELECT b.company || '/' || b.code AS subject, b.currency || ', the company has ' || c.currency AS detail
FROM budgets b JOIN companies c USING (company)
WHERE b.currency <> c.currency;

-- invariant: budgets-hang-on-trees: following parents upward ends at a root.
WITH RECURSIVE climb AS (
    SELECT company, code AS leaf, code, parent, 1 AS depth FROM budgets
    UNION ALL
    SELECT c.company, c.leaf, b.code, b.parent, c.depth + 1
    FROM climb c JOIN budgets b ON b.company = c.company AND b.code = c.parent
    WHERE c.depth < 100
)
SELECT company || '/' || leaf AS subject, 'has a hundred ancestors or a cycle' AS detail
FROM climb WHERE depth = 100;

-- invariant: parents-are-defined: a budget named as a parent is defined in the end; until then it has no limit.
SELECT company || '/' || code AS subject, 'named as a parent, not defined' AS detail
FROM budgets WHERE NOT defined;
