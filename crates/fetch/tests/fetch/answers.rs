//! Lists, latest versions and queries: fresh, stale, computed.

use std::time::{Duration, UNIX_EPOCH};

use modkeep_fetch::{Absent, Failure, How, Reach};
use modkeep_store::FileKind;
use modkeep_testkit::{Fault, ModuleWorld, names};

use crate::rig::{Plan, Rig, at, build, path, query, rig, version_in};

const LOWER_LIST: &str = "v1.0.0\nv1.0.1\n";

async fn whole(rig: &Rig, module: &str, version: &str) {
    let of = at(module, version);
    rig.fetch.info(&of, Reach::MayFetch).await.unwrap();
    rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
    rig.fetch.zip(&of, Reach::MayFetch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_its_lifetime_an_answer_costs_nothing() {
    let rig = rig();
    for _ in 0..10 {
        assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), LOWER_LIST);
        rig.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(rig.server().count("reeds/@v/list"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_it_the_old_answer_is_served_while_a_new_one_is_fetched() {
    let mut world = ModuleWorld::new();
    world.add_library(names::LOWER, "v1.0.0");
    let rig = build(&world, Plan::default());
    rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
    world.add_library(names::LOWER, "v1.0.1");
    rig.server().change(|site| site.publish(&world));
    rig.clock.advance(Duration::from_mins(1));
    let stale = rig.fetch.list(&path(names::LOWER), Reach::MayFetch).await.unwrap();
    assert_eq!((&stale.bytes[..], stale.stale), (&b"v1.0.0\n"[..], Some(Duration::from_mins(1))));
    rig.settle().await;
    let fresh = rig.fetch.list(&path(names::LOWER), Reach::MayFetch).await.unwrap();
    assert_eq!((&fresh.bytes[..], fresh.stale, fresh.how), (LOWER_LIST.as_bytes(), None, How::Stored));
    assert_eq!(rig.server().count("list"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_past_it_the_caller_waits_for_the_source() {
    let rig = rig();
    rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
    rig.clock.advance(Duration::from_secs(601));
    let answer = rig.fetch.list(&path(names::LOWER), Reach::MayFetch).await.unwrap();
    assert_eq!((answer.stale, answer.how), (None, How::Fetched));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_stops_nothing() {
    let rig = rig();
    rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
    rig.clock.set_wall(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), LOWER_LIST, "R25");
    rig.settle().await;
    assert_eq!(rig.server().count("list"), 2, "of unknown age, so checked anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_upstream_gone_the_last_answers_stand_in() {
    let mut rig = rig();
    whole(&rig, names::MAJORS, "v1.5.2").await;
    let listed = rig.list(names::MAJORS, Reach::MayFetch).await.unwrap();
    let latest = rig.latest(names::MAJORS, Reach::MayFetch).await.unwrap();
    let head = rig.fetch.query(&path(names::MAJORS), &query("HEAD"), Reach::MayFetch).await;
    assert!(head.unwrap_err().is_absence());
    rig.servers[0].stop();
    rig.clock.advance(Duration::from_hours(24));
    for _ in 0..2 {
        assert_eq!(rig.list(names::MAJORS, Reach::MayFetch).await.unwrap(), listed, "P-26");
        assert_eq!(rig.latest(names::MAJORS, Reach::MayFetch).await.unwrap(), latest);
    }
    let answer = rig.fetch.list(&path(names::MAJORS), Reach::MayFetch).await.unwrap();
    assert!(answer.stale.unwrap() >= Duration::from_hours(24));
    let unknown = rig.list(names::PRERELEASES, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(unknown, Failure::OriginDown { .. }), "trouble is never absence: {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_listed_but_stored_is_listed_with_the_upstream_gone() {
    let mut rig = rig();
    whole(&rig, names::LOWER, "v1.0.0").await;
    whole(&rig, names::PSEUDO, names::PSEUDO_NEWEST).await;
    rig.servers[0].stop();
    assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0\n", "user-experience 1.4");
    assert_eq!(rig.latest(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0");
    assert_eq!(rig.list(names::PSEUDO, Reach::MayFetch).await.unwrap(), "");
    assert_eq!(rig.latest(names::PSEUDO, Reach::MayFetch).await.unwrap(), names::PSEUDO_NEWEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_its_source_denies_is_listed_while_versions_of_it_are_here() {
    let rig = rig();
    whole(&rig, names::LOWER, "v1.0.0").await;
    rig.server().fault("reeds/@v/list", Fault::Status(404));
    rig.server().fault("reeds/@latest", Fault::Status(410));
    assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0\n");
    assert_eq!(rig.latest(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0");
    assert!(rig.list(names::VANITY, Reach::MayFetch).await.is_ok());
    rig.server().fault("finch/@v/list", Fault::Status(404));
    rig.clock.advance(Duration::from_mins(11));
    assert!(rig.list(names::VANITY, Reach::MayFetch).await.unwrap_err().is_absence());
    whole(&rig, names::VANITY, "v0.9.0").await;
    assert_eq!(rig.list(names::VANITY, Reach::MayFetch).await.unwrap(), "v0.9.0\n", "the no is overtaken");
    let unknown = rig.list("example.com/nobody", Reach::MayFetch).await.unwrap_err();
    assert!(matches!(unknown, Failure::NoSuchModule { why: Absent::AtEverySource, .. }), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_only_answers_are_computed_from_what_can_be_served() {
    let rig = rig();
    assert!(matches!(rig.list(names::LOWER, Reach::CachedOnly).await, Err(Failure::NotCached { .. })));
    rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
    whole(&rig, names::LOWER, "v1.0.0").await;
    rig.server().forget();
    assert_eq!(rig.list(names::LOWER, Reach::CachedOnly).await.unwrap(), "v1.0.0\n", "P-93");
    assert_eq!(rig.latest(names::LOWER, Reach::CachedOnly).await.unwrap(), "v1.0.0");
    let head = rig.fetch.query(&path(names::LOWER), &query("HEAD"), Reach::CachedOnly).await;
    assert!(matches!(head, Err(Failure::NotCached { .. })));
    assert_eq!(rig.server().seen().len(), 0, "P-91");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computed_latest_heeds_retractions_and_prereleases() {
    let world = ModuleWorld::every_kind();
    for (module, versions, latest) in [
        (names::RETRACTED, &["v1.4.0", "v1.5.0"][..], "v1.5.0"),
        (names::MAJORS, &["v1.5.2", "v1.5.3-pre1"], "v1.5.2"),
        (names::PRERELEASES, &["v0.1.0-alpha.1", "v0.1.0-rc.2"], "v0.1.0-rc.2"),
        (
            names::INCOMPATIBLE,
            &["v1.0.0", "v2.1.0+incompatible", "v3.0.0+incompatible"],
            "v3.0.0+incompatible",
        ),
        (names::RETRACTED, &["v1.4.0", "v1.5.0", "v1.7.0"], "v1.7.0"),
    ] {
        let rig = build(&world, Plan::default());
        for version in versions {
            whole(&rig, module, version).await;
        }
        assert_eq!(rig.latest(module, Reach::CachedOnly).await.unwrap(), latest, "{module} {versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_leaves_the_canonical_info_behind() {
    let rig = rig();
    let info = rig.fetch.info(&at(names::LOWER, "v1.0.1"), Reach::MayFetch).await.unwrap();
    let info = crate::rig::read(info);
    let mut world = ModuleWorld::new();
    world.add_library(names::LOWER, "v1.0.1");
    let rig = build(&world, Plan::default());
    rig.server().change(|site| site.put("example.com/kingfisher/reeds/@v/main.info", info));
    let answer = rig.fetch.query(&path(names::LOWER), &query("main"), Reach::MayFetch).await.unwrap();
    assert_eq!(version_in(&answer.bytes), "v1.0.1");
    let record = rig.record(&at(names::LOWER, "v1.0.1")).await.unwrap();
    assert!(record.has(FileKind::Info), "P-34");
    assert_eq!(rig.server().count("v1.0.1.info"), 1, "asked by its canonical name");
    rig.server().forget();
    let remembered = rig.fetch.query(&path(names::LOWER), &query("main"), Reach::CachedOnly).await.unwrap();
    assert_eq!(version_in(&remembered.bytes), "v1.0.1");
}

/// D9: while the source is away, a directory of a stored enclosing module is absent, because the go command
/// probes every prefix of a package path and an error for a deeper one fails the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_directory_is_no_module_while_the_source_is_away() {
    let mut rig = rig();
    whole(&rig, names::PROGRAM, "v1.1.0").await;
    rig.servers[0].stop();
    let inside = rig.list("example.com/aviary/cmd/chirp", Reach::MayFetch).await.unwrap_err();
    let enclosing = Absent::DirectoryOf(path(names::PROGRAM));
    assert!(matches!(&inside, Failure::NoSuchModule { why, .. } if *why == enclosing), "{inside}");
    let by_version = rig.fetch.info(&at("example.com/aviary/cmd", "v1.1.0"), Reach::MayFetch).await;
    assert!(by_version.unwrap_err().is_absence());
    let beside = rig.list("example.com/aviary/nest", Reach::MayFetch).await.unwrap_err();
    assert!(matches!(beside, Failure::OriginDown { .. }), "{beside}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_stands_in_for_whatever_the_authority_did_not_deny() {
    for fault in [Fault::Endless, Fault::LoginPage, Fault::Status(403), Fault::Status(500), Fault::Hangup] {
        let rig = rig();
        let listed = rig.list(names::LOWER, Reach::MayFetch).await.unwrap();
        let latest = rig.latest(names::LOWER, Reach::MayFetch).await.unwrap();
        rig.server().fault("reeds/", fault.clone());
        rig.clock.advance(Duration::from_mins(11));
        for _ in 0..2 {
            assert_eq!(rig.list(names::LOWER, Reach::MayFetch).await.unwrap(), listed, "R22: {fault:?}");
            assert_eq!(rig.latest(names::LOWER, Reach::MayFetch).await.unwrap(), latest, "P-26: {fault:?}");
        }
    }
}

/// `go list -m -u all` asks about modules of which a build needs the `.mod` alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_upstream_gone_the_latest_of_a_module_without_zips_is_known() {
    let mut rig = rig();
    for version in ["v1.0.0", "v1.0.1"] {
        rig.fetch.go_mod(&at(names::LOWER, version), Reach::MayFetch).await.unwrap();
    }
    rig.fetch.info(&at(names::PSEUDO, names::PSEUDO_NEWEST), Reach::MayFetch).await.unwrap();
    assert_eq!(rig.list(names::PSEUDO, Reach::MayFetch).await.unwrap(), "");
    rig.servers[0].stop();
    rig.clock.advance(Duration::from_hours(24));
    for (module, latest) in [(names::LOWER, "v1.0.1"), (names::PSEUDO, names::PSEUDO_NEWEST)] {
        assert_eq!(
            rig.list(module, Reach::MayFetch).await.unwrap(),
            "",
            "a list names what can be downloaded"
        );
        assert_eq!(rig.latest(module, Reach::MayFetch).await.unwrap(), latest, "user-experience 1.4");
    }
    whole_is_preferred().await;
}

async fn whole_is_preferred() {
    let mut rig = rig();
    whole(&rig, names::LOWER, "v1.0.0").await;
    rig.fetch.go_mod(&at(names::LOWER, "v1.0.1"), Reach::MayFetch).await.unwrap();
    rig.servers[0].stop();
    assert_eq!(rig.latest(names::LOWER, Reach::MayFetch).await.unwrap(), "v1.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_without_its_mod_is_not_listed() {
    let mut rig = rig();
    rig.fetch.zip(&at(names::LOWER, "v1.0.1"), Reach::MayFetch).await.unwrap();
    whole(&rig, names::LOWER, "v1.0.0").await;
    rig.fetch.zip(&at(names::VANITY, "v0.9.0"), Reach::MayFetch).await.unwrap();
    rig.servers[0].stop();
    for reach in [Reach::MayFetch, Reach::CachedOnly] {
        assert_eq!(rig.list(names::LOWER, reach).await.unwrap(), "v1.0.0\n");
        assert_eq!(rig.latest(names::LOWER, reach).await.unwrap(), "v1.0.0");
        assert_eq!(rig.list(names::VANITY, reach).await.unwrap(), "");
        assert!(rig.latest(names::VANITY, reach).await.is_err());
    }
}
