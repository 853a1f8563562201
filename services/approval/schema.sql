-- Today's tables, generated from migrations/ by tests/integration/test_schemas.py.

CREATE FUNCTION public.refuse_self_approval() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM tasks JOIN cases USING (claim_id, revision)
        WHERE tasks.task_id = NEW.task_id AND cases.employee = NEW.approver
    ) THEN
        RAISE EXCEPTION '% made the claim of task % and cannot decide on it', NEW.approver, NEW.task_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'nobody_approves_their_own_claim';
    END IF;
    RETURN NEW;
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

CREATE TABLE public.approvers (
    task_id uuid NOT NULL,
    approver text NOT NULL,
    company text NOT NULL,
    reference text NOT NULL,
    verdict text NOT NULL,
    decided_at timestamp with time zone,
    comment text NOT NULL,
    CONSTRAINT approvers_verdict_check CHECK ((verdict = ANY (ARRAY['asked'::text, 'approved'::text, 'rejected'::text, 'carried'::text, 'released'::text]))),
    CONSTRAINT asked_until_decided CHECK (((verdict = 'asked'::text) = (decided_at IS NULL)))
);

CREATE TABLE public.cases (
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    state text NOT NULL,
    company text,
    employee text,
    total_minor bigint,
    currency character(3),
    inputs jsonb,
    outcome text,
    grade text,
    rule text,
    rule_version integer,
    reason text,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    decided_at timestamp with time zone,
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    CONSTRAINT a_decision_has_its_inputs CHECK (((state = ANY (ARRAY['waiting'::text, 'withdrawn'::text])) OR ((employee IS NOT NULL) AND (total_minor IS NOT NULL) AND (outcome IS NOT NULL)))),
    CONSTRAINT a_decision_names_its_rule CHECK (((state = ANY (ARRAY['waiting'::text, 'withdrawn'::text])) OR (reason = ANY (ARRAY['NO_RULE'::text, 'EMPLOYEE_UNKNOWN'::text])) OR (rule_version IS NOT NULL))),
    CONSTRAINT a_rejection_has_a_reason CHECK (((state <> 'rejected'::text) OR (reason IS NOT NULL))),
    CONSTRAINT cases_outcome_check CHECK ((outcome = ANY (ARRAY['within'::text, 'over'::text, 'unbudgeted'::text]))),
    CONSTRAINT cases_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'open'::text, 'approved'::text, 'rejected'::text, 'withdrawn'::text]))),
    CONSTRAINT only_waiting_is_held CHECK (((state = 'waiting'::text) OR (cause_id IS NULL)))
)
WITH (fillfactor='50');

CREATE TABLE public.companies (
    company text NOT NULL,
    name text NOT NULL,
    currency character(3) NOT NULL
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

CREATE TABLE public.employees (
    company text NOT NULL,
    employee text NOT NULL,
    name text NOT NULL,
    grade text NOT NULL,
    manager text,
    active boolean NOT NULL
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

CREATE TABLE public.owners (
    kind text NOT NULL,
    company text NOT NULL,
    code text NOT NULL,
    owner text,
    CONSTRAINT owners_kind_check CHECK ((kind = ANY (ARRAY['cost_center'::text, 'project'::text])))
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

CREATE TABLE public.rules (
    company text NOT NULL,
    rule text NOT NULL,
    version integer NOT NULL,
    valid_from date NOT NULL,
    definition jsonb NOT NULL,
    CONSTRAINT rules_version_check CHECK ((version >= 1))
);

CREATE TABLE public.tasks (
    task_id uuid NOT NULL,
    claim_id uuid NOT NULL,
    revision integer NOT NULL,
    step integer NOT NULL,
    company text NOT NULL,
    name text NOT NULL,
    quorum text NOT NULL,
    state text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    CONSTRAINT open_until_closed CHECK (((state = 'open'::text) = (closed_at IS NULL))),
    CONSTRAINT tasks_quorum_check CHECK ((quorum = ANY (ARRAY['any'::text, 'all'::text]))),
    CONSTRAINT tasks_state_check CHECK ((state = ANY (ARRAY['open'::text, 'approved'::text, 'rejected'::text, 'withdrawn'::text]))),
    CONSTRAINT tasks_step_check CHECK ((step >= 1))
);

ALTER TABLE ONLY public.approvers
    ADD CONSTRAINT approvers_pkey PRIMARY KEY (task_id, approver);

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

ALTER TABLE ONLY public.employees
    ADD CONSTRAINT employees_pkey PRIMARY KEY (company, employee);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, route);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.offsets
    ADD CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.owners
    ADD CONSTRAINT owners_pkey PRIMARY KEY (company, kind, code);

ALTER TABLE ONLY public.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_pkey PRIMARY KEY (company, rule, version);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_claim_id_revision_step_key UNIQUE (claim_id, revision, step);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (task_id);

CREATE INDEX approvers_tasks ON public.approvers USING btree (approver, verdict, task_id);

CREATE INDEX cases_held ON public.cases USING btree (claim_id, revision) WHERE (cause_id IS NOT NULL);

CREATE INDEX dead_letter_actions_letter ON public.dead_letter_actions USING btree (letter_id, at_place);

CREATE INDEX dead_letter_actions_run ON public.dead_letter_actions USING btree (run_id, letter_id);

CREATE INDEX dead_letters_blocking ON public.dead_letters USING btree (key) WHERE (blocks_key AND (state = 'open'::text));

CREATE INDEX dead_letters_edited ON public.dead_letters USING btree (event_id) WHERE (edited_by IS NOT NULL);

CREATE INDEX dead_letters_groups ON public.dead_letters USING btree (fingerprint);

CREATE INDEX dead_letters_open ON public.dead_letters USING btree (id) WHERE (state = 'open'::text);

CREATE UNIQUE INDEX one_open_step_per_case ON public.tasks USING btree (claim_id, revision) WHERE (state = 'open'::text);

CREATE INDEX parked_keys ON public.parked USING btree (key, place);

CREATE INDEX tasks_open ON public.tasks USING btree (company, task_id) WHERE (state = 'open'::text);

CREATE TRIGGER dead_letter_actions_only_grow BEFORE DELETE OR UPDATE OR TRUNCATE ON public.dead_letter_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_to_forget();

CREATE TRIGGER nobody_approves_their_own_claim BEFORE INSERT OR UPDATE ON public.approvers FOR EACH ROW EXECUTE FUNCTION public.refuse_self_approval();

ALTER TABLE ONLY public.approvers
    ADD CONSTRAINT approvers_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(task_id);

ALTER TABLE ONLY public.dead_letter_actions
    ADD CONSTRAINT dead_letter_actions_letter_id_fkey FOREIGN KEY (letter_id) REFERENCES public.dead_letters(id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_claim_id_revision_fkey FOREIGN KEY (claim_id, revision) REFERENCES public.cases(claim_id, revision);
