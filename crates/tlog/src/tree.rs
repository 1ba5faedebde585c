//! A part of a tree, authenticated by its root: the step that the reference client had wrong until August 2026.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    hash::{Hash, TreeSize},
    head::TreeHead,
    proof::{self, Node, NodeSource},
    tile::{Tile, edge_tiles, hashes_in, subtree_root},
    tile_set::TileSet,
};

/// The tiles of a tree that are needed to know these nodes: the edge, and each node's tile with all tiles above it.
///
/// A node beyond the tree adds nothing, and will not be known. Spec A4, step 1.
pub(crate) fn tiles_for(size: TreeSize, nodes: impl IntoIterator<Item = Node>) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = edge_tiles(size).collect();
    for least in nodes.into_iter().filter_map(Node::least_tile) {
        let mut next = least.in_tree(size).filter(|present| least.width() <= present.width());
        while let Some(tile) = next.filter(|tile| !tiles.contains(tile)) {
            tiles.push(tile);
            next = tile.parent(size);
        }
    }
    tiles
}

/// Tiles of one tree that nothing vouches for yet, each at the width that the tree gives it.
#[derive(Debug, Default)]
pub(crate) struct Unauthenticated(BTreeMap<Tile, Vec<u8>>);

impl Unauthenticated {
    pub(crate) fn insert(&mut self, tile: Tile, bytes: Vec<u8>) {
        self.0.insert(tile, bytes);
    }

    /// Moves every tile over to the authentic ones, or names one that does not fit the head.
    ///
    /// The set shrinks as tiles prove right and the loop ends only when nothing is left, so none can be skipped: the
    /// reference kept a list and began at the wrong place in it (CVE-2026-56865). Spec A4, steps 2 to 4.
    pub(crate) fn authenticate(mut self, head: TreeHead) -> Result<Authentic, Tile> {
        let mut authentic = Authentic(TileSet::new(head.size));
        let mut blamed = Tile::FIRST;
        for tile in edge_tiles(head.size) {
            authentic.0.insert(tile, self.0.remove(&tile).ok_or(tile)?);
            blamed = tile;
        }
        // Each partial tile's whole width goes into this fold: its hashes are the subtrees of its part of the size.
        if proof::root(&authentic, head.size) != Some(head.root) {
            return Err(blamed);
        }

        // Highest row first, so that each parent is authentic before its children ask it.
        while let Some((tile, bytes)) = self.0.pop_last() {
            let promised = tile.parent(head.size).and_then(|parent| authentic.entry(&parent, &tile));
            let hash = tile.is_full().then(|| subtree_root(hashes_in(&bytes))).flatten();
            if hash.is_none() || hash != promised {
                return Err(tile);
            }
            authentic.0.insert(tile, bytes);
        }
        Ok(authentic)
    }
}

/// Tiles that the root of a signed head proves. Only [`Unauthenticated::authenticate`] fills it.
#[derive(Debug)]
pub(crate) struct Authentic(TileSet<Vec<u8>>);

impl Authentic {
    pub(crate) fn bytes(&self, tile: &Tile) -> Option<&[u8]> {
        self.0.bytes(tile)
    }

    pub(crate) fn into_tiles(self) -> Vec<(Tile, Vec<u8>)> {
        self.0.into_tiles()
    }

    /// What the parent says that the child's hash is.
    fn entry(&self, parent: &Tile, child: &Tile) -> Option<Hash> {
        let position = usize::from(u8::try_from(child.index() & 0xff).ok()?);
        hashes_in(self.bytes(parent)?).nth(position)
    }
}

impl NodeSource for Authentic {
    fn node(&self, node: Node) -> Option<Hash> {
        self.0.node(node)
    }
}
