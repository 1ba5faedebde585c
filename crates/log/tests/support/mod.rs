//! A log in a folder, and the judge who believes nothing but keys.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use modkeep_log::keys::KeySigner;
use modkeep_log::{Config, Event, Head, Log, OpenError, Parts, Sabotage, State, Step};
use modkeep_store::{Clock, Disk, MinFree, NewRecord, RealDisk, RecordSource, Store, SystemClock};
use modkeep_tlog::client::{self, Lookup};
use modkeep_tlog::{GoSumRecord, SignedHead, SignerKey, Tile, VerifierKey};

pub(crate) const NAME: &str = "sums.example.org/log";

pub(crate) fn key() -> SignerKey {
    SignerKey::from_seed(NAME, [7; 32]).unwrap()
}

pub(crate) fn vkey() -> VerifierKey {
    key().verifier()
}

/// The `i`-th record of the world.
pub(crate) fn record(i: u64) -> NewRecord {
    let mut zip_h1 = [0; 32];
    zip_h1[24..].copy_from_slice(&i.to_be_bytes());
    let record = GoSumRecord {
        module: format!("example.com/m{}", i / 10),
        version: format!("v1.{}.0", i % 10),
        zip_h1,
        go_mod_h1: [2; 32],
    };
    NewRecord { record, source: RecordSource::Own, provenance: None }
}

pub(crate) fn module(i: u64) -> (String, String) {
    let GoSumRecord { module, version, .. } = record(i).record;
    (module, version)
}

/// A directory of its own, in memory where the machine offers that: these tests sync thousands of times.
pub(crate) fn new_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn open_store(path: &Path, disk: Arc<dyn Disk>) -> Store {
    let config = modkeep_store::Config { path: path.to_owned(), min_free: MinFree::Bytes(0) };
    Store::open_on(config, disk, Arc::new(SystemClock)).unwrap()
}

/// Everything that was said, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Said>>>);

#[derive(Clone, Debug)]
pub(crate) enum Said {
    Head(Arc<Head>),
    Batch(usize, usize),
    Conflict(u64),
    Stopped(String, bool),
    Started(u64),
    Busy,
}

impl Seen {
    pub(crate) fn observer(&self) -> modkeep_log::Observer {
        let seen = self.0.clone();
        modkeep_log::Observer::new(move |event| {
            let said = match event {
                Event::Head(head) => Said::Head((*head).clone()),
                Event::Batch { appended, known, .. } => Said::Batch(*appended, *known),
                Event::Conflict { id, .. } => Said::Conflict(id.get()),
                Event::Stopped { reason, restarts } => Said::Stopped((*reason).to_owned(), *restarts),
                Event::Started { size } => Said::Started(size.get()),
                Event::Busy => Said::Busy,
                _ => return,
            };
            seen.lock().unwrap().push(said);
        })
    }

    pub(crate) fn all(&self) -> Vec<Said> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn heads(&self) -> Vec<Arc<Head>> {
        self.all()
            .into_iter()
            .filter_map(|said| if let Said::Head(head) = said { Some(head) } else { None })
            .collect()
    }

    pub(crate) fn conflicts(&self) -> Vec<u64> {
        self.all()
            .into_iter()
            .filter_map(|said| if let Said::Conflict(id) = said { Some(id) } else { None })
            .collect()
    }

    pub(crate) fn stops(&self) -> Vec<(String, bool)> {
        let stop =
            |said| if let Said::Stopped(reason, restarts) = said { Some((reason, restarts)) } else { None };
        self.all().into_iter().filter_map(stop).collect()
    }
}

pub(crate) fn parts(store: &Store, config: Config, seen: &Seen) -> Parts {
    parts_with(store, config, seen, Arc::new(SystemClock))
}

pub(crate) fn parts_with(store: &Store, config: Config, seen: &Seen, clock: Arc<dyn Clock>) -> Parts {
    Parts {
        store: store.log().unwrap(),
        signers: vec![Arc::new(KeySigner::from(key()))],
        config,
        clock,
        observer: seen.observer(),
    }
}

pub(crate) fn open(store: &Store) -> Log {
    Log::open(parts(store, Config::default(), &Seen::default())).unwrap()
}

pub(crate) fn try_open(store: &Store) -> Result<Log, OpenError> {
    Log::open(parts(store, Config::default(), &Seen::default()))
}

pub(crate) fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

pub(crate) fn sabotaged(sabotage: Sabotage) -> Config {
    Config { sabotage, ..Config::default() }
}

/// Does something once, when a step begins for the n-th time.
pub(crate) fn at(step: Step, turn: usize, act: impl Fn() + Send + Sync + 'static) -> Sabotage {
    let count = Mutex::new(0);
    let hook = move |now: Step| {
        if now != step {
            return;
        }
        let this = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        if this == turn {
            act();
        }
    };
    Sabotage { mutant: None, hook: Some(Arc::new(hook)) }
}

/// Holds the sequencer in front of a batch, so that a test decides what comes in the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, std::sync::Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    armed: bool,
    open: bool,
    /// Batches begun since the gate was armed.
    batches: usize,
    acted: bool,
}

impl Gate {
    /// Acts when this step begins in the second batch after the gate was armed.
    pub(crate) fn sabotage(&self, step: Step, act: impl Fn() + Send + Sync + 'static) -> Sabotage {
        let gate = self.clone();
        let hook = move |now: Step| {
            if gate.passes(now, step) {
                act();
            }
        };
        Sabotage { mutant: None, hook: Some(Arc::new(hook)) }
    }

    fn passes(&self, now: Step, step: Step) -> bool {
        let (state, bell) = &*self.0;
        let mut state = state.lock().unwrap();
        if !state.armed || state.acted {
            return false;
        }
        if now == Step::Sequence {
            state.batches += 1;
            if state.batches == 1 {
                state = bell.wait_while(state, |state| !state.open).unwrap();
            }
        }
        let acts = state.batches == 2 && now == step;
        state.acted |= acts;
        acts
    }

    fn arrived(&self) -> bool {
        self.0.0.lock().unwrap().batches > 0
    }

    fn set(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Appends the first record in a batch of its own, and all others in the next one.
    pub(crate) fn append(
        &self,
        log: &Log,
        ids: std::ops::Range<u64>,
    ) -> tokio::task::JoinHandle<Vec<Result<modkeep_log::Appended, modkeep_log::AppendError>>> {
        let (gate, log) = (self.clone(), log.clone());
        tokio::spawn(async move {
            gate.set(|state| state.armed = true);
            let first = tokio::spawn({
                let log = log.clone();
                async move { log.append(record(ids.start)).await }
            });
            until("the sequencer at the gate", || gate.arrived()).await;
            let rest: Vec<_> = (ids.start + 1..ids.end).map(record).collect();
            let count = rest.len() + 1;
            let rest = tokio::spawn({
                let log = log.clone();
                async move { log.append_all(rest).await }
            });
            until("all in the queue", || log.waiting() == count).await;
            gate.set(|state| state.open = true);
            let mut outcomes = vec![first.await.unwrap()];
            outcomes.extend(rest.await.unwrap());
            outcomes
        })
    }
}

/// Appends records and expects each to be in.
pub(crate) async fn fill(log: &Log, ids: std::ops::Range<u64>) {
    for outcome in log.append_all(ids.map(record).collect()).await {
        outcome.unwrap();
    }
}

/// Waits until the log is as it should be; gives up after half a minute of a busy machine.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) async fn until_state(log: &Log, is: impl Fn(&State) -> bool) {
    until("the state of the log", || is(&log.state())).await;
}

/// A client of the log that keeps the newest head it has believed: what the go command does.
#[derive(Debug)]
pub(crate) struct Judge {
    known: Option<SignedHead>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        Self { known: None }
    }

    /// Takes a head, of the same tree as all before it.
    pub(crate) fn believes(&mut self, log: &Log, note: &[u8]) -> Result<(), String> {
        let mut machine = client::Head::new(vkey(), self.known.clone(), note);
        loop {
            match machine.step() {
                client::Step::NeedLookup { .. } => return Err("a head needs no lookup".to_owned()),
                client::Step::NeedTiles { tiles, .. } => {
                    for tile in tiles {
                        machine.supply_tile(&tile, tile_of(log, &tile).as_deref());
                    }
                }
                client::Step::Done(outcome) => {
                    self.known = Some(outcome.head.clone());
                    return Ok(());
                }
                client::Step::Failed(error) => return Err(error.to_string()),
            }
        }
    }

    /// Looks a version up and verifies everything; the id and the zip's sum.
    pub(crate) fn looks_up(
        &mut self,
        log: &Log,
        module: &str,
        version: &str,
    ) -> Result<(u64, [u8; 32]), String> {
        let mut machine = Lookup::new(vkey(), self.known.clone(), module, version);
        loop {
            match machine.step() {
                client::Step::NeedLookup { .. } => {
                    let answer = log.lookup(module, version).map_err(|error| error.to_string())?;
                    machine.supply_lookup(&answer.ok_or("no such record")?);
                }
                client::Step::NeedTiles { tiles, .. } => {
                    for tile in tiles {
                        machine.supply_tile(&tile, tile_of(log, &tile).as_deref());
                    }
                }
                client::Step::Done(outcome) => {
                    self.known = Some(outcome.head.clone());
                    return Ok((outcome.record.id().get(), outcome.record.zip_h1().ok_or("no sum")?));
                }
                client::Step::Failed(error) => return Err(error.to_string()),
            }
        }
    }
}

fn tile_of(log: &Log, tile: &Tile) -> Option<bytes::Bytes> {
    log.tile(tile).unwrap_or_default().or_else(|| log.tile(&tile.full()).unwrap_or_default())
}

/// Every record below `count` is in, once, with its own sum, and every head that was ever public agrees with every
/// later one (R5, R7).
pub(crate) fn audit(log: &Log, count: u64, heads: &[Arc<Head>]) -> Result<(), String> {
    audit_some(log, count, heads, 1)
}

/// The same, of every `stride`-th record the whole way.
pub(crate) fn audit_some(log: &Log, count: u64, heads: &[Arc<Head>], stride: usize) -> Result<(), String> {
    let mut heads: Vec<Arc<Head>> = heads.to_vec();
    heads.push(log.latest());
    heads.sort_by_key(|head| head.size);
    // Pairwise, from several starts: consistency is transitive, and a judge that knows only an old head sees more tiles.
    for first in (0..heads.len()).step_by(heads.len().div_ceil(8).max(1)) {
        let mut judge = Judge::new();
        for head in &heads[first..] {
            judge.believes(log, &head.note).map_err(|error| format!("head {}: {error}", head.size))?;
        }
    }
    for pair in heads.windows(2).filter(|pair| pair[0].size == pair[1].size) {
        if pair[0].root != pair[1].root {
            return Err(format!("two roots of size {}", pair[0].size));
        }
    }
    let mut judge = Judge::new();
    let mut ids = std::collections::BTreeMap::new();
    for i in (0..count).step_by(stride) {
        let (module, version) = module(i);
        let (id, zip_h1) =
            judge.looks_up(log, &module, &version).map_err(|error| format!("record {i}: {error}"))?;
        if zip_h1 != record(i).record.zip_h1 {
            return Err(format!("record {i} has another sum"));
        }
        if let Some(other) = ids.insert(id, i) {
            return Err(format!("records {i} and {other} have one id"));
        }
    }
    if count > 0 && log.latest().size.get() != count {
        return Err(format!("{} records for {count} versions", log.latest().size));
    }
    Ok(())
}

/// A wall clock that a test sets.
#[derive(Debug, Default)]
pub(crate) struct WallClock(Mutex<Option<SystemTime>>);

impl WallClock {
    pub(crate) fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap() = Some(now);
    }
}

impl Clock for WallClock {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap().unwrap_or_else(SystemTime::now)
    }

    fn monotonic(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}
