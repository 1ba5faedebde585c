//! What can go wrong in the store, one variant for each thing a caller does differently.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_module::{H1, ModuleVersion};

use crate::name::FileKind;

/// Why the store did not do what it was asked. Cloneable, so that one flight can tell all its waiters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Less space is free than the configuration reserves, or the disk said that it is full (R11). Nothing was
    /// written; reads go on, and writes resume by themselves when space returns.
    #[error("storage is full: {free} bytes free, {needed} needed")]
    DiskFull {
        /// Bytes free for us when we looked.
        free: u64,
        /// Bytes that had to be free: the reserve and what was about to be written.
        needed: u64,
    },
    /// The store takes no writes: the disk is read-only (R12), a sync failed (R10), or it was opened for reading.
    #[error("storage is read-only: {reason}")]
    ReadOnly {
        /// Why, in words for the operator.
        reason: Arc<str>,
    },
    /// Another process is the writer (spec/README.md item 15).
    #[error("{} is in use by process {}", .path.display(), .pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The holder, when the lock file says so.
        pid: Option<u32>,
        /// The data directory.
        path: PathBuf,
    },
    /// The directory was written by a newer program. Nothing was touched (R29).
    #[error("the store has format {found}, this program knows formats up to {known}")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest that we read.
        known: u32,
    },
    /// Other bytes are already recorded under this name. Ours stay, the newcomer is evidence (R3).
    #[error("{version}: {kind} differs from the recorded one: recorded {recorded}, received {received}")]
    Conflict {
        /// The version.
        version: ModuleVersion,
        /// Which of its files.
        kind: FileKind,
        /// The recorded hash: `h1:` for mod and zip, `sha256:` for info and for a zip encoded differently.
        recorded: String,
        /// The hash of what came, in the same form.
        received: String,
    },
    /// A file that was verified for one version was to be stored as another. Nothing was stored.
    #[error("{found} cannot be stored as {asked}")]
    WrongVersion {
        /// The version to be stored.
        asked: ModuleVersion,
        /// The version that the file was verified for.
        found: ModuleVersion,
    },
    /// The `.mod` is not the go.mod inside the zip, and no checksum database vouches for both (Z-46, G01).
    #[error("{version}: go.mod {go_mod} differs from the one inside the zip, {in_zip}")]
    GoModDiffers {
        /// The version.
        version: ModuleVersion,
        /// The sum of the `.mod`.
        go_mod: H1,
        /// The sum of the go.mod found in the zip.
        in_zip: H1,
    },
    /// Stored bytes are damaged or gone. They were put aside, and are never served (R13). A commit of bytes with
    /// the recorded hash repairs the version.
    #[error("{name}: stored bytes are damaged: {reason}")]
    Corrupt {
        /// The blob, relative to the data directory.
        name: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The name cannot be a file here: one element is too long for a file system, or not a relative path.
    #[error("{name:?} cannot be stored: {reason}")]
    Name {
        /// The name, cut at 256 bytes.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The ledger's engine refused.
    #[error("ledger: {doing}: {detail}")]
    Ledger {
        /// The verb.
        doing: &'static str,
        /// What the engine said.
        detail: String,
    },
    /// Another writer of the log has taken over. This one is to be dropped; nothing was written (R28).
    #[error("another writer of the log has taken over")]
    Fenced,
    /// Something of the log was to be other than what is stored, which stays (R5). Whoever asked for it is wrong about
    /// the log, and has to start again from what is stored.
    #[error("the log: {what}")]
    LogConflict {
        /// What differs.
        what: String,
    },
    /// A backup cannot be made or put back there: the folder is something else, or not whole (R27). Nothing that was
    /// there before was changed.
    #[error("{}: {reason}", .path.display())]
    Backup {
        /// The folder or file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The store, or the runtime it works on, is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// An I/O error at a place; a full disk becomes [`Error::DiskFull`], a read-only one [`Error::ReadOnly`].
    /// An operation of the file system that failed; [`Error::DiskFull`] when there was no space.
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { free: 0, needed: 1 }
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { reason: "the file system is read-only".into() }
            }
            _ => Self::Io { doing, path: path.to_owned(), source: Arc::new(source) },
        }
    }

    pub(crate) fn name(name: &str, reason: &'static str) -> Self {
        let mut end = name.len().min(256);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self::Name { name: name[..end].to_owned(), reason }
    }
}
