-- why: the clock judges waiting lines by what has changed since, not by asking every line
-- depends: reconcile_0001_items_and_statements

-- migrate: apply
-- One row: items touched until this moment have been held against the waiting lines.
CREATE TABLE judgings (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    until timestamptz NOT NULL
);
INSERT INTO judgings (until) VALUES ('2000-01-01T00:00:00Z');
CREATE INDEX items_touched ON items USING brin (touched_at);
-- A noisy line has dozens of mentions, written with it and gone with its wait.
ALTER TABLE mentions DROP CONSTRAINT mentions_line_id_fkey;
-- That a person has taken a line's match back is said of the line itself: nothing that looks for
-- waiting lines has to ask their exceptions.
DROP VIEW waiting_lines;
ALTER TABLE exceptions DROP COLUMN held;
ALTER TABLE lines ADD COLUMN held boolean NOT NULL DEFAULT false;

-- migrate: rollback
