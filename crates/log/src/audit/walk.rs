//! Every record, read once, in order: several threads hash, one thread leads.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use modkeep_tlog::{Hash, Level, RecordId, SignedHead, Tile, TreeSize, leaf_hashes};

use crate::audit::duplicates::Entry;
use crate::audit::evidence::{Evidence, Found};
use crate::audit::finding::{Finding, Gap, Kind, excerpt};
use crate::audit::record::{Fault, cut, fingerprint, read};
use crate::audit::source::{self, Away};
use crate::audit::state::State;
use crate::audit::tree::{Closed, Descent, HASH, Leaves, WIDTH, fold, missing, wrong_hash, wrong_length};
use crate::audit::{Checked, Error, News, Parts, Progress};

/// Tiles handed to each thread before it is waited for.
const AHEAD: usize = 8;
/// The state is saved so often: what was read since is read again after a crash. Each save waits for three syncs.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// One run over the records of a tree.
pub(crate) struct Walk<'a> {
    parts: &'a Parts<'a>,
    evidence: &'a Evidence,
    head: &'a SignedHead,
    /// Who hears of records that are new, and which is the first of them.
    news: Option<(&'a dyn News, u64)>,
}

/// A tile of records to read, and what is known of its leaf hashes.
struct Job {
    index: u64,
    leaves: Leaves,
}

/// What came of a job.
#[derive(Default)]
struct Outcome {
    found: Vec<Found>,
    /// Records that could not be read, first and end, and what was in the way.
    gap: Option<(u64, u64, Kind)>,
    entries: Vec<Entry>,
    /// Records that somebody wants to hear of, each proven.
    news: Vec<(RecordId, String)>,
    checked: Checked,
    away: Option<Away>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(parts: &'a Parts<'a>, evidence: &'a Evidence, head: &'a SignedHead) -> Self {
        Self { parts, evidence, head, news: None }
    }

    /// Tells of every record from this one on that `news` wants.
    pub(crate) fn telling(self, news: Option<&'a dyn News>, first: u64) -> Self {
        Self { news: news.map(|news| (news, first)), ..self }
    }

    /// Reads from where the state says to the end of the tree. Says what was read and whether the end was reached.
    pub(crate) fn run(
        &self,
        state: &mut State,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Checked, bool), Error> {
        let size = self.head.size().get();
        if state.next() >= size {
            return Ok((Checked::default(), true));
        }
        let mut descent = match Descent::open(self.parts.source, self.head) {
            Ok(descent) => descent,
            Err(Closed::Away(away)) => return Err(away.into()),
            Err(Closed::Found(finding)) => {
                self.unreachable(state, finding, size);
                return Ok((Checked::default(), true));
            }
        };
        let jobs = self.parts.options.jobs.clamp(1, 256);
        let counted = state.counted();
        let (send, receive) = sync_channel::<Job>(jobs * AHEAD);
        let (done, outcomes) = channel();
        let receive = &Mutex::new(receive);
        // The threads end when the lead drops its end of the channel.
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                let done = done.clone();
                scope.spawn(move || self.work(receive, &done, counted));
            }
            drop(done);
            let (window, saved) = (jobs * AHEAD, Instant::now());
            let lead = Lead { walk: self, send, outcomes, waiting: BTreeMap::new(), window, saved };
            lead.run(state, &mut descent, watch)
        })
    }

    /// Nothing below this can be read: the rest of the tree is a gap.
    fn unreachable(&self, state: &mut State, finding: Finding, size: u64) {
        let gap = Gap::of(state.next(), size, finding.kind, self.parts.options.partial);
        state.miss(gap);
        if !(self.parts.options.partial && finding.kind == Kind::MissingTile) {
            state.find(finding);
        }
        state.advance(size);
    }

    fn work(&self, jobs: &Mutex<Receiver<Job>>, done: &Sender<(u64, Outcome)>, counted: u64) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let index = job.index;
            let outcome = self
                .check(&job, counted)
                .unwrap_or_else(|away| Outcome { away: Some(away), ..Outcome::default() });
            if done.send((index, outcome)).is_err() {
                return;
            }
        }
    }

    /// Checks a tile of records; what is wrong is looked at again past the caches before the log is blamed (A8).
    fn check(&self, job: &Job, counted: u64) -> Result<Outcome, Away> {
        let first = self.check_once(job, counted, false)?;
        if first.found.iter().any(|found| found.finding.kind.may_come_from_a_cache()) {
            return self.check_once(job, counted, true);
        }
        Ok(first)
    }

    fn check_once(&self, job: &Job, counted: u64, fresh: bool) -> Result<Outcome, Away> {
        let mut outcome = Outcome::default();
        let size = self.head.size();
        let Some(place) = Tile::hashes(Level::LEAVES, job.index, 1).and_then(|tile| tile.in_tree(size))
        else {
            return Ok(outcome);
        };
        let hashes = self.leaf_tile(job, &place, fresh, &mut outcome)?;
        let Some(data) = Tile::data(job.index, place.width()) else { return Ok(outcome) };
        let Some((came, bytes)) = source::tile(self.parts.source, &data, fresh)? else {
            judge(job, &place, hashes.as_deref(), &mut outcome);
            outcome.miss(&data, size, missing(&data));
            return Ok(outcome);
        };
        let texts = match cut(&bytes, came.width()) {
            Ok(texts) => texts,
            Err(why) => {
                judge(job, &place, hashes.as_deref(), &mut outcome);
                let finding = Finding::of(Kind::BadTile, format!("{} {why}", data.path()));
                outcome.miss(&data, size, finding);
                return Ok(outcome);
            }
        };
        let texts = texts.get(..data.width() as usize).unwrap_or(&texts);
        outcome.checked.data_tiles = 1;
        outcome.checked.bytes += bytes.len() as u64;
        let ours: Vec<u8> = leaf_hashes(texts).iter().flat_map(|hash| hash.0).collect();
        let is_authentic = judge(job, &place, hashes.as_deref(), &mut outcome);
        let mut proven = vec![true; texts.len()];
        match (&job.leaves, hashes) {
            (_, Some(hashes)) if is_authentic => {
                if hashes != ours {
                    compare(&data, texts, &ours, &hashes, &mut outcome);
                    let pairs = ours.as_chunks::<HASH>().0.iter().zip(hashes.as_chunks::<HASH>().0);
                    proven = pairs.map(|(ours, logged)| ours == logged).collect();
                }
            }
            // The tile of leaf hashes is of no use, but the records alone fold to what is promised.
            (Leaves::Promised(root), _) if fold(&ours) == Some(*root) => {}
            _ => {
                outcome.miss(&data, size, wrong_hash(&data));
                return Ok(outcome);
            }
        }
        self.read(&data, texts, counted, &mut outcome);
        self.hear(&data, texts, &proven, &mut outcome);
        Ok(outcome)
    }

    /// The bytes that came for the tile of leaf hashes; on the edge they are authentic already.
    fn leaf_tile(
        &self,
        job: &Job,
        tile: &Tile,
        fresh: bool,
        outcome: &mut Outcome,
    ) -> Result<Option<Vec<u8>>, Away> {
        if let Leaves::Edge(bytes) = &job.leaves {
            return Ok(Some(bytes.clone()));
        }
        let came = source::tile(self.parts.source, tile, fresh)?;
        if came.is_none() {
            outcome.found.push(Found::bare(missing(tile)));
        }
        Ok(came.map(|(_, bytes)| bytes))
    }

    /// The proven records that somebody wants to hear of.
    fn hear(&self, data: &Tile, texts: &[&[u8]], proven: &[bool], outcome: &mut Outcome) {
        let Some((news, begin)) = self.news else { return };
        let first = data.index() * WIDTH;
        for (id, (text, _)) in (first..).zip(texts.iter().zip(proven)).filter(|(_, (_, proven))| **proven) {
            let name = read(text).name.filter(|(module, _)| id >= begin && news.wants(module));
            if let (Some(_), Some(record)) = (name, RecordId::new(id)) {
                outcome.news.push((record, String::from_utf8_lossy(text).into_owned()));
            }
        }
    }

    /// The grammar of authentic records, their names, and what the mirror holds of them.
    fn read(&self, data: &Tile, texts: &[&[u8]], counted: u64, outcome: &mut Outcome) {
        let first = data.index() * WIDTH;
        for (id, text) in (first..).zip(texts) {
            let Some(record) = RecordId::new(id) else { return };
            let reading = read(text);
            outcome.checked.records += 1;
            if let Some(fault) = reading.fault {
                outcome.found.push(of_fault(fault, record, text));
            }
            let Some((module, version)) = reading.name else { continue };
            if id >= counted {
                outcome.entries.push(Entry::new(fingerprint(module, version), record));
            }
            let Some(held) = self.parts.held.and_then(|held| held.held(module, version)) else { continue };
            outcome.checked.held += 1;
            let sums = reading.sums.read();
            for (what, logged, held) in [("zip", sums.zip, held.zip), ("go.mod", sums.go_mod, held.go_mod)] {
                if let (Some(logged), Some(held)) = (logged, held)
                    && logged != held
                {
                    outcome.found.push(wrong_sum(module, version, what, logged, held, record, text));
                }
            }
        }
    }
}

/// Whether the tile of leaf hashes is authentic; where one came that is not, that is found.
fn judge(job: &Job, tile: &Tile, hashes: Option<&[u8]>, outcome: &mut Outcome) -> bool {
    let (Leaves::Promised(promised), Some(hashes)) = (&job.leaves, hashes) else {
        return matches!(job.leaves, Leaves::Edge(_));
    };
    let fault = if tile.byte_len() != Some(hashes.len()) {
        wrong_length(tile)
    } else if fold(hashes) == Some(*promised) {
        outcome.checked.hash_tiles += 1;
        outcome.checked.bytes += hashes.len() as u64;
        return true;
    } else {
        wrong_hash(tile)
    };
    outcome.found.push(Found::bare(fault));
    false
}

/// Which records are not what the authentic hashes say.
fn compare(data: &Tile, texts: &[&[u8]], ours: &[u8], hashes: &[u8], outcome: &mut Outcome) {
    let first = data.index() * WIDTH;
    let pairs = ours.as_chunks::<HASH>().0.iter().zip(hashes.as_chunks::<HASH>().0);
    for (id, ((ours, logged), text)) in (first..).zip(pairs.zip(texts)) {
        if ours == logged {
            continue;
        }
        let Some(record) = RecordId::new(id) else { continue };
        let finding = Finding::of(
            Kind::ChangedRecord,
            format!("its text hashes to {}, the signed tree holds {}", Hash(*ours), Hash(*logged)),
        );
        outcome.found.push(Found::with(finding.about(record), "record", text));
    }
}

fn of_fault(fault: Fault, record: RecordId, text: &[u8]) -> Found {
    let finding = match fault {
        Fault::Framing(rule) => Finding::of(Kind::Grammar, rule),
        Fault::Unusual(why) => Finding::of(Kind::Grammar, excerpt(&why)).warning(),
        Fault::Foreign(line) => {
            Finding::of(Kind::HiddenLine, format!("holds a line for another version: {:?}", excerpt(&line)))
        }
    };
    Found::with(finding.about(record), "record", text)
}

fn wrong_sum(
    module: &str,
    version: &str,
    what: &str,
    logged: [u8; 32],
    held: [u8; 32],
    record: RecordId,
    text: &[u8],
) -> Found {
    let (logged, held) = (Hash(logged), Hash(held));
    let text_of =
        format!("{module} {version}: the log has h1:{logged} for the {what}, the mirror holds h1:{held}");
    Found::with(Finding::of(Kind::WrongSum, text_of).about(record), "record", text)
}

impl Kind {
    /// Whether a forged or damaged cache on the way could have caused it.
    fn may_come_from_a_cache(self) -> bool {
        matches!(self, Self::BadTile | Self::MissingTile | Self::ChangedRecord)
    }
}

impl Outcome {
    /// The records of a tile cannot be read.
    fn miss(&mut self, data: &Tile, size: TreeSize, finding: Finding) {
        let from = data.index() * WIDTH;
        let to = (from + WIDTH).min(size.get());
        self.gap = Some((from, to, finding.kind));
        self.found.push(Found::bare(finding));
    }
}

/// The thread that hands out tiles in order and takes what comes of them in the same order.
struct Lead<'a, 'w> {
    walk: &'w Walk<'a>,
    send: SyncSender<Job>,
    outcomes: Receiver<(u64, Outcome)>,
    /// What came before its turn.
    waiting: BTreeMap<u64, Option<Outcome>>,
    window: usize,
    saved: Instant,
}

impl Lead<'_, '_> {
    fn run(
        mut self,
        state: &mut State,
        descent: &mut Descent<'_>,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Checked, bool), Error> {
        let size = self.walk.head.size();
        let end = size.get().div_ceil(WIDTH);
        let (mut given, mut taken) = (state.next() / WIDTH, state.next() / WIDTH);
        let mut checked = Checked::default();
        let mut goes_on = true;
        // `given` runs ahead of `taken` by a window; after a break what was given is still taken in.
        while taken < given || (goes_on && given < end) {
            while goes_on && given < end && given - taken < self.window as u64 {
                let leaves = descent.leaves(given)?;
                for finding in descent.findings.drain(..) {
                    self.note(state, Found::bare(finding))?;
                }
                if let Leaves::Unreachable { until, why } = leaves {
                    if given > taken {
                        break;
                    }
                    given = until.min(end);
                    let to = (given * WIDTH).min(size.get());
                    state.miss(Gap::of(state.next(), to, why, self.walk.parts.options.partial));
                    state.advance(to);
                    taken = given;
                    continue;
                }
                self.waiting.insert(given, None);
                // The channel is as long as the window, so this never waits.
                if self.send.send(Job { index: given, leaves }).is_err() {
                    break;
                }
                given += 1;
            }
            while let Some(Some(outcome)) = self.waiting.get_mut(&taken).map(Option::take) {
                self.waiting.remove(&taken);
                self.take(state, outcome, &mut checked)?;
                taken += 1;
                state.advance((taken * WIDTH).min(size.get()));
                if self.saved.elapsed() >= SAVE_EVERY && !state.index().is_sealing() {
                    state.save()?;
                    self.saved = Instant::now();
                }
                let progress = Progress {
                    records: checked.records,
                    next: state.next(),
                    size: size.get(),
                    findings: state.findings(),
                };
                goes_on = goes_on && watch(progress).is_continue();
            }
            if taken < given {
                let Ok((index, outcome)) = self.outcomes.recv() else { break };
                self.waiting.insert(index, Some(outcome));
            }
        }
        checked.hash_tiles += descent.tiles;
        checked.bytes += descent.bytes;
        Ok((checked, state.next() >= size.get()))
    }

    fn take(&self, state: &mut State, outcome: Outcome, checked: &mut Checked) -> Result<(), Error> {
        if let Some(away) = outcome.away {
            return Err(away.into());
        }
        for found in outcome.found {
            self.note(state, found)?;
        }
        if let Some((from, to, why)) = outcome.gap {
            state.miss(Gap::of(from, to, why, self.walk.parts.options.partial));
        }
        if let Some((news, _)) = self.walk.news {
            outcome.news.iter().for_each(|(record, text)| news.tell(*record, text));
        }
        state.remember(&outcome.entries)?;
        checked.records += outcome.checked.records;
        checked.hash_tiles += outcome.checked.hash_tiles;
        checked.data_tiles += outcome.checked.data_tiles;
        checked.bytes += outcome.checked.bytes;
        checked.held += outcome.checked.held;
        Ok(())
    }

    /// Keeps a finding; in a copy that is known to be partial a missing tile is only a gap.
    fn note(&self, state: &mut State, found: Found) -> Result<(), Error> {
        if self.walk.parts.options.partial && found.finding.kind == Kind::MissingTile {
            return Ok(());
        }
        Ok(state.keep(self.walk.evidence, found)?)
    }
}
