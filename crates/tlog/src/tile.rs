//! Tiles: the pieces in which a tree is kept and travels. Spec A4.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, iter};

use crate::hash::{Hash, TreeSize, decimal, node_hashes};

/// The only height that is served: a full tile holds 2^8 hashes. Other heights parse (README item 16). Spec A4.
pub const HEIGHT: u8 = 8;
/// Hashes in a full tile of height 8, records in a full data tile.
pub const FULL_WIDTH: u32 = 256;
/// Bytes of a hash in a tile.
pub const HASH_BYTES: usize = 32;

/// Which row of tiles: 0 holds leaf hashes, each further one 256 times fewer. At most 63.
///
/// A level is not an index, although both are numbers in a path:
///
/// ```compile_fail,E0308
/// use modkeep_tlog::{Level, Tile};
/// Tile::hashes(1, Level::LEAVES, 256); // the level comes first
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Level(u8);

impl Level {
    /// The row of leaf hashes.
    pub const LEAVES: Self = Self(0);

    /// The level, or `None` above 63: no tile of it can exist.
    pub fn new(level: u8) -> Option<Self> {
        (level <= 63).then_some(Self(level))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// How many hashes a tree of this size has in this row: one per complete subtree of 256^level leaves.
    pub fn hashes(self, size: TreeSize) -> u64 {
        let bits = u32::from(self.0).saturating_mul(u32::from(HEIGHT));
        size.get().checked_shr(bits).unwrap_or(0)
    }

    /// The row above.
    fn above(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }
}

/// What a tile holds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Content {
    /// Record texts, framed as in A2.
    Data,
    /// Hashes of one row, 32 bytes each, oldest first.
    Hashes(Level),
}

/// Which grammar a tile's path is of. Spec A4, B1.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Layout {
    /// `tile/8/L/N`, `tile/8/data/N`: checksum databases.
    GoSum,
    /// `tile/L/N`, `tile/entries/N`: C2SP tlog-tiles.
    TlogTiles,
}

/// The name of a tile: up to 256 neighbouring hashes of one row, or the texts of up to 256 records.
///
/// `width` is 256 for a full tile, which never changes again; a narrower one is *partial*, a prefix of what the tile
/// becomes as the tree grows. Path form: `tile/8/<level or data>/<number>[.p/<width>]`. Spec A4.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    height: u8,
    content: Content,
    index: u64,
    width: u32,
}

/// Why a path names no tile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TilePathError {
    /// Not of the grammar: a bad request (I06).
    #[error("malformed tile path")]
    Malformed,
    /// Legal syntax, but no tree has such a tile: a level above 63 or a number above 2^63-1 (I08).
    #[error("no such tile")]
    NoSuchTile,
}

impl Tile {
    /// The tile that a tree of one record consists of.
    pub(crate) const FIRST: Self =
        Self { height: HEIGHT, content: Content::Hashes(Level::LEAVES), index: 0, width: 1 };

    /// A hash tile of height 8; `None` unless `width` is 1 to 256 and `index` at most 2^63-1.
    pub fn hashes(level: Level, index: u64, width: u32) -> Option<Self> {
        Self::new(HEIGHT, Content::Hashes(level), index, width)
    }

    /// A data tile of height 8, with the same limits.
    pub fn data(index: u64, width: u32) -> Option<Self> {
        Self::new(HEIGHT, Content::Data, index, width)
    }

    /// Reads `tile/H/L/NNN[.p/W]` without a leading slash, in its one form (A4; I06 to I08).
    ///
    /// Heights 1 to 30 are legal syntax; only 8 is served, so look at [`height`](Self::height).
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError::Malformed)?;
        let (height, rest) = rest.split_once('/').ok_or(TilePathError::Malformed)?;
        let (level, place) = rest.split_once('/').ok_or(TilePathError::Malformed)?;
        let height =
            small(height).filter(|height| (1..=30).contains(height)).ok_or(TilePathError::Malformed)?;
        let tile = Self::parse_place(height, level, place, "data")?;
        // The grammar leaves `x000/001`; writing it again finds any second form of a path.
        if tile.path() == path { Ok(tile) } else { Err(TilePathError::Malformed) }
    }

    /// Reads `tile/L/NNN[.p/W]` or `tile/entries/NNN[.p/W]`, the paths of tlog-tiles (B1), in their one form.
    pub fn parse_alias(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError::Malformed)?;
        let (level, place) = rest.split_once('/').ok_or(TilePathError::Malformed)?;
        let tile = Self::parse_place(HEIGHT, level, place, "entries")?;
        if tile.alias_path().as_deref() == Some(path) { Ok(tile) } else { Err(TilePathError::Malformed) }
    }

    /// Reads a path of either layout. No path is of both.
    ///
    /// The layout says in which form a [data](Self::is_data) tile is meant: texts with blank lines between, or a bundle
    /// ([`bundle_of`](crate::record::bundle_of)). Hash tiles are the same bytes in both.
    pub fn parse_either(path: &str) -> Result<(Layout, Self), TilePathError> {
        match Self::parse(path) {
            Err(TilePathError::Malformed) => Ok((Layout::TlogTiles, Self::parse_alias(path)?)),
            tile => Ok((Layout::GoSum, tile?)),
        }
    }

    /// What both grammars have in common: level, number, width.
    fn parse_place(height: u8, level: &str, place: &str, data: &str) -> Result<Self, TilePathError> {
        let (number, width) = match place.split_once(".p/") {
            Some((number, width)) => (number, Some(width)),
            None => (place, None),
        };
        let full = full_width(height);
        let width = match width {
            None => full,
            Some(text) => decimal(text)
                .and_then(|width| u32::try_from(width).ok())
                .filter(|width| (1..full).contains(width))
                .ok_or(TilePathError::Malformed)?,
        };
        check_groups(number)?;
        let content = if level == data { Content::Data } else { row(level)? };
        let index = index(number).ok_or(TilePathError::NoSuchTile)?;
        Self::new(height, content, index, width).ok_or(TilePathError::NoSuchTile)
    }

    /// The path, the reverse of [`parse`](Self::parse).
    pub fn path(&self) -> String {
        let height = self.height;
        match self.content {
            Content::Data => format!("tile/{height}/data/{}", Place(self)),
            Content::Hashes(Level(level)) => format!("tile/{height}/{level}/{}", Place(self)),
        }
    }

    /// The path under the tlog-tiles layout, which has no height and says `entries` (B1); `None` for other heights.
    pub fn alias_path(&self) -> Option<String> {
        (self.height == HEIGHT).then(|| match self.content {
            Content::Data => format!("tile/entries/{}", Place(self)),
            Content::Hashes(Level(level)) => format!("tile/{level}/{}", Place(self)),
        })
    }

    /// The height named in the path, 1 to 30.
    pub fn height(&self) -> u8 {
        self.height
    }

    /// What the tile holds.
    pub fn content(&self) -> Content {
        self.content
    }

    /// The row of a hash tile.
    pub fn level(&self) -> Option<Level> {
        match self.content {
            Content::Data => None,
            Content::Hashes(level) => Some(level),
        }
    }

    /// Whether it holds record texts.
    pub fn is_data(&self) -> bool {
        self.content == Content::Data
    }

    /// The position in the row, 0 the oldest.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or records, 1 to 2^height.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Whether it never changes again.
    pub fn is_full(&self) -> bool {
        self.width == full_width(self.height)
    }

    /// The full tile of the same place: where a partial one is looked for once it is gone.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: full_width(self.height), ..*self }
    }

    /// The bytes of a hash tile; `None` for a data tile, whose length the name does not tell.
    pub fn byte_len(&self) -> Option<usize> {
        let width = usize::try_from(self.width).ok()?;
        (!self.is_data()).then(|| width.checked_mul(HASH_BYTES)).flatten()
    }

    /// Whether a tree of this size has all of this tile. Never for a height other than 8.
    pub fn is_within(&self, size: TreeSize) -> bool {
        self.in_tree(size).is_some_and(|present| self.width <= present.width)
    }

    /// The tile of this place at the width that a tree of `size` gives it; `None` where the tree does not reach.
    #[must_use]
    pub fn in_tree(&self, size: TreeSize) -> Option<Self> {
        let row = match self.content {
            Content::Data => Level::LEAVES,
            Content::Hashes(level) => level,
        };
        let full = u64::from(FULL_WIDTH);
        let before = (self.height == HEIGHT).then(|| self.index.checked_mul(full)).flatten()?;
        let width = u32::try_from(row.hashes(size).checked_sub(before)?.min(full)).ok()?;
        Self::new(HEIGHT, self.content, self.index, width)
    }

    /// The tile that holds this full tile's hash, at the width that a tree of `size` gives it.
    pub(crate) fn parent(&self, size: TreeSize) -> Option<Self> {
        let Content::Hashes(level) = self.content else { return None };
        Self::hashes(level.above()?, self.index >> HEIGHT, 1)?.in_tree(size)
    }

    fn new(height: u8, content: Content, index: u64, width: u32) -> Option<Self> {
        let legal = (1..=full_width(height)).contains(&width) && i64::try_from(index).is_ok();
        legal.then_some(Self { height, content, index, width })
    }
}

/// The part of the path that names the place: `x001/x234/067.p/7`.
struct Place<'a>(&'a Tile);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 2^63-1 has 19 digits, which is seven groups.
        let mut groups = [0_u64; 7];
        let mut rest = self.0.index;
        for group in groups.iter_mut().rev() {
            *group = rest % 1000;
            rest /= 1000;
        }
        let [upper @ .., last] = &groups;
        for group in upper.iter().skip_while(|group| **group == 0) {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{last:03}")?;
        if self.0.is_full() { Ok(()) } else { write!(f, ".p/{}", self.0.width) }
    }
}

/// 2^height, for heights up to 30.
fn full_width(height: u8) -> u32 {
    1_u32.checked_shl(u32::from(height)).unwrap_or(u32::MAX)
}

fn small(text: &str) -> Option<u8> {
    decimal(text).and_then(|number| u8::try_from(number).ok())
}

fn row(level: &str) -> Result<Content, TilePathError> {
    decimal(level).ok_or(TilePathError::Malformed)?;
    small(level).and_then(Level::new).map(Content::Hashes).ok_or(TilePathError::NoSuchTile)
}

/// Three digits a group, `x` before all but the last.
fn check_groups(number: &str) -> Result<(), TilePathError> {
    let (upper, last) = number.rsplit_once('/').map_or((None, number), |(upper, last)| (Some(upper), last));
    let three_digits = |group: &str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    let upper_fit = upper
        .is_none_or(|upper| upper.split('/').all(|group| group.strip_prefix('x').is_some_and(three_digits)));
    if upper_fit && three_digits(last) { Ok(()) } else { Err(TilePathError::Malformed) }
}

/// The number that checked groups spell, or `None` where it runs over.
fn index(number: &str) -> Option<u64> {
    number.split('/').try_fold(0_u64, |index, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    })
}

/// Every hash tile of a tree, lowest row first.
pub fn tiles_of(size: TreeSize) -> impl Iterator<Item = Tile> {
    new_tiles(TreeSize::EMPTY, size)
}

/// The hash tiles to publish when a tree grows from `old` to `new`: those that are new or wider, lowest row first.
///
/// Lazy, since a tree may be large. Spec A4.
pub fn new_tiles(old: TreeSize, new: TreeSize) -> impl Iterator<Item = Tile> {
    let rows = iter::successors(Some(Level::LEAVES), |level| level.above());
    rows.take_while(move |level| level.hashes(new) > 0).flat_map(move |level| {
        let (before, after) = (level.hashes(old), level.hashes(new));
        let first = before >> HEIGHT;
        // A row that did not grow has nothing to publish; one that did has it from its last open tile on.
        let end = if after > before { after.div_ceil(u64::from(FULL_WIDTH)) } else { first };
        (first..end).filter_map(move |index| Tile::hashes(level, index, 1)?.in_tree(new))
    })
}

/// The partial tiles of a tree, lowest row first: at most eight, and together they fold to the root.
pub(crate) fn edge_tiles(size: TreeSize) -> impl Iterator<Item = Tile> {
    let rows = iter::successors(Some(Level::LEAVES), |level| level.above());
    rows.take_while(move |level| level.hashes(size) > 0).filter_map(move |level| {
        let index = level.hashes(size) >> HEIGHT;
        Tile::hashes(level, index, 1)?.in_tree(size)
    })
}

/// The hashes in the bytes of a hash tile; bytes that are no whole hash at the end are left out.
pub(crate) fn hashes_in(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Hash> {
    bytes.as_chunks::<HASH_BYTES>().0.iter().copied().map(Hash)
}

/// The root over a complete subtree's hashes; `None` unless their number is a power of two.
pub(crate) fn subtree_root(hashes: impl Iterator<Item = Hash>) -> Option<Hash> {
    let mut row: Vec<Hash> = hashes.collect();
    while row.len() > 1 {
        if !row.len().is_multiple_of(2) {
            return None;
        }
        row = node_hashes(&row);
    }
    row.first().copied()
}
