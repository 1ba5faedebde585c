//! go.sum files: the sums a main module remembers.

use crate::h1::H1;
use crate::path::ModulePath;
use crate::version::Version;

/// What a line's sum covers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The module zip.
    Zip,
    /// The go.mod file alone.
    GoMod,
}

/// One line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The module.
    pub path: ModulePath,
    /// The version.
    pub version: Version,
    /// What is summed.
    pub kind: Kind,
    /// The sum.
    pub h1: H1,
}

/// A file of such lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GoSum {
    /// In file order.
    pub lines: Vec<Line>,
}

/// A line that is not `path version sum`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("go.sum:{line}: {reason}")]
pub struct GoSumError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl GoSum {
    /// Reads a file.
    pub fn parse(_bytes: &[u8]) -> Result<Self, GoSumError> {
        todo!()
    }
}
