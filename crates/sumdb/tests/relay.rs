//! The relay over a real store and a database on loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::{Config as EgressConfig, Egress, HostPort};
use modkeep_fetch::{Failure, Reach};
use modkeep_module::Patterns;
use modkeep_store::{Config as StoreConfig, MinFree, Store};
use modkeep_sumdb::{Parts, Relay, RelayAnswer, RelayError, RelayObject};
use modkeep_testkit::{Fault, Lie, ManualClock, ModuleWorld, Site, SumDb, Upstream};
use modkeep_upstream::{Chain, Database, DatabaseConfig, GoSumDb};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const NAME: &str = "sum.birds.example";
const LOOKUP: &str = "sum.birds.example/lookup/example.com/!kingfisher/!reeds@v1.0.0";

struct Rig {
    relay: Relay,
    server: Upstream,
    _folder: TempDir,
}

fn rig(private: &str) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let world = ModuleWorld::every_kind();
    let server = Upstream::start(Site::of(&world).with_database(SumDb::of(NAME, &world)));
    let config = StoreConfig { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
    let store = Store::open(config, Arc::new(ManualClock::new())).unwrap();
    let named = vec![HostPort::parse(&server.host()).unwrap()];
    let egress = Egress::new(EgressConfig { named, ..EgressConfig::default() }).unwrap();
    let gosumdb = GoSumDb::parse(&server.gosumdb()).unwrap();
    let config = DatabaseConfig::of(&gosumdb, &Chain::parse("off").unwrap()).unwrap();
    let relay = Relay::new(Parts {
        databases: vec![Database::new(config, egress, store).unwrap()],
        private: Patterns::parse(private).unwrap(),
        hold: Duration::from_secs(20),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    Rig { relay, server, _folder: folder }
}

impl Rig {
    async fn ask(&self, path: &str) -> Result<RelayAnswer, RelayError> {
        self.relay.answer(path, Reach::MayFetch).await
    }

    /// The class of a refusal: its status at the edge.
    async fn refused(&self, path: &str, reach: Reach) -> u16 {
        match self.relay.answer(path, reach).await.unwrap_err() {
            RelayError::UnknownDatabase | RelayError::NoSuchTile { .. } | RelayError::NotCached { .. } => 404,
            RelayError::Malformed { .. } => 400,
            RelayError::Down { .. } | RelayError::Inconsistent { .. } => 503,
            RelayError::Closed { .. } | RelayError::NoSuchProof { .. } => panic!("{path}: no log of our own"),
            RelayError::Lookup(failure) => match *failure {
                Failure::NotCached { .. } | Failure::Unlisted { .. } => 404,
                Failure::LogPrivate { .. } => 403,
                Failure::LogDown { .. } | Failure::LogInconsistent { .. } => 503,
                other => panic!("{path}: {other}"),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_says_is_relayed_and_kept() {
    let mut rig = rig("");
    assert_eq!(rig.ask("sum.birds.example/supported").await.unwrap().body.len(), 0);
    let lookup = rig.ask(LOOKUP).await.unwrap();
    assert_eq!(lookup.object, RelayObject::Lookup);
    let text = String::from_utf8(lookup.body.to_vec()).unwrap();
    assert!(text.contains("example.com/Kingfisher/Reeds v1.0.0 h1:"), "{text}");
    let head = rig.ask("sum.birds.example/latest").await.unwrap();
    assert!(head.body.starts_with(b"go.sum database tree\n"));
    let tiles = [
        ("tile/8/0/000", RelayObject::FullTile),
        ("tile/8/0/000.p/17", RelayObject::PartialTile),
        ("tile/8/data/000", RelayObject::FullDataTile),
    ];
    let mut kept = Vec::new();
    for (path, object) in tiles {
        let tile = rig.ask(&format!("{NAME}/{path}")).await.unwrap();
        assert_eq!(tile.object, object, "{path}");
        kept.push(tile.body);
    }
    assert_eq!((kept[0].len(), kept[1].len()), (256 * 32, 17 * 32));
    assert_eq!(kept[1], kept[0][..17 * 32]);
    rig.server.stop();
    assert_eq!(rig.ask(LOOKUP).await.unwrap().body, lookup.body, "P-101");
    for ((path, _), body) in tiles.iter().zip(&kept) {
        assert_eq!(rig.ask(&format!("{NAME}/{path}")).await.unwrap().body, *body, "{path}");
    }
    assert_eq!(rig.relay.answer(LOOKUP, Reach::CachedOnly).await.unwrap().body, lookup.body, "P-95");
    let other = "sum.birds.example/lookup/birds.example/finch@v0.9.0";
    assert_eq!(rig.refused(other, Reach::MayFetch).await, 503, "away is never absent");
    assert_eq!(rig.refused(other, Reach::CachedOnly).await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i02_private_names_are_not_forwarded() {
    let rig = rig("example.com/Kingfisher");
    for reach in [Reach::MayFetch, Reach::CachedOnly] {
        assert_eq!(rig.refused(LOOKUP, reach).await, 403);
    }
    assert_eq!(rig.server.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i03_unknown_versions_are_asked_once_a_minute() {
    let rig = rig("");
    for _ in 0..50 {
        assert_eq!(
            rig.refused("sum.birds.example/lookup/example.com/nobody@v1.0.0", Reach::MayFetch).await,
            404
        );
    }
    assert_eq!(rig.server.count("/lookup/"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i04_a_thousand_lookups_one_request() {
    let rig = Arc::new(rig(""));
    rig.server.fault("/lookup/", Fault::Hold);
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let rig = Arc::clone(&rig);
        askers.spawn(async move { rig.ask(LOOKUP).await.unwrap().body });
    }
    rig.server.wait_for("/lookup/");
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.server.mend();
    let answers = askers.join_all().await;
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(rig.server.count("/lookup/"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i05_tiles_beyond_the_tree() {
    let rig = rig("");
    for tile in [
        "tile/8/0/x009/000",
        "tile/8/1/000",
        "tile/8/1/000.p/200",
        "tile/8/3/000.p/1",
        "tile/8/data/x009/000",
    ] {
        assert_eq!(rig.refused(&format!("{NAME}/{tile}"), Reach::MayFetch).await, 404, "{tile}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i21_only_configured_names_are_relayed() {
    let rig = rig("");
    for (path, status) in [
        ("evil.example/supported", 404),
        ("evil.example/lookup/example.com/m@v1.0.0", 404),
        ("../supported", 404),
        ("sum.birds.example/../../admin", 400),
        ("sum.birds.example", 404),
    ] {
        assert_eq!(rig.refused(path, Reach::MayFetch).await, status, "{path}");
    }
    assert_eq!(rig.server.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_database_is_not_relayed() {
    for lie in [Lie::MissingLine, Lie::ForgedTiles, Lie::EmptyLookup, Lie::AnotherRecord, Lie::HiddenLine] {
        let (rig, told) = (rig(""), format!("{lie:?}"));
        rig.server.change(|site| site.database().lie(lie));
        let answer = rig.ask(LOOKUP).await;
        let passed = answer
            .is_ok_and(|answer| answer.body.windows(4).any(|part| part == b" h1:") && told != "MissingLine");
        assert!(!passed, "{told}");
    }
}
