//! Versions, queries, and the pair of a module and its version.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::path::ModulePath;

/// A canonical version: `v1.2.3`, `v1.2.4-rc.1`, `v2.0.0+incompatible`. Names bytes that never change.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Version(Arc<str>);

/// Why a text is no version.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VersionError {
    /// The escaped form is broken.
    #[error("malformed escape")]
    Malformed,
    /// Not `vX.Y.Z[-pre][+incompatible]`.
    #[error("{version:?} is not a canonical version")]
    NotCanonical {
        /// The text.
        version: Box<str>,
    },
    /// The major version does not match the path's suffix.
    #[error("{version} does not match module path {module}")]
    Misfit {
        /// The module.
        module: ModulePath,
        /// The version.
        version: Version,
    },
    /// Its escaped form is longer than our limit.
    #[error("version longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
}

/// A module at a version that fits its path.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleVersion {
    path: ModulePath,
    version: Version,
}

/// A revision name that is no version of the module: a branch, a commit, `v1`, `v1.0.0+meta`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Query(Arc<str>);

/// What may stand before `.info` in a request (P-30, P-31).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum VersionOrQuery {
    /// Canonical and fitting the path.
    Version(Version),
    /// Anything else.
    Query(Query),
}

impl Version {
    /// Reads a canonical version.
    pub fn parse(_text: &str) -> Result<Self, VersionError> {
        todo!()
    }
    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        todo!()
    }
    /// Reads the escaped form.
    pub fn from_escaped(_text: &str) -> Result<Self, VersionError> {
        todo!()
    }
    /// Whether it has the shape of a pseudo-version.
    pub fn is_pseudo(&self) -> bool {
        todo!()
    }
    /// Whether it has a pre-release part; pseudo-versions have.
    pub fn is_prerelease(&self) -> bool {
        todo!()
    }
    /// Whether it ends in `+incompatible`.
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with("+incompatible")
    }
    /// The text without `+incompatible`.
    pub fn base(&self) -> &str {
        self.0.strip_suffix("+incompatible").unwrap_or(&self.0)
    }
    /// Whether the major version matches the path's suffix.
    pub fn fits(&self, _path: &ModulePath) -> Result<(), VersionError> {
        todo!()
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        crate::semver::compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ModuleVersion {
    /// Joins the two when the version fits the path.
    pub fn new(path: ModulePath, version: Version) -> Result<Self, VersionError> {
        version.fits(&path)?;
        Ok(Self { path, version })
    }
    /// The module.
    pub fn path(&self) -> &ModulePath {
        &self.path
    }
    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

impl Query {
    /// Reads a revision name allowed in a URL.
    pub fn parse(_text: &str) -> Result<Self, VersionError> {
        todo!()
    }
    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        todo!()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VersionOrQuery {
    /// Canonical and fitting is a version, any other legal text a query.
    pub fn parse(_path: &ModulePath, _text: &str) -> Result<Self, VersionError> {
        todo!()
    }
    /// The plain form.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Version(version) => version.as_str(),
            Self::Query(query) => query.as_str(),
        }
    }
    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        match self {
            Self::Version(version) => version.escape(),
            Self::Query(query) => query.escape(),
        }
    }
}

impl fmt::Display for VersionOrQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
