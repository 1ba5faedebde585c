//! One tile under a known head: for a relay that caches nothing unverified.

use alloc::{boxed::Box, vec::Vec};

use super::{
    ClientError, Step,
    machine::{Attempt, Machine, step},
    merge::Gathering,
};
use crate::{
    hash::RecordId,
    head::SignedHead,
    proof::{Node, NodeSource as _},
    record::{RecordText, write_data_tile},
    tile::{Content, FULL_WIDTH, Level, Tile},
    tree::{Authentic, tiles_for},
};

/// What a successful [`TileCheck`] leaves.
#[derive(Clone, Debug)]
pub struct TileOutcome {
    /// The content of the tile asked for, exactly as wide as asked.
    pub bytes: Vec<u8>,
    /// Authentic hash tiles of the known head's tree, to cache beside it.
    pub tiles: Vec<(Tile, Vec<u8>)>,
}

/// Authenticates one tile, of hashes or of records, under a known head: for a relay that caches nothing unverified.
#[derive(Debug)]
pub struct TileCheck {
    known: SignedHead,
    tile: Tile,
    attempt: Attempt,
    tiles: Option<Gathering>,
}

impl TileCheck {
    /// Starts a check. A tile that the known tree does not reach fails with [`ClientError::TileBeyondHead`].
    pub fn new(known: SignedHead, tile: Tile) -> Self {
        Self { known, tile, attempt: Attempt::First, tiles: None }
    }

    /// What to do next; never [`Step::NeedLookup`].
    pub fn step(&mut self) -> Step<Box<TileOutcome>> {
        step(self)
    }

    /// Hands in a tile; `None` when the log says that it has none (404, 410). Passed over when not asked for.
    pub fn supply_tile(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        if let Some(tiles) = &mut self.tiles {
            tiles.supply(tile, bytes);
        }
    }

    /// The tiles to ask for, if the known tree has the tile at all.
    fn plan(&self) -> Option<Gathering> {
        let (tile, size) = (self.tile, self.known.size());
        let level = match tile.content() {
            Content::Data => Level::LEAVES,
            Content::Hashes(level) => level,
        };
        let first = Node::first_of(level, tile.index()).filter(|_| tile.is_within(size))?;
        let mut tiles = Gathering::of(tiles_for(size, [first]));
        if tile.is_data() {
            tiles.want(tile);
        }
        Some(tiles)
    }

    /// The content of the tile, out of the authentic tree.
    fn content(&self, tree: &Authentic, texts: &[RecordText]) -> Option<Vec<u8>> {
        if let Some(length) = self.tile.byte_len() {
            // The check asked for the tile as wide as the known tree has it; the narrower one is its prefix.
            return Some(tree.bytes(&self.tile.in_tree(self.known.size())?)?.get(..length)?.to_vec());
        }
        let first = self.tile.index().checked_mul(u64::from(FULL_WIDTH))?;
        let authentic = (first..).zip(texts).all(|(id, text)| {
            RecordId::new(id).and_then(|id| tree.node(Node::leaf(id))) == Some(text.leaf_hash())
        });
        authentic.then(|| write_data_tile(texts))
    }
}

impl Machine for TileCheck {
    type Outcome = TileOutcome;

    fn attempt(&mut self) -> &mut Attempt {
        &mut self.attempt
    }

    fn restart(&mut self) {
        self.tiles = None;
    }

    fn advance(&mut self, bypass_cache: bool) -> Result<Step<Box<TileOutcome>>, ClientError> {
        let beyond = ClientError::TileBeyondHead { tile: self.tile, size: self.known.size() };
        let gathering = self.tiles.take().or_else(|| self.plan()).ok_or(beyond)?;
        let tiles = gathering.missing();
        if !tiles.is_empty() {
            self.tiles = Some(gathering);
            return Ok(Step::NeedTiles { tiles, bypass_cache });
        }
        let (tree, texts) = gathering.finish(&self.known)?;
        let bytes = self.content(&tree, &texts).ok_or(ClientError::InconsistentTile(self.tile))?;
        Ok(Step::Done(Box::new(TileOutcome { bytes, tiles: tree.into_tiles() })))
    }
}
