-- JSON: what the answer to a call said beside its outcomes, as long as its batch has not ended; NULL = nothing.
ALTER TABLE chunks ADD COLUMN remarks TEXT;
