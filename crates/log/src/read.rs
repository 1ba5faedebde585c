//! What is stored, verified on every read (R13): rows and tiles against the tiles above them, up to the published edge.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use modkeep_store::{Error, LogStore};
use modkeep_tlog::proof::{Node, NodeSource};
use modkeep_tlog::record::{read_data_tile, write_data_tile};
use modkeep_tlog::tile::{FULL_WIDTH, HASH_BYTES, HEIGHT};
use modkeep_tlog::{Hash, Level, RecordId, RecordText, Tile, node_hash};

use crate::head::Published;

/// Verified tiles above the leaves that are kept: 8 MiB, the upper rows of a log of 67 million records.
const KEPT_MAX: usize = 1024;

/// Reads what is published, and nothing else.
#[derive(Debug)]
pub(crate) struct Reader {
    store: LogStore,
    /// Full tiles above the leaves, proven once; they never change.
    kept: Mutex<HashMap<Tile, Bytes>>,
}

impl Reader {
    pub(crate) fn new(store: LogStore) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// The bytes of a tile at its width; `None` beyond the head.
    pub(crate) fn tile(&self, seen: &Published, tile: &Tile) -> Result<Option<Bytes>, Error> {
        let Some(present) = tile.in_tree(seen.size()).filter(|present| tile.width() <= present.width())
        else {
            return Ok(None);
        };
        let bytes = match (tile.level(), present.is_full()) {
            (Some(level), true) => cut_hashes(&self.full(seen, level, tile.index())?, tile.width()),
            (Some(level), false) => cut_hashes(edge(seen, level), tile.width()),
            (None, true) => self.data(seen, tile)?,
            (None, false) => self.open_data(seen, tile)?,
        };
        Ok(Some(bytes))
    }

    /// The text of a record that the head covers.
    pub(crate) fn text(&self, seen: &Published, id: RecordId) -> Result<RecordText, Error> {
        let found =
            self.store.record(id)?.ok_or_else(|| corrupt(&format!("record {id}"), "it is missing"))?;
        let text = found.record.to_text();
        let text = text.map_err(|error| corrupt(&format!("record {id}"), &error.to_string()))?;
        self.check_leaf(seen, id, &text)?;
        Ok(text)
    }

    /// The nodes of the published tree, for proofs.
    pub(crate) fn nodes<'a>(&'a self, seen: &'a Published) -> Nodes<'a> {
        Nodes { reader: self, seen, failed: RefCell::new(None) }
    }

    /// A full hash tile, compared with its entry in the tile above.
    fn full(&self, seen: &Published, level: Level, index: u64) -> Result<Bytes, Error> {
        let tile = Tile::hashes(level, index, FULL_WIDTH)
            .ok_or_else(|| corrupt("tile", "its number is beyond any tree"))?;
        if let Some(kept) = self.kept().get(&tile) {
            return Ok(kept.clone());
        }
        let bytes = self.read(&tile)?;
        let above = level.get().checked_add(1).and_then(Level::new);
        let above = above.ok_or_else(|| corrupt(&tile.path(), "no tile is above it"))?;
        if tile_root(&bytes) != Some(self.hash(seen, above, index)?) {
            return Err(corrupt(&tile.path(), "it is not what the tile above it says"));
        }
        let bytes = Bytes::from(bytes);
        if level != Level::LEAVES {
            let mut kept = self.kept();
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(tile, bytes.clone());
        }
        Ok(bytes)
    }

    /// One hash of a row.
    fn hash(&self, seen: &Published, level: Level, number: u64) -> Result<Hash, Error> {
        let index = number >> HEIGHT;
        let is_open = index == level.hashes(seen.size()) >> HEIGHT;
        let bytes = if is_open { edge(seen, level).clone() } else { self.full(seen, level, index)? };
        let hashes = bytes.as_chunks::<HASH_BYTES>().0;
        let place = usize::from(u8::try_from(number & 0xff).unwrap_or_default());
        hashes.get(place).copied().map(Hash).ok_or_else(|| corrupt("log tile", "it is too short"))
    }

    fn check_leaf(&self, seen: &Published, id: RecordId, text: &RecordText) -> Result<(), Error> {
        if self.hash(seen, Level::LEAVES, id.get())? == text.leaf_hash() {
            return Ok(());
        }
        Err(corrupt(&format!("record {id}"), "it is not what its leaf in the tree hashes"))
    }

    /// A full data tile, its records compared with their leaves, cut to the width asked for.
    fn data(&self, seen: &Published, tile: &Tile) -> Result<Bytes, Error> {
        let full = tile.full();
        let bytes = self.read(&full)?;
        let texts =
            read_data_tile(&bytes, FULL_WIDTH).map_err(|error| corrupt(&full.path(), &error.to_string()))?;
        let leaves = self.full(seen, Level::LEAVES, tile.index())?;
        let leaves = leaves.as_chunks::<HASH_BYTES>().0.iter();
        if !texts.iter().map(|text| text.leaf_hash().0).eq(leaves.copied()) {
            return Err(corrupt(&full.path(), "its records are not what their leaves hash"));
        }
        if tile.is_full() {
            return Ok(bytes.into());
        }
        let width = usize::try_from(tile.width()).unwrap_or(usize::MAX);
        Ok(write_data_tile(texts.get(..width).unwrap_or(&texts)).into())
    }

    /// The records of the open data tile are rows.
    fn open_data(&self, seen: &Published, tile: &Tile) -> Result<Bytes, Error> {
        let first = tile.index().checked_mul(u64::from(FULL_WIDTH)).and_then(RecordId::new);
        let first = first.ok_or_else(|| corrupt(&tile.path(), "its number is beyond any tree"))?;
        let rows = self.store.records(first, tile.width())?;
        let mut texts = Vec::with_capacity(rows.len());
        for row in &rows {
            let text = row.record.to_text().map_err(|error| corrupt("record", &error.to_string()))?;
            self.check_leaf(seen, row.id, &text)?;
            texts.push(text);
        }
        if u32::try_from(texts.len()) == Ok(tile.width()) {
            Ok(write_data_tile(&texts).into())
        } else {
            Err(corrupt(&tile.path(), "records are missing"))
        }
    }

    fn read(&self, tile: &Tile) -> Result<Vec<u8>, Error> {
        self.store.tile(tile)?.ok_or_else(|| corrupt(&tile.path(), "it is missing"))
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Tile, Bytes>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a full hash tile: what the tile above it says.
pub(crate) fn tile_root(bytes: &[u8]) -> Option<Hash> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let mut row: Vec<Hash> = hashes.iter().copied().map(Hash).collect();
    if !rest.is_empty() || u32::try_from(row.len()) != Ok(FULL_WIDTH) {
        return None;
    }
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(*left, *right)).collect();
    }
    row.first().copied()
}

/// The open tile of a level.
fn edge(seen: &Published, level: Level) -> &Bytes {
    static NOTHING: Bytes = Bytes::new();
    seen.edge.get(usize::from(level.get())).unwrap_or(&NOTHING)
}

fn cut_hashes(bytes: &Bytes, width: u32) -> Bytes {
    let end = usize::try_from(width).unwrap_or(usize::MAX).saturating_mul(HASH_BYTES);
    bytes.slice(..end.min(bytes.len()))
}

fn corrupt(name: &str, reason: &str) -> Error {
    Error::Corrupt { name: format!("log: {name}"), reason: reason.to_owned() }
}

/// The published tree's nodes. A node that cannot be read is remembered: the proof then has no hash for it.
pub(crate) struct Nodes<'a> {
    reader: &'a Reader,
    seen: &'a Published,
    failed: RefCell<Option<Error>>,
}

impl Nodes<'_> {
    /// Why the proof could not be made.
    pub(crate) fn into_error(self) -> Option<Error> {
        self.failed.into_inner()
    }

    fn try_node(&self, node: Node) -> Result<Option<Hash>, Error> {
        let Some(tile) = node.least_tile() else { return Ok(None) };
        let Some(bytes) = self.reader.tile(self.seen, &tile)? else { return Ok(None) };
        // The narrowest tile ends with the node's own hashes.
        let len = HASH_BYTES << (node.level() % HEIGHT);
        let Some(start) = bytes.len().checked_sub(len) else { return Ok(None) };
        let mut row: Vec<Hash> =
            bytes.get(start..).unwrap_or_default().as_chunks().0.iter().copied().map(Hash).collect();
        while row.len() > 1 {
            row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(*left, *right)).collect();
        }
        Ok(row.first().copied())
    }
}

impl NodeSource for Nodes<'_> {
    fn node(&self, node: Node) -> Option<Hash> {
        self.try_node(node).unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            None
        })
    }
}
