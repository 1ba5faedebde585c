//! T2: every change of the disk is recorded; a crash is staged after each of them, in three strengths; the store
//! opens on what is left, fsck finds it sound, and nothing acknowledged is lost.
//!
//! The ledger's file is not written through `Disk`. Its states before and after each of its commits are kept, and
//! the crash between the last sync and the commit is a crash with the earlier of them.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_module::ModuleVersion;
use modkeep_store::faults::{RecordingDisk, Survival};
use modkeep_store::{FetchedMod, Parts, Repository, Store, SystemClock, fsck};
use support::*;

/// What was acknowledged when the ledger was in this state, and a copy of it.
struct State {
    ledger: PathBuf,
    whole: Vec<ModuleVersion>,
    small: Vec<ModuleVersion>,
    tile: bool,
}

const TILE: &str = "tile/8/0/000";

struct Script {
    store: Store,
    disk: RecordingDisk,
    copies: PathBuf,
    root: PathBuf,
    states: Vec<State>,
}

impl Script {
    /// Keeps the ledger as it is now, and what has been acknowledged by now.
    fn mark(&mut self, whole: &[&ModuleVersion], small: &[&ModuleVersion], tile: bool) {
        let number = self.states.len();
        let ledger = self.copies.join(number.to_string());
        std::fs::create_dir(&ledger).unwrap();
        for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
            std::fs::copy(self.root.join(name), ledger.join(name)).unwrap();
        }
        let owned = |versions: &[&ModuleVersion]| versions.iter().map(|which| (*which).clone()).collect();
        self.states.push(State { ledger, whole: owned(whole), small: owned(small), tile });
        self.disk.mark(number);
    }
}

async fn run(root: &Path, copies: &Path) -> (RecordingDisk, Vec<State>) {
    let disk = RecordingDisk::new(root);
    let store = Store::open_on(config(root), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    let mut script = Script {
        store: store.clone(),
        disk: disk.clone(),
        copies: copies.to_owned(),
        root: root.to_owned(),
        states: vec![],
    };
    script.mark(&[], &[], false);

    let [a, b, c, d] =
        ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"].map(|number| version("example.com/m", number));
    store.commit(&Repository::main(), &a, parts(&store, &a)).await.unwrap();
    script.mark(&[&a], &[], false);
    store.commit(&Repository::main(), &b, small_parts(&b)).await.unwrap();
    script.mark(&[&a], &[&b], false);
    let zip = Parts { zip: parts(&store, &b).zip, ..Parts::public("later") };
    store.commit(&Repository::main(), &b, zip).await.unwrap();
    script.mark(&[&a, &b], &[], false);
    for outcome in store.commit_many(vec![incoming(&store, &c), incoming(&store, &d)]).await {
        outcome.unwrap();
    }
    script.mark(&[&a, &b, &c, &d], &[], false);
    let foreign = store.foreign("sum.example.org").unwrap();
    foreign
        .put(vec![(TILE.to_owned(), vec![7; 2000]), ("lookup/m@v1.0.0".to_owned(), b"lines".to_vec())])
        .await
        .unwrap();
    script.mark(&[&a, &b, &c, &d], &[], true);
    let liar =
        Parts { go_mod: Some(seen(FetchedMod::new(b"module liar\n".to_vec(), &a))), ..Parts::public("liar") };
    store.commit(&Repository::main(), &a, liar).await.unwrap_err();
    script.mark(&[&a, &b, &c, &d], &[], true);
    drop(script.store);
    (disk, script.states)
}

async fn check(folder: &Path, state: &State, context: &str) {
    for entry in std::fs::read_dir(&state.ledger).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let store = Store::open(config(folder), Arc::new(SystemClock))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let report = fsck::run(&store, fsck::Options::default(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{context}: {report:#?}");
    for which in &state.whole {
        assert_whole(&store, which).await;
    }
    for which in &state.small {
        assert_eq!(
            read(&store, which, modkeep_store::FileKind::Mod).await.unwrap(),
            mod_of(which),
            "{context}"
        );
    }
    let tile = store.foreign("sum.example.org").unwrap().get(TILE).await.unwrap();
    assert!(!state.tile || tile == Some(vec![7; 2000]), "{context}");
    // And it goes on: what was interrupted can be done again.
    for number in ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"] {
        let which = version("example.com/m", number);
        store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
        assert_whole(&store, &which).await;
    }
}

#[tokio::test]
async fn no_crash_loses_what_was_acknowledged() {
    let (folder, copies) = (new_folder(), new_folder());
    let (disk, states) = run(folder.path(), copies.path()).await;
    let mut tried = 0;
    for changes in 0..=disk.changes() {
        for survival in
            [Survival::All, Survival::Synced, Survival::Some(1), Survival::Some(changes as u64 + 2)]
        {
            let crashed = new_folder();
            let Some(mark) = disk.stage(changes, survival, crashed.path()).unwrap() else { continue };
            check(crashed.path(), &states[mark], &format!("crash after {changes} changes, {survival:?}"))
                .await;
            tried += 1;
        }
    }
    assert!(tried > 200, "only {tried} crash states");
}

/// The harness itself: a store that acknowledged before it synced would be caught.
#[tokio::test]
async fn a_crash_that_drops_synced_bytes_is_noticed() {
    let (folder, copies) = (new_folder(), new_folder());
    let (disk, states) = run(folder.path(), copies.path()).await;
    let crashed = new_folder();
    disk.stage(disk.changes() / 3, Survival::Synced, crashed.path()).unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        std::fs::copy(states.last().unwrap().ledger.join(name), crashed.path().join(name)).unwrap();
    }
    let store = open(crashed.path());
    let report = fsck::run(&store, fsck::Options::default(), &mut |_| {}).unwrap();
    assert!(report.findings.iter().any(|finding| finding.id == "R9"), "{report:?}");
}
