//! A checksum database as a client sees it, and as a relay serves it.
//!
//! The rules are in `tlog`'s state machines; this file fetches what they ask for, keeps what they have
//! authenticated, and guards the one thing that must never go wrong: the newest head we believe, which
//! is saved with compare-and-set and only ever replaced by one proven to continue it.

mod compare;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use modkeep_egress::{Egress, HostPort};
use modkeep_module::ModuleVersion;
use modkeep_store::{Evidence, EvidenceKind, Foreign, Store};
use modkeep_tlog::client::{
    ClientError, Fork, Head, HeadOutcome, Lookup, Outcome, ProvenRecord, Step, TileCheck,
};
use modkeep_tlog::head::SignedHead;
use modkeep_tlog::note::VerifierKey;
use modkeep_tlog::record::lookup_path;
use modkeep_tlog::tile::Tile;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use crate::base::{Ask, Base, Patience};
use crate::chain::{Chain, Entry, Separator};
use crate::error::Error;
use crate::gosumdb::{GoSumDb, home_of};

/// Tiles fetched at once for one question.
const TILES_AT_ONCE: usize = 8;
/// A full hash tile has 8,192 bytes; a data tile 256 records of a few hundred.
const TILE_MAX: u64 = 1024 * 1024;
const LOOKUP_MAX: u64 = 64 * 1024;
const HEAD_MAX: u64 = 64 * 1024;
/// `supported` has no body; a server that sends one anyway is not read to the end of time.
const SUPPORTED_MAX: u64 = 64 * 1024;
/// How long `latest` is answered without asking again (A6).
const LATEST_FOR: Duration = Duration::from_mins(1);
/// How often the head is merged again when another process moves it at the same moment.
const MERGES_MAX: usize = 8;
/// Steps of one machine; each adds tiles of a tree of at most 8 levels, so honest lookups need a handful.
const STEPS_MAX: usize = 64;

/// Which database, and the ways to it (A7).
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Whose signatures are believed. The key's name is the database's name.
    pub key: VerifierKey,
    /// Where it is; then nobody is asked. Otherwise each of `proxies` is asked whether it relays this
    /// database, and after them `https://NAME`.
    pub url: Option<Url>,
    /// The chain of mirrors.
    pub proxies: Vec<(Entry, Separator)>,
    /// How long answers may take.
    pub patience: Patience,
}

impl DatabaseConfig {
    /// From the two variables, as the go command reads them; `None` for `off`.
    pub fn of(database: &GoSumDb, chain: &Chain) -> Option<Self> {
        let GoSumDb::On { key, url } = database else { return None };
        let patience = Patience::default();
        Some(Self { key: key.clone(), url: url.clone(), proxies: chain.entries().to_vec(), patience })
    }

    /// Hosts and ports it may be reached at, for the gate's list of named infrastructure.
    pub fn places(&self) -> Vec<HostPort> {
        let home = home_of(self.key.name());
        let proxies = self.proxies.iter().filter_map(|(entry, _)| match entry {
            Entry::Proxy(url) => Some(url),
            _ => None,
        });
        self.url.iter().chain(home.iter()).chain(proxies).filter_map(HostPort::of).collect()
    }
}

/// Why a database did not vouch for something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database says that it cannot have such a record (404, 410).
    #[error("{log}: not found{}{text}", if text.is_empty() { "" } else { ": " })]
    NotFound {
        /// The database's name.
        log: String,
        /// Its own words: at most 8 lines of printable text, possibly none.
        text: String,
    },
    /// The database cannot be reached, is in trouble, or sends nonsense without a signature on it. Nothing
    /// can be said about the version; a later try may succeed.
    #[error("{log} does not answer: {reason}")]
    Away {
        /// The database's name.
        log: String,
        /// What happened.
        reason: String,
        /// When to try again, where that is known.
        retry_after: Option<Duration>,
    },
    /// Two signed heads of this database contradict each other. Both are kept as evidence, and nothing more
    /// is asked or believed until an operator calls [`Database::resume`].
    #[error("{log} showed a tree that does not extend the one verified at size {size}")]
    Inconsistent {
        /// The database's name.
        log: String,
        /// The size of the head we had verified before.
        size: u64,
    },
    /// An authentic record that has no line for this version; a security matter (I10, I12).
    #[error("{log}: record {id} has no checksum for {version}")]
    MissingLine {
        /// The database's name.
        log: String,
        /// The record.
        id: u64,
        /// Whose line is missing.
        version: String,
    },
    /// Answers that do not fit the signed head, even with all caches left out (I11, I13).
    #[error("{log}: cannot be verified: {what}")]
    Unverifiable {
        /// The database's name.
        log: String,
        /// What did not fit.
        what: String,
    },
    /// Our own store failed.
    #[error("{0}")]
    Store(modkeep_store::Error),
}

impl DatabaseError {
    /// When to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Away { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// One checksum database. Cheap to clone; clones share the head, the cache and the way that was found.
///
/// Cancel safe throughout: whatever was authenticated before a caller left is kept or fetched again.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    key: VerifierKey,
    proxies: Vec<(Base, Separator)>,
    home: Base,
    explicit: bool,
    way: OnceCell<Base>,
    foreign: Foreign,
    store: Store,
    /// The size at which a second history was shown.
    stopped: Mutex<Option<u64>>,
    /// The size of the newest head that was verified, as far as this process has looked.
    verified: AtomicU64,
    /// The size of the newest head that its key has signed, as far as this process has seen.
    signed: AtomicU64,
    /// When the head was last confirmed.
    confirmed: Mutex<Option<Instant>>,
    /// Held while the head is read, merged and saved.
    head: tokio::sync::Mutex<()>,
}

impl Database {
    /// A client of a database, its memory in the store. Nothing is asked until the first question.
    pub fn new(config: DatabaseConfig, egress: Egress, store: Store) -> Result<Self, modkeep_store::Error> {
        let foreign = store.foreign(config.key.name())?;
        let base = |url: &Url| Base::of(url, &egress).map(|base| base.with_patience(config.patience));
        let missing = || Base::Folder(std::path::PathBuf::new());
        let home = match &config.url {
            Some(url) => base(url),
            None => home_of(config.key.name()).as_ref().and_then(base),
        };
        let proxies = config.proxies.iter().filter_map(|(entry, separator)| match entry {
            Entry::Proxy(url) => base(url).map(|base| (base, *separator)),
            Entry::Tree(folder) => Some((Base::Folder(folder.clone()), *separator)),
            Entry::Direct | Entry::Off => None,
        });
        let inner = Inner {
            proxies: proxies.collect(),
            home: home.unwrap_or_else(missing),
            explicit: config.url.is_some(),
            way: OnceCell::new(),
            foreign,
            store,
            stopped: Mutex::default(),
            verified: AtomicU64::new(0),
            signed: AtomicU64::new(0),
            confirmed: Mutex::default(),
            head: tokio::sync::Mutex::default(),
            key: config.key,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Its name, as in `sum.golang.org`.
    pub fn name(&self) -> &str {
        self.0.key.name()
    }

    /// The key its signatures are checked with.
    pub fn key(&self) -> &VerifierKey {
        &self.0.key
    }

    /// The newest head that was verified, if any.
    pub async fn verified_head(&self) -> Result<Option<SignedHead>, DatabaseError> {
        match self.0.foreign.head().await.map_err(DatabaseError::Store)? {
            None => Ok(None),
            Some(note) => {
                let head = SignedHead::open(&note, &self.0.key)
                    .map_err(|error| self.unverifiable(format!("the saved head: {error}")))?;
                self.0.verified.store(head.size().get(), Relaxed);
                Ok(Some(head))
            }
        }
    }

    /// The size of the newest verified head, 0 until this process has looked: the gauge `upstream_log_verified_size`.
    pub fn verified_size(&self) -> u64 {
        self.0.verified.load(Relaxed)
    }

    /// How many records the newest signed head that we saw has more than the newest verified one: the gauge
    /// `upstream_log_lag_records`. More than 0 for longer than a moment means heads that cannot be verified.
    pub fn lag_records(&self) -> u64 {
        self.0.signed.load(Relaxed).saturating_sub(self.verified_size())
    }

    /// The size at which a second history was shown, while the database is stopped for it.
    pub fn is_stopped(&self) -> Option<u64> {
        *lock(&self.0.stopped)
    }

    /// The operator has looked at the evidence and wants the database used again. The head verified first
    /// stays; if the other history shows up once more, the database stops once more. A restart of the
    /// program resumes as well, with the same saved head.
    pub fn resume(&self) {
        *lock(&self.0.stopped) = None;
    }

    /// The proven record of a module version: proven anew from what the store keeps, if that suffices,
    /// else from the database (A8).
    ///
    /// Cancel safe.
    pub async fn lookup(&self, version: &ModuleVersion) -> Result<ProvenRecord, DatabaseError> {
        match self.prove_from_store(version).await? {
            Some(record) => Ok(record),
            None => self.prove(version).await.map(|outcome| outcome.record),
        }
    }

    /// The newest head: at most 60 s old, verified; the last verified one while the database is away (A6).
    ///
    /// Cancel safe.
    pub async fn relay_latest(&self) -> Result<Vec<u8>, DatabaseError> {
        self.refuse_if_stopped()?;
        let known = self.verified_head().await?;
        let fresh = lock(&self.0.confirmed).is_some_and(|at| at.elapsed() < LATEST_FOR);
        if let Some(head) = known.as_ref().filter(|_| fresh) {
            return Ok(head.note().to_vec());
        }
        match (self.refresh_head().await, known) {
            (Ok(head), _) | (Err(DatabaseError::Away { .. }), Some(head)) => Ok(head.note().to_vec()),
            (Err(error), _) => Err(error),
        }
    }

    /// The answer to `lookup/M@V`: from the store for ever once it was proven, whatever has become of the
    /// database since (P-101, P-102).
    ///
    /// Cancel safe.
    pub async fn relay_lookup(&self, version: &ModuleVersion) -> Result<Vec<u8>, DatabaseError> {
        match self.cached_lookup(version).await? {
            Some(bytes) => Ok(bytes),
            None => self.prove(version).await.map(|outcome| outcome.lookup),
        }
    }

    /// The bytes of a tile of hashes or records: from the store, else fetched and checked against the head
    /// we believe. A tile beyond that head is looked for under the newest one, and then not found (I05).
    ///
    /// Cancel safe.
    pub async fn relay_tile(&self, tile: &Tile) -> Result<Vec<u8>, DatabaseError> {
        if let Some(bytes) = self.cached_tile(tile).await? {
            return Ok(bytes);
        }
        self.refuse_if_stopped()?;
        let known = self.verified_head().await?.filter(|head| tile.is_within(head.size()));
        let known = match known {
            Some(head) => head,
            None => self.refresh_head().await?,
        };
        if !tile.is_within(known.size()) {
            return Err(DatabaseError::NotFound {
                log: self.name().to_owned(),
                text: format!("the tree has {} records", known.size()),
            });
        }
        self.check_tile(known, tile).await
    }

    /// The head in the store, without asking anybody.
    pub async fn cached_latest(&self) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.0.foreign.head().await.map_err(DatabaseError::Store)
    }

    /// A lookup answer in the store, without asking anybody.
    pub async fn cached_lookup(&self, version: &ModuleVersion) -> Result<Option<Vec<u8>>, DatabaseError> {
        let path = lookup_path(version.path().as_str(), version.version().as_str());
        self.0.foreign.get(&path).await.map_err(DatabaseError::Store)
    }

    /// A tile in the store, or the front of a wider one there, without asking anybody.
    pub async fn cached_tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, DatabaseError> {
        if let Some(bytes) = self.0.foreign.get(&tile.path()).await.map_err(DatabaseError::Store)? {
            return Ok(Some(bytes));
        }
        // A partial tile is the front of its later self; records of a data tile have no fixed width.
        if tile.is_full() || tile.is_data() {
            return Ok(None);
        }
        let mut wider = vec![tile.full()];
        wider
            .extend(self.stored_widths(tile).await?.into_iter().filter(|other| other.width() > tile.width()));
        // The narrowest first. A damaged one is as good as none (R13); the next may be whole.
        wider.sort_unstable_by_key(Tile::width);
        for other in wider {
            let stored = self.0.foreign.get(&other.path()).await.map_err(DatabaseError::Store)?;
            if let Some(front) = stored.as_deref().and_then(|bytes| bytes.get(..tile.width() as usize * 32)) {
                return Ok(Some(front.to_vec()));
            }
        }
        Ok(None)
    }

    /// The partial tiles in the store at the place of this one.
    async fn stored_widths(&self, tile: &Tile) -> Result<Vec<Tile>, DatabaseError> {
        let folder = format!("{}.p", tile.full().path());
        let paths = self.0.foreign.list(&folder).await.map_err(DatabaseError::Store)?;
        Ok(paths.iter().filter_map(|path| Tile::parse(path).ok()).collect())
    }

    /// Proves a record under the head that came with it, from the store alone; `None` if something is
    /// missing there. An answer is stored only after its head was merged with ours, so this head is part of
    /// the history that we believe.
    async fn prove_from_store(&self, version: &ModuleVersion) -> Result<Option<ProvenRecord>, DatabaseError> {
        let Some(answer) = self.cached_lookup(version).await? else { return Ok(None) };
        let (module, text) = (version.path().as_str(), version.version().as_str());
        let mut machine = Lookup::new(self.0.key.clone(), None, module, text);
        for _ in 0..STEPS_MAX {
            match machine.step() {
                Step::NeedLookup { bypass_cache: false, .. } => machine.supply_lookup(&answer),
                Step::NeedTiles { tiles, bypass_cache: false } => {
                    for tile in tiles {
                        let Some(bytes) = self.cached_tile(&tile).await? else { return Ok(None) };
                        machine.supply_tile(&tile, Some(&bytes));
                    }
                }
                Step::Done(outcome) => return Ok(Some(outcome.record)),
                Step::NeedLookup { .. } | Step::NeedTiles { .. } | Step::Failed(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Runs the lookup machine to its end, saves what it authenticated, and merges its head with ours.
    async fn prove(&self, version: &ModuleVersion) -> Result<Box<Outcome>, DatabaseError> {
        self.refuse_if_stopped()?;
        let known = self.verified_head().await?;
        let (module, text) = (version.path().as_str(), version.version().as_str());
        let mut machine = Lookup::new(self.0.key.clone(), known.clone(), module, text);
        for _ in 0..STEPS_MAX {
            match machine.step() {
                Step::NeedLookup { path, bypass_cache } => {
                    machine.supply_lookup(&self.lookup_bytes(&path, bypass_cache).await?);
                }
                Step::NeedTiles { tiles, bypass_cache } => {
                    for (tile, bytes) in self.tiles(tiles, bypass_cache).await? {
                        machine.supply_tile(&tile, bytes.as_deref());
                    }
                }
                Step::Done(outcome) => {
                    self.keep(&outcome.tiles).await?;
                    self.advance(known, &outcome.head).await?;
                    let path = lookup_path(module, text);
                    self.put(vec![(path, outcome.lookup.clone())]).await?;
                    return Ok(outcome);
                }
                Step::Failed(error) => {
                    if let Some(head) = machine.established().cloned() {
                        self.advance(known, &head).await?;
                    }
                    return Err(self.refused(error, version).await);
                }
            }
        }
        Err(self.unverifiable("the proof has no end".to_owned()))
    }

    /// Asks for the newest head and moves ours forward to it.
    async fn refresh_head(&self) -> Result<SignedHead, DatabaseError> {
        let known = self.verified_head().await?;
        let candidate = self.remote(Ask::plain("latest", HEAD_MAX)).await?;
        let outcome = self.check_head(known.clone(), &candidate).await?;
        self.keep(&outcome.tiles).await?;
        let head = self.advance(known, &outcome.head).await?;
        *lock(&self.0.confirmed) = Some(Instant::now());
        Ok(head)
    }

    /// Proves that a head continues, or is continued by, the known one.
    async fn check_head(
        &self,
        known: Option<SignedHead>,
        candidate: &[u8],
    ) -> Result<Box<HeadOutcome>, DatabaseError> {
        match self.proven_head(known, candidate).await? {
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(self.refused_head(error).await),
        }
    }

    /// The same, and says why not.
    async fn proven_head(
        &self,
        known: Option<SignedHead>,
        candidate: &[u8],
    ) -> Result<Result<Box<HeadOutcome>, ClientError>, DatabaseError> {
        if let Ok(signed) = SignedHead::open(candidate, &self.0.key) {
            self.0.signed.fetch_max(signed.size().get(), Relaxed);
        }
        let mut machine = Head::new(self.0.key.clone(), known, candidate);
        for _ in 0..STEPS_MAX {
            match machine.step() {
                Step::NeedTiles { tiles, bypass_cache } => {
                    for (tile, bytes) in self.tiles(tiles, bypass_cache).await? {
                        machine.supply_tile(&tile, bytes.as_deref());
                    }
                }
                Step::Done(outcome) => return Ok(Ok(outcome)),
                Step::Failed(error) => return Ok(Err(error)),
                Step::NeedLookup { .. } => break,
            }
        }
        Ok(Err(ClientError::Ended))
    }

    async fn check_tile(&self, known: SignedHead, tile: &Tile) -> Result<Vec<u8>, DatabaseError> {
        let mut machine = TileCheck::new(known, *tile);
        for _ in 0..STEPS_MAX {
            match machine.step() {
                Step::NeedTiles { tiles, bypass_cache } => {
                    for (tile, bytes) in self.tiles(tiles, bypass_cache).await? {
                        machine.supply_tile(&tile, bytes.as_deref());
                    }
                }
                Step::Done(outcome) => {
                    self.keep(&outcome.tiles).await?;
                    return Ok(outcome.bytes);
                }
                Step::Failed(error) => return Err(self.refused_head(error).await),
                Step::NeedLookup { .. } => break,
            }
        }
        Err(self.unverifiable("the proof has no end".to_owned()))
    }

    /// Makes `head` the saved one if it is the newest, and says which is saved then.
    ///
    /// `proven_under` is the head that `head` was checked against. If the saved one has moved on since, by
    /// another lookup or another process, `head` is checked against that one too before anything is
    /// decided: two heads that each continue an old one may still contradict each other.
    async fn advance(
        &self,
        proven_under: Option<SignedHead>,
        head: &SignedHead,
    ) -> Result<SignedHead, DatabaseError> {
        if let Some(saved) = self.verified_head().await?
            && proven_under.as_ref() == Some(&saved)
            && saved.size() >= head.size()
        {
            return Ok(saved);
        }
        // One at a time; the compare-and-set below is for other processes.
        let _turn = self.0.head.lock().await;
        let mut checked = proven_under;
        for _ in 0..MERGES_MAX {
            let saved = self.verified_head().await?;
            if saved != checked {
                let outcome = self.check_head(saved.clone(), head.note()).await?;
                self.keep(&outcome.tiles).await?;
                checked = saved;
                continue;
            }
            if let Some(saved) = saved.clone().filter(|saved| saved.size() >= head.size()) {
                return Ok(saved);
            }
            let expected = saved.as_ref().map(SignedHead::note);
            if self.0.foreign.save_head(expected, head.note()).await.map_err(DatabaseError::Store)? {
                self.0.verified.store(head.size().get(), Relaxed);
                return Ok(head.clone());
            }
        }
        Err(self.unverifiable("the saved head never stands still".to_owned()))
    }

    async fn lookup_bytes(&self, path: &str, bypass_cache: bool) -> Result<Vec<u8>, DatabaseError> {
        if !bypass_cache && let Some(bytes) = self.0.foreign.get(path).await.map_err(DatabaseError::Store)? {
            return Ok(bytes);
        }
        self.remote(Ask { bypass_caches: bypass_cache, ..Ask::plain(path, LOOKUP_MAX) }).await
    }

    /// Fetches tiles, several at once; `None` for those that the database does not have.
    async fn tiles(
        &self,
        tiles: Vec<Tile>,
        bypass_cache: bool,
    ) -> Result<HashMap<Tile, Option<Vec<u8>>>, DatabaseError> {
        let mut arriving =
            stream::iter(tiles).map(|tile| self.tile(tile, bypass_cache)).buffer_unordered(TILES_AT_ONCE);
        let mut found = HashMap::new();
        while let Some(answer) = arriving.next().await {
            let (tile, bytes) = answer?;
            found.insert(tile, bytes);
        }
        Ok(found)
    }

    async fn tile(&self, tile: Tile, bypass_cache: bool) -> Result<(Tile, Option<Vec<u8>>), DatabaseError> {
        if !bypass_cache && let Some(bytes) = self.cached_tile(&tile).await? {
            return Ok((tile, Some(bytes)));
        }
        let path = tile.path();
        let ask = Ask { bypass_caches: bypass_cache, ..Ask::plain(&path, TILE_MAX) };
        match self.remote(ask).await {
            Ok(bytes) => Ok((tile, Some(bytes))),
            Err(DatabaseError::NotFound { .. }) => Ok((tile, None)),
            Err(error) => Err(error),
        }
    }

    async fn remote(&self, ask: Ask<'_>) -> Result<Vec<u8>, DatabaseError> {
        let way = self.way().await?;
        way.bytes(ask).await.map(Vec::from).map_err(|error| self.of_upstream(error))
    }

    /// Where the database is reached. Found once and remembered (A7); trouble while finding it is not.
    async fn way(&self) -> Result<&Base, DatabaseError> {
        self.0.way.get_or_try_init(|| self.find_way()).await
    }

    async fn find_way(&self) -> Result<Base, DatabaseError> {
        if self.0.explicit {
            return Ok(self.0.home.clone());
        }
        let relay = format!("sumdb/{}", self.name());
        for (proxy, separator) in &self.0.proxies {
            let asked = proxy.bytes(Ask::plain(&format!("{relay}/supported"), SUPPORTED_MAX)).await;
            match asked {
                Ok(_) => return Ok(proxy.below(&relay)),
                Err(error) if error.is_not_found() || *separator == Separator::Pipe => {}
                Err(error) => return Err(self.of_upstream(error)),
            }
        }
        Ok(self.0.home.clone())
    }

    async fn keep(&self, tiles: &[(Tile, Vec<u8>)]) -> Result<(), DatabaseError> {
        self.put(tiles.iter().map(|(tile, bytes)| (tile.path(), bytes.clone())).collect()).await
    }

    async fn put(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), DatabaseError> {
        if files.is_empty() {
            return Ok(());
        }
        match self.0.foreign.put(files).await {
            // What was proven is proven; a full disk only means that it will be fetched again.
            Err(modkeep_store::Error::DiskFull { .. } | modkeep_store::Error::ReadOnly { .. }) => Ok(()),
            other => other.map_err(DatabaseError::Store),
        }
    }

    fn refuse_if_stopped(&self) -> Result<(), DatabaseError> {
        match self.is_stopped() {
            Some(size) => Err(DatabaseError::Inconsistent { log: self.name().to_owned(), size }),
            None => Ok(()),
        }
    }

    async fn refused(&self, error: ClientError, version: &ModuleVersion) -> DatabaseError {
        match error {
            ClientError::MissingLine { id, .. } => DatabaseError::MissingLine {
                log: self.name().to_owned(),
                id: id.get(),
                version: version.to_string(),
            },
            other => self.refused_head(other).await,
        }
    }

    async fn refused_head(&self, error: ClientError) -> DatabaseError {
        match error {
            ClientError::Fork(fork) => self.stop(&fork).await,
            other => self.unverifiable(other.to_string()),
        }
    }

    /// Two histories: keeps both heads and the proof, and stops.
    async fn stop(&self, fork: &Fork) -> DatabaseError {
        let size = fork.known.size().get();
        *lock(&self.0.stopped) = Some(size);
        let source = self.0.way.get().map(Base::name).unwrap_or_default();
        let evidence = Evidence {
            kind: EvidenceKind::Fork,
            module: self.name().to_owned(),
            version: String::new(),
            recorded: format!("{} at size {size}", fork.known.root()),
            received: format!("{} at size {}", fork.new.root(), fork.new.size()),
            source,
            detail: fork.report(),
            body: None,
        };
        // The heads must not be lost with a full disk: the log has them then.
        if let Err(error) = self.0.store.keep_evidence(evidence).await {
            tracing::error!(log = self.name(), %error, report = fork.report(), "evidence of a fork could not be stored");
        }
        DatabaseError::Inconsistent { log: self.name().to_owned(), size }
    }

    fn unverifiable(&self, what: String) -> DatabaseError {
        DatabaseError::Unverifiable { log: self.name().to_owned(), what }
    }

    fn of_upstream(&self, error: Error) -> DatabaseError {
        let log = self.name().to_owned();
        match error {
            Error::NotFound { text, .. } => DatabaseError::NotFound { log, text },
            Error::Store(error) => DatabaseError::Store(error),
            other => {
                let retry_after = other.retry_after();
                DatabaseError::Away { log, reason: other.to_string(), retry_after }
            }
        }
    }
}

/// Every critical section here is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
