//! Hashes of leaves and nodes, and the numbers that point into a tree.

use core::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash in a tree: of a record, of two children, or of nothing.
///
/// Text form: standard base64 with padding, 44 characters. Parsing is strict (README item 16): bits left over in the
/// last character must be zero, so that a hash has one text form. Spec A3.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hash(pub [u8; 32]);

/// The text is not the base64 form of 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a hash: want 44 characters of base64 for 32 bytes")]
pub struct HashError;

impl Hash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        decode_hash(text).map(Hash).ok_or(HashError)
    }
}

/// 32 bytes from strict base64, the form of tree roots and of `h1:` sums.
pub(crate) fn decode_hash(text: &str) -> Option<[u8; 32]> {
    let bytes = STANDARD.decode(text).ok()?;
    bytes.try_into().ok()
}

/// `H(0x00 ‖ text)`: the hash of one record's text, without its id. Spec A3.
pub fn leaf_hash(text: &[u8]) -> Hash {
    let mut sha = Sha256::new();
    sha.update([0]);
    sha.update(text);
    Hash(sha.finalize().into())
}

/// `H(0x01 ‖ left ‖ right)`: the hash of a node over its two children. Spec A3.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut sha = Sha256::new();
    sha.update([1]);
    sha.update(left.0);
    sha.update(right.0);
    Hash(sha.finalize().into())
}

/// The root of the tree that holds nothing: `H("")`. Spec A3.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest(b"").into())
}

/// Where a record sits in a log. The first is 0. Never reused, never moved. At most 2^63-2.
///
/// It points at a record; how many there are is a [`TreeSize`], and the two do not mix:
///
/// ```compile_fail,E0308
/// use modkeep_tlog::{RecordId, TreeSize};
/// fn root_of(size: TreeSize) {}
/// root_of(RecordId::new(5).unwrap()); // the tree of size 5 does not hold record 5
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordId(u64);

/// How many records a tree holds. A tree of size `n` contains ids `0..n`. At most 2^63-1 (README item 16).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TreeSize(u64);

const NUMBER_MAX: u64 = i64::MAX as u64;

impl RecordId {
    /// The id `id`, or `None` above 2^63-1.
    pub fn new(id: u64) -> Option<Self> {
        (id <= NUMBER_MAX).then_some(Self(id))
    }

    /// Plain decimal without sign or leading zero (A2, "Strictness").
    pub fn parse(text: &str) -> Option<Self> {
        decimal(text).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TreeSize {
    /// The tree without records.
    pub const EMPTY: Self = Self(0);

    /// The size `size`, or `None` above 2^63-1.
    pub fn new(size: u64) -> Option<Self> {
        (size <= NUMBER_MAX).then_some(Self(size))
    }

    /// Plain decimal without sign or leading zero (A5).
    pub fn parse(text: &str) -> Option<Self> {
        decimal(text).map(Self)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Whether the record is one of this tree's.
    pub fn contains(self, id: RecordId) -> bool {
        id.0 < self.0
    }

    /// The id that the next appended record gets.
    pub fn next_id(self) -> RecordId {
        RecordId(self.0)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decimal number in its one form: digits, no sign, no leading zero, at most 2^63-1.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let one_form = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    let number: u64 = one_form.then(|| text.parse().ok()).flatten()?;
    (number <= NUMBER_MAX).then_some(number)
}
