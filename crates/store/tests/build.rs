//! Zips built here: what the writer noted is what a reader finds, and what the disk refused is told as the disk's.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::sync::Arc;

use modkeep_module::zip::{WriteError, check};
use modkeep_store::faults::{Fault, FaultyDisk};
use modkeep_store::{Error, FetchedZip, Scratch, Store, SystemClock};
use support::*;

#[derive(Debug)]
enum Stop {
    Store(Error),
    Write(WriteError),
    Own,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

fn build(scratch: Scratch, files: &[(&str, &[u8])]) -> Result<FetchedZip, Stop> {
    FetchedZip::build(scratch, &version("example.com/m", "v1.0.0"), |writer| {
        files.iter().try_for_each(|(path, contents)| Ok(writer.add(path, contents)?))
    })
}

#[tokio::test]
async fn what_was_built_is_committed_and_read() {
    let folder = new_folder();
    let store = open(folder.path());
    let of = version("example.com/m", "v1.0.0");
    let built =
        build(store.scratch().unwrap(), &[("go.mod", &mod_of(&of)), ("m.go", b"package m\n")]).unwrap();
    let bytes = zip_of(&of, b"package m\n");
    assert_eq!(
        built.facts(),
        &check(&bytes, bytes.len() as u64, &of, &modkeep_module::zip::Limits::default()).unwrap()
    );
    let parts = modkeep_store::Parts { zip: Some(seen(built)), ..small_parts(&of) };
    store.commit(&modkeep_store::Repository::main(), &of, parts).await.unwrap();
    assert_whole(&store, &of).await;
}

#[test]
fn a_foreign_zip_cannot_be_passed_off_as_built_here() {
    let folder = new_folder();
    let mut scratch = open(folder.path()).scratch().unwrap();
    scratch.write(b"PK").unwrap();
    let Err(Stop::Store(error)) = build(scratch, &[]) else { panic!("built") };
    assert!(error.to_string().ends_with("the file is not empty"), "{error}");
}

#[test]
fn whose_fault_it_was() {
    let folder = new_folder();
    let disk = FaultyDisk::new();
    let store = Store::open_on(config(folder.path()), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    let scratch = || store.scratch().unwrap();
    let of = version("example.com/m", "v1.0.0");
    assert!(matches!(build(scratch(), &[("a:b", b"")]), Err(Stop::Write(WriteError::Name(_)))));
    let own = FetchedZip::build(scratch(), &of, |_| Err(Stop::Own));
    assert!(matches!(own, Err(Stop::Own)));
    let full = scratch();
    disk.fail_after(0, Fault::Full, true);
    // Longer than what is gathered before it is written, so that the disk refuses in the middle.
    let noise: Vec<u8> = (0..1_u32 << 20).map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    let outcome = build(full, &[("a", &noise)]);
    assert!(matches!(outcome, Err(Stop::Store(Error::DiskFull { .. }))), "{outcome:?}");
}
