//! The log as the rooms above use it.

use std::sync::Arc;

use bytes::Bytes;
use modkeep_store::{Error, LogStore, NewRecord};
use modkeep_tlog::{RecordId, Tile, TreeSize, VerifierKey};

use crate::config::{Config, Parts};
use crate::error::{AppendError, OpenError};
use crate::head::Head;

/// What became of an append: the record is in the log, covered by a durable, signed, published head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Where.
    pub id: RecordId,
    /// Whether it was there before; then with the sums that were recorded first.
    pub was_known: bool,
    /// Whether the recorded sums are the ones that were offered. If not, a conflict was raised, and the recorded ones
    /// stand (C3).
    pub is_same: bool,
    /// The size of the head that covers it.
    pub head_size: TreeSize,
}

/// What the sequencer does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Records are taken.
    Running,
    /// Opened for reading: no key, no sequencer.
    Reading,
    /// An operator said so.
    Paused {
        /// In their words.
        reason: Arc<str>,
    },
    /// Nothing is signed.
    Stopped {
        /// Why.
        reason: Arc<str>,
        /// Whether it starts again by itself, from what is stored.
        restarts: bool,
    },
    /// Closed for good.
    Closed,
}

/// A checksum database. Cheap to clone; clones share the one sequencer.
///
/// The reading calls touch the disk and block, briefly: call them on the blocking pool. [`latest`](Self::latest) and
/// [`checkpoint`](Self::checkpoint) do not.
#[derive(Clone, Debug)]
pub struct Log(Arc<()>);

impl Log {
    /// Opens the log for appending and starts its sequencer, after the checks of C4. Blocking.
    ///
    /// A new store gets a signed head of the empty tree.
    pub fn open(_parts: Parts) -> Result<Self, OpenError> {
        todo!()
    }

    /// Opens the log for reading: what was published is served, nothing is signed. Blocking.
    ///
    /// The key is the log's public one: the newest stored head opens with it, or is not served.
    pub fn open_reading(_store: LogStore, _key: VerifierKey, _config: Config) -> Result<Self, OpenError> {
        todo!()
    }

    /// Appends a record; answered when a durable, signed, published head covers it (C3).
    ///
    /// A version that the log has already is answered with its id. Cancel safe: what was queued is appended all the
    /// same.
    pub async fn append(&self, _record: NewRecord) -> Result<Appended, AppendError> {
        todo!()
    }

    /// Appends many at once, in this order, and waits for all. They take their places in the queue one by one as it
    /// empties, so this is never [`Busy`](AppendError::Busy).
    pub async fn append_all(&self, _records: Vec<NewRecord>) -> Result<Vec<Appended>, AppendError> {
        todo!()
    }

    /// The log's name, which is that of its key.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The keys that sign its heads, the present one first.
    pub fn keys(&self) -> &[VerifierKey] {
        todo!()
    }

    /// What the sequencer does.
    pub fn state(&self) -> State {
        todo!()
    }

    /// Takes no records until [`resume`](Self::resume); what is queued is finished.
    pub fn pause(&self, _reason: &str) {
        todo!()
    }

    /// Takes records again, and starts again from what is stored where it had stopped.
    pub fn resume(&self) {
        todo!()
    }

    /// The newest head.
    pub fn latest(&self) -> Arc<Head> {
        todo!()
    }

    /// The newest head whose size is a multiple of 256, if there is one (C5).
    pub fn aligned(&self) -> Option<Arc<Head>> {
        todo!()
    }

    /// The newest checkpoint to show: with the cosignatures of witnesses where
    /// [`put_checkpoint`](Self::put_checkpoint) brought some for it, else plain (B1).
    pub fn checkpoint(&self) -> Bytes {
        todo!()
    }

    /// Replaces the checkpoint of a published size with a cosigned one, kept and shown (B3).
    ///
    /// It opens with the log's key, says what the head of that size says, and is not older than the cosigned one
    /// shown. A later head does not replace it: witnesses lag behind. What is shown never goes back.
    pub async fn put_checkpoint(&self, _size: TreeSize, _cosigned: Bytes) -> Result<(), AppendError> {
        todo!()
    }

    /// The record of a version, if a published head covers it. Blocking.
    pub fn find(&self, _module: &str, _version: &str) -> Result<Option<RecordId>, Error> {
        todo!()
    }

    /// The answer to a lookup: id, text and a head that covers it, the aligned one where that does (C5). `None` when no
    /// published head covers such a record. Blocking.
    pub fn lookup(&self, _module: &str, _version: &str) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// The bytes of a tile of hashes or records, at any width that the newest published head has; `None` beyond it and
    /// for heights other than 8 (A4). Blocking.
    pub fn tile(&self, _tile: &Tile) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// The C2SP proof of a version's record under the newest checkpoint that covers it (B5). Blocking.
    pub fn proof(&self, _module: &str, _version: &str) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// The proof that a record of the public database came with (C7); `None` for records of our own. Blocking.
    pub fn provenance(&self, _module: &str, _version: &str) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// Waits until a head larger than `size` is published, and returns it; `None` when the log is closed. What
    /// witnesses, feeds and replicas wait for. Cancel safe.
    pub async fn head_after(&self, _size: TreeSize) -> Option<Arc<Head>> {
        todo!()
    }

    /// Finishes what is queued and ends the sequencer. Later appends are [`Paused`](AppendError::Paused); reads go on.
    pub async fn close(&self) {
        todo!()
    }
}
