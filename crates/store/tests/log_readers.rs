//! Who reads the log beside its writer, and who writes it after another writer was taken.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;
#[path = "support/log.rs"]
mod support_log;

use std::sync::atomic::{AtomicBool, Ordering};

use modkeep_store::contract::head;
use modkeep_store::{Error, KeySum, LogStore, Store};
use modkeep_tlog::RecordId;
use support::{config, damage, new_folder, open};
use support_log::*;

fn find(log: &LogStore, number: u64) -> Result<Option<u64>, Error> {
    let record = record(number).record;
    Ok(log.find(&record.module, &record.version)?.map(RecordId::get))
}

/// R28: a writer that another one has followed leaves the newer head in the files.
#[test]
fn a_fenced_writer_publishes_nothing() {
    let folder = new_folder();
    let store = open(folder.path());
    let log = store.log_tuned(SMALL).unwrap();
    finish(&log, 0..10).unwrap();
    let mut old = log.writer().unwrap();
    old.publish(&head(10, 1)).unwrap();
    let mut new = log.writer().unwrap();
    new.publish(&head(10, 2)).unwrap();
    for _ in 0..2 {
        assert!(matches!(old.publish(&head(9, 1)), Err(Error::Fenced)));
    }
    assert_eq!(log.published().unwrap().unwrap(), head(10, 2).note);
    assert_eq!(log.published_checkpoint().unwrap().unwrap(), head(10, 2).checkpoint);
}

/// While the index is made again a search says what is true, or that nothing is known; never that nothing is there.
#[test]
fn searches_beside_a_new_index_are_right_or_say_that_they_cannot_be() {
    const RECORDS: u64 = 9000;
    let folder = new_folder();
    finish(&open(folder.path()).log_tuned(SMALL).unwrap(), 0..RECORDS).unwrap();
    damage(&folder.path().join("log/keys/00"), |bytes| bytes.fill(0));
    let store = open(folder.path());
    let log = store.log_tuned(SMALL).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for first in [0, 8000] {
            let (log, is_done) = (&log, &is_done);
            scope.spawn(move || {
                let mut number = first;
                while !is_done.load(Ordering::Acquire) {
                    match find(log, number) {
                        Ok(id) => assert_eq!(id, Some(number)),
                        Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
                    }
                    number = (number + 131) % RECORDS;
                }
            });
        }
        drop(log.writer().unwrap());
        is_done.store(true, Ordering::Release);
    });
    assert!((0..RECORDS).all(|number| find(&log, number).unwrap() == Some(number)));
    assert_eq!(log.check_keys(9).unwrap(), []);
    assert_built(&log, "after");
}

/// A process that reads follows the index of the one that writes, however far that has gone since, and as its files grow.
#[test]
fn a_reader_follows_an_index_that_grows() {
    let folder = new_folder();
    let store = open(folder.path());
    let log = store.log_tuned(SMALL).unwrap();
    let (mut writer, mut model) = (log.writer().unwrap(), Model::default());
    let batch = records(0..10);
    model.learn(&batch, &writer.sequence(&batch, now()).unwrap(), "first");
    let reading = Store::open_read_only(config(folder.path())).unwrap();
    let reading = reading.log_tuned(SMALL).unwrap();
    for first in (10..2000).step_by(199) {
        let batch = records(first..first + 199);
        model.learn(&batch, &writer.sequence(&batch, now()).unwrap(), "more");
        model.assert_in(&reading, "beside the writer");
        assert_eq!(find(&reading, 9999).unwrap(), None);
    }
}

/// What a caller has read already need not be read again; what it has read of another log is noticed.
#[test]
fn the_index_is_checked_against_names_that_were_read_before() {
    let folder = new_folder();
    let store = open(folder.path());
    let log = store.log_tuned(SMALL).unwrap();
    finish(&log, 0..300).unwrap();
    let mut known = KeySum::default();
    for number in 0..=300 {
        assert_eq!(known.records(), number);
        assert_eq!(log.check_keys_knowing(known, 9).unwrap(), [], "{number}");
        let record = record(number).record;
        known.add(log.key_name(&record.module, &record.version));
    }
    // Of other names: the rows are asked, and they are right.
    let mut other = KeySum::default();
    (0..300).for_each(|_| other.add(log.key_name("example.com/other", "v1.0.0")));
    assert_eq!(log.check_keys_knowing(other, 9).unwrap(), []);
}
