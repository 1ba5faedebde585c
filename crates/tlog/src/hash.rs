//! Hashes of leaves and nodes, and the numbers that point into a tree. Spec A3.

use alloc::vec::Vec;
use core::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, block_api::compress256};

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

/// The same for many texts, in their order, at two thirds of the cost.
pub fn leaf_hashes(texts: &[&[u8]]) -> Vec<Hash> {
    let mut hashes = Vec::with_capacity(texts.len());
    let (pairs, odd) = texts.as_chunks::<2>();
    for [one, other] in pairs {
        hashes.extend(match (Leaf::leaf(one), Leaf::leaf(other)) {
            (Some(first), Some(second)) => hash_two(&first, &second),
            _ => [leaf_hash(one), leaf_hash(other)],
        });
    }
    hashes.extend(odd.iter().map(|text| leaf_hash(text)));
    hashes
}

/// `H(0x01 ‖ left ‖ right)`: the hash of a node over its two children. Spec A3.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut state = START;
    compress256(&mut state, Message::node(left, right).blocks());
    hash_of(state)
}

/// The row of nodes above this one: the [`node_hash`] of each pair, at half the cost. A last one without a partner is left out.
pub fn node_hashes(row: &[Hash]) -> Vec<Hash> {
    let (fours, rest) = row.as_chunks::<4>();
    let mut above = Vec::with_capacity(row.len() / 2);
    for [a, b, c, d] in fours {
        above.extend(hash_two(&Message::node(*a, *b), &Message::node(*c, *d)));
    }
    above.extend(rest.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(*left, *right)));
    above
}

/// What SHA-256 starts from: FIPS 180-4, 5.3.3.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

const BLOCK: usize = 64;

/// What SHA-256 is to hash, in at most so many blocks, with the padding behind it: FIPS 180-4, 5.1.1.
struct Message<const BLOCKS: usize> {
    blocks: [[u8; BLOCK]; BLOCKS],
    count: usize,
}

/// Nearly every record there is: texts of up to 502 bytes.
type Leaf = Message<8>;

impl Leaf {
    /// `0x00 ‖ text`; `None` when it is too long.
    fn leaf(text: &[u8]) -> Option<Self> {
        Self::new(0, text, &[])
    }
}

impl Message<2> {
    /// `0x01 ‖ left ‖ right`.
    fn node(left: Hash, right: Hash) -> Self {
        Self::new(1, &left.0, &right.0).expect("65 bytes fit into two blocks")
    }
}

impl<const BLOCKS: usize> Message<BLOCKS> {
    fn new(prefix: u8, front: &[u8], back: &[u8]) -> Option<Self> {
        let length = front.len().checked_add(back.len())?.checked_add(1)?;
        let count = length.checked_add(9)?.div_ceil(BLOCK);
        let bits = u64::try_from(length).ok()?.checked_mul(8)?;
        let mut blocks = [[0; BLOCK]; BLOCKS];
        let (message, _) = blocks.as_flattened_mut().split_at_mut_checked(count.checked_mul(BLOCK)?)?;
        let (first, rest) = message.split_first_mut()?;
        *first = prefix;
        let (place, rest) = rest.split_at_mut_checked(front.len())?;
        place.copy_from_slice(front);
        let (place, rest) = rest.split_at_mut_checked(back.len())?;
        place.copy_from_slice(back);
        *rest.first_mut()? = 0x80;
        *rest.last_chunk_mut()? = bits.to_be_bytes();
        Some(Self { blocks, count })
    }

    fn blocks(&self) -> &[[u8; BLOCK]] {
        self.blocks.get(..self.count).unwrap_or_default()
    }
}

/// The hashes of two messages. Each step of SHA-256 waits for the one before it; with the blocks of two messages in turn
/// the processor has always one to go on with, which on one with instructions for SHA-256 saves a third.
fn hash_two<const N: usize>(one: &Message<N>, other: &Message<N>) -> [Hash; 2] {
    let (mut first, mut second) = (START, START);
    let (mut ones, mut others) = (one.blocks().chunks(1), other.blocks().chunks(1));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return [hash_of(first), hash_of(second)],
            (block, other_block) => {
                compress256(&mut first, block.unwrap_or_default());
                compress256(&mut second, other_block.unwrap_or_default());
            }
        }
    }
}

fn hash_of(state: [u32; 8]) -> Hash {
    let mut hash = [0; 32];
    for (place, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    Hash(hash)
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

    /// By the general form of SHA-256, which knows nothing of leaves and nodes.
    fn slowly(prefix: u8, parts: &[&[u8]]) -> Hash {
        let mut sha = Sha256::new();
        sha.update([prefix]);
        for part in parts {
            sha.update(part);
        }
        Hash(sha.finalize().into())
    }

    #[test]
    fn two_at_a_time_hash_as_one_does() {
        let bytes: Vec<u8> = (0..700_u32).map(|n| n.to_le_bytes()[0]).collect();
        for length in (0..600).chain([503, 502, 504]) {
            let texts =
                [&bytes[..length], &bytes[1..length + 50], &bytes[..0], &bytes[3..150], &bytes[..length]];
            let expected: Vec<Hash> = texts.iter().map(|text| slowly(0, &[text])).collect();
            assert_eq!(leaf_hashes(&texts), expected, "{length}");
        }
        let hashes = leaf_hashes(&bytes.chunks(2).take(256).collect::<Vec<_>>());
        for count in 0..hashes.len() {
            let pairs = hashes[..count].chunks_exact(2);
            let slow: Vec<Hash> = pairs.map(|pair| slowly(1, &[&pair[0].0, &pair[1].0])).collect();
            assert_eq!(node_hashes(&hashes[..count]), slow);
            assert_eq!(node_hash(hashes[0], hashes[count]), slowly(1, &[&hashes[0].0, &hashes[count].0]));
        }
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
