-- Format 2 of the log's own database. docs/format.md explains each table; times are microseconds since 1970 UTC.
CREATE TABLE log_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE log_source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- Appended in the order of ids. That a module version comes once is the key index's business: an index of texts here
-- would touch a random page for each row (C2).
CREATE TABLE log_record (
    id INTEGER PRIMARY KEY,
    module TEXT NOT NULL,
    version TEXT NOT NULL,
    zip_h1 BLOB NOT NULL,
    mod_h1 BLOB NOT NULL,
    source INTEGER NOT NULL, -- 0: we hashed it ourselves
    sequenced_at INTEGER NOT NULL
) STRICT;

CREATE TABLE log_provenance (id INTEGER PRIMARY KEY, proof BLOB NOT NULL) STRICT;

CREATE TABLE log_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq_size INTEGER NOT NULL,
    built_size INTEGER NOT NULL CHECK (built_size <= seq_size),
    epoch INTEGER NOT NULL,
    keys_salt BLOB NOT NULL,
    keys_shards INTEGER NOT NULL,
    keys_mark INTEGER, -- ids below it are durable in the key index; NULL: there is none that can be trusted
    chain_from INTEGER, -- the first record of the chain; it ends at seq_size
    chain BLOB -- over the leaf hashes as the callers gave them; NULL: unknown
) STRICT;

-- The open tile of each level at built_size.
CREATE TABLE log_edge (level INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT;

CREATE TABLE log_head (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    note BLOB NOT NULL,
    checkpoint BLOB NOT NULL,
    signed_at INTEGER NOT NULL
) STRICT;
-- Those that are forgotten one day.
CREATE INDEX log_head_unaligned ON log_head (size) WHERE size % 256 <> 0;

CREATE TABLE log_cosigned (size INTEGER PRIMARY KEY, checkpoint BLOB NOT NULL) STRICT;
