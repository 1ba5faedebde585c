//! The root a second time, from the bytes of tiles that were read back: the judge before a signature. Spec C3, step 4.
//!
//! Nothing of the code that builds trees is used here, neither [`Tail`](crate::Tail) nor the folding of subtrees: rows
//! are paired up, level by level, and the odd one out goes up as it is. What both ways agree on is signed (R14).

use alloc::vec::Vec;

use crate::{
    hash::{EMPTY_ROOT, Hash, RecordId, TreeSize, leaf_hash, node_hash},
    head::TreeHead,
    record::texts_in,
    tile::{FULL_WIDTH, HASH_BYTES, HEIGHT, Level, Tile},
};

/// What is wrong with the tiles: nothing may be signed over them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecomputeError {
    /// A tile cannot be read back, or is not as long as its name says.
    #[error("tile {} is missing or of another length", .0.path())]
    Missing(Tile),
    /// A data tile does not hold as many records as its name says.
    #[error("tile {} does not hold its records", .0.path())]
    Records(Tile),
    /// The text of a record is not what its leaf says.
    #[error("record {0} is not what its leaf hashes")]
    Leaf(RecordId),
    /// A full tile is not what the tile above says.
    #[error("tile {} is not what the tile above it says", .0.path())]
    Entry(Tile),
    /// The old tree is not the beginning of the new one.
    #[error("the tiles do not continue the tree of {0} records")]
    Old(TreeSize),
    /// The old size is larger than the new one.
    #[error("a tree does not shrink")]
    Shrunk,
}

/// The root of a tree, from its partial tiles alone. `read` gives a tile's bytes, of exactly its width.
pub fn root<B: AsRef<[u8]>>(
    size: TreeSize,
    read: impl FnMut(&Tile) -> Option<B>,
) -> Result<Hash, RecomputeError> {
    let mut rows = Rows { read, old: Edge::default(), new: Edge::default() };
    // A tree that does not grow has no new tiles: all that is left of the check is the edge.
    rows.climb(size, size, Entries { start: size.get(), hashes: Vec::new() })?;
    Ok(rows.new.root())
}

/// Checks everything that growing from `old` to `new` has written, and returns the new root.
///
/// Every data tile from the old edge on hashes to the leaves in its hash tile; every full hash tile from there on is
/// what the tile above says; the old root is that of the first `old.size` records; the new root is folded from what was
/// read. `read` gives the bytes of a data or hash tile, of exactly its width: from the disk, not from memory. Each tile
/// is read once.
pub fn growth<B: AsRef<[u8]>>(
    old: TreeHead,
    new: TreeSize,
    read: impl FnMut(&Tile) -> Option<B>,
) -> Result<Hash, RecomputeError> {
    if old.size > new {
        return Err(RecomputeError::Shrunk);
    }
    let mut rows = Rows { read, old: Edge::default(), new: Edge::default() };
    let leaves = rows.leaves(old.size, new)?;
    rows.climb(old.size, new, leaves)?;
    if rows.old.root() != old.root {
        return Err(RecomputeError::Old(old.size));
    }
    Ok(rows.new.root())
}

/// What the hashes of a row must be, from position `start` on.
struct Entries {
    start: u64,
    hashes: Vec<Hash>,
}

/// Reads a tree row by row, and folds the edges of the old and the new tree on the way.
struct Rows<F> {
    read: F,
    old: Edge,
    new: Edge,
}

impl<B: AsRef<[u8]>, F: FnMut(&Tile) -> Option<B>> Rows<F> {
    /// What the leaves must be: the hashes of the texts in the data tiles that are new or wider.
    fn leaves(&mut self, old: TreeSize, new: TreeSize) -> Result<Entries, RecomputeError> {
        let (old, new) = (old.get(), new.get());
        let first = old >> HEIGHT;
        if old == new {
            return Ok(Entries { start: new, hashes: Vec::new() });
        }
        let mut hashes = Vec::new();
        for tile in tiles(first, new).filter_map(|(index, width)| Tile::data(index, width)) {
            let bytes = (self.read)(&tile).ok_or(RecomputeError::Missing(tile))?;
            let before = hashes.len();
            hashes.extend(texts_in(bytes.as_ref()).map(leaf_hash));
            if hashes.len().checked_sub(before) != usize::try_from(tile.width()).ok() {
                return Err(RecomputeError::Records(tile));
            }
        }
        Ok(Entries { start: first << HEIGHT, hashes })
    }

    /// From the leaves up, to the row that has nothing.
    fn climb(&mut self, old: TreeSize, new: TreeSize, mut below: Entries) -> Result<(), RecomputeError> {
        let levels = (0..=u8::MAX).map_while(Level::new);
        for level in levels.take_while(|level| level.hashes(new) > 0) {
            below = self.row(level, level.hashes(old), level.hashes(new), &below)?;
        }
        Ok(())
    }

    /// Reads the row's tiles from the one with the old edge on. Returns what the row above must say of the full ones.
    fn row(&mut self, level: Level, old: u64, new: u64, below: &Entries) -> Result<Entries, RecomputeError> {
        let first = old >> HEIGHT;
        let mut above = Entries { start: first, hashes: Vec::new() };
        let (mut old_edge, mut new_edge) = (Vec::new(), Vec::new());
        for tile in tiles(first, new).filter_map(|(index, width)| Tile::hashes(level, index, width)) {
            let hashes = self.hashes(&tile)?;
            check(&tile, level, &hashes, below)?;
            if tile.index() == first {
                let width = usize::try_from(old & 0xff).unwrap_or_default();
                old_edge = hashes.get(..width).unwrap_or_default().into();
            }
            if tile.is_full() {
                above.hashes.extend(pair_up(hashes));
            } else {
                new_edge = hashes;
            }
        }
        self.old.climb(old_edge);
        self.new.climb(new_edge);
        Ok(above)
    }

    fn hashes(&mut self, tile: &Tile) -> Result<Vec<Hash>, RecomputeError> {
        let bytes = (self.read)(tile).ok_or(RecomputeError::Missing(*tile))?;
        let (hashes, rest) = bytes.as_ref().as_chunks::<HASH_BYTES>();
        let whole = rest.is_empty() && u32::try_from(hashes.len()) == Ok(tile.width());
        if whole {
            Ok(hashes.iter().copied().map(Hash).collect())
        } else {
            Err(RecomputeError::Missing(*tile))
        }
    }
}

/// Index and width of the tiles of a row of `hashes`, from the tile `first` on.
fn tiles(first: u64, hashes: u64) -> impl Iterator<Item = (u64, u32)> {
    (first..hashes.div_ceil(u64::from(FULL_WIDTH))).map(move |index| {
        let rest = hashes.saturating_sub(index << HEIGHT);
        (index, u32::try_from(rest).map_or(FULL_WIDTH, |rest| rest.min(FULL_WIDTH)))
    })
}

/// Compares a tile with what the row below, or the records, make of it.
fn check(tile: &Tile, level: Level, hashes: &[Hash], below: &Entries) -> Result<(), RecomputeError> {
    for (position, hash) in (tile.index() << HEIGHT..).zip(hashes) {
        let Some(number) = position.checked_sub(below.start) else { continue };
        let must = usize::try_from(number).ok().and_then(|number| below.hashes.get(number));
        if must != Some(hash) {
            return Err(wrong(level, position).unwrap_or(RecomputeError::Missing(*tile)));
        }
    }
    Ok(())
}

/// Who is not what the hash at this position says: a record, or the tile below.
fn wrong(level: Level, position: u64) -> Option<RecomputeError> {
    match level.get().checked_sub(1) {
        None => RecordId::new(position).map(RecomputeError::Leaf),
        Some(below) => Tile::hashes(Level::new(below)?, position, FULL_WIDTH).map(RecomputeError::Entry),
    }
}

/// The right-hand end of a tree, from the row last read down: what is not yet a hash of the row above.
#[derive(Default)]
struct Edge(Option<Hash>);

impl Edge {
    /// Takes in the hashes of a row's partial tile: the end of the rows below stands right of them.
    fn climb(&mut self, mut hashes: Vec<Hash>) {
        hashes.extend(self.0);
        self.0 = pair_up(hashes);
    }

    fn root(&self) -> Hash {
        self.0.unwrap_or(EMPTY_ROOT)
    }
}

/// Eight levels up: neighbours are paired, and an odd one at the end goes up as it is. One is left, or none of none.
fn pair_up(mut hashes: Vec<Hash>) -> Option<Hash> {
    for _ in 0..HEIGHT {
        let (pairs, odd) = hashes.as_chunks::<2>();
        let parents = pairs.iter().map(|[left, right]| node_hash(*left, *right));
        hashes = parents.chain(odd.iter().copied()).collect();
    }
    hashes.first().copied()
}
