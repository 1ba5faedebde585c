//! From a directory to a store: lock, folders, ledger, and what an earlier process left behind.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::blobs::{Blobs, DirectoryBlobs, RECHECK, Room};
use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, Lock, RealDisk};
use crate::error::Error;
use crate::ledger::{Ledger, SqliteLedger};
use crate::name::FileKind;
use crate::origins::Broken;
use crate::store::{Checked, Config, Inner, STRIPES, Store};
use crate::workspace::Workspaces;

/// The ledger's file in the data directory.
pub(crate) const LEDGER: &str = "ledger.sqlite";
/// The writer's lock in the data directory.
pub(crate) const LOCK: &str = "lock";

/// What is free at least when the ledger and the log are opened for writing, in bytes: the shared memory of both (32 KiB
/// each), the first pages of their WALs, and what the log writes when it starts.
const START_MIN: u64 = 256 << 10;

/// How many of the newest versions are checked after a failed sync, before anything is written: more than a batch
/// and its neighbours, and never the whole store (R10, R16).
const RECHECK_VERSIONS: u32 = 1000;

impl Store {
    /// Opens a data directory as its only writer, making it when it is missing.
    ///
    /// Blocking. On a read-only disk it opens for reading ([`is_writable`](Self::is_writable), R12), and so it does on
    /// one without the space to open the ledger for writing, until [`resume`](Self::resume) finds room (R11). The time
    /// taken does not depend on how much is stored (R16). [`Error::Locked`] names the process that is the writer.
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open_on(config, Arc::new(RealDisk), clock)
    }

    /// The same on another disk. For tests.
    pub fn open_on(config: Config, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let room = Arc::new(Room::new(disk, config.path, config.min_free));
        Self::refuse_half(room.disk(), room.root())?;
        let lock = match take_lock(&room) {
            Ok(lock) => lock,
            Err(Error::ReadOnly { reason }) => return Self::reading(room, clock, &reason),
            Err(error) => return Err(error),
        };
        let place = room.root().join(LEDGER);
        // Looked at first: with a little room the ledger can perhaps be opened for writing, and then the log cannot.
        let free = room.space().map_or(u64::MAX, |space| space.free);
        if free < START_MIN
            && let Ok(ledger) = SqliteLedger::open_read_only(&place)
        {
            return Self::until_room(room, clock, lock, ledger, START_MIN);
        }
        let blobs = DirectoryBlobs::in_room(room.clone())?;
        let ledger = match SqliteLedger::open(&place) {
            Ok(ledger) => ledger,
            Err(error @ (Error::Ledger { .. } | Error::DiskFull { .. })) => {
                return Self::reading_a_full_disk(room, clock, lock, error);
            }
            Err(error) => return Err(error),
        };
        let top = room.root();
        room.disk().sync_dir(top).map_err(|error| Error::io("sync", top, error))?;
        blobs.sweep()?;
        let store = Self::assemble(Arc::new(blobs), Arc::new(ledger), clock, room, Some(lock), None);
        store.0.recheck()?;
        store.0.workspaces.sweep();
        Ok(store)
    }

    /// Opens for reading only, beside a running writer or on a store at rest. Nothing is written, not even a lock.
    ///
    /// Blocking.
    pub fn open_read_only(config: Config) -> Result<Self, Error> {
        let room = Arc::new(Room::new(Arc::new(RealDisk), config.path, config.min_free));
        Self::refuse_half(room.disk(), room.root())?;
        Self::reading(room, Arc::new(SystemClock), "it was opened for reading")
    }

    fn reading(room: Arc<Room>, clock: Arc<dyn Clock>, reason: &str) -> Result<Self, Error> {
        room.close(reason);
        let blobs = DirectoryBlobs::in_room(room.clone())?;
        let ledger = SqliteLedger::open_read_only(&room.root().join(LEDGER))?;
        Ok(Self::assemble(Arc::new(blobs), Arc::new(ledger), clock, room, None, None))
    }

    /// Without space the engine cannot even make the files that it wants beside a ledger at rest. What is stored is
    /// served all the same (R11, R15); the lock stays ours, so nothing changes under the reading connections.
    fn reading_a_full_disk(
        room: Arc<Room>,
        clock: Arc<dyn Clock>,
        lock: std::fs::File,
        error: Error,
    ) -> Result<Self, Error> {
        let Err(Error::DiskFull { free, needed }) = room.ready() else { return Err(error) };
        let ledger = match SqliteLedger::open_read_only(&room.root().join(LEDGER)) {
            Ok(ledger) => ledger,
            Err(error @ Error::NewerFormat { .. }) => return Err(error),
            Err(_) => return Err(Error::DiskFull { free, needed }),
        };
        tracing::warn!(%error, free, needed, "the ledger cannot be opened for writing");
        Self::until_room(room, clock, lock, ledger, needed)
    }

    /// A store that reads, and writes once so many bytes are free.
    fn until_room(
        room: Arc<Room>,
        clock: Arc<dyn Clock>,
        lock: std::fs::File,
        ledger: SqliteLedger,
        needed: u64,
    ) -> Result<Self, Error> {
        tracing::warn!(needed, "the disk is full; serving what is stored until there is room");
        room.close_until_room(needed);
        let (blobs, ledger) = (Arc::new(DirectoryBlobs::in_room(room.clone())?), Arc::new(ledger));
        let later = Later { blobs: blobs.clone(), ledger: ledger.clone(), alone: Mutex::default() };
        Ok(Self::assemble(blobs, ledger, clock, room, Some(lock), Some(later)))
    }

    pub(crate) fn assemble(
        blobs: Arc<dyn Blobs>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        room: Arc<Room>,
        lock: Option<std::fs::File>,
        later: Option<Later>,
    ) -> Self {
        let workspaces = Arc::new(Workspaces::below(room.root()));
        // A courtesy to clients: a ledger in trouble says so where it matters.
        let broken = Broken::read(ledger.as_ref()).unwrap_or_default();
        Self(Arc::new(Inner {
            blobs,
            ledger,
            clock,
            room,
            workspaces,
            broken,
            checked: Mutex::new(Checked::default()),
            log: Mutex::default(),
            stripes: [const { Mutex::new(()) }; STRIPES],
            hasher: std::hash::RandomState::new(),
            later,
            _lock: lock,
        }))
    }
}

/// Makes the data directory and takes its lock.
fn take_lock(room: &Room) -> Result<std::fs::File, Error> {
    make_all(room.disk(), room.root())?;
    let path = room.root().join(LOCK);
    let lock = room.disk().lock(&path, &format!("{}\n", std::process::id()));
    match lock.map_err(|error| Error::io("lock", &path, error))? {
        Lock::Held(file) => Ok(file),
        Lock::Taken(pid) => Err(Error::Locked { pid, path: room.root().to_owned() }),
    }
}

/// Makes a directory and those above it, durably.
fn make_all(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    match disk.make_dir(path) {
        Ok(()) => {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            disk.sync_dir(parent).map_err(|error| Error::io("sync", parent, error))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or_else(|| Error::io("make", path, error))?;
            make_all(disk, parent)?;
            // Asked once more and no oftener: below a dangling symbolic link, or in /proc, nothing can ever be made.
            disk.make_dir(path).map_err(|error| {
                let text = format!("{error}; {} is there, but nothing can be made in it", parent.display());
                Error::io("make", path, io::Error::new(error.kind(), text))
            })?;
            disk.sync_dir(parent).map_err(|error| Error::io("sync", parent, error))
        }
        // A read-only file system answers so even for a directory that exists.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && disk.stat(path).is_ok() => Ok(()),
        Err(error) => Err(Error::io("make", path, error)),
    }
}

/// What was opened on a full disk for reading, and is opened for writing once there is room.
#[derive(Debug)]
pub(crate) struct Later {
    blobs: Arc<DirectoryBlobs>,
    ledger: Arc<SqliteLedger>,
    /// Held by whoever does it.
    alone: Mutex<()>,
}

impl Inner {
    /// The steps of a start that were left out on a full disk. What fails is tried again with the next call.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        let Some(later) = &self.later else { return self.room().writable() };
        let _alone = later.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(needed) = self.room().waits_for_room() else { return self.room().writable() };
        let (free, top) = (self.room().space()?.free, self.room().root());
        if free < needed {
            return Err(Error::DiskFull { free, needed });
        }
        later.blobs.prepare()?;
        later.ledger.begin_writing(&top.join(LEDGER))?;
        self.room().disk().sync_dir(top).map_err(|error| Error::io("sync", top, error))?;
        later.blobs.sweep()?;
        self.recheck()?;
        // Held until writes are let in, so that nobody opens the log for reading in between.
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = log.upgrade() {
            log.begin_writing()?;
        }
        self.room().open_again();
        drop(log);
        self.workspaces.sweep();
        tracing::info!(free, "there is room on the disk again: new modules are taken");
        Ok(())
    }

    /// After a failed sync: looks at the engine and at the newest files before the first write (R10).
    fn recheck(&self) -> Result<(), Error> {
        let mark = self.room().root().join(RECHECK);
        match self.room().disk().stat(&mark) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("look at", &mark, error)),
            Ok(_) => {}
        }
        tracing::warn!("the last process ended after a failed sync; checking what it wrote last");
        if let Some(doubt) = self.ledger.doubts()?.into_iter().next() {
            return Err(Error::Ledger { doing: "check after a failed sync", detail: doubt.text });
        }
        for (repository, record) in self.ledger.newest(RECHECK_VERSIONS)? {
            let version = record.module_version()?;
            for kind in FileKind::ALL {
                match self.open_file(&repository, &version, kind) {
                    Err(Error::Corrupt { .. }) | Ok(_) => {} // put aside and said so, or whole
                    Err(error) => return Err(error),
                }
            }
        }
        self.room().disk().remove(&mark).map_err(|error| Error::io("remove", &mark, error))
    }
}
