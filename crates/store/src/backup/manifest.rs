//! What says that a backup is whole: the file that is written last.

use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use modkeep_module::info::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::moment;
use crate::clock::from_micros;
use crate::disk::Disk;
use crate::error::Error;

/// Its name in the folder of the backup.
pub(super) const FILE: &str = "manifest.json";
/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// A manifest is some hundred bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What a backup is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// Everything that was acknowledged before this moment is in it.
    pub begun: SystemTime,
    /// When it was whole.
    pub finished: SystemTime,
    /// How many backups were made in this folder, this one included.
    pub number: u64,
    /// The permission bits of the data directory.
    pub mode: u32,
    /// Versions in the ledger.
    pub versions: u64,
    /// Files that its databases name and that are here.
    pub files: u64,
    /// Where our own checksum database stood, if there is one.
    pub log: Option<LogPoint>,
    /// The SHA-256 of the copied databases.
    pub(super) sums: Sums,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LogPoint {
    /// Records that have an id.
    pub sequenced: u64,
    /// Records that the newest head covers.
    pub built: u64,
}

/// The sums of the databases, in hexadecimal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Sums {
    pub(super) ledger: String,
    pub(super) log: Option<String>,
}

/// The file.
#[derive(Deserialize, Serialize)]
struct Text {
    format: u32,
    program: String,
    begun: String,
    finished: String,
    number: u64,
    mode: String,
    versions: u64,
    files: u64,
    log: Option<LogPoint>,
    sha256: Sums,
}

impl Manifest {
    /// The manifest of the backup in a folder; `None` when no backup there was ever finished.
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let mut bytes = Vec::new();
        let read = disk.open(&path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        }
        let wrong = |reason: String| Error::Backup { path: path.clone(), reason };
        let format = serde_json::from_slice(&bytes).ok().and_then(|text: serde_json::Value| {
            text.get("format")?.as_u64().map(|format| u32::try_from(format).unwrap_or(u32::MAX))
        });
        // Looked at before the rest, which a newer format may write in another way (R29).
        if let Some(found) = format.filter(|format| *format > FORMAT) {
            return Err(Error::NewerFormat { found, known: FORMAT });
        }
        let text: Text = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        Self::of(text).map(Some).ok_or_else(|| wrong("a time or the mode cannot be read".to_owned()))
    }

    fn of(text: Text) -> Option<Self> {
        Some(Self {
            begun: time(&text.begun)?,
            finished: time(&text.finished)?,
            number: text.number,
            mode: u32::from_str_radix(&text.mode, 8).ok()?,
            versions: text.versions,
            files: text.files,
            log: text.log,
            sums: text.sha256,
        })
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, Error> {
        let text = Text {
            format: FORMAT,
            program: format!("modkeep {}", env!("CARGO_PKG_VERSION")),
            begun: moment(self.begun),
            finished: moment(self.finished),
            number: self.number,
            mode: format!("{:o}", self.mode),
            versions: self.versions,
            files: self.files,
            log: self.log,
            sha256: self.sums.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&text)
            .map_err(|error| Error::Backup { path: FILE.into(), reason: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn time(text: &str) -> Option<SystemTime> {
    let stamp = Timestamp::parse(text).ok()?;
    Some(from_micros(stamp.secs.checked_mul(1_000_000)?.checked_add(i64::from(stamp.nanos / 1000))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_a_newer_or_torn_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Manifest::read(&RealDisk, folder.path());
        let write = |bytes: &[u8]| std::fs::write(folder.path().join(FILE), bytes).unwrap();
        assert_eq!(read().unwrap(), None);
        let manifest = Manifest {
            begun: from_micros(1_700_000_000_000_001),
            finished: from_micros(1_700_000_001_500_000),
            number: 7,
            mode: 0o750,
            versions: 3,
            files: 9,
            log: Some(LogPoint { sequenced: 5, built: 4 }),
            sums: Sums { ledger: "aa".to_owned(), log: Some("bb".to_owned()) },
        };
        let bytes = manifest.to_json().unwrap();
        write(&bytes);
        assert_eq!(read().unwrap(), Some(manifest));
        write(&bytes[..bytes.len() / 2]);
        assert!(matches!(read(), Err(Error::Backup { .. })));
        write(br#"{"format": 2, "what": "nobody knows"}"#);
        assert!(matches!(read(), Err(Error::NewerFormat { found: 2, known: 1 })));
    }
}
