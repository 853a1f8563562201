-- invariant: accepted-has-a-story: whatever was accepted in the last day has its document and its first step.
SELECT c.claim_id || '/' || c.revision AS subject, 'accepted without document or story' AS detail
FROM claims c
WHERE c.submitted_at > now() - interval '1 day' AND NOT EXISTS (
    SELECT FROM documents d JOIN steps s USING (claim_id, revision)
    WHERE d.claim_id = c.claim_id AND d.revision = c.revision
        AND s.kind = 'claims.claim-submitted.v1'
);

-- invariant: every-fact-has-its-step: what is known of a claim that moved in the last day is in its story.
SELECT c.claim_id || '/' || c.revision AS subject, 'no step of kind ' || k.kind AS detail
FROM claims c
JOIN (VALUES
    (2, 'approval.step-opened.v1'), (4, 'approval.claim-approved.v1'),
    (8, 'approval.claim-rejected.v1'), (16, 'budget.funds-reserved.v1'),
    (32, 'budget.funds-refused.v1'), (64, 'posting.entry-posted.v1'),
    (128, 'posting.entry-failed.v1'), (256, 'posting.entry-reversed.v1'),
    (512, 'claims.claim-withdrawn.v1'), (1024, 'posting.entry-held.v1')
) AS k (bit, kind) ON c.facts & k.bit <> 0
LEFT JOIN steps s ON s.claim_id = c.claim_id AND s.revision = c.revision AND s.kind = k.kind
WHERE c.since > now() - interval '1 day' AND s.claim_id IS NULL;

-- invariant: one-end: a claim that was rejected, refused, failed or withdrawn for good stands there.
SELECT c.claim_id || '/' || c.revision AS subject, c.state || ' with facts ' || c.facts AS detail
FROM claims c
WHERE c.facts & 1 <> 0 AND (
    (c.state = 'withdrawn') <> (c.facts & 512 <> 0)
    OR (c.state IN ('settled', 'posted')) <> (c.facts & (64 | 256 | 512) = 64)
    OR (c.state = 'rejected' AND c.facts & 8 = 0)
    OR (c.state = 'funds_refused' AND c.facts & 32 = 0)
    OR (c.state = 'posting_failed' AND c.facts & 128 = 0)
);

-- invariant: settled-is-posted-and-paid: a settled claim has an entry, nothing open, and was said to be settled.
SELECT c.claim_id || '/' || c.revision AS subject, 'settled with ' || coalesce(c.open_minor, c.total_minor) || ' open' AS detail
FROM claims c
WHERE c.state = 'settled' AND (c.open_minor IS DISTINCT FROM 0 OR c.facts & 64 = 0)
UNION ALL
SELECT c.claim_id || '/' || c.revision, 'settled without a word'
FROM claims c
WHERE c.state = 'settled' AND c.since > now() - interval '1 day' AND NOT EXISTS (
    SELECT FROM steps s
    WHERE s.claim_id = c.claim_id AND s.revision = c.revision AND s.kind = 'claims.claim-settled.v1'
);

-- invariant: one-revision-lives: a next revision follows only what ended without payment.
SELECT claim_id || '/' || revision AS subject, state || ' beside revision ' || next AS detail
FROM (
    SELECT claim_id, revision, state,
        lead(revision) OVER (PARTITION BY claim_id ORDER BY revision) AS next
    FROM claims WHERE state <> 'awaited'
        AND claim_id IN (SELECT claim_id FROM claims WHERE revision > 1)
) AS revised
WHERE next IS NOT NULL
    AND state NOT IN ('rejected', 'funds_refused', 'posting_failed', 'reversed', 'withdrawn');

-- invariant: no-machine-waits: a claim leaves a state that needs no person within fifteen minutes.
SELECT c.claim_id || '/' || c.revision AS subject, c.state || ' since ' || c.since AS detail
FROM claims c
WHERE c.state IN ('awaited', 'submitted', 'approved', 'reserved')
    AND c.since < now() - interval '15 minutes';

-- invariant: withdrawn-is-turned-back: the entry of a withdrawn claim is reversed within fifteen minutes.
SELECT c.claim_id || '/' || c.revision AS subject, 'withdrawn, and still in the books' AS detail
FROM claims c
WHERE c.facts & (64 | 256 | 512) = 64 | 512 AND c.since < now() - interval '15 minutes';

-- invariant: nothing-is-held-long: a command waits for master data no longer than a minute.
SELECT 'held/' || h.number AS subject, h.claim_id || ' since ' || h.since AS detail
FROM held h WHERE h.since < now() - interval '1 minute';
