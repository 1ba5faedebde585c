//! Pseudo-versions: versions made from a commit (versions-and-origins.md section 7).

use crate::version::Version;

/// The parts of a pseudo-version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pseudo {
    /// The tagged version it follows, if it follows one.
    pub base: Option<Version>,
    /// Commit time, UTC, `yyyymmddhhmmss`.
    pub time: Box<str>,
    /// The first 12 digits of the commit.
    pub rev: Box<str>,
}

/// Whether `version` has the shape of a pseudo-version (V-60).
pub fn is_pseudo(_version: &str) -> bool {
    todo!()
}
