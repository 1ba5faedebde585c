//! From a store to its log: the folder, the database and the files of the key index. What it costs does not depend on
//! how many records there are (R16).

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use crate::blobs::Room;
use crate::engine::{WRITER_SETTINGS, failed, open_readers};
use crate::error::Error;
use crate::ledger::readers::Readers;
use crate::log::keys::{KEYS, Keys, make_folder};
use crate::log::read::Inner;
use crate::log::{DATABASE, FOLDER, LogStore, LogTuning, rows};
use crate::store::Inner as StoreInner;

/// Appends come in small transactions; with 16 MiB between checkpoints of the engine few of them wait for one.
const LOG_SETTINGS: &str = "PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -4096;";

impl LogStore {
    pub(crate) fn open(store: Arc<StoreInner>, tuning: LogTuning) -> Result<Self, Error> {
        let room = store.shared_room().clone();
        let folder = room.root().join(FOLDER);
        let path = folder.join(DATABASE);
        let readers = if room.writable().is_ok() {
            make(&room, &folder, tuning)?;
            Readers::new(path, READING_BESIDE_WRITER)
        } else {
            let (readers, format) = open_readers(&path, rows::format_of)?;
            format.ok_or_else(|| Error::Ledger {
                doing: "open the log",
                detail: "there is no log here yet".to_owned(),
            })?;
            readers
        };
        let known = readers.run(rows::key_state)?;
        let filed = known.mark.unwrap_or(0);
        let keys = Keys::open(room, folder.join(KEYS), known.salt, known.shards, filed)?;
        Ok(Self(Arc::new(Inner { readers, keys: Arc::new(keys), store, tuning })))
    }
}

impl Inner {
    /// The store was opened on a full disk, and is about to take writes.
    pub(crate) fn begin_writing(&self) -> Result<(), Error> {
        let folder = self.room().root().join(FOLDER);
        make(self.room(), &folder, self.tuning)?;
        self.readers.reopen(folder.join(DATABASE), READING_BESIDE_WRITER);
        Ok(())
    }
}

/// They only read, but the last connection to close tidies the WAL away, and may write.
const READING_BESIDE_WRITER: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Makes what is missing of a log.
fn make(room: &Room, folder: &Path, tuning: LogTuning) -> Result<(), Error> {
    make_folder(room, folder)?;
    make_folder(room, &folder.join(KEYS))?;
    let connection = connect(&folder.join(DATABASE))?;
    if let Some(found) = rows::format_of(&connection)? {
        rows::migrate(&connection, found)?;
    } else {
        room.admit(0)?;
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)
            .map_err(|error| Error::Ledger { doing: "draw a salt for the log", detail: error.to_string() })?;
        rows::create(&connection, salt, tuning.key_shards)?;
    }
    for directory in [folder, room.root()] {
        let synced = room.disk().sync_dir(directory);
        room.count_sync(0);
        synced.map_err(|error| Error::io("sync", directory, error))?;
    }
    Ok(())
}

/// A connection that writes.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("open the log"))?;
    // A newer format is refused before anything is written (R29).
    rows::format_of(&connection)?;
    connection.execute_batch(WRITER_SETTINGS).map_err(failed("set up the log's writer"))?;
    connection.execute_batch(LOG_SETTINGS).map_err(failed("set up the log's writer"))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
