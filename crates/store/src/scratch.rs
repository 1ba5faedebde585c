//! Where bytes lie while they arrive: a file beside the store, hashed on the way, gone unless it is committed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::blobs::Room;
use crate::disk::WriteFile;
use crate::error::Error;
use crate::name::Sha256Sum;

/// How many bytes may be written between two looks at the free space.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// A file being filled, on the file system of the store. Dropping it removes the file.
///
/// Its calls block; use them on the blocking pool, or for pieces small enough not to matter.
#[derive(Debug)]
pub struct Scratch {
    room: Arc<Room>,
    path: PathBuf,
    file: Box<dyn WriteFile>,
    sha256: Sha256,
    len: u64,
    look_at: u64,
}

impl Scratch {
    /// The caller has asked whether there is room.
    pub(crate) fn create(room: Arc<Room>, path: PathBuf) -> Result<Self, Error> {
        let file = room.disk().create(&path).map_err(|error| room.full_or("create", &path, error))?;
        Ok(Self { room, path, file, sha256: Sha256::new(), len: 0, look_at: LOOK_EVERY_BYTES })
    }

    /// Appends bytes; [`Error::DiskFull`] when that would use the reserve (R11).
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = self.len.saturating_add(bytes.len() as u64);
        if len > self.look_at {
            self.room.admit(bytes.len() as u64)?;
            self.look_at = len.saturating_add(LOOK_EVERY_BYTES);
        }
        self.file.append(bytes).map_err(|error| self.room.full_or("write", &self.path, error))?;
        self.sha256.update(bytes);
        self.len = len;
        Ok(())
    }

    /// How many bytes were written.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The SHA-256 of what was written so far, computed from memory, not from the disk.
    pub fn sha256(&self) -> Sha256Sum {
        Sha256Sum::from_bytes(self.sha256.clone().finalize().into())
    }

    /// A handle that reads back what was written.
    pub fn reader(&self) -> Result<File, Error> {
        self.room.disk().open(&self.path).map_err(|error| Error::io("open", &self.path, error))
    }

    /// Waits until the bytes are on stable storage. Called once: a failed sync is final (R10).
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let outcome = self.file.sync();
        self.room.count_sync(self.len);
        outcome.map_err(|error| self.room.sync_failed("sync", &self.path, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = self.room.disk().remove(&self.path);
    }
}
