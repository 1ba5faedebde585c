//! Forward from an old copy, along tiles, to the largest head that anybody has seen (C4): `log recover`.
//!
//! An old copy of the database is not lost as long as the tiles are newer: they hold every record. What they lead to is
//! compared with the signed head first, and only then is anything written. Where they do not reproduce its root exactly,
//! nothing is changed and nothing will be signed.

use std::fmt;
use std::sync::Arc;

use modkeep_store::{Clock, HeadCommit, LogStore, LogWriter, NewRecord, RecordSource, Sequenced};
use modkeep_tlog::record::{GoSumRecord, read_data_tile, write_data_tile};
use modkeep_tlog::tile::FULL_WIDTH;
use modkeep_tlog::{RecordId, RecordText, Tail, Tile, TreeHead, TreeSize, recompute};

use crate::check::{self, Standing, damaged, texts};
use crate::config::{Config, KnownHead};
use crate::error::OpenError;
use crate::head::edge_of;
use crate::keys::Signer;
use crate::queue::BATCH_MAX;
use crate::sign::Signers;

/// Full data tiles in one transaction.
const TILES_AT_ONCE: usize = BATCH_MAX / 256;

/// What a recovery works with.
pub struct Recovery<'a> {
    /// The old copy, and the tiles that are newer.
    pub store: LogStore,
    /// The log's keys.
    pub signers: Vec<Arc<dyn Signer>>,
    /// As for [`Log::open`](crate::Log::open): `head_copy` and `known_heads` say what is to be reached.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Signed heads and checkpoints from elsewhere: a client's `latest`, a replica's, a witness's go.sum note. One that is
    /// not of our tree stops everything: [`OpenError::Forked`].
    pub heads: Vec<GivenHead>,
    /// Data tiles from elsewhere, where ours are missing: a replica, a mirror. The last one is partial and never a file
    /// of ours, so a head whose size is no multiple of 256 needs this or the newest rows.
    pub tiles: &'a dyn Fn(&Tile) -> Option<Vec<u8>>,
}

impl fmt::Debug for Recovery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery")
            .field("store", &self.store)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A head that the operator gave.
#[derive(Clone, Debug)]
pub struct GivenHead {
    /// The file that it came from. For messages.
    pub file: String,
    /// The signed note.
    pub note: Vec<u8>,
}

/// How far a recovery came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// The size of the newest head before.
    pub from: TreeSize,
    /// The size of the newest head now: the largest that anybody has seen.
    pub to: TreeSize,
}

/// Rebuilds forward to the largest known head. Blocking, for as long as the records are many.
///
/// Stopped in the middle, it is run again. Records whose rows are here keep their source and their proof. Those that come back
/// from tiles are said to be of our own, for what vouched for them is not in the tiles; who may see a module, and who
/// decides about it, is never asked of that.
pub fn recover(recovery: Recovery<'_>) -> Result<Recovered, OpenError> {
    let signers = Signers::new(recovery.signers.clone())?;
    given(&recovery, &signers)?; // a wrong file is told before anything is touched
    let (mut writer, standing) = begin(&recovery, &signers)?;
    let known = known(&recovery, &signers)?;
    check::agree(&recovery.store, standing.head.as_ref(), &known)?;
    let old = standing.tail.head();
    let from = old.size;
    let target = target(&known, from)?;
    let damaged_seen = damaged_seen(&recovery, &signers, target.map_or(from, |target| target.size))?;
    let Some(target) = target else {
        settle(&recovery, &signers, from)?;
        damaged_seen.map_or(Ok(()), |known| recovery.store.keep_seen(known))?;
        return Ok(Recovered { from, to: from });
    };

    let mut source =
        Source { recovery: &recovery, sequenced: standing.sequenced, target: target.size, known: &known };
    follow(&mut source, &standing, target, |batch, now| agree_with_rows(&recovery.store, &batch, now))?;
    // The tiles lead to the root that was signed. Only now is anything written.
    let mut tail = None;
    follow(&mut source, &standing, target, |batch, now| {
        write(&mut writer, &recovery, batch)?;
        tail = Some(now.clone());
        Ok(())
    })?;
    let tail = tail.unwrap_or(standing.tail);
    commit(&mut writer, &recovery, &signers, old, &tail)?;
    recovery.store.settle_restored()?;
    damaged_seen.map_or(Ok(()), |known| recovery.store.keep_seen(known))?;
    Ok(Recovered { from, to: target.size })
}

/// The note that takes the place of a larger head that was brought and is damaged: the operator's, and only if it is the
/// largest that is known. None where nothing is damaged.
fn damaged_seen<'a>(
    recovery: &'a Recovery<'_>,
    signers: &Signers,
    largest: TreeSize,
) -> Result<Option<&'a [u8]>, OpenError> {
    let Err(error) = check::check_seen(&recovery.store, signers.keys()) else { return Ok(None) };
    let (OpenError::Unreadable { .. }, given) = (&error, given(recovery, signers)?) else {
        return Err(error);
    };
    match given.iter().position(|it| it.size == largest).and_then(|place| recovery.heads.get(place)) {
        Some(head) => Ok(Some(&head.note)),
        None => Err(error),
    }
}

/// Takes the right to write and checks what is stored. Rows without a head that are not what was appended are dropped
/// first (R14): nobody was answered with one of them, and those that a public head covers come back from the tiles.
fn begin(recovery: &Recovery<'_>, signers: &Signers) -> Result<(LogWriter, Standing), OpenError> {
    let writer = recovery.store.writer()?;
    match check::check_stored(&recovery.store, signers.keys()) {
        Ok(standing) => Ok((writer, standing)),
        Err(OpenError::Changed { from, to }) => {
            let is_covered = target(&known(recovery, signers)?, from)?.is_some();
            tracing::warn!(%from, %to, "dropping records that have no head and are not what was appended");
            let writer = writer.forget_unbuilt(is_covered)?;
            Ok((writer, check::check_stored(&recovery.store, signers.keys())?))
        }
        Err(error) => Err(error),
    }
}

/// Nobody has seen more than is here, and nobody anything else. Of a log put back from a backup that has to be said by
/// somebody outside it (R27).
fn settle(recovery: &Recovery<'_>, signers: &Signers, ours: TreeSize) -> Result<(), OpenError> {
    let mut seen = check::outside_heads(signers.keys(), &recovery.config)?;
    seen.extend(given(recovery, signers)?);
    if seen.iter().any(|it| it.size == ours) {
        return Ok(recovery.store.settle_restored()?);
    }
    match recovery.store.restored()? {
        Some((backup_of, file)) => {
            Err(OpenError::Restored { backup_of, ours, file: file.display().to_string() })
        }
        None => Ok(()),
    }
}

/// Every head that can be seen from here, and those that the operator gave.
fn known(recovery: &Recovery<'_>, signers: &Signers) -> Result<Vec<KnownHead>, OpenError> {
    let mut known = check::public_heads(&recovery.store, signers.keys(), &recovery.config)?;
    known.extend(given(recovery, signers)?);
    Ok(known)
}

/// The largest signed head that is known, if it is ahead; an error when somebody has seen a larger one without it.
fn target(known: &[KnownHead], from: TreeSize) -> Result<Option<TreeHead>, OpenError> {
    let heads = known.iter().filter_map(|it| Some(TreeHead { size: it.size, root: it.root? }));
    let largest = heads.max_by_key(|head| head.size).filter(|head| head.size > from);
    let reached = largest.map_or(from, |head| head.size);
    match known.iter().filter(|it| it.size > reached).max_by_key(|it| it.size) {
        Some(ahead) => {
            Err(OpenError::Behind { seen_by: ahead.seen_by.clone(), seen: ahead.size, ours: reached })
        }
        None => Ok(largest),
    }
}

/// The heads that the operator gave.
fn given(recovery: &Recovery<'_>, signers: &Signers) -> Result<Vec<KnownHead>, OpenError> {
    let open = |GivenHead { file, note }: &GivenHead| {
        let TreeHead { size, root } = check::open_seen(note, signers.keys())
            .map_err(|detail| OpenError::NoHead { file: file.clone(), detail })?;
        let seen_by = format!("somebody, by the head in {file},");
        Ok(KnownHead { seen_by, size, root: Some(root) })
    };
    recovery.heads.iter().map(open).collect()
}

/// Where the records come from.
struct Source<'a> {
    recovery: &'a Recovery<'a>,
    sequenced: TreeSize,
    target: TreeSize,
    /// The heads that the records have to reproduce on their way.
    known: &'a [KnownHead],
}

impl Source<'_> {
    /// The records of a data tile, at the width that the target gives it.
    fn records(&mut self, tile: &Tile) -> Result<Vec<RecordText>, OpenError> {
        let first = tile.index() * u64::from(FULL_WIDTH);
        let end = first + u64::from(tile.width());
        let read = |bytes: &[u8], place, advice| {
            read_data_tile(bytes, tile.width()).map_err(|error| OpenError::BadTile {
                tile: tile.path(),
                place,
                detail: error.to_string(),
                advice,
            })
        };
        let stored = if tile.is_full() { self.recovery.store.tile(tile)? } else { None };
        if let Some(bytes) = stored {
            let advice = "move that file away, and name a tree of this log that has it with `modkeep log recover --from DIR`";
            return read(&bytes, "of the data directory", advice);
        }
        if let Some(bytes) = (self.recovery.tiles)(tile) {
            return read(
                &bytes,
                "of the tree that was given",
                "name another tree of this log with `--from DIR`",
            );
        }
        let first = RecordId::new(first).filter(|_| end <= self.sequenced.get());
        let first = first.ok_or_else(|| OpenError::NoTile { tile: tile.path(), size: self.target })?;
        texts(&self.recovery.store, first, tile.width().into())
    }

    /// Nobody has seen another head of this size.
    fn agree(&self, tail: &Tail) -> Result<(), OpenError> {
        let mut of_size = self.known.iter().filter(|it| it.size == tail.size());
        match of_size.find(|it| it.root.is_some_and(|root| root != tail.root())) {
            Some(other) => Err(OpenError::Forked { seen_by: other.seen_by.clone(), size: other.size }),
            None => Ok(()),
        }
    }
}

/// A run of records with the full hash tiles that they complete.
struct Batch {
    texts: Vec<RecordText>,
    tiles: Vec<(Tile, Vec<u8>)>,
}

/// Goes from the stored tail to the target and hands over what lies between; an error unless its root is reproduced.
fn follow(
    source: &mut Source<'_>,
    standing: &Standing,
    target: TreeHead,
    mut each: impl FnMut(Batch, &Tail) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut tail = standing.tail.clone();
    let mut batch = Batch { texts: Vec::new(), tiles: Vec::new() };
    let width = u64::from(FULL_WIDTH);
    for index in tail.size().get() / width..target.size.get().div_ceil(width) {
        let Some(tile) = Tile::data(index, 1).and_then(|tile| tile.in_tree(target.size)) else { continue };
        let texts = source.records(&tile)?;
        if tile.is_full() {
            batch.tiles.push((tile, write_data_tile(&texts)));
        }
        // The first tile begins before the stored tail ends: what is known of it stays, and the root will tell.
        let known = usize::try_from(tail.size().get() - index * width).unwrap_or_default();
        for text in texts.into_iter().skip(known) {
            let tiles = &mut batch.tiles;
            tail.append(text.leaf_hash(), |tile, bytes| tiles.push((tile, bytes.to_vec())));
            source.agree(&tail)?;
            batch.texts.push(text);
        }
        if batch.texts.len() >= TILES_AT_ONCE * 256 {
            each(std::mem::replace(&mut batch, Batch { texts: Vec::new(), tiles: Vec::new() }), &tail)?;
        }
    }
    each(batch, &tail)?;
    if tail.head() == target {
        Ok(())
    } else {
        Err(OpenError::Forked { seen_by: "the largest known head".to_owned(), size: target.size })
    }
}

/// No record that is here already, with a head or without one, is another than the tree has.
fn agree_with_rows(store: &LogStore, batch: &Batch, now: &Tail) -> Result<(), OpenError> {
    let first = now.size().get() - u64::try_from(batch.texts.len()).unwrap_or_default();
    for (id, text) in (first..).filter_map(RecordId::new).zip(&batch.texts) {
        let conflict = |detail| Err(OpenError::Conflict { id, detail });
        let record = GoSumRecord::parse(text).map_err(|error| damaged(&error.to_string()))?;
        let (module, version) = (&record.module, &record.version);
        if let Some(other) = store.find(module, version)?.filter(|other| *other != id) {
            return conflict(format!("it is of {module}@{version}, which has record {other} here"));
        }
        if store.record(id)?.is_some_and(|row| row.record != record) {
            return conflict(format!("it is of {module}@{version}, and the row here says something else"));
        }
    }
    Ok(())
}

/// Gives the records the ids that they had, and stores the tiles.
fn write(writer: &mut LogWriter, recovery: &Recovery<'_>, batch: Batch) -> Result<(), OpenError> {
    let record = |text: &RecordText| {
        let record = GoSumRecord::parse(text).map_err(|error| damaged(&error.to_string()))?;
        Ok(NewRecord { record, source: RecordSource::Own, provenance: None })
    };
    let records = batch.texts.iter().map(record).collect::<Result<Vec<_>, OpenError>>()?;
    let outcomes = writer.sequence(&records, recovery.clock.now())?;
    if let Some(other) = outcomes.iter().find(|it| matches!(it, Sequenced::Known { is_same: false, .. })) {
        return Err(damaged(&format!("the row of record {} is not what its tile says", other.id())));
    }
    let ids: Vec<u64> = outcomes.iter().map(|outcome| outcome.id().get()).collect();
    if ids.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
        return Err(damaged("the tiles hold one module version twice"));
    }
    Ok(writer.put_tiles(&batch.tiles)?)
}

/// Everything is read back and computed once more (R14), then the head is committed and published.
fn commit(
    writer: &mut LogWriter,
    recovery: &Recovery<'_>,
    signers: &Signers,
    from: TreeHead,
    tail: &Tail,
) -> Result<(), OpenError> {
    let mut trouble = None;
    let root = recompute::growth(from, tail.size(), |tile| {
        read_back(&recovery.store, tail, tile).unwrap_or_else(|error| {
            trouble = Some(error);
            None
        })
    });
    if let Some(error) = trouble {
        return Err(error);
    }
    if root != Ok(tail.root()) {
        return Err(damaged("what was written forward does not read back as it was"));
    }
    let head = signers.sign(tail.head(), recovery.clock.now())?;
    let (heads, edge) = ([head.to_stored()], edge_of(tail));
    writer.commit_heads(HeadCommit { built: from.size, heads: &heads, edge: &edge })?;
    let [stored] = heads;
    writer.publish(&stored)?;
    Ok(())
}

fn read_back(store: &LogStore, tail: &Tail, tile: &Tile) -> Result<Option<Vec<u8>>, OpenError> {
    if tile.is_full() {
        return Ok(store.tile(tile)?);
    }
    if tile.is_data() {
        let first = RecordId::new(tile.index() * u64::from(FULL_WIDTH));
        let rows = first.map(|first| texts(store, first, tile.width().into())).transpose()?;
        return Ok(rows.map(|rows| write_data_tile(&rows)));
    }
    Ok(tail.partial_tiles().find(|(it, _)| it == tile).map(|(_, bytes)| bytes.to_vec()))
}
