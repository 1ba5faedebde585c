//! The contracts of `Ledger` and `Blobs`, on `SQLite` and on a directory.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::sync::Arc;

use modkeep_store::{DirectoryBlobs, MinFree, RealDisk, SqliteLedger, contract};

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
