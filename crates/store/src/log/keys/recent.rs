//! Entries of a shard that are in no file yet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::log::keys::block::Digest;

/// Digests come from a salted hash, so one multiplication spreads them well enough.
#[derive(Debug, Default)]
pub(in crate::log) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Ids by digest.
#[derive(Debug, Default)]
struct Entries {
    ids: HashMap<Digest, u64, BuildHasherDefault<DigestHasher>>,
    /// Further ids under a digest: that of two names which fall together, once in the life of many logs.
    twins: Vec<(Digest, u64)>,
}

impl Entries {
    fn add(&mut self, digest: Digest, id: u64) {
        let first = *self.ids.entry(digest).or_insert(id);
        if first != id && !self.twins.contains(&(digest, id)) {
            self.twins.push((digest, id));
        }
    }

    fn filed(&self, digest: Digest) -> impl Iterator<Item = u64> {
        let twins = self.twins.iter().filter(move |(other, _)| *other == digest).map(|(_, id)| *id);
        self.ids.get(&digest).copied().into_iter().chain(twins)
    }

    fn all(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.ids.iter().map(|(digest, id)| (*digest, *id)).chain(self.twins.iter().copied())
    }
}

/// What was added since the file was last written, and what is being written into it this instant.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: Entries,
    leaving: Entries,
}

impl Recent {
    pub(super) fn add(&mut self, digest: Digest, id: u64) {
        self.young.add(digest, id);
    }

    /// The ids under a digest, some perhaps twice.
    pub(super) fn filed(&self, digest: Digest) -> impl Iterator<Item = u64> {
        self.young.filed(digest).chain(self.leaving.filed(digest))
    }

    /// All entries, some perhaps twice.
    pub(super) fn all(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.young.all().chain(self.leaving.all())
    }

    /// What is to be written into the file. It is found here until [`has_left`](Self::has_left).
    pub(super) fn leave(&mut self) -> Vec<(Digest, u64)> {
        let young = std::mem::take(&mut self.young);
        // Something is there only after a failure.
        young.all().for_each(|(digest, id)| self.leaving.add(digest, id));
        self.leaving.all().collect()
    }

    /// All of it is in the file.
    pub(super) fn has_left(&mut self) {
        self.leaving = Entries::default();
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_until_it_is_in_the_file() {
        let (one, other) = (Digest([1; 10]), Digest([2; 10]));
        let mut recent = Recent::default();
        for (digest, id) in [(one, 7), (other, 8), (one, 9), (one, 9)] {
            recent.add(digest, id);
        }
        let sorted = |mut found: Vec<u64>| {
            found.sort_unstable();
            found
        };
        assert_eq!(sorted(recent.filed(one).collect()), [7, 9]);
        assert_eq!(recent.leave().len(), 3);
        recent.add(other, 10);
        assert_eq!(sorted(recent.filed(other).collect()), [8, 10]);
        assert_eq!(
            sorted(recent.leave().into_iter().map(|(_, id)| id).collect()),
            [7, 8, 9, 10],
            "not written"
        );
        recent.has_left();
        assert_eq!(recent.all().count(), 0);
    }
}
