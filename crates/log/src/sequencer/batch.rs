//! One batch, step by step, in the order that must not be improvised (C3; reliability.md, "Order of writes").

use std::time::{Duration, Instant};

use modkeep_store::{Error, HeadCommit, NewRecord, Sequenced};
use modkeep_tlog::record::write_data_tile;
use modkeep_tlog::tile::FULL_WIDTH;
use modkeep_tlog::{Hash, RecordText, Tile, TreeHead, TreeSize, leaf_hash, recompute};

use super::{FILES_EVERY, Failure, Sequencer};
use crate::event::{Event, Timings};
use crate::head::{Head, Published, edge_of};
use crate::log::Appended;
use crate::queue::{Pending, Waiter};
use crate::sabotage::{mutant, step};

/// A record that has an id: its text, and the hash that was computed before it was handed over.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) hash: Hash,
    pub(crate) text: RecordText,
}

/// What step 2 makes of the leaves of a batch.
#[derive(Debug)]
struct Derived {
    /// Where the tree was.
    old: TreeHead,
    /// Full tiles, data before hashes, lower rows before upper ones.
    tiles: Vec<(Tile, Vec<u8>)>,
    /// The sizes to be signed: the last multiple of 256 inside the batch, and its end.
    stops: Vec<TreeHead>,
    /// Texts that were in the open data tile before.
    open_before: usize,
}

impl Sequencer {
    /// Steps 1 to 6. Whatever happens, every waiter is answered.
    pub(super) fn batch(&mut self, batch: Vec<Pending>) -> Result<(), Failure> {
        let count = batch.len();
        let (mut records, mut leaves, mut waiters) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for Pending { record, text, leaf, waiter } in batch {
            records.push(record);
            leaves.push(Leaf { hash: leaf, text });
            waiters.push(waiter);
        }
        let mut timings = Timings::default();
        let outcome = self.append(&records, leaves, &mut waiters, &mut timings);
        match outcome {
            Ok((sequenced, failure)) => {
                self.tell(&records, &sequenced, timings);
                failure.map_or(Ok(()), Err)
            }
            Err(failure) => {
                let answer = failure.to_append_error();
                for waiter in waiters {
                    waiter.answer(Err(answer.clone()));
                }
                // Nothing was written, and the writer may be used again: the disk may have room for the next batch.
                match failure {
                    Failure::Store(Error::DiskFull { .. } | Error::ReadOnly { .. })
                        if !self.is_behind()? =>
                    {
                        Ok(())
                    }
                    failure => Err(failure),
                }
            }
        }
    }

    /// Whether records have ids and no head covers them: then the batch failed later than at its first step.
    fn is_behind(&self) -> Result<bool, Failure> {
        let state = self.shared.store.state()?;
        Ok(state.sequenced != self.tail.size() || state.built != self.tail.size())
    }

    /// The outcomes, answered; with them what went wrong after the promise was made, if anything.
    fn append(
        &mut self,
        records: &[NewRecord],
        leaves: Vec<Leaf>,
        waiters: &mut Vec<Waiter>,
        timings: &mut Timings,
    ) -> Result<(Vec<Sequenced>, Option<Failure>), Failure> {
        step!(self.shared.config, Sequence);
        let started = Instant::now();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.hash).collect();
        let sequenced = self.writer.sequence_hashed(records, &hashes, self.clock.now())?;
        timings.sequence = started.elapsed();

        let mut new = Vec::with_capacity(leaves.len());
        for (leaf, outcome) in leaves.into_iter().zip(&sequenced) {
            if let Sequenced::New(id) = outcome {
                let expected = self.tail.size().get() + new.len() as u64;
                if id.get() != expected {
                    return Err(Failure::Doubt(format!("the store gave id {id} where {expected} was next")));
                }
                new.push(leaf);
            }
        }
        if mutant!(self.shared.config, AnswerBeforeHead) {
            answer(waiters, &sequenced, self.tail.size());
        }
        let grown = if new.is_empty() { Ok(None) } else { self.grow(new, timings) };
        let failure = grown?;
        self.returning = self.shared.queue.len() + waiters.len();
        answer(waiters, &sequenced, self.tail.size());
        Ok((sequenced, failure))
    }

    /// Steps 2 to 6 for records that have ids. `Ok(Some(_))`: the promise is made and kept, and then something failed.
    pub(super) fn grow(
        &mut self,
        leaves: Vec<Leaf>,
        timings: &mut Timings,
    ) -> Result<Option<Failure>, Failure> {
        let mut clock = Laps(Instant::now());
        step!(self.shared.config, Derive);
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf.hash).collect();
        let derived = self.derive(leaves)?;
        #[cfg(any(test, feature = "testing"))]
        let derived = self.flipped_tiles(derived);
        timings.derive = clock.lap();

        if mutant!(self.shared.config, CommitBeforeTiles) {
            self.commit(&derived, &self.sign(&derived)?)?;
        }
        step!(self.shared.config, Tiles);
        self.writer.put_tiles(&derived.tiles)?;
        timings.tiles = clock.lap();

        step!(self.shared.config, Check);
        if !mutant!(self.shared.config, SkipReadBack) {
            self.check(&derived, &hashes)?;
        }
        timings.check = clock.lap();

        step!(self.shared.config, Sign);
        let heads = self.sign(&derived)?;
        timings.sign = clock.lap();

        if mutant!(self.shared.config, PublishBeforeCommit) {
            self.show(&heads);
        }
        step!(self.shared.config, Commit);
        if !mutant!(self.shared.config, CommitBeforeTiles) {
            self.commit(&derived, &heads)?;
        }
        timings.commit = clock.lap();

        step!(self.shared.config, Publish);
        let failure = self.publish(&heads);
        timings.publish = clock.lap();
        step!(self.shared.config, Answer);
        Ok(failure)
    }

    /// Step 2: hashes, tiles and edge, in memory.
    fn derive(&mut self, leaves: Vec<Leaf>) -> Result<Derived, Failure> {
        #[cfg(any(test, feature = "testing"))]
        let leaves = self.flipped(leaves);
        let full = || Failure::Doubt("the tree has 2^63-1 records".to_owned());
        // The published root is another copy than the tail: what goes bad in memory between two batches shows (R14).
        let old = self.shared.published().latest.tree();
        let end = old.size.get() + leaves.len() as u64;
        let aligned = end - end % u64::from(FULL_WIDTH);
        let mut derived =
            Derived { old, tiles: Vec::new(), stops: Vec::with_capacity(2), open_before: self.open.len() };
        for leaf in leaves {
            let index = self.tail.size().get() / u64::from(FULL_WIDTH);
            if let Some((tile, bytes)) = Tile::data(index, FULL_WIDTH).zip(self.open.push(leaf.text)) {
                derived.tiles.push((tile, bytes));
            }
            let tiles = &mut derived.tiles;
            self.tail.append(leaf.hash, |tile, bytes| tiles.push((tile, bytes.to_vec()))).ok_or_else(full)?;
            if self.tail.size().get() == aligned {
                derived.stops.push(self.tail.head());
            }
        }
        if self.tail.size().get() != aligned {
            derived.stops.push(self.tail.head());
        }
        Ok(derived)
    }

    /// Step 4: what was written is read back, and everything is computed once more by other code (R14).
    fn check(&self, derived: &Derived, hashes: &[Hash]) -> Result<(), Failure> {
        let open = self.rows_read_back(derived, hashes)?;
        let mut trouble = None;
        let mut old = derived.old;
        for stop in &derived.stops {
            let root = recompute::growth(old, stop.size, |tile| {
                self.read_back(&open, tile).unwrap_or_else(|error| {
                    trouble = Some(error);
                    None
                })
            });
            if let Some(error) = trouble.take() {
                return Err(error.into());
            }
            match root {
                Ok(root) if root == stop.root => old = *stop,
                Ok(_) => return Err(Failure::Doubt(format!("two roots for size {}", stop.size))),
                Err(error) => return Err(Failure::Doubt(error.to_string())),
            }
        }
        Ok(())
    }

    /// Reads the new rows; the text of each has to hash to what its caller's copy did. Gives the bytes of the open data tile:
    /// what stood in it before the batch was judged then, what is new comes from the rows.
    fn rows_read_back(&self, derived: &Derived, hashes: &[Hash]) -> Result<String, Failure> {
        let first = derived.old.size.get();
        let open_from = self.tail.size().get() - self.open.len() as u64;
        let mut open = match self.open.0.get(..derived.open_before).filter(|_| open_from < first) {
            Some(before) => String::from_utf8(write_data_tile(before)).unwrap_or_default(),
            None => String::new(),
        };
        let (mut text, mut expected) = (String::new(), (first..).zip(hashes));
        let (mut count, mut wrong) = (0, None);
        let limit = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        self.shared.store.each_record(derived.old.size.next_id(), limit, &mut |row| {
            text.clear();
            let is_right = row.lines.append_to(&mut text).is_ok()
                && expected.next() == Some((row.id.get(), &leaf_hash(text.as_bytes())));
            if !is_right {
                wrong = wrong.or(Some(row.id));
            }
            if row.id.get() >= open_from {
                if !open.is_empty() {
                    open.push('\n');
                }
                open.push_str(&text);
            }
            count += 1;
        })?;
        match wrong {
            Some(id) => Err(Failure::Doubt(format!("the row of record {id} is not what was appended"))),
            None if count < hashes.len() => {
                Err(Failure::Doubt(format!("of {} new rows, {count} are there", hashes.len())))
            }
            None => Ok(open),
        }
    }

    /// A tile as it lies in storage; a partial one, which is not stored before transaction B, as it will.
    fn read_back(&self, open: &str, tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
        let end = self.tail.size();
        let Some(present) = tile.in_tree(end) else { return Ok(None) };
        if tile.is_data() && !present.is_full() {
            return Ok(Some(open.as_bytes().to_vec()));
        }
        let bytes = if present.is_full() {
            self.shared.store.tile(&present)?
        } else {
            let mut partial = self.tail.partial_tiles();
            partial.find(|(it, _)| *it == present).map(|(_, bytes)| bytes.to_vec())
        };
        // A hash tile that was narrower at this size is a beginning of what it is now; data tiles are asked for in full.
        let length = tile.byte_len().unwrap_or(usize::MAX);
        Ok(bytes.map(|mut bytes| {
            bytes.truncate(length);
            bytes
        }))
    }

    /// Step 5, first half.
    fn sign(&self, derived: &Derived) -> Result<Vec<Head>, Failure> {
        let now = self.clock.now();
        derived.stops.iter().map(|head| Ok(self.signers.sign(*head, now)?)).collect()
    }

    /// Step 5, second half: the promise.
    fn commit(&mut self, derived: &Derived, heads: &[Head]) -> Result<(), Failure> {
        let heads: Vec<_> = heads.iter().map(Head::to_stored).collect();
        let edge = edge_of(&self.tail);
        Ok(self.writer.commit_heads(HeadCommit { built: derived.old.size, heads: &heads, edge: &edge })?)
    }

    /// Step 6. The files come last: whoever reads the log through us sees what whoever reads the files will.
    fn publish(&mut self, heads: &[Head]) -> Option<Failure> {
        self.show(heads);
        let newest = self.shared.published().latest.clone();
        self.copy.put(&newest.note);
        self.unwritten = Some(newest);
        if self.files_written.is_some_and(|at| at.elapsed() < FILES_EVERY) {
            return None; // a moment later, or with the next head
        }
        self.write_files().err()
    }

    /// Swaps what readers see.
    fn show(&self, heads: &[Head]) {
        let Some(newest) = heads.last() else { return };
        let before = self.shared.published();
        let width = u64::from(FULL_WIDTH);
        let aligned = heads.iter().rev().find(|head| head.size.get() % width == 0);
        let mut published = Published::alone(newest.clone(), edge_of(&self.tail));
        published.aligned = aligned.map(|head| head.clone().into()).or_else(|| before.aligned.clone());
        published.cosigned.clone_from(&before.cosigned);
        self.shared.publish(published);
    }

    fn tell(&self, records: &[NewRecord], sequenced: &[Sequenced], timings: Timings) {
        let mut known = 0;
        for (offered, outcome) in records.iter().zip(sequenced) {
            let Sequenced::Known { id, is_same } = outcome else { continue };
            known += 1;
            if !is_same && !mutant!(self.shared.config, HideConflicts) {
                let (module, version) = (&offered.record.module, &offered.record.version);
                tracing::error!(module, version, %id, "record_conflict: other sums are recorded, and stand");
                self.shared.observer.tell(&Event::Conflict { id: *id, offered });
            }
        }
        let appended = sequenced.len() - known;
        self.shared.observer.tell(&Event::Batch { appended, known, timings });
    }
}

/// Memory that goes bad between the steps (T6).
#[cfg(any(test, feature = "testing"))]
impl Sequencer {
    fn flipped(&mut self, mut leaves: Vec<Leaf>) -> Vec<Leaf> {
        let Some(last) = leaves.last_mut() else { return leaves };
        if mutant!(self.shared.config, FlipLeaf) {
            last.hash.0[7] ^= 1;
        }
        if mutant!(self.shared.config, FlipText) {
            let text = last.text.as_str().replace("h1:A", "h1:B").replace("h1:k", "h1:l");
            last.text = RecordText::parse(text.as_bytes()).unwrap_or_else(|_| last.text.clone());
        }
        if mutant!(self.shared.config, FlipEdge) {
            let size = self.tail.size();
            let mut edge = edge_of(&self.tail);
            if let Some(byte) = edge.iter_mut().rev().find_map(|row| row.first_mut()) {
                *byte ^= 1;
            }
            let row = |tile: &Tile| edge.get(usize::from(tile.level()?.get()));
            self.tail = modkeep_tlog::Tail::open(size, row).unwrap_or_else(|_| self.tail.clone());
        }
        leaves
    }

    fn flipped_tiles(&self, mut derived: Derived) -> Derived {
        if mutant!(self.shared.config, FlipTile)
            && let Some(byte) = derived.tiles.last_mut().and_then(|(_, bytes)| bytes.last_mut())
        {
            *byte ^= 1;
        }
        derived
    }
}

/// Answers every waiter with what became of its record.
fn answer(waiters: &mut Vec<Waiter>, sequenced: &[Sequenced], head_size: TreeSize) {
    for (waiter, outcome) in waiters.drain(..).zip(sequenced) {
        let (was_known, is_same) = match outcome {
            Sequenced::New(_) => (false, true),
            Sequenced::Known { is_same, .. } => (true, *is_same),
        };
        let appended = Appended { id: outcome.id(), was_known, is_same, head_size };
        waiter.answer(Ok(appended));
    }
}

/// Times between the steps.
struct Laps(Instant);

impl Laps {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
