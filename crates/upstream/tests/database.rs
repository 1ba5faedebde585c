//! A checksum database, honest and lying, through every way of reaching it (A6 to A8, rows I).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use common::{Disk, MODULE, egress, patience, version, world};
use modkeep_egress::Egress;
use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_store::EvidenceKind;
use modkeep_testkit::upstream::Fault;
use modkeep_testkit::{Lie, Site, SumDb, Upstream as Server};
use modkeep_tlog::head::SignedHead;
use modkeep_tlog::tile::Tile;
use modkeep_upstream::{Chain, Database, DatabaseConfig, DatabaseError, GoSumDb};

const LOG: &str = "sums.example";

fn server() -> Server {
    let world = world();
    Server::start(Site::of(&world).with_database(SumDb::of(LOG, &world)))
}

/// A client of the database that GOSUMDB and a chain describe.
fn client(gosumdb: &str, chain: &str, egress: Egress, disk: &Disk) -> Database {
    let (gosumdb, chain) = (GoSumDb::parse(gosumdb).unwrap(), Chain::parse(chain).unwrap());
    let config = DatabaseConfig::of(&gosumdb, &chain).unwrap();
    Database::new(DatabaseConfig { patience: patience(), ..config }, egress, disk.store.clone()).unwrap()
}

fn direct(server: &Server, disk: &Disk) -> Database {
    client(&server.gosumdb(), "direct", egress(&[server]), disk)
}

fn lie(server: &Server, lie: Lie) {
    server.change(|site| site.database().lie(lie));
}

fn tile(path: &str) -> Tile {
    Tile::parse(path).unwrap()
}

async fn refusal(database: &Database, text: &str) -> DatabaseError {
    database.lookup(&version(text)).await.unwrap_err()
}

#[tokio::test]
async fn a_record_is_proven_and_then_known() {
    let (server, disk, world) = (server(), Disk::new(), world());
    let database = direct(&server, &disk);
    let record = database.lookup(&version("v1.0.0")).await.unwrap();
    let release = world.release(MODULE, "v1.0.0");
    assert_eq!(record.zip_h1(), Some(*release.zip_h1.as_bytes()));
    assert_eq!(record.go_mod_h1(), Some(*release.go_mod_h1.as_bytes()));
    assert_eq!((record.log_name(), record.module(), record.version()), (LOG, MODULE, "v1.0.0"));
    assert_eq!(database.verified_head().await.unwrap().unwrap().size(), record.head().size());
    server.forget();
    assert_eq!(database.lookup(&version("v1.0.0")).await.unwrap(), record);
    assert!(server.seen().is_empty(), "the second time nobody is asked: {:?}", server.seen());
}

#[tokio::test]
async fn p101_what_was_proven_is_served_while_the_database_is_away() {
    let (mut server, disk) = (server(), Disk::new());
    let first = direct(&server, &disk);
    let lookup = first.relay_lookup(&version("v1.0.0")).await.unwrap();
    let latest = first.relay_latest().await.unwrap();
    let record = first.lookup(&version("v1.0.0")).await.unwrap();
    server.stop();
    // A new process, without the database.
    let database = direct(&server, &disk);
    assert_eq!(database.lookup(&version("v1.0.0")).await.unwrap(), record);
    assert_eq!(database.relay_lookup(&version("v1.0.0")).await.unwrap(), lookup);
    assert_eq!(database.relay_latest().await.unwrap(), latest, "stale, and verified once");
    let head = SignedHead::open(&latest, database.key()).unwrap();
    assert_eq!(head.size().get(), 302);
    for (path, width) in [("tile/8/0/001.p/46", 46), ("tile/8/1/000.p/1", 1)] {
        let bytes = database.relay_tile(&tile(path)).await.unwrap();
        assert_eq!(bytes.len(), width * 32, "what a client needs to believe this lookup: {path}");
    }
    assert!(matches!(refusal(&database, "v1.1.0").await, DatabaseError::Away { .. }));
    assert!(matches!(database.relay_lookup(&version("v1.1.0")).await, Err(DatabaseError::Away { .. })));
}

#[tokio::test]
async fn a7_with_a_url_no_proxy_is_asked() {
    let (server, disk) = (server(), Disk::new());
    let database = client(&server.gosumdb(), &server.url(), egress(&[&server]), &disk);
    database.lookup(&version("v1.0.0")).await.unwrap();
    assert_eq!(server.count("/sumdb/"), 0);
}

#[tokio::test]
async fn a7_the_first_proxy_that_relays_the_database_is_used_for_everything() {
    let (without, with, disk) = (Server::start(Site::of(&world())), server(), Disk::new());
    let chain = format!("{},{}", without.url(), with.url());
    let database = client(&with.key(), &chain, egress(&[&without, &with]), &disk);
    database.lookup(&version("v1.0.0")).await.unwrap();
    database.lookup(&version("v1.1.0")).await.unwrap();
    assert_eq!(without.seen().len(), 1);
    assert_eq!(with.count("/sumdb/sums.example/supported"), 1, "asked once, remembered");
    assert_eq!(with.seen().len(), with.count("/sumdb/sums.example/"));
}

#[tokio::test]
async fn a7_trouble_with_a_proxy_is_not_its_absence() {
    let (sick, well, disk) = (server(), server(), Disk::new());
    sick.fault("supported", Fault::Status(500));
    let both = || egress(&[&sick, &well]);
    let comma = client(&well.key(), &format!("{},{}", sick.url(), well.url()), both(), &disk);
    assert!(matches!(refusal(&comma, "v1.0.0").await, DatabaseError::Away { .. }));
    assert!(well.seen().is_empty());
    let pipe = client(&well.key(), &format!("{}|{}", sick.url(), well.url()), both(), &disk);
    assert!(pipe.lookup(&version("v1.0.0")).await.is_ok());
    sick.mend();
    assert!(comma.lookup(&version("v1.0.0")).await.is_ok(), "trouble is not remembered");
}

#[tokio::test]
async fn a7_a_folder_can_be_the_database() {
    let (world, disk, folder) = (world(), Disk::new(), tempfile::tempdir().unwrap());
    let server = server();
    let elsewhere = Disk::new();
    direct(&server, &elsewhere).lookup(&version("v1.0.0")).await.unwrap();
    let database = SumDb::of(LOG, &world);
    for path in server.seen().iter().map(|seen| seen.path.trim_start_matches("/db/").to_owned()) {
        let file = folder.path().join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, database.answer(&format!("db/{path}")).unwrap()).unwrap();
    }
    let gosumdb = format!("{} file://{}", database.key(), folder.path().display());
    let local = client(&gosumdb, "off", egress(&[]), &disk);
    assert!(local.lookup(&version("v1.0.0")).await.is_ok());
    assert!(matches!(refusal(&local, "v1.1.0").await, DatabaseError::NotFound { .. }));
}

/// Golden data: real heads, lookups and tiles of the public database, under its real key.
#[tokio::test]
async fn the_public_database_is_believed_from_a_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/public-log");
    let disk = Disk::new();
    let database = client(&format!("sum.golang.org file://{folder}"), "off", egress(&[]), &disk);
    let head = SignedHead::open(&database.relay_latest().await.unwrap(), database.key()).unwrap();
    assert_eq!(head.size().get(), 70_483_086);
    for (module, version, id) in [
        ("golang.org/x/text", "v0.43.0", 67_536_029),
        ("rsc.io/quote", "v1.5.2", 942),
        ("github.com/BurntSushi/toml", "v0.3.1", 229),
        ("github.com/dgrijalva/jwt-go", "v3.2.0+incompatible", 302),
    ] {
        let version =
            ModuleVersion::new(ModulePath::parse(module).unwrap(), Version::parse(version).unwrap()).unwrap();
        assert_eq!(database.lookup(&version).await.unwrap().id().get(), id, "{version}");
        let answer = database.relay_lookup(&version).await.unwrap();
        assert!(answer.starts_with(format!("{id}\n{module} ").as_bytes()), "{version}");
    }
    assert!(database.is_stopped().is_none());
}

#[tokio::test]
async fn unlisted_versions_are_not_found_with_the_databases_words() {
    let (server, disk) = (server(), Disk::new());
    match refusal(&direct(&server, &disk), "v1.7.0").await {
        DatabaseError::NotFound { log, text } => {
            assert_eq!((log.as_str(), text.as_str()), (LOG, "not found: nobody made this"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.store.foreign(LOG).unwrap().head().await.unwrap(), None);
}

#[tokio::test]
async fn trouble_of_the_database_is_never_absence() {
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Hangup,
        Fault::LoginPage,
        Fault::ShortBody,
        Fault::Stall,
        Fault::Garbage,
        Fault::Empty,
    ] {
        for on in ["/lookup/", "/tile/"] {
            let (server, disk) = (server(), Disk::new());
            server.fault(on, fault.clone());
            let database = direct(&server, &disk);
            let error = refusal(&database, "v1.0.0").await;
            let trouble = matches!(error, DatabaseError::Away { .. } | DatabaseError::Unverifiable { .. });
            assert!(trouble, "{fault:?} on {on}: {error:?}");
            assert!(database.cached_lookup(&version("v1.0.0")).await.unwrap().is_none(), "nothing is kept");
            server.mend();
        }
    }
}

#[tokio::test]
async fn hostile_i10_i11_i12_i13_lies_are_refused_and_nothing_is_kept() {
    for (what, name) in [
        (Lie::EmptyLookup, "I10"),
        (Lie::AnotherRecord, "I11"),
        (Lie::HiddenLine, "I12"),
        (Lie::ForgedTiles, "I13"),
        (Lie::StaleHead, "a head that does not cover the record"),
    ] {
        let (server, disk) = (server(), Disk::new());
        lie(&server, what);
        let database = direct(&server, &disk);
        let error = refusal(&database, "v1.0.0").await;
        let refused = matches!(error, DatabaseError::Unverifiable { .. } | DatabaseError::MissingLine { .. });
        assert!(refused, "{name}: {error:?}");
        assert!(database.cached_lookup(&version("v1.0.0")).await.unwrap().is_none(), "{name}");
        lie(&server, Lie::None);
        assert!(database.lookup(&version("v1.0.0")).await.is_ok(), "{name}: honest again, used again");
    }
}

#[tokio::test]
async fn a_record_with_one_line_proves_one_file() {
    let (server, disk) = (server(), Disk::new());
    lie(&server, Lie::MissingLine);
    let record = direct(&server, &disk).lookup(&version("v1.0.0")).await.unwrap();
    assert_eq!(record.zip_h1(), None);
    assert!(record.go_mod_h1().is_some());
}

#[tokio::test]
async fn hostile_i14_a_fork_is_kept_as_evidence_and_stops_the_database() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    let honest = database.relay_lookup(&version("v1.0.0")).await.unwrap();
    lie(&server, Lie::OtherTree);
    let error = refusal(&database, "v1.1.0").await;
    assert!(matches!(error, DatabaseError::Inconsistent { size: 302, .. }), "{error:?}");
    let kept = disk.store.evidence(0, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].kind, kept[0].module.as_str()), (EvidenceKind::Fork, LOG));
    assert!(kept[0].detail.matches("go.sum database tree").count() >= 2, "both notes: {}", kept[0].detail);
    // Stopped on purpose: nobody is asked, even if the database is honest again.
    lie(&server, Lie::None);
    server.forget();
    assert!(matches!(refusal(&database, "v1.1.0").await, DatabaseError::Inconsistent { .. }));
    assert!(matches!(database.relay_latest().await, Err(DatabaseError::Inconsistent { .. })));
    assert!(server.seen().is_empty());
    assert_eq!(
        database.relay_lookup(&version("v1.0.0")).await.unwrap(),
        honest,
        "proven before, served still"
    );
    database.resume();
    assert!(database.lookup(&version("v1.1.0")).await.is_ok());
}

#[tokio::test]
async fn hostile_i14_a_fork_is_seen_by_the_next_process_too() {
    let (server, disk) = (server(), Disk::new());
    direct(&server, &disk).lookup(&version("v1.0.0")).await.unwrap();
    lie(&server, Lie::OtherTree);
    let database = direct(&server, &disk);
    assert!(matches!(refusal(&database, "v1.1.0").await, DatabaseError::Inconsistent { .. }));
    let third = direct(&server, &disk);
    assert!(matches!(third.relay_latest().await, Err(DatabaseError::Inconsistent { .. })));
}

#[tokio::test]
async fn a_growing_tree_is_followed() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    let before = database.relay_latest().await.unwrap();
    let mut larger = world();
    for n in 2..40 {
        larger.add_library(MODULE, &format!("v1.{n}.0"));
    }
    server.change(|site| site.publish(&larger));
    database.lookup(&version("v1.39.0")).await.unwrap();
    let head = database.verified_head().await.unwrap().unwrap();
    assert_eq!(head.size().get(), 340);
    assert_ne!(database.relay_latest().await.unwrap(), before);
    assert!(database.lookup(&version("v1.0.0")).await.is_ok());
}

#[tokio::test]
async fn an_old_proof_stands_after_the_tree_has_grown_and_the_database_is_gone() {
    let (mut server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    let record = database.lookup(&version("v1.0.0")).await.unwrap();
    let mut larger = world();
    for n in 2..400 {
        larger.add_library(MODULE, &format!("v1.{n}.0"));
    }
    server.change(|site| site.publish(&larger));
    database.lookup(&version("v1.399.0")).await.unwrap();
    server.stop();
    assert_eq!(database.lookup(&version("v1.0.0")).await.unwrap(), record);
}

#[tokio::test]
async fn many_lookups_at_once_agree_on_one_head() {
    let mut large = world();
    for n in 2..30 {
        large.add_library(MODULE, &format!("v1.{n}.0"));
    }
    let server = Server::start(Site::of(&large).with_database(SumDb::of(LOG, &large)));
    let disk = Disk::new();
    let database = direct(&server, &disk);
    let tasks: Vec<_> = (0..30)
        .map(|n| {
            let database = database.clone();
            tokio::spawn(async move { database.lookup(&version(&format!("v1.{n}.0"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(database.verified_head().await.unwrap().unwrap().size().get(), 330);
}

#[tokio::test]
async fn tiles_are_checked_before_they_are_kept() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    let bytes = database.relay_tile(&tile("tile/8/0/001.p/46")).await.unwrap();
    assert_eq!(bytes.len(), 46 * 32);
    let narrower = database.relay_tile(&tile("tile/8/0/001.p/7")).await.unwrap();
    assert_eq!(narrower, bytes[..7 * 32]);
    let full = database.relay_tile(&tile("tile/8/0/000")).await.unwrap();
    server.forget();
    assert_eq!(database.relay_tile(&tile("tile/8/0/000.p/100")).await.unwrap(), full[..100 * 32]);
    assert_eq!(database.relay_tile(&tile("tile/8/0/000")).await.unwrap(), full);
    assert!(server.seen().is_empty(), "{:?}", server.seen());
    let records = database.relay_tile(&tile("tile/8/data/001.p/46")).await.unwrap();
    assert!(String::from_utf8(records).unwrap().contains("example.com/Fish v1.0.0 h1:"));
}

#[tokio::test]
async fn hostile_i05_tiles_beyond_the_tree_are_not_found() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    for path in ["tile/8/0/002", "tile/8/0/001", "tile/8/0/001.p/47", "tile/8/1/000.p/2", "tile/8/7/000.p/1"]
    {
        let error = database.relay_tile(&tile(path)).await.unwrap_err();
        assert!(matches!(error, DatabaseError::NotFound { .. }), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn hostile_i13_forged_tiles_do_not_get_into_the_relay() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    database.relay_latest().await.unwrap();
    lie(&server, Lie::ForgedTiles);
    for path in ["tile/8/0/000", "tile/8/1/000.p/1", "tile/8/0/001.p/46"] {
        assert!(database.relay_tile(&tile(path)).await.is_err(), "{path}");
        assert!(database.cached_tile(&tile(path)).await.unwrap().is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_missing_partial_tile_is_cut_from_the_full_one() {
    let (server, disk) = (server(), Disk::new());
    server.fault(".p/", Fault::Status(404));
    // The tree has 302 records: its right edge exists only as partial tiles, so this must fail as trouble.
    let error = refusal(&direct(&server, &disk), "v1.0.0").await;
    assert!(!matches!(error, DatabaseError::NotFound { .. }), "{error:?}");
    server.mend();
    let mut grown = world();
    for n in 2..230 {
        grown.add_library(MODULE, &format!("v1.{n}.0"));
    }
    let database = direct(&server, &disk);
    database.relay_latest().await.unwrap();
    server.change(|site| site.publish(&grown));
    server.fault("/001.p/", Fault::Status(404));
    // Under the old head a width of 46 is right, though the database has only the full tile left.
    assert_eq!(database.relay_tile(&tile("tile/8/0/001.p/46")).await.unwrap().len(), 46 * 32);
}

/// A4: what the store holds it answers, in every width that it can cut, after a restart and without the database.
#[tokio::test]
async fn a_missing_partial_tile_is_cut_from_a_wider_partial_one() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    database.relay_latest().await.unwrap();
    let wide = database.relay_tile(&tile("tile/8/0/001.p/46")).await.unwrap();
    let narrow = database.relay_tile(&tile("tile/8/0/001.p/40")).await.unwrap();
    assert_eq!(narrow, wide[..40 * 32]);
    // As another process kept it, under a head between the two.
    let foreign = disk.store.foreign(LOG).unwrap();
    foreign.put(vec![("tile/8/0/001.p/9".to_owned(), wide[..9 * 32].to_vec())]).await.unwrap();
    drop(database);
    server.forget();

    let restarted = direct(&server, &disk);
    for width in [1, 9, 24, 40, 41, 46_usize] {
        let path = format!("tile/8/0/001.p/{width}");
        let front = restarted.cached_tile(&tile(&path)).await.unwrap();
        assert_eq!(front.as_deref(), Some(&wide[..width * 32]), "{path}");
        assert_eq!(restarted.relay_tile(&tile(&path)).await.unwrap(), wide[..width * 32], "{path}");
    }
    for path in ["tile/8/0/001.p/47", "tile/8/0/001", "tile/8/0/002.p/1", "tile/8/data/001.p/24"] {
        assert_eq!(restarted.cached_tile(&tile(path)).await.unwrap(), None, "{path}");
    }
    assert!(server.seen().is_empty(), "{:?}", server.seen());
}

#[tokio::test]
async fn asked_for_nothing_the_store_answers_or_says_no() {
    let (server, disk) = (server(), Disk::new());
    let database = direct(&server, &disk);
    assert_eq!(database.cached_latest().await.unwrap(), None);
    assert_eq!(database.cached_lookup(&version("v1.0.0")).await.unwrap(), None);
    assert_eq!(database.cached_tile(&tile("tile/8/0/000")).await.unwrap(), None);
    assert!(server.seen().is_empty(), "P-91");
    database.lookup(&version("v1.0.0")).await.unwrap();
    assert!(database.cached_latest().await.unwrap().is_some());
    assert!(database.cached_lookup(&version("v1.0.0")).await.unwrap().is_some());
}
