-- What lists are filtered by: src/store/stored/listing.rs. Of the ends only the rare one has an index of its own, so that
-- most batches pay for two entries.

CREATE INDEX batches_caller ON batches (caller, id);
CREATE INDEX batches_caller_open ON batches (caller, id) WHERE completed_at IS NULL;
CREATE INDEX batches_stopped ON batches (id) WHERE completed_at IS NOT NULL AND canceled;
CREATE INDEX batches_caller_stopped ON batches (caller, id) WHERE completed_at IS NOT NULL AND canceled;
CREATE INDEX routes_channel ON routes (channel, batch);
