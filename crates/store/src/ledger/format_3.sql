-- Format 3: versions that our own checksum database was not yet told of. Those that are complete already begin here.
CREATE TABLE log_pending (
    version INTEGER PRIMARY KEY REFERENCES versions (id),
    enqueued_at INTEGER NOT NULL
) STRICT;
INSERT INTO log_pending (version, enqueued_at)
    SELECT id, first_seen FROM versions WHERE mod_sha256 IS NOT NULL AND zip_sha256 IS NOT NULL;
