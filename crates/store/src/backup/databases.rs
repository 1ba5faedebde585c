//! The databases of a backup: copies of one moment each, made with the engine's own backup while others write.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::backup::manifest::{LogPoint, Manifest, Sums};
use crate::backup::{Progress, database, mode_of};
use crate::engine::{failed, open_readers};
use crate::error::Error;
use crate::ledger::{Ledger, SqliteLedger};
use crate::log::copy::LogCopy;
use crate::log::{DATABASE as LOG, FOLDER as LOG_FOLDER};
use crate::name::Sha256Sum;
use crate::store::{LEDGER, Store};
use crate::verify::sha256_of;

/// The folder with the copies, one folder for each run.
pub(super) const FOLDER: &str = "databases";

/// Pages copied between two words about how far it is: 4 MiB.
const PAGES_AT_ONCE: i32 = 1024;

/// The copies of one run, opened for reading. Nobody ever changes them.
pub(super) struct Databases {
    pub(super) ledger: SqliteLedger,
    /// `None` where no log of our own was ever begun.
    pub(super) log: Option<LogCopy>,
}

impl Databases {
    /// Opens those of a whole backup.
    pub(super) fn open(folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let path = |name| database(folder, manifest.number, name);
        let log = manifest.sums.log.as_ref().map(|_| LogCopy::open(&path(LOG))).transpose()?;
        Ok(Self { ledger: SqliteLedger::open_at_rest(&path(LEDGER))?, log })
    }

    /// Copies those of a store, durably: the ledger first, so that what it says was handed to the log is in the log's copy.
    pub(super) fn take(
        store: &Store,
        folder: &Path,
        number: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Sums), Error> {
        let room = store.inner().room();
        let mode = mode_of(room.disk(), room.root())?;
        let into = folder.join(FOLDER).join(number.to_string());
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(&into);
        made.map_err(|error| Error::io("make", &into, error))?;
        let mut seen = Progress::default();
        let mut take = |from: &Path, name: &str| -> Result<(PathBuf, String), Error> {
            let (to, before) = (into.join(name), seen.database_bytes);
            copy(from, &to, mode_of(room.disk(), from)?, &mut |bytes| {
                seen.database_bytes = before + bytes;
                progress(seen);
            })?;
            let sum = sum_of(&to)?;
            Ok((to, sum.to_string()))
        };
        let (ledger, ledger_sum) = take(&room.root().join(LEDGER), LEDGER)?;
        let log = room.root().join(LOG_FOLDER).join(LOG);
        let log = room.disk().stat(&log).is_ok().then(|| take(&log, LOG)).transpose()?;
        for directory in [&into, &folder.join(FOLDER)] {
            room.disk().sync_dir(directory).map_err(|error| Error::io("sync", directory, error))?;
        }
        let sums = Sums { ledger: ledger_sum, log: log.as_ref().map(|(_, sum)| sum.clone()) };
        let log = log.map(|(path, _)| LogCopy::open(&path)).transpose()?;
        Ok((Self { ledger: SqliteLedger::open_at_rest(&ledger)?, log }, sums))
    }

    pub(super) fn log_point(&self) -> Option<LogPoint> {
        self.log.as_ref().map(|log| LogPoint { sequenced: log.sequenced.get(), built: log.built.get() })
    }

    /// Whether two copies can be of one store at two moments: files of one name in both have to be the same.
    pub(super) fn is_of_the_same_store(&self, later: &Self, folder: &Path) -> Result<(), Error> {
        let other = || Error::Backup {
            path: folder.to_owned(),
            reason: "holds the backup of another data directory: name an empty folder".to_owned(),
        };
        let (mut before, mut now) = (self.ledger.walk(0, 1)?, later.ledger.walk(0, 1)?);
        if let Some((repository, record)) = before.pop() {
            let same = now.pop().is_some_and(|(place, found)| {
                place == repository
                    && (found.id, found.first_seen) == (record.id, record.first_seen)
                    && (found.module, found.version) == (record.module, record.version)
            });
            if !same {
                return Err(other());
            }
        }
        let Some(before) = &self.log else { return Ok(()) };
        match &later.log {
            Some(now) if now.salt == before.salt && now.built >= before.built => Ok(()),
            _ => Err(other()),
        }
    }
}

/// Copies a database as it is at one moment, while others write to it. On stable storage when it returns.
fn copy(from: &Path, to: &Path, mode: u32, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
    let (readers, ()) = open_readers(from, |_| Ok(()))?;
    // Made by us, so that nobody may read it who may not read the source.
    let mut how = OpenOptions::new();
    how.write(true).create_new(true).mode(mode).open(to).map_err(|error| Error::io("create", to, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags).map_err(failed("open the copy"))?;
    // A copy that is cut short has no manifest; one that is whole is synced below.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        .map_err(failed("set up the copy"))?;
    readers.run(|connection| {
        // What is read from here on is of one moment: without it the copy would begin anew with each write of others.
        connection.execute_batch("BEGIN").map_err(failed("begin a snapshot"))?;
        let copied = copy_pages(connection, &mut copy, progress);
        let ended = connection.execute_batch("COMMIT").map_err(failed("end a snapshot"));
        copied.and(ended)
    })?;
    copy.close().map_err(|(_, error)| failed("close the copy")(error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| Error::io("sync", to, error))
}

fn copy_pages(from: &Connection, to: &mut Connection, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
    let copying = failed("copy");
    let page: u64 = from
        .query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))
        .map_err(failed("read the page size"))?
        .into();
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(&copying)?;
    let backup = Backup::new(from, to).map_err(&copying)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE).map_err(&copying)?;
        let pages = backup.progress();
        progress(page * u64::try_from(pages.pagecount - pages.remaining).unwrap_or_default());
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => {
                let detail = "the database is locked".to_owned();
                return Err(Error::Ledger { doing: "copy", detail });
            }
        }
    }
}

/// The SHA-256 of a file.
pub(super) fn sum_of(path: &Path) -> Result<Sha256Sum, Error> {
    let sum = File::open(path).and_then(sha256_of);
    sum.map_err(|error: io::Error| Error::io("read", path, error))
}
