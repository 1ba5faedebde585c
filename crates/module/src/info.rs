//! The `.info` answer: JSON metadata of a version (goproxy-protocol.md sections 3.2 and 4).

use crate::version::Version;

/// An instant: seconds and nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    /// May be negative.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// Where a version came from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// `git`, `hg`, `svn` or `fossil`.
    pub vcs: String,
    /// The repository.
    pub url: String,
}

/// A parsed `.info`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Info {
    version: Version,
    time: Option<Timestamp>,
}

/// Why bytes are no `.info`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InfoError {
    /// Over 64 KiB.
    #[error("info longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// Not the JSON object we expect.
    #[error("{0}")]
    Malformed(String),
}

impl Info {
    /// An info with nothing but a version and perhaps its time.
    pub fn new(version: Version, time: Option<Timestamp>) -> Self {
        Self { version, time }
    }
    /// Reads an answer.
    pub fn parse(_bytes: &[u8]) -> Result<Self, InfoError> {
        todo!()
    }
    /// The canonical version.
    pub fn version(&self) -> &Version {
        &self.version
    }
    /// The commit time, when stated.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }
    /// One line of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        todo!()
    }
    /// The bytes to store for an answer that read as this info: `raw` unless its Origin carries a secret (G09).
    pub fn sanitized(&self, _raw: &[u8]) -> Vec<u8> {
        todo!()
    }
}
