//! What things are called: repositories, the three files of a version, and their places in the data directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_module::{ModulePath, ModuleVersion};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The longest element of a name that every file system of interest can hold, in bytes (hostile-inputs.md part 1).
pub(crate) const ELEMENT_BYTES_MAX: usize = 255;

/// A repository: a set of modules with one authority, a folder below `repos/`.
///
/// 1 to 64 of `a`-`z`, `0`-`9`, `-` and `_`, beginning with a letter or digit.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Repository(Arc<str>);

impl Repository {
    /// The repository of public modules, `main`. Only its versions enter the public feed.
    pub fn main() -> Self {
        Self("main".into())
    }

    /// Reads a repository's name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !starts_well || name.len() > 64 || !name.bytes().all(legal) {
            return Err(Error::name(
                name,
                "a repository is 1 to 64 of a-z, 0-9, - and _, a letter or digit first",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The three files of a version.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FileKind {
    /// The metadata, JSON.
    Info,
    /// The go.mod file.
    Mod,
    /// The source.
    Zip,
}

impl FileKind {
    /// All three, in the order in which they are usually asked for.
    pub const ALL: [Self; 3] = [Self::Info, Self::Mod, Self::Zip];

    /// The suffix of the file's name, without the dot.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Mod => "mod",
            Self::Zip => "zip",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The SHA-256 of a file's bytes. Shown in lower-case hexadecimal.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sha256Sum([u8; 32]);

impl Sha256Sum {
    /// The sum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The sum with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// Where a blob lies: a relative path below the data directory (or a key in a bucket), `/` between elements.
///
/// Holding one means that no element is empty, `.`, `..`, longer than 255 bytes, or holds anything but printable
/// ASCII without `\`; so no name leads out of the directory (D2, A01).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlobName(Arc<str>);

impl BlobName {
    /// The place of one file of a version: `repos/<repository>/<escaped path>/@v/<escaped version>.<kind>`.
    pub fn of_version(
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Self, Error> {
        let directory = Self::versions_of(repository, version.path());
        Self::parse(&format!("{directory}/{}.{kind}", version.version().escape()))
    }

    /// The folder that holds a module's versions, without a trailing slash.
    fn versions_of(repository: &Repository, path: &ModulePath) -> String {
        format!("repos/{repository}/{}/@v", path.escape().as_str())
    }

    /// The place of a file of a foreign checksum database: `sumdb/<database>/<path>`, as the protocol names it.
    pub fn of_foreign(database: &str, path: &str) -> Result<Self, Error> {
        Self::parse(&format!("sumdb/{database}/{path}"))
    }

    /// Checks a relative path.
    pub fn parse(name: &str) -> Result<Self, Error> {
        for element in name.split('/') {
            if element.is_empty() || element == "." || element == ".." {
                return Err(Error::name(name, "an element is empty, . or .."));
            }
            if element.len() > ELEMENT_BYTES_MAX {
                return Err(Error::name(name, "an element is longer than 255 bytes"));
            }
            if !element.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
                return Err(Error::name(name, "only printable ASCII without blanks and backslashes"));
            }
        }
        Ok(Self(name.into()))
    }

    /// The relative path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below a directory.
    pub(crate) fn below(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "a".repeat(256);
        for name in
            ["", "/etc/passwd", "a//b", "a/../b", "./a", "a/", "a\\b", "a b", "a\0b", "a\nb", "ü", &long]
        {
            assert!(matches!(BlobName::parse(name), Err(Error::Name { .. })), "{name:?}");
        }
        for name in
            ["repos/main/example.com/!fish/@v/v1.0.0.zip", "sumdb/sum.golang.org/tile/8/0/x001/013.p/19"]
        {
            assert_eq!(BlobName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn repositories_are_plain_words() {
        for name in ["", "-a", "A", "a/b", "..", "ü", &"a".repeat(65)] {
            assert!(Repository::parse(name).is_err(), "{name:?}");
        }
        assert_eq!(Repository::parse("main").unwrap(), Repository::main());
    }
}
