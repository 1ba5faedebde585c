//! Rows, data tiles and leaf hashes: three witnesses of every record.

use std::ops::Range;

use modkeep_store::fsck::Finding;
use modkeep_store::{Error, LogRecord, LogState, LogStore, RecordSource};
use modkeep_tlog::{Hash, Level, ProofFile, RecordId, Tile, TreeSize, leaf_hash};

use crate::audit::duplicates::Entry;
use crate::audit::record::{cut, fingerprint, read};
use crate::audit::tree::{HASH, WIDTH, fold};
use crate::fsck::{Options, Report, broken, record_place};

/// Tiles for one thread.
pub(crate) struct Job {
    pub(crate) tiles: Range<u64>,
    /// Sizes of heads that end inside one of these tiles.
    pub(crate) heads: Vec<TreeSize>,
}

/// What came of a full tile of leaves.
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    pub(crate) names: Vec<Entry>,
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
}

impl Leaves<'_> {
    /// Does the jobs at the same time; what came of them in their order.
    pub(crate) fn check_all(&self, jobs: Vec<Job>) -> Vec<Result<Vec<Outcome>, Error>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || self.check(&job))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn check(&self, job: &Job) -> Result<Vec<Outcome>, Error> {
        let first = job.tiles.start * WIDTH;
        let count = (job.tiles.end - job.tiles.start) * WIDTH;
        let is_read = job.tiles.clone().any(|tile| self.reads(tile));
        let rows = if is_read { self.rows(first, count)? } else { Vec::new() };
        job.tiles
            .clone()
            .map(|tile| {
                let start = usize::try_from(tile * WIDTH - first).unwrap_or(usize::MAX);
                let rows = rows.get(start..).unwrap_or_default();
                let rows = rows.get(..256).unwrap_or(rows);
                self.tile(tile, self.reads(tile).then_some(rows), &job.heads)
            })
            .collect()
    }

    /// Whether the records of this tile are read.
    fn reads(&self, tile: u64) -> bool {
        let Range { start, end } = &self.options.records;
        let (first, last) = (tile * WIDTH, tile * WIDTH + (WIDTH - 1));
        last >= *start && first < *end && tile.is_multiple_of(self.options.sample.max(1))
    }

    /// Rows by their ids; one that is missing ends the list, and that is found with the tile.
    fn rows(&self, first: u64, count: u64) -> Result<Vec<LogRecord>, Error> {
        let Some(id) = RecordId::new(first) else { return Ok(Vec::new()) };
        match self.store.records(id, u32::try_from(count).unwrap_or(u32::MAX)) {
            Ok(rows) => Ok(rows),
            // A hole: the rows before it and behind it are read one by one.
            Err(Error::Ledger { .. }) => {
                let mut rows = Vec::new();
                for id in (first..first + count).filter_map(RecordId::new) {
                    match self.store.record(id) {
                        Ok(Some(row)) => rows.push(row),
                        Ok(None) | Err(Error::Ledger { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }

    /// One full tile. `rows`: those of its records that are there, or `None` where records are not read.
    fn tile(&self, index: u64, rows: Option<&[LogRecord]>, heads: &[TreeSize]) -> Result<Outcome, Error> {
        let mut outcome = Outcome {
            findings: Vec::new(),
            names: Vec::new(),
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

    /// Compares rows, data tile and leaf hashes; what two of the three say is taken for right.
    fn witnesses(
        &self,
        index: u64,
        rows: &[LogRecord],
        data: &Tile,
        hashes: &Tile,
        stored: Option<Vec<u8>>,
        outcome: &mut Outcome,
    ) -> Result<Vec<u8>, Error> {
        let first = index * WIDTH;
        outcome.tiles += 1;
        let by_rows =
            self.read_rows(first..first + WIDTH, rows, &mut outcome.findings, &mut outcome.names)?;
        outcome.records = rows.len() as u64;
        let bytes = self.store.tile(data)?;
        let by_data = match bytes.as_deref().map(|bytes| cut(bytes, 256)) {
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
                Some(texts.iter().map(|text| leaf_hash(text)).collect::<Vec<Hash>>())
            }
        };
        let by_tile: Option<Vec<Hash>> =
            stored.map(|bytes| bytes.as_chunks::<HASH>().0.iter().map(|hash| Hash(*hash)).collect());
        let mut leaves = Vec::with_capacity(256 * HASH);
        for (place, row) in by_rows.iter().enumerate() {
            let at =
                |hashes: &Option<Vec<Hash>>| hashes.as_ref().and_then(|hashes| hashes.get(place).copied());
            let (text, hash) = (at(&by_data), at(&by_tile));
            // Of three that all differ the hash is what was signed for.
            let right = if *row == text { *row } else { hash.or(text).or(*row) };
            let id = RecordId::new(first + place as u64);
            let Some((right, id)) = right.zip(id) else { continue };
            if row.is_some_and(|row| row != right) {
                outcome.findings.push(broken(
                    "C2",
                    record_place(id),
                    "its text is not the record that was logged",
                ));
            }
            if text.is_some_and(|text| text != right) {
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
        names: &mut Vec<Entry>,
    ) -> Result<Vec<u8>, Error> {
        let first = state.built.get() / WIDTH * WIDTH;
        let mut rows = Vec::new();
        let mut next = first;
        while next < state.sequenced.get() {
            let count = (state.sequenced.get() - next).min(4_096);
            rows.extend(self.rows(next, count)?);
            next += count;
        }
        let hashes = self.read_rows(first..state.sequenced.get(), &rows, &mut report.findings, names)?;
        report.checked.records += rows.len() as u64;
        let built = usize::try_from(state.built.get() - first).unwrap_or_default();
        Ok(hashes.iter().take(built).flat_map(|hash| hash.map_or([0; HASH], |hash| hash.0)).collect())
    }

    /// Each row's text by the rules, and its leaf hash; `None` for a row that is not there.
    fn read_rows(
        &self,
        ids: Range<u64>,
        rows: &[LogRecord],
        findings: &mut Vec<Finding>,
        names: &mut Vec<Entry>,
    ) -> Result<Vec<Option<Hash>>, Error> {
        let mut rows = rows.iter().peekable();
        let mut hashes = Vec::new();
        for id in ids.filter_map(RecordId::new) {
            let Some(row) = rows.next_if(|row| row.id == id) else {
                findings.push(broken("C2", record_place(id), "is missing"));
                hashes.push(None);
                continue;
            };
            let (module, version) = (&row.record.module, &row.record.version);
            names.push(Entry::new(fingerprint(module, version), id));
            match row.record.to_text() {
                Err(error) => {
                    findings.push(broken("A1", record_place(id), error.to_string()));
                    hashes.push(None);
                }
                Ok(text) => {
                    if read(text.as_str().as_bytes()).fault.is_some() {
                        let what = format!("{module} {version} is no module version");
                        findings.push(broken("A1", record_place(id), what));
                    }
                    hashes.push(Some(text.leaf_hash()));
                    self.provenance(row, text.leaf_hash(), findings)?;
                }
            }
        }
        Ok(hashes)
    }

    /// An imported record has its proof, and that proof is of this record (C7).
    fn provenance(&self, row: &LogRecord, leaf: Hash, findings: &mut Vec<Finding>) -> Result<(), Error> {
        if !matches!(row.source, RecordSource::Upstream(_)) {
            return Ok(());
        }
        let fault = match self.store.provenance(row.id)? {
            None => Some("was imported, and the proof that came with it is not there".to_owned()),
            Some(bytes) => match ProofFile::parse(&bytes) {
                Err(error) => Some(format!("the proof that came with it: {error}")),
                Ok(proof) => (!leads(&proof, leaf))
                    .then(|| "the proof that came with it is of another record".to_owned()),
            },
        };
        findings.extend(fault.map(|text| broken("C7", record_place(row.id), text)));
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

impl Outcome {
    fn find(&mut self, id: &'static str, tile: &Tile, text: &str) {
        self.findings.push(broken(id, format!("log/{}", tile.path()), text));
    }
}
