//! Our own log as clients and auditors see it (A4, A6, B1, B5, C7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modkeep_fetch::{Failure, Fetch, Reach, Subject};
use modkeep_log::Log;
use modkeep_module::ModuleVersion;
use modkeep_store::{Error as StoreError, Evidence, EvidenceKind, Sha256Sum, Store};
use modkeep_tlog::record::bundle_of;
use modkeep_tlog::{Comparison, Tile};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::request::{Ask, AskOwn};
use crate::{RelayAnswer, RelayError, RelayObject};

/// Memory for hot lookups and tiles, keys and bookkeeping included: the edge, a thousand tiles or ten thousand lookups.
const HOT_BYTES_MAX: u64 = 8 << 20;

/// What an answer in memory costs beside its bytes and its path.
const ENTRY_OVERHEAD: u64 = 256;

/// Most answers are lookups of about this size; the estimate only sizes the table.
const TYPICAL_ENTRY: u64 = 1024;

/// How long a lookup is answered with the head it was first answered with. The answer stays right for ever, but heads
/// that nobody hears of detect no fork (A6).
const LOOKUP_FOR: Duration = Duration::from_secs(10);

/// When to come again for a record that its witnesses have not seen in time.
const UNSEEN_FOR: Duration = Duration::from_secs(30);

/// Our own checksum database, or the reason why it is not served. Cheap to clone.
#[derive(Clone)]
pub struct Own(Arc<Inner>);

struct Inner {
    name: Box<str>,
    door: Door,
    hot: Cache<Box<str>, Hot, Weight>,
}

enum Door {
    Open(Box<Open>),
    Closed { reason: Arc<str> },
}

/// What an open log is served with.
struct Open {
    log: Log,
    fetch: Fetch,
    store: Store,
    hold: Duration,
}

#[derive(Clone)]
struct Hot {
    answer: RelayAnswer,
    /// When it is to be made anew; `None` for what never changes.
    until: Option<Instant>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Hot> for Weight {
    fn weight(&self, path: &Box<str>, hot: &Hot) -> u64 {
        (path.len() + hot.answer.body.len()) as u64 + ENTRY_OVERHEAD
    }
}

impl Own {
    /// The face of a log that is open. What it lacks is recorded by `fetch`, which must have been given the same log;
    /// evidence of a fork is kept in `store`. Where lookups wait for witnesses, they wait `hold` at most.
    pub fn new(log: Log, fetch: Fetch, store: Store, hold: Duration) -> Self {
        let name = log.name().into();
        Self::with(name, Door::Open(Box::new(Open { log, fetch, store, hold })))
    }

    /// The face of a log that could not be opened: every question is answered with 503.
    pub fn closed(name: &str, reason: &str) -> Self {
        Self::with(name.into(), Door::Closed { reason: reason.into() })
    }

    fn with(name: Box<str>, door: Door) -> Self {
        let estimate = usize::try_from(HOT_BYTES_MAX / TYPICAL_ENTRY).unwrap_or(usize::MAX);
        Self(Arc::new(Inner { name, door, hot: Cache::with_weighter(estimate, HOT_BYTES_MAX, Weight) }))
    }

    /// Its name, which is that of its key.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What follows our base URL in a decoded path without its leading slash: behind `log/` and behind `sumdb/NAME/`.
    pub fn path_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        match path.strip_prefix("sumdb/") {
            Some(relayed) => self.relayed(relayed),
            None => path.strip_prefix("log/"),
        }
    }

    /// The same of what follows `sumdb/`. Names are compared as text and at a slash (I21).
    pub fn relayed<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.name())?.strip_prefix('/')
    }

    /// The answer for a path below our base URL, if it is in memory: one look, no await.
    pub fn hot(&self, path: &str) -> Option<RelayAnswer> {
        let hot = self.0.hot.get(path)?;
        hot.until.is_none_or(|until| Instant::now() < until).then_some(hot.answer)
    }

    /// Answers a path below our base URL, as `lookup/example.com/m@v1.0.0`.
    ///
    /// Cancel safe: a version that is being recorded is recorded for the next caller.
    pub async fn answer(&self, path: &str, reach: Reach) -> Result<RelayAnswer, RelayError> {
        let open = self.open()?;
        let log = &open.log;
        let ask = AskOwn::parse(path)?;
        let body = match &ask {
            AskOwn::Plain(Ask::Supported) => Bytes::new(),
            AskOwn::Plain(Ask::Latest) => log.latest_note(),
            AskOwn::Checkpoint => log.checkpoint().ok_or_else(|| self.not_cosigned())?,
            AskOwn::Plain(Ask::Lookup(of)) => look_up(open, of, reach).await?,
            AskOwn::Plain(Ask::Tile(tile)) => self.tile(log, *tile).await?,
            AskOwn::Bundle(tile) => self.bundle(log, *tile).await?,
            AskOwn::Proof(of) => {
                let asked = of.clone();
                let found = read(log, self.name(), move |log| {
                    let (module, version) = (asked.path().as_str(), asked.version().as_str());
                    let proof = log.proof(module, version)?;
                    let is_recorded = proof.is_some() || log.find(module, version)?.is_some();
                    Ok((proof, is_recorded))
                });
                match found.await? {
                    (Some(proof), _) => proof,
                    (None, true) => return Err(self.not_cosigned()),
                    (None, false) => return Err(not_recorded(of)),
                }
            }
            AskOwn::Provenance(of) => self.provenance(log, of).await?,
        };
        let answer = finished(body, object_of(&ask));
        self.remember(path, &answer);
        Ok(answer)
    }

    /// Compares a head of this log that somebody was shown with what is published (spec D, `audit gossip`). Evidence of a
    /// fork is kept.
    ///
    /// Cancel safe.
    pub async fn compare(&self, note: Bytes) -> Result<Comparison, RelayError> {
        let Open { log, store, .. } = self.open()?;
        let found = read(log, self.name(), move |log| log.compare(&note)).await?;
        if let Comparison::Inconsistent { theirs, ours, evidence } = &found {
            let evidence = Evidence {
                kind: EvidenceKind::Fork,
                module: self.name().to_owned(),
                version: String::new(),
                recorded: format!("{} at size {}", ours.root, ours.size),
                received: format!("{} at size {}", theirs.root, theirs.size),
                source: "gossip".to_owned(),
                detail: evidence.clone(),
                body: None,
            };
            // A full disk must not keep the news from whoever asks; the event that told it has the evidence too.
            let _ = store.keep_evidence(evidence).await;
        }
        Ok(found)
    }

    fn open(&self) -> Result<&Open, RelayError> {
        match &self.0.door {
            Door::Open(open) => Ok(open),
            Door::Closed { reason } => {
                Err(RelayError::Closed { log: self.name().into(), reason: Arc::clone(reason) })
            }
        }
    }

    /// Cosignatures are required, and no checkpoint has enough of them yet (B3).
    fn not_cosigned(&self) -> RelayError {
        let reason = "no checkpoint has as many cosignatures as are required yet".into();
        RelayError::Down { log: self.name().into(), reason }
    }

    async fn tile(&self, log: &Log, tile: Tile) -> Result<Bytes, RelayError> {
        let found = read(log, self.name(), move |log| log.tile(&tile)).await?;
        found.ok_or(RelayError::NoSuchTile { reason: "it is beyond the tree" })
    }

    /// The same records in the framing of tlog-tiles, which is not kept: cut from the data tile (B1).
    async fn bundle(&self, log: &Log, tile: Tile) -> Result<Bytes, RelayError> {
        let records = self.tile(log, tile).await?;
        let bundle = bundle_of(&records, tile.width());
        bundle.map(Bytes::from).map_err(|error| closed(self.name(), error.to_string()))
    }

    async fn provenance(&self, log: &Log, of: &ModuleVersion) -> Result<Bytes, RelayError> {
        let asked = of.clone();
        let found = read(log, self.name(), move |log| {
            let (module, version) = (asked.path().as_str(), asked.version().as_str());
            Ok((log.provenance(module, version)?, log.find(module, version)?))
        });
        match found.await? {
            (Some(proof), _) => Ok(proof),
            (None, None) => Err(not_recorded(of)),
            (None, Some(_)) => {
                let what =
                    format!("{of} was not taken from another database: its record is our own word").into();
                Err(RelayError::NoSuchProof { what })
            }
        }
    }

    fn remember(&self, path: &str, answer: &RelayAnswer) {
        let until = match answer.object {
            RelayObject::OwnLatest | RelayObject::Checkpoint | RelayObject::Supported => return,
            RelayObject::OwnLookup | RelayObject::Proof => Some(Instant::now() + LOOKUP_FOR),
            _ => None,
        };
        self.0.hot.insert(path.into(), Hot { answer: answer.clone(), until });
    }
}

/// What is recorded, or recorded now (A6, "Lookup"); shown once the witnesses have seen it, where that is wanted (B3).
async fn look_up(open: &Open, of: &ModuleVersion, reach: Reach) -> Result<Bytes, RelayError> {
    let Open { log, fetch, hold, .. } = open;
    let lookup = || {
        let asked = of.clone();
        read(log, log.name(), move |log| log.lookup(asked.path().as_str(), asked.version().as_str()))
    };
    if let Some(answer) = lookup().await? {
        return Ok(answer);
    }
    fetch.record(of, reach).await?;
    if let Some(answer) = lookup().await? {
        return Ok(answer);
    }
    let shown = log.shown(of.path().as_str(), of.version().as_str());
    let Ok(shown) = tokio::time::timeout(*hold, shown).await else {
        let (subject, log) = (Subject::version(of), log.name().into());
        let reason = "recorded, and not cosigned by enough witnesses yet".into();
        return Err(Failure::LogBusy { subject, log, reason, retry_after: UNSEEN_FOR }.into());
    };
    shown.map_err(|error| closed(log.name(), error.to_string()))?;
    let lost = || {
        let reason = "recorded, and not in the log".into();
        Failure::Internal { subject: Subject::version(of), reason }.into()
    };
    lookup().await?.ok_or_else(lost)
}

/// Reads from the log where it may block.
async fn read<T: Send + 'static>(
    log: &Log,
    name: &str,
    work: impl FnOnce(&Log) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, RelayError> {
    let own = log.clone();
    match tokio::task::spawn_blocking(move || work(&own)).await {
        Ok(outcome) => outcome.map_err(|error| closed(name, error.to_string())),
        Err(error) => Err(closed(name, error.to_string())),
    }
}

/// What is kept cannot be read back: nothing that may be false is served.
fn closed(log: &str, reason: String) -> RelayError {
    RelayError::Closed { log: log.into(), reason: reason.into() }
}

fn not_recorded(of: &ModuleVersion) -> RelayError {
    Failure::NotCached { subject: Subject::version(of) }.into()
}

fn object_of(ask: &AskOwn) -> RelayObject {
    match ask {
        AskOwn::Plain(Ask::Latest) => RelayObject::OwnLatest,
        AskOwn::Plain(Ask::Lookup(_)) => RelayObject::OwnLookup,
        AskOwn::Plain(Ask::Tile(tile)) if tile.is_data() && tile.is_full() => RelayObject::OwnFullDataTile,
        AskOwn::Plain(Ask::Tile(tile)) if tile.is_data() => RelayObject::OwnPartialDataTile,
        AskOwn::Plain(plain) => RelayObject::of(plain),
        AskOwn::Bundle(tile) if tile.is_full() => RelayObject::FullDataTile,
        AskOwn::Bundle(_) => RelayObject::PartialDataTile,
        AskOwn::Checkpoint => RelayObject::Checkpoint,
        AskOwn::Proof(_) => RelayObject::Proof,
        AskOwn::Provenance(_) => RelayObject::Provenance,
    }
}

fn finished(body: Bytes, object: RelayObject) -> RelayAnswer {
    let etag = Bytes::from(format!("\"sha256-{}\"", Sha256Sum::of(&body)));
    RelayAnswer { body, object, etag }
}
