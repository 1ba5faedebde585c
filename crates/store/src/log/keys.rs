//! The key index: which record a module version has. Derived from the rows, and made again when it is not to be trusted.
//!
//! A key is found by the first bytes of a salted hash, so that nobody can choose names that fall together; the text of the
//! row decides (A1 rule 1: the key is the pair of strings, not a hash of it). Inserts are not synced. A durable mark says
//! below which id everything was; from there on the rows are inserted again at the start.

mod block;
mod marker;
mod shard;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest as _, Sha256};

pub(super) use block::Digest;
pub(super) use marker::Marker;
pub(super) use shard::{Blocks, PlaceHasher};

use crate::blobs::Room;
use crate::error::Error;
use shard::{Shard, blocks_for, corrupt, is_missing};

/// The folder of the index in the log's.
pub(super) const KEYS: &str = "keys";

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
    /// `None` where the file is missing or no shard: nothing can be found there, nor ruled out.
    shards: Box<[RwLock<Option<Shard>>]>,
    /// Ids below it are filed, as far as this process can see.
    filed: AtomicU64,
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
        let keys = Self { room, folder, salt, shards: Box::default(), filed: AtomicU64::new(filed) };
        let shards = (0..shards).map(|number| keys.open_shard(number, writable).map(RwLock::new));
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

    fn shard(&self, number: usize) -> RwLockReadGuard<'_, Option<Shard>> {
        self.shards[number].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every shard is there.
    pub(super) fn is_whole(&self) -> bool {
        (0..self.shards.len()).all(|number| self.shard(number).is_some())
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
            let newer = self.open_shard(number, false)?;
            *self.shards[number as usize].write().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        self.filed.fetch_max(mark, Ordering::AcqRel);
        Ok(true)
    }

    /// The ids filed under a digest: almost always none or one, and for the rows to confirm.
    pub(super) fn candidates(&self, digest: Digest) -> Result<Vec<u64>, Error> {
        let number = digest.shard(self.shards.len());
        match &*self.shard(number) {
            Some(shard) => shard.candidates(digest),
            None => Err(self.missing(number)),
        }
    }

    /// The same for the one writer, within a batch.
    pub(super) fn candidates_keeping(&self, digest: Digest, blocks: &mut Blocks) -> Result<Vec<u64>, Error> {
        let number = digest.shard(self.shards.len());
        match &*self.shard(number) {
            Some(shard) => shard.candidates_keeping(digest, blocks),
            None => Err(self.missing(number)),
        }
    }

    /// Files an id. The one writer only. Not synced.
    pub(super) fn insert(&self, digest: Digest, id: u64, blocks: &mut Blocks) -> Result<(), Error> {
        let number = digest.shard(self.shards.len());
        loop {
            // Exclusive, so that no reader of this process meets a block that is half written.
            let shard = self.shards[number].write().unwrap_or_else(PoisonError::into_inner);
            let Some(open) = &*shard else { return Err(self.missing(number)) };
            if open.insert(digest, id, blocks)? {
                return Ok(());
            }
            let length = open.blocks();
            drop(shard);
            self.grow(number, length.saturating_mul(2))?;
            blocks.forget(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }

    /// Makes room for a log of so many records; says whether anything changed, so that no block is where it was.
    pub(super) fn fit(&self, records: u64) -> Result<bool, Error> {
        let mut has_grown = false;
        let each = records.div_ceil(u64::from(self.count()));
        for number in 0..self.count() {
            let wanted = blocks_for(each, number, self.count());
            let number = number as usize;
            let has = self.shard(number).as_ref().map(Shard::blocks);
            if has.is_some_and(|has| has < wanted) {
                self.grow(number, wanted)?;
                has_grown = true;
            }
        }
        Ok(has_grown)
    }

    /// Replaces a shard by a longer one with the same entries. It is synced before it gets the name, so the name stands
    /// for all entries below the mark whatever a crash leaves of the directory.
    fn grow(&self, number: usize, mut blocks: u32) -> Result<(), Error> {
        let image = loop {
            let shard = self.shard(number);
            let Some(open) = &*shard else { return Err(self.missing(number)) };
            if let Some(image) = open.image(blocks)? {
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
            self.replace(number as usize, &Shard::empty_image(self.seed(), number, blocks))?;
        }
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
        file.write_at(image, 0).map_err(|error| room.full_or("write", &new, error))?;
        let synced = file.sync();
        room.count_sync(0);
        synced.map_err(|error| room.sync_failed("sync", &new, error))?;
        disk.rename(&new, &path).map_err(|error| room.full_or("rename", &new, error))?;
        let shard = Shard::over(Arc::from(file), path, self.seed(), number_32)?;
        *self.shards[number].write().unwrap_or_else(PoisonError::into_inner) = Some(shard);
        Ok(())
    }

    /// Waits until all that was filed before the call is on stable storage (R10: a failure closes the store).
    pub(super) fn sync(&self) -> Result<(), Error> {
        for number in 0..self.shards.len() {
            let dirty = self
                .shard(number)
                .as_ref()
                .filter(|shard| shard.take_dirty())
                .map(|shard| (shard.file().clone(), shard.path().to_owned()));
            let Some((file, path)) = dirty else { continue };
            self.room.writable()?;
            let synced = file.sync();
            self.room.count_sync(0);
            synced.map_err(|error| self.room.sync_failed("sync", &path, error))?;
        }
        // Last: shards that grew meanwhile hold all that their predecessors held.
        self.sync_folder()
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

    /// Looks at all entries, in the order of the files.
    pub(super) fn survey(&self, records: u64) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for number in 0..self.shards.len() {
            let shard = self.shard(number);
            let Some(open) = &*shard else { return Err(self.missing(number)) };
            open.walk(&mut |digest, id, is_alone| {
                survey.entries += 1;
                survey.are_plain &= is_alone && digest.shard(self.shards.len()) == number && id < records;
                survey.fingerprint = survey.fingerprint.wrapping_add(digest.fingerprint(id));
            })?;
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
