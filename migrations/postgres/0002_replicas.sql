-- What only a database that several replicas share needs: who works on what.

-- One row for each life of a process. Whoever finds a lease over deletes its row before it takes a batch: from then on
-- the process that had it cannot renew it.
CREATE TABLE replicas (
    id          BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lease_until TIMESTAMPTZ NOT NULL
);

-- The replica that works on the batch or did so last; a batch that is not over and whose replica is not there is
-- anybody's.
ALTER TABLE batches ADD COLUMN owner BIGINT;

CREATE INDEX batches_open ON batches (owner, id) WHERE completed_at IS NULL;
CREATE INDEX batches_canceled ON batches (owner) WHERE is_canceled AND completed_at IS NULL;
CREATE INDEX batches_caller ON batches (caller, id);

-- Grows with each call that is begun: a statement that arrives late leaves alone what was begun after it.
ALTER TABLE chunks ADD COLUMN serial BIGINT NOT NULL DEFAULT 0;
