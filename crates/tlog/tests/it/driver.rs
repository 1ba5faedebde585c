//! Drives the client's machines against a function that serves, and a log with the records of the vectors.

use std::sync::LazyLock;

use modkeep_tlog::{
    ClientError, Outcome, RecordText, SignerKey, Step, Tile, TreeBuilder, TreeSize,
    client::{Head, HeadOutcome, Lookup, TileCheck, TileOutcome},
    record::GoSumRecord,
};
use sha2::{Digest as _, Sha256};

/// The size of the large tree of `tree.json`.
pub(crate) const LARGE: u64 = 70_000;

/// A log of 70,000 records, the record set of `tree.json`: every smaller tree is one of its sizes.
pub(crate) static LOG: LazyLock<TreeBuilder> = LazyLock::new(|| {
    let mut log = TreeBuilder::new();
    for i in 0..LARGE {
        log.append(record(i));
    }
    log
});

/// The signer of the vectors: seed `SHA-256("test key: sumdb")`, as `notes.json` states it.
pub(crate) fn signer() -> SignerKey {
    let text = "PRIVATE+KEY+sumdb.example.org/test+9685e60b+ASuW3DmC+WsuDcfKaSE0a0JgcKQ2qxKL5gFfT/+Rmfyu";
    SignerKey::parse(text).unwrap()
}

pub(crate) fn record(i: u64) -> RecordText {
    let sum = |what: &str| Sha256::digest(format!("{what} {i}")).into();
    let (module, version) = name(i);
    GoSumRecord { module, version, zip_h1: sum("zip"), go_mod_h1: sum("mod") }.to_text().unwrap()
}

pub(crate) fn name(i: u64) -> (String, String) {
    (format!("example.com/m{i}"), format!("v1.{i}.0"))
}

pub(crate) fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

/// What the honest log of `LOG` answers with heads of this size. (Without the search of `TreeBuilder::serve`.)
pub(crate) fn honest(path: &str, tree: TreeSize) -> Option<Vec<u8>> {
    if let Some(number) = path.strip_prefix("lookup/example.com/m") {
        let id = modkeep_tlog::RecordId::parse(number.split('@').next()?)?;
        return LOG.lookup(id, tree, &signer());
    }
    LOG.serve(path, tree, &signer())
}

/// Runs a lookup to its end. `serve` gets each path and whether caches are to be bypassed; `None` is a 404.
pub(crate) fn look_up(
    lookup: &mut Lookup,
    mut serve: impl FnMut(&str, bool) -> Option<Vec<u8>>,
) -> Result<Outcome, ClientError> {
    loop {
        match lookup.step() {
            Step::NeedLookup { path, bypass_cache } => {
                lookup.supply_lookup(&serve(&path, bypass_cache).unwrap_or_default());
            }
            Step::NeedTiles { tiles, bypass_cache } => {
                for tile in tiles {
                    lookup.supply_tile(&tile, serve(&tile.path(), bypass_cache).as_deref());
                }
            }
            Step::Done(outcome) => return Ok(*outcome),
            Step::Failed(error) => return Err(error),
        }
    }
}

/// Runs a check of a head to its end.
pub(crate) fn check_head(
    head: &mut Head,
    mut serve: impl FnMut(&str, bool) -> Option<Vec<u8>>,
) -> Result<HeadOutcome, ClientError> {
    loop {
        match head.step() {
            Step::NeedLookup { .. } => panic!("a head needs no lookup"),
            Step::NeedTiles { tiles, bypass_cache } => {
                for tile in tiles {
                    head.supply_tile(&tile, serve(&tile.path(), bypass_cache).as_deref());
                }
            }
            Step::Done(outcome) => return Ok(*outcome),
            Step::Failed(error) => return Err(error),
        }
    }
}

/// Runs a check of a tile to its end.
pub(crate) fn check_tile(
    check: &mut TileCheck,
    mut serve: impl FnMut(&Tile, bool) -> Option<Vec<u8>>,
) -> Result<TileOutcome, ClientError> {
    loop {
        match check.step() {
            Step::NeedLookup { .. } => panic!("a tile needs no lookup"),
            Step::NeedTiles { tiles, bypass_cache } => {
                for tile in tiles {
                    check.supply_tile(&tile, serve(&tile, bypass_cache).as_deref());
                }
            }
            Step::Done(outcome) => return Ok(*outcome),
            Step::Failed(error) => return Err(error),
        }
    }
}
