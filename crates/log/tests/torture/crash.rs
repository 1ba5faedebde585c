//! T2, the whole log: the sequencer works on a recorded disk, a crash is staged after its changes, and a log starts on what is
//! left. The crashes of the store alone, and of its database, are in `crates/store/tests/log_crash.rs`.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use modkeep_log::keys::KeySigner;
use modkeep_log::{Config, Event, Log, Observer, Parts, Sabotage, fsck};
use modkeep_store::faults::RecordingDisk;
use modkeep_store::{LogTuning, SystemClock};

use crate::oracle::Oracle;
use crate::support::{fill, key, new_folder, open, open_store, real, vkey};

const FILES: [&str; 2] = ["log.sqlite", "log.sqlite-wal"];
const RECORDS: u64 = 560;

type World = [Vec<u8>; 2];

/// What was said, and after how many changes.
#[derive(Clone, Debug, Default)]
struct Said {
    heads: Vec<(usize, Vec<u8>)>,
    /// Records before this one were answered.
    answered: Vec<(usize, u64)>,
}

fn read(root: &Path) -> World {
    FILES.map(|name| std::fs::read(root.join("log").join(name)).unwrap_or_default())
}

async fn run(root: &Path) -> (RecordingDisk, Vec<World>, Said) {
    let (worlds, said): (Arc<Mutex<Vec<World>>>, Arc<Mutex<Said>>) = Default::default();
    let watch = {
        let (worlds, root) = (worlds.clone(), root.to_owned());
        move || {
            let (now, mut worlds) = (read(&root), worlds.lock().unwrap());
            (worlds.last() != Some(&now)).then(|| {
                worlds.push(now);
                worlds.len() - 1
            })
        }
    };
    let disk = RecordingDisk::new(root).watching(watch);
    // Two sessions; batches over the ends of tiles, and lone records.
    for batches in [vec![0..1, 1..3, 3..250, 250..300], vec![300..301, 301..302, 302..520, 520..RECORDS]] {
        let store = open_store(root, Arc::new(disk.clone()));
        let hook = {
            let disk = disk.clone();
            Arc::new(move |_| disk.look_outside())
        };
        let observer = {
            let (disk, said) = (disk.clone(), said.clone());
            Observer::new(move |event| {
                if let Event::Head(head) = event {
                    disk.look_outside();
                    said.lock().unwrap().heads.push((disk.changes(), head.note.to_vec()));
                }
            })
        };
        let tuning = LogTuning { key_shards: 2, mark_every: 20, mark_in_line: true, mutant: None };
        let log = Log::open(Parts {
            store: store.log_tuned(tuning).unwrap(),
            signers: vec![Arc::new(KeySigner::from(key()))],
            config: Config { sabotage: Sabotage { mutant: None, hook: Some(hook) }, ..Config::default() },
            clock: Arc::new(SystemClock),
            observer,
        })
        .unwrap();
        for batch in batches {
            let end = batch.end;
            fill(&log, batch).await;
            disk.look_outside();
            said.lock().unwrap().answered.push((disk.changes(), end));
        }
        log.close().await;
    }
    disk.look_outside();
    let (worlds, said) = (worlds.lock().unwrap().clone(), said.lock().unwrap().clone());
    (disk, worlds, said)
}

/// Starts on what is left: what was said stands, and the log goes on to the same end.
async fn check(folder: &Path, at: usize, said: &Said, oracle: &Oracle, is_thorough: bool, context: &str) {
    let store = open_store(folder, real());
    let log = open(&store);
    let ours = oracle.believes(&log.latest().note, context);
    for (_, note) in said.heads.iter().filter(|(changes, _)| *changes <= at) {
        assert!(oracle.believes(note, context) <= ours, "{context}: a public head is lost");
    }
    let answered = said.answered.iter().rev().find(|(changes, _)| *changes <= at).map_or(0, |(_, end)| *end);
    for i in (0..answered).step_by(17).chain(answered.checked_sub(1)) {
        oracle.assert_found(&log, i, context);
    }
    fill(&log, 0..RECORDS).await;
    assert_eq!(oracle.believes(&log.latest().note, context), RECORDS, "{context}: a duplicate");
    log.close().await;
    if is_thorough {
        let options = fsck::Options { keys: vec![vkey()], ..fsck::Options::default() };
        let report = fsck::run(&store.log().unwrap(), &options, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(report.is_sound() && report.complete, "{context}: {:?}", report.findings);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crash_of_the_whole_log_loses_what_was_said() {
    let every: usize = std::env::var("CRASH_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(11);
    let (folder, oracle) = (new_folder(), Oracle::new(RECORDS));
    let (disk, worlds, said) = run(folder.path()).await;
    let (mut met, mut tried) = (HashSet::new(), 0);
    for changes in (0..=disk.changes()).filter(|changes| changes % every == 0) {
        let crash = disk.crash_after(changes);
        let Some(mark) = crash.mark() else { continue };
        let mut survivals = crash.survivals(0..3);
        let others = survivals.len() - 3;
        survivals[3..].rotate_left(changes * 7 % others);
        survivals.truncate(5);
        for survival in survivals {
            if !met.insert((crash.fingerprint(survival), mark)) {
                continue;
            }
            let crashed = new_folder();
            crash.stage(survival, crashed.path()).unwrap();
            std::fs::create_dir_all(crashed.path().join("log")).unwrap();
            for (name, bytes) in FILES.iter().zip(&worlds[mark]).filter(|(_, bytes)| !bytes.is_empty()) {
                std::fs::write(crashed.path().join("log").join(name), bytes).unwrap();
            }
            tried += 1;
            let context = format!("crash after {changes} changes, {survival:?}");
            check(crashed.path(), changes, &said, &oracle, tried % 5 == 0, &context).await;
        }
    }
    println!("{tried} crash states of {} changes, {} of the database", disk.changes(), worlds.len());
    assert!(tried >= 60, "only {tried} crash states");
}
