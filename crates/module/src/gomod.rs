//! go.mod files (versions-and-origins.md sections 8 and 9).
//!
//! Read in one pass, line by line, without recursion and without a tree, so that time and memory stay
//! proportional to a hostile file (G05). What is read is data only: no value of a go.mod becomes a path on our
//! disk or an argument of a program (G06).
#![warn(clippy::indexing_slicing)]

mod lexer;
mod lines;
mod reader;
mod unquote;

use crate::path::{self, ModulePath};
use crate::semver;
use crate::unicode;
use crate::version::Version;

/// The longest go.mod a module may have, in bytes; go's number (hostile-inputs.md part 1).
pub const GO_MOD_BYTES_MAX: usize = 16 << 20;

/// The most directives we read from one file: 100 times the largest real one known, and the bound of our memory.
pub const DIRECTIVES_MAX: usize = 1_000_000;

/// A parsed go.mod. Texts are as written (unquoted); only versions of requirements, exclusions and
/// replacements are checked and canonical.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GoMod {
    /// The declared path. Not checked: forks and replacements declare anything (P-54).
    pub module: Option<String>,
    /// The `go` line: `1.21`, `1.21.3`, `1.24rc1`.
    pub go: Option<String>,
    /// The `toolchain` line: `go1.21.3`, `default`. Strict reading only.
    pub toolchain: Option<String>,
    /// Required modules, in file order.
    pub require: Vec<Require>,
    /// Excluded versions. Strict reading only.
    pub exclude: Vec<Exclude>,
    /// Replaced modules. Strict reading only.
    pub replace: Vec<Replace>,
    /// Retracted intervals, in file order.
    pub retract: Vec<Retraction>,
    /// Import paths of tools. Strict reading only.
    pub tool: Vec<String>,
    /// Directories that package patterns skip.
    pub ignore: Vec<String>,
    /// Settings of GODEBUG. Strict reading only.
    pub godebug: Vec<Godebug>,
    /// The deprecation message, when the module is deprecated (V-83).
    pub deprecated: Option<String>,
}

/// `require path version // indirect`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Require {
    /// The module.
    pub path: String,
    /// Canonical, fits the path's suffix.
    pub version: String,
    /// Marked `// indirect`: needed by a dependency only.
    pub indirect: bool,
}

/// `exclude path version`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exclude {
    /// The module.
    pub path: String,
    /// Canonical, fits the path's suffix.
    pub version: String,
}

/// `replace path [version] => replacement`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replace {
    /// The module.
    pub path: String,
    /// The one version replaced; `None` for all.
    pub version: Option<String>,
    /// What stands in.
    pub by: Replacement,
}

/// What stands in for a replaced module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Replacement {
    /// A directory on the author's machine.
    Directory(String),
    /// Another module.
    Module {
        /// Its path.
        path: String,
        /// Its version, canonical.
        version: String,
    },
}

/// Versions withdrawn by their author, both ends inclusive (V-82). The ends are as written, perhaps no versions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retraction {
    /// The lowest version.
    pub low: String,
    /// The highest version.
    pub high: String,
    /// Why, from the comment; empty when it says nothing. The author's text: escape it, cut it in lists (G07).
    pub rationale: String,
}

/// `godebug key=value`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Godebug {
    /// The setting.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Why a go.mod does not parse: the first error found.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("go.mod:{line}: {reason}")]
pub struct GoModError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl GoMod {
    /// Reads the main module's own file: every rule applied, nothing unknown allowed.
    pub fn parse(bytes: &[u8]) -> Result<Self, GoModError> {
        reader::read(bytes, reader::Mode::Strict)
    }

    /// Reads a dependency's file (V-81): only `go`, `module`, `retract`, `require` and `ignore` matter, the
    /// rest may be anything that later go releases invent; a `go` value is cut to its MAJOR.MINOR.
    pub fn parse_lenient(bytes: &[u8]) -> Result<Self, GoModError> {
        reader::read(bytes, reader::Mode::Lenient)
    }

    /// The file of a module that has none (P-51), byte for byte as the go command compares it.
    pub fn synthesized(path: &ModulePath) -> Vec<u8> {
        format!("module {path}\n").into_bytes()
    }

    /// The first retraction that covers `version`.
    pub fn retracts(&self, version: &Version) -> Option<&Retraction> {
        self.retract.iter().find(|retraction| retraction.covers(version))
    }
}

impl Retraction {
    /// Whether `version` lies between both ends, in semver order.
    pub fn covers(&self, version: &Version) -> bool {
        semver::compare(&self.low, version.as_str()).is_le()
            && semver::compare(version.as_str(), &self.high).is_le()
    }
}

/// The path on the first module line, found without parsing the rest (versions-and-origins.md section 8).
///
/// Tolerates any damage elsewhere and knows no blocks. `None` when no line declares a path, or when the
/// declared one is a broken quotation.
pub fn module_line_quick_scan(bytes: &[u8]) -> Option<String> {
    let path = bytes.split(|&b| b == b'\n').find_map(module_argument)?;
    if path.starts_with(['"', '`']) { unquote::unquote(&path) } else { Some(path) }
}

/// What a module line declares, quoted or not.
fn module_argument(line: &[u8]) -> Option<String> {
    let text = unicode::lossy(line);
    let rest = text.split("//").next()?.trim().strip_prefix("module")?;
    let path = rest.trim_start();
    let apart = path.len() < rest.len();
    (apart && !path.is_empty()).then(|| path.to_owned())
}

/// Whether a go.mod that declares `declared` may belong to `path` (V-70, section 8): only the major version
/// suffix has to agree, because forks keep the original's name.
pub fn declaration_fits(declared: &str, path: &ModulePath) -> bool {
    let Some((_, suffix)) = path::split_path_major(declared).filter(|_| !declared.is_empty()) else {
        return false;
    };
    match path.path_major().as_str().get(1..) {
        Some(wanted) => suffix.as_str().get(1..) == Some(wanted),
        None => matches!(suffix.major(), None | Some("v0" | "v1")) || declared.starts_with("gopkg.in/"),
    }
}

#[cfg(test)]
mod tests;
