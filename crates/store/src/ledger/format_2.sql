-- Format 2: what became of versions at their origins.
CREATE TABLE origins (
    version INTEGER PRIMARY KEY REFERENCES versions (id),
    state TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    detail TEXT NOT NULL
) STRICT;
