//! The bytes: files that are written once, synced, linked into place, and never changed.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::ScopedJoinHandle;

use crate::disk::{Disk, EntryKind};
use crate::error::Error;
use crate::name::BlobName;
use crate::scratch::Scratch;
use crate::space::{COMMIT_MIN, LOG_RESERVE, MinFree, Space};

/// The place where everything is written, and the right to write there.
///
/// The first failed sync takes that right away for the rest of the process (R10).
#[derive(Debug)]
pub(crate) struct Room {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    min_free: MinFree,
    closed: RwLock<Option<Closed>>,
    /// One more than what was free when the last write found the disk full; 0 when it did not.
    full_at: AtomicU64,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

/// Why nothing is written.
#[derive(Debug)]
enum Closed {
    /// For the rest of the process; in words for the operator.
    ForGood(Arc<str>),
    /// The disk was full at the start, so that not even the ledger could be opened for writing: until so many bytes are
    /// free and it was.
    UntilRoom { needed: u64 },
}

impl Room {
    pub(crate) fn new(disk: Arc<dyn Disk>, root: PathBuf, min_free: MinFree) -> Self {
        let (syncs, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { disk, root, min_free, closed: RwLock::default(), full_at: AtomicU64::new(0), syncs, bytes }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Room on the disk now.
    pub(crate) fn space(&self) -> Result<Space, Error> {
        self.disk.space(&self.root).map_err(|error| Error::io("ask for the free space of", &self.root, error))
    }

    /// Whether `bytes` more may be written: not after a failed sync (R10), not into the reserve (R11).
    pub(crate) fn admit(&self, bytes: u64) -> Result<(), Error> {
        self.writable()?;
        let space = self.space()?;
        let needed = self.min_free.reserve(space.total).saturating_add(bytes);
        if space.free < needed { Err(Error::DiskFull { free: space.free, needed }) } else { Ok(()) }
    }

    /// The same for the step that the log is in: it may use 64 MiB of the reserve, so that it can always be finished
    /// (R11).
    pub(crate) fn admit_log(&self, bytes: u64) -> Result<(), Error> {
        self.writable()?;
        let space = self.space()?;
        let reserve = self.min_free.reserve(space.total).saturating_sub(LOG_RESERVE);
        let needed = reserve.saturating_add(bytes);
        if space.free < needed { Err(Error::DiskFull { free: space.free, needed }) } else { Ok(()) }
    }

    /// Whether the next small commit can be expected to succeed: room beyond the reserve for one, and more of it
    /// than when the last write found none (a quota, say, shows in nothing but that).
    pub(crate) fn ready(&self) -> Result<(), Error> {
        self.writable()?;
        let space = self.space()?;
        let needed = self.min_free.reserve(space.total).max(COMMIT_MIN);
        let needed = needed.max(self.full_at.load(Ordering::Relaxed));
        if space.free < needed { Err(Error::DiskFull { free: space.free, needed }) } else { Ok(()) }
    }

    /// The disk was full at a write. Writes are tried all the same; only what we say of ourselves changes.
    pub(crate) fn note_full(&self) {
        if let Ok(space) = self.space() {
            self.full_at.store(space.free.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// A write succeeded to its end.
    pub(crate) fn note_written(&self) {
        self.full_at.store(0, Ordering::Relaxed);
    }

    /// Whether writes are allowed at all.
    pub(crate) fn writable(&self) -> Result<(), Error> {
        match &*self.closed.read().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(Closed::ForGood(reason)) => Err(Error::ReadOnly { reason: reason.clone() }),
            Some(Closed::UntilRoom { needed }) => {
                Err(Error::DiskFull { free: self.space().map_or(0, |space| space.free), needed: *needed })
            }
        }
    }

    /// Takes no writes from now on. The first reason stays.
    pub(crate) fn close(&self, reason: &str) {
        let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*closed, Some(Closed::ForGood(_))) {
            *closed = Some(Closed::ForGood(reason.into()));
        }
    }

    /// Takes no writes until [`open_again`](Self::open_again): so many bytes have to be free.
    pub(crate) fn close_until_room(&self, needed: u64) {
        let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        if closed.is_none() {
            *closed = Some(Closed::UntilRoom { needed });
        }
    }

    /// How many bytes have to be free before anything is written, where the disk was full at the start.
    pub(crate) fn waits_for_room(&self) -> Option<u64> {
        match &*self.closed.read().unwrap_or_else(PoisonError::into_inner) {
            Some(Closed::UntilRoom { needed }) => Some(*needed),
            Some(Closed::ForGood(_)) | None => None,
        }
    }

    /// There is room, and everything was opened for writing.
    pub(crate) fn open_again(&self) {
        let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*closed, Some(Closed::UntilRoom { .. })) {
            *closed = None;
        }
    }

    /// Whether this process is the writer, now or once there is room.
    pub(crate) fn is_writer(&self) -> bool {
        self.writable().is_ok() || self.waits_for_room().is_some()
    }

    pub(crate) fn count_sync(&self, bytes: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.syncs.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// An error of a write, with the figures when the disk is full.
    pub(crate) fn full_or(&self, doing: &'static str, path: &Path, error: io::Error) -> Error {
        match Error::io(doing, path, error) {
            Error::DiskFull { .. } => {
                self.note_full();
                let space = self.space().unwrap_or(Space { free: 0, total: 0 });
                Error::DiskFull {
                    free: space.free,
                    needed: self.min_free.reserve(space.total).saturating_add(1),
                }
            }
            other => other,
        }
    }

    /// A failed sync of a file: final for the store, unless the disk was merely full; the file is lost either way.
    pub(crate) fn sync_failed(&self, doing: &'static str, path: &Path, error: io::Error) -> Error {
        let error = self.full_or(doing, path, error);
        if !matches!(error, Error::DiskFull { .. }) {
            self.fail(&error);
        }
        error
    }

    /// Closes the store after a failed sync and leaves a mark, so that the next start checks before it writes.
    pub(crate) fn fail(&self, error: &Error) {
        self.close(&format!("a write could not be made durable ({error}); restart to check and resume"));
        // Best effort: the disk has just failed us. Without the mark, blobs are still checked on first open.
        let _ = self.disk.create(&self.root.join(RECHECK)).and_then(|mut file| file.sync());
    }
}

/// The mark of a failed sync, in the data directory.
pub(crate) const RECHECK: &str = "recheck";

/// A file on its way to its name.
#[derive(Debug)]
pub struct Placement {
    /// Its name.
    pub name: BlobName,
    /// Its bytes, complete.
    pub scratch: Scratch,
}

/// One blob met on a walk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlobEntry {
    /// Its path below the data directory, as found: perhaps no legal name.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
}

/// Where bytes are kept. A second implementation has to pass `contract::blobs` (feature `testing`) first (D4).
///
/// Calls block; they are made on the blocking pool.
pub trait Blobs: Send + Sync + Debug {
    /// A new scratch file.
    fn scratch(&self) -> Result<Scratch, Error>;
    /// A new scratch file of at most 16 MiB for the step that the log is in, which may use its part of the reserve (R11).
    fn log_scratch(&self) -> Result<Scratch, Error>;
    /// Puts files at their names. Those for which it says `Ok` are on stable storage, bytes and name; the whole
    /// batch syncs each directory once. Never called for a name whose bytes the ledger vouches for: what is found
    /// there is garbage, and is replaced without ever being trusted.
    fn place(&self, files: Vec<Placement>) -> Vec<Result<(), Error>>;
    /// Opens a blob for reading; `None` when there is none.
    fn open(&self, name: &BlobName) -> Result<Option<File>, Error>;
    /// Moves a blob out of the way for good, and says where to (below the data directory).
    fn put_aside(&self, name: &BlobName) -> Result<String, Error>;
    /// The entries directly below a folder, by name; none when the folder does not exist.
    fn list(&self, folder: &str) -> Result<Vec<BlobEntry>, Error>;
    /// Removes what an earlier process left in scratch.
    fn sweep(&self) -> Result<u64, Error>;
}

/// Blobs as files in the protocol's own layout (D2).
#[derive(Debug)]
pub struct DirectoryBlobs {
    room: Arc<Room>,
    durable: Mutex<HashSet<PathBuf>>,
    next: AtomicU64,
}

/// How many directories are remembered as durable; beyond it the memory starts afresh, at the price of a few syncs.
const DURABLE_MAX: usize = 65_536;

/// Folders made at the start, so that nothing has to ask later whether they exist.
const FOLDERS: [&str; 5] = ["repos", "sumdb", SCRATCH, QUARANTINE, EVIDENCE];

pub(crate) const SCRATCH: &str = "scratch";
pub(crate) const QUARANTINE: &str = "quarantine";
pub(crate) const EVIDENCE: &str = "evidence";

impl DirectoryBlobs {
    /// Uses a directory that exists; makes the folders in it when it may be written.
    pub fn open(disk: Arc<dyn Disk>, root: PathBuf, min_free: MinFree) -> Result<Self, Error> {
        Self::in_room(Arc::new(Room::new(disk, root, min_free)))
    }

    pub(crate) fn in_room(room: Arc<Room>) -> Result<Self, Error> {
        // A number that no earlier process used, so that names in scratch and quarantine never meet.
        let start = getrandom::u64().map_err(|error| {
            Error::io("draw a random number for", room.root(), io::Error::other(error.to_string()))
        })?;
        let blobs = Self { room, durable: Mutex::default(), next: AtomicU64::new(start) };
        if blobs.room.writable().is_ok() {
            blobs.prepare()?;
        }
        Ok(blobs)
    }

    /// Makes the folders, durably.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        let (room, top) = (&self.room, self.room.root());
        for folder in FOLDERS {
            make_dir(room, &top.join(folder))?;
        }
        let outcome = room.disk().sync_dir(top);
        room.count_sync(0);
        outcome.map_err(|error| Error::io("sync", top, error))?;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.extend(FOLDERS.map(|folder| top.join(folder)));
        Ok(())
    }

    fn fresh_name(&self, folder: &str) -> String {
        format!("{folder}/{:016x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes the directories above a file, and notes those whose entries may not be durable yet.
    fn make_parents(&self, file: &Path, touched: &mut Touched) -> Result<(), Error> {
        let missing: Vec<_> = {
            let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            let above = file.ancestors().skip(1).take_while(|directory| *directory != self.room.root());
            above.take_while(|directory| !durable.contains(*directory)).map(Path::to_owned).collect()
        };
        for directory in missing.into_iter().rev() {
            if !touched.made.contains(&directory) {
                make_dir(&self.room, &directory)?;
                touched.unsynced.extend(directory.parent().map(Path::to_owned));
                touched.made.insert(directory);
            }
        }
        Ok(())
    }

    /// Gives a synced file its name.
    fn link(&self, file: &Placement, touched: &mut Touched) -> Result<(), Error> {
        let path = file.name.below(self.room.root());
        self.make_parents(&path, touched)?;
        let disk = self.room.disk();
        match disk.link(file.scratch.path(), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by a crash between the link and the ledger row. Even equal bytes are not kept: whether they
                // ever reached the disk is unknown (R10).
                if self.holds_same(&path, &file.scratch) {
                    disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
                } else {
                    tracing::warn!(blob = %file.name, "bytes without a ledger row were put aside");
                    self.put_aside(&file.name)?;
                }
                disk.link(file.scratch.path(), &path)
                    .map_err(|error| self.room.full_or("link", &path, error))?;
            }
            other => other.map_err(|error| self.room.full_or("link", &path, error))?,
        }
        touched.unsynced.extend(path.parent().map(Path::to_owned));
        Ok(())
    }

    fn holds_same(&self, path: &Path, scratch: &Scratch) -> bool {
        let same_size = self.room.disk().stat(path).is_ok_and(|stat| stat.size == scratch.len());
        same_size
            && self
                .room
                .disk()
                .open(path)
                .and_then(crate::verify::sha256_of)
                .is_ok_and(|sum| sum == scratch.sha256())
    }

    fn sync_dir(&self, directory: &Path) -> Result<(), Error> {
        let outcome = self.room.disk().sync_dir(directory);
        self.room.count_sync(0);
        outcome.map_err(|error| {
            // Unlike a file, a directory cannot be dropped and written again, so not even a full disk is forgiven.
            let error = Error::io("sync", directory, error);
            self.room.fail(&error);
            error
        })
    }

    fn remember(&self, directories: BTreeSet<PathBuf>) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() + directories.len() > DURABLE_MAX {
            durable.clear();
        }
        durable.extend(directories);
    }
}

/// Directories that one batch has to do with.
#[derive(Debug, Default)]
struct Touched {
    /// Got a new entry, or may have one that no sync covered; each is synced once.
    unsynced: BTreeSet<PathBuf>,
    /// Made or found by this batch; durable once the others are synced.
    made: BTreeSet<PathBuf>,
}

/// How many syncs of one batch are under way at once. File systems put syncs that wait together into one write of
/// their journal, so a batch costs far less side by side than one after the other.
const SYNCS_MAX: usize = 16;

/// Does the same to all items, a few at a time, and returns the outcomes in their order.
fn side_by_side<T: Send>(
    items: &mut [T],
    work: impl Fn(&mut T) -> Result<(), Error> + Sync,
) -> Vec<Result<(), Error>> {
    let share = items.len().div_ceil(SYNCS_MAX).max(1);
    let do_share = |items: &mut [T]| items.iter_mut().map(&work).collect::<Vec<_>>();
    if items.len() < 2 {
        return do_share(items);
    }
    let do_share = &do_share;
    std::thread::scope(|scope| {
        let mut shares = items.chunks_mut(share);
        let ours = shares.next().unwrap_or_default();
        let threads: Vec<_> = shares
            .map(|items| {
                let count = items.len();
                (count, std::thread::Builder::new().spawn_scoped(scope, move || do_share(items)))
            })
            .collect();
        let mut outcomes = do_share(ours);
        let others = threads.into_iter().map(|(count, thread)| match thread.map(ScopedJoinHandle::join) {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(_panicked)) => vec![Err(Error::Closed); count],
            // At a limit of threads nothing of the share was synced, and nothing of it is claimed (K09).
            Err(error) => vec![Err(Error::io("start a thread to sync", Path::new(SCRATCH), error)); count],
        });
        outcomes.extend(others.flatten());
        outcomes
    })
}

/// Makes one directory, or finds it.
fn make_dir(room: &Room, path: &Path) -> Result<(), Error> {
    match room.disk().make_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(room.full_or("make", path, error)),
        _ => Ok(()),
    }
}

impl Blobs for DirectoryBlobs {
    fn scratch(&self) -> Result<Scratch, Error> {
        self.room.admit(0)?;
        Scratch::create(self.room.clone(), self.room.root().join(self.fresh_name(SCRATCH)))
    }

    fn log_scratch(&self) -> Result<Scratch, Error> {
        self.room.admit_log(0)?;
        Scratch::create(self.room.clone(), self.room.root().join(self.fresh_name(SCRATCH)))
    }

    fn place(&self, mut files: Vec<Placement>) -> Vec<Result<(), Error>> {
        let mut outcomes =
            side_by_side(&mut files, |file| self.room.writable().and_then(|()| file.scratch.sync()));
        let mut touched = Touched::default();
        for (file, outcome) in files.iter().zip(&mut outcomes) {
            if outcome.is_ok() {
                *outcome = self.room.writable().and_then(|()| self.link(file, &mut touched));
            }
        }
        let mut unsynced: Vec<PathBuf> = touched.unsynced.into_iter().collect();
        let synced = side_by_side(&mut unsynced, |directory| self.sync_dir(directory));
        if let Err(error) = synced.into_iter().collect::<Result<(), _>>() {
            // Which of the names are durable is unknown, so none is.
            outcomes
                .iter_mut()
                .filter(|outcome| outcome.is_ok())
                .for_each(|outcome| *outcome = Err(error.clone()));
        } else {
            self.remember(touched.made);
        }
        outcomes
    }

    fn open(&self, name: &BlobName) -> Result<Option<File>, Error> {
        let path = name.below(self.room.root());
        match self.room.disk().open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(Error::io("open", &path, error)),
        }
    }

    fn put_aside(&self, name: &BlobName) -> Result<String, Error> {
        self.room.writable()?;
        let kept_as = self.fresh_name(QUARANTINE);
        let (from, to) = (name.below(self.room.root()), self.room.root().join(&kept_as));
        self.room.disk().rename(&from, &to).map_err(|error| Error::io("put aside", &from, error))?;
        for directory in [from.parent(), to.parent()].into_iter().flatten() {
            self.sync_dir(directory)?;
        }
        Ok(kept_as)
    }

    fn list(&self, folder: &str) -> Result<Vec<BlobEntry>, Error> {
        let path = self.room.root().join(folder);
        match self.room.disk().list(&path) {
            Ok(entries) => Ok(entries
                .into_iter()
                .map(|entry| BlobEntry { path: format!("{folder}/{}", entry.name), kind: entry.kind })
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("list", &path, error)),
        }
    }

    fn sweep(&self) -> Result<u64, Error> {
        let mut swept = 0;
        for entry in self.list(SCRATCH)? {
            let path = self.room.root().join(&entry.path);
            self.room.disk().remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            swept += 1;
        }
        Ok(swept)
    }
}
