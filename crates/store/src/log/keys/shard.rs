//! One shard of the key index: a file of blocks, searched from a key's home block to the first block with room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::UpdateFile;
use crate::error::Error;
use crate::log::keys::block::{BLOCK_BYTES, Block, Digest, Place, SLOTS};

/// How many blocks in a row may be full before a shard is taken for too small. With two slots of three taken at most,
/// the chance of such a row is beyond all odds.
const PROBES_MAX: u32 = 32;

/// For how many blocks the writer keeps the memory: some 4 MiB, enough for the largest batch of the sequencer (C3).
const BLOCKS_KEPT: usize = 8192;

/// How often a block is read again whose sum is wrong, where another process may be writing it this instant.
const READS_MAX: u32 = 4;

/// Blocks that the writer has read for one batch, by shard and index. It is the only one to write, so they stay true
/// until a shard grows.
#[derive(Debug, Default)]
pub(in crate::log) struct Blocks(HashMap<(u32, u32), Block, BuildHasherDefault<PlaceHasher>>);

impl Blocks {
    /// Forgets all of them, and keeps the memory for the next batch unless it was an uncommon one.
    pub(in crate::log) fn clear(&mut self) {
        if self.0.capacity() > BLOCKS_KEPT { *self = Self::default() } else { self.0.clear() }
    }

    pub(super) fn forget(&mut self, shard: u32) {
        self.0.retain(|(of, _), _| *of != shard);
    }
}

/// Places and digests come from a salted hash, so one multiplication spreads them well enough.
#[derive(Debug, Default)]
pub(in crate::log) struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    file: Arc<dyn UpdateFile>,
    path: PathBuf,
    /// At index 0.
    start: Place,
    /// Written since the last sync.
    dirty: AtomicBool,
}

impl Shard {
    /// Takes a file for a shard; [`Error::Corrupt`] when its length is not that of one.
    pub(super) fn over(
        file: Arc<dyn UpdateFile>,
        path: PathBuf,
        seed: u64,
        shard: u32,
    ) -> Result<Self, Error> {
        let size = file.size().map_err(|error| Error::io("look at", &path, error))?;
        let blocks = u32::try_from(size / BLOCK_BYTES as u64).unwrap_or(0);
        if !blocks.is_power_of_two() || size % BLOCK_BYTES as u64 != 0 {
            return Err(corrupt(&path, &format!("a length of {size} bytes")));
        }
        let start = Place { seed, shard, blocks, index: 0 };
        Ok(Self { file, path, start, dirty: AtomicBool::new(false) })
    }

    pub(super) fn file(&self) -> &Arc<dyn UpdateFile> {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn blocks(&self) -> u32 {
        self.start.blocks
    }

    /// Whether it was written since this was asked last.
    pub(super) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    fn home(&self, digest: Digest) -> Place {
        Place { index: digest.home(self.start.blocks), ..self.start }
    }

    fn block(&self, place: Place) -> Result<Block, Error> {
        let mut bytes = [0; BLOCK_BYTES];
        for _ in 0..READS_MAX {
            self.file
                .read_at(&mut bytes, place.offset())
                .map_err(|error| Error::io("read", &self.path, error))?;
            if let Ok(block) = Block::read(&bytes, place) {
                return Ok(block);
            }
        }
        Err(corrupt(&self.path, &format!("block {} is not what was written", place.index)))
    }

    /// The ids that are filed under a digest.
    pub(super) fn candidates(&self, digest: Digest) -> Result<Vec<u64>, Error> {
        let (mut place, mut found) = (self.home(digest), Vec::new());
        for _ in 0..self.probes() {
            let block = self.block(place)?;
            found.extend(block.filed(digest));
            if !block.is_full() {
                break;
            }
            place = place.next();
        }
        Ok(found)
    }

    /// The same for the writer, which will need the blocks again.
    pub(super) fn candidates_keeping(&self, digest: Digest, blocks: &mut Blocks) -> Result<Vec<u64>, Error> {
        let (mut place, mut found) = (self.home(digest), Vec::new());
        for _ in 0..self.probes() {
            let block = self.kept(place, blocks)?;
            found.extend(block.filed(digest));
            if !block.is_full() {
                break;
            }
            place = place.next();
        }
        Ok(found)
    }

    fn kept<'a>(&self, place: Place, blocks: &'a mut Blocks) -> Result<&'a mut Block, Error> {
        match blocks.0.entry((place.shard, place.index)) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(self.block(place)?)),
        }
    }

    fn probes(&self) -> u32 {
        PROBES_MAX.min(self.start.blocks)
    }

    /// Files an id under a digest; says whether there was room. What is filed already is written again, since whether
    /// it ever reached the disk may be unknown (R10).
    pub(super) fn insert(&self, digest: Digest, id: u64, blocks: &mut Blocks) -> Result<bool, Error> {
        let mut place = self.home(digest);
        for _ in 0..self.probes() {
            let block = self.kept(place, blocks)?;
            if block.add(digest, id, place) {
                self.dirty.store(true, Ordering::Release);
                let written = self.file.write_at(block.bytes(), place.offset());
                return written.map(|()| true).map_err(|error| Error::io("write", &self.path, error));
            }
            place = place.next();
        }
        Ok(false)
    }

    /// The bytes of an empty shard.
    pub(super) fn empty_image(seed: u64, shard: u32, blocks: u32) -> Vec<u8> {
        let start = Place { seed, shard, blocks, index: 0 };
        joined((0..blocks).map(|index| Block::empty(Place { index, ..start })))
    }

    /// The bytes of a shard of `blocks` blocks with all entries of this one; `None` when they do not fit.
    pub(super) fn image(&self, blocks: u32) -> Result<Option<Vec<u8>>, Error> {
        let start = Place { blocks, ..self.start };
        let mut grown: Vec<Block> = (0..blocks).map(|index| Block::empty(Place { index, ..start })).collect();
        for index in 0..self.start.blocks {
            for (digest, id) in self.block(Place { index, ..self.start })?.entries() {
                let mut place = Place { index: digest.home(blocks), ..start };
                let mut is_filed = false;
                for _ in 0..PROBES_MAX.min(blocks) {
                    is_filed = grown[place.index as usize].add_unsealed(digest, id);
                    if is_filed {
                        break;
                    }
                    place = place.next();
                }
                if !is_filed {
                    return Ok(None);
                }
            }
        }
        for (index, block) in (0..blocks).zip(&mut grown) {
            block.seal(Place { index, ..start });
        }
        Ok(Some(joined(grown.into_iter())))
    }

    /// Meets every entry, and whether a search for its digest finds it alone. Reads all of the file once, in order.
    pub(super) fn walk(&self, meet: &mut dyn FnMut(Digest, u64, bool)) -> Result<(), Error> {
        for index in 0..self.start.blocks {
            let block = self.block(Place { index, ..self.start })?;
            let entries: Vec<_> = block.entries().collect();
            for (digest, id) in &entries {
                let is_plain = digest.home(self.start.blocks) == index && !block.is_full();
                let is_alone = if is_plain {
                    entries.iter().filter(|(other, _)| other == digest).count() == 1
                } else {
                    self.candidates(*digest)? == [*id]
                };
                meet(*digest, *id, is_alone);
            }
        }
        Ok(())
    }
}

fn joined(blocks: impl ExactSizeIterator<Item = Block>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(blocks.len() * BLOCK_BYTES);
    for block in blocks {
        bytes.extend_from_slice(block.bytes());
    }
    bytes
}

/// The length that fits so many entries: a power of two.
///
/// Shards grow at loads between one half and five eighths, each at its own, so that they do not all grow at once.
pub(super) fn blocks_for(entries: u64, shard: u32, shards: u32) -> u32 {
    let eighths_of_slots = SLOTS as u64 * (u64::from(shards) * 4 + u64::from(shard));
    let fit = |blocks: u32| u64::from(blocks) * eighths_of_slots / (u64::from(shards) * 8);
    let mut blocks = BLOCKS_MIN;
    while fit(blocks) < entries && blocks < 1 << 31 {
        blocks *= 2;
    }
    blocks
}

/// The shortest shard: one page of most file systems holds two.
const BLOCKS_MIN: u32 = 4;

pub(super) fn corrupt(path: &Path, reason: &str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Error::Corrupt { name: format!("log/keys/{name}"), reason: reason.to_owned() }
}

/// Whether a file is merely not there.
pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_grow_one_after_the_other() {
        assert_eq!(blocks_for(0, 0, 64), 4);
        assert_eq!(blocks_for(62, 0, 64), 4);
        assert_eq!(blocks_for(63, 0, 64), 8);
        assert_eq!(blocks_for(76, 63, 64), 4);
        assert_eq!(blocks_for(156_250, 0, 64), 16_384);
        let grown = (0..64).filter(|shard| blocks_for(70, *shard, 64) == 8).count();
        assert!((20..44).contains(&grown), "{grown}");
    }
}
