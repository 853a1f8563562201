-- why: budgets, the money they hold, and for which claim
-- depends:

-- migrate: apply
CREATE TABLE companies (
    company text PRIMARY KEY,
    currency char(3),
    unbudgeted text CHECK (unbudgeted IN ('hard', 'soft', 'none')),
    tree uuid NOT NULL,
    CHECK ((currency IS NULL) = (unbudgeted IS NULL))
);

CREATE TABLE budgets (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company text NOT NULL REFERENCES companies,
    code text NOT NULL,
    parent text,
    cost_center text NOT NULL,
    project text NOT NULL,
    category text NOT NULL,
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    currency char(3) NOT NULL,
    limit_minor bigint NOT NULL,
    control text NOT NULL CHECK (control IN ('hard', 'soft', 'none')),
    thresholds smallint[] NOT NULL,
    defined boolean NOT NULL,
    reserved_minor bigint NOT NULL DEFAULT 0,
    spent_minor bigint NOT NULL DEFAULT 0,
    ceiling_minor bigint NOT NULL,
    UNIQUE (company, code),
    FOREIGN KEY (company, parent) REFERENCES budgets (company, code) DEFERRABLE INITIALLY DEFERRED,
    CHECK (ends_on >= starts_on),
    CHECK (parent <> code),
    CONSTRAINT nothing_less_than_nothing_is_held CHECK (reserved_minor >= 0),
    -- The ceiling is the limit until the limit is cut below what is in use, or the ledger exceeds it.
    CONSTRAINT the_ceiling_covers_the_limit CHECK (ceiling_minor >= limit_minor),
    CONSTRAINT a_hard_budget_is_never_overdrawn
    CHECK (control <> 'hard' OR reserved_minor + spent_minor <= ceiling_minor)
) WITH (fillfactor = 40);

CREATE TABLE cases (
    claim_id uuid NOT NULL,
    revision smallint NOT NULL,
    company text NOT NULL,
    currency char(3) NOT NULL,
    total_minor bigint NOT NULL,
    state text NOT NULL
    CHECK (state IN ('open', 'closed', 'refused', 'reserved', 'spent', 'released')),
    submitted boolean NOT NULL,
    checked boolean NOT NULL,
    approved boolean NOT NULL,
    rejected boolean NOT NULL,
    withdrawn boolean NOT NULL,
    entry text CHECK (entry IN ('posted', 'failed', 'reversed')),
    lines bytea,
    budgets int[] NOT NULL,
    amounts bigint[] NOT NULL,
    changed_at timestamptz NOT NULL,
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    PRIMARY KEY (claim_id, revision),
    CONSTRAINT each_part_names_its_budget CHECK (cardinality(budgets) = cardinality(amounts)),
    CONSTRAINT nothing_is_held_before_it_is_reserved
    CHECK (state IN ('reserved', 'spent', 'released') OR cardinality(budgets) = 0),
    CONSTRAINT money_moves_only_once_the_claim_is_known
    CHECK (submitted OR state IN ('open', 'closed')),
    CONSTRAINT only_approved_money_is_reserved CHECK (state <> 'reserved' OR approved),
    CONSTRAINT only_open_cases_wait CHECK (cause_id IS NULL OR state = 'open')
);

CREATE INDEX cases_reserved ON cases (company, claim_id, revision) WHERE state = 'reserved';
CREATE INDEX cases_waiting ON cases (company) WHERE cause_id IS NOT NULL;

-- migrate: rollback
