//! A version's life in the store: in by one door, visible at one moment, the same for ever.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modkeep_module::{H1, ModuleVersion};
use modkeep_store::{
    Basis, BlobName, Error, EvidenceKind, FetchedInfo, FetchedMod, FileKind, MinFree, OriginCheck,
    OriginState, Parts, Question, Repository, Store, StoredAnswer, SystemClock, UnfitInfo, Verified,
};
use support::*;

#[tokio::test]
async fn a_committed_version_is_served_as_it_came_and_after_a_restart() {
    let folder = new_folder();
    let which = version("example.com/Fish", "v1.2.3");
    let record = {
        let store = open(folder.path());
        let record = store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
        assert_whole(&store, &which).await;
        record
    };
    let path = folder.path().join("repos/main/example.com/!fish/@v/v1.2.3.zip");
    assert_eq!(std::fs::read(path).unwrap(), zip_of(&which, b"package m\n"), "D2: the protocol's own layout");
    assert_eq!(
        std::fs::read_dir(folder.path().join("scratch")).unwrap().count(),
        0,
        "U2: scratch is empty again"
    );

    let store = open(folder.path());
    assert_whole(&store, &which).await;
    assert_eq!(store.version(&Repository::main(), &which).await.unwrap(), Some(record.clone()));
    assert_eq!(store.versions(&Repository::main(), which.path()).await.unwrap(), [record]);
    assert_eq!(store.modules(&Repository::main(), None, 9).await.unwrap(), [which.path().clone()]);
    let feed = store.feed(None, 9).await.unwrap();
    assert_eq!((feed.len(), &feed[0].path, &feed[0].version), (1, which.path(), which.version()));
}

#[tokio::test]
async fn tags_are_content_hashes_and_the_time_is_the_versions() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let record = store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    let file = async |kind| store.open_file(&Repository::main(), &which, kind).await.unwrap().unwrap();
    let zip_h1 = record.zip.unwrap().h1.to_string();
    assert_eq!(*file(FileKind::Zip).await.etag, zip_h1.replace("h1:", "h1-"));
    let mod_h1 = H1::of_go_mod(&mod_of(&which)).to_string();
    assert_eq!(*file(FileKind::Mod).await.etag, mod_h1.replace("h1:", "h1-"));
    let info = file(FileKind::Info).await;
    assert_eq!(*info.etag, format!("sha256-{}", record.info.unwrap().sha256));
    let since = info.time.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 1_714_979_289);
}

#[tokio::test]
async fn info_and_mod_are_a_version_without_its_zip() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let half = store.commit(&Repository::main(), &which, small_parts(&which)).await.unwrap();
    assert!(half.has(FileKind::Info) && half.has(FileKind::Mod) && !half.has(FileKind::Zip));
    assert_eq!(read(&store, &which, FileKind::Zip).await, None);
    assert_eq!(store.feed(None, 9).await.unwrap(), [], "no zip, no line in the feed");
    let zip = Parts { zip: parts(&store, &which).zip, ..Parts::public("later") };
    let whole = store.commit(&Repository::main(), &which, zip).await.unwrap();
    assert_eq!((whole.id, whole.has(FileKind::Zip)), (half.id, true));
    assert_eq!(store.feed(None, 9).await.unwrap().len(), 1);
    assert_whole(&store, &which).await;
}

#[tokio::test]
async fn other_bytes_under_a_known_name_are_a_conflict_and_ours_stay() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    let other = zip_of(&which, b"package evil\n");
    for _ in 0..2 {
        let zip = Some(seen(read_zip(&store, &which, &other)));
        let outcome = store.commit(&Repository::main(), &which, Parts { zip, ..Parts::public("liar") }).await;
        assert!(matches!(outcome, Err(Error::Conflict { kind: FileKind::Zip, .. })), "{outcome:?}");
    }
    let info =
        FetchedInfo::new(format!(r#"{{"Version":"{}"}}"#, which.version()).into_bytes(), &which).unwrap();
    let info = Parts { info: Some(Verified::info(info)), ..Parts::public("liar") };
    let outcome = store.commit(&Repository::main(), &which, info).await;
    assert!(matches!(outcome, Err(Error::Conflict { kind: FileKind::Info, .. })), "{outcome:?}");
    assert_whole(&store, &which).await;

    let kept = store.evidence(0, 9).await.unwrap();
    assert_eq!(
        (kept.len(), kept[0].kind, kept[0].count, kept[0].source.as_str()),
        (2, EvidenceKind::Conflict, 2, "liar")
    );
    let body = folder.path().join(&kept[0].body.as_ref().unwrap().0);
    assert_eq!(std::fs::read(body).unwrap(), other, "the bytes are kept as evidence");
    assert_eq!(store.counts().await.unwrap().evidence, 2);
}

#[tokio::test]
async fn committing_the_same_again_writes_nothing() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let first = store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    let before = store.usage();
    assert_eq!(store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap(), first);
    assert_eq!(store.usage(), before);
}

#[tokio::test]
async fn what_was_verified_for_one_version_is_not_stored_as_another() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let other = version("example.com/m", "v1.0.1");
    let outcome = store.commit(&Repository::main(), &other, parts(&store, &which)).await;
    assert!(matches!(outcome, Err(Error::WrongVersion { .. })), "{outcome:?}");
    assert_eq!(store.counts().await.unwrap().versions, 0);
}

#[tokio::test]
async fn hostile_g01_mod_differs_from_the_go_mod_inside_the_zip() {
    let folder = new_folder();
    let store = open(folder.path());
    let lie = |which| Some(seen(FetchedMod::new(b"module example.com/evil\n".to_vec(), which)));

    let at_once = version("example.com/m", "v1.0.0");
    let both = Parts { go_mod: lie(&at_once), ..parts(&store, &at_once) };
    let outcome = store.commit(&Repository::main(), &at_once, both).await;
    assert!(matches!(outcome, Err(Error::GoModDiffers { .. })), "{outcome:?}");
    assert_eq!(store.version(&Repository::main(), &at_once).await.unwrap(), None);

    let mod_first = version("example.com/m", "v1.0.1");
    store
        .commit(&Repository::main(), &mod_first, Parts { go_mod: lie(&mod_first), ..Parts::public("x") })
        .await
        .unwrap();
    let zip = Parts { zip: parts(&store, &mod_first).zip, ..Parts::public("x") };
    let outcome = store.commit(&Repository::main(), &mod_first, zip).await;
    assert!(matches!(outcome, Err(Error::GoModDiffers { .. })), "{outcome:?}");

    let zip_first = version("example.com/m", "v1.0.2");
    let zip = Parts { zip: parts(&store, &zip_first).zip, ..Parts::public("x") };
    store.commit(&Repository::main(), &zip_first, zip).await.unwrap();
    let outcome = store
        .commit(&Repository::main(), &zip_first, Parts { go_mod: lie(&zip_first), ..Parts::public("x") })
        .await;
    assert!(matches!(outcome, Err(Error::GoModDiffers { .. })), "{outcome:?}");
    let kept = store.evidence(0, 9).await.unwrap();
    assert!(kept.iter().all(|one| one.kind == EvidenceKind::GoModDiffers) && kept.len() == 3, "{kept:?}");
}

#[tokio::test]
async fn only_the_recorded_bytes_pass_the_door_of_the_record() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let record = store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    let recorded = record.recorded(FileKind::Mod).unwrap();
    let same = Verified::against_record(FetchedMod::new(mod_of(&which), &which), &recorded).unwrap();
    assert_eq!(*same.basis(), Basis::Record);
    let other = FetchedMod::new(b"module x\n".to_vec(), &which);
    let mismatch = Verified::against_record(other, &recorded).unwrap_err();
    assert_eq!(mismatch.recorded, recorded.h1().to_string());
    store.keep_evidence(mismatch.into_evidence("upstream")).await.unwrap();
    assert_eq!(store.evidence(0, 9).await.unwrap()[0].kind, EvidenceKind::Mismatch);
    let neighbour = version("example.com/m", "v1.0.1");
    assert!(Verified::against_record(FetchedMod::new(mod_of(&which), &neighbour), &recorded).is_err());
    let zip_record = record.recorded(FileKind::Zip).unwrap();
    assert!(Verified::against_record(FetchedMod::new(mod_of(&which), &which), &zip_record).is_err());
}

/// D16: what readers could read differently passes only when its sum is certified already.
#[tokio::test]
async fn hostile_f26_bytes_after_the_end_record() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let ambiguous = [zip_of(&which, b"package m\n"), b"tail".to_vec()].concat();
    let refused = Verified::at_first_sight(read_zip(&store, &which, &ambiguous), UNCHECKED).unwrap_err();
    assert!(!refused.anomalies.is_empty());
    store.keep_evidence(refused.into_evidence("upstream")).await.unwrap();
    assert_eq!(store.evidence(0, 9).await.unwrap()[0].kind, EvidenceKind::Anomalous);

    let record = store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    let recorded = record.recorded(FileKind::Zip).unwrap();
    Verified::against_record(read_zip(&store, &which, &ambiguous), &recorded).unwrap();
}

#[test]
fn hostile_g08_info_of_another_version() {
    let which = version("example.com/m", "v1.0.0");
    let other = br#"{"Version":"v1.0.1"}"#.to_vec();
    assert!(matches!(FetchedInfo::new(other, &which), Err(UnfitInfo::OtherVersion { .. })));
    assert!(matches!(FetchedInfo::new(b"<html>".to_vec(), &which), Err(UnfitInfo::Form(_))));
}

#[tokio::test]
async fn damaged_bytes_are_never_served_and_the_recorded_ones_repair_them() {
    for kind in FileKind::ALL {
        for missing in [false, true] {
            let folder = new_folder();
            let which = version("example.com/m", "v1.0.0");
            let store = open(folder.path());
            store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
            drop(store);
            let path = path_of(folder.path(), &which, kind);
            if missing {
                std::fs::remove_file(&path).unwrap();
            } else {
                damage(&path, |bytes| bytes[10] ^= 1);
            }
            let store = open(folder.path());
            for _ in 0..2 {
                let outcome = store.open_file(&Repository::main(), &which, kind).await;
                assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{kind} {missing}: {outcome:?}");
            }
            assert!(!path.exists(), "put aside");
            assert_eq!(store.quarantined().await.unwrap().len(), 1);
            store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
            assert_whole(&store, &which).await;
            let report =
                modkeep_store::fsck::run(&store, modkeep_store::fsck::Options::default(), &mut |_| {})
                    .unwrap();
            assert!(report.is_sound(), "{report:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_shrinks_later_is_noticed_at_the_next_open() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    assert_whole(&store, &which).await;
    damage(&path_of(folder.path(), &which, FileKind::Zip), |bytes| bytes.truncate(20));
    let outcome = store.open_file(&Repository::main(), &which, FileKind::Zip).await;
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_batch_costs_one_transaction_and_one_sync_per_file_and_directory() {
    let folder = new_folder();
    let store = open(folder.path());
    let versions: Vec<_> = (0..10).map(|minor| version("example.com/m", &format!("v1.{minor}.0"))).collect();
    let batch = versions.iter().map(|which| incoming(&store, which)).collect();
    let before = store.usage();
    let outcomes = store.commit_many(batch).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // 30 files; repos, repos/main, example.com, m and @v each gained entries; one transaction.
    assert_eq!(store.usage().syncs - before.syncs, 30 + 5 + 1);
    for which in &versions {
        assert_whole(&store, which).await;
    }
    let order: Vec<_> = store.feed(None, 99).await.unwrap().into_iter().map(|line| line.version).collect();
    assert_eq!(order, versions.iter().map(|which| which.version().clone()).collect::<Vec<_>>());

    let again = version("example.com/m", "v1.10.0");
    let before = store.usage();
    let batch = vec![incoming(&store, &again), incoming(&store, &again), incoming(&store, &versions[0])];
    let ids: Vec<u64> =
        store.commit_many(batch).await.into_iter().map(|outcome| outcome.unwrap().id).collect();
    assert_eq!((ids[0], ids[2]), (ids[1], 1), "the same version twice is one record");
    assert_eq!(store.usage().syncs - before.syncs, 3 + 1 + 1, "known directories cost nothing more");
}

#[tokio::test]
async fn many_callers_of_one_version_get_one_record() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let (store, which) = (store.clone(), which.clone());
            tokio::spawn(async move {
                store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap().id
            })
        })
        .collect();
    for caller in racing {
        assert_eq!(caller.await.unwrap(), 1);
    }
    assert_whole(&store, &which).await;
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let second = Store::open(config(folder.path()), Arc::new(SystemClock));
    assert!(matches!(second, Err(Error::Locked { pid: Some(pid), .. }) if pid == std::process::id()));

    let reader = Store::open_read_only(config(folder.path())).unwrap();
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    assert_whole(&reader, &which).await;
    assert!(matches!(reader.is_writable(), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.scratch(), Err(Error::ReadOnly { .. })));
    let refused = reader.commit(&Repository::main(), &which, small_parts(&which)).await;
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    drop((store, reader));
    open(folder.path());
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let folder = new_folder();
    drop(open(folder.path()));
    let ledger = folder.path().join("ledger.sqlite");
    let connection = rusqlite::Connection::open(&ledger).unwrap();
    connection
        .execute_batch("UPDATE meta SET value = '5' WHERE key = 'format'; PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
    drop(connection);
    let before = std::fs::read(&ledger).unwrap();
    let outcome = Store::open(config(folder.path()), Arc::new(SystemClock));
    assert!(matches!(outcome, Err(Error::NewerFormat { found: 5, known: 4 })), "{outcome:?}");
    assert!(matches!(Store::open_read_only(config(folder.path())), Err(Error::NewerFormat { .. })));
    assert_eq!(std::fs::read(&ledger).unwrap(), before);
}

#[tokio::test]
async fn format_1_becomes_the_present_one_and_keeps_everything() {
    let folder = new_folder();
    let which = version("example.com/old", "v1.0.0");
    let store = open(folder.path());
    store.commit(&Repository::main(), &which, small_parts(&which)).await.unwrap();
    let before = store.version(&Repository::main(), &which).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    connection
        .execute_batch(
            "DROP TABLE origins; DROP TABLE log_pending; DROP TABLE verdicts; UPDATE meta SET value = '1' WHERE key = 'format';",
        )
        .unwrap();
    drop(connection);

    // Who only reads finds the old format and reads it.
    let reader = Store::open_read_only(config(folder.path())).unwrap();
    assert_eq!(reader.version(&Repository::main(), &which).await.unwrap(), before);
    assert_eq!(reader.verdicts().await.unwrap(), []);
    drop(reader);
    let store = open(folder.path());
    assert_eq!(store.version(&Repository::main(), &which).await.unwrap(), before);
    assert_eq!(store.origin_checks(None).await.unwrap(), []);
    store.note_origins(vec![check(&which, OriginState::TagGone)]).await.unwrap();
    drop(store);
    assert_eq!(open(folder.path()).broken(&which), Some(OriginState::TagGone));
}

#[tokio::test]
async fn format_3_tells_the_log_of_what_was_there() {
    let folder = new_folder();
    let [whole, half, later] =
        ["v1.0.0", "v1.1.0", "v1.2.0"].map(|number| version("example.com/old", number));
    let store = open(folder.path());
    store.commit(&Repository::main(), &whole, parts(&store, &whole)).await.unwrap();
    store.commit(&Repository::main(), &half, small_parts(&half)).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    connection
        .execute_batch(
            "DROP TABLE log_pending; DROP TABLE verdicts; UPDATE meta SET value = '2' WHERE key = 'format';",
        )
        .unwrap();
    drop(connection);
    let reader = Store::open_read_only(config(folder.path())).unwrap();
    let report =
        modkeep_store::fsck::run(&reader, modkeep_store::fsck::Options::default(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    drop(reader);

    let store = open(folder.path());
    store.commit(&Repository::main(), &later, parts(&store, &later)).await.unwrap();
    let pending = store.log_pending(0, 10).await.unwrap();
    let versions: Vec<_> = pending.iter().map(|(_, one)| one.module_version().unwrap()).collect();
    assert_eq!(versions, [whole, later]);
    store.settle_log_pending(pending.iter().map(|(_, one)| one.id).collect()).await.unwrap();
    assert!(store.log_pending(0, 10).await.unwrap().is_empty());
}

fn check(version: &ModuleVersion, state: OriginState) -> OriginCheck {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    OriginCheck { version: version.clone(), state, checked_at: at, since: at, detail: "so".to_owned() }
}

#[tokio::test]
async fn a_file_tells_what_became_of_its_version_and_stays_what_it_was() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let unknown = version("example.com/unknown", "v1.0.0");
    store.commit(&Repository::main(), &which, small_parts(&which)).await.unwrap();
    let told = async |checks: &[OriginCheck]| store.note_origins(checks.to_vec()).await.unwrap().len();
    let file =
        async || store.open_file(&Repository::main(), &which, FileKind::Mod).await.unwrap().unwrap().origin;
    assert_eq!((told(&[check(&which, OriginState::Stands)]).await, file().await), (0, None));
    let moved = [check(&which, OriginState::TagMoved), check(&unknown, OriginState::TagMoved)];
    assert_eq!((told(&moved).await, file().await), (1, Some(OriginState::TagMoved)));
    assert_eq!(told(&moved).await, 0, "the same again is no news");
    assert_eq!(store.broken(&unknown), None, "what is not stored here is nobody's business");
    let counted: Vec<_> = store.broken_counts().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(OriginState::TagMoved, 1)]);
    assert_eq!((told(&[check(&which, OriginState::Stands)]).await, file().await), (1, None));
}

#[tokio::test]
async fn private_versions_never_enter_the_feed() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("corp.example/secret", "v1.0.0"));
    let private = Parts { visibility: modkeep_store::Visibility::Private, ..parts(&store, &which) };
    store.commit(&Repository::main(), &which, private).await.unwrap();
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    assert_eq!(store.feed(None, 9).await.unwrap(), []);
    assert_whole(&store, &which).await;
}

#[tokio::test]
async fn answers_are_kept_with_their_validator() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let checked_at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(1_700_000_000_123_456);
    let validator = Some("\"abc\"".to_owned());
    let answer = StoredAnswer { bytes: b"v1.0.0\n".to_vec(), checked_at, source: "up".to_owned(), validator };
    store.put_answer(&Repository::main(), which.path(), &Question::List, answer.clone()).await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.answer(&Repository::main(), which.path(), &Question::List).await.unwrap(), Some(answer));
    assert_eq!(store.answer(&Repository::main(), which.path(), &Question::Latest).await.unwrap(), None);
}

#[tokio::test]
async fn a_foreign_database_is_remembered_and_its_damage_forgotten() {
    let folder = new_folder();
    let store = open(folder.path());
    let foreign = store.foreign("sum.example.org").unwrap();
    assert_eq!(foreign.head().await.unwrap(), None);
    assert!(foreign.save_head(None, b"head one").await.unwrap());
    assert!(!foreign.save_head(None, b"head two").await.unwrap());
    assert_eq!(foreign.head().await.unwrap().unwrap(), b"head one");

    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let (tile, lookup) = ("tile/8/0/x001/013.p/19", "lookup/github.com/!azure/x@v1.0.0");
    foreign.put(vec![file(tile, "hashes"), file(lookup, "lines"), file(tile, "hashes")]).await.unwrap();
    foreign.put(vec![file(lookup, "lines under a newer head")]).await.unwrap();
    assert_eq!(foreign.get(tile).await.unwrap().unwrap(), b"hashes");
    assert_eq!(foreign.get(lookup).await.unwrap().unwrap(), b"lines", "what is kept stays as it is");
    assert_eq!(foreign.get("tile/8/0/000").await.unwrap(), None);
    let on_disk = folder.path().join("sumdb/sum.example.org").join(tile);
    assert_eq!(std::fs::read(&on_disk).unwrap(), b"hashes");

    damage(&on_disk, |bytes| bytes[0] ^= 1);
    assert_eq!(foreign.get(tile).await.unwrap(), None, "R13: tiles are verified on every read");
    foreign.put(vec![file(tile, "hashes")]).await.unwrap();
    assert_eq!(foreign.get(tile).await.unwrap().unwrap(), b"hashes");
    assert!(matches!(foreign.get("../../ledger.sqlite").await, Err(Error::Name { .. })));
    assert!(matches!(store.foreign("../x"), Err(Error::Name { .. })));
    let report =
        modkeep_store::fsck::run(&store, modkeep_store::fsck::Options::default(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn garbage_of_a_crash_gives_way_and_is_never_trusted() {
    let folder = new_folder();
    let (store, which) = (open(folder.path()), version("example.com/m", "v1.0.0"));
    let path = path_of(folder.path(), &which, FileKind::Mod);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"half a fi").unwrap();
    std::fs::write(folder.path().join("scratch/leftover"), b"x").unwrap();
    store.commit(&Repository::main(), &which, parts(&store, &which)).await.unwrap();
    assert_whole(&store, &which).await;
    assert_eq!(std::fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 1);
    drop(store);
    open(folder.path());
    assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0, "swept at the start");
}

#[test]
fn names_too_long_for_a_disk_are_refused_before_it_is_asked() {
    let name = format!("lookup/{}@v1.0.0", "a".repeat(250));
    assert!(matches!(BlobName::of_foreign("sum.example.org", &name), Err(Error::Name { .. })));
}

#[test]
fn the_reserve_is_kept_free() {
    let folder = new_folder();
    let config = modkeep_store::Config { min_free: MinFree::Bytes(u64::MAX / 2), ..config(folder.path()) };
    let store = Store::open(config, Arc::new(SystemClock)).unwrap();
    assert!(matches!(store.scratch(), Err(Error::DiskFull { .. })));
    assert!(matches!(store.is_writable(), Err(Error::DiskFull { .. })));
    assert!(store.space().unwrap().total > 0);
}

#[test]
fn a_directory_below_a_dangling_link_is_an_error_and_no_endless_descent() {
    let folder = new_folder();
    let link = folder.path().join("dangling");
    std::os::unix::fs::symlink(folder.path().join("nowhere/data"), &link).unwrap();
    for path in [link.join("x"), link.join("x/y"), "/proc/x".into()] {
        let refused = Store::open(config(&path), Arc::new(SystemClock)).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Io { doing: "make", .. }), "{refused}");
        assert!(refused.to_string().contains("nothing can be made in it"), "{refused}");
    }
    let deep = folder.path().join("a/b/c");
    Store::open(config(&deep), Arc::new(SystemClock)).unwrap();
}
