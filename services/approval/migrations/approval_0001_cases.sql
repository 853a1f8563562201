-- why: claims that wait for a decision, the rules that decide, the people who are asked
-- depends:

-- migrate: apply
CREATE TABLE companies (
    company text PRIMARY KEY,
    name text NOT NULL,
    currency char(3) NOT NULL
);

CREATE TABLE employees (
    company text NOT NULL,
    employee text NOT NULL,
    name text NOT NULL,
    grade text NOT NULL,
    manager text,
    active boolean NOT NULL,
    PRIMARY KEY (company, employee)
);

CREATE TABLE owners (
    kind text NOT NULL CHECK (kind IN ('cost_center', 'project')),
    company text NOT NULL,
    code text NOT NULL,
    owner text,
    PRIMARY KEY (company, kind, code)
);

-- A version is written once; the definition is the published event, read back as it came.
CREATE TABLE rules (
    company text NOT NULL,
    rule text NOT NULL,
    version int NOT NULL CHECK (version >= 1),
    valid_from date NOT NULL,
    definition jsonb NOT NULL,
    PRIMARY KEY (company, rule, version)
);

-- Half of each page stays free: a case is inserted once and updated once, on the same page.
CREATE TABLE cases (
    claim_id uuid NOT NULL,
    revision int NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'open', 'approved', 'rejected', 'withdrawn')),
    company text,
    employee text,
    total_minor bigint,
    currency char(3),
    -- What else rules and people look at, as it came: who paid, cost centres, projects, categories.
    inputs jsonb,
    outcome text CHECK (outcome IN ('within', 'over', 'unbudgeted')),
    grade text,
    rule text,
    rule_version int,
    reason text,
    received_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    -- What a decision will follow from, while a complete case waits for master data.
    cause_id uuid,
    correlation_id text,
    traceparent text,
    tracestate text,
    PRIMARY KEY (claim_id, revision),
    CONSTRAINT a_decision_has_its_inputs CHECK (
        state IN ('waiting', 'withdrawn')
        OR (employee IS NOT NULL AND total_minor IS NOT NULL AND outcome IS NOT NULL)
    ),
    CONSTRAINT a_decision_names_its_rule CHECK (
        state IN ('waiting', 'withdrawn') OR reason IN ('NO_RULE', 'EMPLOYEE_UNKNOWN')
        OR rule_version IS NOT NULL
    ),
    CONSTRAINT only_waiting_is_held CHECK (state = 'waiting' OR cause_id IS NULL),
    CONSTRAINT a_rejection_has_a_reason CHECK (state <> 'rejected' OR reason IS NOT NULL)
) WITH (fillfactor = 50);

CREATE INDEX cases_held ON cases (claim_id, revision) WHERE cause_id IS NOT NULL;

CREATE TABLE tasks (
    task_id uuid PRIMARY KEY,
    claim_id uuid NOT NULL,
    revision int NOT NULL,
    step int NOT NULL CHECK (step >= 1),
    company text NOT NULL,
    name text NOT NULL,
    quorum text NOT NULL CHECK (quorum IN ('any', 'all')),
    state text NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'withdrawn')),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    -- What the decision will follow from: the StepOpened that asked.
    cause_id uuid NOT NULL,
    correlation_id text NOT NULL,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    UNIQUE (claim_id, revision, step),
    FOREIGN KEY (claim_id, revision) REFERENCES cases,
    CONSTRAINT open_until_closed CHECK ((state = 'open') = (closed_at IS NULL))
);

CREATE INDEX tasks_open ON tasks (company, task_id) WHERE state = 'open';
CREATE UNIQUE INDEX one_open_step_per_case ON tasks (claim_id, revision) WHERE state = 'open';

CREATE TABLE approvers (
    task_id uuid NOT NULL REFERENCES tasks,
    approver text NOT NULL,
    company text NOT NULL,
    reference text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('asked', 'approved', 'rejected', 'carried', 'released')),
    decided_at timestamptz,
    comment text NOT NULL,
    PRIMARY KEY (task_id, approver),
    CONSTRAINT asked_until_decided CHECK ((verdict = 'asked') = (decided_at IS NULL))
);

CREATE INDEX approvers_tasks ON approvers (approver, verdict, task_id);

CREATE FUNCTION refuse_self_approval() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER nobody_approves_their_own_claim
    BEFORE INSERT OR UPDATE ON approvers
    FOR EACH ROW EXECUTE FUNCTION refuse_self_approval();

-- migrate: rollback
