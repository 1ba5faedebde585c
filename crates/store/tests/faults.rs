//! Disks that fail, fill up, or take no writes: what is acknowledged is there, and nothing else is claimed.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::path::Path;
use std::sync::Arc;

use modkeep_module::ModuleVersion;
use modkeep_store::disk::Disk;
use modkeep_store::faults::{Call, Fault, FaultyDisk};
use modkeep_store::{Config, Error, MinFree, Repository, Space, Store, SystemClock, fsck};
use support::*;

fn open_on(path: &Path, disk: &FaultyDisk) -> Result<Store, Error> {
    Store::open_on(config(path), Arc::new(disk.clone()), Arc::new(SystemClock))
}

/// Two versions one by one, then two in a batch, then files of a foreign database; says what was acknowledged.
async fn workload(store: &Store) -> (Vec<ModuleVersion>, bool) {
    let versions: Vec<_> =
        ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"].map(|number| version("example.com/m", number)).into();
    let mut acknowledged = Vec::new();
    for which in &versions[..2] {
        let Ok(scratch) = store.scratch() else { continue };
        drop(scratch);
        if let Some(parts) = try_parts(store, which)
            && store.commit(&Repository::main(), which, parts).await.is_ok()
        {
            acknowledged.push(which.clone());
        }
    }
    let batch: Vec<_> = versions[2..]
        .iter()
        .filter_map(|which| {
            let parts = try_parts(store, which)?;
            Some(modkeep_store::Incoming { repository: Repository::main(), version: which.clone(), parts })
        })
        .collect();
    let names: Vec<_> = batch.iter().map(|one| one.version.clone()).collect();
    for (which, outcome) in names.into_iter().zip(store.commit_many(batch).await) {
        if outcome.is_ok() {
            acknowledged.push(which);
        }
    }
    let foreign = store.foreign("sum.example.org").unwrap();
    let kept = foreign.put(vec![("tile/8/0/000".to_owned(), b"hashes".to_vec())]).await.is_ok();
    (acknowledged, kept)
}

/// What the disk lets through of a version; the zip may fail on its way into scratch.
fn try_parts(store: &Store, which: &ModuleVersion) -> Option<modkeep_store::Parts> {
    let mut scratch = store.scratch().ok()?;
    scratch.write(&zip_of(which, b"package m\n")).ok()?;
    let zip = modkeep_store::FetchedZip::read(scratch, which).ok()?;
    Some(modkeep_store::Parts { zip: Some(seen(zip)), ..small_parts(which) })
}

async fn assert_all_there(path: &Path, acknowledged: &[ModuleVersion], foreign: bool, context: &str) {
    let store = open(path);
    for which in acknowledged {
        assert_whole(&store, which).await;
    }
    let kept = store.foreign("sum.example.org").unwrap().get("tile/8/0/000").await.unwrap();
    assert!(!foreign || kept.is_some(), "{context}: an acknowledged tile is gone");
    let report = fsck::run(&store, fsck::Options::default(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{context}: {report:?}");
    let again = version("example.com/again", "v1.0.0");
    store.commit(&Repository::main(), &again, parts(&store, &again)).await.unwrap();
}

/// T4: the k-th call fails, once or for ever, for every k.
#[tokio::test]
async fn nothing_is_acknowledged_that_a_failed_call_was_needed_for() {
    let calls = {
        let (folder, disk) = (new_folder(), FaultyDisk::new());
        let store = open_on(folder.path(), &disk).unwrap();
        let before = disk.calls().len();
        assert_eq!(workload(&store).await.0.len(), 4);
        disk.calls()[before..].to_vec()
    };
    assert!(calls.len() > 50, "{}", calls.len());
    for (k, call) in calls.iter().enumerate() {
        for lasting in [false, true] {
            let (folder, disk) = (new_folder(), FaultyDisk::new());
            let store = open_on(folder.path(), &disk).unwrap();
            let before = disk.calls().len();
            disk.fail_after(k as u64, Fault::Io, lasting);
            let (acknowledged, foreign) = workload(&store).await;
            let context = format!("call {k} ({call:?}) failed, lasting: {lasting}");
            assert!(disk.faults() > 0, "{context}: was not reached");
            if matches!(call, Call::Sync | Call::SyncDir) {
                let refused = store.is_writable();
                assert!(matches!(refused, Err(Error::ReadOnly { .. })), "R10: {context}: {refused:?}");
                let later = disk.calls()[before + k + 1..].to_vec();
                let named = later.iter().any(|call| matches!(call, Call::Append | Call::Link));
                assert!(!named, "{context}: something was written or named after it: {later:?}");
            }
            for which in &acknowledged {
                assert_whole(&store, which).await;
            }
            drop(store);
            assert_all_there(folder.path(), &acknowledged, foreign, &context).await;
        }
    }
}

/// R10: after a failed sync nothing is written or synced any more, and the next start looks before it writes.
#[tokio::test]
async fn a_failed_sync_is_final_until_a_restart_has_looked() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let store = open_on(folder.path(), &disk).unwrap();
    let (first, second) = (version("example.com/m", "v1.0.0"), version("example.com/m", "v1.1.0"));
    store.commit(&Repository::main(), &first, parts(&store, &first)).await.unwrap();
    let ready = parts(&store, &second);
    let sync = 4; // two scratch files, made and filled
    disk.fail_after(sync, Fault::Io, false);
    let outcome = store.commit(&Repository::main(), &second, ready).await;
    // The two files are synced side by side: the other one may find the store closed already, and tell that first.
    assert!(matches!(outcome, Err(Error::Io { doing: "sync", .. } | Error::ReadOnly { .. })), "{outcome:?}");
    assert_eq!(disk.calls().iter().filter(|call| **call == Call::Link).count(), 3, "nothing more got a name");
    assert!(matches!(store.scratch(), Err(Error::ReadOnly { .. })));
    let answer = store.foreign("sum.example.org").unwrap().save_head(None, b"head").await;
    assert!(matches!(answer, Err(Error::ReadOnly { .. })));
    assert_whole(&store, &first).await;
    assert!(folder.path().join("recheck").exists());
    drop(store);

    damage(&path_of(folder.path(), &first, modkeep_store::FileKind::Zip), |bytes| bytes[40] ^= 1);
    let store = open(folder.path());
    assert!(!folder.path().join("recheck").exists());
    assert_eq!(store.quarantined().await.unwrap().len(), 1, "the start looked at what was written last");
    store.commit(&Repository::main(), &first, parts(&store, &first)).await.unwrap();
    assert_whole(&store, &first).await;
}

/// T5: the disk is full from the k-th call on, for every k; reads go on, and writes resume without a restart.
#[tokio::test]
async fn a_full_disk_refuses_writes_and_resumes() {
    let calls = {
        let (folder, disk) = (new_folder(), FaultyDisk::new());
        let store = open_on(folder.path(), &disk).unwrap();
        let before = disk.calls().len();
        workload(&store).await;
        disk.calls()[before..].to_vec()
    };
    for (k, call) in
        calls.iter().enumerate().filter(|(_, call)| !matches!(call, Call::Remove | Call::SyncDir))
    {
        let (folder, disk) = (new_folder(), FaultyDisk::new());
        let store = open_on(folder.path(), &disk).unwrap();
        disk.fail_after(k as u64, Fault::Full, false);
        let (acknowledged, _) = workload(&store).await;
        assert!(
            acknowledged.len() >= 2,
            "call {k} ({call:?}): one full moment costs one version, or one batch"
        );
        disk.heal();
        let (all, foreign) = workload(&store).await;
        assert_eq!((all.len(), foreign), (4, true), "call {k} ({call:?}): writes did not resume");
        drop(store);
        assert_all_there(folder.path(), &all, true, &format!("call {k} ({call:?}) found the disk full"))
            .await;
    }
}

#[tokio::test]
async fn the_reserve_refuses_and_resumes_by_itself() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let config = Config { path: folder.path().to_owned(), min_free: MinFree::Bytes(1 << 20) };
    let store = Store::open_on(config, Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    let which = version("example.com/m", "v1.0.0");
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    disk.claim_space(Some(Space { free: 1000, total: 1 << 40 }));
    let refused = store.scratch();
    assert!(matches!(refused, Err(Error::DiskFull { free: 1000, needed: 1_048_576 })), "{refused:?}");
    let next = version("example.com/m", "v1.1.0");
    let refused = store.commit(&Repository::main(), &next, small_parts(&next)).await;
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    assert_whole(&store, &which).await;
    disk.claim_space(None);
    store.commit(&Repository::main(), &next, parts(&store, &next)).await.unwrap();
}

/// Readiness asks this: without a reserve too, the last block is no room for a commit.
#[tokio::test]
async fn a_store_without_a_reserve_says_so_when_the_disk_is_full() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let store = open_on(folder.path(), &disk).unwrap();
    for (free, full) in [(0, true), (4096, true), (65_535, true), (65_536, false)] {
        disk.claim_space(Some(Space { free, total: 1 << 40 }));
        let said = store.is_writable();
        assert_eq!(matches!(said, Err(Error::DiskFull { needed: 65_536, .. })), full, "{free}: {said:?}");
        assert_eq!(said.is_ok(), !full, "{free}: {said:?}");
    }

    // A write finds no space although some is said to be free, as with a quota.
    let which = version("example.com/m", "v1.0.0");
    let claim = |free| disk.claim_space(Some(Space { free, total: 1 << 40 }));
    disk.fail_after(0, Fault::Full, true);
    claim(1_000_000);
    let refused = store.commit(&Repository::main(), &which, small_parts(&which)).await;
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    let said = store.is_writable();
    assert!(matches!(said, Err(Error::DiskFull { free: 1_000_000, needed: 1_000_001 })), "{said:?}");
    claim(2_000_000);
    store.is_writable().unwrap();
    disk.heal();
    claim(1_000_000);
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    store.is_writable().unwrap();
}

/// R11, R15: without a byte free the engine cannot make the files that it wants beside a ledger at rest.
#[tokio::test]
async fn a_full_disk_starts_and_serves() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let which = version("example.com/m", "v1.0.0");
    let store = open_on(folder.path(), &disk).unwrap();
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    drop(store);
    // The engine does not go through the disk of the tests; a link in its way fails it as a full disk does.
    let in_the_way = folder.path().join("ledger.sqlite-shm");
    std::os::unix::fs::symlink("nowhere", &in_the_way).unwrap();
    let refused = open_on(folder.path(), &disk).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Ledger { .. }), "with space this is another trouble: {refused}");

    disk.claim_space(Some(Space { free: 0, total: 1 << 40 }));
    let store = open_on(folder.path(), &disk).unwrap();
    assert_whole(&store, &which).await;
    let said = store.is_writable().unwrap_err();
    assert!(matches!(said, Error::DiskFull { free: 0, .. }), "{said}");
    let next = version("example.com/m", "v1.1.0");
    let refused = store.commit(&Repository::main(), &next, small_parts(&next)).await;
    assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
    store.settle_log_pending(vec![1]).await.unwrap_err(); // asks for no room, and finds a ledger that reads
    assert!(matches!(open_on(folder.path(), &disk), Err(Error::Locked { .. })), "it is still the writer");

    // Room comes back; as long as the engine does not see it, nothing has changed.
    assert!(matches!(store.resume().await, Err(Error::DiskFull { .. })));
    disk.claim_space(None);
    assert!(matches!(store.resume().await, Err(Error::Ledger { .. })));
    assert!(store.waits_for_room());
    assert_whole(&store, &which).await;
    std::fs::remove_file(&in_the_way).unwrap();
    store.resume().await.unwrap();
    assert!(!store.waits_for_room());
    store.is_writable().unwrap();
    store.commit(&Repository::main(), &next, parts(&store, &next)).await.unwrap();
    assert_whole(&store, &which).await;
    assert_whole(&store, &next).await;
    drop(store);
    std::os::unix::fs::symlink("nowhere", &in_the_way).unwrap();
    disk.claim_space(Some(Space { free: 0, total: 1 << 40 }));

    // What a crash left in the WAL cannot be read without room; that is said, and not an engine's riddle.
    let wal = folder.path().join("ledger.sqlite-wal");
    std::fs::write(&wal, b"something").unwrap();
    let refused = open_on(folder.path(), &disk).map(|_| ()).unwrap_err();
    assert!(refused.to_string().starts_with("storage is full: 0 bytes free"), "{refused}");
    std::fs::remove_file(&wal).unwrap();

    std::fs::remove_file(&in_the_way).unwrap();
    disk.claim_space(None);
    let store = open_on(folder.path(), &disk).unwrap();
    assert_whole(&store, &which).await;
    assert_whole(&store, &next).await;
}

/// R12: a disk that takes no writes still serves what it has.
#[tokio::test]
async fn a_read_only_disk_starts_and_serves() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    let which = version("example.com/m", "v1.0.0");
    let store = open_on(folder.path(), &disk).unwrap();
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    drop(store);
    disk.fail_after(0, Fault::ReadOnly, true);
    let store = open_on(folder.path(), &disk).unwrap();
    assert_whole(&store, &which).await;
    assert!(matches!(store.is_writable(), Err(Error::ReadOnly { .. })));
    let refused =
        store.commit(&Repository::main(), &version("example.com/m", "v1.1.0"), small_parts(&which)).await;
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    assert!(fsck::run(&store, fsck::Options::default(), &mut |_| {}).unwrap().is_sound());

    // What is damaged there cannot be put aside, and is not served either.
    damage(&path_of(folder.path(), &which, modkeep_store::FileKind::Mod), |bytes| bytes[0] ^= 1);
    drop(store);
    let store = open_on(folder.path(), &disk).unwrap();
    let outcome = store.open_file(&Repository::main(), &which, modkeep_store::FileKind::Mod).await;
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn the_faulty_disk_fails_where_it_was_told() {
    let (folder, disk) = (new_folder(), FaultyDisk::new());
    disk.fail_after(1, Fault::Full, false);
    let mut file = disk.create(&folder.path().join("a")).unwrap();
    assert!(file.append(b"abcd").is_err());
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"ab", "half was written");
    file.append(b"cd").unwrap();
    assert_eq!(disk.calls(), [Call::Create, Call::Append, Call::Append]);
}
