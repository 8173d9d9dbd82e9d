-- Batches, the calls of their routes, and the keys of callers. Times are nanoseconds since 1970, UTC.
-- What is JSON or packed bytes is written and read by `src/store/stored` and says its version.

CREATE TABLE batches (
    id            TEXT    NOT NULL PRIMARY KEY,
    caller        TEXT,
    client_ref    TEXT,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    -- NULL = it has not ended.
    completed_at  INTEGER,
    -- Whether a cancel stopped somebody.
    canceled      INTEGER NOT NULL,
    -- Whether no further call may start.
    is_canceled   INTEGER NOT NULL,
    on_invalid    TEXT    NOT NULL,
    retry_unknown TEXT    NOT NULL,
    -- JSON: of which batch it sends recipients again, and which routes.
    resend        TEXT,
    -- The URL that is told its end.
    callback      TEXT,
    warnings      TEXT    NOT NULL,
    -- Of a batch that has ended: how many ended in each way. Before: those that were decided without a call.
    total         INTEGER NOT NULL,
    accepted      INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    unknown       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX batches_open ON batches (id) WHERE completed_at IS NULL;
CREATE INDEX batches_ended ON batches (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE routes (
    batch            TEXT    NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    route_index      INTEGER NOT NULL,
    channel          TEXT    NOT NULL,
    provider         TEXT    NOT NULL,
    is_sandbox       INTEGER NOT NULL,
    route            TEXT    NOT NULL,
    recipients       BLOB    NOT NULL,
    -- NULL = those of `recipients`.
    entries          BLOB,
    chatroom_id      TEXT,
    unsent_positions BLOB,
    unsent_outcomes  BLOB,
    calls            INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    throttled        INTEGER NOT NULL,
    request_ids      TEXT    NOT NULL,
    UNIQUE (batch, route_index)
) STRICT;

-- One row for each call that is out or done; what no row speaks of is planned. Rows of a batch that is deleted go in
-- steps of their own, see `departing`, hence no reference.
CREATE TABLE chunks (
    batch          TEXT    NOT NULL,
    route_index    INTEGER NOT NULL,
    first_position INTEGER NOT NULL,
    positions      BLOB    NOT NULL,
    -- NULL = the call is out.
    outcomes       BLOB,
    attempts       INTEGER NOT NULL,
    accepted       INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    unknown        INTEGER NOT NULL,
    PRIMARY KEY (batch, route_index, first_position)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    caller      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    batch       TEXT NOT NULL,
    -- NULL = its batch has not ended.
    expires_at  INTEGER,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_batch ON idempotency_keys (batch);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Which batch sends recipients of which again; written before the child's first call.
CREATE TABLE links (
    child  TEXT NOT NULL PRIMARY KEY,
    parent TEXT NOT NULL,
    -- The first batch of their family.
    root   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX links_parent ON links (parent);
CREATE INDEX links_root ON links (root);

-- Ends of batches that their callers have not been told.
CREATE TABLE callbacks (
    batch        TEXT    NOT NULL PRIMARY KEY REFERENCES batches (id) ON DELETE CASCADE,
    due_at       INTEGER NOT NULL,
    failed_tries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX callbacks_due ON callbacks (due_at);

-- Deleted batches whose chunks are still there.
CREATE TABLE departing (
    batch TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- One row that is overwritten to find out whether the file can be written.
CREATE TABLE pulse (
    id    INTEGER NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;
