//! Two copies of every record: tiles are written anew from rows, and a whole log from an exported tree (C2).
//!
//! Nothing is written that does not lead to a root that was signed before.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use modkeep_store::{HeadCommit, LogStore, LogWriter, NewRecord, RecordSource, Sequenced, StoredHead};
use modkeep_tlog::record::{read_data_tile, write_data_tile};
use modkeep_tlog::{
    GoSumRecord, RecordId, RecordText, SignedCheckpoint, SignedHead, Tail, Tile, TreeHead, TreeSize,
    VerifierKey,
};

use crate::audit::{self, Directory, Options, Parts, Source as _};
use crate::head::edge_of;

/// Rows that are read or sequenced at a time.
const AT_ONCE: u64 = 4_096;
/// Records in a full tile.
const WIDTH: u64 = 256;
const NOTE_MAX: u64 = 1 << 20;

/// Why a log was not rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] modkeep_store::Error),
    /// The tree cannot be read.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// What it would be rebuilt from is not whole itself.
    #[error("{0}")]
    Unfit(String),
}

/// What was done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rebuilt {
    /// Records that were gone through.
    pub records: u64,
    /// Tiles that were written.
    pub written: u64,
    /// Tiles that are there with other bytes, by path below `log/`: move them away and rebuild once more.
    pub damaged: Vec<String>,
    /// Whether the hashes of the open tiles (the edge) were not those of the rows, and are now.
    pub edge: bool,
    /// Whether the index of names did not say what the rows do, and does now.
    pub keys: bool,
}

fn unfit(why: impl Into<String>) -> RebuildError {
    RebuildError::Unfit(why.into())
}

/// Writes every full tile that is missing, and the edge and the index of names where they are others, from the rows: after it
/// was shown that these are the rows of the newest head. In the end `writer` may be a new one.
pub fn tiles(store: &LogStore, writer: &mut LogWriter) -> Result<Rebuilt, RebuildError> {
    let state = store.state()?;
    let built = state.built;
    let tail = each_row(store, built, |_, _| Ok(()))?;
    let newest = store.newest_head()?;
    if newest.as_ref().map_or(built != TreeSize::EMPTY, |head| tail.head() != tree_of(head)) {
        return Err(unfit(
            "the rows do not lead to the newest head, so nothing can be made from them; see log fsck",
        ));
    }
    let mut rebuilt = Rebuilt { records: built.get(), ..Rebuilt::default() };
    each_row(store, built, |tile, bytes| {
        match store.tile(tile)? {
            Some(there) if there == bytes => {}
            Some(_) => rebuilt.damaged.push(tile.path()),
            None => {
                writer.put_tiles(&[(*tile, bytes.to_vec())])?;
                rebuilt.written += 1;
            }
        }
        Ok(())
    })?;
    let edge = edge_of(&tail);
    if let Some(head) = newest.filter(|_| edge != state.edge) {
        // The head stays as it was signed; what lies beside it is what it was signed over.
        writer.commit_heads(HeadCommit { built, heads: &[head], edge: &edge })?;
        rebuilt.edge = true;
    }
    if !store.check_keys(1)?.is_empty() {
        writer.doubt_keys("it does not say what the rows do");
        *writer = store.writer()?;
        rebuilt.keys = true;
    }
    Ok(rebuilt)
}

fn tree_of(head: &StoredHead) -> TreeHead {
    TreeHead { size: head.size, root: head.root }
}

/// Goes through the rows before `end` and hands over every tile that they fill, data tiles included.
fn each_row(
    store: &LogStore,
    end: TreeSize,
    mut meet: impl FnMut(&Tile, &[u8]) -> Result<(), RebuildError>,
) -> Result<Tail, RebuildError> {
    let mut growing = Growing::default();
    let mut next = 0;
    while next < end.get() {
        let count = (end.get() - next).min(AT_ONCE);
        let from = RecordId::new(next).ok_or_else(|| unfit("too many records"))?;
        let rows = store.records(from, u32::try_from(count).unwrap_or(u32::MAX))?;
        if rows.is_empty() {
            return Err(unfit(format!("record {next} is missing")));
        }
        next += rows.len() as u64;
        for row in rows {
            let text = row.record.to_text().map_err(|error| unfit(format!("record {}: {error}", row.id)))?;
            growing.append(text)?;
        }
        growing.full.drain(..).try_for_each(|(tile, bytes)| meet(&tile, &bytes))?;
    }
    Ok(growing.tail)
}

/// A tree in the making, with the tiles that are full and not yet handed over.
struct Growing {
    tail: Tail,
    texts: Vec<RecordText>,
    full: Vec<(Tile, Vec<u8>)>,
}

impl Default for Growing {
    fn default() -> Self {
        Self { tail: Tail::empty(), texts: Vec::new(), full: Vec::new() }
    }
}

impl Growing {
    fn append(&mut self, text: RecordText) -> Result<(), RebuildError> {
        let full = &mut self.full;
        let appended = self.tail.append(text.leaf_hash(), |tile, bytes| full.push((tile, bytes.to_vec())));
        appended.ok_or_else(|| unfit("too many records"))?;
        self.texts.push(text);
        if self.texts.len() as u64 == WIDTH {
            let index = self.tail.size().get() / WIDTH - 1;
            let tile = Tile::data(index, 256).ok_or_else(|| unfit("too many records"))?;
            self.full.push((tile, write_data_tile(&self.texts)));
            self.texts.clear();
        }
        Ok(())
    }
}

/// Fills an empty log from an exported tree, after an audit of all of it: rows, tiles and the newest head.
///
/// What is not in such a tree is lost: older heads, when a record was logged, and the proofs of imported records. `memory`
/// is a folder for the audit's notes.
///
/// The tree may be an old one, so the log is marked as put back from a backup: it signs once somebody says that the tree's
/// head is the newest (R27; [`LogStore::settle_restored`]).
pub fn from_tree(
    store: &LogStore,
    writer: &mut LogWriter,
    tree: &Path,
    key: &VerifierKey,
    memory: &Path,
) -> Result<Rebuilt, RebuildError> {
    if store.state()?.sequenced != TreeSize::EMPTY {
        return Err(unfit("the log has records; a whole log is taken into an empty one alone"));
    }
    let source = Directory::new(tree);
    let parts = Parts { source: &source, key, held: None, options: Options::default() };
    let mut state = audit::State::open(memory, key.name()).map_err(audit::Error::State)?;
    let report = audit::run(&parts, &mut state, &mut |_| ControlFlow::Continue(()))?;
    if !report.is_honest() || !report.complete || !report.gaps.is_empty() {
        let first = report.findings.first().map_or_else(|| "it is not whole".to_owned(), ToString::to_string);
        return Err(unfit(format!("the tree does not stand an audit: {first}")));
    }
    let (note, head) = newest(&source, key)?;
    store.mark_restored(&format!("{} records, an exported tree", head.size()))?;
    let mut growing = Growing::default();
    let mut rebuilt = Rebuilt { records: head.size().get(), ..Rebuilt::default() };
    let mut batch = Vec::new();
    for index in 0..head.size().get().div_ceil(WIDTH) {
        for text in texts(&source, head.size(), index)? {
            let record = GoSumRecord::parse(&text).map_err(|error| unfit(error.to_string()))?;
            batch.push(NewRecord { record, source: RecordSource::Own, provenance: None });
            growing.append(text)?;
        }
        if batch.len() as u64 >= AT_ONCE {
            rebuilt.written += put(writer, &mut batch, &mut growing)?;
        }
    }
    rebuilt.written += put(writer, &mut batch, &mut growing)?;
    if growing.tail.root() != head.root() {
        return Err(unfit("the tree has changed since it was audited"));
    }
    commit(writer, &growing.tail, note)?;
    Ok(rebuilt)
}

/// The head and the checkpoint of the tree, of one size.
fn newest(source: &Directory, key: &VerifierKey) -> Result<(StoredHead, SignedHead), RebuildError> {
    let file = |name: &str| {
        let bytes = source.get(name, NOTE_MAX, false).map_err(audit::Error::Away)?;
        bytes.ok_or_else(|| unfit(format!("{name} is missing: export with both layouts")))
    };
    let (note, checkpoint) = (file("latest")?, file("checkpoint")?);
    let head = SignedHead::open(&note, key).map_err(|error| unfit(format!("latest: {error}")))?;
    let signed = SignedCheckpoint::open(&checkpoint, key.name(), std::slice::from_ref(key));
    let signed = signed.map_err(|error| unfit(format!("checkpoint: {error}")))?;
    if signed.head() != head.head() {
        return Err(unfit("latest and checkpoint are not of one tree"));
    }
    let stored = StoredHead {
        size: head.size(),
        root: head.root(),
        note,
        checkpoint: signed.without_cosignatures().to_text().into_bytes(),
        signed_at: SystemTime::now(),
    };
    Ok((stored, head))
}

fn texts(source: &Directory, size: TreeSize, index: u64) -> Result<Vec<RecordText>, RebuildError> {
    let missing = || unfit(format!("tile {index} of records is missing"));
    let tile = Tile::data(index, 1).and_then(|tile| tile.in_tree(size)).ok_or_else(missing)?;
    let (came, bytes) = audit::tile(source, &tile, false).map_err(audit::Error::Away)?.ok_or_else(missing)?;
    let mut texts = read_data_tile(&bytes, came.width()).map_err(|error| unfit(error.to_string()))?;
    texts.truncate(usize::try_from(tile.width()).unwrap_or(usize::MAX));
    Ok(texts)
}

/// Sequences a batch and writes the tiles that it fills; how many.
fn put(
    writer: &mut LogWriter,
    batch: &mut Vec<NewRecord>,
    growing: &mut Growing,
) -> Result<u64, RebuildError> {
    let outcomes = writer.sequence(batch, SystemTime::now())?;
    batch.clear();
    if let Some(known) = outcomes.iter().find(|outcome| !matches!(outcome, Sequenced::New(_))) {
        return Err(unfit(format!("a version comes twice: record {}", known.id())));
    }
    writer.put_tiles(&growing.full)?;
    let written = growing.full.len() as u64;
    growing.full.clear();
    Ok(written)
}

fn commit(writer: &mut LogWriter, tail: &Tail, head: StoredHead) -> Result<(), RebuildError> {
    let (heads, edge) = (std::slice::from_ref(&head), edge_of(tail));
    writer.commit_heads(HeadCommit { built: TreeSize::EMPTY, heads, edge: &edge })?;
    Ok(writer.publish(&head)?)
}
