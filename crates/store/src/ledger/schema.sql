-- Format 1 of the ledger. docs/format.md explains each table; times are microseconds since 1970 UTC.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- Paths are interned, so that the rows of one module lie together and stay short.
CREATE TABLE modules (
    id INTEGER PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repositories (id),
    path TEXT NOT NULL,
    versions INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repository, path)
) STRICT;

CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    module INTEGER NOT NULL REFERENCES modules (id),
    version TEXT NOT NULL,
    private INTEGER NOT NULL,
    info_size INTEGER, info_sha256 BLOB, info_bad INTEGER NOT NULL DEFAULT 0,
    mod_size INTEGER, mod_sha256 BLOB, mod_h1 BLOB, mod_basis TEXT, mod_bad INTEGER NOT NULL DEFAULT 0,
    zip_size INTEGER, zip_sha256 BLOB, zip_h1 BLOB, zip_basis TEXT, zip_bad INTEGER NOT NULL DEFAULT 0,
    zip_go_mod BLOB,
    time_secs INTEGER, time_nanos INTEGER,
    first_seen INTEGER NOT NULL,
    zip_at INTEGER,
    source TEXT NOT NULL,
    UNIQUE (module, version)
) STRICT;

CREATE TABLE feed (
    position INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL UNIQUE,
    version INTEGER NOT NULL UNIQUE REFERENCES versions (id)
) STRICT;

CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    module INTEGER NOT NULL REFERENCES modules (id),
    kind INTEGER NOT NULL,
    query TEXT NOT NULL,
    body BLOB NOT NULL,
    checked_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    validator TEXT,
    UNIQUE (module, kind, query)
) STRICT;

CREATE TABLE databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head BLOB) STRICT;

CREATE TABLE foreign_files (
    database INTEGER NOT NULL REFERENCES databases (id),
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (database, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    kept_as TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, module TEXT NOT NULL, version TEXT NOT NULL,
    recorded TEXT NOT NULL, received TEXT NOT NULL, source TEXT NOT NULL,
    detail TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, count INTEGER NOT NULL,
    body TEXT, body_sha256 BLOB,
    UNIQUE (kind, module, version, recorded, received, source)
) STRICT;

-- One row, changed with what it counts, so that asking for it costs the same at any size.
CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    modules INTEGER NOT NULL DEFAULT 0,
    versions INTEGER NOT NULL DEFAULT 0,
    zips INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    evidence INTEGER NOT NULL DEFAULT 0,
    evidence_bytes INTEGER NOT NULL DEFAULT 0,
    evidence_dropped INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO repositories (name) VALUES ('main');
INSERT INTO totals (id) VALUES (1);
