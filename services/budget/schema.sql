-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.

CREATE FUNCTION public.refuse_to_forget() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% only grows; what was done stays written down', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE public.budgets (
    id integer NOT NULL,
    company text NOT NULL,
    code text NOT NULL,
    parent text,
    cost_center text NOT NULL,
    project text NOT NULL,
    category text NOT NULL,
    starts_on date NOT NULL,
    ends_on date NOT NULL,
    currency character(3) NOT NULL,
    limit_minor bigint NOT NULL,
    control text NOT NULL,
    thresholds smallint[] NOT NULL,
    defined boolean NOT NULL,
    reserved_minor bigint DEFAULT 0 NOT NULL,
    spent_minor bigint DEFAULT 0 NOT NULL,
    ceiling_minor bigint NOT NULL,
    CONSTRAINT a_hard_budget_is_never_overdrawn CHECK (((control <> 'hard'::text) OR ((reserved_minor + spent_minor) <= ceiling_minor))),
    CONSTRAINT budgets_check CHECK ((ends_on >= starts_on)),
    CONSTRAINT budgets_check1 CHECK ((parent <> code)),
    CONSTRAINT budgets_control_check CHECK ((control = ANY (ARRAY['hard'::text, 'soft'::text, 'none'::text]))),
    CONSTRAINT nothing_less_than_nothing_is_held CHECK ((reserved_minor >= 0)),
    CONSTRAINT the_ceiling_covers_the_limit CHECK ((ceiling_minor >= limit_minor))
)
WITH (fillfactor='40');

ALTER TABLE public.budgets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.budgets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.cases (
    claim_id uuid NOT NULL,
    revision smallint NOT NULL,
    company text NOT NULL,
    currency character(3) NOT NULL,
    total_minor bigint NOT NULL,
    state text NOT NULL,
    submitted boolean NOT NULL,
    checked boolean NOT NULL,
    approved boolean NOT NULL,
    rejected boolean NOT NULL,
    withdrawn boolean NOT NULL,
    entry text,
    lines bytea,
    budgets integer[] NOT NULL,
    amounts bigint[] NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    CONSTRAINT cases_entry_check CHECK ((entry = ANY (ARRAY['posted'::text, 'failed'::text, 'reversed'::text]))),
    CONSTRAINT cases_state_check CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text, 'refused'::text, 'reserved'::text, 'spent'::text, 'released'::text]))),
    CONSTRAINT each_part_names_its_budget CHECK ((cardinality(budgets) = cardinality(amounts))),
    CONSTRAINT money_moves_only_once_the_claim_is_known CHECK ((submitted OR (state = ANY (ARRAY['open'::text, 'closed'::text])))),
    CONSTRAINT nothing_is_held_before_it_is_reserved CHECK (((state = ANY (ARRAY['reserved'::text, 'spent'::text, 'released'::text])) OR (cardinality(budgets) = 0))),
    CONSTRAINT only_approved_money_is_reserved CHECK (((state <> 'reserved'::text) OR approved)),
    CONSTRAINT only_open_cases_wait CHECK (((cause_id IS NULL) OR (state = 'open'::text)))
);

CREATE TABLE public.companies (
    company text NOT NULL,
    currency character(3),
    unbudgeted text,
    tree uuid NOT NULL,
    CONSTRAINT companies_check CHECK (((currency IS NULL) = (unbudgeted IS NULL))),
    CONSTRAINT companies_unbudgeted_check CHECK ((unbudgeted = ANY (ARRAY['hard'::text, 'soft'::text, 'none'::text])))
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

ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_company_code_key UNIQUE (company, code);

ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_pkey PRIMARY KEY (claim_id, revision);

ALTER TABLE ONLY public.companies
    ADD CONSTRAINT companies_pkey PRIMARY KEY (company);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_pkey PRIMARY KEY (at_place);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_topic_partition_offset_failed_at_key UNIQUE (topic, partition, "offset", failed_at);

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

CREATE INDEX cases_reserved ON public.cases USING btree (company, claim_id, revision) WHERE (state = 'reserved'::text);

CREATE INDEX cases_waiting ON public.cases USING btree (company) WHERE (cause_id IS NOT NULL);

CREATE INDEX dead_letter_actions_letter ON public.dead_letter_actions USING btree (letter_id, at_place);

CREATE INDEX dead_letter_actions_run ON public.dead_letter_actions USING btree (run_id, letter_id);

CREATE INDEX dead_letters_blocking ON public.dead_letters USING btree (key) WHERE (blocks_key AND (state = 'open'::text));

CREATE INDEX dead_letters_edited ON public.dead_letters USING btree (event_id) WHERE (edited_by IS NOT NULL);

CREATE INDEX dead_letters_groups ON public.dead_letters USING btree (fingerprint);

CREATE INDEX dead_letters_open ON public.dead_letters USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX parked_keys ON public.parked USING btree (key, place);

CREATE TRIGGER dead_letter_actions_only_grow BEFORE DELETE OR UPDATE OR TRUNCATE ON public.dead_letter_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_to_forget();

ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_company_fkey FOREIGN KEY (company) REFERENCES public.companies(company);

ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_company_parent_fkey FOREIGN KEY (company, parent) REFERENCES public.budgets(company, code) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_letter_id_fkey FOREIGN KEY (letter_id) REFERENCES public.dead_letters(id);
