//! A head of the log's own key that is larger than its newest one, as somebody brought it: this is an old copy of the log, and
//! stays one over a restart (C4, I17).

use std::path::PathBuf;

use crate::error::Error;
use crate::log::{FOLDER, LogStore};

/// The file in the log's folder: the note.
pub(super) const SEEN: &str = "seen";

impl LogStore {
    /// The note that was kept last, and the file that it is in. Whoever reads it verifies it.
    pub fn seen(&self) -> Result<Option<(Vec<u8>, PathBuf)>, Error> {
        Ok(self.file(SEEN)?.map(|note| (note, self.seen_path())))
    }

    /// Keeps a note in place of the one before. Durable.
    pub fn keep_seen(&self, note: &[u8]) -> Result<(), Error> {
        let (room, path) = (self.0.room(), self.seen_path());
        room.writable()?;
        let mut scratch = self.0.store.blobs.log_scratch()?;
        scratch.write(note)?;
        scratch.sync()?;
        let renamed = room.disk().rename(scratch.path(), &path);
        renamed.map_err(|error| room.full_or("rename", &path, error))?;
        let folder = room.root().join(FOLDER);
        let synced = room.disk().sync_dir(&folder);
        room.count_sync(0);
        synced.map_err(|error| room.sync_failed("sync", &folder, error))
    }

    fn seen_path(&self) -> PathBuf {
        self.0.room().root().join(FOLDER).join(SEEN)
    }
}
