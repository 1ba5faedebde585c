//! The copy of the newest head outside the data directory, beside the key as a rule: the one thing that a backup put back does not take along (C4, I17).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::OpenError;

/// No oftener than this: it costs a sync and a rename, and it only has to be newer than a backup.
const EVERY: Duration = Duration::from_secs(1);

/// A head file is a few hundred bytes.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// A file that follows the newest head. Best effort: trouble with it is told and stops nothing.
#[derive(Debug)]
pub(crate) struct HeadCopy {
    path: Option<PathBuf>,
    newest: Option<Bytes>,
    written: Option<Instant>,
}

impl HeadCopy {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, newest: None, written: None }
    }

    /// A newer head was published.
    pub(crate) fn put(&mut self, note: &Bytes) {
        self.newest = Some(note.clone());
        self.settle();
    }

    /// Writes what was put, unless something was written a moment ago.
    pub(crate) fn settle(&mut self) {
        if self.written.is_none_or(|at| at.elapsed() >= EVERY) {
            self.finish();
        }
    }

    /// Writes what was put.
    pub(crate) fn finish(&mut self) {
        let (Some(path), Some(note)) = (&self.path, self.newest.take()) else { return };
        if let Err(error) = replace(path, &note) {
            tracing::warn!(path = %path.display(), %error, "the copy of the newest head could not be written");
        }
        self.written = Some(Instant::now());
    }
}

/// Synced before the rename: after a power cut the old copy is there or the new one, so one that cannot be read is damaged. The
/// folder is not synced; the old copy may come back, and is newer than a backup.
fn replace(path: &Path, note: &[u8]) -> io::Result<()> {
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(".new");
    let mut file = fs::File::create(&scratch)?;
    file.write_all(note)?;
    file.sync_all()?;
    fs::rename(&scratch, path)
}

/// The copy that an earlier process left, and who says so.
pub(crate) fn read(path: &Path) -> Result<Option<(String, Vec<u8>)>, OpenError> {
    let mut note = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HEAD_BYTES_MAX).read_to_end(&mut note));
    match read {
        Ok(_) => Ok(Some((format!("the copy of the newest head, {},", path.display()), note))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::Read { path: path.display().to_string(), detail: error.to_string() }),
    }
}
