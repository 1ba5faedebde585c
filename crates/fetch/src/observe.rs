//! What the room tells whoever counts and logs: one callback, given facts alone.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Failure, Subject};

/// Told of everything worth a counter or a log line. Called on the flight's own task: it must not block.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// What a question asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// `@v/list`.
    List,
    /// `@latest`.
    Latest,
    /// An `.info` asked by a query.
    Query,
    /// The `.info` of a version.
    Info,
    /// A `.mod`.
    Mod,
    /// A zip.
    Zip,
    /// The checksum database's record of a version.
    Proof,
    /// The record of a version in our own checksum database.
    Record,
}

impl Kind {
    /// The word for labels and log lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Latest => "latest",
            Self::Query => "query",
            Self::Info => "info",
            Self::Mod => "mod",
            Self::Zip => "zip",
            Self::Proof => "proof",
            Self::Record => "record",
        }
    }
}

/// How the bytes of a `.mod` or zip were judged; the labels of `verify_total`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verdict {
    /// Equal to the record.
    Match,
    /// Other bytes than recorded.
    Mismatch,
    /// The database has no record, so nothing is kept.
    Absent,
    /// Not checked, because the configuration says so for this path.
    Skipped,
}

/// What an operator should hear of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Alarm {
    /// Bytes that contradict a recorded sum (H07).
    ChecksumMismatch,
    /// A source sends other bytes than we recorded earlier; ours stay (H08).
    UpstreamChanged,
    /// `.mod` and the go.mod in the zip differ where nobody certified both (G01).
    GoModDiffers,
    /// A checksum database showed two histories (I14).
    LogInconsistent,
    /// A stored file was damaged and put aside (R13).
    StoreDamaged,
    /// What is stored here has other sums than the public checksum database's record (C7); it was put aside.
    MirrorMismatch,
    /// Our own log recorded other sums, on our own word, than the public database has (C7). Records stand for ever.
    AuthorityConflict,
    /// Our own log recorded other sums than the module has now: its origin moved a tag (C3). Records stand for ever.
    RecordConflict,
}

/// One happening.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A question was taken to a source and answered.
    Fetched {
        /// What was asked.
        subject: &'a Subject,
        /// Which file or answer.
        kind: Kind,
        /// The source's name, without credentials.
        source: &'a str,
        /// Size of the answer.
        bytes: u64,
        /// From take-off to landing.
        took: Duration,
        /// The source said that our answer still holds.
        not_modified: bool,
        /// The zip of a version that was not here before: worth a line for a person.
        new_version: bool,
    },
    /// A question was taken to the sources and failed.
    Failed {
        /// Which file or answer.
        kind: Kind,
        /// Why; carries the subject.
        failure: &'a Failure,
        /// From take-off to landing.
        took: Duration,
    },
    /// A caller joined a flight in the air.
    Coalesced {
        /// Which file or answer.
        kind: Kind,
    },
    /// A failure was answered from memory.
    Remembered {
        /// Which file or answer.
        kind: Kind,
    },
    /// An answer past its lifetime was served.
    ServedStale {
        /// What was asked.
        subject: &'a Subject,
        /// Which answer.
        kind: Kind,
        /// Its age.
        age: Duration,
    },
    /// A `.mod` or zip was judged.
    Verified {
        /// What was judged.
        subject: &'a Subject,
        /// Which file.
        kind: Kind,
        /// How.
        verdict: Verdict,
    },
    /// A version is in our own checksum database.
    Recorded {
        /// Which.
        subject: &'a Subject,
        /// The log's name.
        log: &'a str,
        /// Its number.
        id: u64,
        /// The database that vouches for it; `None` where we do.
        source: Option<&'a str>,
        /// It was there before.
        was_known: bool,
        /// From the offer to the published head that covers it.
        took: Duration,
    },
    /// Something that an operator should see at once.
    Alarm {
        /// What was asked.
        subject: &'a Subject,
        /// Which kind of trouble.
        alarm: Alarm,
        /// Details in words, for the log.
        detail: &'a str,
    },
}

/// An observer that looks away.
pub fn unobserved() -> Observer {
    Arc::new(|_| {})
}
