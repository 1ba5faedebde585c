//! go.mod files (versions-and-origins.md sections 8 and 9).

use crate::path::ModulePath;
use crate::version::Version;

/// A parsed go.mod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GoMod {
    /// The declared path.
    pub module: Option<String>,
    /// The `go` line's version.
    pub go: Option<String>,
    /// The `toolchain` line's name.
    pub toolchain: Option<String>,
    /// Required modules.
    pub require: Vec<Require>,
    /// Retracted intervals.
    pub retract: Vec<Retraction>,
    /// The deprecation message, when the module is deprecated.
    pub deprecated: Option<String>,
}

/// One required module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Require {
    /// The module.
    pub path: String,
    /// The version.
    pub version: String,
    /// Marked `// indirect`.
    pub indirect: bool,
}

/// Versions withdrawn by their author, both ends inclusive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retraction {
    /// The lowest version.
    pub low: String,
    /// The highest version.
    pub high: String,
    /// Why, from the comment.
    pub rationale: String,
}

/// Why a go.mod does not parse.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("go.mod:{line}: {reason}")]
pub struct GoModError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl GoMod {
    /// Reads a file, every rule applied.
    pub fn parse(_bytes: &[u8]) -> Result<Self, GoModError> {
        todo!()
    }
    /// Reads a dependency's file as the go command does (V-81).
    pub fn parse_lenient(_bytes: &[u8]) -> Result<Self, GoModError> {
        todo!()
    }
    /// The bytes for a module without a go.mod (P-51).
    pub fn synthesized(path: &ModulePath) -> Vec<u8> {
        format!("module {path}\n").into_bytes()
    }
    /// The retraction that covers `version`.
    pub fn retracts(&self, _version: &Version) -> Option<&Retraction> {
        todo!()
    }
}

/// The path on the first module line, without parsing the rest (versions-and-origins.md section 8).
pub fn module_line_quick_scan(_bytes: &[u8]) -> Option<String> {
    todo!()
}
