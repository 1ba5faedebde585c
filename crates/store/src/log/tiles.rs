//! Full tiles as files in the protocol's own layout, `log/tile/8/…`, written once (D12).

use std::collections::VecDeque;
use std::io::Read;

use modkeep_tlog::tile::new_tiles;
use modkeep_tlog::{Tile, TreeSize};

use crate::blobs::{BlobEntry, Blobs, Placement};
use crate::disk::EntryKind;
use crate::error::Error;
use crate::log::FOLDER;
use crate::name::BlobName;

/// No full tile is longer: 256 records of 65,535 bytes, and the blank lines between them.
const TILE_BYTES_MAX: u64 = 256 * 65_536;

fn name_of(tile: &Tile) -> Result<BlobName, Error> {
    BlobName::parse(&format!("{FOLDER}/{}", tile.path()))
}

pub(super) fn read(blobs: &dyn Blobs, tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
    let name = name_of(tile)?;
    if !tile.is_full() {
        return Ok(None);
    }
    let Some(file) = blobs.open(&name)? else { return Ok(None) };
    // Room for all of it and a byte more, with which reading ends at once.
    let length = file.metadata().map_or(0, |found| found.len()).min(TILE_BYTES_MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(TILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Ledger { doing: "read a tile", detail: format!("{name}: {error}") })?;
    Ok(Some(bytes))
}

/// Puts tiles at their names, durably. Each directory is synced once.
pub(super) fn put(blobs: &dyn Blobs, tiles: &[(Tile, Vec<u8>)]) -> Result<(), Error> {
    let mut placements = Vec::with_capacity(tiles.len());
    for (tile, bytes) in tiles {
        let name = name_of(tile)?;
        if !tile.is_full() {
            return Err(Error::LogConflict { what: format!("{name} is no full tile") });
        }
        // Equal bytes are put again all the same: whether those that are there ever reached the disk is unknown (R10).
        if read(blobs, tile)?.is_some_and(|stored| stored != *bytes) {
            return Err(Error::LogConflict { what: format!("{name} is stored with other bytes") });
        }
        let mut scratch = blobs.log_scratch()?;
        scratch.write(bytes)?;
        placements.push(Placement { name, scratch });
    }
    blobs.place(placements).into_iter().collect()
}

/// Moves the full tiles that a tree of `after` records has and one of `before` has not into the quarantine.
pub(super) fn put_aside(blobs: &dyn Blobs, before: u64, after: u64) -> Result<(), Error> {
    let size = |records| TreeSize::new(records).unwrap_or(TreeSize::EMPTY);
    let data = (before / 256..after / 256).filter_map(|number| Tile::data(number, 256));
    for tile in data.chain(new_tiles(size(before), size(after)).filter(Tile::is_full)) {
        if read(blobs, &tile)?.is_some() {
            blobs.put_aside(&name_of(&tile)?)?;
        }
    }
    Ok(())
}

/// What lies below `log/tile`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TileFile {
    /// A full tile, and the length of its file is not known to be right.
    Tile(Tile),
    /// Anything else, by its path below the data directory.
    Stray(String),
}

/// Meets every file below `log/tile`, folder by folder, each in the order of names.
pub(super) fn walk(
    blobs: &dyn Blobs,
    meet: &mut dyn FnMut(TileFile) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut folders = VecDeque::from([format!("{FOLDER}/tile")]);
    while let Some(folder) = folders.pop_front() {
        for BlobEntry { path, kind } in blobs.list(&folder)? {
            if kind == EntryKind::Directory {
                folders.push_back(path);
                continue;
            }
            let tile = path.strip_prefix("log/").and_then(|path| Tile::parse(path).ok());
            let tile = tile.filter(|tile| kind == EntryKind::File && tile.is_full() && tile.height() == 8);
            meet(tile.map_or(TileFile::Stray(path), TileFile::Tile))?;
        }
    }
    Ok(())
}
