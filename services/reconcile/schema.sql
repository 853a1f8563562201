-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.

CREATE FUNCTION public.refuse_to_forget() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% only grows; what was done stays written down', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE public.accounts (
    account text NOT NULL,
    company text NOT NULL
);

CREATE TABLE public.allocations (
    match_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    returns uuid,
    CONSTRAINT allocations_amount_minor_check CHECK ((amount_minor <> 0))
);

CREATE TABLE public.dead_letter_actions (
    at_place bigint NOT NULL,
    letter_id uuid NOT NULL,
    run_id uuid NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    acted_by text NOT NULL,
    approved_by text,
    reason text NOT NULL,
    state_before text NOT NULL,
    state_after text NOT NULL,
    code text,
    detail text,
    key_before bytea,
    key_after bytea,
    value_before bytea,
    value_after bytea,
    patch text,
    acted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dead_letter_actions_acted_by_check CHECK ((acted_by <> ''::text)),
    CONSTRAINT dead_letter_actions_action_check CHECK ((action = ANY (ARRAY['replay'::text, 'discard'::text, 'edit'::text]))),
    CONSTRAINT dead_letter_actions_check CHECK ((approved_by <> acted_by)),
    CONSTRAINT dead_letter_actions_reason_check CHECK ((reason <> ''::text))
);

ALTER TABLE public.dead_letter_actions ALTER COLUMN at_place ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letter_actions_at_place_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.dead_letters (
    id uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    value bytea,
    kind text NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    handler text NOT NULL,
    blocks_key boolean NOT NULL,
    failed_at timestamp with time zone DEFAULT now() NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    fingerprint text GENERATED ALWAYS AS ("left"(md5(((((code || chr(10)) || handler) || chr(10)) || kind)), 12)) STORED NOT NULL,
    error_class text DEFAULT ''::text NOT NULL,
    record_ms bigint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    replays integer DEFAULT 0 NOT NULL,
    last_failed_at timestamp with time zone DEFAULT now() NOT NULL,
    edited_key bytea,
    edited_value bytea,
    edited_by text,
    event_id uuid,
    digest bigint,
    CONSTRAINT dead_letters_state_check CHECK ((state = ANY (ARRAY['open'::text, 'replayed'::text, 'discarded'::text])))
);

CREATE TABLE public.differences (
    match_id uuid NOT NULL,
    kind text NOT NULL,
    amount_minor bigint NOT NULL,
    CONSTRAINT differences_amount_minor_check CHECK ((amount_minor <> 0)),
    CONSTRAINT differences_kind_check CHECK ((kind = ANY (ARRAY['fee'::text, 'rounding'::text, 'fx'::text])))
);

CREATE TABLE public.exceptions (
    exception_id uuid NOT NULL,
    statement_id uuid NOT NULL,
    line_id uuid,
    entry_id uuid,
    code text NOT NULL,
    detail text NOT NULL,
    figures jsonb NOT NULL,
    candidates uuid[] NOT NULL,
    state text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    judged_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    closed_by text,
    closed_because text,
    CONSTRAINT closed_means_when CHECK (((state = 'open'::text) = (closed_at IS NULL))),
    CONSTRAINT exceptions_state_check CHECK ((state = ANY (ARRAY['open'::text, 'settled'::text, 'resolved'::text, 'dismissed'::text, 'superseded'::text])))
);

CREATE TABLE public.files (
    digest bytea NOT NULL,
    content bytea NOT NULL,
    size_bytes integer NOT NULL,
    format text NOT NULL,
    received_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.files ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE public.idempotency_keys (
    key text NOT NULL,
    route text NOT NULL,
    request_digest bytea NOT NULL,
    status integer,
    body bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.inbox (
    event_id uuid NOT NULL,
    digest bigint NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.items (
    entry_id uuid NOT NULL,
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    company text NOT NULL,
    currency character(3) NOT NULL,
    total_minor bigint NOT NULL,
    allocated_minor bigint DEFAULT 0 NOT NULL,
    open_minor bigint GENERATED ALWAYS AS (
CASE
    WHEN (reversed_by IS NULL) THEN (total_minor - allocated_minor)
    ELSE (0)::bigint
END) STORED,
    payee text NOT NULL,
    payee_key text NOT NULL,
    entry_number text NOT NULL,
    number_key text,
    reference text NOT NULL,
    reference_key text NOT NULL,
    document_date date NOT NULL,
    posting_date date NOT NULL,
    reversed_by uuid,
    touched_at timestamp with time zone NOT NULL,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    CONSTRAINT an_item_is_never_over_allocated CHECK (((allocated_minor >= LEAST(total_minor, (0)::bigint)) AND (allocated_minor <= GREATEST(total_minor, (0)::bigint))))
);

CREATE TABLE public.judgings (
    one_row boolean DEFAULT true NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT judgings_one_row_check CHECK (one_row)
);

CREATE TABLE public.lines (
    line_id uuid NOT NULL,
    statement_id uuid NOT NULL,
    "position" integer NOT NULL,
    company text NOT NULL,
    currency character(3) NOT NULL,
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
    state text NOT NULL,
    allocated_minor bigint NOT NULL,
    difference_minor bigint NOT NULL,
    held boolean DEFAULT false NOT NULL,
    CONSTRAINT a_matched_line_is_allocated_to_the_cent CHECK (((allocated_minor + difference_minor) =
CASE
    WHEN (state = 'matched'::text) THEN (- amount_minor)
    ELSE (0)::bigint
END)),
    CONSTRAINT lines_state_check CHECK ((state = ANY (ARRAY['matched'::text, 'exception'::text, 'dismissed'::text])))
);

CREATE TABLE public.matches (
    match_id uuid NOT NULL,
    line_id uuid NOT NULL,
    kind text NOT NULL,
    rule text NOT NULL,
    score integer NOT NULL,
    runner_up integer,
    evidence text[] NOT NULL,
    matched_at timestamp with time zone NOT NULL,
    undone_at timestamp with time zone,
    undone_by text,
    undone_because text,
    CONSTRAINT matches_kind_check CHECK ((kind = ANY (ARRAY['payment'::text, 'return'::text])))
);

CREATE TABLE public.mentions (
    line_id uuid NOT NULL,
    reference_key text NOT NULL,
    company text NOT NULL,
    exact boolean NOT NULL
);

CREATE TABLE public.offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    shard smallint NOT NULL,
    topic text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    payload bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='20000');

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.parked (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    value bytea,
    parked_at timestamp with time zone DEFAULT now() NOT NULL,
    record_ms bigint DEFAULT 0 NOT NULL,
    place bigint NOT NULL
);

ALTER TABLE public.parked ALTER COLUMN place ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.parked_place_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.parties (
    company text NOT NULL,
    party_key text NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL
);

CREATE TABLE public.statements (
    statement_id uuid NOT NULL,
    file_digest bytea NOT NULL,
    content_digest bytea NOT NULL,
    company text NOT NULL,
    account text NOT NULL,
    reference text NOT NULL,
    currency character(3) NOT NULL,
    opened_on date NOT NULL,
    closed_on date NOT NULL,
    opening_minor bigint,
    closing_minor bigint,
    sum_minor bigint NOT NULL,
    line_count integer NOT NULL,
    known_count integer NOT NULL,
    skipped_count integer NOT NULL,
    state text NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT a_proven_statement_closes CHECK (((state <> 'proven'::text) OR ((opening_minor + sum_minor) = closing_minor))),
    CONSTRAINT statements_state_check CHECK ((state = ANY (ARRAY['proven'::text, 'unproven'::text, 'quarantined'::text])))
);

CREATE VIEW public.standing_payments AS
 SELECT allocations.match_id,
    allocations.entry_id,
    (allocations.amount_minor + COALESCE(( SELECT (sum(back.amount_minor))::bigint AS sum
           FROM (public.allocations back
             JOIN public.matches returned ON (((returned.match_id = back.match_id) AND (returned.undone_at IS NULL))))
          WHERE ((back.entry_id = allocations.entry_id) AND (back.returns = allocations.match_id))), (0)::bigint)) AS amount_minor,
    lines.line_id,
    statements.account,
    statements.reference AS statement,
    statements.statement_id,
    lines.booked_on,
    lines.currency,
    lines.amount_minor AS line_minor
   FROM (((public.allocations
     JOIN public.matches ON (((matches.match_id = allocations.match_id) AND (matches.undone_at IS NULL) AND (matches.kind = 'payment'::text))))
     JOIN public.lines ON ((lines.line_id = matches.line_id)))
     JOIN public.statements ON ((statements.statement_id = lines.statement_id)));

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_pkey PRIMARY KEY (at_place);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_failed_at_key UNIQUE (topic, partition, "offset", failed_at);

ALTER TABLE ONLY public.differences
    ADD CONSTRAINT differences_pkey PRIMARY KEY (match_id, kind);

ALTER TABLE ONLY public.exceptions
    ADD CONSTRAINT exceptions_pkey PRIMARY KEY (exception_id);

ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, route);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.items
    ADD CONSTRAINT items_pkey PRIMARY KEY (entry_id);

ALTER TABLE ONLY public.judgings
    ADD CONSTRAINT judgings_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY public.lines
    ADD CONSTRAINT lines_pkey PRIMARY KEY (line_id);

ALTER TABLE ONLY public.matches
    ADD CONSTRAINT matches_pkey PRIMARY KEY (match_id);

ALTER TABLE ONLY public.mentions
    ADD CONSTRAINT mentions_pkey PRIMARY KEY (line_id, reference_key);

ALTER TABLE ONLY public.offsets
    ADD CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY public.parties
    ADD CONSTRAINT parties_pkey PRIMARY KEY (company, party_key);

ALTER TABLE ONLY public.statements
    ADD CONSTRAINT statements_pkey PRIMARY KEY (statement_id);

CREATE UNIQUE INDEX a_line_has_one_match ON public.matches USING btree (line_id) WHERE (undone_at IS NULL);

CREATE UNIQUE INDEX a_line_waits_once ON public.exceptions USING btree (line_id) WHERE ((state = 'open'::text) AND (entry_id IS NULL));

CREATE INDEX accounts_of_company ON public.accounts USING btree (company);

CREATE INDEX allocations_of_item ON public.allocations USING btree (entry_id);

CREATE UNIQUE INDEX allocations_once ON public.allocations USING btree (match_id, entry_id, COALESCE(returns, match_id));

CREATE INDEX dead_letter_actions_letter ON public.dead_letter_actions USING btree (letter_id, at_place);

CREATE INDEX dead_letter_actions_run ON public.dead_letter_actions USING btree (run_id, letter_id);

CREATE INDEX dead_letters_blocking ON public.dead_letters USING btree (key) WHERE (blocks_key AND (state = 'open'::text));

CREATE INDEX dead_letters_edited ON public.dead_letters USING btree (event_id) WHERE (edited_by IS NOT NULL);

CREATE INDEX dead_letters_groups ON public.dead_letters USING btree (fingerprint);

CREATE INDEX dead_letters_open ON public.dead_letters USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX exceptions_of_item ON public.exceptions USING btree (entry_id) WHERE (state = 'open'::text);

CREATE INDEX exceptions_of_statement ON public.exceptions USING btree (statement_id) WHERE (state = 'open'::text);

CREATE INDEX exceptions_open ON public.exceptions USING btree (exception_id) WHERE (state = 'open'::text);

CREATE INDEX items_by_amount ON public.items USING btree (company, currency, open_minor) WHERE (open_minor <> 0);

CREATE INDEX items_by_number ON public.items USING btree (company, number_key) WHERE (number_key IS NOT NULL);

CREATE INDEX items_by_payee ON public.items USING btree (company, payee_key) WHERE (open_minor <> 0);

CREATE INDEX items_by_reference ON public.items USING btree (company, reference_key);

CREATE INDEX items_of_claim ON public.items USING btree (claim_id);

CREATE INDEX items_touched ON public.items USING brin (touched_at);

CREATE INDEX lines_of_statement ON public.lines USING btree (statement_id, "position");

CREATE INDEX lines_waiting ON public.lines USING btree (company, currency, amount_minor) WHERE (state = 'exception'::text);

CREATE INDEX mentions_by_reference ON public.mentions USING btree (company, reference_key);

CREATE INDEX parked_keys ON public.parked USING btree (key, place);

CREATE INDEX parties_by_name ON public.parties USING btree (company, name_key) WHERE (name_key <> ''::text);

CREATE UNIQUE INDEX statements_once ON public.statements USING btree (account, reference, closed_on) WHERE (state <> 'quarantined'::text);

CREATE INDEX statements_quarantined ON public.statements USING btree (account, reference, closed_on) WHERE (state = 'quarantined'::text);

CREATE TRIGGER dead_letter_actions_only_grow BEFORE DELETE OR UPDATE OR TRUNCATE ON public.dead_letter_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_to_forget();

ALTER TABLE ONLY public.allocations
    ADD CONSTRAINT allocations_entry_id_fkey FOREIGN KEY (entry_id) REFERENCES public.items(entry_id);

ALTER TABLE ONLY public.allocations
    ADD CONSTRAINT allocations_match_id_fkey FOREIGN KEY (match_id) REFERENCES public.matches(match_id);

ALTER TABLE ONLY public.allocations
    ADD CONSTRAINT allocations_returns_fkey FOREIGN KEY (returns) REFERENCES public.matches(match_id);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_letter_id_fkey FOREIGN KEY (letter_id) REFERENCES public.dead_letters(id);

ALTER TABLE ONLY public.differences
    ADD CONSTRAINT differences_match_id_fkey FOREIGN KEY (match_id) REFERENCES public.matches(match_id);

ALTER TABLE ONLY public.exceptions
    ADD CONSTRAINT exceptions_entry_id_fkey FOREIGN KEY (entry_id) REFERENCES public.items(entry_id);

ALTER TABLE ONLY public.exceptions
    ADD CONSTRAINT exceptions_line_id_fkey FOREIGN KEY (line_id) REFERENCES public.lines(line_id);

ALTER TABLE ONLY public.exceptions
    ADD CONSTRAINT exceptions_statement_id_fkey FOREIGN KEY (statement_id) REFERENCES public.statements(statement_id);

ALTER TABLE ONLY public.lines
    ADD CONSTRAINT lines_statement_id_fkey FOREIGN KEY (statement_id) REFERENCES public.statements(statement_id);

ALTER TABLE ONLY public.matches
    ADD CONSTRAINT matches_line_id_fkey FOREIGN KEY (line_id) REFERENCES public.lines(line_id);

ALTER TABLE ONLY public.statements
    ADD CONSTRAINT statements_file_digest_fkey FOREIGN KEY (file_digest) REFERENCES public.files(digest);
