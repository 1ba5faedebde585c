//! The house, built bottom-up from the configuration.

mod log;
mod origin;

pub(crate) use log::{Door, unremembered};
pub(crate) use origin::announced;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::{AllowRule, Egress, HostPort, ProxyEnv, user_agent};
use modkeep_fetch::{Fetch, Lifetimes, Link, Observer};
use modkeep_module::Patterns;
use modkeep_origin::Origin;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_sumdb::Relay;
use modkeep_tlog::VerifierKey;
use modkeep_upstream::{Chain, Database, DatabaseConfig, Entry, GoSumDb, Patience, Separator, Upstream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::config::{Effective, Size};
use crate::exit::{Exit, Failed};

/// The hidden subcommand in which this program keeps a jail for another one.
pub(crate) const JAIL: &str = "__jail";

/// Everything below the faces, as one process uses it.
pub(crate) struct House {
    pub(crate) store: Store,
    /// What modules are checked against; none where checking is off.
    pub(crate) database: Option<Database>,
    pub(crate) fetch: Fetch,
    pub(crate) origin: Origin,
    pub(crate) private: Patterns,
    /// Our own checksum database, as far as this process keeps it.
    pub(crate) log: Door,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl House {
    /// Opens the store as its only writer and connects the rooms; the log stays as it is. Must be called within a runtime.
    pub(crate) fn build(
        effective: &Effective,
        sources: &Sources,
        observer: Observer,
    ) -> Result<Self, Failed> {
        Self::connect(effective, sources, observer, None)
    }

    /// The same, and keeps the log where the configuration enables one.
    pub(crate) fn build_with_log(
        effective: &Effective,
        sources: &Sources,
        observer: Observer,
        told: modkeep_log::Observer,
    ) -> Result<Self, Failed> {
        Self::connect(effective, sources, observer, Some(told))
    }

    fn connect(
        effective: &Effective,
        sources: &Sources,
        observer: Observer,
        told: Option<modkeep_log::Observer>,
    ) -> Result<Self, Failed> {
        let plan = match told {
            Some(told) => log::plan(effective)?.map(|plan| (plan, told)),
            None => None,
        };
        let gosumdb = gosumdb(effective)?;
        let (private, unchecked) = (private(effective)?, unchecked(effective, &gosumdb)?);
        let witnesses = plan.as_ref().map(|(plan, _)| plan.witnesses()).unwrap_or_default();
        let egress = egress(effective, sources, &witnesses)?;
        let store = Store::open(store_config(effective)?, Arc::new(SystemClock))?;
        let patience = patience(effective);
        store.set_work_bytes_max(effective.config.origin.cache_max.0);
        let origin = repositories(effective, &egress, &store)?;
        let database = Database::new(database_config(effective, sources)?, egress.clone(), store.clone())?;
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let log::Opened { door: log, own, collectors } = log::open(plan, &store, &egress);
        let fetch = Fetch::new(modkeep_fetch::Parts {
            store: store.clone(),
            chain: sources.chain(&egress, patience, &origin),
            database: Some(database.clone()),
            unchecked,
            private: private.clone(),
            own,
            config: fetch_config(effective),
            observer,
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        });
        let database = matches!(gosumdb, GoSumDb::On { .. }).then_some(database);
        let house = Self { store, database, fetch, origin, private, log, tracker, cancel };
        for collector in collectors {
            house.keep(collector.run());
        }
        Ok(house)
    }

    /// The relay of the checksum database that we check against ourselves.
    pub(crate) fn relay(&self, hold: Duration) -> Relay {
        Relay::new(modkeep_sumdb::Parts {
            databases: self.database.iter().cloned().collect(),
            private: self.private.clone(),
            hold,
            tracker: self.tracker.clone(),
            cancel: self.cancel.clone(),
        })
    }

    /// Runs something until the house is closed.
    pub(crate) fn keep(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Runs something to its end, which it comes to by itself once the house is being closed.
    pub(crate) fn keep_to_end<W: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> W,
    ) {
        self.tracker.spawn(work(self.cancel.clone()));
    }

    /// Lets flights go and waits for those at a point where they may not stop. Nothing acknowledged is lost.
    pub(crate) async fn close(self) {
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        if let Door::Open(log) = &self.log {
            log.close().await;
        }
    }
}

fn repositories(effective: &Effective, egress: &Egress, store: &Store) -> Result<Origin, Failed> {
    Ok(Origin::new(modkeep_origin::Parts {
        config: origin::config(effective)?,
        programs: Some(origin::programs(effective)?),
        egress: egress.clone(),
        store: store.clone(),
    }))
}

/// The way to repositories, for who wants to look at them and nothing else.
pub(crate) fn looking(effective: &Effective, store: &Store) -> Result<Origin, Failed> {
    repositories(effective, &egress(effective, &Sources::of(effective)?, &[])?, store)
}

/// Whether the configuration fits together and the world, without building anything.
pub(crate) fn check(effective: &Effective) -> Result<(), Failed> {
    log::plan(effective)?;
    let sources = Sources::of(effective)?;
    private(effective)?;
    unchecked(effective, &gosumdb(effective)?)?;
    store_config(effective)?;
    origin::config(effective)?;
    origin::programs(effective)?;
    egress(effective, &sources, &[]).map(drop)
}

/// The chain of sources, without this server itself.
pub(crate) struct Sources {
    entries: Vec<(Entry, Separator)>,
    /// What an operator should know before serving begins.
    pub(crate) warnings: Vec<String>,
}

impl Sources {
    pub(crate) fn of(effective: &Effective) -> Result<Self, Failed> {
        const KEY: &str = "origin.upstream";
        let text = &effective.config.origin.upstream;
        let slip = |reason: &str| Failed::from(effective.slip(KEY, reason));
        let chain = Chain::parse(text).map_err(|error| slip(&error.to_string()))?;
        let own = own_places(effective);
        let mut sources = Self { entries: Vec::new(), warnings: Vec::new() };
        for (entry, then) in chain.entries() {
            let is_own = matches!(entry, Entry::Proxy(url) if HostPort::of(url).is_some_and(|place| own.contains(&place)));
            if is_own && effective.is_from_go(KEY) {
                sources.warnings.push("GOPROXY names this server; it is left out of the chain".to_owned());
            } else if is_own {
                return Err(slip("names this server itself"));
            } else {
                sources.entries.push((entry.clone(), *then));
            }
        }
        if sources.entries.is_empty() {
            return Err(slip("leaves nobody to ask: name a mirror or a file:// tree, or say \"off\""));
        }
        Ok(sources)
    }

    /// Whether the repositories themselves may be asked.
    pub(crate) fn are_direct(&self) -> bool {
        self.entries.iter().any(|(entry, _)| matches!(entry, Entry::Direct))
    }

    /// Puts a tree before all others.
    pub(crate) fn after_tree(mut self, tree: PathBuf) -> Self {
        self.entries.insert(0, (Entry::Tree(tree), Separator::Pipe));
        self
    }

    fn chain(&self, egress: &Egress, patience: Patience, origin: &Origin) -> Vec<Link> {
        let link = |(entry, then): &(Entry, Separator)| match entry {
            Entry::Direct => Some(Link::origin(origin.clone(), *then)),
            entry => Some(Link::upstream(Upstream::of_entry(entry, egress)?.with_patience(patience), *then)),
        };
        self.entries.iter().filter_map(link).collect()
    }

    fn places(&self) -> Vec<HostPort> {
        let place = |(entry, _): &(Entry, Separator)| match entry {
            Entry::Proxy(url) => HostPort::of(url),
            _ => None,
        };
        self.entries.iter().filter_map(place).collect()
    }
}

/// Where this server listens, and its public name.
fn own_places(effective: &Effective) -> Vec<HostPort> {
    let server = &effective.config.server;
    let mut places = Vec::new();
    for listen in &server.listen {
        match listen.strip_prefix(':') {
            Some(port) => {
                places.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
            }
            None => places.push(listen.clone()),
        }
    }
    let mut places: Vec<HostPort> = places.iter().filter_map(|place| HostPort::parse(place).ok()).collect();
    places.retain(|place| place.port() != 0);
    places.extend(Url::parse(&server.public_url).ok().as_ref().and_then(HostPort::of));
    places
}

/// Where the data directory is and how much of the disk stays free.
pub(crate) fn store_config(effective: &Effective) -> Result<modkeep_store::Config, Failed> {
    let section = &effective.config.store;
    let path = if section.path.is_empty() { default_store()? } else { home_expanded(&section.path)? };
    let min_free = match section.min_free.as_str() {
        "auto" => MinFree::Auto,
        text => {
            MinFree::Bytes(Size::from_str(text).map_err(|reason| effective.slip("store.min_free", reason))?.0)
        }
    };
    Ok(modkeep_store::Config { path, min_free })
}

fn default_store() -> Result<PathBuf, Failed> {
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(data).join("modkeep"));
    }
    home_expanded("~/.local/share/modkeep")
}

fn home_expanded(path: &str) -> Result<PathBuf, Failed> {
    let Some(rest) = path.strip_prefix("~/") else { return Ok(PathBuf::from(path)) };
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(rest)),
        None => Err(Failed::new(Exit::Config, "HOME is not set; say where the store is: --store DIR")),
    }
}

/// A file that a key names, if it names one.
fn readable(effective: &Effective, key: &str, path: &str) -> Result<Option<PathBuf>, Failed> {
    if path.is_empty() {
        return Ok(None);
    }
    let file = home_expanded(path)?;
    let wrong = |reason: &str| Failed::from(effective.slip(key, format!("{path:?}: {reason}")));
    match std::fs::File::open(&file).and_then(|file| file.metadata()) {
        Ok(facts) if facts.is_dir() => Err(wrong("is a folder; name a file")),
        Ok(_) => std::path::absolute(file).map(Some).map_err(|error| wrong(&error.to_string())),
        Err(error) => Err(wrong(&format!("{error}; name a file that may be read, or leave the key out"))),
    }
}

/// The one way out, with the chain's places, the database's and `more` as configured infrastructure.
pub(crate) fn egress(effective: &Effective, sources: &Sources, more: &[Url]) -> Result<Egress, Failed> {
    let mut named = sources.places();
    named.extend(origin::places(effective)?);
    named.extend(database_config(effective, sources)?.places());
    named.extend(more.iter().filter_map(HostPort::of));
    let mut allow = Vec::new();
    for rule in &effective.config.egress.allow {
        allow.push(
            AllowRule::parse(rule)
                .map_err(|error| effective.slip("egress.allow", format!("{rule:?}: {error}")))?,
        );
    }
    let proxies = ProxyEnv::read(|name| std::env::var(name).ok());
    let proxies = proxies.map_err(|error| Failed::new(Exit::Config, error.to_string()))?;
    let section = &effective.config.origin;
    let contact = (!section.user_agent_contact.is_empty()).then_some(section.user_agent_contact.as_str());
    let config = modkeep_egress::Config {
        user_agent: user_agent(contact),
        allow,
        named,
        own: own_places(effective),
        ca_file: readable(effective, "egress.ca_file", &effective.config.egress.ca_file)?,
        proxies,
        per_upstream: section.per_upstream,
        queue_max: section.queue_max,
        per_origin: section.per_host,
        opt_out: origin::opt_out(effective)?,
        pace: origin::pace(effective),
        crawl_rules: origin::crawl_rules(effective),
        ..modkeep_egress::Config::default()
    };
    Egress::new(config).map_err(|error| Failed::new(Exit::Config, error.to_string()))
}

fn patience(effective: &Effective) -> Patience {
    let section = &effective.config.origin;
    Patience { zip: section.timeout.0, silence: section.silence.0, ..Patience::default() }
}

/// The checksum database and the ways to it. Where checking is off this is the default one: toolchains are checked
/// all the same (P-107).
fn database_config(effective: &Effective, sources: &Sources) -> Result<DatabaseConfig, Failed> {
    let ((GoSumDb::On { key, url }, _) | (GoSumDb::Off, GoSumDb::On { key, url })) =
        (gosumdb(effective)?, GoSumDb::default())
    else {
        return Err(Failed::new(Exit::Failed, "the built-in key of the checksum database cannot be read"));
    };
    Ok(DatabaseConfig { key, url, proxies: sources.entries.clone(), patience: patience(effective) })
}

fn gosumdb(effective: &Effective) -> Result<GoSumDb, Failed> {
    match effective.config.verify.log.as_str() {
        "default" => Ok(GoSumDb::default()),
        text => Ok(GoSumDb::parse(text).map_err(|error| effective.slip("verify.log", error.to_string()))?),
    }
}

/// The keys that open the heads of our own log; none where it is not configured.
pub(crate) fn log_verifiers(effective: &Effective) -> Result<Vec<VerifierKey>, Failed> {
    log::verifiers(effective)
}

/// Brings an old copy of our own log forward to the largest of the heads that are known (C4).
pub(crate) fn recover_log(
    effective: &Effective,
    store: modkeep_store::LogStore,
    heads: Vec<modkeep_log::GivenHead>,
    tiles: &dyn Fn(&modkeep_tlog::Tile) -> Option<Vec<u8>>,
) -> Result<modkeep_log::Recovered, Failed> {
    log::recover(effective, store, heads, tiles)
}

/// Modules that no public database is asked about: their names are private, or they are not checked.
pub(crate) fn unasked(effective: &Effective) -> Result<Vec<Patterns>, Failed> {
    let unchecked = &effective.config.verify.unchecked;
    Ok(vec![private(effective)?, module_patterns(effective, "verify.unchecked", unchecked)?])
}

fn private(effective: &Effective) -> Result<Patterns, Failed> {
    module_patterns(effective, "origin.private", &effective.config.origin.private)
}

/// What is not checked: the patterns, or everything where the database is off.
fn unchecked(effective: &Effective, gosumdb: &GoSumDb) -> Result<Patterns, Failed> {
    if matches!(gosumdb, GoSumDb::Off) {
        return patterns(effective, "verify.unchecked", &["*".to_owned()]);
    }
    module_patterns(effective, "verify.unchecked", &effective.config.verify.unchecked)
}

/// A malformed glob stops the start when we were told it, and matches nothing when Go's variables say it (spec/README item 13).
fn patterns(effective: &Effective, key: &str, globs: &[String]) -> Result<Patterns, Failed> {
    let text = globs.join(",");
    if effective.is_from_go(key) {
        return Ok(Patterns::lenient(&text));
    }
    if let Some(glob) = globs.iter().find(|glob| glob.contains("://")) {
        return Err(effective
            .slip(key, format!("{glob:?}: patterns begin with the host, without a scheme"))
            .into());
    }
    Ok(Patterns::parse(&text).map_err(|error| effective.slip(key, error.to_string()))?)
}

/// Patterns of module paths, none of which holds a colon.
fn module_patterns(effective: &Effective, key: &str, globs: &[String]) -> Result<Patterns, Failed> {
    let found = patterns(effective, key, globs)?;
    match globs.iter().find(|glob| glob.contains(':')) {
        Some(glob) if !effective.is_from_go(key) => {
            let reason = format!("{glob:?}: a module path has no port; leave it out");
            Err(effective.slip(key, reason).into())
        }
        _ => Ok(found),
    }
}

fn fetch_config(effective: &Effective) -> modkeep_fetch::Config {
    let section = &effective.config.origin;
    let defaults = modkeep_fetch::Config::default();
    modkeep_fetch::Config {
        hold: effective.config.server.hold.0,
        lifetimes: Lifetimes { fresh: section.list_ttl.0, ..defaults.lifetimes },
        absent_ttl: section.absent_ttl.0,
        ..defaults
    }
}
