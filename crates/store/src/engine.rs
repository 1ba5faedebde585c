//! `SQLite` as the ledger and the log use it: how it is opened, how rows are read, and what its errors mean to us.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use crate::error::Error;
use crate::ledger::readers::Readers;

/// Every commit is synced, and nothing is believed of a file that was made to mislead.
pub(crate) const WRITER_SETTINGS: &str =
    "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
    PRAGMA journal_size_limit = 67108864;";

/// Opens a database for reading only, beside a writer, at rest, or on a disk that cannot be written (R12). `check` says
/// whether it is one.
pub(crate) fn open_readers<T>(
    path: &Path,
    check: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<(Readers, T), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let plain = Readers::new(path.to_owned(), flags);
    match plain.run(&check) {
        Err(Error::Ledger { .. } | Error::DiskFull { .. }) if is_at_rest(path) => {
            // On a disk that is full or cannot be written the engine cannot make the shared memory that it wants beside a
            // WAL; with no WAL left, nothing will change under us and it can do without.
            open_at_rest(path, check)
        }
        Err(error) => Err(error),
        Ok(found) => Ok((plain, found)),
    }
}

/// Opens a database for reading that nobody writes to, and leaves nothing beside it.
pub(crate) fn open_at_rest<T>(
    path: &Path,
    check: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<(Readers, T), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let uri = format!("file:{}?immutable=1", percent_encoded(path));
    let readers = Readers::new(PathBuf::from(uri), flags | OpenFlags::SQLITE_OPEN_URI);
    let found = readers.run(check)?;
    Ok((readers, found))
}

/// Whether the last process to use the ledger closed it properly, leaving no WAL that has to be read.
fn is_at_rest(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).map_or(true, |found| found.len() == 0)
}

/// A path inside a `file:` URI.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.') {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}

pub(crate) fn damaged(detail: impl Into<String>) -> Error {
    Error::Ledger { doing: "read a row", detail: detail.into() }
}

pub(crate) fn unsigned(value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| damaged("a negative size or number"))
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, Error> {
    row.get(index).map_err(failed("read a row"))
}

/// All rows of a statement, each read by `read`.
pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    arguments: &[&dyn rusqlite::ToSql],
    mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(failed("prepare"))?;
    let mut found = statement.query(arguments).map_err(failed("query"))?;
    let mut all = Vec::new();
    while let Some(row) = found.next().map_err(failed("read"))? {
        all.push(read(row)?);
    }
    Ok(all)
}

/// The one row of a statement, when there is one.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &str,
    arguments: &[&dyn rusqlite::ToSql],
    read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    rows(connection, sql, arguments, read).map(|mut all| all.pop())
}

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    arguments: &[&dyn rusqlite::ToSql],
) -> Result<usize, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(failed("prepare"))?;
    statement.execute(arguments).map_err(failed("write"))
}

/// How a transaction ended that did not become durable.
pub(crate) struct Lost {
    pub(crate) error: Error,
    /// What of it reached the disk is unknown, and syncing again would only pretend (R10). A full disk or a lock held
    /// by somebody else is not of that kind.
    pub(crate) is_final: bool,
}

impl Lost {
    pub(crate) fn at_commit(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let passing =
            [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::ReadOnly];
        Self { is_final: !code.is_some_and(|code| passing.contains(&code)), error: failed("commit")(error) }
    }
}

/// Turns the engine's error into ours.
pub(crate) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::DiskFull { free: 0, needed: 1 },
        Some(ErrorCode::ReadOnly) => Error::ReadOnly { reason: "the ledger is read-only".into() },
        _ => Error::Ledger { doing, detail: error.to_string() },
    }
}
