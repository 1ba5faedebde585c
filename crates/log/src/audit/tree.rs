//! From the signed root down to the lowest row of tiles, each tile compared with the one above it. Spec A4.

use modkeep_tlog::{Hash, Level, SignedHead, Tile, TreeSize, empty_root, node_hash, node_hashes};

use crate::audit::finding::{Finding, Kind};
use crate::audit::source::{self, Away, Source};

/// Hashes in a full tile.
pub(crate) const WIDTH: u64 = 256;
/// Bytes of a hash.
pub(crate) const HASH: usize = 32;

/// The hash tiles above the lowest row, read in order, the present one of each row kept.
pub(crate) struct Descent<'a> {
    source: &'a dyn Source,
    size: TreeSize,
    /// By row: the partial tile, authentic because together they fold to the root.
    edge: Vec<Option<Vec<u8>>>,
    /// By row: the full tile read last, with its index.
    present: Vec<Option<(u64, Outcome)>>,
    /// What was found on the way and not yet taken.
    pub(crate) findings: Vec<Finding>,
    /// Hash tiles read, and their bytes.
    pub(crate) tiles: u64,
    pub(crate) bytes: u64,
}

/// What is known of a tile of leaf hashes before it is read.
#[derive(Clone, Debug)]
pub(crate) enum Leaves {
    /// The partial tile on the edge: these are its authentic bytes.
    Edge(Vec<u8>),
    /// A full tile: its hashes fold to this.
    Promised(Hash),
    /// A tile above is not there or damaged, and so nothing is known of the tiles of leaf hashes before `until`.
    Unreachable { until: u64, why: Kind },
}

/// A tile of an upper row.
#[derive(Clone, Debug)]
enum Outcome {
    Authentic(Vec<u8>),
    /// This tile, or one above it, cannot be had: it covers the leaf tiles before `until`.
    Unreachable {
        until: u64,
        why: Kind,
    },
}

/// Why a tree cannot be entered.
pub(crate) enum Closed {
    Away(Away),
    Found(Finding),
}

impl From<Away> for Closed {
    fn from(away: Away) -> Self {
        Self::Away(away)
    }
}

impl<'a> Descent<'a> {
    /// Reads the partial tiles on the tree's edge and folds them to the root.
    pub(crate) fn open(source: &'a dyn Source, head: &SignedHead) -> Result<Self, Closed> {
        match Self::read_edge(source, head, false) {
            // Whoever damaged an answer on the way is passed by before the log is blamed (A8).
            Err(Closed::Found(_)) => Self::read_edge(source, head, true),
            other => other,
        }
    }

    fn read_edge(source: &'a dyn Source, head: &SignedHead, fresh: bool) -> Result<Self, Closed> {
        let mut descent = Self {
            source,
            size: head.size(),
            edge: Vec::new(),
            present: Vec::new(),
            findings: Vec::new(),
            tiles: 0,
            bytes: 0,
        };
        for row in rows(head.size()) {
            descent.present.push(None);
            let Some(tile) = edge_tile(row, head.size()) else {
                descent.edge.push(None);
                continue;
            };
            let bytes = match source::tile(source, &tile, fresh)? {
                Some((came, bytes)) if came.byte_len() == Some(bytes.len()) => bytes,
                Some(_) => return Err(Closed::Found(wrong_length(&tile))),
                None => return Err(Closed::Found(missing(&tile))),
            };
            let bytes = bytes.get(..tile.byte_len().unwrap_or_default()).unwrap_or_default().to_vec();
            descent.count(&bytes);
            descent.edge.push(Some(bytes));
        }
        let root = fold_edge(&descent.edge);
        if root != head.root() {
            let text = format!(
                "the tiles on the edge of the tree of size {} fold to {root}, the signed root is {}",
                head.size(),
                head.root()
            );
            return Err(Closed::Found(Finding::of(Kind::BadTile, text)));
        }
        Ok(descent)
    }

    /// What is promised about a tile of leaf hashes. Indexes are asked for in ascending order, or tiles are read twice.
    pub(crate) fn leaves(&mut self, index: u64) -> Result<Leaves, Away> {
        if edge_tile(Level::LEAVES, self.size).is_some_and(|tile| tile.index() == index) {
            let edge = self.edge.first().cloned().flatten().unwrap_or_default();
            return Ok(Leaves::Edge(edge));
        }
        Ok(match self.promise(1, index)? {
            Ok(hash) => Leaves::Promised(hash),
            Err((until, why)) => Leaves::Unreachable { until, why },
        })
    }

    /// The hash that row `row` holds of the full tile `below` of the row below it.
    fn promise(&mut self, row: usize, below: u64) -> Result<Result<Hash, (u64, Kind)>, Away> {
        let (index, position) = (below / WIDTH, below % WIDTH);
        let level = u8::try_from(row).ok().and_then(Level::new);
        let Some(tile) = level.and_then(|level| Tile::hashes(level, index, 1)?.in_tree(self.size)) else {
            return Ok(Err((below + 1, Kind::BadTile)));
        };
        if !tile.is_full() {
            let bytes = self.edge.get(row).and_then(Option::as_deref).unwrap_or_default();
            return Ok(entry(bytes, position).ok_or((below + 1, Kind::BadTile)));
        }
        let is_present = self.present.get(row).and_then(Option::as_ref).is_some_and(|(at, _)| *at == index);
        if !is_present {
            let outcome = self.read(row, &tile)?;
            if let Some(place) = self.present.get_mut(row) {
                *place = Some((index, outcome));
            }
        }
        match self.present.get(row).and_then(Option::as_ref) {
            Some((_, Outcome::Authentic(bytes))) => {
                Ok(entry(bytes, position).ok_or((below + 1, Kind::BadTile)))
            }
            Some((_, Outcome::Unreachable { until, why })) => Ok(Err((*until, *why))),
            None => Ok(Err((below + 1, Kind::BadTile))),
        }
    }

    /// Reads a full tile of an upper row and compares it with the row above.
    fn read(&mut self, row: usize, tile: &Tile) -> Result<Outcome, Away> {
        let hash = match self.promise(row + 1, tile.index())? {
            Ok(hash) => hash,
            Err((until, why)) => return Ok(Outcome::Unreachable { until, why }),
        };
        let mut fault = missing(tile);
        for fresh in [false, true] {
            match self.source.get(&tile.path(), source::TILE_MAX, fresh)? {
                None => fault = missing(tile),
                Some(bytes) if tile.byte_len() != Some(bytes.len()) => fault = wrong_length(tile),
                Some(bytes) if fold(&bytes) != Some(hash) => fault = wrong_hash(tile),
                Some(bytes) => {
                    self.count(&bytes);
                    return Ok(Outcome::Authentic(bytes));
                }
            }
        }
        let rows_below = u32::try_from(row).unwrap_or(u32::MAX);
        let covers = WIDTH.saturating_pow(rows_below);
        let why = fault.kind;
        self.findings.push(fault);
        Ok(Outcome::Unreachable { until: tile.index().saturating_add(1).saturating_mul(covers), why })
    }

    fn count(&mut self, bytes: &[u8]) {
        self.tiles += 1;
        self.bytes += bytes.len() as u64;
    }
}

pub(crate) fn missing(tile: &Tile) -> Finding {
    Finding::of(Kind::MissingTile, format!("{} is not there", tile.path()))
}

pub(crate) fn wrong_length(tile: &Tile) -> Finding {
    Finding::of(Kind::BadTile, format!("{} is not as long as its name says", tile.path()))
}

pub(crate) fn wrong_hash(tile: &Tile) -> Finding {
    Finding::of(Kind::BadTile, format!("{} does not hash to its entry in the tile above it", tile.path()))
}

/// The rows that a tree of this size has.
fn rows(size: TreeSize) -> impl Iterator<Item = Level> {
    (0..=7).filter_map(Level::new).take_while(move |level| level.hashes(size) > 0)
}

/// The partial tile of a row, if the row's last tile is one.
pub(crate) fn edge_tile(row: Level, size: TreeSize) -> Option<Tile> {
    let tile = Tile::hashes(row, row.hashes(size) / WIDTH, 1)?.in_tree(size)?;
    (!tile.is_full()).then_some(tile)
}

fn entry(bytes: &[u8], position: u64) -> Option<Hash> {
    let start = usize::try_from(position).ok()?.checked_mul(HASH)?;
    bytes.get(start..start.checked_add(HASH)?)?.try_into().ok().map(Hash)
}

/// The root over the hashes of a complete subtree; `None` unless their number is a power of two.
pub(crate) fn fold(hashes: &[u8]) -> Option<Hash> {
    let mut row: Vec<Hash> = hashes.as_chunks::<HASH>().0.iter().map(|hash| Hash(*hash)).collect();
    if !row.len().is_power_of_two() {
        return None;
    }
    while row.len() > 1 {
        row = node_hashes(&row);
    }
    row.first().copied()
}

/// The root of a tree out of its partial tiles, lowest row first: their hashes are the roots of complete subtrees, the
/// smallest ones at the right end, and are folded from there.
pub(crate) fn fold_edge(edge: &[Option<Vec<u8>>]) -> Hash {
    let mut root: Option<Hash> = None;
    for bytes in edge.iter().flatten() {
        let width = bytes.len() / HASH;
        for bit in (0..8).filter(|bit| width >> bit & 1 == 1) {
            // The subtrees of a tile are as large as the bits of its width, the largest first.
            let start = (width >> (bit + 1)) << (bit + 1);
            let end = start + (1 << bit);
            let Some(left) = bytes.get(start * HASH..end * HASH).and_then(fold) else { continue };
            root = Some(root.map_or(left, |right| node_hash(left, right)));
        }
    }
    root.unwrap_or_else(empty_root)
}
