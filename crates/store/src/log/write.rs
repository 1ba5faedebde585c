//! The writing side: transaction A, tiles, transaction B, publication (C3).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::SystemTime;

use modkeep_tlog::{RecordId, Tile, TreeSize};
use rusqlite::Connection;

use crate::clock::to_micros;
use crate::engine::{Lost, damaged, failed};
use crate::error::Error;
use crate::log::keys::{Digest, DigestHasher, KEYS, Marker};
use crate::log::read::{Inner, PAGE};
use crate::log::rows::{Growth, Sources};
use crate::log::{
    CHECKPOINT, DATABASE, FOLDER, HeadCommit, LATEST, LeafChain, LogStore, NewRecord, Sequenced, StoredHead,
    open, rows, tiles,
};

/// What is to be free beyond the reserve for a record that is sequenced, in bytes: its row twice (WAL and database), its
/// tiles, its part of the key index and of the tables' own pages.
const RECORD_ROOM: u64 = 2048;

/// How many records below the mark are looked up at the start. An index that was put back from an older copy than the
/// database lacks the records before the database's mark, so it lacks these.
const VERIFIED: u64 = 1024;

/// The one writer of the log. Its calls block the caller's thread and use a connection of its own.
///
/// After any error but [`Error::DiskFull`] of [`sequence`](Self::sequence) it is to be dropped and taken again, and the
/// work to go on from what is stored (R10).
#[derive(Debug)]
pub struct LogWriter {
    // Fields are dropped in this order: the connection before the store's lock is let go.
    connection: Connection,
    marker: Marker,
    store: LogStore,
    epoch: u64,
    sequenced: u64,
    built: u64,
    /// Over what was sequenced and is not built, at least; `None` where that is unknown.
    chain: Option<LeafChain>,
    /// The mark of the key index that the database has.
    noted: u64,
    edge: Vec<Vec<u8>>,
    /// Sizes of heads that will be forgotten, smallest first.
    unaligned: VecDeque<u64>,
    sources: Sources,
    /// Why it does nothing more.
    broken: Option<Error>,
}

/// What is to become of one record of a batch.
enum Plan {
    Known { id: u64, is_same: bool },
    New { digest: Digest },
}

/// A module version of a batch. The texts tell two apart; the digest, being salted, tells most of them apart at once.
#[derive(Eq, PartialEq)]
struct Name<'a> {
    digest: Digest,
    module: &'a str,
    version: &'a str,
}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl LogWriter {
    pub(super) fn take(store: LogStore) -> Result<Self, Error> {
        let inner = &store.0;
        inner.room().writable()?;
        let connection = open::connect(&inner.room().root().join(FOLDER).join(DATABASE))?;
        let epoch = transaction(inner, &connection, rows::take_epoch)?;
        if mutant!(inner.tuning, ReuseId) {
            transaction(inner, &connection, |connection| rows::forget_unbuilt(connection, epoch))?;
        }
        let state = rows::state(&connection)?;
        let mark = file_the_rest(inner, &connection, epoch, state.sequenced.get())?;
        let marker = Marker::start(inner.keys.clone(), mark, inner.tuning.mark_in_line)?;
        let unaligned = rows::unaligned(&connection)?.into();
        let chain = rows::chain(&connection)?.map(|(chain, _)| chain);
        Ok(Self {
            connection,
            marker,
            epoch,
            sequenced: state.sequenced.get(),
            built: state.built.get(),
            chain,
            noted: mark,
            edge: state.edge,
            unaligned,
            sources: Sources::default(),
            broken: None,
            store,
        })
    }

    /// Keeps the keys that sign from now on, in their verifier form: heads that are kept bear lines of all that ever did.
    /// A transaction when one of them is new.
    pub fn remember_keys(&mut self, vkeys: &[String]) -> Result<(), Error> {
        self.usable()?;
        let known = rows::remembered_keys(&self.connection)?;
        if vkeys.iter().all(|vkey| known.contains(vkey)) {
            return Ok(());
        }
        let epoch = self.epoch;
        let outcome = transaction(&self.store.0, &self.connection, |connection| {
            check_epoch(connection, epoch)?;
            vkeys.iter().try_for_each(|vkey| rows::remember_key(connection, vkey))
        });
        self.kept(outcome)
    }

    /// Its number: how many writers were taken before it, itself included.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Transaction A: gives each record that is new the next id. On stable storage when it returns; the outcomes come in the
    /// order of the batch. Of equal module versions in one batch the first wins (A1 rule 1).
    ///
    /// [`Error::DiskFull`] when less than the configured reserve is free: nothing was written, and it may be tried again.
    /// [`Error::LogConflict`] for what cannot be a record.
    pub fn sequence(&mut self, batch: &[NewRecord], now: SystemTime) -> Result<Vec<Sequenced>, Error> {
        let leaf = |new: &NewRecord| match new.record.to_text() {
            Ok(text) => Ok(text.leaf_hash()),
            Err(error) => Err(Error::LogConflict { what: error.to_string() }),
        };
        let leaves = batch.iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
        self.sequence_hashed(batch, &leaves, now)
    }

    /// The same with the leaf hash of each record, taken from another copy of it: kept in transaction A, it tells after a
    /// restart whether the rows are what was given (R14; [`LogStore::leaf_chain`]).
    pub fn sequence_hashed(
        &mut self,
        batch: &[NewRecord],
        leaves: &[modkeep_tlog::Hash],
        now: SystemTime,
    ) -> Result<Vec<Sequenced>, Error> {
        self.heed_damage()?;
        if batch.len() != leaves.len() {
            return Err(Error::LogConflict { what: "not one leaf hash for each record".to_owned() });
        }
        let plans = self.plan(batch).map_err(|error| self.distrust(error))?;
        let fresh = plans.iter().filter(|plan| matches!(plan, Plan::New { .. })).count() as u64;
        let first = self.sequenced;
        if fresh > 0 {
            self.store.0.room().admit(fresh * RECORD_ROOM)?;
            self.make_room(first + fresh)?;
            let (mark, chain) = (self.marker.mark(), self.chain_with(leaves, &plans)?);
            self.append(batch, &plans, Growth { old: first, new: first + fresh, mark, chain }, now)?;
            self.file(&plans, first).map_err(|error| self.distrust(error))?;
        }
        let mut next = first;
        let outcomes = plans.iter().map(|plan| match plan {
            Plan::Known { id, is_same } => id_of(*id).map(|id| Sequenced::Known { id, is_same: *is_same }),
            Plan::New { .. } => {
                next += 1;
                id_of(next - 1).map(Sequenced::New)
            }
        });
        outcomes.collect()
    }

    /// [`Error::Corrupt`] when a search has met damage in the key index, whoever made it: this writer is done then, and the
    /// next one makes the index again.
    pub fn heed_damage(&mut self) -> Result<(), Error> {
        self.usable()?;
        if self.store.0.keys.is_damaged() { Err(self.doubt_keys("a search met damage")) } else { Ok(()) }
    }

    /// Has the next writer make the key index again, since it is not what the rows say; this one is done. The error that
    /// says so.
    pub fn doubt_keys(&mut self, reason: &str) -> Error {
        self.distrust(Error::Corrupt { name: format!("{FOLDER}/{KEYS}"), reason: reason.to_owned() })
    }

    /// Makes room in the key index before anything has an id. A full disk leaves it as it was.
    fn make_room(&mut self, records: u64) -> Result<(), Error> {
        self.store.0.keys.fit(records).map_err(|error| match error {
            full @ Error::DiskFull { .. } => full,
            other => self.distrust(other),
        })
    }

    /// Looks every record of a batch up, in the log and among those before it.
    fn plan(&self, batch: &[NewRecord]) -> Result<Vec<Plan>, Error> {
        let inner = &self.store.0;
        let hasher = BuildHasherDefault::<DigestHasher>::default();
        let mut earlier = HashMap::with_capacity_and_hasher(batch.len(), hasher);
        let mut next = self.sequenced;
        let mut plans = Vec::with_capacity(batch.len());
        for NewRecord { record, .. } in batch {
            let (module, version) = (record.module.as_str(), record.version.as_str());
            let digest = inner.keys.digest(module, version);
            let name = Name { digest, module, version };
            if let Some((id, other)) = earlier.get(&name) {
                plans.push(Plan::Known { id: *id, is_same: *other == record });
                continue;
            }
            let mut known = None;
            let skips = mutant!(inner.tuning, SkipIndex);
            for id in inner.keys.candidates(digest)?.into_iter().filter(|_| !skips) {
                if let Some(sums) = rows::sums_if(&self.connection, id, module, version)? {
                    known = Some(Plan::Known { id, is_same: sums == (record.zip_h1, record.go_mod_h1) });
                    break;
                }
            }
            plans.push(known.unwrap_or_else(|| {
                earlier.insert(name, (next, record));
                next += 1;
                Plan::New { digest }
            }));
        }
        Ok(plans)
    }

    /// The chain with the new records of a batch. It begins anew where everything has a head.
    fn chain_with(&self, leaves: &[modkeep_tlog::Hash], plans: &[Plan]) -> Result<Option<LeafChain>, Error> {
        let mut chain = if self.built == self.sequenced {
            Some(LeafChain::new(id_of(self.sequenced)?))
        } else {
            self.chain
        };
        if let Some(chain) = &mut chain {
            let new = leaves.iter().zip(plans).filter(|(_, plan)| matches!(plan, Plan::New { .. }));
            new.for_each(|(leaf, _)| chain.append(leaf));
        }
        Ok(chain)
    }

    fn append(
        &mut self,
        batch: &[NewRecord],
        plans: &[Plan],
        growth: Growth,
        now: SystemTime,
    ) -> Result<(), Error> {
        let epoch = self.epoch;
        let new = batch.iter().zip(plans).filter(|(_, plan)| matches!(plan, Plan::New { .. }));
        let sources = &mut self.sources;
        let outcome = transaction(&self.store.0, &self.connection, |connection| {
            // First, so that a writer that was overtaken writes nothing (R28).
            rows::set_sequenced(connection, epoch, growth)?;
            rows::insert(connection, sources, growth.old, new.map(|(record, _)| record), to_micros(now))
        });
        if outcome.is_err() {
            self.sources.forget();
        }
        self.kept(outcome)?;
        (self.sequenced, self.noted, self.chain) = (growth.new, growth.mark, growth.chain);
        Ok(())
    }

    /// Files what was sequenced in the key index.
    fn file(&self, plans: &[Plan], first: u64) -> Result<(), Error> {
        let keys = &self.store.0.keys;
        let digests = plans.iter().filter_map(|plan| match plan {
            Plan::New { digest } => Some(*digest),
            Plan::Known { .. } => None,
        });
        for (id, digest) in (first..).zip(digests) {
            keys.insert(digest, id);
        }
        keys.set_filed(self.sequenced);
        let (unmarked, mark_at) =
            (self.sequenced - self.marker.mark(), self.store.0.tuning.mark_at(self.sequenced));
        if unmarked >= mark_at {
            self.marker.advance(self.sequenced, unmarked >= mark_at * 4)
        } else {
            Ok(())
        }
    }

    /// Stores full tiles; on stable storage when it returns. One that is there already is written again if it is equal, and
    /// is [`Error::LogConflict`] if not; nothing is stored then. May use 64 MiB of the reserve (R11).
    pub fn put_tiles(&mut self, tiles: &[(Tile, Vec<u8>)]) -> Result<(), Error> {
        self.usable()?;
        let outcome = tiles::put(&*self.store.0.store.blobs, tiles);
        self.store.0.store.watched(outcome)
    }

    /// Transaction B: heads, edge and the built size, all or nothing, on stable storage when it returns. The promise (R6).
    ///
    /// [`Error::LogConflict`] when another size was built, or another root is kept for one of the sizes; nothing was
    /// written then. May use 64 MiB of the reserve (R11).
    pub fn commit_heads(&mut self, commit: HeadCommit<'_>) -> Result<(), Error> {
        self.usable()?;
        let HeadCommit { built, heads, edge } = commit;
        let grows = heads.windows(2).all(|pair| pair[0].size < pair[1].size);
        let (Some(first), Some(last)) = (heads.first(), heads.last()) else {
            return Err(Error::LogConflict { what: "a commit without a head".to_owned() });
        };
        if !grows || first.size < built {
            return Err(Error::LogConflict { what: "heads that do not grow".to_owned() });
        }
        let bytes: usize = heads.iter().map(|head| head.note.len() + head.checkpoint.len()).sum();
        self.store.0.room().admit_log(bytes as u64)?;
        let mut unaligned = self.unaligned.clone();
        unaligned.extend(heads.iter().map(|head| head.size.get()).filter(|size| size % 256 != 0));
        if unaligned.len() > self.unaligned.len()
            && unaligned.get(unaligned.len().wrapping_sub(2)) == unaligned.back()
        {
            unaligned.pop_back(); // signed again
        }
        let forgotten = unaligned.len().saturating_sub(rows::UNALIGNED_MAX);
        let forgotten: Vec<u64> = unaligned.drain(..forgotten).collect();
        let (epoch, old) = (self.epoch, &self.edge);
        let outcome = transaction(&self.store.0, &self.connection, |connection| {
            rows::set_built(connection, epoch, built, last.size)?;
            heads.iter().try_for_each(|head| rows::insert_head(connection, head))?;
            forgotten.iter().try_for_each(|size| rows::forget_head(connection, *size))?;
            rows::set_edge(connection, old, edge)
        });
        self.kept(outcome)?;
        self.built = last.size.get();
        self.edge = edge.to_vec();
        self.unaligned = unaligned;
        Ok(())
    }

    /// Writes the files `latest` and `checkpoint`, each replaced as a whole. Not synced; see
    /// [`LogStore::published`](crate::LogStore::published).
    ///
    /// [`Error::Fenced`] once another writer was taken: its newer head stays (R28).
    pub fn publish(&mut self, head: &StoredHead) -> Result<(), Error> {
        self.usable()?;
        let (inner, epoch) = (&self.store.0, self.epoch);
        let outcome = transaction(inner, &self.connection, |connection| {
            // Nothing is written, so nothing is synced; but while this lasts no other writer is taken.
            check_epoch(connection, epoch)?;
            for (name, bytes) in [(LATEST, &head.note), (CHECKPOINT, &head.checkpoint)] {
                let path = inner.room().root().join(FOLDER).join(name);
                let mut scratch = inner.store.blobs.log_scratch()?;
                scratch.write(bytes)?;
                let renamed = inner.room().disk().rename(scratch.path(), &path);
                renamed.map_err(|error| inner.room().full_or("rename", &path, error))?;
            }
            Ok(())
        });
        self.kept(outcome)
    }

    /// Keeps a checkpoint with cosignatures for the head of this size, in place of the one before. The newest 16 are kept.
    pub fn put_cosigned(&mut self, size: TreeSize, checkpoint: &[u8]) -> Result<(), Error> {
        self.usable()?;
        self.store.0.room().admit_log(checkpoint.len() as u64)?;
        let epoch = self.epoch;
        let outcome = transaction(&self.store.0, &self.connection, |connection| {
            check_epoch(connection, epoch)?;
            rows::put_cosigned(connection, size, checkpoint)
        });
        self.kept(outcome)
    }

    /// Forgets the records that have an id and no head, and puts full tiles that only they reach aside, unless `keep_tiles`.
    /// For rows that changed before a head covered them (R14): nobody was answered with one of them. The writer that goes
    /// on; the key index is made again.
    pub fn forget_unbuilt(mut self, keep_tiles: bool) -> Result<Self, Error> {
        self.usable()?;
        if !keep_tiles {
            tiles::put_aside(&*self.store.0.store.blobs, self.built, self.sequenced)?;
        }
        let epoch = self.epoch;
        transaction(&self.store.0, &self.connection, |connection| rows::forget_unbuilt(connection, epoch))?;
        let store = self.store.clone();
        self.broken = Some(Error::Fenced); // by the next one
        drop(self);
        store.writer()
    }

    fn usable(&self) -> Result<(), Error> {
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => self.store.0.room().writable(),
        }
    }

    /// Passes an outcome of a transaction on. A full disk and a refusal leave everything as it was; after anything else
    /// this writer is done.
    fn kept<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &outcome
            && !matches!(error, Error::DiskFull { .. } | Error::LogConflict { .. })
        {
            self.broken = Some(error.clone());
        }
        outcome
    }

    /// The key index failed: this writer is done, and an index that is damaged is marked, so that the next writer makes it
    /// again.
    fn distrust(&mut self, error: Error) -> Error {
        if let Error::Corrupt { name, reason } = &error {
            tracing::error!(id = "R13", file = %name, reason, "the log's key index is damaged");
            let epoch = self.epoch;
            let marked = transaction(&self.store.0, &self.connection, |connection| {
                rows::set_mark(connection, epoch, None)
            });
            if let Err(error) = marked {
                tracing::error!(%error, "the damage of the log's key index could not be noted");
            }
        }
        self.broken = Some(error.clone());
        error
    }

    /// What a clean end leaves: an index of which nothing has to be filed again.
    fn leave(&mut self) -> Result<(), Error> {
        self.marker.stop();
        self.heed_damage()?;
        if self.noted == self.sequenced {
            return Ok(());
        }
        self.store.0.keys.sync()?;
        let (epoch, mark) = (self.epoch, self.sequenced);
        transaction(&self.store.0, &self.connection, |connection| {
            rows::set_mark(connection, epoch, Some(mark))
        })
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::debug!(%error, "the next writer of the log has records to file");
        }
    }
}

fn check_epoch(connection: &Connection, epoch: u64) -> Result<(), Error> {
    if rows::state(connection)?.epoch == epoch { Ok(()) } else { Err(Error::Fenced) }
}

fn id_of(id: u64) -> Result<RecordId, Error> {
    RecordId::new(id).ok_or_else(|| damaged("an impossible id"))
}

/// Runs `work` in a transaction of its own, on stable storage when it returns. An error undoes all of it; one that leaves
/// in doubt what reached the disk closes the store (R10).
fn transaction<T>(
    inner: &Inner,
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed("begin a transaction"))?;
    let outcome = work(connection).and_then(|value| {
        let committed = connection.execute_batch("COMMIT").map_err(Lost::at_commit);
        inner.room().count_sync(0);
        match committed {
            Ok(()) => Ok(value),
            Err(lost) => {
                if lost.is_final {
                    inner.room().fail(&lost.error);
                }
                Err(lost.error)
            }
        }
    });
    // The engine ends a transaction by itself after some errors.
    if outcome.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    inner.store.watched(outcome)
}

/// Brings the key index up to date with the rows, and says below which id it is durable.
fn file_the_rest(inner: &Inner, connection: &Connection, epoch: u64, sequenced: u64) -> Result<u64, Error> {
    let keys = &inner.keys;
    let mark = rows::key_state(connection)?.mark.filter(|mark| *mark <= sequenced && keys.is_whole());
    let mark = match mark {
        Some(mark) if knows(inner, connection, mark)? => mark,
        _ => {
            if sequenced > 0 {
                tracing::warn!(records = sequenced, "making the log's key index again");
            }
            transaction(inner, connection, |connection| rows::set_mark(connection, epoch, None))?;
            keys.clear(sequenced)?;
            file(inner, connection, 0, sequenced)?;
            keys.sync()?;
            transaction(inner, connection, |connection| rows::set_mark(connection, epoch, Some(sequenced)))?;
            return Ok(sequenced);
        }
    };
    keys.fit(sequenced)?;
    match file(inner, connection, mark, sequenced) {
        Err(Error::Corrupt { .. }) => {
            transaction(inner, connection, |connection| rows::set_mark(connection, epoch, None))?;
            file_the_rest(inner, connection, epoch, sequenced)
        }
        other => other.map(|()| mark),
    }
}

/// Whether the index holds the newest records below its mark.
fn knows(inner: &Inner, connection: &Connection, mark: u64) -> Result<bool, Error> {
    let mut next = mark.saturating_sub(VERIFIED);
    while next < mark {
        let limit = u32::try_from(mark - next).map_or(PAGE, |left| left.min(PAGE));
        let mut are_known = true;
        let read = rows::each_name(connection, next, limit, |id, module, version| {
            match inner.keys.candidates(inner.keys.digest(module, version)) {
                Ok(found) => are_known &= found.contains(&id),
                Err(Error::Corrupt { .. }) => are_known = false,
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        if !are_known {
            return Ok(false);
        }
        next = read.ok_or_else(|| damaged("records are missing"))?;
    }
    Ok(true)
}

/// Files all records from an id on. They are written out from time to time, so that memory does not grow with the log.
fn file(inner: &Inner, connection: &Connection, from: u64, sequenced: u64) -> Result<(), Error> {
    let (mut next, mut settled) = (from, from);
    while next < sequenced {
        rows::each_name(connection, next, PAGE, |id, module, version| {
            if id != next {
                return Err(damaged(format!("record {next} is missing")));
            }
            next += 1;
            inner.keys.insert(inner.keys.digest(module, version), id);
            Ok(())
        })?;
        if rows::sequenced(connection)? < sequenced {
            return Err(damaged("records are missing"));
        }
        inner.keys.set_filed(next); // for those who read beside us
        if next - settled >= inner.tuning.mark_at(sequenced) {
            inner.keys.settle()?;
            settled = next;
        }
    }
    Ok(())
}
