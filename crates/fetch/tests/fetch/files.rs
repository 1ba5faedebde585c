//! The files of a version: fetched once, verified, kept for ever.

use std::sync::Arc;
use std::time::Duration;

use modkeep_fetch::{Absent, Failure, How, Reach};
use modkeep_module::gomod::GoMod;
use modkeep_store::{Basis, FileKind, FirstSight};
use modkeep_testkit::{Fault, ModuleWorld, names};
use modkeep_upstream::Separator;

use crate::rig::{Plan, Rig, at, build, read, rig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_module_is_fetched_verified_and_kept() {
    let world = ModuleWorld::every_kind();
    let mut rig = build(&world, Plan::default());
    for release in world.releases() {
        let of = at(&release.module, &release.version);
        for reach in [Reach::MayFetch, Reach::CachedOnly] {
            assert_eq!(read(rig.fetch.info(&of, reach).await.unwrap()), release.info, "{of}");
            assert_eq!(read(rig.fetch.go_mod(&of, reach).await.unwrap()), release.go_mod, "{of}");
            assert_eq!(read(rig.fetch.zip(&of, reach).await.unwrap()), release.zip, "{of}");
        }
        let record = rig.record(&of).await.unwrap();
        let (go_mod, zip) = (record.go_mod.unwrap(), record.zip.unwrap());
        assert_eq!(
            (go_mod.h1.to_string(), zip.h1.to_string()),
            (release.go_mod_h1.to_string(), release.zip_h1.to_string())
        );
        assert!(go_mod.basis.is_certified() && zip.basis.is_certified(), "{of}");
    }
    rig.servers[0].stop();
    for release in world.releases() {
        let of = at(&release.module, &release.version);
        assert_eq!(
            read(rig.fetch.zip(&of, Reach::MayFetch).await.unwrap()),
            release.zip,
            "upstream gone: {of}"
        );
    }
    assert!(rig.alarms.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_and_mod_never_wait_for_a_zip() {
    let rig = rig();
    rig.server().fault(".zip", Fault::Hold);
    let of = at(names::LARGE, "v1.0.0");
    rig.fetch.info(&of, Reach::MayFetch).await.unwrap();
    rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
    assert_eq!(rig.server().count(".zip"), 0, "D7: nothing is fetched that was not asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_one_request() {
    let rig = Arc::new(rig());
    rig.server().fault(".zip", Fault::Hold);
    let of = at(names::LARGE, "v1.0.0");
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..1000 {
        let (rig, of) = (Arc::clone(&rig), of.clone());
        callers.spawn(async move {
            let zip = rig.fetch.zip(&of, Reach::MayFetch);
            if caller % 10 == 0 {
                // These leave; nobody else is harmed (R18).
                return tokio::time::timeout(Duration::from_millis(50), zip).await.is_err();
            }
            zip.await.unwrap().file.size > 1 << 20
        });
    }
    rig.server().wait_for(".zip");
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.server().mend();
    assert!(callers.join_all().await.into_iter().all(|served| served));
    assert_eq!(rig.server().count(".zip"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_ends_and_the_fetch_goes_on() {
    let mut plan = Plan::default();
    plan.config.hold = Duration::from_millis(50);
    let rig = build(&ModuleWorld::every_kind(), plan);
    rig.server().fault(".zip", Fault::Hold);
    let of = at(names::LOWER, "v1.0.0");
    let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::StillFetching { .. }), "{failure}");
    rig.server().mend();
    rig.settle().await;
    assert_eq!(rig.fetch.zip(&of, Reach::CachedOnly).await.unwrap().how, How::Stored);
    assert_eq!(rig.server().count(".zip"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_told_for_a_minute_and_then_asked_again() {
    let mut world = ModuleWorld::new();
    world.add_library(names::LOWER, "v1.0.0");
    let rig = build(&world, Plan::default());
    let of = at(names::LOWER, "v1.0.1");
    for _ in 0..5 {
        let failure = rig.fetch.info(&of, Reach::MayFetch).await.unwrap_err();
        assert!(matches!(failure, Failure::NoSuchVersion { .. }), "{failure}");
    }
    assert_eq!(rig.server().count("v1.0.1.info"), 1, "P-78: the pair is one question");
    world.add_library(names::LOWER, "v1.0.1");
    rig.server().change(|site| site.publish(&world));
    rig.clock.advance(Duration::from_secs(59));
    assert!(rig.fetch.info(&of, Reach::MayFetch).await.unwrap_err().is_absence());
    rig.clock.advance(Duration::from_secs(1));
    assert!(rig.fetch.info(&of, Reach::MayFetch).await.is_ok(), "R23");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_only_asks_nobody() {
    let rig = rig();
    let of = at(names::LOWER, "v1.0.0");
    for kind in FileKind::ALL {
        let got = match kind {
            FileKind::Info => rig.fetch.info(&of, Reach::CachedOnly).await,
            FileKind::Mod => rig.fetch.go_mod(&of, Reach::CachedOnly).await,
            FileKind::Zip => rig.fetch.zip(&of, Reach::CachedOnly).await,
        };
        let failure = got.unwrap_err();
        assert!(matches!(failure, Failure::NotCached { .. }), "{failure}");
    }
    assert_eq!(rig.server().seen().len(), 0, "A26");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_names_never_leave() {
    let plan = Plan { private: "example.com/kingfisher", ..Plan::default() };
    let rig = build(&ModuleWorld::every_kind(), plan);
    let of = at(names::LOWER, "v1.0.0");
    let failure = rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::NoSuchModule { why: Absent::Private, .. }), "{failure}");
    assert!(rig.fetch.list(of.path(), Reach::MayFetch).await.unwrap_err().is_absence());
    assert!(rig.fetch.latest(of.path(), Reach::MayFetch).await.unwrap_err().is_absence());
    assert_eq!(rig.server().seen().len(), 0, "D14");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_source_is_asked_as_the_separators_say() {
    for (separator, fault, served) in [
        (Separator::Comma, Fault::Status(404), true),
        (Separator::Comma, Fault::Status(410), true),
        (Separator::Comma, Fault::Status(500), false),
        (Separator::Comma, Fault::Status(403), false),
        (Separator::Pipe, Fault::Status(500), true),
        (Separator::Pipe, Fault::LoginPage, true),
    ] {
        let plan = Plan { separators: vec![separator, Separator::Comma], ..Plan::default() };
        let rig = build(&ModuleWorld::every_kind(), plan);
        rig.server().fault(".mod", fault.clone());
        let got = rig.fetch.go_mod(&at(names::LOWER, "v1.0.0"), Reach::MayFetch).await;
        assert_eq!(got.is_ok(), served, "{separator:?} {fault:?}");
        assert_eq!(rig.servers[1].count(".mod"), usize::from(served));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_stays_with_the_source_that_answered_first() {
    let plan = Plan { separators: vec![Separator::Comma, Separator::Comma], ..Plan::default() };
    let rig = build(&ModuleWorld::every_kind(), plan);
    rig.server().fault_times(".info", Fault::Status(404), 1);
    let of = at(names::LOWER, "v1.0.0");
    rig.fetch.info(&of, Reach::MayFetch).await.unwrap();
    rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap();
    assert_eq!((rig.servers[0].count(".mod"), rig.servers[1].count(".mod")), (0, 1), "P-85");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchecked_paths_are_taken_at_first_sight_but_never_the_toolchain() {
    let world = ModuleWorld::every_kind();
    let rig = build(&world, Plan { unchecked: "*", ..Plan::default() });
    let of = at(names::LEGACY, "v0.3.0");
    rig.fetch.zip(&of, Reach::MayFetch).await.unwrap();
    let go_mod = read(rig.fetch.go_mod(&of, Reach::MayFetch).await.unwrap());
    assert_eq!(go_mod, GoMod::synthesized(of.path()));
    let record = rig.record(&of).await.unwrap();
    assert_eq!(record.zip.unwrap().basis, Basis::FirstSight(FirstSight::UncheckedPath));
    let toolchain = at(names::TOOLCHAIN, names::TOOLCHAIN_VERSION);
    rig.fetch.zip(&toolchain, Reach::MayFetch).await.unwrap();
    let record = rig.record(&toolchain).await.unwrap();
    assert!(record.zip.unwrap().basis.is_certified(), "P-107");
    let rig = build(&world, Plan { unchecked: "*", database: false, ..Plan::default() });
    let failure = rig.fetch.zip(&toolchain, Reach::MayFetch).await.unwrap_err();
    assert!(matches!(failure, Failure::LogDown { .. }), "{failure}");
}

/// A stored file, damaged on the disk, is fetched again and accepted only with the recorded sum (R13).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_repairs_what_the_store_put_aside() {
    let world = ModuleWorld::every_kind();
    let rig: Rig = build(&world, Plan::default());
    let of = at(names::LOWER, "v1.0.0");
    rig.fetch.zip(&of, Reach::MayFetch).await.unwrap();
    let blob = rig.blob("repos/main/example.com/kingfisher/reeds/@v/v1.0.0.zip");
    std::fs::write(&blob, b"damaged").unwrap();
    let zip = read(rig.fetch.zip(&of, Reach::MayFetch).await.unwrap());
    assert_eq!(zip, world.release(names::LOWER, "v1.0.0").zip);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_lets_the_fetches_go_and_leaves_nobody_waiting() {
    let rig = Arc::new(rig());
    rig.server().fault(".zip", Fault::Hold);
    let of = at(names::LARGE, "v1.0.0");
    let waiting = tokio::spawn({
        let (rig, of) = (Arc::clone(&rig), of.clone());
        async move { rig.fetch.zip(&of, Reach::MayFetch).await.unwrap_err() }
    });
    rig.server().wait_for(".zip");
    rig.cancel.cancel();
    rig.tracker.close();
    rig.tracker.wait().await;
    assert!(matches!(waiting.await.unwrap(), Failure::Stopping { .. }));
    assert_eq!(rig.fetch.in_flight(), 0);
    assert!(rig.record(&of).await.is_none_or(|record| record.zip.is_none()));
}
