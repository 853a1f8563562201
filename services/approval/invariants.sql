-- invariant: nobody-approves-their-own-claim: whoever made a claim is asked in none of its steps.
SELECT t.claim_id || '/' || t.revision AS subject, a.approver || ' in step ' || t.step AS detail
FROM approvers a
JOIN tasks t USING (task_id)
JOIN cases c USING (claim_id, revision)
WHERE a.approver = c.employee;

-- invariant: the-decided-have-no-open-step: a step is open exactly while its case is.
SELECT c.claim_id || '/' || c.revision AS subject, c.state || ' with step ' || t.step || ' open' AS detail
FROM tasks t JOIN cases c USING (claim_id, revision)
WHERE t.state = 'open' AND c.state <> 'open'
UNION ALL
SELECT c.claim_id || '/' || c.revision, 'open without an open step'
FROM cases c
WHERE c.state = 'open' AND NOT EXISTS (
    SELECT FROM tasks t
    WHERE t.claim_id = c.claim_id AND t.revision = c.revision AND t.state = 'open'
);

-- invariant: an-open-step-asks-somebody: every open step waits for somebody who is still here.
SELECT t.claim_id || '/' || t.revision AS subject, 'nobody is asked in step ' || t.step AS detail
FROM tasks t
WHERE t.state = 'open' AND NOT EXISTS (
    SELECT FROM approvers a
    JOIN employees e ON e.company = a.company AND e.employee = a.approver
    WHERE a.task_id = t.task_id AND a.verdict = 'asked' AND e.active
);

-- invariant: a-decision-names-its-rule-version: what was decided says by which version of which rule.
SELECT c.claim_id || '/' || c.revision AS subject, c.state || ' by no known rule' AS detail
FROM cases c
WHERE c.state IN ('open', 'approved', 'rejected') AND coalesce(c.reason, '') NOT IN ('NO_RULE', 'EMPLOYEE_UNKNOWN')
    AND NOT EXISTS (
        SELECT FROM rules r
        WHERE r.company = c.company AND r.rule = c.rule AND r.version = c.rule_version
    );

-- invariant: an-approval-has-its-quorum: of every approved step one has agreed, or all when all must.
SELECT t.claim_id || '/' || t.revision AS subject, 'step ' || t.step || ' lacks its quorum' AS detail
FROM tasks t
JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE a.verdict IN ('approved', 'carried')) AS agreed,
        count(*) FILTER (WHERE a.verdict <> 'released') AS voices
    FROM approvers a WHERE a.task_id = t.task_id
) AS said ON true
WHERE t.state = 'approved' AND (said.agreed = 0 OR (t.quorum = 'all' AND said.agreed < said.voices));

-- invariant: every-step-was-taken: an approved claim has passed each step of the rule that decided it.
SELECT c.claim_id || '/' || c.revision AS subject, 'a step of ' || c.rule || ' is missing' AS detail
FROM cases c
JOIN rules r ON r.company = c.company AND r.rule = c.rule AND r.version = c.rule_version
WHERE c.state = 'approved' AND jsonb_array_length(r.definition -> 'steps') > 0
    AND jsonb_array_length(r.definition -> 'steps') <> (
    SELECT count(*) FROM tasks t
    WHERE t.claim_id = c.claim_id AND t.revision = c.revision AND t.state = 'approved'
);

-- invariant: no-machine-waits: claim and check find each other within fifteen minutes.
SELECT c.claim_id || '/' || c.revision AS subject,
    'waits for ' || CASE WHEN c.outcome IS NULL THEN 'the budget check' ELSE 'the claim' END AS detail
FROM cases c
WHERE c.state = 'waiting' AND c.received_at < now() - interval '15 minutes';
