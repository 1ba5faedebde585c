//! The durable state of a mirror: the bytes of module versions, and the ledger that says which exist.
//!
//! A version's life here: its bytes arrive in a [`Scratch`] file, are hashed on the way, become
//! [`Verified`] against a record, a proof or (for paths nobody vouches for) at first sight, and are
//! [committed](Store::commit): blobs synced, linked into place, directories synced, then one ledger
//! transaction, which is the moment of visibility (reliability.md, "Order of writes"). From then on they
//! never change (R3).
//!
//! The directory is laid out as the protocol names things, so that any file server can serve it
//! (`docs/format.md`). Nothing else in the house touches it.

pub mod backup;
mod blobs;
pub mod clock;
#[cfg(feature = "testing")]
#[allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]
// a check panics: that is its verdict
pub mod contract;
pub mod disk;
mod engine;
mod error;
mod evidence;
#[cfg(feature = "testing")]
pub mod faults;
mod foreign;
pub mod fsck;
pub mod ledger;
mod log;
mod name;
mod origins;
mod scratch;
mod space;
mod store;
mod verdicts;
mod verify;
mod workspace;

pub use blobs::{BlobEntry, Blobs, DirectoryBlobs, Placement};
pub use clock::{Clock, SystemClock};
pub use disk::{Disk, RealDisk};
pub use error::Error;
pub use evidence::{Evidence, EvidenceKind, KeptEvidence};
pub use foreign::Foreign;
pub use ledger::{
    Counts, FeedLine, FileFacts, Ledger, Question, SqliteLedger, StoredAnswer, SumFacts, VersionRecord,
    Visibility,
};
#[cfg(any(test, feature = "testing"))]
pub use log::LogMutant;
pub use log::{
    HeadCommit, KeyFault, KeyName, KeySum, LeafChain, LogRecord, LogRow, LogState, LogStore, LogTuning,
    LogWriter, NewRecord, RecordSource, Sequenced, StoredHead, TileFile,
};
pub use name::{BlobName, FileKind, Repository, Sha256Sum};
pub use origins::{OriginCheck, OriginState};
pub use scratch::Scratch;
pub use space::{MinFree, Space};
pub use store::{Config, Incoming, Parts, Store, StoredFile, Usage};
pub use verdicts::Verdict;
pub use verify::{
    Anomalous, Basis, Body, BrokenZip, Fetched, FetchedInfo, FetchedMod, FetchedZip, FirstSight, Mismatch,
    Recorded, UnfitInfo, Unreadable, Verified, ZipSink,
};
pub use workspace::Workspace;
