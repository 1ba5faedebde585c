//! Rows of hostile-inputs.md: what a source or a database does, and what never happens then.

use std::time::Duration;

use modkeep_fetch::{Alarm, Authority, Failure, Reach};
use modkeep_store::EvidenceKind;
use modkeep_testkit::{Fault, Lie, ModuleWorld, names};
use modkeep_upstream::{Separator, Upstream};

use crate::rig::{Plan, at, build, path, query, read, rig};

/// Another zip of the same version, well formed.
fn other_zip(module: &str, version: &str) -> Vec<u8> {
    let go_mod = format!("module {module}\n");
    let files: [(&str, &[u8]); 2] = [("go.mod", go_mod.as_bytes()), ("evil.go", b"package evil\n")];
    modkeep_testkit::world::pack(module, version, &files).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h01_to_h09_trouble_is_never_absence_and_never_stored() {
    let faults = [
        Fault::Hangup,
        Fault::Reset,
        Fault::ShortBody,
        Fault::ChunksWithoutEnd,
        Fault::LoginPage,
        Fault::Garbage,
        Fault::Empty,
        Fault::RedirectLoop,
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(204),
        Fault::FalseGzip,
    ];
    for fault in faults {
        let rig = rig();
        let of = at(names::LOWER, "v1.0.0");
        rig.server().fault("reeds/", fault.clone());
        for (kind, got) in [
            ("info", rig.fetch.info(&of, Reach::MayFetch).await),
            ("mod", rig.fetch.go_mod(&of, Reach::MayFetch).await),
            ("zip", rig.fetch.zip(&of, Reach::MayFetch).await),
        ] {
            let failure = got.expect_err(&format!("{kind} after {fault:?}"));
            assert!(!failure.is_absence(), "{kind} after {fault:?}: {failure}");
        }
        let record = rig.record(&of).await;
        assert!(record.is_none(), "{fault:?}: {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h04_and_g08_a_source_that_sends_too_much_is_in_trouble() {
    let of = at(names::LOWER, "v1.0.0");
    for fault in [Fault::Endless, Fault::Instead(vec![b'v'; 80 << 20])] {
        let rig = rig();
        rig.server().fault("reeds/", fault);
        for (asked, failure) in [
            ("info", rig.fetch.info(&of, Reach::MayFetch).await.unwrap_err()),
            ("mod", rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap_err()),
            ("list", rig.fetch.list(of.path(), Reach::MayFetch).await.unwrap_err()),
            ("latest", rig.fetch.latest(of.path(), Reach::MayFetch).await.unwrap_err()),
            ("query", rig.fetch.query(of.path(), &query("main"), Reach::MayFetch).await.unwrap_err()),
        ] {
            assert!(matches!(failure, Failure::BadAnswer { .. }), "{asked}: {failure}");
        }
        rig.server().mend();
        rig.fetch.info(&of, Reach::MayFetch).await.unwrap();
        rig.fetch.list(of.path(), Reach::MayFetch).await.unwrap(); // R22: nothing of it is remembered
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h06_only_404_and_410_are_absence() {
    for status in [404, 410] {
        let rig = rig();
        rig.server().fault("reeds/", Fault::Status(status));
        let of = at(names::LOWER, "v1.0.0");
        assert!(rig.fetch.info(&of, Reach::MayFetch).await.unwrap_err().is_absence());
        assert!(rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap_err().is_absence());
        assert!(rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err().is_absence());
        assert!(rig.fetch.list(of.path(), Reach::MayFetch).await.unwrap_err().is_absence());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h07_bytes_that_contradict_the_database() {
    let rig = rig();
    let of = at(names::LOWER, "v1.0.0");
    rig.server().fault(".zip", Fault::Instead(other_zip(names::LOWER, "v1.0.0")));
    rig.server().fault(".mod", Fault::Instead(b"module example.com/evil\n".to_vec()));
    for failure in [
        rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err(),
        rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap_err(),
    ] {
        let by_database = matches!(&failure, Failure::Checksum { authority: Authority::Database { .. }, .. });
        assert!(by_database, "{failure}");
    }
    assert!(rig.record(&of).await.is_none(), "nothing is stored");
    assert_eq!(rig.evidence().await, [EvidenceKind::Mismatch, EvidenceKind::Mismatch]);
    assert_eq!(*rig.alarms.lock().unwrap(), [Alarm::ChecksumMismatch, Alarm::ChecksumMismatch]);
    let again = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(again, Failure::Checksum { .. }), "{again}");
    assert_eq!(rig.server().count(".zip"), 1, "a refusal is remembered: nobody downloads it again at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h07_damaged_bytes_and_another_modules_zip_contradict_the_database() {
    let world = ModuleWorld::every_kind();
    let of = at(names::LOWER, "v1.0.0");
    let good = &world.release(names::LOWER, "v1.0.0").zip;
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let cut = good[..good.len() - 30].to_vec();
    for bytes in [flipped, cut, other_zip(names::VANITY, "v0.9.0")] {
        let plan = Plan { separators: vec![Separator::Comma, Separator::Comma], ..Plan::default() };
        let rig = build(&world, plan);
        for server in &rig.servers {
            server.fault(".zip", Fault::Instead(bytes.clone()));
        }
        let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Checksum { recorded, authority: Authority::Database { .. }, .. }
                if recorded.starts_with("h1:")),
            "{failure}"
        );
        assert!(rig.record(&of).await.is_none(), "nothing is stored");
        let kept = rig.store.evidence(0, 10).await.unwrap();
        assert!(kept.iter().all(|kept| kept.kind == EvidenceKind::Mismatch && kept.body.is_some()));
        assert_eq!(kept.len(), 2, "both sources are asked, and both are named");
        assert_eq!(*rig.alarms.lock().unwrap(), [Alarm::ChecksumMismatch, Alarm::ChecksumMismatch]);
        // With one good source the certified bytes are served (H14).
        rig.servers[1].mend();
        rig.clock.advance(Duration::from_mins(2));
        assert_eq!(read(rig.fetch.zip(&of, Reach::MayFetch).await.unwrap()), *good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h07_an_import_of_damaged_bytes_contradicts_the_database() {
    let world = ModuleWorld::every_kind();
    let rig = build(&world, Plan::default());
    let release = world.release(names::LOWER, "v1.0.0");
    let folder = tempfile::tempdir().unwrap();
    world.write_tree(folder.path());
    let mut flipped = release.zip.clone();
    flipped[release.zip.len() / 2] ^= 1;
    std::fs::write(folder.path().join(release.file("zip")), flipped).unwrap();
    let tree = Upstream::new_tree(folder.path().to_owned());
    let outcomes = rig.fetch.take_in(&tree, &[at(names::LOWER, "v1.0.0")], |_| None).await;
    assert!(matches!(&outcomes[..], [Err(Failure::Checksum { .. })]), "{outcomes:?}");
    assert_eq!(rig.evidence().await, [EvidenceKind::Mismatch]);
    assert_eq!(*rig.alarms.lock().unwrap(), [Alarm::ChecksumMismatch]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_certifies_another_modules_zip_is_bad_content() {
    let rig = build(&ModuleWorld::every_kind(), Plan { unchecked: "*", ..Plan::default() });
    rig.server().fault(".zip", Fault::Instead(other_zip(names::VANITY, "v0.9.0")));
    let failure = rig.fetch.zip(&at(names::LOWER, "v1.0.0"), Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::BadContent { .. }), "{failure}");
    assert!(rig.alarms.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h14_the_source_with_the_certified_bytes_wins() {
    let world = ModuleWorld::every_kind();
    let plan = Plan { separators: vec![Separator::Comma, Separator::Comma], ..Plan::default() };
    let rig = build(&world, plan);
    let of = at(names::LOWER, "v1.0.0");
    rig.server().fault(".zip", Fault::Instead(other_zip(names::LOWER, "v1.0.0")));
    let zip = read(rig.fetch.zip(&of, Reach::MayFetch).await.unwrap());
    assert_eq!(zip, world.release(names::LOWER, "v1.0.0").zip);
    let kept = rig.store.evidence(0, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].source.contains(&rig.servers[0].host()), "the liar is named: {}", kept[0].source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h15_each_file_is_visible_when_it_is_itself_verified() {
    let rig = rig();
    let of = at(names::LOWER, "v1.0.0");
    rig.server().fault(".mod", Fault::Status(500));
    rig.fetch.zip(&of, Reach::MayFetch).await.unwrap();
    let failure = rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::OriginDown { .. }), "{failure}");
    rig.server().mend();
    rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_g01_mod_and_zip_that_disagree_where_nobody_certifies_both() {
    let rig = build(&ModuleWorld::every_kind(), Plan { unchecked: "*", ..Plan::default() });
    let of = at(names::LOWER, "v1.0.0");
    rig.server().fault(".mod", Fault::Instead(b"module example.com/kingfisher/reeds\n\ngo 1.99\n".to_vec()));
    rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
    let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::BadContent { .. }), "{failure}");
    assert!(rig.record(&of).await.unwrap().zip.is_none());
    assert_eq!(*rig.alarms.lock().unwrap(), [Alarm::GoModDiffers]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_g08_an_info_that_names_another_version() {
    for info in ["{\"Version\":\"v1.0.1\"}", "{", "[]", "{\"Version\":\"v1.0.0\",\"Time\":\"yesterday\"}"] {
        let rig = rig();
        let of = at(names::LOWER, "v1.0.0");
        rig.server().fault("v1.0.0.info", Fault::Instead(info.as_bytes().to_vec()));
        let failure = rig.fetch.info(&of, Reach::MayFetch).await.unwrap_err();
        assert!(matches!(failure, Failure::BadAnswer { .. }), "{info}: {failure}");
        assert!(rig.record(&of).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_g10_a_list_is_filtered_as_the_go_command_does() {
    let rig = rig();
    let list =
        "v1.0.1\r\nv1.0.0\nv1.0.0\nv2.0.0\n<html>\n../../etc\nv0.0.0-20250304050607-0123456789ab\nv1.0\n";
    rig.server().fault("reeds/@v/list", Fault::Instead(list.as_bytes().to_vec()));
    assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0\nv1.0.1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i10_to_i14_a_database_that_lies_vouches_for_nothing() {
    for lie in [
        Lie::MissingLine,
        Lie::StaleHead,
        Lie::ForgedTiles,
        Lie::EmptyLookup,
        Lie::AnotherRecord,
        Lie::HiddenLine,
    ] {
        let (rig, told) = (rig(), format!("{lie:?}"));
        rig.server().change(|site| site.database().lie(lie));
        let of = at(names::LOWER, "v1.0.0");
        let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
        assert!(matches!(failure, Failure::LogDown { .. }), "{told}: {failure}");
        assert!(rig.record(&of).await.is_none(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i14_a_forked_database_is_stopped_and_kept_as_evidence() {
    let rig = rig();
    rig.fetch.go_mod(&at(names::LOWER, "v1.0.0"), Reach::MayFetch).await.unwrap();
    rig.server().change(|site| site.database().lie(Lie::OtherTree));
    let failure = rig.fetch.go_mod(&at(names::VANITY, "v0.9.0"), Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::LogInconsistent { .. }), "{failure}");
    assert!(rig.evidence().await.contains(&EvidenceKind::Fork));
    assert!(rig.alarms.lock().unwrap().contains(&Alarm::LogInconsistent));
    assert!(
        rig.fetch.go_mod(&at(names::LOWER, "v1.0.0"), Reach::MayFetch).await.is_ok(),
        "stored stays served"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_the_database_does_not_list_is_not_kept() {
    let rig = rig();
    rig.server().change(|site| site.database().lie(Lie::Forgetful));
    let of = at(names::LOWER, "v1.0.0");
    for failure in [
        rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap_err(),
        rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err(),
    ] {
        assert!(matches!(failure, Failure::Unlisted { .. }), "{failure}");
    }
    let unknown = rig.fetch.zip(&at(names::LOWER, "v1.9.9"), Reach::MayFetch).await.unwrap_err();
    assert!(unknown.is_absence(), "a version that does not exist is told so, not as unlisted: {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_database_away_nothing_new_is_kept() {
    let rig = rig();
    rig.server().fault("/db/", Fault::Status(500));
    let of = at(names::LOWER, "v1.0.0");
    let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::LogDown { .. }), "{failure}");
    assert!(rig.record(&of).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_h05_a_throttled_source_is_left_alone_and_the_old_answer_served() {
    let rig = rig();
    rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
    let slow = vec![("Retry-After".to_owned(), "31536000".to_owned())];
    rig.server().fault("list", Fault::StatusWith(429, slow));
    rig.server().forget();
    for _ in 0..20 {
        rig.clock.advance(Duration::from_secs(61));
        assert!(rig.fetch.list(&path(names::LOWER), Reach::MayFetch).await.unwrap().stale.is_some());
        rig.settle().await;
    }
    assert_eq!(rig.server().count("list"), 1, "egress remembers its wish");
}
