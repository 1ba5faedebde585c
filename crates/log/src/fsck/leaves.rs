//! Rows, data tiles and leaf hashes: three witnesses of every record.

use std::collections::{HashMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use modkeep_module::version::names_module_version;
use modkeep_store::fsck::Finding;
use modkeep_store::{Error, KeyName, LogRow, LogState, LogStore};
use modkeep_tlog::record::RecordError;
use modkeep_tlog::{Hash, Level, ProofFile, RecordId, Tile, TreeSize, leaf_hash, leaf_hashes};

use crate::audit::record::cut;
use crate::audit::tree::{HASH, WIDTH, fold};
use crate::fsck::{Names, Options, Report, broken, record_place};

/// Tiles for one thread.
pub(crate) struct Job {
    pub(crate) tiles: Range<u64>,
    /// Sizes of heads that end inside one of these tiles.
    pub(crate) heads: Vec<TreeSize>,
}

/// A job, and where what came of it goes.
struct Task {
    job: Job,
    done: SyncSender<Result<Vec<Outcome>, Error>>,
}

/// Jobs handed to each thread before it is waited for.
const AHEAD: usize = 2;

/// What came of a full tile of leaves.
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    pub(crate) names: Vec<(RecordId, KeyName)>,
    /// For each head that ends inside: the leaf hashes before its end.
    pub(crate) prefixes: Vec<(TreeSize, Vec<u8>)>,
    /// What the tile's hashes fold to.
    pub(crate) root: Hash,
    pub(crate) records: u64,
    pub(crate) tiles: u64,
}

pub(crate) struct Leaves<'a> {
    pub(crate) store: &'a LogStore,
    pub(crate) options: &'a Options,
    /// The databases that vouch, as they were when it began.
    pub(crate) sources: HashMap<i64, String>,
}

impl Leaves<'_> {
    /// Does jobs on several threads, some ahead. `take` is given what came of each tile, in their order.
    pub(crate) fn check_all(
        &self,
        mut jobs: impl Iterator<Item = Job>,
        take: &mut dyn FnMut(Vec<Outcome>) -> Result<ControlFlow<()>, Error>,
    ) -> Result<ControlFlow<()>, Error> {
        let threads = self.options.jobs.clamp(1, 64);
        let (send, receive) = sync_channel::<Task>(threads * AHEAD);
        let receive = &Mutex::new(receive);
        // The threads end when `send` is dropped. One that panics takes this one along.
        std::thread::scope(move |scope| {
            for _ in 0..threads {
                scope.spawn(move || self.work(receive));
            }
            let mut waiting = VecDeque::new();
            loop {
                while waiting.len() < threads * AHEAD
                    && let Some(job) = jobs.next()
                {
                    let (done, outcomes) = sync_channel(1);
                    if send.send(Task { job, done }).is_err() {
                        break;
                    }
                    waiting.push_back(outcomes);
                }
                let Some(Ok(outcomes)) = waiting.pop_front().map(|outcomes| outcomes.recv()) else {
                    return Ok(ControlFlow::Continue(()));
                };
                if take(outcomes?)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        })
    }

    fn work(&self, tasks: &Mutex<Receiver<Task>>) {
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Task { job, done }) = task else { return };
            if done.send(self.check(&job)).is_err() {
                return;
            }
        }
    }

    fn check(&self, job: &Job) -> Result<Vec<Outcome>, Error> {
        let first = job.tiles.start * WIDTH;
        let count = (job.tiles.end - job.tiles.start) * WIDTH;
        let is_read = job.tiles.clone().any(|tile| self.reads(tile));
        let rows = if is_read { self.rows(first, count)? } else { Texts::default() };
        let tile = |tile| self.tile(tile, self.reads(tile).then_some(&rows), &job.heads);
        job.tiles.clone().map(tile).collect()
    }

    /// Whether the records of this tile are read.
    fn reads(&self, tile: u64) -> bool {
        let Range { start, end } = &self.options.records;
        let (first, last) = (tile * WIDTH, tile * WIDTH + (WIDTH - 1));
        last >= *start && first < *end && tile.is_multiple_of(self.options.sample.max(1))
    }

    /// The rows that are there, and which proofs are; a row that is missing is found with its tile.
    fn rows(&self, first: u64, count: u64) -> Result<Texts, Error> {
        let Some(id) = RecordId::new(first) else { return Ok(Texts::default()) };
        let proofs = self.store.proofs(id, count)?;
        Ok(Texts { proofs, ..self.texts(id, count)? })
    }

    fn texts(&self, id: RecordId, count: u64) -> Result<Texts, Error> {
        let limit = u32::try_from(count).unwrap_or(u32::MAX);
        let mut texts = Texts::of(limit);
        match self.store.each_record(id, limit, &mut |row| texts.push(self.store, row)) {
            Ok(()) => Ok(texts),
            // A hole: the rows before it and behind it are read one by one.
            Err(Error::Ledger { .. }) => {
                let mut texts = Texts::default();
                for id in (id.get()..id.get() + count).filter_map(RecordId::new) {
                    match self.store.each_record(id, 1, &mut |row| texts.push(self.store, row)) {
                        Ok(()) | Err(Error::Ledger { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(texts)
            }
            Err(error) => Err(error),
        }
    }

    /// One full tile. `rows`: those of its records that are there, or `None` where records are not read.
    fn tile(&self, index: u64, rows: Option<&Texts>, heads: &[TreeSize]) -> Result<Outcome, Error> {
        let mut outcome = Outcome {
            findings: Vec::new(),
            names: Vec::with_capacity(256),
            prefixes: Vec::new(),
            root: Hash([0; HASH]),
            records: 0,
            tiles: 1,
        };
        let (Some(hashes), Some(data)) = (Tile::hashes(Level::LEAVES, index, 256), Tile::data(index, 256))
        else {
            return Ok(outcome);
        };
        let stored = self.store.tile(&hashes)?;
        let length = hashes.byte_len().unwrap_or_default();
        let stored = match stored {
            Some(bytes) if bytes.len() == length => Some(bytes),
            Some(_) => {
                outcome.find("A4", &hashes, "is not as long as a full tile");
                None
            }
            None => {
                outcome.find("A4", &hashes, "is missing");
                None
            }
        };
        let leaves = match rows {
            None => stored.unwrap_or_default(),
            Some(rows) => self.witnesses(index, rows, &data, &hashes, stored, &mut outcome)?,
        };
        outcome.root = fold(&leaves).unwrap_or(Hash([0; HASH]));
        let (first, end) = (index * WIDTH, (index + 1) * WIDTH);
        for size in heads.iter().filter(|size| size.get() > first && size.get() < end) {
            let width = usize::try_from(size.get() - first).unwrap_or_default();
            outcome.prefixes.push((*size, leaves.get(..width * HASH).unwrap_or(&leaves).to_vec()));
        }
        Ok(outcome)
    }

    /// Compares rows, data tile and leaf hashes; what two of the three say is taken for right. Where the row's text is the
    /// tile's, byte for byte, it is hashed once.
    fn witnesses(
        &self,
        index: u64,
        rows: &Texts,
        data: &Tile,
        hashes: &Tile,
        stored: Option<Vec<u8>>,
        outcome: &mut Outcome,
    ) -> Result<Vec<u8>, Error> {
        let first = index * WIDTH;
        outcome.tiles += 1;
        let bytes = self.store.tile(data)?;
        let texts = match bytes.as_deref().map(|bytes| cut(bytes, 256)) {
            None => {
                outcome.find("C2", data, "is missing");
                None
            }
            Some(Err(why)) => {
                outcome.find("A2", data, &why);
                None
            }
            Some(Ok(texts)) => {
                if bytes.as_deref().is_some_and(|bytes| bytes.ends_with(b"\n\n")) {
                    outcome.find("A2", data, "ends in a blank line");
                }
                Some(texts)
            }
        };
        let hashed = texts.as_ref().map(|texts| leaf_hashes(texts));
        let stored = stored.as_deref().map(|bytes| bytes.as_chunks::<HASH>().0);
        let mut leaves = Vec::with_capacity(256 * HASH);
        let mut rows = rows.from(first).iter().map(|row| (row, rows)).peekable();
        for (place, id) in (first..first + WIDTH).filter_map(RecordId::new).enumerate() {
            let text = texts.as_ref().and_then(|texts| texts.get(place).copied());
            let hash = stored.and_then(|hashes| hashes.get(place)).map(|hash| Hash(*hash));
            let by_data = hashed.as_ref().and_then(|hashed| hashed.get(place).copied());
            let by_row = match rows.next_if(|(row, _)| row.id == id) {
                None => {
                    outcome.findings.push(broken("C2", record_place(id), "is missing"));
                    None
                }
                Some((row, rows)) => {
                    outcome.records += 1;
                    outcome.names.push((id, row.name));
                    row.find_faults(&mut outcome.findings);
                    let written = rows.text(row);
                    let hash = if written == text { by_data } else { written.map(leaf_hash) };
                    self.vouched(row, rows, hash, &mut outcome.findings)?;
                    hash
                }
            };
            // Of three that all differ the hash is what was signed for.
            let right = if by_row == by_data { by_row } else { hash.or(by_data).or(by_row) };
            let Some(right) = right else { continue };
            if by_row.is_some_and(|row| row != right) {
                let text = "its text is not the record that was logged";
                outcome.findings.push(broken("C2", record_place(id), text));
            }
            if by_data.is_some_and(|text| text != right) {
                outcome.find("A4", data, &format!("record {id} is not the one that was logged"));
            }
            if hash.is_some_and(|hash| hash != right) {
                outcome.find("A4", hashes, &format!("the hash of record {id} is not that of its text"));
            }
            leaves.extend_from_slice(&right.0);
        }
        Ok(leaves)
    }

    /// The records behind the last full tile: rows alone hold them. Gives their leaf hashes, up to the built size.
    pub(crate) fn open(
        &self,
        state: &LogState,
        report: &mut Report,
        names: &mut Names,
    ) -> Result<Vec<u8>, Error> {
        let first = state.built.get() / WIDTH * WIDTH;
        let built = usize::try_from(state.built.get() - first).unwrap_or_default();
        let (mut next, mut leaves) = (first, Vec::new());
        while next < state.sequenced.get() {
            let count = (state.sequenced.get() - next).min(4_096);
            let texts = self.rows(next, count)?;
            let mut rows = texts.from(next).iter().peekable();
            for id in (next..next + count).filter_map(RecordId::new) {
                let Some(row) = rows.next_if(|row| row.id == id) else {
                    report.findings.push(broken("C2", record_place(id), "is missing"));
                    leaves.extend_from_slice(&[0; HASH]);
                    continue;
                };
                report.checked.records += 1;
                names.push(id, row.name);
                row.find_faults(&mut report.findings);
                let hash = texts.text(row).map(leaf_hash);
                self.vouched(row, &texts, hash, &mut report.findings)?;
                leaves.extend_from_slice(&hash.map_or([0; HASH], |hash| hash.0));
            }
            next += count;
        }
        leaves.truncate(built * HASH);
        Ok(leaves)
    }

    /// An imported record has a source and its proof, and that proof is of this record and signed by that source; a record of
    /// ours has none (C7).
    fn vouched(
        &self,
        row: &Row,
        rows: &Texts,
        leaf: Option<Hash>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let mut find = |text: String| findings.push(broken("C7", record_place(row.id), text));
        if row.source == 0 {
            if rows.proofs.binary_search(&row.id).is_ok() {
                find("is our own word, and the proof of another database is kept with it".to_owned());
            }
            return Ok(());
        }
        let known = self.sources.get(&row.source);
        // One that came meanwhile.
        let newer = if known.is_none() { self.store.source(row.source)? } else { None };
        let source = known.or(newer.as_ref());
        if source.is_none() {
            find(format!("its source has number {}, and no database has that", row.source));
        }
        let Some(leaf) = leaf else { return Ok(()) };
        match self.store.provenance(row.id)?.map(|bytes| ProofFile::parse(&bytes)) {
            None => find("was imported, and the proof that came with it is not there".to_owned()),
            Some(Err(error)) => find(format!("the proof that came with it: {error}")),
            Some(Ok(proof)) if !leads(&proof, leaf) => {
                find("the proof that came with it is of another record".to_owned());
            }
            Some(Ok(proof)) => {
                let lines = proof.note().lines();
                if let Some(name) =
                    source.filter(|name| lines.iter().all(|line| line.name() != name.as_str()))
                {
                    let by = lines.first().map_or("nobody", |line| line.name());
                    find(format!("its source is {name}, and the proof that came with it is signed by {by}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether a proof leads from this leaf to its own head. Whose head that is, is not asked here.
fn leads(proof: &ProofFile, leaf: Hash) -> bool {
    let head = modkeep_tlog::Checkpoint::parse(proof.note().text());
    head.is_ok_and(|head| {
        modkeep_tlog::proof::verify_inclusion(proof.hashes(), head.size(), head.root(), proof.id(), leaf)
            .is_ok()
    })
}

/// The rows of one job as the texts that they stand for, all in one piece of memory.
#[derive(Default)]
struct Texts {
    text: String,
    rows: Vec<Row>,
    /// Those of these records, there or not, that have a proof, in order.
    proofs: Vec<RecordId>,
}

struct Row {
    id: RecordId,
    /// Where its text is; or why it has none.
    text: Result<Range<usize>, RecordError>,
    name: KeyName,
    /// What is wrong with its names, though they fit into lines.
    fault: Option<String>,
    /// The number of the database that vouches for it, 0 for us.
    source: i64,
}

impl Texts {
    /// For about so many rows.
    fn of(rows: u32) -> Self {
        let rows = usize::try_from(rows).unwrap_or_default();
        Self { text: String::with_capacity(rows * 256), rows: Vec::with_capacity(rows), proofs: Vec::new() }
    }

    fn push(&mut self, store: &LogStore, row: LogRow<'_>) {
        let LogRow { id, lines, source } = row;
        let start = self.text.len();
        let text = lines.append_to(&mut self.text).map(|()| start..self.text.len());
        let is_named = text.is_err() || names_module_version(lines.module, lines.version);
        let fault = (!is_named).then(|| format!("{} {} is no module version", lines.module, lines.version));
        let name = store.key_name(lines.module, lines.version);
        self.rows.push(Row { id, text, name, fault, source });
    }

    /// The rows from an id on.
    fn from(&self, id: u64) -> &[Row] {
        let start = self.rows.partition_point(|row| row.id.get() < id);
        self.rows.get(start..).unwrap_or_default()
    }

    fn text(&self, row: &Row) -> Option<&[u8]> {
        self.text.as_bytes().get(row.text.clone().ok()?)
    }
}

impl Row {
    /// What breaks a rule by itself (A1).
    fn find_faults(&self, findings: &mut Vec<Finding>) {
        let reason = self.text.as_ref().err().map(ToString::to_string).or_else(|| self.fault.clone());
        findings.extend(reason.map(|reason| broken("A1", record_place(self.id), reason)));
    }
}

impl Outcome {
    fn find(&mut self, id: &'static str, tile: &Tile, text: &str) {
        self.findings.push(broken(id, format!("log/{}", tile.path()), text));
    }
}
