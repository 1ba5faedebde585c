//! What a request is answered with.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use modkeep_store::OriginState;

/// One answer: always a success; what fails is a `Failure`.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The bytes.
    pub body: Body,
    /// What they are; lifetimes on the wire follow from this alone, never from the content type.
    pub object: Object,
    /// The strong `ETag` with its quotes (P-112).
    pub etag: Bytes,
    /// The version's own time, for `Last-Modified`, where it is known.
    pub modified: Option<SystemTime>,
    /// The age of an answer that is past its lifetime because the source is away or being asked.
    pub stale: Option<Duration>,
    /// What became of the version at its origin, if it does not stand there any more.
    pub origin: Option<OriginState>,
    /// Where it came from, for the metrics.
    pub cache: CacheOutcome,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a stored file that never changes again.
    File {
        /// Open for reading; readers use positions of their own.
        file: Arc<File>,
        /// Its size in bytes.
        size: u64,
    },
}

impl Body {
    /// The size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// The kinds of objects that the protocol has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Object {
    /// `@v/list`.
    List,
    /// `@latest`.
    Latest,
    /// The `.info` of a canonical version.
    Info,
    /// The `.info` that a query resolved to.
    QueryInfo,
    /// A `.mod`.
    Mod,
    /// A zip.
    Zip,
}

impl Object {
    /// Whether the answer holds for ever.
    pub fn is_immutable(self) -> bool {
        matches!(self, Self::Info | Self::Mod | Self::Zip)
    }
}

/// Where an answer came from: the label `cache` of the request metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CacheOutcome {
    /// From memory or the store.
    Hit,
    /// A source was asked.
    Miss,
    /// From the store, past its lifetime.
    Stale,
}
