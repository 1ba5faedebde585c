//! The contracts of `Ledger` and `Blobs`, on `SQLite` and on a directory.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::sync::Arc;

use modkeep_store::{
    Config, DirectoryBlobs, LogTuning, MinFree, RealDisk, SqliteLedger, Store, SystemClock, contract,
};

#[test]
fn sqlite_keeps_the_ledgers_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::ledger(&SqliteLedger::open(&folder.path().join("ledger.sqlite")).unwrap());
}

#[test]
fn a_directory_keeps_the_contract_of_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let blobs =
        DirectoryBlobs::open(Arc::new(RealDisk), folder.path().to_owned(), MinFree::Bytes(0)).unwrap();
    contract::blobs(&blobs);
}

#[test]
fn the_data_directory_keeps_the_contract_of_the_log() {
    for tuning in
        [LogTuning::default(), LogTuning { key_shards: 1, mark_every: 1, mark_in_line: true, mutant: None }]
    {
        // In memory where the machine offers that: it syncs thousands of times.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = Config { path: folder.path().to_owned(), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        contract::log(&store.log_tuned(tuning).unwrap());
    }
}
