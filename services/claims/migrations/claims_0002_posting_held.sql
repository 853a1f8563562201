-- why: a claim whose posting waits for an account or an open period stands in a state of its own
-- depends: claims_0001_claims

-- migrate: apply
ALTER TABLE claims DROP CONSTRAINT claims_state_check;
ALTER TABLE claims ADD CONSTRAINT claims_state_check CHECK (state IN (
    'awaited', 'submitted', 'in_approval', 'approved', 'reserved', 'posting_held', 'posted',
    'settled', 'rejected', 'funds_refused', 'posting_failed', 'reversed', 'withdrawn')) NOT VALID;
ALTER TABLE claims VALIDATE CONSTRAINT claims_state_check;

-- migrate: rollback
