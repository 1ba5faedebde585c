//! Hashes of leaves and nodes, and the numbers that point into a tree. Spec A3.

use core::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// Ids and sizes end here (README item 16): the reference counts in signed 64-bit numbers.
const NUMBER_MAX: u64 = i64::MAX.unsigned_abs();

/// A SHA-256 hash in a tree: of a record, of two children, or of nothing.
///
/// Text form: standard base64 with padding, 44 characters. Parsing is strict (README item 16): bits left over in the
/// last character are zero, so a hash has one text form. Spec A3.
///
/// A hash says nothing about where it belongs; a text about what it hashes to. The two do not mix:
///
/// ```compile_fail,E0308
/// use modkeep_tlog::{node_hash, leaf_hash};
/// node_hash(*b"0123456789abcdef0123456789abcdef", leaf_hash(b"text\n")); // bytes are not yet a hash
/// ```
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
        decode_32(text).map(Hash).ok_or(HashError)
    }
}

/// 32 bytes from strict base64: the form of tree roots and, after `h1:`, of sums.
pub(crate) fn decode_32(text: &str) -> Option<[u8; 32]> {
    // The length first: a long text is refused before anything is allocated for it.
    let bytes = (text.len() == 44).then(|| STANDARD.decode(text).ok()).flatten()?;
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

/// `H("")`, written down so that it is a constant; a test computes it.
pub(crate) const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The root of the tree that holds nothing: `H("")`. Spec A3.
pub fn empty_root() -> Hash {
    EMPTY_ROOT
}

/// Where a record sits in a log. The first is 0. Never reused, never moved. At most 2^63-1.
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

impl RecordId {
    /// The id `id`, or `None` above 2^63-1.
    pub fn new(id: u64) -> Option<Self> {
        (id <= NUMBER_MAX).then_some(Self(id))
    }

    /// Reads plain decimal without sign or leading zero (A2, "Strictness").
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

    /// Reads plain decimal without sign or leading zero (A5).
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
    decimal_fits(number).then_some(number)
}

/// Whether a number is at most 2^63-1.
pub(crate) fn decimal_fits(number: u64) -> bool {
    number <= NUMBER_MAX
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn numbers_have_one_form_and_end_at_2_to_63() {
        for (text, number) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("9223372036854775807", Some(NUMBER_MAX)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("", None),
            ("00", None),
            ("05", None),
            ("-1", None),
            ("+5", None),
            ("5 ", None),
            ("٥", None),
        ] {
            assert_eq!(RecordId::parse(text).map(RecordId::get), number, "{text:?}");
            assert_eq!(TreeSize::parse(text).map(TreeSize::get), number, "{text:?}");
        }
        assert_eq!(RecordId::new(NUMBER_MAX + 1), None);
        assert_eq!(TreeSize::new(NUMBER_MAX + 1), None);
    }

    #[test]
    fn a_hash_has_one_text_form() {
        let text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(empty_root().to_string(), text);
        assert_eq!(empty_root(), Hash(Sha256::digest(b"").into()));
        assert_eq!(text.parse(), Ok(empty_root()));
        for bad in [
            "",
            "AAAA",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", // bits left over
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", // the URL alphabet
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA",
        ] {
            assert_eq!(bad.parse::<Hash>(), Err(HashError), "{bad:?}");
        }
    }
}
