//! The writing side: transaction A, tiles, transaction B, publication (C3).

use std::time::SystemTime;

use modkeep_tlog::{Tile, TreeSize};

use crate::error::Error;
use crate::log::{HeadCommit, NewRecord, Sequenced, StoredHead};

/// The one writer of the log. Its calls block the caller's thread and use a connection of its own.
///
/// After any error but [`Error::DiskFull`] and [`Error::ReadOnly`] of [`sequence`](Self::sequence) it is to be dropped and
/// taken again, and the work to go on from what is stored (R10).
#[derive(Debug)]
pub struct LogWriter(());

impl LogWriter {
    /// Transaction A: gives each record that is new the next id. On stable storage when it returns; the outcomes come in the
    /// order of the batch. Of equal module versions in one batch the first wins (A1 rule 1).
    ///
    /// [`Error::DiskFull`] when less than the configured reserve is free: nothing was written, and it may be tried again.
    pub fn sequence(&mut self, _batch: &[NewRecord], _now: SystemTime) -> Result<Vec<Sequenced>, Error> {
        todo!()
    }

    /// Stores full tiles; on stable storage when it returns. One that is there already is written again if it is equal, and
    /// is [`Error::LogConflict`] if not. May use 64 MiB of the reserve (R11).
    pub fn put_tiles(&mut self, _tiles: &[(Tile, Vec<u8>)]) -> Result<(), Error> {
        todo!()
    }

    /// Transaction B: heads, edge and the built size, all or nothing, on stable storage when it returns. The promise (R6).
    ///
    /// [`Error::LogConflict`] when another size was built, or another root is kept for one of the sizes; nothing was
    /// written then. May use 64 MiB of the reserve (R11).
    pub fn commit_heads(&mut self, _commit: HeadCommit<'_>) -> Result<(), Error> {
        todo!()
    }

    /// Writes the files `latest` and `checkpoint`, each replaced as a whole. Not synced; see
    /// [`LogStore::published`](crate::LogStore::published).
    pub fn publish(&mut self, _head: &StoredHead) -> Result<(), Error> {
        todo!()
    }

    /// Keeps a checkpoint with cosignatures for the head of this size, in place of the one before. The newest 16 are kept.
    pub fn put_cosigned(&mut self, _size: TreeSize, _checkpoint: &[u8]) -> Result<(), Error> {
        todo!()
    }
}
