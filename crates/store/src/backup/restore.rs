//! The way back: a data directory from a backup.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::backup::carry::{Carried, Carrier};
use crate::backup::databases::Databases;
use crate::backup::manifest::Manifest;
use crate::backup::{Damaged, Part, Progress, Report, database, make, mode_of, moment, wanted};
use crate::blobs::{DirectoryBlobs, Room};
use crate::clock::Clock;
use crate::disk::{Disk, Lock, RealDisk};
use crate::error::Error;
use crate::log::{DATABASE as LOG, FOLDER as LOG_FOLDER, restored};
use crate::name::Sha256Sum;
use crate::space::MinFree;
use crate::store::{Config, LEDGER, LOCK, Store};

/// The mark of a data directory that is being put back: no store is opened there. Removed last.
const UNFINISHED: &str = "restoring";

/// Whether a data directory is half of one: a restore began there and did not end.
pub fn is_unfinished(disk: &dyn Disk, root: &Path) -> bool {
    disk.stat(&root.join(UNFINISHED)).is_ok()
}

/// Puts a backup back into a data directory that is missing or empty, or where an earlier try of this was cut short.
/// Blocking.
///
/// Every file is compared with what the ledger has recorded. What is damaged in the backup is left out and marked, so that it
/// is fetched again. The log does not sign from here before somebody who knows says that nothing was signed after the
/// backup (C4): a head beside its key, a witness, or `is_newest`, the operator.
pub fn restore(
    from: &Path,
    config: &Config,
    is_newest: bool,
    clock: &Arc<dyn Clock>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let Some(manifest) = Manifest::read(&*disk, from)? else {
        let reason = "there is no backup here that is whole: manifest.json is missing".to_owned();
        return Err(Error::Backup { path: from.to_owned(), reason });
    };
    let _alone = alone_with(&*disk, from)?;
    make(&config.path, manifest.mode)?;
    let room = Arc::new(Room::new(disk.clone(), config.path.clone(), config.min_free));
    let lock = empty(&room)?;

    room.admit(0)?;
    put_databases(&room, from, &manifest, progress)?;
    let databases = Databases::open(from, &manifest)?;
    let source = Room::new(disk, from.to_owned(), MinFree::Bytes(0));
    let blobs = DirectoryBlobs::in_room(room.clone())?;
    let mut carrier = Carrier::new(&source, &blobs, &room, progress);
    wanted::each(&databases, None, from, &mut |file| carrier.carry(&file, false, false))?;
    let Carried { copied, bytes, damaged, .. } = carrier.finish()?;
    if manifest.log.is_some() && !is_newest {
        restored::mark(&room, &moment(manifest.begun))?;
        sync(&room, &room.root().join(LOG_FOLDER))?;
    }
    let mark = room.root().join(UNFINISHED);
    room.disk().remove(&mark).map_err(|error| Error::io("remove", &mark, error))?;
    sync(&room, room.root())?;
    drop((blobs, lock));
    settle(config, clock, &manifest, &damaged)?;
    Ok(Report { manifest, copied, copied_bytes: bytes, kept: 0, damaged })
}

/// The right to read the backup, as long as nobody makes another one there. Where nothing can be locked, nobody can.
fn alone_with(disk: &dyn Disk, folder: &Path) -> Result<Option<File>, Error> {
    match disk.lock(&folder.join(LOCK), &format!("{}\n", std::process::id())) {
        Ok(Lock::Held(file)) => Ok(Some(file)),
        Ok(Lock::Taken(_)) => Err(Error::Backup {
            path: folder.to_owned(),
            reason: "a backup is being made here; wait for its end".to_owned(),
        }),
        Err(_) => Ok(None),
    }
}

/// Takes the data directory, if nothing is in it that could be lost, and marks it.
fn empty(room: &Room) -> Result<File, Error> {
    let (disk, root) = (room.disk(), room.root());
    let refused = |reason: String| Error::Backup { path: root.to_owned(), reason };
    let lock = disk.lock(&root.join(LOCK), &format!("{}\n", std::process::id()));
    let Lock::Held(lock) = lock.map_err(|error| Error::io("lock", root, error))? else {
        return Err(refused("is in use by another process".to_owned()));
    };
    let entries = disk.list(root).map_err(|error| Error::io("list", root, error))?;
    if is_unfinished(disk, root) {
        return Ok(lock);
    }
    // What a new file system has of its own is nothing of ours, and nothing to lose.
    let other = entries.iter().find(|entry| entry.name != LOCK && entry.name != "lost+found");
    if let Some(other) = other {
        let reason = format!("holds {:?} already: move it away, or name another directory", other.name);
        return Err(refused(reason));
    }
    let mark = root.join(UNFINISHED);
    let marked = disk.create(&mark).and_then(|mut file| file.sync());
    marked.map_err(|error| room.full_or("create", &mark, error))?;
    sync(room, root)?;
    Ok(lock)
}

fn put_databases(
    room: &Room,
    from: &Path,
    manifest: &Manifest,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let mut seen = Progress::default();
    let mut put = |name: &str, to: &Path, sum: &str| {
        put_database(room, &database(from, manifest.number, name), to, sum, &mut |bytes| {
            seen.database_bytes += bytes;
            progress(seen);
        })
    };
    let root = room.root();
    put(LEDGER, &root.join(LEDGER), &manifest.sums.ledger)?;
    if let Some(sum) = &manifest.sums.log {
        let folder = root.join(LOG_FOLDER);
        make(&folder, 0o777 & mode_of(room.disk(), root)?)?;
        put(LOG, &folder.join(LOG), sum)?;
        sync(room, &folder)?;
    }
    sync(room, root)
}

/// Copies a database, durably, and compares it with its sum: a page that was changed would be believed.
fn put_database(
    room: &Room,
    from: &Path,
    to: &Path,
    sum: &str,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let mode = mode_of(room.disk(), from)? | 0o600;
    let reading = |error| Error::io("read", from, error);
    let writing = |error| room.full_or("write", to, error);
    let mut source = File::open(from).map_err(reading)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(to)
        .map_err(|error| room.full_or("create", to, error))?;
    let (mut sha256, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(reading(error)),
        };
        room.admit(read as u64)?;
        sha256.update(&buffer[..read]);
        target.write_all(&buffer[..read]).map_err(writing)?;
        progress(read as u64);
    }
    target.sync_all().map_err(writing)?;
    let found = Sha256Sum::from_bytes(sha256.finalize().into()).to_string();
    if found == sum {
        return Ok(());
    }
    let reason = format!("is damaged: its SHA-256 is {found}, the manifest has {sum}");
    Err(Error::Backup { path: from.to_owned(), reason })
}

fn sync(room: &Room, folder: &Path) -> Result<(), Error> {
    room.disk().sync_dir(folder).map_err(|error| Error::io("sync", folder, error))
}

/// Opens the store once for writing: what is missing is marked, so that it will be fetched again, and the log's key index,
/// which no backup holds, is made.
fn settle(
    config: &Config,
    clock: &Arc<dyn Clock>,
    manifest: &Manifest,
    damaged: &[Damaged],
) -> Result<(), Error> {
    let store = Store::open(config.clone(), clock.clone())?;
    for file in damaged {
        match &file.part {
            // Whoever opens what is missing has it marked (R13).
            Part::Version { repository, version, kind } => {
                match store.open_file_blocking(repository, version, *kind) {
                    Ok(_) | Err(Error::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Part::Foreign { database, path } => store.inner().ledger.forget_foreign(database, path)?,
            Part::Kept | Part::Tile => {}
        }
    }
    if manifest.log.is_some() {
        drop(store.log()?.writer()?);
    }
    Ok(())
}

impl Store {
    /// [`Error::Backup`] for a data directory that is half put back.
    pub(crate) fn refuse_half(disk: &dyn Disk, root: &Path) -> Result<(), Error> {
        if !is_unfinished(disk, root) {
            return Ok(());
        }
        let reason =
            "a restore into this directory did not end; run it again, or empty the directory".to_owned();
        Err(Error::Backup { path: root.to_owned(), reason })
    }
}
