//! The real world, where the fixtures are found: every listed version through the real key of `sum.golang.org`.

use std::path::PathBuf;
use std::sync::Arc;

use modkeep_egress::{Config as EgressConfig, Egress, HostPort};
use modkeep_fetch::{Config, Fetch, Link, Parts, Reach, unobserved};
use modkeep_module::Patterns;
use modkeep_store::{Config as StoreConfig, MinFree, Repository, Store, SystemClock};
use modkeep_testkit::{Site, Upstream as Server};
use modkeep_upstream::{Chain, Database, DatabaseConfig, GoSumDb, Separator, Upstream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::rig::at;

/// `FIXTURES_DIR`, or the folder that stands beside the repository on the project's machines.
fn fixtures() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures");
    let folder = std::env::var_os("FIXTURES_DIR").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    folder.join("sums.tsv").is_file().then_some(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_real_version_is_proven_by_the_real_database() {
    let Some(fixtures) = fixtures() else {
        eprintln!("no fixtures (FIXTURES_DIR): the real world is left out");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Site::tree(fixtures.join("mirror")));
    let config = StoreConfig { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
    let store = Store::open(config, Arc::new(SystemClock)).unwrap();
    let named = vec![HostPort::parse(&server.host()).unwrap()];
    let egress = Egress::new(EgressConfig { named, ..EgressConfig::default() }).unwrap();
    let chain = Chain::parse(&server.url()).unwrap();
    let config = DatabaseConfig::of(&GoSumDb::parse("sum.golang.org").unwrap(), &chain).unwrap();
    let fetch = Fetch::new(Parts {
        chain: vec![Link::upstream(
            Upstream::new_http(server.url().parse().unwrap(), egress.clone()),
            Separator::Comma,
        )],
        database: Some(Database::new(config, egress, store.clone()).unwrap()),
        store: store.clone(),
        unchecked: Patterns::parse("").unwrap(),
        private: Patterns::parse("").unwrap(),
        own: None,
        config: Config::default(),
        observer: unobserved(),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    let sums = std::fs::read_to_string(fixtures.join("sums.tsv")).unwrap();
    let mut proven = 0;
    for line in sums.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [module, version, zip_h1, go_mod_h1, ..] = fields[..] else { panic!("{line}") };
        if !zip_h1.starts_with("h1:") {
            continue; // the head of the table
        }
        let of = at(module, version);
        fetch.info(&of, Reach::MayFetch).await.unwrap();
        fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
        fetch.zip(&of, Reach::MayFetch).await.unwrap();
        let record = store.version(&Repository::main(), &of).await.unwrap().unwrap();
        let (go_mod, zip) = (record.go_mod.unwrap(), record.zip.unwrap());
        assert!(go_mod.basis.is_certified() && zip.basis.is_certified(), "{of}");
        assert_eq!(
            (zip.h1.to_string().as_str(), go_mod.h1.to_string().as_str()),
            (zip_h1, go_mod_h1),
            "{of}"
        );
        proven += 1;
    }
    assert!(proven > 100, "{proven}");
}
