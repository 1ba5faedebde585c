//! Why a zip is no module zip.

use std::io;
use std::sync::Arc;

use crate::path::PathError;

/// The longest excerpt of a foreign name in an error or an anomaly, in bytes (hostile-inputs.md U8).
const EXCERPT_BYTES_MAX: usize = 256;

/// Why a zip was not read to its end, or is no zip of the module asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ZipError {
    /// The bytes could not be read: our trouble, no verdict about the zip.
    #[error("cannot read the zip: {0}")]
    Read(#[source] Arc<io::Error>),
    /// A size limit is exceeded; decided before anything is inflated (Z-41, Z-42, F20, F21, F24, F31).
    #[error("{part} too large ({bytes} bytes; limit is {limit} bytes)")]
    TooLarge {
        /// What is too large.
        part: Part,
        /// Its declared size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are no zip, or one that is cut or broken (F27, F28).
    #[error("not a valid zip file: {0}")]
    Structure(StructureFault),
    /// An entry breaks a rule of module zips or cannot be read.
    #[error("zip entry {entry:?}: {fault}")]
    Entry {
        /// The entry's name, cut to 256 bytes.
        entry: Box<str>,
        /// The rule.
        fault: EntryFault,
    },
}

/// A part of a zip that has a size limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The file itself.
    Zip,
    /// The central directory.
    Directory,
    /// All contents together.
    Contents,
    /// `go.mod` at the root.
    GoMod,
    /// `LICENSE` at the root.
    License,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zip => "module zip file is",
            Self::Directory => "central directory of the zip is",
            Self::Contents => "total uncompressed size of module contents is",
            Self::GoMod => "go.mod file is",
            Self::License => "LICENSE file is",
        })
    }
}

/// What is broken about a zip as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StructureFault {
    /// No end record in the last 65 KiB: a truncated zip, a web page, nothing at all.
    #[error("no end of central directory")]
    NoEnd,
    /// The end record, its ZIP64 companion and the directory do not fit together.
    #[error("the end record does not fit the central directory")]
    EndRecord,
    /// A record of the central directory is broken.
    #[error("broken central directory")]
    Directory,
    /// The directory holds another number of entries than the end record says.
    #[error("central directory has {found} entries, the end record says {declared}")]
    EntryCount {
        /// Entries found.
        found: u64,
        /// Entries declared.
        declared: u64,
    },
}

/// What is wrong with one entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryFault {
    /// The name does not begin with `path@version/` (Z-41, F13, F36).
    #[error("path does not have prefix {prefix:?}")]
    Prefix {
        /// What every name begins with.
        prefix: Box<str>,
    },
    /// `a//b`, `./a`, `a/../b` (F05).
    #[error("file path is not clean")]
    NotClean,
    /// The name is not valid UTF-8 (F10).
    #[error("file path is not valid UTF-8")]
    NotUtf8,
    /// The name breaks a rule of section 5.2 (F05, F06, F11, F12).
    #[error(transparent)]
    Name(PathError),
    /// A go.mod below the root (F14).
    #[error("go.mod file not in module root directory")]
    NestedGoMod,
    /// `GO.MOD` at the root (F14).
    #[error("go.mod files must have lowercase names")]
    GoModCase,
    /// The name folds to that of another entry or directory (F02, F03, F04).
    #[error(transparent)]
    Collision(Collision),
    /// A compression method other than store and deflate (F17).
    #[error("unsupported compression method {0}")]
    Method(u16),
    /// No local header where the directory says (F28).
    #[error("no local header at offset {0}")]
    LocalHeader(u64),
    /// The data runs past the end of the file or is no deflate stream.
    #[error("broken compressed data")]
    Data,
    /// The contents are longer or shorter than declared (Z-43, F19).
    #[error("uncompressed size differs from the declared {declared} bytes")]
    Size {
        /// What the directory says.
        declared: u64,
    },
    /// The CRC differs from the declared one (Z-43, F18).
    #[error("checksum error")]
    Checksum,
    /// A directory entry that declares contents (F30).
    #[error("directory entry with contents")]
    DirectoryWithContents,
    /// The data descriptor is cut or carries another CRC.
    #[error("broken data descriptor")]
    Descriptor,
}

/// Two names that cannot stand in one tree on every disk (section 5.3).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Collision {
    /// Equal but for case.
    #[error("case-insensitive file name collision: {first:?} and {second:?}")]
    Case {
        /// The name that came first.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// One name, once a file and once a directory.
    #[error("entry {0:?} is both a file and a directory")]
    FileAndDirectory(Box<str>),
    /// One file twice.
    #[error("multiple entries for file {0:?}")]
    Twice(Box<str>),
}

impl ZipError {
    pub(super) fn entry(name: &[u8], fault: EntryFault) -> Self {
        Self::Entry { entry: excerpt(name), fault }
    }
}

impl From<StructureFault> for ZipError {
    fn from(fault: StructureFault) -> Self {
        Self::Structure(fault)
    }
}

impl From<io::Error> for ZipError {
    fn from(error: io::Error) -> Self {
        Self::Read(Arc::new(error))
    }
}

/// The beginning of a foreign name as text, for messages only.
pub(super) fn excerpt(name: &[u8]) -> Box<str> {
    let cut = &name[..name.len().min(EXCERPT_BYTES_MAX)];
    String::from_utf8_lossy(cut).into()
}
