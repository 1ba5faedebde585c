//! One block of the key index: 512 bytes, which no crash tears, with a sum that no flipped bit survives.
//!
//! Layout, little-endian: 8 bytes sum of all that follows and of the block's place, 2 bytes count, 6 bytes zero, then 31
//! slots of 16 bytes: 10 bytes of the key's digest, 6 bytes id. The first `count` slots are taken.

use std::hash::{Hash, Hasher};

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 512;
/// Slots of a block.
pub(super) const SLOTS: usize = 31;
const HEADER_BYTES: usize = 16;
const SLOT_BYTES: usize = 16;

/// What the index knows of a key: the first 10 bytes of its salted SHA-256. Equal digests are a hint, never an answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::log) struct Digest(pub(in crate::log) [u8; 10]);

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [_, _, rest @ ..] = self.0;
        state.write_u64(u64::from_le_bytes(rest));
    }
}

impl Digest {
    /// Which of so many shards holds it; a power of two, at most 256.
    pub(super) fn shard(self, shards: usize) -> usize {
        usize::from(self.0[0]) & (shards - 1)
    }

    /// A number for an entry whose sums tell whether two sets of entries are the same. Against accidents, as the sum of a
    /// block is.
    pub(in crate::log) fn fingerprint(self, id: u64) -> u128 {
        let [a, b, rest @ ..] = self.0;
        let (first, second) = (u64::from_le_bytes(rest), u64::from(a) | u64::from(b) << 8 | id << 16);
        let mixed = |seed| step(step(seed, first), second);
        u128::from(mixed(1)) << 64 | u128::from(mixed(2))
    }

    /// The block of a shard at which the search begins; `blocks` is a power of two.
    pub(super) fn home(self, blocks: u32) -> u32 {
        let [_, _, rest @ ..] = self.0;
        u32::try_from(u64::from_le_bytes(rest) & u64::from(blocks - 1)).unwrap_or(0)
    }
}

/// Where a block lies; part of its sum, so that a block in the wrong place is no block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// From the log's salt.
    pub(super) seed: u64,
    pub(super) shard: u32,
    pub(super) blocks: u32,
    pub(super) index: u32,
}

impl Place {
    pub(super) fn next(self) -> Self {
        Self { index: (self.index + 1) & (self.blocks - 1), ..self }
    }

    pub(super) fn offset(self) -> u64 {
        u64::from(self.index) * BLOCK_BYTES as u64
    }
}

/// The bytes are not what was written there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damaged;

/// A block whose sum was right when it was read.
#[derive(Clone, Debug)]
pub(super) struct Block([u8; BLOCK_BYTES]);

impl Block {
    pub(super) fn empty(place: Place) -> Self {
        let mut block = Self([0; BLOCK_BYTES]);
        block.seal(place);
        block
    }

    pub(super) fn read(bytes: &[u8; BLOCK_BYTES], place: Place) -> Result<Self, Damaged> {
        let block = Self(*bytes);
        let is_whole = block.0[..8] == block.sum(place).to_le_bytes() && block.count() <= SLOTS;
        if is_whole { Ok(block) } else { Err(Damaged) }
    }

    pub(super) fn bytes(&self) -> &[u8; BLOCK_BYTES] {
        &self.0
    }

    pub(super) fn is_full(&self) -> bool {
        self.count() == SLOTS
    }

    pub(super) fn count(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[8], self.0[9]]))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.0[HEADER_BYTES..].chunks_exact(SLOT_BYTES).take(self.count()).map(|slot| {
            let (mut digest, mut id) = ([0; 10], [0; 8]);
            digest.copy_from_slice(&slot[..10]);
            id[..6].copy_from_slice(&slot[10..]);
            (Digest(digest), u64::from_le_bytes(id))
        })
    }

    /// The ids under a digest.
    pub(super) fn filed(&self, digest: Digest) -> impl Iterator<Item = u64> {
        self.entries().filter(move |(other, _)| *other == digest).map(|(_, id)| id)
    }

    /// Adds an entry; says whether there was room. An entry that is there already needs none. Then it is to be sealed.
    pub(super) fn add(&mut self, digest: Digest, id: u64) -> bool {
        let count = self.count();
        if self.entries().any(|entry| entry == (digest, id)) {
            return true;
        }
        if count == SLOTS {
            return false;
        }
        let slot = &mut self.0[HEADER_BYTES + count * SLOT_BYTES..][..SLOT_BYTES];
        slot[..10].copy_from_slice(&digest.0);
        slot[10..].copy_from_slice(&id.to_le_bytes()[..6]);
        let count = u16::try_from(count + 1).unwrap_or(u16::MAX);
        self.0[8..10].copy_from_slice(&count.to_le_bytes());
        true
    }

    pub(super) fn seal(&mut self, place: Place) {
        let sum = self.sum(place).to_le_bytes();
        self.0[..8].copy_from_slice(&sum);
    }

    /// A change of one word always changes the sum. It guards against accidents only; whoever can write here needs no forged sums.
    fn sum(&self, place: Place) -> u64 {
        let at = u64::from(place.shard) << 48
            | u64::from(place.blocks.trailing_zeros()) << 40
            | u64::from(place.index);
        let (words, _) = self.0[8..].as_chunks::<8>();
        words.iter().fold(step(place.seed, at), |state, word| step(state, u64::from_le_bytes(*word)))
    }
}

/// Mixes a word into a state. It can be undone, so that different words make different states.
fn step(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { seed: 7, shard: 3, blocks: 4, index: 2 };

    #[test]
    fn a_block_takes_31_entries_and_each_once() {
        let mut block = Block::empty(PLACE);
        for id in 0..31 {
            assert!(block.add(Digest([5; 10]), id));
            assert!(block.add(Digest([5; 10]), id), "again");
        }
        assert!(block.is_full() && !block.add(Digest([5; 10]), 31));
        block.seal(PLACE);
        let read = Block::read(block.bytes(), PLACE).unwrap();
        assert!(read.entries().map(|(_, id)| id).eq(0..31));
    }

    #[test]
    fn every_flipped_bit_and_every_wrong_place_is_noticed() {
        let mut block = Block::empty(PLACE);
        block.add(Digest([9; 10]), (1 << 48) - 1);
        block.seal(PLACE);
        for bit in 0..BLOCK_BYTES * 8 {
            let mut bytes = *block.bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::read(&bytes, PLACE).is_err(), "bit {bit}");
        }
        let elsewhere = [
            Place { seed: 8, ..PLACE },
            Place { shard: 2, ..PLACE },
            Place { blocks: 8, ..PLACE },
            Place { index: 1, ..PLACE },
        ];
        for place in elsewhere {
            assert!(Block::read(block.bytes(), place).is_err(), "{place:?}");
        }
        assert!(Block::read(&[0; BLOCK_BYTES], PLACE).is_err(), "zeros");
    }
}
