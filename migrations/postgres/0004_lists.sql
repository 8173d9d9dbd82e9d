-- What lists are filtered by, as in migrations/sqlite/0002_lists.sql; `batches_caller` is there already.

CREATE INDEX batches_caller_open ON batches (caller, id) WHERE completed_at IS NULL;
CREATE INDEX batches_stopped ON batches (id) WHERE completed_at IS NOT NULL AND canceled;
CREATE INDEX batches_caller_stopped ON batches (caller, id) WHERE completed_at IS NOT NULL AND canceled;
CREATE INDEX routes_channel ON routes (channel, batch);
