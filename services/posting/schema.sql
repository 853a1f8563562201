-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is immutable; correct an entry by reversing it', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION public.refuse_imbalance() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_to_forget() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% only grows; what was done stays written down', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE public.accounts (
    company text NOT NULL,
    purpose text NOT NULL,
    valid_from date NOT NULL,
    account text NOT NULL,
    name text NOT NULL
);

CREATE TABLE public.cases (
    claim_id uuid NOT NULL,
    since timestamp with time zone NOT NULL,
    total_minor bigint NOT NULL,
    revision integer NOT NULL,
    currency character(3) NOT NULL,
    company text NOT NULL,
    stage text NOT NULL,
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    claim bytea,
    CONSTRAINT cases_check CHECK (((claim IS NULL) OR (stage = ANY (ARRAY['waiting'::text, 'blocked'::text, 'held'::text])))),
    CONSTRAINT cases_stage_check CHECK ((stage = ANY (ARRAY['waiting'::text, 'blocked'::text, 'held'::text, 'intended'::text, 'recalled'::text, 'posted'::text, 'failed'::text, 'reversing'::text, 'reversed'::text, 'withdrawn'::text, 'refused'::text])))
)
WITH (fillfactor='85');

CREATE TABLE public.categories (
    company text NOT NULL,
    category text NOT NULL,
    input_vat text NOT NULL,
    CONSTRAINT categories_input_vat_check CHECK ((input_vat = ANY (ARRAY['deductible'::text, 'not_deductible'::text])))
);

CREATE TABLE public.companies (
    company text NOT NULL,
    name text NOT NULL,
    currency character(3) NOT NULL,
    ledger text NOT NULL
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

CREATE TABLE public.entries (
    id uuid NOT NULL,
    claim_id uuid NOT NULL,
    reverses uuid,
    recorded_at timestamp with time zone NOT NULL,
    total_minor bigint NOT NULL,
    revision integer NOT NULL,
    fiscal_year integer NOT NULL,
    sequence integer,
    posting_date date NOT NULL,
    document_date date NOT NULL,
    currency character(3) NOT NULL,
    kind text NOT NULL,
    date_rule text NOT NULL,
    company text NOT NULL,
    ledger text NOT NULL,
    number text NOT NULL,
    reference text NOT NULL,
    employee text NOT NULL,
    paid_by text NOT NULL,
    payee text NOT NULL,
    text text NOT NULL,
    CONSTRAINT entries_check CHECK (((ledger = 'embedded'::text) = (sequence IS NOT NULL))),
    CONSTRAINT entries_check1 CHECK (((kind = 'reverse'::text) = (reverses IS NOT NULL))),
    CONSTRAINT entries_check2 CHECK ((EXTRACT(year FROM posting_date) = (fiscal_year)::numeric)),
    CONSTRAINT entries_date_rule_check CHECK ((date_rule = ANY (ARRAY['document_date'::text, 'original_date'::text, 'next_open_period'::text]))),
    CONSTRAINT entries_kind_check CHECK ((kind = ANY (ARRAY['post'::text, 'reverse'::text]))),
    CONSTRAINT entries_reference_check CHECK ((length(reference) <= 30)),
    CONSTRAINT entries_sequence_check CHECK ((sequence > 0))
);

CREATE TABLE public.holds (
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    reasons jsonb NOT NULL,
    lacks text[] NOT NULL,
    since timestamp with time zone NOT NULL,
    CONSTRAINT holds_lacks_check CHECK ((cardinality(lacks) > 0))
);

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

CREATE TABLE public.intents (
    key text NOT NULL,
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    kind text NOT NULL,
    ledger text NOT NULL,
    state text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    made_at timestamp with time zone NOT NULL,
    entry bytea NOT NULL,
    number text,
    detail text DEFAULT ''::text NOT NULL,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    CONSTRAINT intents_kind_check CHECK ((kind = ANY (ARRAY['post'::text, 'reverse'::text]))),
    CONSTRAINT intents_state_check CHECK ((state = ANY (ARRAY['intended'::text, 'calling'::text, 'posted'::text, 'refused'::text, 'unknown'::text, 'cancelled'::text])))
);

CREATE TABLE public.journal_lines (
    entry_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    line smallint NOT NULL,
    account text NOT NULL,
    cost_center text,
    project text,
    party text,
    text text NOT NULL,
    CONSTRAINT journal_lines_amount_minor_check CHECK ((amount_minor <> 0))
);

CREATE TABLE public.number_series (
    company text NOT NULL,
    fiscal_year integer NOT NULL,
    last integer NOT NULL,
    CONSTRAINT number_series_last_check CHECK ((last > 0))
)
WITH (fillfactor='20');

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

CREATE TABLE public.periods (
    company text NOT NULL,
    period character(7) NOT NULL,
    status text NOT NULL,
    CONSTRAINT periods_status_check CHECK ((status = ANY (ARRAY['open'::text, 'closed'::text])))
);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (company, purpose, valid_from);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_pkey PRIMARY KEY (claim_id, revision);

ALTER TABLE ONLY public.categories
    ADD CONSTRAINT categories_pkey PRIMARY KEY (company, category);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT companies_pkey PRIMARY KEY (company);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_pkey PRIMARY KEY (at_place);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_failed_at_key UNIQUE (topic, partition, "offset", failed_at);

ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (claim_id, revision);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, route);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.intents
    ADD CONSTRAINT intents_claim_id_revision_kind_key UNIQUE (claim_id, revision, kind);

ALTER TABLE ONLY public.intents
    ADD CONSTRAINT intents_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.journal_lines
    ADD CONSTRAINT journal_lines_pkey PRIMARY KEY (entry_id, line);

ALTER TABLE ONLY public.number_series
    ADD CONSTRAINT number_series_pkey PRIMARY KEY (company, fiscal_year);

ALTER TABLE ONLY public.offsets
    ADD CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY public.periods
    ADD CONSTRAINT periods_pkey PRIMARY KEY (company, period);

CREATE INDEX cases_pending ON public.cases USING btree (since) WHERE (cause_id IS NOT NULL);

CREATE INDEX dead_letter_actions_letter ON public.dead_letter_actions USING btree (letter_id, at_place);

CREATE INDEX dead_letter_actions_run ON public.dead_letter_actions USING btree (run_id, letter_id);

CREATE INDEX dead_letters_blocking ON public.dead_letters USING btree (key) WHERE (blocks_key AND (state = 'open'::text));

CREATE INDEX dead_letters_edited ON public.dead_letters USING btree (event_id) WHERE (edited_by IS NOT NULL);

CREATE INDEX dead_letters_groups ON public.dead_letters USING btree (fingerprint);

CREATE INDEX dead_letters_open ON public.dead_letters USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX entries_by_date ON public.entries USING btree (company, posting_date, id);

CREATE UNIQUE INDEX entries_numbered ON public.entries USING btree (company, fiscal_year, sequence) WHERE (sequence IS NOT NULL);

CREATE UNIQUE INDEX entries_once ON public.entries USING btree (claim_id, revision, kind);

CREATE INDEX holds_lacks ON public.holds USING gin (lacks);

CREATE INDEX intents_due ON public.intents USING btree (due_at) WHERE (state = ANY (ARRAY['intended'::text, 'calling'::text, 'unknown'::text]));

CREATE INDEX parked_keys ON public.parked USING btree (key, place);

CREATE TRIGGER dead_letter_actions_only_grow BEFORE DELETE OR UPDATE OR TRUNCATE ON public.dead_letter_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_to_forget();

CREATE TRIGGER entries_are_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.entries FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER entries_balance AFTER INSERT ON public.journal_lines REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_imbalance();

CREATE TRIGGER lines_are_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.journal_lines FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_letter_id_fkey FOREIGN KEY (letter_id) REFERENCES public.dead_letters(id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_claim_id_revision_fkey FOREIGN KEY (claim_id, revision) REFERENCES public.cases(claim_id, revision);
