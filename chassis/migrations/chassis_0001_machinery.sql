-- why: what every service needs to be told once, say once and lose nothing
-- depends:

-- migrate: apply
CREATE TABLE offsets (
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    digest bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    topic text NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    payload bytea,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    headers bytea NOT NULL,
    value bytea,
    kind text NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    handler text NOT NULL,
    blocks_key boolean NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    UNIQUE (topic, partition, "offset", failed_at)
);

CREATE INDEX dead_letters_blocking ON dead_letters (key) WHERE blocks_key AND state = 'open';

CREATE TABLE parked (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    value bytea,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);

CREATE INDEX parked_keys ON parked (key);

CREATE TABLE idempotency_keys (
    key text NOT NULL,
    route text NOT NULL,
    request_digest bytea NOT NULL,
    status int,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, route)
);

-- migrate: rollback
