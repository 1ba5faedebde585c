//! Reading a foreign zip.
use super::*;
use crate::{H1, ModuleVersion};

/// What a zip holds, as far as anybody needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZipFacts {
    /// The sum of all entries (section 7), equal to the go command's.
    pub h1: H1,
    /// The contents of `go.mod` at the root, when there is one.
    pub go_mod: Option<Vec<u8>>,
    /// How many files it holds; directory entries are not counted.
    pub files: u64,
    /// The sum of the files' sizes, in bytes.
    pub uncompressed: u64,
    /// Every kind of anomaly found; empty for a zip that a plain writer made.
    pub anomalies: Vec<Anomaly>,
}
/// Reads the zip.
pub fn check<R: ReadAt + ?Sized>(
    _zip: &R,
    _size: u64,
    _of: &ModuleVersion,
    _limits: &Limits,
) -> Result<ZipFacts, ZipError> {
    todo!()
}
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzz(_bytes: &[u8]) {}
