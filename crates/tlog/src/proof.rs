//! Proofs of inclusion and consistency, byte-identical to RFC 6962's. Spec A3, "Proofs".

use alloc::vec::Vec;

use crate::{
    hash::{Hash, RecordId, TreeSize, empty_root, node_hash},
    tile::{FULL_WIDTH, HEIGHT, Level, Tile},
};

/// The proof does not prove it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid proof")]
pub struct ProofError;

/// A complete subtree of `2^level` leaves; `index` counts such subtrees from the left. Level 0 is a leaf.
///
/// Its level counts halvings, that of a [`Tile`] counts rows of 256: row `L` holds the nodes of level `8·L`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    level: u8,
    index: u64,
}

impl Node {
    /// The node, or `None` if its leaves lie beyond 2^63.
    pub fn new(level: u8, index: u64) -> Option<Self> {
        let end = index.checked_add(1)?;
        let fits = level <= 62 && end <= (1 << 63_u32) >> level;
        fits.then_some(Self { level, index })
    }

    /// The leaf of a record.
    pub fn leaf(id: RecordId) -> Self {
        Self { level: 0, index: id.get() }
    }

    /// The first node of a tile of this row: its first hash.
    pub(crate) fn first_of(row: Level, tile_index: u64) -> Option<Self> {
        let level = row.get().checked_mul(HEIGHT)?;
        Self::new(level, tile_index.checked_mul(u64::from(FULL_WIDTH))?)
    }

    /// How many halvings above the leaves.
    pub fn level(self) -> u8 {
        self.level
    }

    /// The position among the nodes of its level.
    pub fn index(self) -> u64 {
        self.index
    }

    /// The narrowest tile from which the node's hash can be had. Spec A4.
    pub fn least_tile(self) -> Option<Tile> {
        let Place { level, index, start, len } = self.place()?;
        Tile::hashes(level, index, start.checked_add(len)?)
    }

    /// Where in a dense array of all nodes, in order of their completion, this one is stored. Spec A3, "Useful facts".
    pub fn stored_index(self) -> Option<u64> {
        let mut leaf_or_above = self.index;
        for _ in 0..self.level {
            leaf_or_above = leaf_or_above.checked_mul(2)?.checked_add(1)?;
        }
        let mut stored = u64::from(self.level);
        while leaf_or_above > 0 {
            stored = stored.checked_add(leaf_or_above)?;
            leaf_or_above >>= 1;
        }
        Some(stored)
    }

    /// Where in its tile the node's hashes are.
    pub(crate) fn place(self) -> Option<Place> {
        let (row, above) = (self.level / HEIGHT, self.level % HEIGHT);
        let (first, len) = (self.index.checked_shl(above.into())?, 1_u32.checked_shl(above.into())?);
        let start = u32::from(u8::try_from(first & 0xff).ok()?);
        Some(Place { level: Level::new(row)?, index: first >> HEIGHT, start, len })
    }
}

/// A run of `len` hashes, a power of two, beginning at `start` in the tile `index` of row `level`.
pub(crate) struct Place {
    pub(crate) level: Level,
    pub(crate) index: u64,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// Where proofs take their hashes from.
pub trait NodeSource {
    /// The hash of the node, or `None` where the source does not have it.
    fn node(&self, node: Node) -> Option<Hash>;
}

/// How many nodes a dense array holds for a tree of this size: `2·size` less one per complete subtree on its edge.
pub fn stored_count(size: TreeSize) -> u64 {
    size.get().saturating_mul(2).saturating_sub(size.get().count_ones().into())
}

/// The complete subtrees whose fold is the root, left to right, the largest first: one per bit of the size.
pub fn subtrees(size: TreeSize) -> impl DoubleEndedIterator<Item = Node> {
    run(0, size.get())
}

/// The root of the tree of this size; `None` if the source lacks a node.
pub fn root(nodes: &impl NodeSource, size: TreeSize) -> Option<Hash> {
    if size == TreeSize::EMPTY { Some(empty_root()) } else { fold(nodes, 0, size.get()) }
}

/// Checks that `leaf` is record `id` of the tree `(size, root)`: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(
    proof: &[Hash],
    size: TreeSize,
    root: Hash,
    id: RecordId,
    leaf: Hash,
) -> Result<(), ProofError> {
    let last = size.get().checked_sub(1).ok_or(ProofError)?;
    if !size.contains(id) {
        return Err(ProofError);
    }
    let mut path = Path { node: id.get(), last };
    let mut hash = leaf;
    for sibling in proof {
        hash = match path.climb()? {
            Side::Left => node_hash(*sibling, hash),
            Side::Right => node_hash(hash, *sibling),
        };
    }
    if path.last == 0 && hash == root { Ok(()) } else { Err(ProofError) }
}

/// Checks that the tree `new` continues the tree `old`: RFC 9162, section 2.1.4.2.
///
/// From the empty tree nothing needs proof, so the proof must be empty then, and when the sizes are equal.
pub fn verify_consistency(
    proof: &[Hash],
    (old_size, old_root): (TreeSize, Hash),
    (new_size, new_root): (TreeSize, Hash),
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError);
    }
    if old_size == new_size || old_size == TreeSize::EMPTY {
        let known = old_size != TreeSize::EMPTY || old_root == empty_root();
        let equal = old_size != new_size || old_root == new_root;
        return if proof.is_empty() && known && equal { Ok(()) } else { Err(ProofError) };
    }

    let (first, rest) = if old_size.get().is_power_of_two() {
        (&old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError)?
    };
    let mut path = Path { node: old_size.get().saturating_sub(1), last: new_size.get().saturating_sub(1) };
    while path.node & 1 == 1 {
        path.shift();
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match path.climb()? {
            Side::Left => {
                old_hash = node_hash(*sibling, old_hash);
                new_hash = node_hash(*sibling, new_hash);
            }
            Side::Right => new_hash = node_hash(new_hash, *sibling),
        }
    }
    if path.last == 0 && old_hash == old_root && new_hash == new_root { Ok(()) } else { Err(ProofError) }
}

/// The way from a node to the root, beside the way from the last leaf.
struct Path {
    node: u64,
    last: u64,
}

/// On which side of the path the next sibling stands.
enum Side {
    Left,
    Right,
}

impl Path {
    /// Takes one step up; an error where the root is reached already.
    fn climb(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // On the right edge a node without a sibling of its own level rises until it has one.
            while self.node & 1 == 0 && self.node != 0 {
                self.shift();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.shift();
        Ok(side)
    }

    fn shift(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
}

/// The inclusion proof, hashes from the leaf's sibling up; `None` if the source lacks a node or the tree the record.
pub fn prove_inclusion(nodes: &impl NodeSource, size: TreeSize, id: RecordId) -> Option<Vec<Hash>> {
    if !size.contains(id) {
        return None;
    }
    let mut proof = Vec::new();
    let mut part = Part { start: 0, len: size.get() };
    while let Some((left, right)) = part.split() {
        let (on_path, beside) = if id.get() < right.start { (left, right) } else { (right, left) };
        proof.push(fold(nodes, beside.start, beside.len)?);
        part = on_path;
    }
    proof.reverse();
    Some(proof)
}

/// The consistency proof; `None` if the source lacks a node or `old` is larger than `new`.
///
/// Empty when the sizes are equal and when `old` is empty.
pub fn prove_consistency(nodes: &impl NodeSource, old: TreeSize, new: TreeSize) -> Option<Vec<Hash>> {
    if old > new {
        return None;
    }
    let mut proof = Vec::new();
    if old == TreeSize::EMPTY {
        return Some(proof);
    }
    let mut part = Part { start: 0, len: new.get() };
    // Down to the part that ends where the old tree ended.
    while part.end() != old.get() {
        let (left, right) = part.split()?;
        let (on_path, beside) = if old.get() <= right.start { (left, right) } else { (right, left) };
        proof.push(fold(nodes, beside.start, beside.len)?);
        part = on_path;
    }
    // A part that begins at 0 is the whole old tree, whose root the verifier has.
    if part.start != 0 {
        proof.push(fold(nodes, part.start, part.len)?);
    }
    proof.reverse();
    Some(proof)
}

/// Leaves `start..start+len` of a tree, cut as RFC 6962 cuts.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    len: u64,
}

impl Part {
    fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// At the largest power of two below the length; `None` for a single leaf.
    fn split(self) -> Option<(Self, Self)> {
        let bit = self.len.checked_sub(1)?.checked_ilog2()?;
        let left = 1_u64.checked_shl(bit)?;
        let right = Self { start: self.start.checked_add(left)?, len: self.len.checked_sub(left)? };
        Some((Self { start: self.start, len: left }, right))
    }
}

/// The complete subtrees of the leaves `start..start+len`, left to right; `start` divides by a power of two ≥ `len`.
fn run(start: u64, len: u64) -> impl DoubleEndedIterator<Item = Node> {
    (0_u8..=62).rev().filter_map(move |level| {
        let (before, subtrees) = (start >> level, len >> level);
        let index = before.checked_add(subtrees)?.checked_sub(1)?;
        (subtrees & 1 == 1).then_some(Node { level, index })
    })
}

/// The root over a run of leaves: the right fold of its complete subtrees.
fn fold(nodes: &impl NodeSource, start: u64, len: u64) -> Option<Hash> {
    let mut hashes = run(start, len).rev().map(|node| nodes.node(node));
    let smallest = hashes.next()??;
    hashes.try_fold(smallest, |right, left| Some(node_hash(left?, right)))
}
