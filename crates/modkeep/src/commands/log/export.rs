//! `log export`: the log as a tree of files, in the paths of the go command, of C2SP tlog-tiles, or both (B1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modkeep_store::{LogState, LogStore, StoredHead};
use modkeep_tlog::record::{read_data_tile, write_bundle, write_data_tile};
use modkeep_tlog::tile::tiles_of;
use modkeep_tlog::{Level, RecordId, RecordText, Tile};
use serde_json::json;

use crate::cli::{Layout, LogExport};
use crate::commands::open_read_only;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// A running server may commit a head between two questions; it does not do so for ever.
const TRIES: u32 = 100;

pub(in crate::commands) fn run(
    export: &LogExport,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let log = open_read_only(effective)?.log()?;
    let Some((state, head)) = standing(&log)? else {
        return Err(Failed::new(Exit::NotFound, "the log has no head yet: there is nothing to export"));
    };
    let tree = Tree { root: export.out.clone(), layout: export.layout, log, state };
    let mut written = 0_u64;
    for tile in tiles_of(head.size) {
        written += tree.take(&tile)?;
        if tile.level() == Some(Level::LEAVES)
            && let Some(data) = Tile::data(tile.index(), tile.width())
        {
            written += tree.take(&data)?;
        }
        output.progress(|| format!("{written} files, at {}", tile.path()));
    }
    // The heads last, so that neither promises what is not there yet.
    if export.layout != Layout::C2sp {
        tree.put("latest", &head.note)?;
    }
    if export.layout != Layout::Go {
        tree.put("checkpoint", &head.checkpoint)?;
    }
    output.summary(
        || format!("{} records in {}; {written} files written", head.size, export.out.display()),
        json!({ "size": head.size.get(), "root": head.root.to_string(), "files": written }),
    );
    Ok(Exit::Done)
}

/// The newest head with the edge of its very tree.
fn standing(log: &LogStore) -> Result<Option<(LogState, StoredHead)>, Failed> {
    for _ in 0..TRIES {
        let (state, head) = (log.state()?, log.newest_head()?);
        match head {
            None => return Ok(None),
            Some(head) if head.size == state.built => return Ok(Some((state, head))),
            Some(_) => {}
        }
    }
    Err(Failed::new(Exit::Store, "the newest head is not of the size that was built: see log fsck"))
}

struct Tree {
    root: PathBuf,
    layout: Layout,
    log: LogStore,
    state: LogState,
}

impl Tree {
    /// Writes a tile under the names of the layout; full ones that are there already are left. How many files.
    fn take(&self, tile: &Tile) -> Result<u64, Failed> {
        let mut names = Vec::new();
        if self.layout != Layout::C2sp {
            names.push((tile.path(), false));
        }
        if self.layout != Layout::Go {
            names.extend(tile.alias_path().map(|alias| (alias, tile.is_data())));
        }
        names.retain(|(name, _)| !(tile.is_full() && self.root.join(name).exists()));
        if names.is_empty() {
            return Ok(0);
        }
        let bytes = self.bytes(tile)?;
        for (name, is_bundle) in &names {
            if *is_bundle {
                let texts = read_data_tile(&bytes, tile.width()).map_err(|error| damaged(tile, &error))?;
                self.put(name, &write_bundle(&texts))?;
            } else {
                self.put(name, &bytes)?;
            }
        }
        Ok(names.len() as u64)
    }

    /// A full tile is a file of the store; what is open lies in its rows.
    fn bytes(&self, tile: &Tile) -> Result<Vec<u8>, Failed> {
        if tile.is_full() {
            return self.log.tile(tile)?.ok_or_else(|| damaged(tile, &"it is missing"));
        }
        if let Some(level) = tile.level() {
            let row = self.state.edge.get(usize::from(level.get())).map(Vec::as_slice).unwrap_or_default();
            let bytes = row.get(..tile.byte_len().unwrap_or_default());
            return bytes.map(<[u8]>::to_vec).ok_or_else(|| damaged(tile, &"the stored edge is too short"));
        }
        let first = RecordId::new(tile.index() * 256).ok_or_else(|| damaged(tile, &"no such record"))?;
        let rows = self.log.records(first, tile.width())?;
        let texts: Result<Vec<RecordText>, _> = rows.iter().map(|row| row.record.to_text()).collect();
        let texts = texts.map_err(|error| damaged(tile, &error))?;
        if texts.len() != tile.width() as usize {
            return Err(damaged(tile, &"a row is missing"));
        }
        Ok(write_data_tile(&texts))
    }

    /// Fills a temporary name and renames it.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failed> {
        let target = self.root.join(name);
        write(&target, bytes)
            .map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", target.display())))
    }
}

fn damaged(tile: &Tile, why: &dyn std::fmt::Display) -> Failed {
    Failed::new(Exit::Integrity, format!("{}: {why}; see log fsck", tile.path()))
}

fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".tmp");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, target)
}
