-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.

CREATE FUNCTION public.refuse_to_forget() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% only grows; what was done stays written down', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE public.claims (
    claim_id uuid NOT NULL,
    number bigint NOT NULL,
    total_minor bigint NOT NULL,
    open_minor bigint,
    since timestamp with time zone NOT NULL,
    submitted_at timestamp with time zone,
    revision integer NOT NULL,
    facts integer NOT NULL,
    paid_on date,
    currency character(3) NOT NULL,
    state text NOT NULL,
    company text NOT NULL,
    source text,
    source_key text,
    employee text,
    digest bytea,
    CONSTRAINT awaited_until_submitted CHECK ((((state = 'awaited'::text) = ((facts & 1) = 0)) AND (((facts & 1) = 0) = (submitted_at IS NULL)) AND (((facts & 1) = 0) OR ((source IS NOT NULL) AND (source_key IS NOT NULL) AND (employee IS NOT NULL) AND (digest IS NOT NULL))))),
    CONSTRAINT claims_digest_check CHECK ((length(digest) = 16)),
    CONSTRAINT claims_revision_check CHECK ((revision >= 1)),
    CONSTRAINT claims_state_check CHECK ((state = ANY (ARRAY['awaited'::text, 'submitted'::text, 'in_approval'::text, 'approved'::text, 'reserved'::text, 'posting_held'::text, 'posted'::text, 'settled'::text, 'rejected'::text, 'funds_refused'::text, 'posting_failed'::text, 'reversed'::text, 'withdrawn'::text]))),
    CONSTRAINT facts_do_not_contradict CHECK ((((facts & 12) <> 12) AND ((facts & 48) <> 48) AND ((facts & 192) <> 192))),
    CONSTRAINT settled_by_full_payment_of_an_entry CHECK (((state <> 'settled'::text) OR (((facts & 64) <> 0) AND (open_minor = 0) AND (paid_on IS NOT NULL))))
)
WITH (fillfactor='50');

ALTER TABLE public.claims ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.claims_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.companies (
    company text NOT NULL,
    currency character(3) NOT NULL,
    claim_age_days integer,
    CONSTRAINT companies_claim_age_days_check CHECK ((claim_age_days >= 1))
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

CREATE TABLE public.directory (
    company text NOT NULL,
    kind text NOT NULL,
    code text NOT NULL,
    active boolean NOT NULL,
    CONSTRAINT directory_kind_check CHECK ((kind = ANY (ARRAY['employee'::text, 'cost_center'::text, 'project'::text, 'category'::text])))
);

CREATE TABLE public.documents (
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    body bytea NOT NULL,
    correlation_id text NOT NULL
);

CREATE TABLE public.held (
    number bigint NOT NULL,
    claim_id uuid NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    since timestamp with time zone NOT NULL,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL
);

ALTER TABLE public.held ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.held_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
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

CREATE TABLE public.prints (
    print bigint NOT NULL,
    claim_id uuid NOT NULL
);

CREATE TABLE public.steps (
    claim_id uuid NOT NULL,
    mark bigint NOT NULL,
    number bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    revision integer NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    figures jsonb NOT NULL,
    traceparent text NOT NULL
);

ALTER TABLE public.steps ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.steps_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT claims_pkey PRIMARY KEY (claim_id, revision);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT companies_pkey PRIMARY KEY (company);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_pkey PRIMARY KEY (at_place);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_failed_at_key UNIQUE (topic, partition, "offset", failed_at);

ALTER TABLE ONLY public.directory
    ADD CONSTRAINT directory_pkey PRIMARY KEY (company, kind, code);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (claim_id, revision);

ALTER TABLE ONLY public.held
    ADD CONSTRAINT held_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, route);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.offsets
    ADD CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY public.prints
    ADD CONSTRAINT prints_pkey PRIMARY KEY (print, claim_id);

ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (claim_id, revision, mark);

CREATE INDEX claims_newest ON public.claims USING btree (number);

CREATE INDEX claims_of_employee ON public.claims USING btree (company, employee, number);

CREATE INDEX dead_letter_actions_letter ON public.dead_letter_actions USING btree (letter_id, at_place);

CREATE INDEX dead_letter_actions_run ON public.dead_letter_actions USING btree (run_id, letter_id);

CREATE INDEX dead_letters_blocking ON public.dead_letters USING btree (key) WHERE (blocks_key AND (state = 'open'::text));

CREATE INDEX dead_letters_edited ON public.dead_letters USING btree (event_id) WHERE (edited_by IS NOT NULL);

CREATE INDEX dead_letters_groups ON public.dead_letters USING btree (fingerprint);

CREATE INDEX dead_letters_open ON public.dead_letters USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX held_claims ON public.held USING btree (claim_id);

CREATE INDEX parked_keys ON public.parked USING btree (key, place);

CREATE TRIGGER dead_letter_actions_only_grow BEFORE DELETE OR UPDATE OR TRUNCATE ON public.dead_letter_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_to_forget();

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_letter_id_fkey FOREIGN KEY (letter_id) REFERENCES public.dead_letters(id);
