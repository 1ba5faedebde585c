//! What the callers gave, in 32 bytes: kept with the rows in transaction A, so that rows that changed before a head covered
//! them are known even after a restart (R14).

use modkeep_tlog::{Hash, RecordId};
use sha2::{Digest as _, Sha256};

/// A hash over the leaf hashes of the records from one id on: 32 zero bytes at first, then for each record SHA-256 of what
/// it was and the leaf hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeafChain {
    from: RecordId,
    hash: [u8; 32],
}

impl LeafChain {
    /// Over no record yet; the first will be `from`.
    pub fn new(from: RecordId) -> Self {
        Self { from, hash: [0; 32] }
    }

    pub(super) fn stored(from: RecordId, hash: [u8; 32]) -> Self {
        Self { from, hash }
    }

    /// The first record.
    pub fn from(&self) -> RecordId {
        self.from
    }

    /// What it comes to.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Takes the next record's leaf hash in.
    pub fn append(&mut self, leaf: &Hash) {
        self.hash = Sha256::new().chain_update(self.hash).chain_update(leaf.0).finalize().into();
    }
}
