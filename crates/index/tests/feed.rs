//! Pages over a real store: order, inclusiveness, no gaps and no repeats.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use modkeep_index::{Index, IndexError};
use modkeep_module::{ModulePath, ModuleVersion, Patterns, Version, zip};
use modkeep_store::{
    Config, FetchedMod, FetchedZip, FirstSight, MinFree, Parts, Repository, Store, Verified,
};
use modkeep_testkit::ManualClock;
use tempfile::TempDir;

struct Rig {
    store: Store,
    clock: Arc<ManualClock>,
    index: Index,
    _folder: TempDir,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new());
    let config = Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
    let store = Store::open(config, clock.clone()).unwrap();
    Rig { index: Index::new(store.clone()), store, clock, _folder: folder }
}

impl Rig {
    /// Stores a version with or without its zip.
    async fn store(&self, version: &str, with_zip: bool) {
        self.store_of("example.com/m", version, with_zip).await;
    }

    async fn store_of(&self, module: &str, version: &str, with_zip: bool) {
        let path = ModulePath::parse(module).unwrap();
        let of = ModuleVersion::new(path, Version::parse(version).unwrap()).unwrap();
        let go_mod = format!("module {module}\n").into_bytes();
        let mut parts = Parts::public("test");
        if with_zip {
            let mut bytes = Vec::new();
            zip::write([("go.mod", &go_mod)], &of, &mut bytes).unwrap();
            let mut scratch = self.store.scratch().unwrap();
            scratch.write(&bytes).unwrap();
            let fetched = FetchedZip::read(scratch, &of).unwrap();
            parts.zip = Some(Verified::at_first_sight(fetched, FirstSight::Import).unwrap());
        }
        let fetched = FetchedMod::new(go_mod, &of);
        parts.go_mod = Some(Verified::at_first_sight(fetched, FirstSight::Import).unwrap());
        self.store.commit(&Repository::main(), &of, parts).await.unwrap();
    }

    async fn page(&self, since: Option<&str>, limit: Option<&str>) -> Vec<(String, String)> {
        let page = self.index.page(since, limit).await.unwrap();
        let lines = String::from_utf8(page).unwrap();
        let lines: Vec<_> =
            lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
        let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap().to_owned();
        lines.iter().map(|line| (text(line, "Version"), text(line, "Timestamp"))).collect()
    }
}

#[tokio::test]
async fn a_version_enters_when_its_zip_does_and_once() {
    let rig = rig();
    rig.store("v1.0.0", false).await;
    assert!(rig.page(None, None).await.is_empty());
    rig.store("v1.0.1", true).await;
    rig.store("v1.0.0", true).await;
    rig.store("v1.0.0", true).await;
    let versions: Vec<_> = rig.page(None, None).await.into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, ["v1.0.1", "v1.0.0"]);
}

#[tokio::test]
async fn paging_loses_nothing_and_repeats_only_the_first_line() {
    let rig = rig();
    for patch in 0..23 {
        rig.store(&format!("v1.0.{patch}"), true).await;
        match patch {
            5 => rig.clock.set_wall(UNIX_EPOCH + Duration::from_hours(1)), // the clock goes back by decades
            11 => rig.clock.advance(Duration::from_secs(1)),
            _ => {} // or stands still
        }
    }
    let all = rig.page(None, None).await;
    assert_eq!(all.len(), 23);
    assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].1), "R8: times strictly increase, as text too");
    let mut paged = rig.page(None, Some("5")).await;
    loop {
        let since = paged.last().unwrap().1.clone();
        let mut page = rig.page(Some(&since), Some("5")).await;
        assert_eq!(page.remove(0).1, since, "since is inclusive");
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn hostile_k08_bad_values_are_told() {
    let rig = rig();
    let bad_since = rig.index.page(Some("2026-11-21T10:00:00 02:00"), None).await.unwrap_err();
    assert!(matches!(bad_since, IndexError::Since { .. }), "{bad_since}");
    let bad_limit = rig.index.page(None, Some("2001")).await.unwrap_err();
    assert!(matches!(bad_limit, IndexError::Limit), "{bad_limit}");
}

/// J08: versions that became visible before their path was declared private. A client takes a short page for the last
/// one, so what is left out is made up for.
#[tokio::test]
async fn hostile_j08_private_paths_are_left_out_and_pages_stay_full() {
    let rig = rig();
    for patch in 0..12 {
        rig.store(&format!("v1.0.{patch}"), true).await;
        rig.store_of("corp.example/lib", &format!("v1.0.{patch}"), true).await;
        rig.store_of("corp.example/lib", &format!("v1.1.{patch}"), true).await;
    }
    let index = rig.index.clone().without(Patterns::parse("corp.example").unwrap());
    let rig = Rig { index, ..rig };
    let all = rig.page(None, None).await;
    let versions: Vec<&str> = all.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(versions, (0..12).map(|patch| format!("v1.0.{patch}")).collect::<Vec<_>>());
    for limit in ["1", "2", "5", "12", "13"] {
        let page = rig.page(None, Some(limit)).await;
        assert_eq!(page, all[..limit.parse::<usize>().unwrap().min(12)], "limit {limit}");
    }
    assert_eq!(rig.page(Some(&all[7].1), Some("3")).await, all[7..10]);
    assert_eq!(rig.page(Some(&all[11].1), Some("3")).await, all[11..]);
}
