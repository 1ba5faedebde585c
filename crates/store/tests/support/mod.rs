//! Versions, zips and stores for the tests of this crate.
#![allow(dead_code)] // each test binary uses its part

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use modkeep_module::{ModulePath, ModuleVersion, Version, zip};
use modkeep_store::{
    Config, FetchedInfo, FetchedMod, FetchedZip, FileKind, FirstSight, Incoming, MinFree, Parts, Repository,
    Store, StoredFile, SystemClock, Verified,
};

pub(crate) const UNCHECKED: FirstSight = FirstSight::UncheckedPath;

pub(crate) fn version(path: &str, number: &str) -> ModuleVersion {
    ModuleVersion::new(ModulePath::parse(path).unwrap(), Version::parse(number).unwrap()).unwrap()
}

pub(crate) fn info_of(version: &ModuleVersion) -> Vec<u8> {
    format!(r#"{{"Version":"{}","Time":"2024-05-06T07:08:09Z"}}"#, version.version()).into_bytes()
}

pub(crate) fn mod_of(version: &ModuleVersion) -> Vec<u8> {
    format!("module {}\n", version.path()).into_bytes()
}

/// A zip with the go.mod of the version and one more file.
pub(crate) fn zip_of(version: &ModuleVersion, extra: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    zip::write([("go.mod", mod_of(version)), ("m.go", extra.to_vec())], version, &mut bytes).unwrap();
    bytes
}

/// A directory of its own, in memory where the machine offers that: these tests sync thousands of times.
pub(crate) fn new_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn config(path: &Path) -> Config {
    Config { path: path.to_owned(), min_free: MinFree::Bytes(0) }
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(config(path), Arc::new(SystemClock)).unwrap()
}

pub(crate) fn read_zip(store: &Store, version: &ModuleVersion, bytes: &[u8]) -> FetchedZip {
    let mut scratch = store.scratch().unwrap();
    scratch.write(bytes).unwrap();
    FetchedZip::read(scratch, version).unwrap()
}

pub(crate) fn seen<T: modkeep_store::Fetched>(fetched: T) -> Verified<T> {
    Verified::at_first_sight(fetched, UNCHECKED).unwrap()
}

/// All three files, from a source that nobody checks.
pub(crate) fn parts(store: &Store, version: &ModuleVersion) -> Parts {
    Parts {
        zip: Some(seen(read_zip(store, version, &zip_of(version, b"package m\n")))),
        ..small_parts(version)
    }
}

/// The `.info` and the `.mod`.
pub(crate) fn small_parts(version: &ModuleVersion) -> Parts {
    Parts {
        info: Some(Verified::info(FetchedInfo::new(info_of(version), version).unwrap())),
        go_mod: Some(seen(FetchedMod::new(mod_of(version), version))),
        ..Parts::public("a test")
    }
}

pub(crate) fn incoming(store: &Store, version: &ModuleVersion) -> Incoming {
    Incoming { repository: Repository::main(), version: version.clone(), parts: parts(store, version) }
}

pub(crate) fn read_all(mut file: StoredFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, file.size);
    bytes
}

pub(crate) async fn read(store: &Store, version: &ModuleVersion, kind: FileKind) -> Option<Vec<u8>> {
    store.open_file(&Repository::main(), version, kind).await.unwrap().map(read_all)
}

/// Asserts that a version is there, with the bytes that [`parts`] gave it.
pub(crate) async fn assert_whole(store: &Store, version: &ModuleVersion) {
    assert_eq!(read(store, version, FileKind::Info).await.unwrap(), info_of(version));
    assert_eq!(read(store, version, FileKind::Mod).await.unwrap(), mod_of(version));
    assert_eq!(read(store, version, FileKind::Zip).await.unwrap(), zip_of(version, b"package m\n"));
}

/// Where a file of a version lies.
pub(crate) fn path_of(root: &Path, version: &ModuleVersion, kind: FileKind) -> std::path::PathBuf {
    root.join(modkeep_store::BlobName::of_version(&Repository::main(), version, kind).unwrap().as_str())
}

/// Overwrites a blob as no program of ours would.
pub(crate) fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}
