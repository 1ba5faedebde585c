//! The growing end of a tree: what the sequencer keeps in memory. Spec C3, step 2.
//!
//! A tree of any size is extended from its partial tiles alone, at most eight of them. Each leaf costs about one node
//! hash beside its own. That what was built is right is for other code to say: [`recompute`](crate::recompute).

use alloc::vec::Vec;

use crate::{
    hash::{EMPTY_ROOT, Hash, RecordId, TreeSize, node_hash},
    head::TreeHead,
    tile::{FULL_WIDTH, HASH_BYTES, HEIGHT, Level, Tile, edge_tiles, hashes_in, subtree_root},
};

/// The bytes of a full hash tile.
const TILE_BYTES: usize = 8192;

/// The partial hash tiles of a tree, and the roots of the complete subtrees at its edge.
///
/// ```
/// use modkeep_tlog::{Tail, TreeHead, leaf_hash};
/// let mut tail = Tail::empty();
/// let mut full = Vec::new();
/// for i in 0..300_u32 {
///     tail.append(leaf_hash(&i.to_be_bytes()), |tile, bytes| full.push((tile, bytes.to_vec())));
/// }
/// assert_eq!(full.len(), 1); // tile/8/0/000
/// let partial: Vec<String> = tail.partial_tiles().map(|(tile, _)| tile.path()).collect();
/// assert_eq!(partial, ["tile/8/0/001.p/44", "tile/8/1/000.p/1"]);
/// assert_eq!(tail.head().size.get(), 300);
/// ```
#[derive(Clone, Debug)]
pub struct Tail {
    size: TreeSize,
    /// By level, the root of the last complete subtree of 2^level leaves; it counts where the size has the bit.
    subtrees: Vec<Hash>,
    /// By row, the bytes of the partial tile; empty where the row has none.
    rows: Vec<Vec<u8>>,
}

/// The partial tile that is missing or is not as long as the tree says: there is nothing to go on from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("partial tile {} is missing or of another length", .0.path())]
pub struct TailError(pub Tile);

impl Tail {
    /// The tail of the tree without records.
    pub fn empty() -> Self {
        Self { size: TreeSize::EMPTY, subtrees: Vec::new(), rows: Vec::new() }
    }

    /// The tiles that [`open`](Self::open) reads for a tree of this size, at most eight.
    pub fn tiles(size: TreeSize) -> impl Iterator<Item = Tile> {
        edge_tiles(size)
    }

    /// The tail of a tree of this size, from its partial tiles.
    ///
    /// `read` gives the bytes of a tile, of exactly its width. Nothing is verified: compare [`root`](Self::root).
    pub fn open<B: AsRef<[u8]>>(
        size: TreeSize,
        mut read: impl FnMut(&Tile) -> Option<B>,
    ) -> Result<Self, TailError> {
        let mut tail = Self { size, ..Self::empty() };
        for tile in edge_tiles(size) {
            let bytes = read(&tile).ok_or(TailError(tile))?;
            tail.open_row(&tile, bytes.as_ref()).ok_or(TailError(tile))?;
        }
        Ok(tail)
    }

    fn open_row(&mut self, tile: &Tile, bytes: &[u8]) -> Option<()> {
        if tile.byte_len()? != bytes.len() {
            return None;
        }
        let row = tile.level()?.get();
        *entry(&mut self.rows, row, Vec::new()) = bytes.into();
        // The width's bits, from the largest: each is a complete subtree within the tile.
        let mut rest = bytes;
        for bit in (0..HEIGHT).rev().filter(|bit| (tile.width() >> bit) & 1 == 1) {
            let (subtree, after) = rest.split_at_checked(HASH_BYTES.checked_shl(bit.into())?)?;
            let level = row.checked_mul(HEIGHT)?.checked_add(bit)?;
            *entry(&mut self.subtrees, level, EMPTY_ROOT) = subtree_root(hashes_in(subtree))?;
            rest = after;
        }
        Some(())
    }

    /// How many records.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// Appends a leaf. `full` gets each hash tile that this completes, lowest row first: none for most leaves, and at
    /// most eight.
    ///
    /// `None`, and nothing is changed, when the tree has 2^63-1 records.
    pub fn append(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[u8])) -> Option<RecordId> {
        let id = self.size.next_id();
        let size = id.get().checked_add(1).and_then(TreeSize::new)?;
        let (mut hash, mut level) = (leaf, 0_u8);
        // As in counting: each subtree that the leaf completes carries into the next level.
        loop {
            if level.is_multiple_of(HEIGHT) {
                self.push(level / HEIGHT, size, hash, &mut full);
            }
            let subtree = entry(&mut self.subtrees, level, EMPTY_ROOT);
            if (id.get() >> level) & 1 == 0 {
                *subtree = hash;
                break;
            }
            hash = node_hash(*subtree, hash);
            level = level.saturating_add(1);
        }
        self.size = size;
        Some(id)
    }

    /// Adds a hash to a row's tile, and hands the tile on when it is full.
    fn push(&mut self, row: u8, size: TreeSize, hash: Hash, full: &mut impl FnMut(Tile, &[u8])) {
        let bytes = entry(&mut self.rows, row, Vec::new());
        bytes.extend_from_slice(hash.as_bytes());
        if bytes.len() < TILE_BYTES {
            return;
        }
        let name = |level: Level| {
            let last = level.hashes(size).checked_sub(1)?;
            Tile::hashes(level, last >> HEIGHT, FULL_WIDTH)
        };
        if let Some(tile) = Level::new(row).and_then(name) {
            full(tile, bytes);
        }
        bytes.clear();
    }

    /// The partial hash tiles, lowest row first.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (Tile, &[u8])> {
        edge_tiles(self.size).filter_map(|tile| {
            let row = usize::from(tile.level()?.get());
            Some((tile, self.rows.get(row)?.as_slice()))
        })
    }

    /// The roots of the complete subtrees at the edge, the largest first: one per bit of the size (A3).
    pub fn edge(&self) -> Vec<Hash> {
        let mut edge: Vec<Hash> = self.edge_from_smallest().collect();
        edge.reverse();
        edge
    }

    /// The root of the tree: the fold of the edge.
    pub fn root(&self) -> Hash {
        let folded = self.edge_from_smallest().reduce(|right, left| node_hash(left, right));
        folded.unwrap_or(EMPTY_ROOT)
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    fn edge_from_smallest(&self) -> impl Iterator<Item = Hash> {
        let size = self.size.get();
        let subtrees = self.subtrees.iter().zip(0_u32..);
        subtrees.filter(move |(_, level)| (size >> level) & 1 == 1).map(|(hash, _)| *hash)
    }
}

/// The place in a list that grows to have it.
fn entry<T: Clone>(list: &mut Vec<T>, place: u8, empty: T) -> &mut T {
    let place = usize::from(place);
    if list.len() <= place {
        list.resize(place.saturating_add(1), empty);
    }
    list.get_mut(place).expect("just made long enough")
}
