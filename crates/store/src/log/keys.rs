//! The key index: which record a module version has. Derived from the rows, and made again when it is not to be trusted.
//!
//! A key is found by the first bytes of a salted hash, so that nobody can choose names that fall together; the text of the
//! row decides (A1 rule 1: the key is the pair of strings, not a hash of it). The keys of a batch lie all over the files, so
//! they are kept in memory and written many at once. A durable mark says below which id everything is in the files; from
//! there on the rows are filed again at the start.

mod block;
mod marker;
mod recent;
mod shard;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest as _, Sha256};

pub(super) use block::Digest;
pub(super) use marker::Marker;
pub(super) use recent::DigestHasher;

use crate::blobs::Room;
use crate::error::Error;
use recent::Recent;
use shard::{Shard, blocks_for, corrupt, is_missing};

/// The folder of the index in the log's.
pub(super) const KEYS: &str = "keys";

/// A new shard is written in pieces of this size. The kernel keeps what one call writes as one piece of its cache (up to
/// megabytes), and ext4 looks at every block of the piece at each later write of 512 bytes into it.
const PAGE: usize = 4096;

/// What all entries of the index come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survey {
    pub(super) entries: u64,
    /// The sum of the entries' fingerprints.
    pub(super) fingerprint: u128,
    /// Each is found where it is looked for, alone under its digest, and has the id of a record.
    pub(super) are_plain: bool,
}

impl Default for Survey {
    fn default() -> Self {
        Self { entries: 0, fingerprint: 0, are_plain: true }
    }
}

#[derive(Debug)]
pub(super) struct Keys {
    room: Arc<Room>,
    folder: PathBuf,
    salt: [u8; 32],
    shards: Box<[Slot]>,
    /// Ids below it are filed, as far as this process can see.
    filed: AtomicU64,
    /// Somebody met a block that is not what was written. Noticed by the writer, which alone makes the index again.
    damaged: AtomicBool,
}

/// A shard's place: its file, and what is not in it yet.
#[derive(Debug)]
struct Slot {
    /// `None` where the file is missing or no shard: nothing can be found there, nor ruled out.
    shard: RwLock<Option<Arc<Shard>>>,
    recent: RwLock<Recent>,
    /// Entries get into the file by one thread at a time, and not while it is replaced.
    changing: Mutex<()>,
}

impl Slot {
    fn new(shard: Option<Shard>) -> Self {
        let shard = RwLock::new(shard.map(Arc::new));
        Self { shard, recent: RwLock::default(), changing: Mutex::default() }
    }

    fn set(&self, shard: Option<Shard>) {
        *self.shard.write().unwrap_or_else(PoisonError::into_inner) = shard.map(Arc::new);
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_recent<T>(&self, change: impl FnOnce(&mut Recent) -> T) -> T {
        change(&mut self.recent.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// Opens what is there. `filed` is the mark of the last process.
    pub(super) fn open(
        room: Arc<Room>,
        folder: PathBuf,
        salt: [u8; 32],
        shards: u32,
        filed: u64,
    ) -> Result<Self, Error> {
        let writable = room.is_writer();
        let (filed, damaged) = (AtomicU64::new(filed), AtomicBool::new(false));
        let keys = Self { room, folder, salt, shards: Box::default(), filed, damaged };
        let shards = (0..shards).map(|number| keys.open_shard(number, writable).map(Slot::new));
        Ok(Self { shards: shards.collect::<Result<_, _>>()?, ..keys })
    }

    fn open_shard(&self, number: u32, writable: bool) -> Result<Option<Shard>, Error> {
        let path = self.path(number);
        match self.room.disk().open_update(&path, writable) {
            Ok(file) => match Shard::over(Arc::from(file), path, self.seed(), number) {
                Err(Error::Corrupt { name, reason }) => {
                    tracing::error!(
                        id = "R13",
                        file = name,
                        reason,
                        "a file of the log's key index is damaged"
                    );
                    Ok(None)
                }
                other => other.map(Some),
            },
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Error::io("open", &path, error)),
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:02x}"))
    }

    fn seed(&self) -> u64 {
        self.salt.last_chunk().map_or(0, |last| u64::from_le_bytes(*last))
    }

    fn count(&self) -> u32 {
        u32::try_from(self.shards.len()).unwrap_or(u32::MAX)
    }

    fn shard(&self, number: usize) -> Result<Arc<Shard>, Error> {
        let shard = self.shards[number].shard.read().unwrap_or_else(PoisonError::into_inner).clone();
        shard.ok_or_else(|| self.missing(number))
    }

    /// Whether every shard is there.
    pub(super) fn is_whole(&self) -> bool {
        (0..self.shards.len()).all(|number| self.shard(number).is_ok())
    }

    /// Whether one of its files has this name.
    pub(super) fn is_file(&self, name: &str) -> bool {
        (0..self.count()).any(|number| self.path(number).ends_with(name))
    }

    /// What a module version is filed under.
    pub(super) fn digest(&self, module: &str, version: &str) -> Digest {
        let mut sha = Sha256::new();
        for part in [&self.salt[..], module.as_bytes(), b"\n", version.as_bytes()] {
            sha.update(part);
        }
        let mut digest = [0; 10];
        digest.copy_from_slice(&sha.finalize()[..10]);
        Digest(digest)
    }

    /// Ids below it are filed.
    pub(super) fn filed(&self) -> u64 {
        self.filed.load(Ordering::Acquire)
    }

    pub(super) fn set_filed(&self, filed: u64) {
        self.filed.store(filed, Ordering::Release);
    }

    /// In a process that only reads: opens the files again, which the writer replaces as they grow, when its mark has moved on
    /// to `mark`. Says whether more is filed than was known.
    pub(super) fn follow(&self, mark: Option<u64>) -> Result<bool, Error> {
        let Some(mark) = mark.filter(|mark| *mark > self.filed() && self.room.writable().is_err()) else {
            return Ok(false);
        };
        for number in 0..self.count() {
            self.shards[number as usize].set(self.open_shard(number, false)?);
        }
        self.filed.fetch_max(mark, Ordering::AcqRel);
        Ok(true)
    }

    /// The ids filed under a digest: almost always none or one, and for the rows to confirm.
    pub(super) fn candidates(&self, digest: Digest) -> Result<Vec<u64>, Error> {
        let number = digest.shard(self.shards.len());
        // In this order: what leaves the memory meanwhile is in the file.
        let mut found: Vec<u64> = self.shards[number].recent().filed(digest).collect();
        let in_file = self.shard(number).and_then(|shard| shard.candidates(digest));
        if let Err(Error::Corrupt { .. }) = &in_file {
            self.damaged.store(true, Ordering::Release);
        }
        found.extend(in_file?);
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    }

    /// Whether a search met damage since the index was made.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Files an id, in memory. The one writer only.
    pub(super) fn insert(&self, digest: Digest, id: u64) {
        self.shards[digest.shard(self.shards.len())].change_recent(|recent| recent.add(digest, id));
    }

    /// Makes room in the files for a log of so many records.
    pub(super) fn fit(&self, records: u64) -> Result<(), Error> {
        let each = records.div_ceil(u64::from(self.count()));
        for number in 0..self.count() {
            let wanted = blocks_for(each, number, self.count());
            let number = number as usize;
            if self.shard(number).is_ok_and(|shard| shard.blocks() < wanted) {
                let _turn = self.shards[number].turn();
                self.grow(number, wanted)?;
            }
        }
        Ok(())
    }

    /// Replaces a shard by a longer one with the same entries. It is synced before it gets the name, so the name stands
    /// for all entries below the mark whatever a crash leaves of the directory. It is the caller's turn to change it.
    fn grow(&self, number: usize, mut blocks: u32) -> Result<(), Error> {
        let shard = self.shard(number)?;
        let image = loop {
            if let Some(image) = shard.image(blocks)? {
                break image;
            }
            blocks = blocks.saturating_mul(2);
        };
        self.replace(number, &image)
    }

    /// Begins again with empty shards for so many records. The caller files all of them.
    pub(super) fn clear(&self, records: u64) -> Result<(), Error> {
        self.set_filed(0);
        let each = records.div_ceil(u64::from(self.count()));
        for number in 0..self.count() {
            let blocks = blocks_for(each, number, self.count());
            let slot = &self.shards[number as usize];
            let _turn = slot.turn();
            slot.change_recent(Recent::forget);
            self.replace(number as usize, &Shard::empty_image(self.seed(), number, blocks))?;
        }
        self.damaged.store(false, Ordering::Release);
        self.sync_folder()
    }

    fn replace(&self, number: usize, image: &[u8]) -> Result<(), Error> {
        let number_32 = u32::try_from(number).unwrap_or(u32::MAX);
        let path = self.path(number_32);
        let new = path.with_extension("new");
        let (room, disk) = (&self.room, self.room.disk());
        room.writable()?;
        match disk.remove(&new) {
            Err(error) if !is_missing(&error) => return Err(Error::io("remove", &new, error)),
            _ => {}
        }
        let file = disk.create_update(&new).map_err(|error| room.full_or("create", &new, error))?;
        for (offset, page) in (0..).step_by(PAGE).zip(image.chunks(PAGE)) {
            file.write_at(page, offset).map_err(|error| room.full_or("write", &new, error))?;
        }
        let synced = file.sync();
        room.count_sync(0);
        synced.map_err(|error| room.sync_failed("sync", &new, error))?;
        disk.rename(&new, &path).map_err(|error| room.full_or("rename", &new, error))?;
        let shard = Shard::over(Arc::from(file), path, self.seed(), number_32)?;
        self.shards[number].set(Some(shard));
        Ok(())
    }

    /// Writes all that was filed before the call into the files, and waits until it is on stable storage (R10: a failure
    /// closes the store).
    pub(super) fn sync(&self) -> Result<(), Error> {
        for number in 0..self.shards.len() {
            self.settle_one(number)?;
            let shard = self.shard(number)?;
            if !shard.take_dirty() {
                continue;
            }
            self.room.writable()?;
            let synced = shard.file().sync();
            self.room.count_sync(0);
            synced.map_err(|error| self.room.sync_failed("sync", shard.path(), error))?;
        }
        // Last: shards that grew meanwhile hold all that their predecessors held.
        self.sync_folder()
    }

    /// Puts what is in memory alone into the files. Not synced.
    pub(super) fn settle(&self) -> Result<(), Error> {
        (0..self.shards.len()).try_for_each(|number| self.settle_one(number))
    }

    fn settle_one(&self, number: usize) -> Result<(), Error> {
        let slot = &self.shards[number];
        let _turn = slot.turn();
        let mut entries = slot.change_recent(Recent::leave);
        if entries.is_empty() {
            return Ok(());
        }
        self.room.writable()?;
        loop {
            let shard = self.shard(number)?;
            if shard.insert(&mut entries)? {
                break;
            }
            self.grow(number, shard.blocks().saturating_mul(2))?;
        }
        slot.change_recent(Recent::has_left);
        Ok(())
    }

    fn sync_folder(&self) -> Result<(), Error> {
        let synced = self.room.disk().sync_dir(&self.folder);
        self.room.count_sync(0);
        synced.map_err(|error| {
            let error = Error::io("sync", &self.folder, error);
            self.room.fail(&error);
            error
        })
    }

    /// Looks at all entries: those of each file, in its order, and those that are not in it yet.
    pub(super) fn survey(&self, records: u64) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for (number, slot) in self.shards.iter().enumerate() {
            let _turn = slot.turn();
            let shard = self.shard(number)?;
            let mut meet = |digest: Digest, id: u64, is_alone: bool| {
                survey.entries += 1;
                survey.are_plain &= is_alone && digest.shard(self.shards.len()) == number && id < records;
                survey.fingerprint = survey.fingerprint.wrapping_add(digest.fingerprint(id));
            };
            shard.walk(&mut meet)?;
            let mut recent: Vec<_> = slot.recent().all().collect();
            recent.sort_unstable();
            recent.dedup();
            for (digest, id) in recent {
                if !shard.candidates(digest)?.contains(&id) {
                    meet(digest, id, self.candidates(digest)? == [id]);
                }
            }
        }
        Ok(survey)
    }

    fn missing(&self, number: usize) -> Error {
        corrupt(&self.path(u32::try_from(number).unwrap_or(u32::MAX)), "missing or no file of the key index")
    }
}

/// A failed write of the index's own folder.
pub(super) fn make_folder(room: &Room, path: &std::path::Path) -> Result<(), Error> {
    match room.disk().make_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(room.full_or("make", path, error)),
        _ => Ok(()),
    }
}
