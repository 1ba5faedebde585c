//! The mark of a log that was put back from a backup: whether newer heads were signed since is for others to say (C4, R27).

use std::io::{self, Read};
use std::path::PathBuf;

use crate::blobs::Room;
use crate::error::Error;
use crate::log::{FOLDER, LogStore};

/// The file in the log's folder. It says when the backup was made.
pub(super) const RESTORED: &str = "restored";
/// A time is shorter.
const BYTES_MAX: u64 = 256;

fn path(room: &Room) -> PathBuf {
    room.root().join(FOLDER).join(RESTORED)
}

/// Leaves the mark; the caller syncs the folder.
pub(crate) fn mark(room: &Room, backup_of: &str) -> Result<(), Error> {
    let path = path(room);
    match room.disk().remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &path, error));
        }
        _ => {}
    }
    let mut file = room.disk().create(&path).map_err(|error| room.full_or("create", &path, error))?;
    let written = file.append(format!("{backup_of}\n").as_bytes()).and_then(|()| file.sync());
    written.map_err(|error| room.full_or("write", &path, error))
}

impl LogStore {
    /// Of which moment the backup was that this log was put back from, and the file that says so; `None` when it was not,
    /// or when it was settled that no newer head was ever signed.
    pub fn restored(&self) -> Result<Option<(String, PathBuf)>, Error> {
        let (room, mut text) = (self.0.room(), String::new());
        let path = path(room);
        let read = room.disk().open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some((text.trim_end().to_owned(), path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// Leaves that mark: what this log holds came from a copy of `backup_of`, in words. Durable.
    pub fn mark_restored(&self, backup_of: &str) -> Result<(), Error> {
        let room = self.0.room();
        room.writable()?;
        mark(room, backup_of)?;
        let folder = room.root().join(FOLDER);
        room.disk().sync_dir(&folder).map_err(|error| Error::io("sync", &folder, error))
    }

    /// Somebody who knows has said that the newest head here is the newest that was ever signed. Durable.
    pub fn settle_restored(&self) -> Result<(), Error> {
        let room = self.0.room();
        room.writable()?;
        let path = path(room);
        match room.disk().remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|error| Error::io("remove", &path, error))?,
        }
        let folder = room.root().join(FOLDER);
        room.disk().sync_dir(&folder).map_err(|error| Error::io("sync", &folder, error))
    }
}
