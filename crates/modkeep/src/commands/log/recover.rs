//! `log recover`: an old copy of our log goes forward, along tiles, to the newest head that anybody has seen (C4, I17).

use std::path::Path;
use std::sync::Arc;

use modkeep_log::GivenHead;
use modkeep_log::audit::{Directory, Source as _};
use modkeep_store::{Store, SystemClock};
use modkeep_tlog::Tile;
use serde_json::json;

use crate::cli::LogRecover;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// A head is some hundred bytes, a data tile at most 256 records of 64 KiB.
const HEAD_BYTES_MAX: u64 = 1 << 20;
const TILE_BYTES_MAX: u64 = 256 << 16;

pub(in crate::commands) fn run(
    recover: &LogRecover,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let mut heads = recover.head.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let tree = recover.from.as_deref().map(Directory::new);
    if let Some((tree, path)) = tree.as_ref().zip(recover.from.as_deref()) {
        heads.push(latest(tree, path)?);
    }
    let tiles = |tile: &Tile| tree.as_ref()?.get(&tile.path(), TILE_BYTES_MAX, false).ok().flatten();
    let store = Store::open(crate::wiring::store_config(effective)?, Arc::new(SystemClock))?;
    let recovered = crate::wiring::recover_log(effective, store.log()?, heads, &tiles)?;
    let (from, to) = (recovered.from, recovered.to);
    output.summary(
        || {
            if from == to {
                format!("{to} records; no newer head is known: the log may be started")
            } else {
                format!(
                    "{from} records became {to}, under the newest head that is known: the log may be started"
                )
            }
        },
        json!({ "from": from.get(), "to": to.get() }),
    );
    Ok(Exit::Done)
}

/// The head of the tree. A folder without one is a mistake, not a tree that nobody has seen more of.
fn latest(tree: &Directory, path: &Path) -> Result<GivenHead, Failed> {
    let latest = tree.get("latest", HEAD_BYTES_MAX, false);
    let latest = latest.map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
    let note = latest.ok_or_else(|| {
        let path = path.display();
        let hint = "want a tree of this log in the go command's paths, as `modkeep log export` writes it";
        Failed::new(Exit::NotFound, format!("{path}: no file \"latest\" in it; {hint}"))
    })?;
    Ok(GivenHead { file: path.join("latest").display().to_string(), note })
}

fn read(path: &Path) -> Result<GivenHead, Failed> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(note) => Ok(GivenHead { file, note }),
        Err(error) => Err(Failed::new(Exit::Failed, format!("{file}: {error}"))),
    }
}
