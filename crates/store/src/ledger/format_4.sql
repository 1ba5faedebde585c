-- Format 4: what others found of a checksum log, the last word of each.
CREATE TABLE verdicts (
    log TEXT NOT NULL,
    judge TEXT NOT NULL,
    outcome TEXT NOT NULL,
    size INTEGER,
    at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (log, judge)
) STRICT, WITHOUT ROWID;
