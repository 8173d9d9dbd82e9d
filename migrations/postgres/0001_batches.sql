-- The same tables as migrations/sqlite/0001_batches.sql, which says what is in them. Times are nanoseconds since 1970,
-- UTC. What is JSON or packed bytes is written and read by `src/store/stored` and says its version.

CREATE TABLE batches (
    id            TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    caller        TEXT    COLLATE "C",
    client_ref    TEXT,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    completed_at  BIGINT,
    canceled      BOOLEAN NOT NULL,
    is_canceled   BOOLEAN NOT NULL,
    on_invalid    TEXT    NOT NULL,
    retry_unknown TEXT    NOT NULL,
    resend        TEXT,
    callback      TEXT,
    warnings      TEXT    NOT NULL,
    total         BIGINT  NOT NULL,
    accepted      BIGINT  NOT NULL,
    failed        BIGINT  NOT NULL,
    unknown       BIGINT  NOT NULL
);

CREATE INDEX batches_ended ON batches (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE routes (
    batch            TEXT    COLLATE "C" NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    route_index      BIGINT  NOT NULL,
    channel          TEXT    COLLATE "C" NOT NULL,
    provider         TEXT    NOT NULL,
    is_sandbox       BOOLEAN NOT NULL,
    route            TEXT    NOT NULL,
    recipients       BYTEA   NOT NULL,
    entries          BYTEA,
    -- Text; a caller may have put a NUL into it, which TEXT does not take.
    chatroom_id      BYTEA,
    unsent_positions BYTEA,
    unsent_outcomes  BYTEA,
    calls            BIGINT  NOT NULL,
    retries          BIGINT  NOT NULL,
    throttled        BIGINT  NOT NULL,
    request_ids      TEXT    NOT NULL,
    UNIQUE (batch, route_index)
);

CREATE TABLE chunks (
    batch          TEXT   COLLATE "C" NOT NULL,
    route_index    BIGINT NOT NULL,
    first_position BIGINT NOT NULL,
    positions      BYTEA  NOT NULL,
    outcomes       BYTEA,
    attempts       BIGINT NOT NULL,
    accepted       BIGINT NOT NULL,
    failed         BIGINT NOT NULL,
    unknown        BIGINT NOT NULL,
    PRIMARY KEY (batch, route_index, first_position)
);

CREATE TABLE idempotency_keys (
    caller      TEXT   COLLATE "C" NOT NULL,
    key         TEXT   COLLATE "C" NOT NULL,
    fingerprint BYTEA  NOT NULL,
    batch       TEXT   COLLATE "C" NOT NULL,
    expires_at  BIGINT,
    PRIMARY KEY (caller, key)
);

CREATE INDEX idempotency_keys_batch ON idempotency_keys (batch);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE links (
    child  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    parent TEXT COLLATE "C" NOT NULL,
    root   TEXT COLLATE "C" NOT NULL
);

CREATE INDEX links_parent ON links (parent);
CREATE INDEX links_root ON links (root);

CREATE TABLE callbacks (
    batch        TEXT   COLLATE "C" NOT NULL PRIMARY KEY REFERENCES batches (id) ON DELETE CASCADE,
    due_at       BIGINT NOT NULL,
    failed_tries BIGINT NOT NULL
);

CREATE INDEX callbacks_due ON callbacks (due_at);

CREATE TABLE departing (
    batch TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

CREATE TABLE pulse (
    id    BIGINT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
);
