//! Module paths, import paths and file paths, and the escaped form of names (goproxy-protocol.md section 2).

use std::fmt;
use std::sync::Arc;

/// The name of a module, as its `go.mod` declares it: `example.com/Fish/v2`.
///
/// Holding one means that the path passed every rule of goproxy-protocol.md section 2 and our limits.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModulePath(Arc<str>);

/// The same name as it travels in URLs and file names: `example.com/!fish/v2`.
///
/// Paths that differ only by case stay different on a disk that folds case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EscapedPath(Box<str>);

/// Why a text is no path.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// The escaped form is broken: a bare capital, a `!` without a lower-case letter, a non-ASCII byte.
    #[error("malformed escape")]
    Malformed,
    /// Well formed, but not a path by the rules.
    #[error("malformed path {path:?}: {reason}")]
    Invalid {
        /// The text.
        path: Box<str>,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Longer than our limit.
    #[error("path longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
}

/// The major version suffix of a path: `/v2`, `.v1`, `.v1-unstable`, or empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathMajor<'a>(&'a str);

impl<'a> PathMajor<'a> {
    /// The suffix with its separator; empty when the path has none.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl ModulePath {
    /// Reads a path in its plain form.
    pub fn parse(_text: &str) -> Result<Self, PathError> {
        todo!()
    }
    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The form for URLs and file names.
    pub fn escape(&self) -> EscapedPath {
        todo!()
    }
    /// Reads a path in its escaped form.
    pub fn from_escaped(_text: &str) -> Result<Self, PathError> {
        todo!()
    }
    /// The major version suffix.
    pub fn path_major(&self) -> PathMajor<'_> {
        todo!()
    }
    /// The path without its major version suffix.
    pub fn prefix(&self) -> &str {
        todo!()
    }
    /// Whether this is `golang.org/toolchain`, whose zips are Go distributions (P-140).
    pub fn is_toolchain(&self) -> bool {
        &*self.0 == "golang.org/toolchain"
    }
}

impl EscapedPath {
    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EscapedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the name of a file inside a module zip (module-zip.md section 5.2).
pub fn check_file_path(_path: &str) -> Result<(), PathError> {
    todo!()
}

/// Checks an import path.
pub fn check_import_path(_path: &str) -> Result<(), PathError> {
    todo!()
}

/// The case-folding key of a file path (module-zip.md section 5.3): equal keys collide on some disk.
pub fn fold_key(_path: &str) -> String {
    todo!()
}
