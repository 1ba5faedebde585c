//! The reading side.

use std::sync::Arc;

use modkeep_tlog::{RecordId, Tile, TreeSize};

use crate::error::Error;
use crate::log::{LogRecord, LogState, LogWriter, StoredHead};

/// The matter of the log. Cheap to clone; its calls block, briefly.
#[derive(Clone, Debug)]
pub struct LogStore(Arc<()>);

impl LogStore {
    /// Takes the right to write. Every earlier writer is fenced from this moment on: its next call is
    /// [`Error::Fenced`] (R28). [`Error::ReadOnly`] where the store takes no writes.
    pub fn writer(&self) -> Result<LogWriter, Error> {
        todo!()
    }

    /// Where the log stands.
    pub fn state(&self) -> Result<LogState, Error> {
        todo!()
    }

    /// The head of the largest size; `None` before the first.
    pub fn newest_head(&self) -> Result<Option<StoredHead>, Error> {
        todo!()
    }

    /// The newest head whose size is a multiple of 256 and not 0 (C5).
    pub fn newest_aligned_head(&self) -> Result<Option<StoredHead>, Error> {
        todo!()
    }

    /// The smallest kept head that covers `size` records.
    pub fn head_at_least(&self, _size: TreeSize) -> Result<Option<StoredHead>, Error> {
        todo!()
    }

    /// Kept heads smaller than `before` (or all), largest first; at most `limit`. All aligned ones are kept, and the last
    /// 1,000 others (C2).
    pub fn heads(&self, _before: Option<TreeSize>, _limit: u32) -> Result<Vec<StoredHead>, Error> {
        todo!()
    }

    /// Records from an id on, in order; at most `limit`.
    pub fn records(&self, _from: RecordId, _limit: u32) -> Result<Vec<LogRecord>, Error> {
        todo!()
    }

    /// One record.
    pub fn record(&self, _id: RecordId) -> Result<Option<LogRecord>, Error> {
        todo!()
    }

    /// The record of a module version, covered by a head or not.
    pub fn find(&self, _module: &str, _version: &str) -> Result<Option<RecordId>, Error> {
        todo!()
    }

    /// The bytes of a full tile; `None` when it was never put. A partial tile is never here: hashes of the open edge are in
    /// [`LogState::edge`], its records are the newest rows.
    pub fn tile(&self, _tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
        todo!()
    }

    /// The proof that came with a record.
    pub fn provenance(&self, _id: RecordId) -> Result<Option<Vec<u8>>, Error> {
        todo!()
    }

    /// The note that was published last (the file `latest`). It is not synced: after a power cut it may be an older one, or
    /// not a note at all, so whoever reads it verifies it.
    pub fn published(&self) -> Result<Option<Vec<u8>>, Error> {
        todo!()
    }

    /// The newest checkpoint with cosignatures, and its size.
    pub fn cosigned(&self) -> Result<Option<(TreeSize, Vec<u8>)>, Error> {
        todo!()
    }
}
