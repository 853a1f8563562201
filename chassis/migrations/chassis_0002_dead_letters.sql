-- why: dead letters are grouped, repaired and settled by people, and every such act is kept
-- depends: chassis_0001_machinery

-- migrate: apply
ALTER TABLE dead_letters
    ADD COLUMN fingerprint text NOT NULL
        GENERATED ALWAYS AS (left(md5(code || chr(10) || handler || chr(10) || kind), 12)) STORED,
    ADD COLUMN error_class text NOT NULL DEFAULT '',
    ADD COLUMN record_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN attempts int NOT NULL DEFAULT 1,
    ADD COLUMN replays int NOT NULL DEFAULT 0,
    ADD COLUMN last_failed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN edited_key bytea,
    ADD COLUMN edited_value bytea,
    ADD COLUMN edited_by text,
    ADD COLUMN event_id uuid,
    ADD COLUMN digest bigint;

UPDATE dead_letters SET last_failed_at = failed_at;

CREATE INDEX dead_letters_open ON dead_letters (id) WHERE state = 'open';
CREATE INDEX dead_letters_groups ON dead_letters (fingerprint);
CREATE INDEX dead_letters_edited ON dead_letters (event_id) WHERE edited_by IS NOT NULL;

-- The order of parking: times tie within a transaction, and clocks may go back.
ALTER TABLE parked ADD COLUMN record_ms bigint NOT NULL DEFAULT 0, ADD COLUMN place bigint;

UPDATE parked p SET place = n.place FROM (
    SELECT topic, partition, "offset",
        row_number() OVER (ORDER BY parked_at, topic, partition, "offset") AS place
    FROM parked
) n WHERE p.topic = n.topic AND p.partition = n.partition AND p."offset" = n."offset";

ALTER TABLE parked ALTER COLUMN place SET NOT NULL;
ALTER TABLE parked ALTER COLUMN place ADD GENERATED ALWAYS AS IDENTITY;

SELECT setval(
    pg_get_serial_sequence('parked', 'place'),
    (SELECT coalesce(max(place), 0) + 1 FROM parked),
    false
);

DROP INDEX parked_keys;
CREATE INDEX parked_keys ON parked (key, place);

CREATE TABLE dead_letter_actions (
    at_place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter_id uuid NOT NULL REFERENCES dead_letters (id),
    run_id uuid NOT NULL,
    action text NOT NULL CHECK (action IN ('replay', 'discard', 'edit')),
    outcome text NOT NULL,
    acted_by text NOT NULL CHECK (acted_by <> ''),
    approved_by text CHECK (approved_by <> acted_by),
    reason text NOT NULL CHECK (reason <> ''),
    state_before text NOT NULL,
    state_after text NOT NULL,
    code text,
    detail text,
    key_before bytea,
    key_after bytea,
    value_before bytea,
    value_after bytea,
    patch text,
    acted_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX dead_letter_actions_letter ON dead_letter_actions (letter_id, at_place);
CREATE INDEX dead_letter_actions_run ON dead_letter_actions (run_id, letter_id);

CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows; what was done stays written down', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER dead_letter_actions_only_grow
    BEFORE UPDATE OR DELETE OR TRUNCATE ON dead_letter_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget();

-- migrate: rollback
