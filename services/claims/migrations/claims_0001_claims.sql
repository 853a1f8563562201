-- why: claims and their stories, what makes duplicates visible, and the master data that judges them
-- depends:

-- migrate: apply
CREATE TABLE companies (
    company text PRIMARY KEY,
    currency char(3) NOT NULL,
    claim_age_days int CHECK (claim_age_days >= 1)
);

-- Employees, cost centres, projects and categories: a claim only asks whether a name is in use.
CREATE TABLE directory (
    company text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('employee', 'cost_center', 'project', 'category')),
    code text NOT NULL,
    active boolean NOT NULL,
    PRIMARY KEY (company, kind, code)
);

-- One row per revision. A row without a source belongs to a claim that others speak of before it has
-- come. `facts` is the set of what was said, one bit each: 1 submitted, 2 asked, 4 approved,
-- 8 rejected, 16 reserved, 32 funds refused, 64 posted, 128 failed, 256 reversed, 512 withdrawn.
-- `state` follows from it. No index may name a column that changes: a claim is updated four times
-- on its way, each time on its own page (HOT) and without touching an index.
CREATE TABLE claims (
    claim_id uuid NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    total_minor bigint NOT NULL,
    open_minor bigint,
    since timestamptz NOT NULL,
    submitted_at timestamptz,
    revision int NOT NULL CHECK (revision >= 1),
    facts int NOT NULL,
    paid_on date,
    currency char(3) NOT NULL,
    state text NOT NULL CHECK (state IN (
        'awaited', 'submitted', 'in_approval', 'approved', 'reserved', 'posted', 'settled',
        'rejected', 'funds_refused', 'posting_failed', 'reversed', 'withdrawn')),
    company text NOT NULL,
    source text,
    source_key text,
    employee text,
    digest bytea CHECK (length(digest) = 16),
    PRIMARY KEY (claim_id, revision),
    CONSTRAINT awaited_until_submitted CHECK (
        (state = 'awaited') = (facts & 1 = 0)
        AND (facts & 1 = 0) = (submitted_at IS NULL)
        AND (facts & 1 = 0 OR (source IS NOT NULL AND source_key IS NOT NULL
            AND employee IS NOT NULL AND digest IS NOT NULL))
    ),
    CONSTRAINT settled_by_full_payment_of_an_entry CHECK (
        state <> 'settled' OR (facts & 64 <> 0 AND open_minor = 0 AND paid_on IS NOT NULL)
    ),
    CONSTRAINT facts_do_not_contradict CHECK (
        facts & 12 <> 12 AND facts & 48 <> 48 AND facts & 192 <> 192
    )
) WITH (fillfactor = 50);

CREATE INDEX claims_newest ON claims (number);
CREATE INDEX claims_of_employee ON claims (company, employee, number);

-- The claim as it was accepted (the body of its ClaimSubmitted), written once, and the name its
-- whole story goes by: whatever a person decides later continues under it.
CREATE TABLE documents (
    claim_id uuid NOT NULL,
    revision int NOT NULL,
    body bytea NOT NULL,
    correlation_id text NOT NULL,
    PRIMARY KEY (claim_id, revision)
);

-- Expenses that may be the same one have the same print.
CREATE TABLE prints (
    print bigint NOT NULL,
    claim_id uuid NOT NULL,
    PRIMARY KEY (print, claim_id)
);

-- A story: one row per thing said about a claim. `mark` is equal for the same fact sent twice.
CREATE TABLE steps (
    claim_id uuid NOT NULL,
    mark bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    revision int NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    figures jsonb NOT NULL,
    traceparent text NOT NULL,
    PRIMARY KEY (claim_id, revision, mark)
);

-- Commands that wait a few seconds for master data, in the order they came.
CREATE TABLE held (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_id uuid NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    since timestamptz NOT NULL,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL
);

CREATE INDEX held_claims ON held (claim_id);

-- migrate: rollback
