-- why: open items from posted entries, bank statements with their lines, and what pairs them
-- depends:

-- migrate: apply
CREATE TABLE accounts (
    account text PRIMARY KEY,
    company text NOT NULL
);
CREATE INDEX accounts_of_company ON accounts (company);

CREATE TABLE parties (
    company text NOT NULL,
    party_key text NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL,
    PRIMARY KEY (company, party_key)
);
CREATE INDEX parties_by_name ON parties (company, name_key) WHERE name_key <> '';

-- One per posted entry; an entry whose reversal came first has no reference yet.
CREATE TABLE items (
    entry_id uuid PRIMARY KEY,
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    company text NOT NULL,
    currency char(3) NOT NULL,
    total_minor bigint NOT NULL,
    allocated_minor bigint NOT NULL DEFAULT 0,
    open_minor bigint GENERATED ALWAYS AS (
        CASE WHEN reversed_by IS NULL THEN total_minor - allocated_minor ELSE 0 END
    ) STORED,
    payee text NOT NULL,
    payee_key text NOT NULL,
    entry_number text NOT NULL,
    number_key text,
    reference text NOT NULL,
    reference_key text NOT NULL,
    document_date date NOT NULL,
    posting_date date NOT NULL,
    reversed_by uuid,
    touched_at timestamptz NOT NULL,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    CONSTRAINT an_item_is_never_over_allocated CHECK (
        allocated_minor BETWEEN least(total_minor, 0) AND greatest(total_minor, 0)
    )
);
CREATE INDEX items_of_claim ON items (claim_id);
CREATE INDEX items_by_reference ON items (company, reference_key);
CREATE INDEX items_by_number ON items (company, number_key) WHERE number_key IS NOT NULL;
CREATE INDEX items_by_amount ON items (company, currency, open_minor) WHERE open_minor <> 0;
CREATE INDEX items_by_payee ON items (company, payee_key) WHERE open_minor <> 0;
CREATE INDEX items_touched ON items USING brin (touched_at);

-- One row: items touched until this moment have been held against the waiting lines.
CREATE TABLE judgings (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    until timestamptz NOT NULL
);
INSERT INTO judgings (until) VALUES ('2000-01-01T00:00:00Z');

-- The bytes as the bank sent them, deflated; kept as long as the books.
CREATE TABLE files (
    digest bytea PRIMARY KEY,
    content bytea NOT NULL,
    size_bytes integer NOT NULL,
    format text NOT NULL,
    received_at timestamptz NOT NULL
);
ALTER TABLE files ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE statements (
    statement_id uuid PRIMARY KEY,
    file_digest bytea NOT NULL REFERENCES files,
    content_digest bytea NOT NULL,
    company text NOT NULL,
    account text NOT NULL,
    reference text NOT NULL,
    currency char(3) NOT NULL,
    opened_on date NOT NULL,
    closed_on date NOT NULL,
    opening_minor bigint,
    closing_minor bigint,
    sum_minor bigint NOT NULL,
    line_count integer NOT NULL,
    known_count integer NOT NULL,
    skipped_count integer NOT NULL,
    state text NOT NULL CHECK (state IN ('proven', 'unproven', 'quarantined')),
    received_at timestamptz NOT NULL,
    CONSTRAINT a_proven_statement_closes CHECK (
        state <> 'proven' OR opening_minor + sum_minor = closing_minor
    )
);
CREATE UNIQUE INDEX statements_once ON statements (account, reference, closed_on)
    WHERE state <> 'quarantined';
CREATE INDEX statements_quarantined ON statements (account, reference, closed_on)
    WHERE state = 'quarantined';

-- What a line pays is -amount_minor; matched means allocated and explained to the cent. Held means
-- that a person has taken its match back: nothing but a person settles it.
CREATE TABLE lines (
    line_id uuid PRIMARY KEY,
    statement_id uuid NOT NULL REFERENCES statements,
    position integer NOT NULL,
    company text NOT NULL,
    currency char(3) NOT NULL,
    booked_on date NOT NULL,
    amount_minor bigint NOT NULL,
    charges_minor bigint NOT NULL,
    is_foreign boolean NOT NULL,
    returned boolean NOT NULL,
    batch_size integer NOT NULL,
    batch_gap_minor bigint NOT NULL,
    reference text NOT NULL,
    text text NOT NULL,
    party text NOT NULL,
    because text NOT NULL,
    state text NOT NULL CHECK (state IN ('matched', 'exception', 'dismissed')),
    allocated_minor bigint NOT NULL,
    difference_minor bigint NOT NULL,
    held boolean NOT NULL DEFAULT false,
    CONSTRAINT a_matched_line_is_allocated_to_the_cent CHECK (
        allocated_minor + difference_minor
        = CASE WHEN state = 'matched' THEN -amount_minor ELSE 0 END
    )
);
CREATE INDEX lines_of_statement ON lines (statement_id, position);
CREATE INDEX lines_waiting ON lines (company, currency, amount_minor) WHERE state = 'exception';

CREATE TABLE matches (
    match_id uuid PRIMARY KEY,
    line_id uuid NOT NULL REFERENCES lines,
    kind text NOT NULL CHECK (kind IN ('payment', 'return')),
    rule text NOT NULL,
    score integer NOT NULL,
    runner_up integer,
    evidence text[] NOT NULL,
    matched_at timestamptz NOT NULL,
    undone_at timestamptz,
    undone_by text,
    undone_because text
);
CREATE UNIQUE INDEX a_line_has_one_match ON matches (line_id) WHERE undone_at IS NULL;

-- A return's share has the other sign, and names the payment that came back.
CREATE TABLE allocations (
    match_id uuid NOT NULL REFERENCES matches,
    entry_id uuid NOT NULL REFERENCES items,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    returns uuid REFERENCES matches
);
CREATE UNIQUE INDEX allocations_once ON allocations
    (match_id, entry_id, coalesce(returns, match_id));
CREATE INDEX allocations_of_item ON allocations (entry_id);

CREATE TABLE differences (
    match_id uuid NOT NULL REFERENCES matches,
    kind text NOT NULL CHECK (kind IN ('fee', 'rounding', 'fx')),
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (match_id, kind)
);

-- What a person must see: about a line, about a whole statement, or about a paid entry (with the
-- line that paid it).
CREATE TABLE exceptions (
    exception_id uuid PRIMARY KEY,
    statement_id uuid NOT NULL REFERENCES statements,
    line_id uuid REFERENCES lines,
    entry_id uuid REFERENCES items,
    code text NOT NULL,
    detail text NOT NULL,
    figures jsonb NOT NULL,
    candidates uuid[] NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'settled', 'resolved', 'dismissed', 'superseded')),
    opened_at timestamptz NOT NULL,
    judged_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text,
    closed_because text,
    CONSTRAINT closed_means_when CHECK ((state = 'open') = (closed_at IS NULL))
);
CREATE UNIQUE INDEX a_line_waits_once ON exceptions (line_id)
    WHERE state = 'open' AND entry_id IS NULL;
CREATE INDEX exceptions_of_statement ON exceptions (statement_id) WHERE state = 'open';
CREATE INDEX exceptions_of_item ON exceptions (entry_id) WHERE state = 'open';
CREATE INDEX exceptions_open ON exceptions (exception_id) WHERE state = 'open';

-- The references that waiting lines carry, for the entry that arrives later. A noisy line has dozens
-- of them, written with it and gone with its wait, so no foreign key checks each.
CREATE TABLE mentions (
    line_id uuid NOT NULL,
    reference_key text NOT NULL,
    company text NOT NULL,
    exact boolean NOT NULL,
    PRIMARY KEY (line_id, reference_key)
);
CREATE INDEX mentions_by_reference ON mentions (company, reference_key);

-- What has been paid and has not come back.
CREATE VIEW standing_payments AS
    SELECT allocations.match_id, allocations.entry_id, allocations.amount_minor + coalesce((
            SELECT sum(back.amount_minor)::bigint
            FROM allocations AS back
            JOIN matches AS returned ON returned.match_id = back.match_id
                AND returned.undone_at IS NULL
            WHERE back.entry_id = allocations.entry_id AND back.returns = allocations.match_id
        ), 0) AS amount_minor,
        lines.line_id, statements.account, statements.reference AS statement,
        statements.statement_id, lines.booked_on, lines.currency,
        lines.amount_minor AS line_minor
    FROM allocations
    JOIN matches ON matches.match_id = allocations.match_id
        AND matches.undone_at IS NULL AND matches.kind = 'payment'
    JOIN lines ON lines.line_id = matches.line_id
    JOIN statements ON statements.statement_id = lines.statement_id;

-- migrate: rollback
