//! What goes wrong under a log, and what it does then: nothing answered is lost, nothing wrong is signed.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use modkeep_log::keys::KeySigner;
use modkeep_log::{
    AppendError, Config, GivenHead, KnownHead, Log, Mutant, OpenError, Parts, Recovered, Recovery, Sabotage,
    Signer, State, Step, fsck, rebuild, recover,
};
use modkeep_store::faults::{Fault, FaultyDisk};
use modkeep_store::{LogMutant, LogStore, LogTuning, NewRecord, RecordSource, Store, SystemClock};
use modkeep_testkit::copy_folder;
use modkeep_tlog::record::write_data_tile;
use modkeep_tlog::{Hash, SignerKey, Tile, TreeSize};
use support::{
    Gate, Seen, audit, audit_some, fill, key, new_folder, open, open_store, parts, real, record, sabotaged,
    try_open, vkey,
};

const STEPS: [Step; 8] = [
    Step::Sequence,
    Step::Derive,
    Step::Tiles,
    Step::Check,
    Step::Sign,
    Step::Commit,
    Step::Publish,
    Step::Answer,
];

/// The data directory as a process leaves it that is killed at the n-th beginning of each step: what was answered and
/// what was published by then is there, and the log goes on (T1, C4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_nothing_answered_is_lost() {
    for step in STEPS {
        for turn in [1, 3] {
            let (folder, image) = (new_folder(), new_folder());
            let store = open_store(folder.path(), real());
            let seen = Seen::default();
            let answered: Arc<Mutex<Vec<u64>>> = Arc::default();
            let promised: Arc<Mutex<(Vec<u64>, usize)>> = Arc::default();
            let sabotage = {
                let (from, to) = (folder.path().to_owned(), image.path().to_owned());
                let (answered, promised, seen) = (answered.clone(), promised.clone(), seen.clone());
                support::at(step, turn, move || {
                    let mut promised = promised.lock().unwrap();
                    *promised = (answered.lock().unwrap().clone(), seen.heads().len());
                    copy_folder(&from, &to);
                })
            };
            let log = Log::open(parts(&store, sabotaged(sabotage), &seen)).unwrap();
            for round in 0..4_u64 {
                fill(&log, round * 150..(round + 1) * 150).await;
                answered.lock().unwrap().extend(round * 150..(round + 1) * 150);
            }
            log.close().await;

            let (answered, heads) = promised.lock().unwrap().clone();
            let heads = &seen.heads()[..heads];
            let store = open_store(image.path(), real());
            let log = open(&store);
            for i in &answered {
                let (module, version) = support::module(*i);
                assert!(
                    log.find(&module, &version).unwrap().is_some(),
                    "{step:?} {turn}: record {i} is lost"
                );
            }
            fill(&log, 0..600).await;
            audit_some(&log, 600, heads, 7).unwrap_or_else(|error| panic!("{step:?} {turn}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_at_any_step_lands_its_waiters_and_the_log_starts_again() {
    for step in STEPS {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let seen = Seen::default();
        let gate = Gate::default();
        let sabotage = gate.sabotage(step, || panic!("planted"));
        let log = Log::open(parts(&store, sabotaged(sabotage), &seen)).unwrap();
        fill(&log, 0..200).await;
        let outcomes = gate.append(&log, 200..300).await.unwrap();
        outcomes[0].as_ref().unwrap();
        for outcome in &outcomes[1..] {
            assert!(matches!(outcome, Err(AppendError::Paused { .. })), "{step:?}: {outcome:?}");
        }
        support::until("a second start", || seen.stops().len() == 1).await;
        support::until_state(&log, |state| *state == State::Running).await;
        assert_eq!(log.waiting(), 0);
        fill(&log, 0..400).await;
        audit_some(&log, 400, &seen.heads(), 7).unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
}

/// Keys that are written with every batch, in order: so each batch meets the disk.
const WRITES_KEYS: LogTuning = LogTuning { key_shards: 2, mark_every: 1, mark_in_line: true, mutant: None };

/// The k-th call to the disk fails, once (T4). Every seventh k here; `FAULT_EVERY=1` takes them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_call_to_the_disk_may_fail_and_nothing_is_answered_wrongly() {
    let every = std::env::var("FAULT_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(7);
    for (fault, mut k) in [(Fault::Io, 0), (Fault::Full, every / 2)] {
        loop {
            let folder = new_folder();
            let disk = FaultyDisk::new();
            let store = open_store(folder.path(), Arc::new(disk.clone()));
            let seen = Seen::default();
            let matter = store.log_tuned(WRITES_KEYS).unwrap();
            let log = Log::open(Parts { store: matter, ..parts(&store, Config::default(), &seen) }).unwrap();
            fill(&log, 0..100).await;
            disk.fail_after(k, fault, false);
            let mut answered: Vec<u64> = (0..100).collect();
            for round in 0..3 {
                let ids: Vec<u64> = (100 + round * 120..100 + (round + 1) * 120).collect();
                let outcomes = log.append_all(ids.iter().map(|i| record(*i)).collect()).await;
                answered.extend(ids.iter().zip(outcomes).filter_map(|(i, outcome)| outcome.ok().map(|_| *i)));
            }
            let met = disk.faults();
            disk.heal();
            log.close().await;
            drop((log, store));

            let store = open_store(folder.path(), real());
            let log = open(&store);
            for i in &answered {
                let (module, version) = support::module(*i);
                assert!(log.find(&module, &version).unwrap().is_some(), "{fault:?} {k}: record {i} is lost");
            }
            fill(&log, 0..500).await;
            audit_some(&log, 500, &seen.heads(), 41).unwrap_or_else(|error| panic!("{fault:?} {k}: {error}"));
            if met == 0 {
                break;
            }
            k += every;
        }
        println!("{fault:?}: the workload meets the disk {k} times");
        assert!(k > 30, "the workload meets the disk {k} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i18_a_second_sequencer_fences_the_first() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let (seen_first, seen_second) = (Seen::default(), Seen::default());
    let first = Log::open(parts(&store, Config::default(), &seen_first)).unwrap();
    fill(&first, 0..10).await;
    let second = Log::open(parts(&store, Config::default(), &seen_second)).unwrap();
    fill(&second, 10..20).await;

    let refused = first.append(record(30)).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Paused { reason } if reason.contains("taken over")), "{refused}");
    support::until_state(&first, |state| matches!(state, State::Stopped { restarts: false, .. })).await;
    assert_eq!(first.latest().size.get(), 10, "what it has published it serves on");
    fill(&second, 20..30).await;
    let heads = [seen_first.heads(), seen_second.heads()].concat();
    audit(&second, 30, &heads).unwrap();
}

/// A leader stalls before each step, another one takes over, and the first one wakes (T15 in one process).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i18_a_leader_that_wakes_after_another_took_over_signs_nothing() {
    for step in STEPS {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let (seen_first, seen_second) = (Seen::default(), Seen::default());
        let (gate, stall) = (Gate::default(), Arc::new(std::sync::Barrier::new(2)));
        let sabotage = {
            let stall = stall.clone();
            gate.sabotage(step, move || {
                stall.wait();
                stall.wait();
            })
        };
        let first = Log::open(parts(&store, sabotaged(sabotage), &seen_first)).unwrap();
        fill(&first, 0..200).await;
        let stalled = gate.append(&first, 200..300);
        tokio::task::spawn_blocking({
            let stall = stall.clone();
            move || stall.wait()
        })
        .await
        .unwrap();
        let second = Log::open(parts(&store, Config::default(), &seen_second)).unwrap();
        fill(&second, 400..600).await;
        stall.wait();
        let outcomes = stalled.await.unwrap();
        let answered = outcomes[1..].iter().filter(|outcome| outcome.is_ok()).count();
        // It may still answer for what it had promised before it was fenced.
        assert!(answered == 0 || matches!(step, Step::Publish | Step::Answer), "{step:?}: {answered}");
        fill(&second, 0..600).await;
        let heads = [seen_first.heads(), seen_second.heads()].concat();
        audit_some(&second, 600, &heads, 7).unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
}

/// A log of `size` records, and its copy at `backup`; the tree continues after the backup was taken.
async fn aged(backup: u64, size: u64) -> (tempfile::TempDir, tempfile::TempDir, Seen) {
    let (folder, old) = (new_folder(), new_folder());
    let store = open_store(folder.path(), real());
    let seen = Seen::default();
    let log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
    fill(&log, 0..backup).await;
    log.close().await;
    copy_folder(folder.path(), old.path());
    let log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
    fill(&log, backup..size).await;
    log.close().await;
    (folder, old, seen)
}

fn behind(outcome: Result<Log, OpenError>, size: u64) -> String {
    match outcome {
        Err(error @ OpenError::Behind { seen, .. }) if seen.get() == size => error.to_string(),
        other => panic!("want Behind {size}, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i17_an_old_copy_is_not_signed_from_and_is_served() {
    let (folder, old, _) = aged(300, 700).await;
    let newest = fs::read(folder.path().join("log/latest")).unwrap();

    // Told by the published file, by the copy beside the key, and by a witness's size.
    let store = open_store(old.path(), real());
    let published = old.path().join("log/latest");
    fs::remove_file(&published).unwrap();
    fs::write(&published, &newest).unwrap();
    let said = behind(try_open(&store), 700);
    assert!(said.contains("log recover"), "{said}");
    fs::write(&published, b"torn").unwrap();

    let copy = old.path().join("key.head");
    fs::write(&copy, &newest).unwrap();
    let config = Config { head_copy: Some(copy.clone()), ..Config::default() };
    behind(Log::open(parts(&store, config, &Seen::default())), 700);

    let witness =
        KnownHead { seen_by: "witness.example".into(), size: TreeSize::new(701).unwrap(), root: None };
    let config = Config { known_heads: vec![witness], ..Config::default() };
    let said = behind(Log::open(parts(&store, config, &Seen::default())), 701);
    assert!(said.contains("witness.example"), "{said}");

    let other = KnownHead {
        seen_by: "a replica".into(),
        size: TreeSize::new(200).unwrap(),
        root: Some(Hash([1; 32])),
    };
    let config = Config { known_heads: vec![other], ..Config::default() };
    let forked = Log::open(parts(&store, config, &Seen::default())).unwrap_err();
    assert!(matches!(forked, OpenError::Forked { .. }), "{forked}");

    // Reads are served all the same.
    let reader = Log::open_reading(store.log().unwrap(), vec![vkey()], Config::default()).unwrap();
    audit(&reader, 300, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_beside_the_key_follows_and_a_log_that_went_on_is_not_behind() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let copy = folder.path().join("key.head");
    let config = Config { head_copy: Some(copy.clone()), ..Config::default() };
    let log = Log::open(parts(&store, config.clone(), &Seen::default())).unwrap();
    fill(&log, 0..10).await;
    fill(&log, 10..20).await;
    log.close().await;
    assert_eq!(fs::read(&copy).unwrap(), log.latest().note);
    let log = Log::open(parts(&store, config, &Seen::default())).unwrap();
    fill(&log, 20..30).await;
    log.close().await;
}

fn recovery<'a>(store: &LogStore, head: &[u8], tiles: &'a dyn Fn(&Tile) -> Option<Vec<u8>>) -> Recovery<'a> {
    Recovery {
        store: store.clone(),
        signers: vec![Arc::new(KeySigner::from(key()))],
        config: Config::default(),
        clock: Arc::new(SystemClock),
        heads: vec![GivenHead { file: "newest.head".into(), note: head.to_vec() }],
        tiles,
    }
}

/// A head that somebody brought is kept synced: where a bit of it is flipped, an old copy may be all that is here (I17).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i17_a_damaged_head_that_was_brought_is_not_passed_over() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let log = Log::open(parts(&store, Config::default(), &Seen::default())).unwrap();
    fill(&log, 0..10).await;
    log.close().await;
    let newest = log.latest().note.to_vec();
    let seen = folder.path().join("log/seen");
    store.log().unwrap().keep_seen(&newest).unwrap();
    Log::open(parts(&store, Config::default(), &Seen::default())).unwrap().close().await;

    for damaged in [flipped(&newest), Vec::new()] {
        fs::remove_file(&seen).unwrap();
        fs::write(&seen, &damaged).unwrap();
        let refused = Log::open(parts(&store, Config::default(), &Seen::default())).unwrap_err();
        assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("log/seen is damaged") && said.contains("log recover --head FILE"), "{said}");

        // That nobody names a larger head is not enough: the damaged one may have been it.
        let unnamed = Recovery { heads: Vec::new(), ..recovery(&store.log().unwrap(), &newest, &|_| None) };
        let refused = recover(unnamed).unwrap_err();
        assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused}");
        assert_eq!(fs::read(&seen).unwrap(), damaged);

        // The operator names it.
        recover(recovery(&store.log().unwrap(), &newest, &|_| None)).unwrap();
        assert_eq!(fs::read(&seen).unwrap(), newest);
        Log::open(parts(&store, Config::default(), &Seen::default())).unwrap().close().await;
    }
}

/// The copy beside the key is synced before it takes its name, so it is whole or damaged (I17).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i17_a_damaged_copy_beside_the_key_is_not_passed_over() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let copy = folder.path().join("key.head");
    let config = Config { head_copy: Some(copy.clone()), ..Config::default() };
    let log = Log::open(parts(&store, config.clone(), &Seen::default())).unwrap();
    fill(&log, 0..10).await;
    log.close().await;
    let newest = fs::read(&copy).unwrap();
    for damaged in [flipped(&newest), newest[..20].to_vec()] {
        fs::write(&copy, &damaged).unwrap();
        let refused = Log::open(parts(&store, config.clone(), &Seen::default())).unwrap_err();
        assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("key.head is damaged") && said.contains("remove the file to go on"), "{said}");
        assert_eq!(fs::read(&copy).unwrap(), damaged);
    }
    // Empty is what a power cut left of it before it was synced.
    fs::write(&copy, b"").unwrap();
    Log::open(parts(&store, config.clone(), &Seen::default())).unwrap().close().await;
    assert_eq!(fs::read(&copy).unwrap(), newest);
    fs::remove_file(&copy).unwrap();
    Log::open(parts(&store, config.clone(), &Seen::default())).unwrap().close().await;
    // Nor is one damaged that only a key of before has signed.
    let new = SignerKey::from_seed(support::NAME, [8; 32]).unwrap();
    for keys in [vec![key(), new.clone()], vec![new]] {
        fs::write(&copy, &newest).unwrap();
        let signers = keys.into_iter().map(|key| Arc::new(KeySigner::from(key)) as Arc<dyn Signer>).collect();
        let rotated = Parts { signers, ..parts(&store, config.clone(), &Seen::default()) };
        Log::open(rotated).unwrap().close().await;
    }
}

/// One bit is another: in the size of the head.
fn flipped(note: &[u8]) -> Vec<u8> {
    let mut note = note.to_vec();
    let size = note.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    note[size] ^= 1;
    note
}

/// The database is old, the tiles are newer: `log recover` goes forward to the head that clients have seen, and only
/// when it reproduces that exactly (C4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_is_recovered_forward_from_tiles() {
    let (folder, old, seen) = aged(300, 700).await;
    let newest = fs::read(folder.path().join("log/latest")).unwrap();
    fs::remove_dir_all(old.path().join("log/tile")).unwrap();
    copy_folder(&folder.path().join("log/tile"), &old.path().join("log/tile"));
    let store = open_store(old.path(), real());

    // The open data tile was never a file: without it nothing can be reproduced, and nothing is changed.
    let nowhere = |_: &Tile| None;
    let lacking = recover(recovery(&store.log().unwrap(), &newest, &nowhere)).unwrap_err();
    assert!(matches!(lacking, OpenError::NoTile { .. }), "{lacking}");
    let said = lacking.to_string();
    assert!(
        said.contains("tile/8/data/002.p/188 is needed") && said.contains("log recover --from DIR"),
        "{said}"
    );
    assert_eq!(store.log().unwrap().state().unwrap().sequenced.get(), 300);

    let texts = |to: u64| -> Vec<_> { (512..to).map(|i| record(i).record.to_text().unwrap()).collect() };
    let replica =
        |tile: &Tile| (tile.path() == "tile/8/data/002.p/188").then(|| write_data_tile(&texts(700)));
    let liar = |tile: &Tile| {
        let mut texts = texts(700);
        texts[5] = record(1000).record.to_text().unwrap();
        (tile.path() == "tile/8/data/002.p/188").then(|| write_data_tile(&texts))
    };
    let forked = recover(recovery(&store.log().unwrap(), &newest, &liar)).unwrap_err();
    assert!(matches!(forked, OpenError::Forked { .. }), "{forked}");
    let torn = |_: &Tile| Some(b"example.com/m".to_vec());
    let bad = recover(recovery(&store.log().unwrap(), &newest, &torn)).unwrap_err().to_string();
    assert!(bad.contains("of the tree that was given is damaged") && bad.contains("--from DIR"), "{bad}");
    let wrong = recover(recovery(&store.log().unwrap(), b"no note", &nowhere)).unwrap_err();
    assert!(matches!(wrong, OpenError::NoHead { .. }), "{wrong}");
    assert!(wrong.to_string().starts_with("newest.head is no head of this log"), "{wrong}");
    assert_eq!(store.log().unwrap().state().unwrap().sequenced.get(), 300, "nothing was written");

    let done = recover(recovery(&store.log().unwrap(), &newest, &replica)).unwrap();
    assert_eq!((done.from.get(), done.to.get()), (300, 700));
    let log = open(&store);
    audit(&log, 700, &seen.heads()).unwrap();
    fill(&log, 700..800).await;
    audit(&log, 800, &seen.heads()).unwrap();
    log.close().await;
    let again = recover(recovery(&store.log().unwrap(), &newest, &replica)).unwrap();
    assert_eq!(again, Recovered { from: again.to, to: again.to });
}

/// What an import gave ids to in the old copy, and no head covers, is not what the newer tree has there: the rows and the
/// tree contradict each other, and no tool decides between them (C7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_conflicts_with_the_newer_tree_is_not_recovered_over() {
    let (folder, old, _) = aged(300, 512).await;
    let newest = fs::read(folder.path().join("log/latest")).unwrap();
    let elsewhere = |tile: &Tile| fs::read(folder.path().join("log").join(tile.path())).ok();
    let with_sum = |i: u64, sum: u8| {
        let mut new = record(i);
        new.record.zip_h1 = [sum; 32];
        NewRecord { source: RecordSource::Upstream("sum.golang.org".into()), ..new }
    };
    for (what, imported) in [
        ("other sums for the next record", vec![with_sum(300, 9)]),
        ("other sums for a later one", vec![record(300), with_sum(301, 9)]),
        ("a later one too early", vec![record(400)]),
        ("one that the tree has not", vec![record(1_000)]),
    ] {
        let copy = new_folder();
        copy_folder(old.path(), copy.path());
        let store = open_store(copy.path(), real());
        store.log().unwrap().writer().unwrap().sequence(&imported, std::time::SystemTime::now()).unwrap();
        let before = store.log().unwrap().state().unwrap();
        let refused = recover(recovery(&store.log().unwrap(), &newest, &elsewhere)).unwrap_err();
        assert!(matches!(refused, OpenError::Conflict { .. }), "{what}: {refused}");
        let after = store.log().unwrap().state().unwrap();
        assert_eq!(
            (after.sequenced, after.built),
            (before.sequenced, before.built),
            "{what}: nothing was written"
        );
    }
    // Without a conflict the same copy goes forward.
    let store = open_store(old.path(), real());
    store.log().unwrap().writer().unwrap().sequence(&[record(300)], std::time::SystemTime::now()).unwrap();
    let done = recover(recovery(&store.log().unwrap(), &newest, &elsewhere)).unwrap();
    assert_eq!((done.from.get(), done.to.get()), (300, 512));
}

fn database(folder: &Path) -> PathBuf {
    folder.join("log/log.sqlite")
}

fn damage_row(folder: &Path, id: u64) {
    let engine = rusqlite::Connection::open(database(folder)).unwrap();
    let changed =
        engine.execute(&format!("UPDATE log_record SET zip_h1 = zeroblob(32) WHERE id = {id}"), []).unwrap();
    assert_eq!(changed, 1);
}

fn damage_tile(folder: &Path, tile: &str) {
    let path = folder.join("log").join(tile);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A bit flips in a row, a data tile or a hash tile after it was written and before it is signed (R14, T6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_damage_between_writing_and_signing_is_seen_before_a_signature() {
    type Harm = fn(&Path);
    let harms: [(&str, Step, Harm); 5] = [
        ("row", Step::Derive, |folder| damage_row(folder, 450)),
        ("row of the full tile", Step::Check, |folder| damage_row(folder, 310)),
        ("data tile", Step::Check, |folder| damage_tile(folder, "tile/8/data/001")),
        ("hash tile", Step::Check, |folder| damage_tile(folder, "tile/8/0/001")),
        ("row, late", Step::Check, |folder| damage_row(folder, 599)),
    ];
    for (what, step, harm) in harms {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let (seen, gate) = (Seen::default(), Gate::default());
        let path = folder.path().to_owned();
        let sabotage = gate.sabotage(step, move || harm(&path));
        let log = Log::open(parts(&store, sabotaged(sabotage), &seen)).unwrap();
        fill(&log, 0..300).await;
        let outcomes = gate.append(&log, 300..600).await.unwrap();
        assert!(outcomes[1..].iter().all(Result::is_err), "{what}");
        support::until_state(&log, |state| matches!(state, State::Stopped { restarts: false, .. })).await;
        assert_eq!(log.latest().size.get(), 301, "{what}: nothing more was signed");
        assert!(seen.stops()[0].0.contains("nothing was signed"), "{what}: {:?}", seen.stops());
        audit(&log, 0, &seen.heads()).unwrap();
        assert_eq!(store.log().unwrap().newest_head().unwrap().unwrap().size.get(), 301, "{what}");
    }
}

/// A row flips after its transaction, and the process ends before a head covers it: the rows are all that the next one has,
/// and what the callers gave is kept beside them (R14, T6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_a_row_that_flips_before_its_head_is_no_truth_after_a_restart() {
    for (step, id) in [(Step::Derive, 450), (Step::Derive, 301), (Step::Check, 310), (Step::Commit, 599)] {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let (seen, gate) = (Seen::default(), Gate::default());
        let path = folder.path().to_owned();
        let sabotage = gate.sabotage(step, move || {
            damage_row(&path, id);
            panic!("planted");
        });
        let log = Log::open(parts(&store, sabotaged(sabotage), &seen)).unwrap();
        fill(&log, 0..300).await;
        gate.append(&log, 300..600).await.unwrap();
        support::until_state(&log, |state| matches!(state, State::Stopped { restarts: false, .. })).await;
        log.close().await;
        drop((log, store));

        let store = open_store(folder.path(), real());
        let refused = try_open(&store).unwrap_err();
        assert!(matches!(refused, OpenError::Changed { .. }), "{step:?}: {refused}");
        assert!(refused.to_string().contains("log recover"), "{refused}");
        let newest = store.log().unwrap().newest_head().unwrap().unwrap();
        assert_eq!(newest.size.get(), 301, "{step:?}: nothing more was signed");
        let reader = Log::open_reading(store.log().unwrap(), vec![vkey()], Config::default()).unwrap();
        audit(&reader, 301, &seen.heads()).unwrap();

        // As it says: the rows that nobody was answered with are dropped, and may come again, in another order.
        let done = recover(recovery(&store.log().unwrap(), &newest.note, &|_| None)).unwrap();
        assert_eq!((done.from.get(), done.to.get()), (301, 301));
        let log = open(&store);
        fill(&log, 500..600).await;
        fill(&log, 0..600).await;
        audit(&log, 600, &seen.heads()).unwrap();
    }
}

/// Memory goes bad between the steps (R14, T6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_flips_in_memory_are_seen_before_a_signature() {
    for mutant in [Mutant::FlipLeaf, Mutant::FlipText, Mutant::FlipTile, Mutant::FlipEdge] {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let log = open(&store);
        fill(&log, 0..300).await;
        log.close().await;
        let head = log.latest();
        let seen = Seen::default();
        let config = sabotaged(Sabotage { mutant: Some(mutant), hook: None });
        let log = Log::open(parts(&store, config, &seen)).unwrap();
        for first in [300, 511] {
            let outcome = log.append(record(first)).await;
            if mutant == Mutant::FlipText || mutant == Mutant::FlipTile {
                // Of the text only the data tile is made, and the tile is flipped when there is one.
                continue;
            }
            assert!(outcome.is_err(), "{mutant:?}");
        }
        for outcome in log.append_all((301..560).map(record).collect()).await {
            drop(outcome);
        }
        support::until_state(&log, |state| matches!(state, State::Stopped { restarts: false, .. })).await;
        let newest = log.latest();
        audit(&log, 0, &[seen.heads(), vec![head.clone()]].concat()).unwrap();
        assert!(newest.size.get() < 512, "{mutant:?}: {}", newest.size);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_on_disk_is_neither_served_nor_started_from() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let log = open(&store);
    fill(&log, 0..700).await;
    let (module, version) = support::module(600);
    log.lookup(&module, &version).unwrap().unwrap();
    damage_row(folder.path(), 600);
    log.lookup(&module, &version).unwrap_err();
    damage_tile(folder.path(), "tile/8/data/001");
    log.tile(&Tile::parse("tile/8/data/001").unwrap()).unwrap_err();
    damage_tile(folder.path(), "tile/8/0/000");
    log.tile(&Tile::parse("tile/8/0/000").unwrap()).unwrap_err();
    log.tile(&Tile::parse("tile/8/0/000.p/7").unwrap()).unwrap_err();
    log.tile(&Tile::parse("tile/8/0/001").unwrap()).unwrap().unwrap();
    log.close().await;
    let damaged = try_open(&store).unwrap_err();
    assert!(matches!(damaged, OpenError::Damaged { .. }), "{damaged}");
    assert!(damaged.to_string().contains("log fsck"), "{damaged}");
}

/// The mistakes that the tests above are there to find: each is made on purpose, and each is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutants_do_not_survive() {
    for mutant in [
        Mutant::AnswerBeforeHead,
        Mutant::PublishBeforeCommit,
        Mutant::CommitBeforeTiles,
        Mutant::SkipReadBack,
        Mutant::SkipPublicHeads,
        Mutant::HideConflicts,
        Mutant::RestartFromMemory,
    ] {
        assert!(is_noticed(mutant).await, "{mutant:?} survives");
    }
}

async fn is_noticed(mutant: Mutant) -> bool {
    match mutant {
        Mutant::SkipReadBack => {
            let folder = new_folder();
            let store = open_store(folder.path(), real());
            let path = folder.path().to_owned();
            let hook = support::at(Step::Check, 1, move || damage_row(&path, 0)).hook;
            let config = sabotaged(Sabotage { mutant: Some(mutant), hook });
            let log = Log::open(parts(&store, config, &Seen::default())).unwrap();
            log.append(record(0)).await.is_ok() // a head over a damaged row
        }
        Mutant::SkipPublicHeads => {
            let (folder, old, _) = aged(10, 20).await;
            fs::copy(folder.path().join("log/latest"), old.path().join("log/latest")).unwrap();
            let store = open_store(old.path(), real());
            let config = sabotaged(Sabotage { mutant: Some(mutant), hook: None });
            Log::open(parts(&store, config, &Seen::default())).is_ok() // it signs from an old copy
        }
        Mutant::HideConflicts => {
            let folder = new_folder();
            let store = open_store(folder.path(), real());
            let seen = Seen::default();
            let log =
                Log::open(parts(&store, sabotaged(Sabotage { mutant: Some(mutant), hook: None }), &seen))
                    .unwrap();
            fill(&log, 0..1).await;
            let mut moved = record(0);
            moved.record.zip_h1 = [9; 32];
            log.append(moved).await.unwrap();
            log.close().await;
            seen.conflicts().is_empty()
        }
        Mutant::RestartFromMemory => {
            assert!(stops_after_an_error(None).await, "without a mistake");
            !stops_after_an_error(Some(mutant)).await
        }
        _ => killed_with(mutant).await.is_err(),
    }
}

/// R10: after an error nothing goes on from memory: the sequencer says that it stops, and starts again from what is stored.
async fn stops_after_an_error(mutant: Option<Mutant>) -> bool {
    let (folder, disk, seen) = (new_folder(), FaultyDisk::new(), Seen::default());
    let store = open_store(folder.path(), Arc::new(disk.clone()));
    let config = sabotaged(Sabotage { mutant, hook: None });
    let matter = store.log_tuned(WRITES_KEYS).unwrap();
    let log = Log::open(Parts { store: matter.clone(), ..parts(&store, config, &seen) }).unwrap();
    fill(&log, 0..10).await;
    // The files follow a moment later; that is not the call that is to fail.
    support::until("the files", || matter.published().unwrap().as_deref() == Some(&log.latest().note[..]))
        .await;
    disk.fail_after(0, Fault::Io, false);
    log.append(record(10)).await.unwrap_err();
    log.close().await;
    assert_eq!(disk.faults(), 1);
    !seen.stops().is_empty()
}

/// A version that gets a second record is found by everybody who looks: the oracle, and the caller (R7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_an_index_that_is_passed_over_is_noticed() {
    for (mutant, is_noticed) in [(None, false), (Some(LogMutant::SkipIndex), true)] {
        let folder = new_folder();
        let store = open_store(folder.path(), real());
        let matter = store.log_tuned(LogTuning { mutant, ..LogTuning::default() }).unwrap();
        let parts = Parts { store: matter.clone(), ..parts(&store, Config::default(), &Seen::default()) };
        let log = Log::open(parts).unwrap();
        fill(&log, 0..20).await;
        let again = log.append(record(7)).await.unwrap();
        assert_eq!(again.was_known, !is_noticed, "{mutant:?}");
        log.close().await;
        let report =
            fsck::run(&matter, &fsck::Options::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.is_sound(), !is_noticed, "{mutant:?}: {report:?}");
        assert_eq!(audit(&log, 20, &[]).is_err(), is_noticed, "{mutant:?}");
    }
}

/// The image of a kill at the worst moment, judged as the tests above judge.
async fn killed_with(mutant: Mutant) -> Result<(), String> {
    let step = match mutant {
        Mutant::AnswerBeforeHead => Step::Derive,
        Mutant::CommitBeforeTiles => Step::Tiles,
        _ => Step::Commit,
    };
    let (folder, image) = (new_folder(), new_folder());
    let store = open_store(folder.path(), real());
    let (seen, gate) = (Seen::default(), Gate::default());
    let promised: Arc<Mutex<Vec<Arc<modkeep_log::Head>>>> = Arc::default();
    let hook = {
        let (from, to) = (folder.path().to_owned(), image.path().to_owned());
        let (promised, seen) = (promised.clone(), seen.clone());
        let act = move || {
            *promised.lock().unwrap() = seen.heads();
            copy_folder(&from, &to);
        };
        gate.sabotage(step, act).hook
    };
    let log = Log::open(parts(&store, sabotaged(Sabotage { mutant: Some(mutant), hook }), &seen)).unwrap();
    for appended in gate.append(&log, 0..300).await.unwrap().into_iter().flatten() {
        if !appended.head_size.contains(appended.id) {
            return Err("answered before a head covered it".into());
        }
    }
    log.close().await;
    let store: Store = open_store(image.path(), real());
    let log = try_open(&store).map_err(|error| error.to_string())?;
    let newest = promised.lock().unwrap().iter().map(|head| head.size).max();
    if newest.is_some_and(|size| size > log.latest().size) {
        return Err("a public head was lost".into());
    }
    Ok(())
}

/// R13: the key index is derived. A search that meets damage in it is refused, and the sequencer makes it again from the rows,
/// unasked; so does `log rebuild`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_an_index_that_a_search_found_damaged_is_made_again() {
    let folder = new_folder();
    let store = open_store(folder.path(), real());
    let seen = Seen::default();
    let log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
    fill(&log, 0..300).await;
    let found = |i| {
        let (module, version) = support::module(i);
        log.find(&module, &version)
    };
    flip_keys(folder.path());
    assert!((0..300).any(|i| found(i).is_err()), "something is answered out of damaged blocks");
    support::until("all is found again", || (0..300).all(|i| found(i).is_ok_and(|id| id.is_some()))).await;
    support::until_state(&log, |state| *state == State::Running).await;
    assert_eq!(seen.stops().len(), 1);
    fill(&log, 250..400).await;
    audit_some(&log, 400, &seen.heads(), 7).unwrap();
    flip_keys(folder.path());
    assert!((0..400).any(|i| found(i).is_err()));
    log.close().await;
    drop(log);

    let matter = store.log().unwrap();
    let mut writer = matter.writer().unwrap();
    assert_eq!(matter.check_keys(1).unwrap(), [], "who closes leaves word as well");
    flip_keys(folder.path());
    assert!(!matter.check_keys(1).unwrap().is_empty());
    assert!(rebuild::tiles(&matter, &mut writer).unwrap().keys);
    assert_eq!(matter.check_keys(1).unwrap(), []);
    assert!(!rebuild::tiles(&matter, &mut writer).unwrap().keys, "a second time");
}

/// Flips a bit of every block of the key index, in place: a running log has the files open.
fn flip_keys(root: &Path) {
    for file in fs::read_dir(root.join("log/keys")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 4);
        fs::File::options().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
    }
}
