//! The `/@v/list` answer: one version per line (P-20 to P-25).

use crate::path::ModulePath;
use crate::version::Version;

/// Reads a list as the go command does: ascending, no duplicates, nothing that does not belong.
pub fn parse(_bytes: &[u8], _path: &ModulePath) -> Vec<Version> {
    todo!()
}

/// The answer for these versions: ascending, one per line.
pub fn render(_versions: &[Version]) -> Vec<u8> {
    todo!()
}
