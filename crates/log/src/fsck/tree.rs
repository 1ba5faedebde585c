//! The rows of hashes above the leaves, as the leaves make them.

use modkeep_store::{Error, LogState, LogStore};
use modkeep_tlog::{Hash, Level, Tile};

use crate::audit::tree::{HASH, WIDTH, fold, fold_edge};
use crate::fsck::{Report, broken};

/// The open tile of each row from the second on, and how many are full.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Row>);

#[derive(Debug, Default)]
struct Row {
    open: Vec<u8>,
    full: u64,
}

impl Rows {
    /// Adds the hash of a full tile of leaf hashes; compares every tile that this fills with the stored one.
    pub(crate) fn push(&mut self, store: &LogStore, root: Hash, report: &mut Report) -> Result<(), Error> {
        let mut hash = root;
        for number in 0.. {
            if self.0.len() == number {
                self.0.push(Row::default());
            }
            let Some(row) = self.0.get_mut(number) else { return Ok(()) };
            row.open.extend_from_slice(&hash.0);
            if row.open.len() < usize::try_from(WIDTH).unwrap_or(256) * HASH {
                return Ok(());
            }
            let (bytes, index) = (std::mem::take(&mut row.open), row.full);
            row.full += 1;
            let level = u8::try_from(number + 1).ok().and_then(Level::new);
            if let Some(tile) = level.and_then(|level| Tile::hashes(level, index, 256)) {
                compare(store, &tile, &bytes, report)?;
            }
            let Some(above) = fold(&bytes) else { return Ok(()) };
            hash = above;
        }
        Ok(())
    }

    /// The root of the tree of what was pushed, and these leaf hashes behind it.
    pub(crate) fn root(&self, leaves: &[u8]) -> Hash {
        let open = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        let rows: Vec<Option<Vec<u8>>> =
            std::iter::once(open(leaves)).chain(self.0.iter().map(|row| open(&row.open))).collect();
        fold_edge(&rows)
    }

    /// The edge that the store remembers.
    pub(crate) fn compare_edge(&self, state: &LogState, leaves: &[u8], report: &mut Report) {
        let width = usize::try_from(state.built.get() % WIDTH).unwrap_or_default();
        let leaves = leaves.get(..width * HASH).unwrap_or(leaves);
        let ours = std::iter::once(leaves).chain(self.0.iter().map(|row| row.open.as_slice()));
        let stored = state.edge.iter().map(Vec::as_slice);
        let rows = state.edge.len().max(self.0.len() + 1);
        let padded = |bytes: &mut dyn Iterator<Item = &[u8]>| -> Vec<Vec<u8>> {
            let mut rows_of: Vec<Vec<u8>> = bytes.map(<[u8]>::to_vec).collect();
            rows_of.resize(rows, Vec::new());
            rows_of
        };
        let (mut ours, mut stored) = (ours, stored);
        for (row, (ours, stored)) in padded(&mut ours).iter().zip(padded(&mut stored)).enumerate() {
            if *ours != stored {
                let text = format!("the stored edge of row {row} is not what the tree has there");
                report.add(broken("C2", "log/log.sqlite: log_state", text));
            }
        }
    }
}

/// A full tile of hashes against what it has to be.
fn compare(store: &LogStore, tile: &Tile, ours: &[u8], report: &mut Report) -> Result<(), Error> {
    let place = format!("log/{}", tile.path());
    report.checked.tiles += 1;
    match store.tile(tile)? {
        None => report.add(broken("A4", place, "is missing")),
        Some(stored) if stored != ours => {
            report.add(broken("A4", place, "is not what the tiles below it hash to"));
        }
        Some(_) => {}
    }
    Ok(())
}
