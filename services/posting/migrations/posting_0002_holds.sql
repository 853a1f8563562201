-- why: a claim that lacks an account or an open period is held until it comes, instead of failing
-- depends: posting_0001_journal

-- migrate: apply
ALTER TABLE cases DROP CONSTRAINT cases_stage_check;
ALTER TABLE cases ADD CONSTRAINT cases_stage_check CHECK (stage IN (
    'waiting', 'blocked', 'held', 'intended', 'recalled', 'posted', 'failed', 'reversing',
    'reversed', 'withdrawn', 'refused')) NOT VALID;
ALTER TABLE cases VALIDATE CONSTRAINT cases_stage_check;
ALTER TABLE cases DROP CONSTRAINT cases_check;
ALTER TABLE cases ADD CONSTRAINT cases_check
    CHECK (claim IS NULL OR stage IN ('waiting', 'blocked', 'held')) NOT VALID;
ALTER TABLE cases VALIDATE CONSTRAINT cases_check;

-- A row stays when its case goes on: why a posting was late is asked for long afterwards.
CREATE TABLE holds (
    claim_id uuid NOT NULL,
    revision int NOT NULL,
    reasons jsonb NOT NULL,
    lacks text[] NOT NULL CHECK (cardinality(lacks) > 0),
    since timestamptz NOT NULL,
    PRIMARY KEY (claim_id, revision),
    FOREIGN KEY (claim_id, revision) REFERENCES cases
);

CREATE INDEX holds_lacks ON holds USING gin (lacks);

-- migrate: rollback
