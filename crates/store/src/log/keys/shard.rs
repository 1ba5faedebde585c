//! One shard of the key index: a file of blocks, searched from a key's home block to the first block with room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::disk::UpdateFile;
use crate::error::Error;
use crate::log::keys::block::{BLOCK_BYTES, Block, Digest, Place, SLOTS};

/// How many blocks in a row may be full before a shard is taken for too small. With two slots of three taken at most,
/// the chance of such a row is beyond all odds.
const PROBES_MAX: u32 = 32;

/// How often a block is read again whose sum is wrong, where another process may be writing it this instant.
const READS_MAX: u32 = 4;

#[derive(Debug)]
pub(super) struct Shard {
    file: Arc<dyn UpdateFile>,
    path: PathBuf,
    /// At index 0.
    start: Place,
    /// Written since the last sync.
    dirty: AtomicBool,
    /// Keeps readers of this process from a block that is half written.
    writing: RwLock<()>,
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
        Ok(Self { file, path, start, dirty: AtomicBool::new(false), writing: RwLock::new(()) })
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
            let _still = self.writing.read().unwrap_or_else(PoisonError::into_inner);
            self.file
                .read_at(&mut bytes, place.offset())
                .map_err(|error| Error::io("read", &self.path, error))?;
            if let Ok(block) = Block::read(&bytes, place) {
                return Ok(block);
            }
        }
        Err(self.damaged(place))
    }

    fn write(&self, bytes: &[u8], first: Place) -> Result<(), Error> {
        self.dirty.store(true, Ordering::Release);
        let _alone = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        self.file.write_at(bytes, first.offset()).map_err(|error| Error::io("write", &self.path, error))
    }

    fn damaged(&self, place: Place) -> Error {
        corrupt(&self.path, &format!("block {} is not what was written", place.index))
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

    fn probes(&self) -> u32 {
        PROBES_MAX.min(self.start.blocks)
    }

    /// Puts entries into the file, page by page; says whether there was room for all of them. One that is there already is
    /// written again, since whether it ever reached the disk may be unknown (R10). Not synced; by one caller at a time.
    pub(super) fn insert(&self, entries: &mut [(Digest, u64)]) -> Result<bool, Error> {
        entries.sort_unstable_by_key(|(digest, id)| (digest.home(self.start.blocks), *id));
        let mut page = Page::read(self, self.start)?;
        for (digest, id) in entries {
            let (mut place, mut is_filed) = (self.home(*digest), false);
            for _ in 0..self.probes() {
                if !page.covers(place) {
                    page.write(self)?;
                    page = Page::read(self, place)?;
                }
                is_filed = page.block(self, place)?.add(*digest, *id);
                if is_filed {
                    break;
                }
                place = place.next();
            }
            if !is_filed {
                page.write(self)?;
                return Ok(false);
            }
        }
        page.write(self)?;
        Ok(true)
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
                    is_filed = grown[place.index as usize].add(digest, id);
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

/// Neighbouring blocks that are read and written at once.
struct Page {
    first: Place,
    bytes: Vec<u8>,
    /// Those of them that were looked at.
    opened: [Option<Block>; PAGE_BLOCKS as usize],
}

/// Blocks of a page: what most systems keep in memory, and write, as one.
const PAGE_BLOCKS: u32 = 8;

impl Page {
    /// The page of a block.
    fn read(shard: &Shard, place: Place) -> Result<Self, Error> {
        let first = Place { index: place.index - place.index % PAGE_BLOCKS, ..place };
        let mut bytes = vec![0; BLOCK_BYTES * PAGE_BLOCKS.min(place.blocks) as usize];
        let read = shard.file.read_at(&mut bytes, first.offset());
        read.map_err(|error| Error::io("read", &shard.path, error))?;
        Ok(Self { first, bytes, opened: [const { None }; PAGE_BLOCKS as usize] })
    }

    fn covers(&self, place: Place) -> bool {
        place.index - place.index % PAGE_BLOCKS == self.first.index
    }

    fn block(&mut self, shard: &Shard, place: Place) -> Result<&mut Block, Error> {
        let number = (place.index % PAGE_BLOCKS) as usize;
        match &mut self.opened[number] {
            Some(block) => Ok(block),
            opened => {
                let (blocks, _) = self.bytes.as_chunks::<BLOCK_BYTES>();
                let block = Block::read(&blocks[number], place).map_err(|_| shard.damaged(place))?;
                Ok(opened.insert(block))
            }
        }
    }

    fn write(&mut self, shard: &Shard) -> Result<(), Error> {
        let (blocks, _) = self.bytes.as_chunks_mut::<BLOCK_BYTES>();
        let mut is_changed = false;
        for (number, (bytes, opened)) in (0..).zip(blocks.iter_mut().zip(&mut self.opened)) {
            let Some(block) = opened else { continue };
            block.seal(Place { index: self.first.index + number, ..self.first });
            *bytes = *block.bytes();
            is_changed = true;
        }
        if is_changed { shard.write(&self.bytes, self.first) } else { Ok(()) }
    }
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
