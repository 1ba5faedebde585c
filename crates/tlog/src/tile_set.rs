//! Tiles as a source of proofs: which ones a proof needs, and the proof once they are here. Spec A3, A4.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cell::RefCell;

use crate::{
    hash::{EMPTY_ROOT, Hash, RecordId, TreeSize},
    proof::{Node, NodeSource, prove_consistency, prove_inclusion},
    tile::{HASH_BYTES, Tile, hashes_in, subtree_root},
};

/// Hash tiles of a tree of one size, from which its proofs are made. Nothing is verified.
///
/// ```
/// # use modkeep_tlog::{GoSumRecord, RecordId, TreeBuilder, tile_set::{TileSet, tiles_for_inclusion}};
/// # let mut log = TreeBuilder::new();
/// # for i in 0..300 {
/// #     let (module, version) = (format!("example.com/m{i}"), "v1.0.0".into());
/// #     log.append(GoSumRecord { module, version, zip_h1: [1; 32], go_mod_h1: [2; 32] }.to_text()?);
/// # }
/// # let (size, id, read) = (log.size(), RecordId::new(5).unwrap(), |tile| log.tile(&tile, log.size()));
/// let mut tiles = TileSet::new(size);
/// for tile in tiles_for_inclusion(size, id) {
///     tiles.insert(tile, read(tile).unwrap());
/// }
/// let proof = modkeep_tlog::proof::prove_inclusion(&tiles, size, id).unwrap();
/// # assert_eq!(Some(proof), modkeep_tlog::proof::prove_inclusion(&log, size, id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TileSet<B> {
    size: TreeSize,
    tiles: BTreeMap<Tile, B>,
}

impl<B> TileSet<B> {
    /// No tiles yet, of a tree of this size.
    pub fn new(size: TreeSize) -> Self {
        Self { size, tiles: BTreeMap::new() }
    }

    /// Adds a tile at the width that this tree gives it. Bytes beyond that width, of a larger tree, do no harm.
    pub fn insert(&mut self, tile: Tile, bytes: B) {
        self.tiles.insert(tile.in_tree(self.size).unwrap_or(tile), bytes);
    }

    /// How large the tree is.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    pub(crate) fn into_tiles(self) -> Vec<(Tile, B)> {
        self.tiles.into_iter().collect()
    }
}

impl<B: AsRef<[u8]>> TileSet<B> {
    pub(crate) fn bytes(&self, tile: &Tile) -> Option<&[u8]> {
        self.tiles.get(tile).map(AsRef::as_ref)
    }
}

impl<B: AsRef<[u8]>> NodeSource for TileSet<B> {
    fn node(&self, node: Node) -> Option<Hash> {
        let place = node.place()?;
        let tile = node.least_tile()?.in_tree(self.size)?;
        let start = usize::try_from(place.start).ok()?.checked_mul(HASH_BYTES)?;
        let end = usize::try_from(place.len).ok()?.checked_mul(HASH_BYTES)?.checked_add(start)?;
        let present = tile.byte_len().filter(|present| end <= *present);
        subtree_root(hashes_in(self.bytes(&tile)?.get(..present?)?.get(start..end)?))
    }
}

/// The tiles from which [`prove_inclusion`] makes its proof, each at the width that the tree gives it; none where the
/// tree does not hold the record.
pub fn tiles_for_inclusion(size: TreeSize, id: RecordId) -> Vec<Tile> {
    let asked = Asked { size, tiles: RefCell::default() };
    prove_inclusion(&asked, size, id);
    asked.tiles.into_inner().into_iter().collect()
}

/// The tiles from which [`prove_consistency`] makes its proof, of the newer tree.
pub fn tiles_for_consistency(old: TreeSize, new: TreeSize) -> Vec<Tile> {
    let asked = Asked { size: new, tiles: RefCell::default() };
    prove_consistency(&asked, old, new);
    asked.tiles.into_inner().into_iter().collect()
}

/// A source that has every node, and remembers the tiles it would have taken them from.
struct Asked {
    size: TreeSize,
    tiles: RefCell<BTreeSet<Tile>>,
}

impl NodeSource for Asked {
    fn node(&self, node: Node) -> Option<Hash> {
        self.tiles.borrow_mut().insert(node.least_tile()?.in_tree(self.size)?);
        Some(EMPTY_ROOT)
    }
}
