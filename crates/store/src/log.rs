//! The matter of our own checksum database, in `<data>/log/` (spec `checksum-database.md` C2; `docs/format.md`).
//!
//! Sequence first, derive after: a record gets its number in one transaction ([`LogWriter::sequence`]), and from then on
//! everything else follows from the rows. Full tiles are files, written once; the open edge, the heads and what belongs to
//! them are rows; the index that finds a module version is derived, and is made again from the rows whenever it is not to be
//! trusted. What a head means, and whether one may be signed, is for the room above to judge.

/// Whether the writer has been told to make this mistake. Always false in a release.
macro_rules! mutant {
    ($tuning:expr, $name:ident) => {{
        #[cfg(any(test, feature = "testing"))]
        {
            $tuning.mutant == Some($crate::log::LogMutant::$name)
        }
        #[cfg(not(any(test, feature = "testing")))]
        {
            let _ = &$tuning;
            false
        }
    }};
}

mod chain;
pub(crate) mod copy;
mod keys;
mod open;
pub(crate) mod read;
pub(crate) mod restored;
mod rows;
mod seen;
mod tiles;
mod write;

use std::time::SystemTime;

use modkeep_tlog::{GoSumLines, GoSumRecord, Hash, RecordId, TreeSize};

pub use chain::LeafChain;
pub use read::{KeyFault, KeyName, KeySum, LogStore};
pub use tiles::TileFile;
pub use write::LogWriter;

/// The log's folder in the data directory.
pub(crate) const FOLDER: &str = "log";
/// Its database.
pub(crate) const DATABASE: &str = "log.sqlite";
/// The file of the note that was published last.
const LATEST: &str = "latest";
/// The file of the checkpoint that was published last.
const CHECKPOINT: &str = "checkpoint";

/// How the derived key index is kept. The defaults are for logs of all sizes; tests choose smaller ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogTuning {
    /// Into how many files it is divided, a power of two up to 256. Of effect when a log is made.
    pub key_shards: u32,
    /// After how many records its durable mark moves on, in a small log: the most that a start after a crash has to file
    /// again, but for those that come while the index is being synced. In a larger one it is a part of its size, see
    /// [`mark_at`](Self::mark_at).
    pub mark_every: u64,
    /// Whether appends wait for that sync, so that everything happens in one order. Else it is a thread's.
    pub mark_in_line: bool,
    /// A mistake to make, so that tests can show that they would notice. Not in a release.
    #[cfg(any(test, feature = "testing"))]
    pub mutant: Option<LogMutant>,
}

/// A deliberate mistake of the writer.
#[cfg(any(test, feature = "testing"))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogMutant {
    /// A writer that takes over gives ids again that have been given and that no head covers yet (R1, R7).
    ReuseId,
    /// The key index is passed over, so that a module version gets a second record (R7).
    SkipIndex,
}

impl LogTuning {
    /// After how many records the mark moves on in a log of this size. Their keys lie all over the index, so each mark writes
    /// most of its pages: at 10^7 records every 32,768 records would be three kilobytes a record, a 32nd of the size is half
    /// of one. A start after a crash files that part again, in about a second there. What has no mark yet is in memory, some
    /// 30 bytes a record; so the part does not grow for ever.
    pub(crate) fn mark_at(&self, records: u64) -> u64 {
        self.mark_every.max((records / 32).min(MARK_AT_MOST))
    }
}

/// See [`LogTuning::mark_at`]: twice so many keys, the second half while the first is being written, are some 16 MB.
const MARK_AT_MOST: u64 = 1 << 18;

impl Default for LogTuning {
    /// 64 files, so that one grows in milliseconds at 10^7 records; 32,768 records, filed again in about 0.1 s.
    fn default() -> Self {
        Self {
            key_shards: 64,
            mark_every: 32_768,
            mark_in_line: false,
            #[cfg(any(test, feature = "testing"))]
            mutant: None,
        }
    }
}

/// Who vouches for a record.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum RecordSource {
    /// We hashed the module ourselves.
    Own,
    /// A public checksum database proved it; its key's name, such as `sum.golang.org` (C7).
    Upstream(Box<str>),
}

/// A record on its way into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewRecord {
    /// The two lines.
    pub record: GoSumRecord,
    /// Who vouches for them.
    pub source: RecordSource,
    /// The proof of the database that vouches, kept beside the record (a `tlog-proof`; C7 item 5).
    pub provenance: Option<Vec<u8>>,
}

/// What became of a record that was offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sequenced {
    /// It is the first of its module version, and has this id now.
    New(RecordId),
    /// Its module version has a record already, which stays (A1 rule 1).
    Known {
        /// The id of that record.
        id: RecordId,
        /// Whether that record states the same two sums. If not, somebody moved a tag.
        is_same: bool,
    },
}

impl Sequenced {
    /// The id of the record of this module version.
    pub fn id(self) -> RecordId {
        match self {
            Self::New(id) | Self::Known { id, .. } => id,
        }
    }
}

/// A record as the log keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogRecord {
    /// Its place.
    pub id: RecordId,
    /// The two lines.
    pub record: GoSumRecord,
    /// Who vouches for them.
    pub source: RecordSource,
    /// When it got its id, in whole microseconds. Not part of what is hashed.
    pub sequenced_at: SystemTime,
}

/// The same, lent while it is read: what is wanted where every row of many is looked at once.
#[derive(Clone, Copy, Debug)]
pub struct LogRow<'a> {
    /// Its place.
    pub id: RecordId,
    /// The two lines.
    pub lines: GoSumLines<'a>,
    /// The number of the database that vouches for them; 0 for us. Whether it stands for one, [`LogStore::source`] says.
    pub source: i64,
}

/// Where the log stands: facts of one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogState {
    /// How many records have an id.
    pub sequenced: TreeSize,
    /// How many of them are covered by a committed head. Never more than `sequenced`.
    pub built: TreeSize,
    /// The open tile of each level at `built`, lowest first: 32 bytes for each hash, fewer than 256 of them.
    pub edge: Vec<Vec<u8>>,
    /// How often a writer was taken. The newest writer is the only one (R28).
    pub epoch: u64,
}

/// A head with what was signed for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredHead {
    /// How many records it covers.
    pub size: TreeSize,
    /// The root of their tree.
    pub root: Hash,
    /// The go.sum head as a signed note (A5).
    pub note: Vec<u8>,
    /// The same head as a checkpoint, signed (B1).
    pub checkpoint: Vec<u8>,
    /// When it was signed, in whole microseconds. Not part of what is signed.
    pub signed_at: SystemTime,
}

/// What transaction B makes true: the promise.
#[derive(Clone, Copy, Debug)]
pub struct HeadCommit<'a> {
    /// The size that was built before; compared and set.
    pub built: TreeSize,
    /// The new heads, by growing size; the last one's size is built from now on. One of the size `built` replaces the
    /// signatures of the head that is there, if the root is the same.
    pub heads: &'a [StoredHead],
    /// The open tile of each level at the last head's size, lowest first.
    pub edge: &'a [Vec<u8>],
}
