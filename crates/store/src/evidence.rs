//! What was refused and must be explainable later: mismatches, conflicts, forks (I14, H07, R3).

use std::time::SystemTime;

use crate::name::Sha256Sum;
use crate::verify::Body;

/// What kind of wrong it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EvidenceKind {
    /// Bytes without the sum that a record or proof has for them.
    Mismatch,
    /// Other bytes for a file that is already recorded.
    Conflict,
    /// A zip that readers read differently, certified by nobody.
    Anomalous,
    /// The `.mod` and the go.mod in the zip differ, certified by nobody.
    GoModDiffers,
    /// Two signed heads of a checksum database that contradict each other.
    Fork,
}

impl EvidenceKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Mismatch, Self::Conflict, Self::Anomalous, Self::GoModDiffers, Self::Fork];

    /// The word for ledger, metrics and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mismatch => "mismatch",
            Self::Conflict => "conflict",
            Self::Anomalous => "anomalous",
            Self::GoModDiffers => "go-mod-differs",
            Self::Fork => "fork",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something to be kept for an auditor. Texts are cut at 4 KiB.
#[derive(Debug)]
pub struct Evidence {
    /// What kind.
    pub kind: EvidenceKind,
    /// The module, or the database's name for a fork.
    pub module: String,
    /// The version and file, or empty.
    pub version: String,
    /// What we hold or were told, as a hash.
    pub recorded: String,
    /// What came, as a hash.
    pub received: String,
    /// Who sent it, without credentials.
    pub source: String,
    /// The rest, in words.
    pub detail: String,
    /// The bytes themselves.
    pub body: Option<Body>,
}

/// One line of what was kept. The same evidence seen again only counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptEvidence {
    /// Its number, from 1.
    pub id: u64,
    /// What kind.
    pub kind: EvidenceKind,
    /// The module, or the database's name for a fork.
    pub module: String,
    /// The version and file, or empty.
    pub version: String,
    /// What we hold or were told, as a hash.
    pub recorded: String,
    /// What came, as a hash.
    pub received: String,
    /// Who sent it.
    pub source: String,
    /// The rest, in words.
    pub detail: String,
    /// When it was first seen.
    pub first_seen: SystemTime,
    /// When it was last seen.
    pub last_seen: SystemTime,
    /// How often it was seen.
    pub count: u64,
    /// The file below the data directory that holds the bytes, with their sum, when they were kept.
    pub body: Option<(String, Sha256Sum)>,
}
