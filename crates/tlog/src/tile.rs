//! Tiles: the pieces in which a tree travels and is kept.

use alloc::{string::String, vec::Vec};

use crate::hash::TreeSize;

/// The only height that is served: a full tile holds 2^8 hashes. Spec A4.
pub const HEIGHT: u8 = 8;
/// Hashes in a full tile of height 8.
pub const FULL_WIDTH: u32 = 256;

/// Which row of tiles: 0 holds leaf hashes, each further one 256 times fewer. At most 63.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Level(u8);

impl Level {
    /// Leaf hashes.
    pub const LEAVES: Self = Self(0);

    /// The level, or `None` above 63: no such tile can exist.
    pub fn new(level: u8) -> Option<Self> {
        (level <= 63).then_some(Self(level))
    }
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What a tile holds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Content {
    /// Hashes of one level, 32 bytes each.
    Hashes(Level),
    /// Record texts (A2).
    Data,
}

/// The name of a tile: up to 256 neighbouring hashes of one level, or the texts of up to 256 records.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    height: u8,
    content: Content,
    index: u64,
    width: u32,
}

/// Why a tile path names nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TilePathError {
    /// Not of the grammar: the request is wrong (400).
    #[error("malformed tile path")]
    Malformed,
    /// Legal syntax for a tile that no tree can have: level above 63 or a number above 2^63-1 (404).
    #[error("no such tile")]
    NoSuchTile,
}

impl Tile {
    /// A hash tile of height 8, or `None` unless `1 <= width <= 256` and `index` is at most 2^63-1.
    pub fn hashes(level: Level, index: u64, width: u32) -> Option<Self> {
        let _ = (level, index, width);
        todo!()
    }
    /// A data tile of height 8; same limits.
    pub fn data(index: u64, width: u32) -> Option<Self> {
        let _ = (index, width);
        todo!()
    }
    /// Reads `tile/H/L/NNN[.p/W]`, no leading slash.
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let _ = path;
        todo!()
    }
    /// The path, the reverse of [`parse`](Self::parse).
    pub fn path(&self) -> String {
        todo!()
    }
    /// Height as named in the path, 1 to 30; only 8 is served.
    pub fn height(&self) -> u8 {
        self.height
    }
    /// What it holds.
    pub fn content(&self) -> Content {
        self.content
    }
    /// Whether it holds record texts.
    pub fn is_data(&self) -> bool {
        self.content == Content::Data
    }
    /// Position in its row.
    pub fn index(&self) -> u64 {
        self.index
    }
    /// How many hashes or records.
    pub fn width(&self) -> u32 {
        self.width
    }
    /// Whether it never changes again.
    pub fn is_full(&self) -> bool {
        todo!()
    }
    /// The full tile of the same place.
    pub fn full(&self) -> Self {
        todo!()
    }
    /// Whether a tree of this size holds the whole tile.
    pub fn is_within(&self, size: TreeSize) -> bool {
        let _ = size;
        todo!()
    }
}

/// Every hash tile of a tree.
pub fn tiles_of(size: TreeSize) -> Vec<Tile> {
    let _ = size;
    todo!()
}

/// The hash tiles to publish when a tree grows.
pub fn new_tiles(old: TreeSize, new: TreeSize) -> Vec<Tile> {
    let _ = (old, new);
    todo!()
}
