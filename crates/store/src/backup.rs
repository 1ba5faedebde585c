//! A copy of everything that was promised, made beside a running server, and the way back (R27).
//!
//! A backup's folder is laid out as a data directory, but for the databases, of which each run writes new copies:
//!
//! ```text
//! <dir>/manifest.json                     the backup that is whole; written last
//! <dir>/databases/<n>/{ledger,log}.sqlite copies of one moment each; <n> is in the manifest
//! <dir>/{repos,sumdb,evidence,quarantine,log/tile}/…
//! ```
//!
//! The order makes it consistent. First the ledger, then the log: what the ledger says was handed to the log is in the log.
//! Then the files that these copies name: all of them were on stable storage before the rows were, and they never change, so
//! a later run adds to them and an earlier backup is not touched until the new manifest has its name. An interrupted run
//! leaves files that no manifest names; the next one trusts none of them.
//!
//! Keys are no matter of the data directory, and none is ever taken along (M08): only what the databases name is.

mod carry;
mod databases;
mod manifest;
mod restore;
mod wanted;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::blobs::{Blobs, DirectoryBlobs, Room};
use crate::disk::{Disk, EntryKind, Lock, RealDisk};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::space::MinFree;
use crate::store::{LOCK, Store};

use carry::Carrier;
use databases::Databases;
pub use manifest::{LogPoint, Manifest};
pub use restore::{is_unfinished, restore};
pub use wanted::Part;

/// How a backup is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Read what an earlier run copied, too, and copy again what is not what was recorded.
    pub verify: bool,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes of the databases that were copied.
    pub database_bytes: u64,
    /// Files that were looked at.
    pub files: u64,
    /// Bytes of files that were copied.
    pub bytes: u64,
}

/// A file that could not be taken along as it was recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damaged {
    /// Its name below the data directory.
    pub path: String,
    /// What it is of.
    pub part: Part,
    /// What is wrong with it.
    pub reason: String,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the backup is of.
    pub manifest: Manifest,
    /// Files that were copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Files that an earlier run had copied.
    pub kept: u64,
    /// Files that are not there, or not as they were recorded. The rest is whole without them.
    pub damaged: Vec<Damaged>,
}

impl Store {
    /// Copies the store to a folder, made when it is missing, which becomes or already is that of its backup. Blocking.
    ///
    /// The store may be open for reading beside a running server. When it returns, the copy is on stable storage and
    /// holds everything that was acknowledged before the call. [`Error::Backup`] when the folder is anything else.
    pub fn back_up(
        &self,
        to: &Path,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, Error> {
        let from = self.inner().room();
        let folder = Folder::open(to, from)?;
        let before = Manifest::read(folder.room.disk(), to)?;
        let begun = self.clock().now();
        folder.sweep(before.as_ref())?;
        let number = before.as_ref().map_or(1, |before| before.number + 1);
        let earlier = before.as_ref().map(|before| Databases::open(to, before)).transpose()?;

        let (databases, sums) = Databases::take(self, to, number, progress)?;
        if let Some(earlier) = &earlier {
            earlier.is_of_the_same_store(&databases, to)?;
        }
        let mut carrier = Carrier::new(from, &folder.blobs, &folder.room, progress);
        wanted::each(&databases, earlier.as_ref(), to, &mut |file| {
            carrier.carry(&file, file.vouched, options.verify)
        })?;
        let carried = carrier.finish()?;
        let manifest = Manifest {
            begun,
            finished: self.clock().now(),
            number,
            mode: mode_of(from.disk(), from.root())?,
            versions: databases.ledger.counts()?.versions,
            files: carried.files,
            log: databases.log_point(),
            sums,
        };
        folder.finish(&manifest)?;
        Ok(Report {
            manifest,
            copied: carried.copied,
            copied_bytes: carried.bytes,
            kept: carried.kept,
            damaged: carried.damaged,
        })
    }
}

/// The folder of a backup, locked.
struct Folder {
    room: Arc<Room>,
    blobs: DirectoryBlobs,
    _lock: std::fs::File,
}

/// What may lie in the folder of a backup.
const OURS: [&str; 9] = [
    LOCK,
    manifest::FILE,
    databases::FOLDER,
    crate::log::FOLDER,
    "repos",
    "sumdb",
    crate::blobs::SCRATCH,
    crate::blobs::QUARANTINE,
    crate::blobs::EVIDENCE,
];

impl Folder {
    /// Nothing is written to a folder that is neither empty nor a backup's.
    fn open(path: &Path, from: &Room) -> Result<Self, Error> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mode = mode_of(from.disk(), from.root())?;
        make(path, mode)?;
        let refused = |reason: &str| Error::Backup { path: path.to_owned(), reason: reason.to_owned() };
        let inside = |path: &Path, other: &Path| {
            let (path, other) = (path.canonicalize(), other.canonicalize());
            path.is_ok_and(|path| other.is_ok_and(|other| path.starts_with(other)))
        };
        if inside(path, from.root()) || inside(from.root(), path) {
            return Err(refused("a backup belongs beside the data directory, not into it or around it"));
        }
        let entries = disk.list(path).map_err(|error| Error::io("list", path, error))?;
        if let Some(other) = entries.iter().find(|entry| !OURS.contains(&entry.name.as_str())) {
            let reason =
                format!("holds {:?}, which is no part of a backup: name an empty folder", other.name);
            return Err(refused(&reason));
        }
        let lock = path.join(LOCK);
        let held = disk.lock(&lock, &format!("{}\n", std::process::id()));
        let Lock::Held(lock) = held.map_err(|error| Error::io("lock", &lock, error))? else {
            return Err(refused("another backup or restore is at work here"));
        };
        let room = Arc::new(Room::new(disk, path.to_owned(), MinFree::Bytes(0)));
        let blobs = DirectoryBlobs::in_room(room.clone())?;
        for folder in OURS.map(|name| path.join(name)) {
            narrow(&folder, mode)?;
        }
        Ok(Self { room, blobs, _lock: lock })
    }

    /// Removes what an interrupted run left: the copies of databases that no manifest names.
    fn sweep(&self, keep: Option<&Manifest>) -> Result<(), Error> {
        self.blobs.sweep()?;
        let folder = self.room.root().join(databases::FOLDER);
        let entries = match self.room.disk().list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| Error::io("list", &folder, error))?,
        };
        let kept = keep.map(|manifest| manifest.number.to_string());
        for entry in entries {
            if entry.kind == EntryKind::Directory && Some(&entry.name) != kept.as_ref() {
                let path = folder.join(&entry.name);
                std::fs::remove_dir_all(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Gives the new backup its name, and then lets go of the one before.
    fn finish(&self, manifest: &Manifest) -> Result<(), Error> {
        let mut scratch = self.blobs.scratch()?;
        scratch.write(&manifest.to_json()?)?;
        scratch.sync()?;
        let (disk, path) = (self.room.disk(), self.room.root().join(manifest::FILE));
        disk.rename(scratch.path(), &path).map_err(|error| Error::io("rename", &path, error))?;
        let root = self.room.root();
        disk.sync_dir(root).map_err(|error| Error::io("sync", root, error))?;
        self.sweep(Some(manifest))
    }
}

/// The permission bits of a path.
fn mode_of(disk: &dyn Disk, path: &Path) -> Result<u32, Error> {
    disk.stat(path).map(|stat| stat.mode & 0o777).map_err(|error| Error::io("look at", path, error))
}

/// Makes a folder with these permission bits, and those above it.
fn make(path: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| Error::io("make", path, error))
}

/// Takes away permissions that the source does not give (M08): what is private there stays private here.
fn narrow(folder: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::metadata(folder) else { return Ok(()) };
    let has = found.permissions().mode() & 0o777;
    if !found.is_dir() || has & mode == has {
        return Ok(());
    }
    let narrowed = std::fs::Permissions::from_mode(has & mode);
    std::fs::set_permissions(folder, narrowed).map_err(|error| Error::io("set the mode of", folder, error))
}

/// When a backup began, for messages and for the mark of a restored log.
pub(crate) fn moment(time: SystemTime) -> String {
    let micros = crate::clock::to_micros(time);
    let stamp = modkeep_module::info::Timestamp {
        secs: micros.div_euclid(1_000_000),
        nanos: u32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default(),
    };
    stamp.to_string()
}

/// Where a database of a backup lies.
fn database(folder: &Path, number: u64, name: &str) -> PathBuf {
    folder.join(databases::FOLDER).join(number.to_string()).join(name)
}
