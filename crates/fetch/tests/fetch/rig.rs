//! A fetch room with everything real around it, on loopback and in a temporary folder.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modkeep_egress::{Config as EgressConfig, Egress, HostPort};
use modkeep_fetch::{Alarm, Config, Event, Failure, Fetch, Got, Link, Parts, Reach};
use modkeep_module::{ModulePath, ModuleVersion, Patterns, Query, Version};
use modkeep_store::{Config as StoreConfig, EvidenceKind, MinFree, Repository, Store, VersionRecord};
use modkeep_testkit::{ManualClock, ModuleWorld, Site, SumDb, Upstream as Server};
use modkeep_upstream::{Chain, Database, DatabaseConfig, GoSumDb, Separator, Upstream};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a rig differs from the usual one.
pub(crate) struct Plan {
    pub(crate) separators: Vec<Separator>,
    pub(crate) unchecked: &'static str,
    pub(crate) private: &'static str,
    pub(crate) database: bool,
    pub(crate) config: Config,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            separators: vec![Separator::Comma],
            unchecked: "",
            private: "",
            database: true,
            config: Config { hold: Duration::from_secs(20), ..Config::default() },
        }
    }
}

pub(crate) struct Rig {
    pub(crate) fetch: Fetch,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    /// As many as the plan has separators; the first has the database.
    pub(crate) servers: Vec<Server>,
    pub(crate) alarms: Arc<Mutex<Vec<Alarm>>>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
    folder: TempDir,
}

/// The usual rig: one upstream with every kind of module, its honest database, all checked.
pub(crate) fn rig() -> Rig {
    build(&ModuleWorld::every_kind(), Plan::default())
}

/// A rig over this world.
pub(crate) fn build(world: &ModuleWorld, plan: Plan) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let config = StoreConfig { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
    let store = Store::open(config, clock.clone()).unwrap();
    let servers: Vec<Server> = plan
        .separators
        .iter()
        .map(|_| Server::start(Site::of(world).with_database(SumDb::of("sum.birds.example", world))))
        .collect();
    let named = servers.iter().map(|server| HostPort::parse(&server.host()).unwrap()).collect();
    let egress = Egress::new(EgressConfig { named, ..EgressConfig::default() }).unwrap();
    let chain = servers.iter().zip(&plan.separators).map(|(server, then)| {
        Link::upstream(Upstream::new_http(server.url().parse().unwrap(), egress.clone()), *then)
    });
    let chain = chain.collect();
    let database = plan.database.then(|| {
        let gosumdb = GoSumDb::parse(&servers[0].gosumdb()).unwrap();
        let config = DatabaseConfig::of(&gosumdb, &Chain::parse("off").unwrap()).unwrap();
        Database::new(config, egress, store.clone()).unwrap()
    });
    let alarms = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&alarms);
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let fetch = Fetch::new(Parts {
        store: store.clone(),
        chain,
        database,
        unchecked: Patterns::parse(plan.unchecked).unwrap(),
        private: Patterns::parse(plan.private).unwrap(),
        own: None,
        config: plan.config,
        observer: Arc::new(move |event| {
            if let Event::Alarm { alarm, .. } = event {
                heard.lock().unwrap().push(*alarm);
            }
        }),
        tracker: tracker.clone(),
        cancel: cancel.clone(),
    });
    Rig { fetch, store, clock, servers, alarms, tracker, cancel, folder }
}

impl Rig {
    /// The first upstream.
    pub(crate) fn server(&self) -> &Server {
        &self.servers[0]
    }

    pub(crate) async fn record(&self, of: &ModuleVersion) -> Option<VersionRecord> {
        self.store.version(&Repository::main(), of).await.unwrap()
    }

    pub(crate) async fn list(&self, module: &str, reach: Reach) -> Result<String, Failure> {
        let answer = self.fetch.list(&path(module), reach).await?;
        Ok(String::from_utf8(answer.bytes.to_vec()).unwrap())
    }

    pub(crate) async fn latest(&self, module: &str, reach: Reach) -> Result<String, Failure> {
        let answer = self.fetch.latest(&path(module), reach).await?;
        Ok(version_in(&answer.bytes))
    }

    /// Which kinds of evidence were kept.
    pub(crate) async fn evidence(&self) -> Vec<EvidenceKind> {
        self.store.evidence(0, 100).await.unwrap().into_iter().map(|kept| kept.kind).collect()
    }

    /// A file of the data directory.
    pub(crate) fn blob(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Waits for what goes on behind the answers.
    pub(crate) async fn settle(&self) {
        while self.fetch.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The version that an info names.
pub(crate) fn version_in(info: &[u8]) -> String {
    modkeep_module::Info::parse(info).unwrap().version().to_string()
}

pub(crate) fn read(got: Got) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = got.file.file;
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn path(text: &str) -> ModulePath {
    ModulePath::parse(text).unwrap()
}

pub(crate) fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

pub(crate) fn at(module: &str, version: &str) -> ModuleVersion {
    ModuleVersion::new(path(module), Version::parse(version).unwrap()).unwrap()
}
