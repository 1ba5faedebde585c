//! T2 for the log's matter: a crash after each change of the disk, in several strengths, with the state that the database
//! had then. What was acknowledged is there, every module version has one id, ids have no gap, a head's tiles are there.
//!
//! The database is not written through `Disk`. Its file is copied after each of its transactions. Between two calls the
//! crash is tried with the copies of before and after.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;
#[path = "support/log.rs"]
mod support_log;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_store::faults::{RecordingDisk, Survival};
use modkeep_store::{LogStore, LogWriter, Store, SystemClock};
use support::{config, new_folder};
use support_log::*;

/// A state of the database, and what was acknowledged when the next call began.
struct State {
    copy: PathBuf,
    /// The changes of the disk that had happened when it came to be.
    from: usize,
    model: Model,
}

struct Script<'a> {
    disk: &'a RecordingDisk,
    root: &'a Path,
    copies: &'a Path,
    states: Vec<State>,
    model: Model,
}

impl Script<'_> {
    /// Keeps the database as it is now; true from the change `from` on.
    fn keep(&mut self, from: usize) {
        let copy = self.copies.join(self.states.len().to_string());
        std::fs::create_dir(&copy).unwrap();
        for name in ["log.sqlite", "log.sqlite-wal"] {
            let file = self.root.join("log").join(name);
            if file.exists() {
                std::fs::copy(file, copy.join(name)).unwrap();
            }
        }
        self.states.push(State { copy, from, model: self.model.clone() });
    }

    /// In a call the transaction comes first, so its state is that of all changes of the call.
    fn sequence(&mut self, writer: &mut LogWriter, numbers: std::ops::Range<u64>) {
        let (batch, from) = (records(numbers), self.disk.changes());
        let outcomes = writer.sequence(&batch, now()).unwrap();
        self.keep(from);
        self.model.learn(&batch, &outcomes, "script");
        self.states.last_mut().unwrap().from = from;
        // Acknowledged only now: a crash from here on has to keep it.
        self.keep(self.disk.changes());
    }

    fn build(&mut self, writer: &mut LogWriter, before: u64, after: u64) {
        writer.put_tiles(&tiles(before, after)).unwrap();
        commit(writer, before, after).unwrap();
        self.keep(self.disk.changes());
        writer.publish(&modkeep_store::contract::head(after, 1)).unwrap();
    }
}

fn open_on(root: &Path, disk: &RecordingDisk) -> LogStore {
    let store = Store::open_on(config(root), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    store.log_tuned(SMALL).unwrap()
}

/// Two sessions: batches with repeats, growing files of keys, tiles and heads.
fn run(root: &Path, copies: &Path) -> (RecordingDisk, Vec<State>) {
    let disk = RecordingDisk::new(root);
    let log = open_on(root, &disk);
    let mut script = Script { disk: &disk, root, copies, states: vec![], model: Model::default() };
    let from = script.disk.changes();
    let mut writer = log.writer().unwrap();
    script.keep(from);
    script.keep(disk.changes());
    script.sequence(&mut writer, 0..1);
    script.build(&mut writer, 0, 1);
    script.sequence(&mut writer, 0..60);
    script.sequence(&mut writer, 50..150);
    script.sequence(&mut writer, 150..300);
    script.build(&mut writer, 1, 300);
    drop(writer);
    script.keep(disk.changes());
    drop(log);
    let from = disk.changes();
    let log = open_on(root, &disk);
    let mut writer = log.writer().unwrap();
    script.keep(from);
    script.sequence(&mut writer, 290..420);
    script.sequence(&mut writer, 420..530);
    script.build(&mut writer, 300, 530);
    script.sequence(&mut writer, 530..531);
    let states = script.states;
    (disk, states)
}

const LAST: u64 = 560;

fn check(folder: &Path, state: &State, context: &str) {
    std::fs::create_dir_all(folder.join("log")).unwrap();
    for entry in std::fs::read_dir(&state.copy).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join("log").join(entry.file_name())).unwrap();
    }
    let store = Store::open(config(folder), Arc::new(SystemClock))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let log = store.log_tuned(SMALL).unwrap_or_else(|error| panic!("{context}: {error}"));
    let writer = log.writer().unwrap_or_else(|error| panic!("{context}: {error}"));
    state.model.assert_in(&log, context);
    assert_built(&log, context);
    drop(writer);
    let model = finish(&log, 0..LAST).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(model.len(), LAST, "{context}");
    model.assert_in(&log, context);
    assert_built(&log, context);
    assert_eq!(log.check_keys(3).unwrap(), [], "{context}");
}

/// How many changes lie between two crashes that are tried; `CRASH_EVERY=1` tries them all.
fn stride() -> usize {
    std::env::var("CRASH_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(23)
}

#[test]
fn no_crash_loses_a_record_or_gives_two_ids() {
    let (folder, copies) = (new_folder(), new_folder());
    let (disk, states) = run(folder.path(), copies.path());
    let mut tried = 0;
    for (number, state) in states.iter().enumerate() {
        let end = states.get(number + 1).map_or(disk.changes(), |next| next.from);
        // The ends of each state, and places in between.
        let places = (state.from..=end).filter(|place| *place == end || (place - state.from) % stride() == 0);
        for changes in places {
            for survival in
                [Survival::All, Survival::Synced, Survival::Some(1), Survival::Some(changes as u64 + 2)]
            {
                let crashed = new_folder();
                disk.stage(changes, survival, crashed.path()).unwrap();
                let context = format!("state {number}, crash after {changes} changes, {survival:?}");
                check(crashed.path(), state, &context);
                tried += 1;
            }
        }
    }
    println!("{tried} crash states of {} changes", disk.changes());
    assert!(tried > 200, "only {tried} crash states");
}

/// The harness itself: a mark that moved before the keys were synced would be caught.
#[test]
fn an_index_behind_its_mark_is_noticed_and_made_again() {
    let (folder, copies) = (new_folder(), new_folder());
    let (disk, states) = run(folder.path(), copies.path());
    // The database of the end over the keys of its first half: as after a backup that was put back in part.
    let crashed = new_folder();
    disk.stage(disk.changes(), Survival::All, crashed.path()).unwrap();
    let old = new_folder();
    disk.stage(disk.changes() / 3, Survival::Synced, old.path()).unwrap();
    for entry in std::fs::read_dir(old.path().join("log/keys")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crashed.path().join("log/keys").join(entry.file_name())).unwrap();
    }
    check(crashed.path(), states.last().unwrap(), "old keys");
}
