-- why: cases of claims, the journal they become, its gap-free numbers, and intents for other ledgers
-- depends:

-- migrate: apply
CREATE TABLE companies (
    company text PRIMARY KEY,
    name text NOT NULL,
    currency char(3) NOT NULL,
    ledger text NOT NULL
);

CREATE TABLE categories (
    company text NOT NULL,
    category text NOT NULL,
    input_vat text NOT NULL CHECK (input_vat IN ('deductible', 'not_deductible')),
    PRIMARY KEY (company, category)
);

CREATE TABLE accounts (
    company text NOT NULL,
    purpose text NOT NULL,
    valid_from date NOT NULL,
    account text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (company, purpose, valid_from)
);

CREATE TABLE periods (
    company text NOT NULL,
    period char(7) NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'closed')),
    PRIMARY KEY (company, period)
);

-- The fill factor leaves room to close a case on the page it was opened on.
CREATE TABLE cases (
    claim_id uuid NOT NULL,
    since timestamptz NOT NULL,
    total_minor bigint NOT NULL,
    revision int NOT NULL,
    currency char(3) NOT NULL,
    company text NOT NULL,
    stage text NOT NULL CHECK (stage IN (
        'waiting', 'blocked', 'intended', 'recalled', 'posted', 'failed', 'reversing', 'reversed',
        'withdrawn', 'refused')),
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    claim bytea,
    PRIMARY KEY (claim_id, revision),
    CHECK (claim IS NULL OR stage IN ('waiting', 'blocked'))
) WITH (fillfactor = 85);

CREATE INDEX cases_pending ON cases (since) WHERE cause_id IS NOT NULL;

CREATE TABLE number_series (
    company text NOT NULL,
    fiscal_year int NOT NULL,
    last int NOT NULL CHECK (last > 0),
    PRIMARY KEY (company, fiscal_year)
) WITH (fillfactor = 20);

CREATE TABLE entries (
    id uuid PRIMARY KEY,
    claim_id uuid NOT NULL,
    reverses uuid,
    recorded_at timestamptz NOT NULL,
    total_minor bigint NOT NULL,
    revision int NOT NULL,
    fiscal_year int NOT NULL,
    sequence int CHECK (sequence > 0),
    posting_date date NOT NULL,
    document_date date NOT NULL,
    currency char(3) NOT NULL,
    kind text NOT NULL CHECK (kind IN ('post', 'reverse')),
    date_rule text NOT NULL
        CHECK (date_rule IN ('document_date', 'original_date', 'next_open_period')),
    company text NOT NULL,
    ledger text NOT NULL,
    number text NOT NULL,
    reference text NOT NULL CHECK (length(reference) <= 30),
    employee text NOT NULL,
    paid_by text NOT NULL,
    payee text NOT NULL,
    text text NOT NULL,
    CHECK ((ledger = 'embedded') = (sequence IS NOT NULL)),
    CHECK ((kind = 'reverse') = (reverses IS NOT NULL)),
    CHECK (extract(year FROM posting_date) = fiscal_year)
);

-- One active posting per claim revision: one entry posts it, one turns it back.
CREATE UNIQUE INDEX entries_once ON entries (claim_id, revision, kind);
CREATE UNIQUE INDEX entries_numbered ON entries (company, fiscal_year, sequence)
    WHERE sequence IS NOT NULL;
CREATE INDEX entries_by_date ON entries (company, posting_date, id);

-- Written in one statement with their entry; debits are positive, in the currency of the entry.
CREATE TABLE journal_lines (
    entry_id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    line smallint NOT NULL,
    account text NOT NULL,
    cost_center text,
    project text,
    party text,
    text text NOT NULL,
    PRIMARY KEY (entry_id, line)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is immutable; correct an entry by reversing it', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER entries_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lines_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Per statement, not per row: the lines of an entry are added together and never change.
CREATE FUNCTION refuse_imbalance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT entry_id, sum(amount_minor) AS difference INTO wrong
    FROM added GROUP BY entry_id HAVING sum(amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % is out of balance by % minor units', wrong.entry_id, wrong.difference
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER entries_balance AFTER INSERT ON journal_lines REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_imbalance();

CREATE TABLE intents (
    key text PRIMARY KEY,
    claim_id uuid NOT NULL,
    revision int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('post', 'reverse')),
    ledger text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('intended', 'calling', 'posted', 'refused', 'unknown', 'cancelled')),
    attempts int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    made_at timestamptz NOT NULL,
    entry bytea NOT NULL,
    number text,
    detail text NOT NULL DEFAULT '',
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    UNIQUE (claim_id, revision, kind)
);

-- `due_at` is when to call next; while calling, when the caller must be taken for dead.
CREATE INDEX intents_due ON intents (due_at) WHERE state IN ('intended', 'calling', 'unknown');

-- migrate: rollback
