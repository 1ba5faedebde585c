//! T4 and T5 for the log's matter: the k-th call of the disk fails, or finds it full; and the log's part of the reserve.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;
#[path = "support/log.rs"]
mod support_log;

use std::path::Path;
use std::sync::Arc;

use modkeep_store::contract::head;
use modkeep_store::faults::{Call, Fault, FaultyDisk};
use modkeep_store::{
    Config, Error, KeyFault, LogStore, LogTuning, LogWriter, MinFree, RecordSource, Sequenced, Space, Store,
    SystemClock,
};
use proptest::prelude::*;
use support::{config, damage, new_folder, open};
use support_log::*;

fn open_on(path: &Path, disk: &FaultyDisk) -> Store {
    Store::open_on(config(path), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap()
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    model: Model,
    built: u64,
}

/// Some batches, tiles and heads, as far as it goes.
fn workload(store: &Store, done: &mut Acknowledged) -> Result<(), Error> {
    let log = store.log_tuned(SMALL)?;
    let mut writer = log.writer()?;
    for numbers in [0..30, 20..200, 200..270] {
        let batch = records(numbers);
        let outcomes = writer.sequence(&batch, now())?;
        done.model.learn(&batch, &outcomes, "workload");
    }
    writer.put_tiles(&tiles(0, 270))?;
    commit(&mut writer, 0, 270)?;
    done.built = 270;
    writer.publish(&head(270, 1))
}

fn assert_kept(path: &Path, done: &Acknowledged, context: &str) {
    let store = open(path);
    let log = store.log_tuned(SMALL).unwrap();
    drop(log.writer().unwrap());
    done.model.assert_in(&log, context);
    assert_built(&log, context);
    assert!(log.state().unwrap().built.get() >= done.built, "{context}: a head is lost");
    let model = finish(&log, 0..300).unwrap();
    assert_eq!(model.len(), 300, "{context}");
    model.assert_in(&log, context);
    assert_eq!(log.check_keys(3).unwrap(), [], "{context}");
}

fn calls_of_the_workload() -> Vec<Call> {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let store = open_on(folder.path(), &disk);
    let before = disk.calls().len();
    workload(&store, &mut Acknowledged::default()).unwrap();
    disk.calls()[before..].to_vec()
}

/// The k-th call fails, once or for ever.
#[test]
fn nothing_is_acknowledged_that_a_failed_call_was_needed_for() {
    let calls = calls_of_the_workload();
    for (k, call) in calls.iter().enumerate() {
        for lasting in [false, true] {
            let (folder, disk) = (new_folder(), FaultyDisk::new());
            let store = open_on(folder.path(), &disk);
            let before = disk.calls().len();
            disk.fail_after(k as u64, Fault::Io, lasting);
            let mut done = Acknowledged::default();
            let outcome = workload(&store, &mut done);
            let context = format!("call {k} ({call:?}) failed, lasting: {lasting}: {outcome:?}");
            assert!(disk.faults() > 0, "{context}: was not reached");
            if matches!(call, Call::Sync | Call::SyncDir) && outcome.is_err() {
                let later = disk.calls()[before + k + 1..].to_vec();
                let named =
                    later.iter().any(|call| matches!(call, Call::WriteAt | Call::Link | Call::Rename));
                assert!(!named, "R10: {context}: something was written or named after it: {later:?}");
            }
            drop(store);
            assert_kept(folder.path(), &done, &context);
        }
    }
}

/// The disk is full at the k-th call; when there is room again the log goes on, with another writer but without a restart.
#[test]
fn a_full_disk_refuses_writes_and_resumes() {
    let calls = calls_of_the_workload();
    let counts = |call: &Call| !matches!(call, Call::Remove | Call::SyncDir);
    for (k, call) in calls.iter().enumerate().filter(|(_, call)| counts(call)) {
        let (folder, disk) = (new_folder(), FaultyDisk::new());
        let store = open_on(folder.path(), &disk);
        disk.fail_after(k as u64, Fault::Full, false);
        let mut done = Acknowledged::default();
        let outcome = workload(&store, &mut done);
        let context = format!("call {k} ({call:?}) found the disk full: {outcome:?}");
        disk.heal();
        let log = store.log_tuned(SMALL).unwrap();
        done.model.assert_in(&log, &context);
        let model = finish(&log, 0..300).unwrap_or_else(|error| panic!("{context}: did not resume: {error}"));
        model.assert_in(&log, &context);
        drop((log, store));
        assert_kept(folder.path(), &done, &context);
    }
}

/// R11: 64 MiB of the reserve are the log's, to finish the step that it is in; not to begin another.
#[test]
fn the_log_finishes_its_step_from_the_reserve() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let config = Config { path: folder.path().to_owned(), min_free: MinFree::Bytes(100 << 20) };
    let store = Store::open_on(config, Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    let log = store.log_tuned(SMALL).unwrap();
    let mut writer = log.writer().unwrap();
    writer.sequence(&records(0..300), now()).unwrap();
    let free = |mib: u64| disk.claim_space(Some(Space { free: mib << 20, total: 1 << 40 }));
    free(99);
    let refused = writer.sequence(&records(300..301), now());
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    assert!(matches!(store.scratch(), Err(Error::DiskFull { .. })));
    assert_eq!(writer.sequence(&records(7..8), now()).unwrap().len(), 1, "what is known needs no room");
    free(37);
    writer.put_tiles(&tiles(0, 300)).unwrap();
    commit(&mut writer, 0, 300).unwrap();
    writer.publish(&head(300, 1)).unwrap();
    free(35);
    let refused = commit(&mut writer, 300, 300);
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    free(101);
    let outcome = writer.sequence(&records(300..301), now()).unwrap();
    assert!(matches!(outcome[..], [Sequenced::New(_)]), "it resumes by itself");
    commit(&mut writer, 300, 301).unwrap();
}

/// R12: what is there is read, beside a writer or on a disk that takes no writes.
#[test]
fn a_log_that_was_opened_for_reading_is_read_and_not_written() {
    let folder = new_folder();
    let read_only = || Store::open_read_only(config(folder.path())).unwrap();
    let store = open(folder.path());
    assert!(!store.has_log() && read_only().log().is_err(), "no log is made by readers");
    let log = store.log_tuned(SMALL).unwrap();
    let mut writer = log.writer().unwrap();
    let batch = records(0..100);
    let mut model = Model::default();
    model.learn(&batch, &writer.sequence(&batch, now()).unwrap(), "first");
    for at_rest in [false, true] {
        if at_rest {
            drop(writer);
            drop((log, store));
            let reading = read_only().log().unwrap();
            model.assert_in(&reading, "at rest");
            assert!(matches!(reading.writer(), Err(Error::ReadOnly { .. })));
            assert_eq!(reading.check_keys(9).unwrap(), []);
            return;
        }
        model.assert_in(&read_only().log().unwrap(), "beside the writer");
    }
}

/// A kind of damage, and what does it.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// R13: an index that was damaged answers nothing, and the next writer makes it again.
#[test]
fn damaged_keys_are_noticed_and_made_again() {
    let damages: [Damage<'_>; 5] = [
        ("a bit", &|bytes| bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 4)),
        ("zeros", &|bytes| bytes.fill(0)),
        ("cut", &|bytes| bytes.truncate(700)),
        ("empty", &Vec::clear),
        ("doubled", &|bytes| bytes.extend_from_within(..)),
    ];
    for (what, change) in damages {
        let folder = new_folder();
        let mut model = {
            let log = open(folder.path()).log_tuned(SMALL).unwrap();
            finish(&log, 0..200).unwrap()
        };
        damage(&folder.path().join("log/keys/00"), change);
        let store = open(folder.path());
        let log = store.log_tuned(SMALL).unwrap();
        let found = (0..200).filter_map(|number| {
            let record = record(number).record;
            log.find(&record.module, &record.version).err()
        });
        assert!(found.count() > 50, "{what}: something was answered out of a damaged file");
        assert!(matches!(log.check_keys(9).unwrap()[..], [KeyFault::Damaged(_)]), "{what}");
        let batch = records(190..230);
        let mut writer = log.writer().unwrap();
        model.learn(&batch, &writer.sequence(&batch, now()).unwrap(), what);
        model.assert_in(&log, what);
        assert_eq!(log.check_keys(9).unwrap(), [], "{what}");
    }
}

/// R7, R9: what the rows say and the index does not is named, a second record of a module version too.
#[test]
fn rows_that_the_index_does_not_know_are_named() {
    let twin = "UPDATE log_record SET (module, version) = \
        (SELECT module, version FROM log_record WHERE id = 5) WHERE id = 7";
    let plants = [
        (
            "DELETE FROM log_record WHERE id = 199; UPDATE log_state SET seq_size = 199, built_size = 1",
            vec![],
        ),
        ("UPDATE log_record SET version = 'v9.9.9' WHERE id = 5", vec![5]),
        (twin, vec![7]),
    ];
    for (sql, missing) in plants {
        let folder = new_folder();
        finish(&open(folder.path()).log_tuned(SMALL).unwrap(), 0..200).unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("log/log.sqlite")).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let faults = open(folder.path()).log_tuned(SMALL).unwrap().check_keys(9).unwrap();
        let named = |fault: &KeyFault| if let KeyFault::Missing(id) = fault { Some(id.get()) } else { None };
        assert_eq!(faults.iter().filter_map(named).collect::<Vec<_>>(), missing, "{sql}: {faults:?}");
        assert!(!faults.is_empty(), "{sql}");
    }
}

/// The index is damaged under a running writer: it stops, and the one after it goes on.
#[test]
fn a_writer_stops_when_its_keys_are_damaged() {
    let folder = new_folder();
    let store = open(folder.path());
    let log = store.log_tuned(SMALL).unwrap();
    let mut model = finish(&log, 0..200).unwrap();
    let mut writer = log.writer().unwrap();
    for name in ["00", "01"] {
        // In place: the writer holds the file.
        let path = folder.path().join("log/keys").join(name);
        let zeros = vec![0; usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap()];
        std::fs::write(&path, zeros).unwrap();
    }
    for _ in 0..2 {
        let outcome = writer.sequence(&records(0..1), now());
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
    }
    drop(writer);
    let batch = records(150..250);
    model.learn(&batch, &log.writer().unwrap().sequence(&batch, now()).unwrap(), "after");
    model.assert_in(&log, "after");
}

/// Keys are written by a thread of their own: what fails there stops the writer at one of its next batches, nothing that was
/// acknowledged is forgotten meanwhile, and the next writer goes on.
#[test]
fn keys_that_cannot_be_written_stop_the_writer_and_the_next_one_goes_on() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let store = open_on(folder.path(), &disk);
    let log = store.log_tuned(LogTuning { mark_in_line: false, ..SMALL }).unwrap();
    let mut writer = log.writer().unwrap();
    let mut model = Model::default();
    let mut sequence = |writer: &mut LogWriter, numbers: std::ops::Range<u64>| {
        let batch = records(numbers);
        writer.sequence(&batch, now()).map(|outcomes| model.learn(&batch, &outcomes, "thread"))
    };
    sequence(&mut writer, 0..30).unwrap();
    disk.fail_after(0, Fault::Io, false);
    let failed = (30..100_000).find_map(|number| sequence(&mut writer, number..number + 1).err());
    assert!(matches!(failed, Some(Error::Io { .. })), "{failed:?}");
    assert_eq!(disk.faults(), 1);
    drop(writer);
    model.assert_in(&log, "stopped");
    finish(&log, 0..300).unwrap().assert_in(&log, "after");
    assert_eq!(log.check_keys(9).unwrap(), []);
}

/// A key's hash is a hint: records of other sources, cases and suffixes never meet.
#[test]
fn sources_survive_a_restart() {
    let folder = new_folder();
    for (number, name) in [(0, "sum.example.org"), (1, "sum.example.com"), (2, "sum.example.org")] {
        let log = open(folder.path()).log_tuned(SMALL).unwrap();
        let new = modkeep_store::NewRecord { source: RecordSource::Upstream(name.into()), ..record(number) };
        log.writer().unwrap().sequence(&[new], now()).unwrap();
        let id = modkeep_tlog::RecordId::new(number).unwrap();
        assert_eq!(log.record(id).unwrap().unwrap().source, RecordSource::Upstream(name.into()));
    }
}

/// A log of format 1, which had no chain of leaf hashes: it goes on, and what came without a chain has none.
#[test]
fn r29_a_log_of_the_first_format_is_brought_to_ours() {
    let folder = new_folder();
    let sequence = |numbers: std::ops::Range<u64>| {
        let log = open(folder.path()).log_tuned(SMALL).unwrap();
        log.writer().unwrap().sequence(&records(numbers), now()).unwrap();
        log.leaf_chain().unwrap().map(|(chain, end)| (chain.from().get(), end.get()))
    };
    assert_eq!(sequence(0..10), Some((0, 10)));
    let engine = rusqlite::Connection::open(folder.path().join("log/log.sqlite")).unwrap();
    let older = "ALTER TABLE log_state DROP COLUMN chain; ALTER TABLE log_state DROP COLUMN chain_from; \
        UPDATE log_meta SET value = '1' WHERE key = 'format'";
    engine.execute_batch(older).unwrap();
    drop(engine);
    let reading = Store::open_read_only(config(folder.path())).unwrap().log().unwrap();
    assert_eq!(reading.records(modkeep_tlog::RecordId::new(0).unwrap(), 100).unwrap().len(), 10);
    drop(reading);
    assert_eq!(sequence(10..20), None);
    let log = open(folder.path()).log_tuned(SMALL).unwrap();
    commit(&mut log.writer().unwrap(), 0, 20).unwrap();
    drop(log);
    assert_eq!(sequence(20..25), Some((20, 25)));
}

/// What a process that is killed leaves: the files as they are this instant.
fn killed_copy(from: &Path) -> tempfile::TempDir {
    fn copy_all(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir_all(&to).unwrap();
                copy_all(&entry.path(), &to);
            } else if entry.file_name() != "log.sqlite-shm" {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let to = new_folder();
    copy_all(from, to.path());
    to
}

#[derive(Clone, Debug)]
enum Step {
    Sequence { from: u64, count: u64 },
    Retake,
    Restart,
    Kill,
    LoseKeys,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..600_u64, 1..90_u64).prop_map(|(from, count)| Step::Sequence { from, count }),
        1 => Just(Step::Retake),
        1 => Just(Step::Restart),
        2 => Just(Step::Kill),
        1 => Just(Step::LoseKeys),
    ];
    proptest::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// R7: whatever is offered in whatever order, across restarts and kills, a module version has one id, and ids have no gap.
    #[test]
    fn one_version_has_one_id_and_ids_have_no_gap(steps in steps()) {
        let mut folder = new_folder();
        let mut log: LogStore = open(folder.path()).log_tuned(SMALL).unwrap();
        let mut writer = log.writer().unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Sequence { from, count } => {
                    let batch = records(from..from + count);
                    let outcomes = writer.sequence(&batch, now()).unwrap();
                    model.learn(&batch, &outcomes, "property");
                    continue;
                }
                Step::Retake => {}
                Step::Restart => {
                    drop(writer);
                    drop(log);
                    log = open(folder.path()).log_tuned(SMALL).unwrap();
                }
                Step::Kill | Step::LoseKeys => {
                    let copy = killed_copy(folder.path());
                    drop(writer);
                    drop(log);
                    if matches!(step, Step::LoseKeys) {
                        let _ = std::fs::remove_file(copy.path().join("log/keys/01"));
                    }
                    folder = copy;
                    log = open(folder.path()).log_tuned(SMALL).unwrap();
                }
            }
            writer = log.writer().unwrap();
            model.assert_in(&log, "property");
        }
        prop_assert_eq!(log.state().unwrap().sequenced.get(), model.len());
        prop_assert_eq!(log.check_keys(5).unwrap(), vec![]);
    }
}
